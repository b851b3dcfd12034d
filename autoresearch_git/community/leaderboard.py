"""Who stands where: the findings of a hub that were measured alike, the best first.

`compare` asks whether a number may stand beside ours; here every finding is asked whether it may stand on the board of its own
kind: its platform, budget, evaluator and data, whichever they are. Two numbers share a board only where all four are equal, so
what is not told (the data, by a results table) is a kind of its own rather than a guess.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoresearch_git.community.comparable import Here, compare, measures_as, touched
from autoresearch_git.community.findings import Finding
from autoresearch_git.community.record import Replication

# (hub, author, session's identity), which a pull request has in common with its paper: nobody else's Discussion becomes one.
Paper = tuple[str, str, str]


@dataclass(frozen=True)
class Kind:
    """What the numbers of one board have in common besides the metric. `evaluator` is a short name for the files that measure;
    `data` is empty where nobody told it."""

    platform: str
    budget: float
    evaluator: str
    data: str


@dataclass(frozen=True)
class Entry:
    """One line of a board. `evidence` is `compare`'s, `paper` the address of the Discussion about the same session."""

    finding: Finding
    evidence: str
    paper: str = ""


@dataclass(frozen=True)
class Board:
    kind: Kind
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Leaderboard:
    """`evaluator` is the one of the hub's own head, `unranked` how many findings stand on no board."""

    boards: tuple[Board, ...]
    evaluator: str
    unranked: int


def leaderboard(
    findings: Iterable[Finding], here: Here, replications: Mapping[str, Sequence[Replication]], papers: Mapping[Paper, str]
) -> Leaderboard:
    """The boards of a hub whose head is `here`: those of its evaluator first, then by platform and budget. A branch that changes
    how the hub measures stands on none. `papers` are the addresses of Discussions."""
    everything = list(findings)
    placed: dict[Kind, list[Entry]] = {}
    for finding in everything:
        own = _own_place(finding, here)
        verdict = compare(finding, own, replications.get(finding.report.key, ()))
        if verdict.comparable and not touched(finding, here):
            paper = (finding.report.hub, finding.report.author, finding.record.identity)
            entry = Entry(finding, verdict.evidence, papers.get(paper, ""))
            placed.setdefault(_kind(own), []).append(entry)
    boards = [Board(kind, tuple(sorted(entries, key=_rank))) for kind, entries in placed.items()]
    ours = _name(here)
    boards.sort(key=lambda b: (b.kind.evaluator != ours, b.kind.platform.upper(), dataclasses.astuple(b.kind)))
    ranked = sum(len(board.entries) for board in boards)
    return Leaderboard(tuple(boards), ours, len(everything) - ranked)


def _own_place(finding: Finding, here: Here) -> Here:
    """Where the finding's own number means what it says: its platform, budget and data, its version of the files that measure."""
    files = {path: finding.files.get(path, blob) for path, blob in here.files.items()}
    return Here(here.metric, finding.platform, finding.budget or 0.0, files, finding.record.data)


def _kind(own: Here) -> Kind:
    return Kind(own.platform, own.budget, _name(own), own.data)


def _name(place: Here) -> str:
    rows = "\n".join(f"{path} {measures_as(blob)}" for path, blob in sorted(place.files.items()))
    return hashlib.sha256(rows.encode()).hexdigest()[:7] if rows else ""


def _rank(entry: Entry) -> tuple[float, str, str]:
    best = entry.finding.best or 0.0
    return best if entry.finding.metric.direction == "min" else -best, entry.finding.report.created, entry.finding.key
