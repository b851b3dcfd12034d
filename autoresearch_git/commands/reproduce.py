"""`git autoresearch reproduce`: measure a claim again, the text before it and the text with it, on the same seeds."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from autoresearch_git.commands import adopt_console as shown
from autoresearch_git.commands import console, running
from autoresearch_git.commands.adoption import Asked, again, confinement, offer_for, own_sessions, session_for, takes_source
from autoresearch_git.community.offers import Offer, Step
from autoresearch_git.config import load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Metric
from autoresearch_git.ledger.session import LiveSession
from autoresearch_git.plaintext import one_line
from autoresearch_git.replication import Replication
from autoresearch_git.repository import open_repository
from autoresearch_git.research.reproduction import Reproduction
from autoresearch_git.research.researchers import NoProposal, View

_EXAMPLES = """Examples:

\b
  git autoresearch reproduce '#44'                 its last state against what it began with, three seeds each
  git autoresearch reproduce '#44' --each          every kept commit against its parent
  git autoresearch reproduce cpu/nov21 --runs 5    a session of one's own
"""


@click.command("reproduce", epilog=_EXAMPLES)
@takes_source
@click.option("--runs", type=click.IntRange(1), default=3, metavar="N", help="Seeds that each text is measured with (3).")
@click.option("--each", is_flag=True, help="Every kept commit against its parent, not only the whole.")
def command(asked: Asked, runs: int, each: bool) -> None:
    """Measure what SOURCE claims again on this machine, and say what became of it: confirmed, not resolved, not reproduced, or
    contradicted.

    SOURCE is named as for adopt. What it began with and what it came to are measured with the same seeds, in turns, and the
    result is recorded in a session of yours; publish tells it to others.
    """
    repository = open_repository(Path.cwd())
    settings = load_settings(repository, asked.given)
    session, begun = session_for(
        "reproduce", repository, dataclasses.replace(settings, baseline_runs=max(settings.baseline_runs, runs)), asked
    )
    offer = offer_for(repository, settings, session, asked.source)
    steps = _steps(offer, each, asked.commits)
    plan = shown.Plan(session, begun, confinement(asked), (2 * runs, 2 * runs), "".join(own_sessions(repository, offer)[:1]))
    if asked.dry_run:
        shown.offered(offer, steps, plan, asked.as_json, asked.whole_diff)
        return
    shown.preview(offer, steps, plan, asked.whole_diff)
    if refused := next((step for step in steps if step.refused), None):
        raise AutoresearchError(f"{refused.sha[:10]} cannot be measured: {refused.refused}", "--commits names others")
    console.confirm(f"measure {len(steps) * 2 * runs} runs here", asked.yes, "nothing was measured")
    wishes = ["--runs", str(runs), *(["--each"] if each else [])]
    with running.foreground(begun, again("reproduce", asked, session, *wishes)) as here:
        live = here.live = LiveSession.resume(repository, session.name) if begun else LiveSession.create(repository, session)
        with running.loop_of(here, _Nobody(), settings, not begun, unsandboxed=asked.unsandboxed) as (loop, reporter):
            loop.ensure_baseline()
            reproduction = Reproduction(
                live, loop.lab, offer.source.key, [live.session.seed + number for number in range(runs)], loop.machine,
                reporter.repeating, reporter.progress, reporter.measured, loop.check_data,
            )  # fmt: skip
            found = [reproduction.measure(step) for step in steps]
            reproduction.finish()
        _report(live.session.metric, found, asked.as_json)
        if not asked.as_json:
            name = live.session.name
            click.echo(
                f"next     git autoresearch publish {name} --comment   tells others, in the paper and where the claim stands"
            )


class _Nobody:
    """Only the baseline is measured: nothing is proposed."""

    name = "nobody"
    repairs = False

    def propose(self, view: View) -> Any:
        raise NoProposal("nothing is proposed", exhausted=True)


def _steps(offer: Offer, each: bool, commits: str | None) -> list[Step]:
    if commits:
        return [offer.named(word) for word in commits.replace(",", " ").split()]
    kept = [step for step in offer.steps if step.takes] if each else []
    return [offer.whole, *kept]


def _report(metric: Metric, found: Sequence[Replication], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([fields(replication) for replication in found]))
        return
    for replication in found:
        click.echo(line(metric, replication))


def line(metric: Metric, replication: Replication) -> str:
    """One replication on one line."""
    claimed = console.delta(metric, replication.claimed, 0.0) or "nothing"
    measured = console.delta(metric, replication.measured, 0.0) or "crashed"
    error = "" if math.isinf(replication.error) or replication.measured is None else f" ± {replication.error:.2g}"
    runs = f"{len(replication.tip)} runs each" if len(replication.tip) > 1 else "one run each"
    name = one_line(f"{replication.of} {replication.commit[:7]}")
    what = one_line(replication.description, 80)
    return f"{replication.outcome!s:<15} {name}: claimed {claimed}, here {measured}{error} ({runs})  {what}"


def fields(replication: Replication) -> dict[str, Any]:
    """A replication for machines; runs as they are recorded."""
    error = None if math.isinf(replication.error) else replication.error
    return {**dataclasses.asdict(replication), "outcome": str(replication.outcome), "error": error}
