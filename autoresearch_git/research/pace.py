"""What a harness is told whose budget is a number of steps.

As many as the same text had before, or else about as many as another text, at the pace that the baseline set. The pace is
relative to a fixed piece of work, so a machine that is busier now than then does not look like a slower idea.
"""

from __future__ import annotations

from autoresearch_git.experiment import Measurement


def told(before: Measurement | None, other: Measurement | None, first: Measurement | None) -> dict[str, str]:
    """Environment for a run. `before` is an earlier run of the same text, `other` a run of the text it is compared with, `first`
    the baseline's first run; each None where there is none."""
    if before:
        planned = _number(before, "planned_steps")
        return {} if planned is None else {"AUTORESEARCH_STEPS": f"{planned:.0f}"}
    planned = _number(other, "planned_steps") if other else None
    if planned is None or first is None:
        return {}
    steps, cost = _number(first, "planned_steps"), _number(first, "step_cost")
    pace = {"AUTORESEARCH_PACE": f"{steps:.0f}@{cost!r}"} if steps and cost else {}
    return {"AUTORESEARCH_STEPS": f"~{planned:.0f}", **pace}


def _number(measurement: Measurement, figure: str) -> float | None:
    value = measurement.figures.get(figure)
    return float(value) if isinstance(value, (int, float)) else None
