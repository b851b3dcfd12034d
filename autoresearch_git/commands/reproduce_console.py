"""How a claim that is measured again is shown: what will be measured and how long that takes, and what came out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from autoresearch_git.commands import console
from autoresearch_git.community.comparable import other_budget
from autoresearch_git.community.offers import Step
from autoresearch_git.experiment import Metric, Session
from autoresearch_git.plaintext import one_line
from autoresearch_git.publishing.wording import count, duration
from autoresearch_git.replication import Replication, in_order


def plan(session: Session, begun: bool, texts: int, seeds: Sequence[int], claimed_budget: float | None) -> Iterator[str]:
    """How many runs of what budget, how long that takes, and whether the claim is of another budget."""
    most = texts * len(seeds) + (0 if begun else session.baseline_runs)
    each = f"{session.budget:g} s of training each"
    named = ", ".join(map(str, seeds[:12])) + (", …" if len(seeds) > 12 else "")
    yield f"runs       at most {count(most, 'run')}, {each}: about {duration(most * session.budget)}; seeds {named}"
    if other := other_budget(claimed_budget, session.budget):
        yield f"warning    {other}; what comes out does not count as a reproduction"


def left_out(steps: Iterable[Step]) -> None:
    """What cannot be measured, and why; to stderr."""
    for step in steps:
        name = one_line(step.description, 100)
        click.echo(f"left out   {step.sha[:7]}  {name}  ({one_line(step.refused)})", err=True)


def line(metric: Metric, replication: Replication) -> str:
    """One replication on one line."""
    claimed = console.delta(metric, replication.claimed, 0.0) or "nothing"
    measured = console.delta(metric, replication.measured, 0.0) or "crashed"
    error = "" if math.isinf(replication.error) or replication.measured is None else f" ± {replication.error:.2g}"
    runs = f"{len(replication.tip)} runs each" if len(replication.tip) > 1 else "one run each"
    other = other_budget(replication.claimed_budget_seconds, replication.budget_seconds)
    name = one_line(f"{replication.of} {replication.commit[:7]}")
    what = one_line(replication.description, 80)
    notes = f"{runs}; {other}" if other else runs
    return f"{replication.outcome!s:<15} {name}: claimed {claimed}, here {measured}{error} ({notes})  {what}"


def lines(metric: Metric, replications: Iterable[Replication]) -> list[str]:
    """What a session measured again, a line each."""
    return [f"again      {line(metric, replication)}" for replication in in_order(replications)]


def fields(replication: Replication) -> dict[str, Any]:
    """A replication for machines; runs as they are recorded."""
    error = None if math.isinf(replication.error) else replication.error
    return {**dataclasses.asdict(replication), "outcome": str(replication.outcome), "error": error}
