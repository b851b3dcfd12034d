"""How numbers are written: the same way in papers, titles, pictures and on the way back, when a paper is checked."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

MINUS = "−"
_LARGEST = 1e10  # a number that is written out
_MOST_DECIMALS = 12  # more than these are not read: then it is a power of ten


def figure(value: float | None, digits: int | None = None) -> str:
    """A number with `digits` decimals, or else with as many as it needs."""
    if value is None or not math.isfinite(value):
        return "–" if value is None else str(value).replace("-", MINUS)
    digits = decimals([value]) if digits is None else digits
    if abs(value) >= _LARGEST or digits > _MOST_DECIMALS:
        return _scientific(value, digits).replace("-", MINUS)
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


def _scientific(value: float, digits: int) -> str:
    """`1.5e+12`, with no more digits than a double holds."""
    if not value:
        return "0"
    significant = min(15, max(2, _magnitude(value) + 1 + digits))
    mantissa, _, exponent = f"{value:.{significant - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"


def decimals(values: Iterable[float | None], apart: Iterable[float | None] = (), usual: int | None = None) -> int:
    """The decimals to write numbers of one kind with: `usual`, or more where one would not show two digits, or where one of
    `apart`, the differences between them, would not show. Usual are 6, or 6 digits in all from 1000 on."""
    sizes = [abs(v) for v in values if v and math.isfinite(v)]
    if usual is None:
        largest = max(sizes, default=0.0)
        usual = 6 if largest < 1000 else max(0, 5 - _magnitude(largest))
    digits = max([usual, *(1 - _magnitude(size) for size in sizes)])
    hidden = [abs(v) for v in apart if v and math.isfinite(v) and abs(v) < 10.0**-digits]
    return max([digits, *(1 - _magnitude(size) for size in hidden)])


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def change(delta: float | None, digits: int | None = None) -> str:
    """A difference, with its sign."""
    if delta is None:
        return "–"
    text = figure(abs(delta), digits)
    return f"{MINUS if delta < 0 else '+'}{text}"


def digits_for(error: float | None) -> int | None:
    """The decimals that show the width of an interval with two digits; None where there is none."""
    return max(0, 1 - _magnitude(error)) if error and math.isfinite(error) else None


def plus_minus(delta: float | None, error: float | None) -> str:
    """`−0.01190 ± 0.00050`: a difference with half the width of its interval, where that is known."""
    error = None if error is None or math.isinf(error) else error
    digits = digits_for(error)
    return f"{change(delta, digits)} ± {figure(error, digits)}" if delta is not None and error else change(delta, digits)


def count(number: int, word: str) -> str:
    """`1 experiment`, `7 experiments`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def listed(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *before, last = parts
    return f"{', '.join(before)} and {last}" if before else last


def day(seconds_since_epoch: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds_since_epoch))


def plain(value: object) -> str:
    """A figure as a run reported it, without digits that say nothing."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 10**15 else f"{value:.6g}"
    return "" if value is None else str(value)


def duration(seconds: float) -> str:
    """`42 s`, `5.5 min` or `7.5 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
