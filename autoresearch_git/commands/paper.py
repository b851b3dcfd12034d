"""`git autoresearch paper`: what a session found, as the text that is posted; and a paper held against the commits."""

from __future__ import annotations

import json
from pathlib import Path

import click

from autoresearch_git.commands import console, publication
from autoresearch_git.config import load_settings, templates_folder
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.session import choose_session
from autoresearch_git.publishing import pages
from autoresearch_git.publishing.check import problems
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.wording import count
from autoresearch_git.repository import Repository, open_repository


@click.command("paper", epilog="Example:  git autoresearch paper --output paper.md && git autoresearch paper --check paper.md")
@click.argument("session", required=False)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it there.")
@click.option("--check", "checked", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Hold a paper against the commits: every commit exists, every number is the session's.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: title and both bodies, or the problems.")
def command(session: str | None, output: Path | None, checked: Path | None, as_json: bool) -> None:
    """Render the paper of SESSION as it would be posted, or --check one that exists."""
    if output and checked:
        raise click.UsageError("choose one of --output and --check")
    repository = open_repository(Path.cwd())
    settings = load_settings(repository)
    book = notebook.read(repository, notebook.NAMESPACE + choose_session(repository, session))
    paper = publication.gather(repository, book)
    if checked:
        _check(repository, paper, checked, as_json)
        return
    place = publication.known_place(repository, settings, book)
    told = pages.render(paper, place, templates_folder(repository, settings), whole=False)
    if as_json:
        click.echo(json.dumps({"title": told.title, "paper": told.paper, "pull_request": told.pull}))
    elif output:
        console.write_file(output, told.paper.encode(), "git autoresearch paper --output paper.md")
        click.echo(str(output))
    else:
        click.echo(told.paper, nl=False)


def _check(repository: Repository, paper: Paper, file: Path, as_json: bool) -> None:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AutoresearchError(f"{file} cannot be read: {error}", "git autoresearch paper --output FILE writes one") from error
    found = problems(paper, text, repository.commits_named)
    if as_json:
        click.echo(json.dumps({"session": paper.session.name, "file": str(file), "problems": found}))
    else:
        for problem in found:
            click.echo(f"wrong: {problem}")
    if found:
        raise AutoresearchError(f"{file} does not hold against session {paper.session.name}: {count(len(found), 'problem')}",
                                "git autoresearch log shows the numbers; git autoresearch paper writes it anew")  # fmt: skip
    if not as_json:
        click.echo(f"ok: every commit and number of {file} is in session {paper.session.name}")
