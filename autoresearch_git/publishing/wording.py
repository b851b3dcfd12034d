"""How numbers are written: the same way in papers, titles, pictures and on the way back, when a paper is checked."""

from __future__ import annotations

import math
import time

MINUS = "−"


def figure(value: float | None, digits: int = 6) -> str:
    """A number with `digits` decimals; with as many significant digits where decimals would show nothing, or far too much."""
    if value is None:
        return "–"
    shows = abs(value) < 1000 and (value == 0 or round(abs(value), digits) > 0)
    return (f"{value:.{digits}f}" if shows else f"{value:.{max(digits, 2)}g}").replace("-", MINUS)


def change(delta: float | None, digits: int = 6) -> str:
    """A difference, with its sign."""
    if delta is None:
        return "–"
    text = figure(abs(delta), digits)
    return f"{MINUS if delta < 0 else '+'}{text}"


def digits_for(error: float | None) -> int:
    """The decimals that show a standard error with two digits, from 2 to 6; 6 where it is not known."""
    if not error or not math.isfinite(error):
        return 6
    return min(6, max(2, 1 - math.floor(math.log10(error))))


def plus_minus(delta: float | None, error: float | None) -> str:
    """`−0.0119 ± 0.0005`: a difference with its standard error."""
    digits = digits_for(error)
    return f"{change(delta, digits)} ± {figure(error, digits)}" if delta is not None and error else change(delta, digits)


def count(number: int, word: str) -> str:
    """`1 experiment`, `7 experiments`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


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
