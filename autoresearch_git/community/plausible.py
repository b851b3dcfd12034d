"""Numbers that cannot be what they are called, whoever reports them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from autoresearch_git.experiment import Metric
from autoresearch_git.ledger.tables import way

LEAST_BPB = 0.5  # half of what the best published runs reach; autoresearch-at-home refuses the same
OUT_OF_REACH = 0.8  # bits per byte; nobody has published less, so one step cannot gain most of what is left above it
LEAST_JUMP = 0.1


def _is_bpb(metric: Metric) -> bool:
    return "bpb" in metric.name.lower()


def largest_step(metric: Metric, before: float) -> float | None:
    """The largest gain of one change that is believed without a second look. On a large GPU (0.998) 0.1; a small one, far from
    what is possible, may gain more: −0.73 from 2.6 was real. None for metrics of which nothing is known."""
    return max(LEAST_JUMP, 0.4 * (before - OUT_OF_REACH)) if _is_bpb(metric) else None


def doubt(metric: Metric, before: float, value: float) -> str:
    """Why one change cannot have taken the metric from `before` to `value`; empty where it can. Of other metrics than bits
    per byte nothing is known."""
    limit = largest_step(metric, before)
    if limit is None:
        return ""
    if not (math.isfinite(value) and value > 0):
        return f"a {metric.name} of {value:g} is no number of bits"
    gain = metric.gain(value, before)
    return f"one change is said to take {metric.name} from {before:.6g} to {value:.6g}" if gain > limit else ""


def doubts(metric: Metric, baseline: float | None, best: float | None, kept: Iterable[float]) -> list[str]:
    """Why the values of one finding cannot be believed; `kept` are the baseline's and each kept change's, in order."""
    found = []
    values = [v for v in (baseline, best, *kept) if v is not None]
    if any(not math.isfinite(v) for v in values):
        found.append(f"a {metric.name} that is no finite number")
    lowest = min(values, default=1.0)
    if lowest <= 0 and way(metric.name) == "min":
        found.append(f"{metric.name} {lowest:g} is not above zero")
    elif _is_bpb(metric) and lowest < LEAST_BPB:
        found.append(f"{metric.name} {lowest:g} is below {LEAST_BPB:g}, which no model of this size reaches")
    before: float | None = None
    for value in kept:
        limit = None if before is None else largest_step(metric, before)
        if limit is not None and before is not None and metric.gain(value, before) > limit:
            found.append(f"one change is said to take {metric.name} from {before:g} to {value:g}")
            break
        before = value if before is None or metric.gain(value, before) > 0 else before
    return found
