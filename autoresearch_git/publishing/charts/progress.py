"""What a picture of a session shows, before anything is drawn: its dots, its running best, and the values worth looking at."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch_git.experiment import Experiment, Metric, Status
from autoresearch_git.plaintext import one_line

# Shares of the distance from the baseline to the best: how far the view reaches beyond the one and the other.
_WORSE = 0.6
_BETTER = 0.35
_MARGIN = 0.05
_NO_NUMBER = 1e300


@dataclass(frozen=True)
class Chart:
    """What is to be drawn. `noise_floor` is the gain that noise alone explains; infinite while nobody measured it."""

    title: str
    metric: Metric
    experiments: tuple[Experiment, ...]
    noise_floor: float = math.inf


@dataclass(frozen=True)
class Dot:
    """An experiment that has a value."""

    number: int
    value: float
    description: str


@dataclass(frozen=True)
class Progress:
    """A session's experiments by what became of them. `best` holds a dot for each time the running best improved, and begins
    with the baseline; `crashed` are the numbers of those without a value."""

    metric: Metric
    baseline: Dot | None
    kept: tuple[Dot, ...]
    discarded: tuple[Dot, ...]
    crashed: tuple[int, ...]
    best: tuple[Dot, ...]
    last: int
    tried: int
    noise_floor: float

    @property
    def dots(self) -> tuple[Dot, ...]:
        return (*((self.baseline,) if self.baseline else ()), *self.kept, *self.discarded)

    def outside(self, seen: View) -> int:
        """How many experiments have a value that the view does not show."""
        return sum(not seen.shows(dot.value) for dot in self.dots)

    def gains(self) -> dict[int, float]:
        """How much each kept experiment was better than the best before it, by number."""
        gains, best = {}, self.best[0].value if self.best else 0.0
        for dot in self.kept:
            gains[dot.number] = self.metric.gain(dot.value, best)
            best = best if gains[dot.number] < 0 else dot.value
        return gains


@dataclass(frozen=True)
class View:
    """The values that the picture shows, from `low` to `high`; what lies outside is marked at the edge."""

    low: float
    high: float

    def height(self, value: float) -> float:
        """Where a value stands: 0 at the lower edge, 1 at the upper."""
        return (value - self.low) / (self.high - self.low)

    def shows(self, value: float) -> bool:
        return self.low <= value <= self.high


def progress(chart: Chart) -> Progress:
    numbers = [e.number for e in chart.experiments]
    measured = [(e.status, dot) for e in chart.experiments if (dot := _dot(e))]
    baseline = next((dot for status, dot in measured if status is Status.BASELINE), None)
    kept = tuple(dot for status, dot in measured if status.advances and dot is not baseline)
    return Progress(
        metric=chart.metric,
        baseline=baseline,
        kept=kept,
        discarded=tuple(dot for status, dot in measured if not status.advances),
        crashed=tuple(sorted({*numbers} - {dot.number for _, dot in measured})),
        best=_running_best(chart.metric, [baseline, *kept] if baseline else kept),
        last=max(numbers, default=0),
        tried=len(numbers) - (baseline is not None),
        noise_floor=chart.noise_floor,
    )


def _dot(experiment: Experiment) -> Dot | None:
    value = experiment.value
    if experiment.status is Status.CRASH or value is None or not abs(value) < _NO_NUMBER:
        return None
    return Dot(experiment.number, value, one_line(experiment.description))


def _running_best(metric: Metric, advancing: Sequence[Dot]) -> tuple[Dot, ...]:
    best: list[Dot] = []
    for dot in advancing:
        if not best or metric.gain(dot.value, best[-1].value) > 0:
            best.append(dot)
    return tuple(best)


def view(shown: Progress, room: float = 0.0) -> View:
    """From somewhat beyond the best to somewhat beyond the baseline, so that one wild value does not flatten the rest.

    `room` is kept free beyond the best, as a share of the distance between both.
    """
    values = [dot.value for dot in shown.dots]
    anchor = shown.best[0].value if shown.best else statistics.median(values or [0.0])
    gains = [shown.metric.gain(value, anchor) for value in values]
    top = shown.metric.gain(shown.best[-1].value, anchor) if shown.best else 0.0
    unit = max(top or _spread(gains, shown.noise_floor) or abs(anchor) / 100, abs(anchor) * 1e-12) or 1.0
    band = min(shown.noise_floor, _BETTER * unit) if math.isfinite(shown.noise_floor) and shown.best else 0.0
    for reach in (unit, 2 * unit, 4 * unit, 8 * unit):
        inside = [gain for gain in gains if -_WORSE * reach <= gain <= top + _BETTER * reach]
        if 2 * len(inside) >= len(gains):
            break
    upper = max([*inside, top + band, top + room * unit]) + _MARGIN * reach
    lower = min([*inside, 0.0]) - 2 * _MARGIN * reach
    if shown.metric.direction == "min":
        return View(anchor - upper, anchor - lower)
    return View(anchor + lower, anchor + upper)


def _spread(gains: Sequence[float], noise_floor: float) -> float:
    """A unit for a session that gained nothing: how far its experiments lie from the baseline, as a rule; 0 if nothing tells."""
    apart = [abs(gain) for gain in gains if gain]
    if apart:
        return 2 * statistics.median(apart)
    return noise_floor if noise_floor < math.inf else 0.0
