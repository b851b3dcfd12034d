"""From a run's output and the harness channel to a number, or to one line that says why there is none. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from autoresearch_git.experiment import Figure

_FIGURE = re.compile(r"^([A-Za-z_][\w.%/-]*):[ \t]+(\S.*?)\s*$")
_NUMBER = re.compile(r"[-+]?((\d+|\d{1,3}(,\d{3})+)(\.\d*)?(e[-+]?\d+)?|\.\d+(e[-+]?\d+)?|inf|nan|infinity)%?$", re.IGNORECASE)
_TRACEBACK = re.compile(r"^(Traceback \(most recent call last\):|  \+ Exception Group Traceback)")
TRACEBACK_LIMIT = 3000  # characters of output kept with a crash

# What only the harness may say: the edited file prints, too.
HARNESS_FIGURES = ("data", "planned_steps", "step_cost", "budget_seconds", "device_class", "sandbox")


@dataclass(frozen=True)
class Outcome:
    """What a run said. `value` is None where it gave no valid number; then `crash` says why."""

    value: float | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    channel: str = "summary"
    crash: str = ""


def lines(output: str) -> list[str]:
    """Output as a person saw it: a progress line that was drawn over itself counts as the lines it showed."""
    return [line for line in re.split(r"[\r\n]+", output) if line.strip()]


def _number(text: str) -> float | None:
    return float(text.rstrip("%").replace(",", "")) if _NUMBER.match(text) else None


def _figures(block: list[str]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for line in block:
        match = _FIGURE.match(line)
        if not match:
            break
        number = _number(match[2])
        twice = match[1] in found
        found[match[1]] = "said twice" if twice else match[2][:80] if number is None else number
    return found


def parse_summary(output: str, metric: str) -> Outcome:
    """The metric and the other figures from exactly one `---` block, or else from the one `metric: value` line."""
    shown = lines(output)
    blocks = [_figures(shown[i + 1 :]) for i, line in enumerate(shown) if line.strip() == "---"]
    blocks = [block for block in blocks if block]
    if blocks:
        holding = [block for block in blocks if metric in block]
        if not holding:
            return Outcome(crash=f"the summary has no {metric}")
        if len(holding) > 1:
            return Outcome(crash=f"{len(holding)} summary blocks with {metric}, not one")
        return _checked(holding[0], metric, "summary")
    values = [m[2] for m in map(_FIGURE.match, shown) if m and m[1] == metric]
    if not values:
        return Outcome(crash=f"the run printed no {metric}")
    if len(values) > 1:
        return Outcome(crash=f"the run printed {metric} {len(values)} times, not once")
    return _checked(_figures([f"{metric}: {values[0]}"]), metric, "summary")


def parse_channel(text: str, metric: str) -> Outcome:
    """The metric and figures from the harness channel: exactly one JSON line."""
    rows = [line for line in text.splitlines() if line.strip()]
    if len(rows) != 1:
        return Outcome(crash=f"the evaluation ran {len(rows)} times, not once", channel="harness")
    try:
        fields = json.loads(rows[0])
    except json.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict) or metric not in fields:
        return Outcome(crash=f"the harness channel has no {metric}", channel="harness")
    plain: dict[str, Figure] = {str(k): v for k, v in fields.items() if isinstance(v, (int, float, str, bool))}
    return _checked(plain, metric, "harness")


def _checked(figures: dict[str, Figure], metric: str, channel: str) -> Outcome:
    value = figures.pop(metric, None)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Outcome(None, figures, channel, f"{metric} is not a number: {value}")
    if not (abs(value) < 1e300):
        return Outcome(None, figures, channel, f"{metric} is {value}")
    return Outcome(float(value), {k: v for k, v in figures.items() if _recordable(v)}, channel)


def _recordable(figure: Figure) -> bool:
    """A finite number of sane size, or printable text."""
    if isinstance(figure, str):
        return figure.isprintable()
    return figure is not None and abs(figure) < 1e300 if not isinstance(figure, bool) else True


def combine(channel: Outcome, summary: Outcome, metric: str) -> Outcome:
    """The harness's number, cross-checked with what the run printed."""
    if channel.crash:
        return channel
    if summary.crash or summary.value is None or channel.value is None:
        return Outcome(None, channel.figures, "harness", summary.crash)
    if not math.isclose(channel.value, summary.value, rel_tol=1e-5, abs_tol=1e-6):
        said = f"the run printed {metric} {summary.value:.6f}, the harness measured {channel.value:.6f}"
        return Outcome(None, channel.figures, "harness", said)
    printed = {k: v for k, v in summary.figures.items() if k not in HARNESS_FIGURES}
    return Outcome(channel.value, {**printed, **channel.figures}, "harness")


def check_budget(figures: Mapping[str, Figure], budget: float, wall_seconds: float) -> str:
    """Why these figures are not those of one whole run under the budget; empty where they are.

    Where the harness keeps the clock, a run must use it up. Where the edited file prints its own time, only an overrun
    tells: more than a tenth over the budget, as one step more is a matter of course.
    """
    trained, steps, planned = (figures.get(k) for k in ("training_seconds", "num_steps", "planned_steps"))
    if isinstance(planned, (int, float)):  # the harness turned the budget into a number of steps
        return "" if steps == planned else f"ended early: {steps} of {planned} steps"
    if not isinstance(trained, (int, float)):
        return "the run never used the harness's clock" if figures.get("budget_seconds") is not None else ""
    if trained > 1.1 * budget + 2:
        return f"overran: trained for {trained:g} s of {budget:g} s"
    if figures.get("budget_seconds") is not None and trained < 0.95 * budget:
        return f"ended early: trained for {trained:g} s of {budget:g} s"
    if figures.get("budget_seconds") is not None and trained > wall_seconds + 1:
        return f"claims {trained:g} s of training in {wall_seconds:.1f} s"
    return ""


def crash_reason(output: str, returncode: int | None) -> tuple[str, str]:
    """One line that says why a run failed, and the end of its output: the last traceback, if there is one."""
    rows = [line.rstrip() for line in re.split(r"[\r\n]+", output)]
    starts = [i for i, line in enumerate(rows) if _TRACEBACK.match(line)]
    tail = [r for r in (rows[starts[-1] :] if starts else rows) if r][-60:]
    text = "\n".join(tail)[-TRACEBACK_LIMIT:]
    named = [line for line in tail if re.match(r"^[\w.]*(Error|Exception|Interrupt|Exit)\b|^error:", line)]
    signalled = returncode is not None and returncode < 0
    last = (named or tail or [""])[-1][:160].strip()
    how = f"killed by signal {-(returncode or 0)}" if signalled else f"exit code {returncode}"
    return (f"{how}: {last}" if last else how), text
