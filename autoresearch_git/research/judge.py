"""Keep, discard or measure again. Pure.

`strict` is upstream's rule: better is kept, equal is discarded. `confirmed` keeps a gain above the noise at once; a
smaller one is measured again with another seed before it may advance the branch, and the number that is kept is the
confirming one: the first was picked because it looked good. What is compared is always the number that the incumbent is
remembered by, so the kept chain improves from commit to commit. A number that no one change can give is discarded.

A change that takes code away may be kept without a gain: where its runs show no loss that could be told from noise. They are held
against the best number that was ever kept, so that many such steps cannot lose together what one may not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch_git.community.plausible import doubt
from autoresearch_git.experiment import Experiment, Measurement, Metric, Status, Verdict
from autoresearch_git.noise import Noise

SMALL_LOSS = 0.5  # deviations of one run


@dataclass(frozen=True)
class MeasureAgain:
    """The judge wants one more run, with this seed."""

    seed: int
    reason: str


def first_seed(incumbent: Experiment) -> int:
    """The seed to try a candidate with: the one that gave the incumbent its number, so that both share its luck."""
    runs = incumbent.measurements
    return (runs[0] if incumbent.status is Status.BASELINE else runs[-1]).seed


def judge_baseline(measurements: Sequence[Measurement], runs: int) -> Verdict | MeasureAgain:
    """The baseline is measured `runs` times; its number is the mean. A crash is a crash."""
    crash = next((m.crash for m in measurements if m.crash), "")
    if crash:
        return Verdict(Status.CRASH, None, crash)
    if len(measurements) < runs:
        return MeasureAgain(measurements[-1].seed + 1, f"baseline run {len(measurements) + 1} of {runs}")
    values = [m.value for m in measurements if m.value is not None]
    return Verdict(Status.BASELINE, math.fsum(values) / len(values), f"mean of {len(values)} runs")


@dataclass(frozen=True)
class Simplification:
    """A candidate that takes `lines` of code away; `best` is the best number that was ever kept."""

    lines: int
    best: float


def judge(
    rule: str,
    metric: Metric,
    incumbent: Experiment,
    measurements: Sequence[Measurement],
    noise: Noise,
    simpler: Simplification | None = None,
) -> Verdict | MeasureAgain:
    """The verdict on a candidate after one or two runs; `incumbent` is what it was tried on, `simpler` tells that it is simpler."""
    last = measurements[-1]
    if last.value is None:
        return Verdict(Status.CRASH, None, last.crash)
    assert incumbent.value is not None
    implausible = doubt(metric, incumbent.value, last.value)
    if implausible:
        return Verdict(Status.DISCARD, last.value, f"implausible: {implausible}")
    gain = metric.gain(last.value, incumbent.value)
    if gain <= 0 and simpler and (ruling := _judge_simpler(metric, measurements, noise, simpler)):
        return ruling
    if gain <= 0:
        again = f" on seed {last.seed}, the second run" if len(measurements) > 1 else ""
        return Verdict(Status.DISCARD, last.value, f"{-gain:.6g} worse{again}" if gain else f"no better{again}")
    if rule == "strict":
        return Verdict(Status.KEEP, last.value, f"{gain:.6g} better")
    if len(measurements) > 1:
        return Verdict(Status.KEEP, last.value, f"{gain:.6g} better on seed {last.seed}, the confirming run")
    if gain >= noise.floor:
        return Verdict(Status.KEEP, last.value, f"{gain:.6g} better, above the noise of {noise.floor:.2g}")
    floor = "not known yet" if math.isinf(noise.floor) else f"{noise.floor:.2g}"
    return MeasureAgain(last.seed + 1, f"{gain:.6g} better; the noise is {floor}")


def _judge_simpler(
    metric: Metric, measurements: Sequence[Measurement], noise: Noise, simpler: Simplification
) -> Verdict | MeasureAgain | None:
    """Keep it where the mean of two runs is at most half a deviation of one run below the best; None where it lost too much."""
    values = [m.value for m in measurements if m.value is not None]
    mean = math.fsum(values) / len(values)
    loss = -metric.gain(mean, simpler.best)
    if loss > SMALL_LOSS * noise.sd:
        return None
    lines = f"{simpler.lines} line{'s' * (simpler.lines != 1)} fewer"
    if len(values) == 1:
        return MeasureAgain(measurements[-1].seed + 1, f"{lines}, and no worse")
    return Verdict(Status.KEEP, values[-1], f"{lines}, and no worse in {len(values)} runs")
