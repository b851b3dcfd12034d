"""Measure a claim again: the text before it and the text with it, on the same seeds, in turns.

Taking turns keeps a machine that grows warm or busy from favouring one of the two. Every run is kept as soon as it ends: what
is interrupted goes on where it was, and a text that was measured with a seed is not measured with it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from autoresearch_git.community.offers import Step
from autoresearch_git.experiment import Figure, Measurement
from autoresearch_git.lab.trial import Lab, Progress
from autoresearch_git.ledger.session import LiveSession
from autoresearch_git.noise import measured_noise
from autoresearch_git.replication import Outcome, Replication, difference, weigh
from autoresearch_git.research import pace


@dataclass
class Reproduction:
    """Measures steps of the source `key` for a session whose baseline was measured. `told` hears of each run before it starts:
    which arm, its number and of how many; `measured` of what it gave."""

    live: LiveSession
    lab: Lab
    key: str
    seeds: Sequence[int]
    machine: Mapping[str, Figure]
    told: Callable[[Step, str, int, int], None]
    progress: Callable[[Progress], None]
    measured: Callable[[Measurement], None]
    _runs: dict[str, Measurement] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._runs = {**self._baseline_runs(), **_saved(self._path)}

    def measure(self, step: Step, whole: bool) -> Replication:
        """The claim of one step, measured and recorded. `whole`: it is that of a whole branch."""
        runs: list[tuple[str, Measurement]] = []
        turns = [(arm, seed) for turn, seed in enumerate(self.seeds) for arm in (("tip", "base") if turn % 2 else ("base", "tip"))]
        for arm, seed in turns:
            if any(run.crash for _, run in runs):
                break
            self.told(step, arm, len(runs) + 1, len(turns))
            runs.append((arm, self._run(step, arm, seed, runs)))
            self.measured(runs[-1][1])
        replication = self._weighed(
            step, [run for arm, run in runs if arm == "base"], [run for arm, run in runs if arm == "tip"], whole
        )
        data = str(self._first.figures.get("data", ""))
        self.live.record_replication(replication, step.after, step.author, self.lab.harness.fingerprint(data), self.machine)
        return replication

    def finish(self) -> None:
        """Everything is recorded: the next reproduction measures anew."""
        self._path.unlink(missing_ok=True)

    def _weighed(self, step: Step, base: Sequence[Measurement], tip: Sequence[Measurement], whole: bool) -> Replication:
        metric, noise = self.live.session.metric, measured_noise(self.live.book.experiments)
        crashed = any(run.crash for run in (*base, *tip))
        change, error = (None, 0.0) if crashed else difference(base, tip, noise)
        outcome = Outcome.CRASHED if change is None else weigh(metric, step.claimed, change, error)
        return Replication(
            self.key, step.sha, step.description, outcome, step.claimed, change, error, tuple(base), tuple(tip), whole
        )

    def _run(self, step: Step, arm: str, seed: int, runs: Sequence[tuple[str, Measurement]]) -> Measurement:
        files = step.before if arm == "base" else step.after
        known = f"{_digest(files)} {seed}"
        if known not in self._runs:
            same = next((run for other, run in runs if other == arm), None)
            told = pace.told(same, next((run for _, run in runs), self._first), self._first)
            log = f"replication-{step.sha[:10]}-{arm}-{seed}"
            self._runs[known] = self.lab.measure(log, self.live.session.base, files, seed, told, self.progress, foreign=True)
            self._path.write_text(json.dumps({key: asdict(run) for key, run in self._runs.items()}), encoding="utf-8")
        return self._runs[known]

    @property
    def _first(self) -> Measurement:
        return self.live.book.experiments[0].measurements[0]

    @property
    def _path(self) -> Path:
        return self.live.folder / "replication.json"

    def _baseline_runs(self) -> dict[str, Measurement]:
        """The baseline's runs: mostly what a claim starts from is what the session started from."""
        session = self.live.session
        texts = ((path, self.live.repository.read_file(session.base, path)) for path in session.editable)
        files = {path: content.decode() for path, content in texts if content is not None}
        return {f"{_digest(files)} {m.seed}": m for m in self.live.book.experiments[0].measurements}


def _saved(path: Path) -> dict[str, Measurement]:
    try:
        return {key: Measurement(**fields) for key, fields in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError):
        return {}


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()
