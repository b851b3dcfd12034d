"""`git autoresearch status`: the sessions of this repository, and what is running now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from autoresearch_git.commands import console, reproduce_console
from autoresearch_git.lab import trial
from autoresearch_git.ledger import ideas, notebook
from autoresearch_git.ledger.lock import holder
from autoresearch_git.ledger.session import choose_session, folder_of, read_inflight, session_names
from autoresearch_git.plaintext import one_line
from autoresearch_git.publishing.place import remembered
from autoresearch_git.publishing.wording import count
from autoresearch_git.repository import Repository, open_repository
from autoresearch_git.research.plateau import PLATEAU


@click.command("status", epilog="Example:  git autoresearch status --json")
@click.argument("session", required=False)
@click.option("--path", "only_path", is_flag=True, help="Print only the path of the session's worktree.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(session: str | None, only_path: bool, as_json: bool) -> None:
    """Show the sessions of this repository, the latest first, and how far the running one is."""
    repository = open_repository(Path.cwd())
    if only_path:
        click.echo(folder_of(repository, choose_session(repository, session)) / "worktree")
        return
    names = [choose_session(repository, session)] if session else session_names(repository)
    found = [_fields(repository, name) for name in names]
    if as_json:
        click.echo(json.dumps(found))
        return
    if not found:
        click.echo("no session yet; begin one with:  git autoresearch start")
    for fields in found:
        click.echo(_line(fields))
        if fields["running"]:
            click.echo(f"    {fields['running']}")
        if fields["under_way"]:
            click.echo(f"    {fields['under_way']}")
        if fields["without_gain"] >= PLATEAU:
            click.echo(f"    no gain in the last {fields['without_gain']} experiments")
        if fields["ideas"]:
            waiting = count(len(fields["ideas"]), "idea")
            click.echo(f"    {waiting} waiting: git autoresearch idea --list --session {fields['session']}")
        for line in fields["again"]:
            click.echo(f"    {line}")
        for url in fields["published"]:
            click.echo(f"    published  {url}")


def _fields(repository: Repository, name: str) -> dict[str, Any]:
    book = notebook.read(repository, notebook.NAMESPACE + name)
    folder = folder_of(repository, name)
    owner = holder(folder)
    inflight = read_inflight(folder, len(book.experiments))
    under_way = ""
    if inflight:
        under_way = f"{inflight.number:04d}  {inflight.proposal.description}"
        if owner:
            log = folder / "logs" / f"{inflight.number:04d}-{len(inflight.measurements) + 1}.log"
            line = one_line(trial.parse_progress(trial.tail(log), 0).line)
            under_way += f"  |  {line}" if line else ""
    place = remembered(repository, name)
    last = book.experiments[-1].seconds_since_epoch if book.experiments else repository.commit_time(book.tip)
    return {
        **console.session_fields(book.session, book.experiments),
        "running": str(owner) if owner else "",
        "under_way": under_way,
        "ideas": [idea.text for idea in ideas.waiting(folder)],
        "last": last,
        "worktree": str(folder / "worktree"),
        "again": reproduce_console.lines(book.session.metric, book.replications),
        "published": [one_line(url) for url in (place.pull, place.discussion) if url] if place and not place.withdrawn else [],
    }


def _line(fields: dict[str, Any]) -> str:
    tried = sum(fields["experiments"].values())
    best = f"{console.number(fields['baseline'])} → {console.number(fields['best'])}"
    state = click.style("running", fg="green") if fields["running"] else f"stopped, {console.ago(fields['last'])}"
    kept = fields["experiments"]["keep"]
    return f"{fields['session']:<20} {fields['metric']['name']} {best}  {tried} experiments, {kept} kept  {state}"
