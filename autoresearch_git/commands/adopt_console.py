"""How an adoption is shown: what a source offers, and what became of it here."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from autoresearch_git.commands import console
from autoresearch_git.community.offers import Offer, Step
from autoresearch_git.experiment import Session
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.plaintext import is_hidden, one_line
from autoresearch_git.publishing.wording import count

LONGEST_LINE = 400  # characters of a change on one line; what is longer goes on in the next
SHOWN_LINES = 120  # of the change, unless the user wants all of it


@dataclass(frozen=True)
class Plan:
    """How the steps are measured: in which session, `begun` before or new, what their code will be confined by, and the fewest and
    the most runs of each step, none where they are taken unmeasured. `own` is the session of this repository that they come from,
    if they do; `porting` the researcher that is given what conflicts, if one is."""

    session: Session
    begun: bool
    sandbox: str
    runs: tuple[int, int]
    own: str = ""
    porting: str = ""


def offered(offer: Offer, chosen: Sequence[Step], plan: Plan, as_json: bool, whole_diff: bool) -> None:
    """What would come, to stdout."""
    if as_json:
        click.echo(json.dumps(_fields(offer, chosen, plan)))
        return
    for line in _lines(offer, chosen, plan, whole_diff):
        click.echo(line)


def preview(offer: Offer, chosen: Sequence[Step], plan: Plan, whole_diff: bool) -> None:
    """The same to stderr, before it is done."""
    for line in _lines(offer, chosen, plan, whole_diff):
        click.echo(line, err=True)


def _lines(offer: Offer, chosen: Sequence[Step], plan: Plan, whole_diff: bool) -> Iterator[str]:
    steps = list(chosen) if offer.whole in chosen else [*chosen, *(s for s in offer.steps if s not in chosen)]
    order = {step.sha: i for i, step in enumerate(offer.steps)}
    taken = [step for step in chosen if not step.refused]
    as_made = [step for step in offer.steps if step in taken]
    if taken == as_made:  # then what is left out has its place between them
        steps.sort(key=lambda step: order.get(step.sha, -1))
    note = f" ({offer.source.note})" if offer.source.note else ""
    yield f"source     {offer.source.key}{note}, at {offer.source.head[:12]}"
    if offer.source.report.title:
        yield f"about      {one_line(offer.source.report.title)}"
    yield f"commits    {len(offer.steps)}, of which {len(taken)} would be measured here"
    if taken:
        yield f"files      {', '.join(one_line(path, 100) for path in sorted({path for step in taken for path in step.after}))}"
    yield f"onto       {'session' if plan.begun else 'a new session,'} {plan.session.name}"
    yield f"sandbox    {plan.sandbox}"
    if plan.porting:
        yield f"conflicts  are given to {plan.porting}, to be ported"
    if taken:
        yield f"budget     {plan.session.budget:g} s a run; {_effort(plan, len(taken))}"
    yield from (f"note       {note}" for note in _notes(offer, plan))
    for step in steps:
        yield row(step, plan.session, step in taken)
    diff = list(_diff(taken))
    yield from diff if whole_diff else diff[:SHOWN_LINES]
    if len(diff) > SHOWN_LINES and not whole_diff:
        yield f"  … {len(diff) - SHOWN_LINES} more lines; --diff shows them"


def _effort(plan: Plan, steps: int) -> str:
    """`5 commits, about 1–2 runs each, and 2 of the baseline: 35 to 60 minutes`."""
    least, most = plan.runs
    if not most:
        return "nothing is measured now"
    first = 0 if plan.begun else plan.session.baseline_runs
    each = f"about {least}–{most} runs" if least < most else count(most, "run")
    baseline = f", and {first} of the baseline" if first else ""
    low, high = ((steps * runs + first) * plan.session.budget for runs in plan.runs)
    return f"{count(steps, 'commit')}, {each} each{baseline}: {_span(low, high)} of training"


def _span(low: float, high: float) -> str:
    unit, word = next(
        ((unit, word) for unit, word in ((1.0, "seconds"), (60.0, "minutes")) if high < 120 * unit), (3600.0, "hours")
    )
    first, last = (f"{seconds / unit:.2g}" if seconds < 10 * unit else f"{seconds / unit:.0f}" for seconds in (low, high))
    return f"{last} {word}" if first == last else f"{first} to {last} {word}"


def _notes(offer: Offer, plan: Plan) -> Iterator[str]:
    """What the user should know before they agree."""
    if plan.own:
        yield f"it is your own work, of session {plan.own}"
    theirs, ours = offer.finding.budget if offer.finding else None, plan.session.budget
    if theirs is not None and theirs != ours:
        yield f"its runs train {theirs:g} s, ours {ours:g} s: what it claims is of another budget"


def row(step: Step, session: Session, taken: bool) -> str:
    """One commit on one line: taken or left, what is claimed, by whom, and why it is left."""
    claimed = console.delta(session.metric, step.claimed, 0.0)
    why = "" if taken else step.refused or ("" if step.takes else step.fate.value)
    note = f"  ({why})" if why else "" if taken else "  (left out)"
    mark = click.style("take", fg="green") if taken else click.style("skip", fg="bright_black")
    return f"{mark}  {step.sha[:7]}  {claimed:>10}  {one_line(step.description, 100)}{note}  — {step.author.name}"


def _diff(taken: Sequence[Step]) -> Iterator[str]:
    """What each of them changes, in the order in which they are tried. What a terminal would obey, or nobody would see, is spelled
    out: nothing of what will run is left out."""
    for step in taken:
        yield f"  {step.sha[:7]}  {one_line(step.description, 100)}"
        for path, text in step.after.items():
            before = step.before.get(path, "").splitlines()
            for line in difflib.unified_diff(before, text.splitlines(), path, path, n=1, lineterm=""):
                plain = "".join(f"\\u{ord(c):04x}" if c != "\t" and is_hidden(c) else c for c in line)
                yield from (f"  {plain[at : at + LONGEST_LINE]}" for at in range(0, len(plain) or 1, LONGEST_LINE))


def _fields(offer: Offer, chosen: Sequence[Step], plan: Plan) -> dict[str, Any]:
    return {
        "source": offer.source.key,
        "head": offer.source.head,
        "base": offer.source.base,
        "session": plan.session.name,
        "begun": plan.begun,
        "sandbox": plan.sandbox,
        "ported_by": plan.porting,
        "budget_seconds": plan.session.budget,
        "runs_of_each": list(plan.runs),
        "runs_of_the_baseline": 0 if plan.begun or not plan.runs[1] else plan.session.baseline_runs,
        "notes": list(_notes(offer, plan)),
        "commits": [
            _step_fields(step, step in chosen and not step.refused)
            for step in (offer.steps if offer.whole not in chosen else chosen)
        ],
    }


def _step_fields(step: Step, taken: bool) -> dict[str, Any]:
    return {
        "commit": step.sha,
        "description": step.description,
        "author": f"{step.author.name} <{step.author.email}>",
        "fate": step.fate.value,
        "claimed": step.claimed,
        "changed": list(step.changed),
        "taken": taken,
        "refused": step.refused,
    }


def next_step(book: Notebook) -> str:
    """What to type when the commits were tried."""
    incumbent = book.incumbent
    if incumbent and incumbent.value is None:
        return f"git autoresearch start --resume --tag {book.session.tag}   measures what was taken on trust, and goes on from it"
    return f"git autoresearch publish {book.session.name} --comment   tells others, in the paper and where the claims stand"


def outcome(offer: Offer, steps: Sequence[Step], skipped: Sequence[tuple[Step, str]], book: Notebook) -> None:
    """Which of the commits were left out, and why; to stderr."""
    tried = {e.adopted_from for e in book.experiments}
    why = {step.label: reason for step, reason in skipped}
    for step in steps:
        if f"{offer.source.key} {step.label}" not in tried:
            reason = why.get(step.label, "not tried yet")
            click.echo(f"left out  {step.sha[:7]}  {one_line(step.description, 100)}  ({one_line(reason)})", err=True)
