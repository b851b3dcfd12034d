"""`git autoresearch idea`: a hint that a session's next proposals take up."""

from __future__ import annotations

import json
from pathlib import Path

import click

from autoresearch_git import constants
from autoresearch_git.commands import console
from autoresearch_git.config import load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.lab.harness import python_texts, read_harness
from autoresearch_git.ledger import ideas, notebook
from autoresearch_git.ledger.session import begun_here, choose_session, folder_of
from autoresearch_git.repository import Repository, open_repository
from autoresearch_git.research import hints

_EXAMPLES = """Examples:

\b
  git autoresearch idea 'try a longer warm-down'
  git autoresearch idea 'WARMDOWN_RATIO 0.5 to 0.7'    the sweep, too, can take one with a value
  git autoresearch idea --drop 1
"""


@click.command("idea", epilog=_EXAMPLES)
@click.argument("text", nargs=-1)
@click.option("--list", "listed", is_flag=True, help="Show the ideas that wait, the first to be taken up first.")
@click.option("--drop", type=int, metavar="N", help="Take the Nth of the list away.")
@click.option("--session", metavar="NAME", help="The session; the one that runs, or the latest, if not given.")
@click.option("--json", "as_json", is_flag=True, help="With --list: a JSON list.")
def command(text: tuple[str, ...], listed: bool, drop: int | None, session: str | None, as_json: bool) -> None:
    """Give a session a hint, while it runs or before it goes on: its next proposal takes it up.

    Once an experiment has answered it, it leaves the list; `show` tells which idea an experiment answers.
    """
    if bool(text) + listed + (drop is not None) != 1:
        raise click.UsageError("give an idea, or --list, or --drop N")
    if as_json and not listed:
        raise click.UsageError("--json goes with --list")
    repository = open_repository(Path.cwd())
    name = choose_session(repository, session)
    if not begun_here(repository, name):
        raise AutoresearchError(f"session {name} was not begun here", "git autoresearch start")
    folder = folder_of(repository, name)
    if listed:
        _list(ideas.waiting(folder), as_json)
    elif drop is not None:
        _drop(folder, drop)
    else:
        queued = ideas.queue(folder, " ".join(text))
        click.echo(f"{name}: {len(ideas.waiting(folder))}  {queued.text}")
        _say_who_reads(repository, name, queued.text)


def _list(waiting: tuple[ideas.Idea, ...], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([idea.text for idea in waiting]))
        return
    for number, idea in enumerate(waiting, start=1):
        click.echo(f"{number}  {idea.text}")
    if not waiting:
        click.echo("no idea waits", err=True)


def _drop(folder: Path, number: int) -> None:
    waiting = ideas.waiting(folder)
    if not 1 <= number <= len(waiting):
        raise AutoresearchError(f"there is no idea {number}", "git autoresearch idea --list")
    ideas.drop(folder, waiting[number - 1].name)
    click.echo(f"dropped  {waiting[number - 1].text}")


def _say_who_reads(repository: Repository, name: str, text: str) -> None:
    """That the sweep cannot take it, where the sweep is who proposes, as far as the settings know."""
    book = notebook.read(repository, notebook.NAMESPACE + name)
    if load_settings(repository).researcher != "sweep" or not book.experiments:
        return  # what is in force is known once the baseline has run
    figures = book.experiments[0].measurements[0].figures
    modules = hints.modules_of(python_texts(repository, book.session, read_harness(repository, book.session)))
    for path in book.session.editable:
        content = (repository.read_file(book.head, path) or b"").decode(errors="replace")
        if path.endswith(".py") and hints.wanted(text, constants.read(content, hints.facts_of(figures), modules).constants):
            return
    console.say(f"note: it waits: {hints.NOT_READ}")
