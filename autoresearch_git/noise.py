"""How much the metric moves on its own.

The standard deviation of single runs is pooled over every experiment that was measured with several seeds: the baseline
first, later every confirmed or refuted gain. It starts with one or two degrees of freedom, so the threshold that a gain
must pass uses Student's t instead of pretending that the deviation is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoresearch_git.experiment import Experiment

# 95 % quantiles of Student's t by degrees of freedom; beyond the table the value of the last smaller entry is used.
_T95 = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895, 8: 1.860, 10: 1.812, 15: 1.753, 30: 1.697,
        100: 1.660}  # fmt: skip


@dataclass(frozen=True)
class Noise:
    """`sd` is the pooled standard deviation of one run, in the metric's unit; `degrees` how many differences it rests on."""

    sd: float
    degrees: int

    @property
    def floor(self) -> float:
        """The gain of one run over another that noise alone exceeds in one of twenty cases; infinite while unmeasured."""
        return self.bound(1, 1)

    def bound(self, runs: int, others: int) -> float:
        """The same of the mean of some runs over the mean of others.

        t₀.₉₅(degrees) · √(1/runs + 1/others) · sd: the one-sided prediction bound for that difference, and so half the width of
        its 90 % interval.
        """
        if self.degrees == 0:
            return math.inf
        quantile = _T95[max(d for d in _T95 if d <= self.degrees)]
        return quantile * math.sqrt(1 / runs + 1 / others) * self.sd


def measured_noise(experiments: Iterable[Experiment]) -> Noise:
    """The noise as the experiments that were measured several times show it."""
    return pooled([m.value for m in e.measurements if m.value is not None] for e in experiments)


def pooled(groups: Iterable[Sequence[float]], known: Noise = Noise(0.0, 0)) -> Noise:
    """The noise that is `known`, with what further groups of runs show, each of one text."""
    squares, degrees = known.degrees * known.sd**2, known.degrees
    for values in groups:
        if len(values) > 1:
            mean = math.fsum(values) / len(values)
            squares += math.fsum((v - mean) ** 2 for v in values)
            degrees += len(values) - 1
    return Noise(math.sqrt(squares / degrees) if degrees else 0.0, degrees)
