"""What others claimed and what became of it here: adopted, tried as an idea, or measured again on purpose; and where it stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autoresearch_git.community import record
from autoresearch_git.experiment import Status
from autoresearch_git.ledger.ancestry import Ancestor
from autoresearch_git.publishing.results import Result, Results
from autoresearch_git.replication import Outcome, Replication, weigh

HELD_TWICE, HELD_ONCE, TRUSTED = "held on two seeds", "held in one run", "taken on trust, not measured"
CARRIED = "carried from another starting point"  # what was claimed is of another change: there is no word for it


@dataclass(frozen=True)
class Tried:
    """Somebody else's claim that was tried here. `finding` is its name, with the commit where it has one; `claimed` the change
    of the metric that it told of, None where that is not known. `adopted`: the very commit, not the idea of it."""

    finding: str
    claimed: float | None
    outcome: str
    result: Result
    adopted: bool = False


@dataclass(frozen=True)
class Reference:
    """Work of others that a session stands on. `key` is how findings name it, `title` and `url` are empty where nothing is known
    of it; `how` says in a few words what it gave."""

    key: str
    how: str
    title: str = ""
    author: str = ""
    url: str = ""


# What is known of a finding by its key: (title, author, url).
Told = Callable[[str], tuple[str, str, str]]


def unknown(key: str) -> tuple[str, str, str]:
    """Nothing is known of any finding."""
    return "", "", ""


def tried(results: Results, claimed: Mapping[str, float | None]) -> Iterator[Tried]:
    """What was adopted or inspired by others, in order. `claimed` is what the findings that inspired an experiment told of it."""
    for row in results.rows:
        experiment = row.experiment
        if experiment.adopted_from:
            claim = experiment.claimed
            yield Tried(_short(experiment.adopted_from), claim, _outcome(results, row, claim), row, adopted=True)
        elif experiment.inspired_by:
            claim = claimed.get(experiment.inspired_by)
            yield Tried(experiment.inspired_by, claim, _outcome(results, row, claim), row)


def _outcome(results: Results, row: Result, claimed: float | None) -> str:
    experiment = row.experiment
    if row.delta is None:  # also where what it stands on was not measured, and so its own part is not known
        return TRUSTED if experiment.status is Status.KEEP else str(Outcome.CRASHED)
    if experiment.ported:
        return f"ported by {experiment.ported}"
    if experiment.adopted_from and experiment.step is None:
        return CARRIED
    if experiment.status is Status.KEEP and (row.gain or 0.0) > 0:  # what was taken on trust may have turned out worse
        held = HELD_TWICE if len(experiment.measurements) > 1 else HELD_ONCE
        return str(Outcome.CONFIRMED) if results.beyond_noise(row) else held
    return str(weigh(results.session.metric, claimed, row.delta, math.inf if row.error is None else row.error))


def adopted(adopted_from: str) -> tuple[str, str]:
    """(source, commit) of the trailer `owner/name#44 <sha>`; of all of a source, `<base>..<sha>`, its last commit."""
    place, _, label = adopted_from.rpartition(" ")
    return place, label.rpartition("..")[2]


def _short(adopted_from: str) -> str:
    """`owner/name#44 bea057b` of the trailer with the whole sha."""
    place, sha = adopted(adopted_from)
    return f"{place} {sha[:7]}" if place else adopted_from


def replications(results: Results, found: Sequence[Tried], again: Sequence[Replication]) -> Iterator[record.Replication]:
    """What a record tells of claims that were measured here: those of commits, not of ideas. A reader takes the last word on a
    source, so the commits of each are followed by what they came to together, and that by what was measured on purpose; of a
    source that was not tried whole there is no such word, and nothing is told."""
    platform, budget = results.session.platform, results.session.budget
    known = {str(outcome) for outcome in Outcome} - {str(Outcome.CRASHED)}
    sources = {place: several for place, several in by_source(found).items() if together(results, place, several)}
    for one in (one for several in sources.values() for one in several if one.result.experiment.step):
        place, sha = adopted(one.result.experiment.adopted_from)
        outcome = one.outcome if one.outcome in known else str(Outcome.NOT_RESOLVED)
        yield record.Replication(place, outcome, sha, platform, one.claimed, one.result.delta, budget)
    summed = [word for place, several in sources.items() if (word := together(results, place, several))]
    repeated = [replication for replication in again if replication.outcome is not Outcome.CRASHED]
    for told in (*summed, *sorted(repeated, key=lambda replication: replication.whole)):
        yield record.Replication(told.of, str(told.outcome), told.commit, platform, told.claimed, told.measured, budget)


def by_source(found: Sequence[Tried]) -> dict[str, list[Tried]]:
    """Source → what was adopted of it and measured, in order."""
    sources: dict[str, list[Tried]] = {}
    for one in found:
        if one.adopted and one.outcome != TRUSTED:
            sources.setdefault(one.result.experiment.adopted_from.rpartition(" ")[0], []).append(one)
    return sources


def together(results: Results, place: str, several: Sequence[Tried]) -> Replication | None:
    """The word on a source: what its commits gave here one after another, against what all of them were said to give. None where
    not every one that was kept there was tried from where it started, and then there is no word on it."""
    counted = _in_order(several)
    known = [one.result.delta for one in counted if one.result.delta is not None]
    if not counted or 0 < len(known) < len(counted):  # some of it crashed
        return None
    errors = [one.result.error for one in counted]
    error = math.inf if None in errors else math.sqrt(math.fsum((error or 0.0) ** 2 for error in errors))
    claims = [one.claimed for one in counted]
    claimed = None if None in claims else math.fsum(claim or 0.0 for claim in claims)
    measured = math.fsum(known)
    last = counted[-1].result.experiment
    outcome = weigh(results.session.metric, claimed, measured, error)
    sha = adopted(last.adopted_from)[1]
    return Replication(place, sha, last.description, outcome, claimed, measured if known else None, error)


def _in_order(several: Sequence[Tried]) -> list[Tried]:
    """Every kept commit of a source, tried from its own start, in order; or all of it at once. Empty where not all was tried so."""
    steps = {one.result.experiment.step: one for one in several if one.outcome != TRUSTED}
    for total in sorted({step[1] for step in steps if step}, reverse=True):
        wanted = [steps.get((number, total)) for number in range(1, total + 1)]
        found = [one for one in wanted if one]
        numbers = [one.result.experiment.number for one in found]
        if total and len(found) == total and numbers == sorted(numbers):
            return found
    return []


def references(
    ancestors: Sequence[Ancestor], found: Sequence[Tried], again: Sequence[Replication], told: Told
) -> tuple[Reference, ...]:
    """The work of others that a session grew from, took commits or ideas of, or measured again; each once, in that order."""
    hows: dict[str, list[str]] = {}
    for ancestor in ancestors:
        commits = f"{ancestor.commits} commit{'s' * (ancestor.commits != 1)}"
        hows.setdefault(ancestor.name, []).append(f"its base stands on {commits} of it, by {', '.join(ancestor.authors)}")
    for key, how in _given(found):
        hows.setdefault(key, []).append(how)
    for key in dict.fromkeys(replication.of for replication in again):
        outcome = next((r.word for r in reversed(again) if r.of == key and r.whole), None)
        hows.setdefault(key, []).append(f"measured again: {outcome}" if outcome else "measured again in parts")
    return tuple(Reference(key, "; ".join(how), *told(key)) for key, how in hows.items())


def _given(found: Iterable[Tried]) -> Iterator[tuple[str, str]]:
    counted: dict[tuple[str, bool], list[bool]] = {}
    for one in found:
        key = one.finding.rpartition(" ")[0] or one.finding
        counted.setdefault((key, one.adopted), []).append(one.result.experiment.status is Status.KEEP)
    for (key, adopted), kept in counted.items():
        what = "commit" if adopted else "idea"
        yield key, f"{len(kept)} {what}{'s' * (len(kept) != 1)} {'adopted' if adopted else 'tried'}, {sum(kept)} kept"
