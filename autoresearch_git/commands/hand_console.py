"""What who researches by hand is shown: where to edit, and what came of it, in lines that an agent can afford to read."""

from __future__ import annotations

import json
import shlex

import click

from autoresearch_git.commands import console
from autoresearch_git.experiment import Experiment, Status
from autoresearch_git.ledger.session import LiveSession
from autoresearch_git.plaintext import one_line


def what_next(live: LiveSession, session: str = "") -> str:
    """What to type next; `session` is named where it is not the latest."""
    files = " or ".join(shlex.quote(str(live.worktree.path / path)) for path in live.session.editable)
    return f"edit {files}, then: git autoresearch try{f' --session {session}' * bool(session)} -m 'what you changed'"


def result(live: LiveSession, experiment: Experiment, as_json: bool, session: str = "") -> None:
    """What became of an edit."""
    book = live.book
    before = next((e.value for e in book.experiments if e.commit == experiment.parent), None)
    if as_json:
        everything = console.session_fields(book.session, book.experiments)
        told = {name: everything[name] for name in ("session", "branch", "noise", "best", "best_commit", "without_gain")}
        change = None if experiment.value is None or before is None else experiment.value - before
        then = {"change": change, "worktree": str(live.worktree.path), "next": what_next(live, session)}
        click.echo(json.dumps({**console.experiment_fields(book.session.metric, experiment), **told, **then}))
        return
    for line in [*_lines(live, experiment, before), f"next       {what_next(live, session)}"]:
        click.echo(line)


def _lines(live: LiveSession, experiment: Experiment, before: float | None) -> list[str]:
    session, experiments, incumbent = live.session, live.book.experiments, live.book.incumbent
    assert incumbent
    change = console.delta(session.metric, experiment.value, before)
    way = "lower" if session.metric.direction == "min" else "higher"
    lines = [
        f"{experiment.number:04d} {experiment.status}  {one_line(experiment.description, 100)}",
        f"{session.metric.name:<9}  {console.number(experiment.value)}{f'  ({change})' if change else ''}  {way} is better",
        f"why        {one_line(experiment.reason)}",
        *(f"noise      {line}" for line in console.noise_of(session, experiments)),
        f"commit     {experiment.commit}",
        f"incumbent  {incumbent.number:04d}  {console.number(incumbent.value)}  {one_line(incumbent.description, 80)}",
        *(f"plateau    {line}" for line in console.plateau(experiments)),
    ]
    if live.ideas:
        lines.append(f"idea       {one_line(live.ideas[0], 100)}  (of {len(live.ideas)}: git autoresearch idea --list)")
    if experiment.status is Status.CRASH:
        lines.append(f"log        git autoresearch show {experiment.number} --session {session.name}")
    return lines
