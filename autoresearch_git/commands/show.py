"""`git autoresearch show`: one experiment, with its diff and the end of its log."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from autoresearch_git.commands import console, reproduce_console
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Spending
from autoresearch_git.lab import outcome, trial
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.history import with_rationales
from autoresearch_git.ledger.session import choose_session, folder_of
from autoresearch_git.plaintext import one_line
from autoresearch_git.publishing.wording import count
from autoresearch_git.repository import open_repository

LOG_LINES = 15


@click.command("show", epilog="Example:  git autoresearch show 7")
@click.argument("number", type=int)
@click.option("--session", help="The session; the latest if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the diff.")
def command(number: int, session: str | None, as_json: bool) -> None:
    """Show experiment NUMBER: its result, its measurements, its diff, and the end of its log; of the baseline, 0, also what the
    session measured again of others."""
    repository = open_repository(Path.cwd())
    name = choose_session(repository, session)
    book = notebook.read(repository, notebook.NAMESPACE + name)
    if not 0 <= number < len(book.experiments):
        last = len(book.experiments) - 1
        raise AutoresearchError(f"session {name} has no experiment {number}; its last is {last}", "git autoresearch log")
    (experiment,) = with_rationales(repository, book.experiments[number : number + 1])
    metric = book.session.metric
    color = not as_json and sys.stdout.isatty()
    diff = repository.diff(experiment.parent, experiment.commit, color=color)
    if as_json:
        click.echo(json.dumps({**console.experiment_fields(metric, experiment), "diff": diff}))
        return
    _head(experiment, metric.name)
    named = {experiment.commit, experiment.adopted_from.rpartition(" ")[2]}
    again = [one for one in book.replications if number == 0 or one.commit in named]
    for line in reproduce_console.lines(metric, again):
        click.echo(line)
    for i, m in enumerate(experiment.measurements, start=1):
        figures = "  ".join(f"{k} {v}" for k, v in sorted(m.figures.items()) if k != "data")
        click.echo(f"run {i}       {m.crash or console.number(m.value)}  seed {m.seed}  {figures}")
    click.echo(f"\n{diff}" if diff else "\n(no change: the base commit as it is)")
    log = folder_of(repository, name) / "logs" / f"{number:04d}-{len(experiment.measurements)}.log"
    tail = outcome.lines(trial.tail(log, 16 * 1024))[-LOG_LINES:]
    if tail:
        click.echo(f"\n{log}")
        click.echo("\n".join(f"  {one_line(line)}" for line in tail))


def _head(experiment: Experiment, metric: str) -> None:
    click.echo(f"{experiment.number:04d} {experiment.status}  {experiment.description}")
    click.echo(f"{metric:<11} {console.number(experiment.value)}")
    click.echo(f"why         {experiment.reason}")
    told = {
        "rationale": one_line(experiment.rationale, 1000),
        "expected": experiment.expected,
        "idea": experiment.idea,
        "found in": experiment.inspired_by,
        "adopted": experiment.adopted_from,
        "ported by": experiment.ported,
        "spent": spent(experiment.spending),
        "program": experiment.program,
    }
    for name, text in [*told.items(), *(("mended", crash) for crash in experiment.mended)]:
        if text:
            click.echo(f"{name:<11} {text}")
    click.echo(f"commit      {experiment.commit}")
    click.echo(f"harness     {experiment.harness}")


def spent(spending: Spending) -> str:
    """What a proposal was paid for, on one line; empty where nothing was."""
    if spending == Spending():
        return ""
    price = "at a price that is not known" if spending.usd is None else f"${spending.usd:.4g}"
    tokens = f"{spending.input_tokens:,} tokens in ({spending.cached_tokens:,} cached), {spending.output_tokens:,} out"
    return f"{price}: {count(spending.requests, 'request')}, {tokens}, {spending.seconds:.0f} s"
