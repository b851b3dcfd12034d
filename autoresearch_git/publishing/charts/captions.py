"""What a picture of a session says: its headline, the numbers along its axes, and labels of a length."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from autoresearch_git.experiment import Metric
from autoresearch_git.plaintext import one_line
from autoresearch_git.publishing.charts.progress import Progress

_MOST_DECIMALS = 6
_LARGEST = 1e10  # a number that is written out


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers from `low` to `high`, evenly apart."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10, 20) if m * power >= rough)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def numbers_along(last: int, most: int) -> list[int]:
    """At most `most` numbers of experiments to write below a picture, from 0."""
    step = next(m * 10**power for power in range(20) for m in (1, 2, 5) if m * 10**power * most >= last)
    return list(range(0, last + 1, step))


def figures(values: Sequence[float]) -> list[str]:
    """Numbers as a reader compares them: with the same decimals, as few as tell them apart."""
    largest = max((abs(v) for v in values), default=0.0)
    apart = min((abs(a - b) for a in values for b in values if a != b), default=largest)
    if largest >= _LARGEST or 0 < apart < 10**-_MOST_DECIMALS:
        digits = max(4, min(17, math.ceil(math.log10(largest) - math.log10(apart)) + 2))
        return [f"{v:.{digits}g}".replace("-", "−") for v in values]
    needed = (len(f"{v:.{_MOST_DECIMALS}f}".rstrip("0").partition(".")[2]) for v in values)
    decimals = max(needed, default=0)
    return [f"{round(v, decimals) + 0.0:.{decimals}f}".replace("-", "−") for v in values]


def headline(shown: Progress) -> str:
    """Metric, start → best, and in how many experiments."""
    name = one_line(shown.metric.name, 40)
    if not shown.dots and not shown.crashed:
        return f"{name}: no experiment yet"
    count = f"{shown.tried} experiment{'' if shown.tried == 1 else 's'}"
    if not shown.best:
        return f"{name}: nothing kept in {count}"
    first, last = shown.best[0].value, shown.best[-1].value
    if first == last:
        return f"{name} {figures([first])[0]}, {f'no gain in {count}' if shown.tried else 'the baseline'}"
    start, end, change = figures([first, last, last - first])
    return f"{name} {start} → {end} ({'+' if last > first else ''}{change}) in {count}"


def better(metric: Metric) -> str:
    return "lower is better" if metric.direction == "min" else "higher is better"


def short(description: str, length: int) -> str:
    """A description as a label: where it is long, without a tag before it and what comes after a dash, cut at a word."""
    text = one_line(description)
    if len(text) > length:
        text = re.sub(r"^\[[^\]]*\]\s*(?=\S)", "", text)
        text = re.split(r"(?<=\S)\s+(?:[—–(]|-+\s)|[;,:]\s", text, maxsplit=1)[0]
    if len(text) <= length:
        return text
    cut = text[: length - 1]
    return (cut.rpartition(" ")[0] if " " in cut[length // 2 :] else cut).rstrip(" ,;:") + "…"
