"""The shape of each optimum that was probed: the values of one constant that were tried, and what each of them gave. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoresearch_git.community import changes
from autoresearch_git.community.changes import Change
from autoresearch_git.experiment import Status
from autoresearch_git.publishing.results import Result, Results

LEAST_PROBES = 2


@dataclass(frozen=True)
class Probe:
    """One value that was tried, the one that it was moved from, and the experiment that tried it."""

    start: str
    value: str
    result: Result


@dataclass(frozen=True)
class Shape:
    """A constant that several experiments moved alone. `start` is its value at the baseline, `end` in the best; the probes
    stand in the order of their values, each with its change against the incumbent of its time."""

    name: str
    start: str
    end: str
    probes: tuple[Probe, ...]

    @property
    def groups(self) -> dict[str, list[Probe]]:
        """The probes by the value that they were moved from, the first first: only those of one group are held against the same."""
        in_time = sorted(self.probes, key=lambda probe: probe.result.experiment.number)
        starts = dict.fromkeys(probe.start for probe in in_time)
        return {start: [probe for probe in self.probes if probe.start == start] for start in starts}

    @property
    def open_end(self) -> str:
        """`largest` or `smallest` where the last kept value is the furthest that was tried that way; empty otherwise."""
        if self.start == self.end:
            return ""
        known = [changes.value(text) for text in (self.start, *(probe.value for probe in self.probes))]
        end = changes.value(self.end)
        numbers = [value for value in known if isinstance(value, (int, float))]
        if len(numbers) < len(known) or not isinstance(end, (int, float)):
            return ""
        return "largest" if end == max(numbers) else "smallest" if end == min(numbers) else ""


def shapes(results: Results, moved: Mapping[int, Sequence[Change]]) -> list[Shape]:
    """The constants that at least two experiments moved alone, those with the most probes first. `moved` are the changes of
    each experiment's diff, by its number."""
    alone: dict[str, list[tuple[Change, Result]]] = defaultdict(list)
    for row in results.rows:
        found = moved.get(row.experiment.number, ())
        if len(found) == 1 and found[0].literal:
            alone[found[0].key].append((found[0], row))
    told = [_shape(tried) for tried in alone.values() if len(tried) >= LEAST_PROBES]
    return sorted(told, key=lambda shape: (-len(shape.probes), shape.name))


def _shape(tried: Sequence[tuple[Change, Result]]) -> Shape:
    kept = [change.new for change, row in tried if row.experiment.status is Status.KEEP]
    start = tried[0][0].old
    probes = sorted((Probe(change.old, change.new, row) for change, row in tried), key=_place)
    return Shape(tried[0][0].name, start, kept[-1] if kept else start, tuple(probes))


def _place(probe: Probe) -> tuple[float, str, int]:
    value = changes.value(probe.value)
    number = float(value) if isinstance(value, (int, float)) else float("inf")
    return number, probe.value, probe.result.experiment.number
