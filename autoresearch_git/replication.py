"""A claim measured again: how sure the difference is, and the word for what came out.

The difference of two means is compared with nothing and with the claim. Its error is a one-sided 95 % bound, t₀.₉₅(degrees) ·
sd · √(1/n + 1/m), with the deviation of single runs pooled over every text that was measured with several seeds.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoresearch_git.experiment import Measurement, Metric
from autoresearch_git.noise import Noise, pooled


class Outcome(str, enum.Enum):
    """What became of a claim. In a record and in a paper it stands as this word."""

    CONFIRMED = "confirmed"  # better here, as was claimed, and not by chance
    NOT_RESOLVED = "not resolved"  # both nothing and what was claimed are still possible
    NOT_REPRODUCED = "not reproduced"  # what was claimed is ruled out; nothing is not
    CONTRADICTED = "contradicted"  # worse here, and not by chance
    CRASHED = "crashed"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Replication:
    """A claim and what was measured here. `of` is the finding's key and `commit` what was measured; `claimed` and `measured` are
    changes of the metric itself, `error` belongs to `measured`: infinite where nobody measured the noise. `budget_seconds` is how
    long each run was to train here, `claimed_budget_seconds` how long those of the claim; None where that is not known."""

    of: str
    commit: str
    description: str
    outcome: Outcome
    claimed: float | None
    measured: float | None
    error: float
    base: tuple[Measurement, ...] = ()
    tip: tuple[Measurement, ...] = ()
    whole: bool = False  # the claim of a whole branch, not of one commit
    budget_seconds: float | None = None
    claimed_budget_seconds: float | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.tip)

    @property
    def at_another_budget(self) -> bool:
        """Whether the claim's runs are known to train for another time: then it is another number."""
        theirs, ours = self.claimed_budget_seconds, self.budget_seconds
        return theirs is not None and ours is not None and theirs != ours

    @property
    def word(self) -> str:
        """The outcome, with what it is an outcome of where that is not what was claimed."""
        other = f" at {self.budget_seconds:g} s a run, not {self.claimed_budget_seconds:g} s" if self.at_another_budget else ""
        return f"{self.outcome}{other}"


def in_order(again: Iterable[Replication]) -> tuple[Replication, ...]:
    """Replications such that the last of each text is the one that tells most: by number of runs. What was measured with the same
    seeds already says nothing new, and is left out."""
    first: dict[object, int] = {}
    told: dict[object, Replication] = {}
    for place, one in enumerate(again):
        first.setdefault((one.of, one.commit, one.whole), place)
        told.setdefault((one.of, one.commit, one.whole, one.seeds, one.outcome is Outcome.CRASHED), one)
    return tuple(sorted(told.values(), key=lambda one: (first[one.of, one.commit, one.whole], len(one.tip))))


def weigh(metric: Metric, claimed: float | None, measured: float, error: float) -> Outcome:
    """The word for a change that was measured with an error, and claimed to be another; both as the metric's own change."""
    gain, promised = metric.gain(measured, 0.0), None if claimed is None else metric.gain(claimed, 0.0)
    if promised is not None and promised < 0:  # a loss can be claimed, too, and be true
        gain, promised = -gain, -promised
    if gain - error > 0:
        return Outcome.CONFIRMED
    if gain + error < 0:
        return Outcome.CONTRADICTED
    return Outcome.NOT_REPRODUCED if promised is not None and gain + error < promised else Outcome.NOT_RESOLVED


def difference(base: Sequence[Measurement], tip: Sequence[Measurement], known: Noise) -> tuple[float, float]:
    """(mean of `tip` − mean of `base`, its error), where every run has a value. `known` is the noise measured on other texts."""
    first, last = _values(base), _values(tip)
    error = pooled([first, last], known).bound(len(last), len(first))
    return math.fsum(last) / len(last) - math.fsum(first) / len(first), error


def _values(runs: Sequence[Measurement]) -> list[float]:
    return [m.value for m in runs if m.value is not None]
