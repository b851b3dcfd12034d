"""`git autoresearch findings leaderboard`: what was published, ranked where it was measured alike, as Markdown for a hub."""

from __future__ import annotations

from pathlib import Path

import click

from autoresearch_git.commands import console
from autoresearch_git.commands.community import Standpoint
from autoresearch_git.community.leaderboard import leaderboard
from autoresearch_git.errors import AutoresearchError


@click.command("leaderboard", epilog="Example:  git autoresearch findings --sync leaderboard LEADERBOARD.md")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def command(place: Standpoint, file: Path | None) -> None:
    """Rank everybody's results among those that were measured alike, as Markdown.

    Into FILE, between the lines `<!-- leaderboard:begin -->` and `<!-- leaderboard:end -->`, leaving its other lines alone; or to
    stdout. Every platform, training time, evaluator and data has a table of its own.
    """
    from autoresearch_git.publishing import leaderboard as page  # only who writes one needs Jinja2

    if not place.library.hubs():
        raise AutoresearchError("nothing was read yet", "git autoresearch findings --sync leaderboard")
    library = place.library
    board = leaderboard(library.findings(), place.here, place.replications, library.papers())
    told = page.render(board, place.here.metric)
    if file is None:
        click.echo(told, nl=False)
        return
    before = _text(file) if file.exists() else page.EMPTY
    after = page.put(before, told)
    same = file.exists() and after == before
    if not same:
        console.write_file(file, after.encode(), "name another file")
    click.echo(f"{file} {'is as it was' if same else 'is up to date'}", err=True)


def _text(file: Path) -> str:
    """The file with the ends of its lines as they are."""
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise AutoresearchError(f"{file} is no UTF-8 text", "name another file") from error
