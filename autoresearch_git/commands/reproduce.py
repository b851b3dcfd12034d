"""`git autoresearch reproduce`: measure a claim again, the text before it and the text with it, on the same seeds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from autoresearch_git.commands import adopt_console as shown
from autoresearch_git.commands import console, reproduce_console, running
from autoresearch_git.commands.adoption import Asked, again, confinement, offer_for, own_sessions, session_for, takes_source
from autoresearch_git.community.offers import Fate, Offer, Step
from autoresearch_git.config import Settings, load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Session
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.session import LiveSession, session_names
from autoresearch_git.replication import Outcome, Replication, in_order
from autoresearch_git.repository import Repository, open_repository
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
    enough = dataclasses.replace(settings, baseline_runs=max(settings.baseline_runs, runs))
    session, begun = session_for("reproduce", repository, enough, asked)
    offer = _ending_in_a_change(offer_for(repository, settings, session, asked.source))
    steps = _steps(offer, each, asked.commits)
    plan = shown.Plan(session, begun, confinement(asked), (2 * runs, 2 * runs), "".join(own_sessions(repository, offer)[:1]))
    if asked.dry_run:
        shown.offered(offer, steps, plan, asked.as_json, asked.whole_diff)
        return
    seeds = [session.seed + number for number in range(runs)]
    known = _known(repository, session, offer, steps, seeds) if begun else []
    done = {(told.commit, told.whole) for told in known}
    wanted = [step for step in steps if not step.refused and (step.sha, bool(step.base)) not in done]
    budget = _claimed_budget(repository, offer)
    shown.preview(offer, steps, plan, asked.whole_diff)
    reproduce_console.left_out(step for step in steps if step.refused)
    _refuse_nothing(steps)
    for told in known:
        click.echo(f"known      these seeds were measured; --runs {len(told.tip) + 3} adds three  {told.commit[:7]}", err=True)
    found = list(known)
    if wanted:
        for line in reproduce_console.plan(session, begun, len(wanted) * 2, seeds, budget):
            click.echo(line, err=True)
        console.confirm(f"measure {len(wanted) * 2 * runs} runs here", asked.yes, "nothing was measured")
        wishes = ["--runs", str(runs), *(["--each"] if each else [])]
        with running.foreground(begun, again("reproduce", asked, session, *wishes)) as here:
            here.live = LiveSession.resume(repository, session.name) if begun else LiveSession.create(repository, session)
            found += _measured(here, settings, begun, asked, offer.source.key, budget, seeds, wanted)
    _report(session, found, asked.as_json)


def _measured(
    here: running.Foreground,
    settings: Settings,
    begun: bool,
    asked: Asked,
    key: str,
    budget: float | None,
    seeds: Sequence[int],
    steps: Sequence[Step],
) -> list[Replication]:
    """What becomes of the steps of the source `key`, whose runs trained for `budget`."""
    with running.loop_of(here, _Nobody(), settings, not begun, unsandboxed=asked.unsandboxed) as (loop, reporter):
        loop.ensure_baseline()
        reproduction = Reproduction(
            loop.live, loop.lab, key, budget, seeds, loop.machine,
            reporter.repeating, reporter.progress, reporter.measured, loop.check_data,
        )  # fmt: skip
        found = [reproduction.measure(step) for step in steps]
        reproduction.finish()
    return found


class _Nobody:
    """Only the baseline is measured: nothing is proposed."""

    name = "nobody"
    repairs = False

    def propose(self, view: View) -> Any:
        raise NoProposal("nothing is proposed", exhausted=True)


def _ending_in_a_change(offer: Offer) -> Offer:
    """The offer with the last commit that changes an editable file for its whole: what comes after it, such as a table of results,
    runs nothing, and is another one with every publication."""
    last = next((step.sha for step in reversed(offer.steps) if step.after), offer.whole.sha)
    return dataclasses.replace(offer, whole=dataclasses.replace(offer.whole, sha=last))


def _steps(offer: Offer, each: bool, commits: str | None) -> list[Step]:
    if commits:
        return [offer.named(word) for word in commits.replace(",", " ").split()]
    return [offer.whole, *(step for step in offer.steps if each and step.fate is Fate.KEPT)]


def _refuse_nothing(steps: Sequence[Step]) -> None:
    """Raises AutoresearchError where none of the steps can be measured."""
    if all(step.refused for step in steps):
        raise AutoresearchError(f"{steps[0].sha[:10]} cannot be measured: {steps[0].refused}", "--commits names others")


def _known(
    repository: Repository, session: Session, offer: Offer, steps: Sequence[Step], seeds: Sequence[int]
) -> list[Replication]:
    """Of the steps that the session has measured with all of the seeds, what came out."""
    book = notebook.read(repository, session.notebook)
    told = [r for r in in_order(book.replications) if r.of == offer.source.key and r.outcome is not Outcome.CRASHED]
    found = []
    for step in steps:
        same = (r for r in reversed(told) if r.commit == step.sha and r.whole is bool(step.base) and set(r.seeds) >= set(seeds))
        found += [one for one in (next(same, None),) if one]
    return found


def _claimed_budget(repository: Repository, offer: Offer) -> float | None:
    """How long the runs of a source trained, as it says, or as its notebook does where it is a session of this repository."""
    if offer.finding and offer.finding.budget is not None:
        return offer.finding.budget
    for name in session_names(repository):
        if offer.source.key in (name, f"exp/{name}"):
            return notebook.read(repository, notebook.NAMESPACE + name).session.budget
    return None


def _report(session: Session, found: Sequence[Replication], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([reproduce_console.fields(replication) for replication in found]))
        return
    for replication in found:
        click.echo(reproduce_console.line(session.metric, replication))
    click.echo(
        f"next     git autoresearch publish {session.name} --comment   tells others, in the paper and where the claim stands"
    )
