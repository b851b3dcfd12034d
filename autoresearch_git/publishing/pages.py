"""A paper as Markdown: the Discussion's body and the pull request's, each under the length that GitHub takes.

Both begin with the record block, for the next reader's program, and a mark by which the next publication finds them. Where a
body is too long its longest table is cut, down to a few rows, then the next; the whole table is in the commit.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git import rendering
from autoresearch_git.community import record
from autoresearch_git.community.record import ClaimedChange, Estimate, Record
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Status
from autoresearch_git.plaintext import code, inert, one_line
from autoresearch_git.publishing import claims, paragraphs, wording
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place, as_published
from autoresearch_git.publishing.results import Result

LONGEST_BODY = 65_536  # as GitHub counts characters: UTF-16 code units
MARGIN = 256
LONGEST_TITLE = 256
LONGEST_CLAIM = 160  # characters of a change's description in a record
RECORD_ROOM = {"paper.md.j2": 8_000, "pull_request.md.j2": 24_000}  # characters for the changes in the record
# The tables, and the most rows that each is given; of the log as many as there is room for.
MOST_ROWS = {"wins": 15, "dead_ends": 15, "undecided": 8, "unweighed": 15, "crashes": 8, "shapes": 20, "tried": 20, "figures": 60,
             "again": 40, "references": 40, "constants": 40, "read": 12, "log": 100_000}  # fmt: skip
LEAST_ROWS = 5  # of a table that is cut
MOST_GUESSES = 4  # at how many rows of a table fit
FILTERS: dict[str, Callable[..., object]] = {
    "inert": inert, "figure": wording.figure, "change": wording.change, "plus_minus": wording.plus_minus, "count": wording.count,
    "day": wording.day, "plain": wording.plain, "duration": wording.duration, "digits": wording.digits_for,
    "code": code, "listed": wording.listed,
}  # fmt: skip


@dataclass(frozen=True)
class Pages:
    """What is posted: one title, the two bodies."""

    title: str
    pull: str
    paper: str


def render(paper: Paper, place: Place, templates: Path | None = None, whole: bool = False) -> Pages:
    """Both bodies. `whole`: there will be no Discussion, so the pull request's body holds the paper.

    Raises AutoresearchError where the user's own template cannot be rendered, or is too long without its tables.
    """
    told = _body("paper.md.j2", paper, place, templates, whole)
    pull = _body("pull_request.md.j2", paper, place, templates, whole)
    return Pages(title(paper, place)[:LONGEST_TITLE], pull, told)


def complete(paper: Paper, place: Place) -> str:
    """The paper with every row of every table, however long, and without its record."""
    return _text("paper.md.j2", paper, place, None, False, dict.fromkeys(MOST_ROWS, 10**9))


def title(paper: Paper, place: Place) -> str:
    """`exp/H100/mar8: 0.9979 → 0.9697 in 125 experiments`; the baseline is no experiment of those."""
    results = paper.results
    branch = place.branch or paper.session.branch.removeprefix("refs/heads/")
    tried = wording.count(len(results.rows), "experiment")
    if not results.rows and paper.again:
        told = [f"{one.word}: {one.of}" for one in paper.again if one.whole][:3]
        return f"{branch}: {wording.listed(told or ['claims measured again'])}"
    if not results.kept:
        return f"{branch}: nothing kept in {tried}" if results.rows else f"{branch}: no experiment beyond the baseline yet"
    ends = results.baseline.value, results.best.value
    digits = wording.decimals(ends, [results.total.delta], 4)  # 4 as upstream has it
    first, last = (wording.figure(value, digits) for value in ends)
    if results.unmeasured:
        return f"{branch}: {first}, then {claims.TRUSTED}, in {tried}"
    unsure = ", within the noise" if results.within_noise(results.total) else ""
    return f"{branch}: {first} → {last} in {tried}{unsure}"


def mark(identity: str) -> str:
    """What both bodies of a session hold and no other body does."""
    return f"<!-- git-autoresearch session {identity} -->"


def length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _body(template: str, paper: Paper, place: Place, templates: Path | None, whole: bool) -> str:
    """The record, the mark, and the template with as many rows of each table as there is room for."""
    head = f"{record.write(record_of(paper, place, RECORD_ROOM[template]))}\n{mark(paper.identity)}\n"
    limits = _rows(paper)
    room = LONGEST_BODY - MARGIN - length(head)

    def text(name: str, rows: int) -> str:
        return _text(template, paper, place, templates, whole, {**limits, name: rows})

    told = text("log", limits["log"])
    for name in sorted(limits, key=lambda name: -limits[name]):
        if length(told) <= room:
            break
        limits[name], told = _cut(functools.partial(text, name), limits[name], told, room)
    if length(head + told) > LONGEST_BODY:
        raise AutoresearchError(f"{template} gives {length(head + told):,} characters without its tables; GitHub takes "
                                f"{LONGEST_BODY:,}", "shorten the notes or your template")  # fmt: skip
    return head + paragraphs.joined(told)


def _text(template: str, paper: Paper, place: Place, templates: Path | None, whole: bool, limits: dict[str, int]) -> str:
    named = dataclasses.replace(paper, session=as_published(paper.session, place.branch))
    values = {"paper": named, "place": place, "whole": whole, "limits": limits, "log": _log(paper, limits["log"])}
    return rendering.render(template, templates, FILTERS, **values)


def _cut(text: Callable[[int], str], most: int, full: str, room: int) -> tuple[int, str]:
    """How many rows of a table fit, and the text with them; the fewest that are shown where not even they do. What the rows
    take is estimated from those that are known to fit and those that do not: a rendering of thousands of rows takes long."""
    low, high = min(LEAST_ROWS, most), most
    told, over = text(low), length(full)
    for _ in range(MOST_GUESSES):
        free = room - length(told)
        if free < 0 or high - low < 2:
            break
        guess = low + min(high - low - 1, max(1, free * (high - low) // max(1, over - length(told))))
        guessed = text(guess)
        if length(guessed) <= room:
            low, told = guess, guessed
        else:
            high, over = guess, length(guessed)
    return low, told


def _rows(paper: Paper) -> dict[str, int]:
    """How many rows each table has to show."""
    there = {"log": paper.results.rows, "crashes": paper.results.crashed}
    return {name: min(most, len(there[name] if name in there else getattr(paper, name))) for name, most in MOST_ROWS.items()}


def _log(paper: Paper, most: int) -> list[Result]:
    """At most that many experiments in order: all that were kept, then the first of the others."""
    kept = [row for row in paper.results.rows if row.experiment.status is Status.KEEP]
    others = [row for row in paper.results.rows if row.experiment.status is not Status.KEEP]
    chosen = (*kept, *others)[:most]
    return sorted(chosen, key=lambda row: row.experiment.number)


# -- the record ---------------------------------------------------------------------------------------------------------


def record_of(paper: Paper, place: Place, room: int) -> Record:
    """What the next reader's program needs; of the changes, all that were kept and then the clearest, in `room` characters."""
    session, results = paper.session, paper.results
    sd = results.noise.sd if results.noise.degrees else None
    first, best = results.baseline, results.best
    facts = {name: str(value) for name, value in first.platform.items()}
    return Record(
        session=as_published(session, place.branch).name,
        identity=paper.identity,
        repository=place.repository,
        branch=place.branch,
        base=session.base,
        head=place.head,
        metric=session.metric,
        baseline=_estimate(first.value, sd, max(1, len(first.measurements))),
        best=_estimate(best.value, sd, max(1, len(best.measurements)) if best is first else 1),
        experiments={"keep": len(results.kept), "discard": len(results.discarded), "crash": len(results.crashed)},
        harness=best.harness,
        data=paper.data,
        budget_seconds=session.budget,
        platform={"name": session.platform, **facts},
        researcher=", ".join(paper.researchers),
        adopted_from=tuple(_identified(paper, text) for text in paper.adopted_from),
        replications=tuple(
            dataclasses.replace(one, of=paper.names.get(one.of, one.of))
            for one in claims.replications(results, paper.tried, paper.again)
        ),
        findings=tuple(_claims(paper, place, room)),
        seeds=paper.seeds,
        program=paper.program,
        cost={"hours": round(paper.seconds / 3600, 3), "runs": paper.runs},
    )


def _identified(paper: Paper, adopted_from: str) -> str:
    """`cpu/nov22@<identity> <sha>` of what was adopted from a session of this repository."""
    place, space, sha = adopted_from.rpartition(" ")
    return f"{paper.names.get(place, place)}{space}{sha}"


def _estimate(value: float | None, sd: float | None, runs: int) -> Estimate | None:
    return None if value is None else Estimate(value, sd, runs)


def _claims(paper: Paper, place: Place, room: int) -> Iterator[ClaimedChange]:
    for row in (*paper.wins, *paper.dead_ends, *paper.undecided, *paper.unweighed, *paper.results.crashed):
        experiment = row.experiment
        delta = None if row.delta is None else float(f"{row.delta:.12g}")
        commit = experiment.commit if place.holds_all or experiment.status.advances else ""
        claim = ClaimedChange(commit, one_line(experiment.description, LONGEST_CLAIM), delta, str(experiment.status))
        room -= 110 + len(claim.description)
        if room < 0:
            return
        yield claim
