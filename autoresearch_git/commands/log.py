"""`git autoresearch log`: every experiment of a session."""

from __future__ import annotations

import json
from pathlib import Path

import click

from autoresearch_git.commands import console, reproduce_console
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.history import read_history, with_rationales
from autoresearch_git.ledger.session import begun_here
from autoresearch_git.repository import Repository, open_repository


@click.command("log", epilog="Example:  git autoresearch log exp/H100/mar8 --tsv")
@click.argument("session", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object an experiment, with everything that is recorded.")
@click.option("--tsv", is_flag=True, help="Upstream's results.tsv, rebuilt from the record.")
@click.option("--graph", is_flag=True, help="The kept chain with the discarded experiments hanging off it.")
@click.option("--verify", is_flag=True, help="Walk the record and prove it whole.")
def command(session: str | None, as_json: bool, tsv: bool, graph: bool, verify: bool) -> None:
    """Show every experiment of a session, or of any branch that carries a results.tsv.

    SESSION is a session, a tag, a branch or a remote branch; the latest session if not given.
    """
    if as_json + tsv + graph + verify > 1:
        raise click.UsageError("choose one of --json, --tsv, --graph and --verify")
    repository = open_repository(Path.cwd())
    history = read_history(repository, session)
    if tsv:
        click.echo(history.tsv, nl=False)
    elif as_json:
        found = with_rationales(repository, history.experiments) if history.notebook else history.experiments
        for experiment in found:
            click.echo(json.dumps(console.experiment_fields(history.metric, experiment)))
    elif graph or verify:
        if not history.notebook:
            raise AutoresearchError(f"{history.name} has a results.tsv but no notebook", f"git autoresearch log {history.name}")
        click.echo(_graph(repository, history.notebook)) if graph else _verify(repository, history.notebook)
    else:
        click.echo(f"{history.name}: {history.metric.name}, from {history.source}", err=True)
        for line in console.rows(history.metric, history.experiments):
            click.echo(line)
        for line in _again(repository, history.notebook):
            click.echo(line)


def _again(repository: Repository, ref: str) -> list[str]:
    """What the session measured again, a line each; nothing where there is no notebook."""
    book = notebook.read(repository, ref) if ref else None
    return reproduce_console.lines(book.session.metric, book.replications) if book else []


def _graph(repository: Repository, ref: str) -> str:
    book = notebook.read(repository, ref)
    if not book.experiments:
        return "no experiment yet"
    return repository.graph((e.commit for e in book.experiments), book.session.base)


def _verify(repository: Repository, ref: str) -> None:
    problems = notebook.verify(repository, ref, begun_here(repository, ref.removeprefix(notebook.NAMESPACE)))
    for problem in problems:
        click.echo(f"broken: {problem}")
    if problems:
        raise AutoresearchError(f"{ref} is not whole: {len(problems)} problems", "git fsck --connectivity-only")
    book = notebook.read(repository, ref)
    click.echo(f"ok: {len(book.experiments)} experiments, every record, commit and object of {ref} is in place")
