"""How an adoption is shown: what a source offers, and what became of it here."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from autoresearch_git.commands import console
from autoresearch_git.community.offers import Offer, Step
from autoresearch_git.experiment import Session
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.plaintext import is_hidden, one_line

LONGEST_LINE = 400  # characters of a change on one line; what is longer goes on in the next
SHOWN_LINES = 120  # of the change, unless the user wants all of it


def offered(offer: Offer, chosen: Sequence[Step], session: Session, as_json: bool, whole_diff: bool) -> None:
    """What would come, to stdout."""
    if as_json:
        click.echo(json.dumps(_fields(offer, chosen)))
        return
    for line in _lines(offer, chosen, session, whole_diff):
        click.echo(line)


def preview(offer: Offer, chosen: Sequence[Step], session: Session, begun: bool, kind: str, whole_diff: bool) -> None:
    """The same to stderr, before it is done. `kind`: what their code will be confined by."""
    for line in _lines(offer, chosen, session, whole_diff):
        click.echo(line, err=True)
    click.echo(f"onto       {'session' if begun else 'a new session,'} {session.name}", err=True)
    click.echo(f"sandbox    {'nothing confines their code' if kind == 'none' else kind}", err=True)


def _lines(offer: Offer, chosen: Sequence[Step], session: Session, whole_diff: bool) -> Iterator[str]:
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
        yield f"files      {', '.join(one_line(path, 100) for path in sorted({path for step in taken for path in step.changed}))}"
    for step in steps:
        yield row(step, session, step in taken)
    diff = list(_diff(taken))
    yield from diff if whole_diff else diff[:SHOWN_LINES]
    if len(diff) > SHOWN_LINES and not whole_diff:
        yield f"  … {len(diff) - SHOWN_LINES} more lines; --diff shows them"


def row(step: Step, session: Session, taken: bool) -> str:
    """One commit on one line: taken or left, what is claimed, by whom, and why it is left."""
    claimed = console.delta(session.metric, step.claimed, 0.0)
    why = "" if taken else step.refused or ("" if step.takes else step.fate.value)
    note = f"  ({why})" if why else "" if taken else "  (left out)"
    mark = click.style("take", fg="green") if taken else click.style("skip", fg="bright_black")
    return f"{mark}  {step.sha[:7]}  {claimed:>10}  {one_line(step.description, 100)}{note}  — {step.author.name}"


def _diff(taken: Sequence[Step]) -> Iterator[str]:
    """From the first text that is taken to the last one, of each file. What a terminal would obey, or nobody would see, is spelled
    out: nothing of what will run is left out."""
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    for step in taken:
        for path, text in step.after.items():
            first.setdefault(path, step.before.get(path, ""))
            last[path] = text
    for path, text in last.items():
        for line in difflib.unified_diff(first[path].splitlines(), text.splitlines(), path, path, n=1, lineterm=""):
            plain = "".join(f"\\u{ord(c):04x}" if c != "\t" and is_hidden(c) else c for c in line)
            yield from (f"  {plain[at : at + LONGEST_LINE]}" for at in range(0, len(plain) or 1, LONGEST_LINE))


def _fields(offer: Offer, chosen: Sequence[Step]) -> dict[str, Any]:
    return {
        "source": offer.source.key,
        "head": offer.source.head,
        "base": offer.source.base,
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


def outcome(offer: Offer, steps: Sequence[Step], skipped: Sequence[tuple[Step, str]], book: Notebook) -> None:
    """Which of the commits were left out, and why; to stderr."""
    tried = {e.adopted_from for e in book.experiments}
    why = {step.label: reason for step, reason in skipped}
    for step in steps:
        if f"{offer.source.key} {step.label}" not in tried:
            reason = why.get(step.label, "not tried yet")
            click.echo(f"left out  {step.sha[:7]}  {one_line(step.description, 100)}  ({one_line(reason)})", err=True)
