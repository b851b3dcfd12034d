"""Whether a session still gets anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from autoresearch_git.experiment import Experiment

PLATEAU = 10  # experiments without a gain, after which another direction is due


def without_gain(experiments: Sequence[Experiment]) -> int:
    """How many experiments there were since the last that was kept."""
    return next((n for n, e in enumerate(reversed(experiments)) if e.status.advances), len(experiments))
