"""A session's experiments with what follows from them: each change against the incumbent it was tried on, and how sure it is.

Pure. Every number of a paper comes from here, and so from the notebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch_git.experiment import Experiment, Session, Status
from autoresearch_git.noise import Noise, measured_noise

_ROUNDING = 1e-14  # of a number: what equal runs differ by when their mean is taken


@dataclass(frozen=True)
class Result:
    """One experiment. `delta` is the metric's change against the incumbent, `gain` the same with its sign such that more is
    better; `error` is how far chance alone moves that difference: half the width of its 90 % interval. None where it crashed, or
    the noise was not measured."""

    experiment: Experiment
    delta: float | None = None
    gain: float | None = None
    error: float | None = None


@dataclass(frozen=True)
class Results:
    """A whole session: its baseline, the experiments after it, and the noise of one run as they measured it."""

    session: Session
    baseline: Experiment
    rows: tuple[Result, ...]
    noise: Noise

    @property
    def best(self) -> Experiment:
        """The incumbent at the end; the baseline where nothing was kept."""
        return next((r.experiment for r in reversed(self.rows) if r.experiment.status is Status.KEEP), self.baseline)

    @property
    def unmeasured(self) -> bool:
        """Whether the best was taken on trust, and nobody has measured it."""
        return self.best.value is None

    @property
    def total(self) -> Result:
        """From the baseline to the best."""
        return _against(self.session, self.best, self.baseline, self.noise)

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        return (self.baseline, *(row.experiment for row in self.rows))

    @property
    def kept(self) -> list[Result]:
        return self._of(Status.KEEP)

    @property
    def discarded(self) -> list[Result]:
        return self._of(Status.DISCARD)

    @property
    def crashed(self) -> list[Result]:
        return self._of(Status.CRASH)

    @property
    def not_kept(self) -> list[str]:
        """How many of each other outcome there are, as words; nothing of what there is none of."""
        counted = ((self.discarded, "discarded"), (self.crashed, "crashed"))
        return [f"the {len(rows)} {word}" if len(rows) > 1 else f"the {word}" for rows, word in counted if rows]

    def _of(self, status: Status) -> list[Result]:
        return [row for row in self.rows if row.experiment.status is status]

    @property
    def measured(self) -> bool:
        """Whether the noise of one run is known: something was measured twice."""
        return self.noise.degrees > 0

    def within_noise(self, row: Result) -> bool:
        """Whether chance alone moves the metric as far; False where nobody measured how far that is."""
        return row.gain is not None and row.error is not None and abs(row.gain) <= row.error

    def beyond_noise(self, row: Result) -> bool:
        """Whether the metric moved further than chance alone moves it; False where nobody measured how far that is."""
        return row.gain is not None and row.error is not None and abs(row.gain) > row.error


def of(session: Session, experiments: Sequence[Experiment]) -> Results:
    """The results of a session that has its baseline."""
    noise = measured_noise(experiments)
    incumbent = experiments[0]
    rows = []
    for experiment in experiments[1:]:
        rows.append(_against(session, experiment, incumbent, noise))
        incumbent = experiment if experiment.status.advances else incumbent
    return Results(session, experiments[0], tuple(rows), noise)


def _against(session: Session, experiment: Experiment, incumbent: Experiment, noise: Noise) -> Result:
    if experiment.value is None or incumbent.value is None:
        return Result(experiment)
    error = noise.bound(_runs(experiment), _runs(incumbent)) if noise.degrees else None
    if error and error < _ROUNDING * abs(experiment.value):
        error = 0.0
    gain = session.metric.gain(experiment.value, incumbent.value)
    return Result(experiment, experiment.value - incumbent.value, gain, error if experiment is not incumbent else 0.0)


def _runs(experiment: Experiment) -> int:
    """Runs that the remembered number is the mean of: all of a baseline's, one of any other experiment's."""
    return max(1, len(experiment.measurements)) if experiment.status is Status.BASELINE else 1
