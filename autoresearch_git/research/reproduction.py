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
from typing import Any

from autoresearch_git.community.offers import Step
from autoresearch_git.experiment import Figure, Measurement
from autoresearch_git.lab.trial import Lab, Progress
from autoresearch_git.ledger.session import LiveSession
from autoresearch_git.ledger.written import write_whole
from autoresearch_git.noise import measured_noise
from autoresearch_git.replication import Outcome, Replication, difference, weigh
from autoresearch_git.research import pace


@dataclass
class Reproduction:
    """Measures steps of the source `key` for a session whose baseline was measured. `told` hears of each run before it starts:
    which arm, its number and of how many; `measured` of what it gave. `claimed_budget`: how long the runs of the source trained."""

    live: LiveSession
    lab: Lab
    key: str
    claimed_budget: float | None
    seeds: Sequence[int]
    machine: Mapping[str, Figure]
    told: Callable[[Step, str, int, int], None]
    progress: Callable[[Progress], None]
    measured: Callable[[Measurement], None]
    check: Callable[[Measurement], None] = lambda measurement: None  # raises where a run is of other data
    _runs: dict[str, Measurement] = field(default_factory=dict, init=False)
    _recorded: dict[str, str] = field(default_factory=dict, init=False)  # label of a step → its record

    def __post_init__(self) -> None:
        saved = _saved(self._path)
        if saved.get("of") == self._of:  # else it is of another reproduction, which was never ended
            self._runs = {key: Measurement(**run) for key, run in saved["runs"].items()}
            self._recorded = saved["recorded"]
        self._runs |= self._baseline_runs()

    def measure(self, step: Step) -> Replication:
        """The claim of one step, measured and recorded; what was recorded before is not measured again."""
        known = [r for r in self.live.book.replications if (r.of, r.commit, r.whole) == (self.key, step.sha, bool(step.base))]
        self._take_over(step, known)
        if step.label in self._recorded and known:
            return known[-1]
        replication = self._measured(step)
        data = str(self._first.figures.get("data", ""))
        files, harness = {**step.beside, **step.after}, self.lab.harness.fingerprint(data)
        self.live.record_replication(replication, files, step.author, harness, self.machine)
        self._recorded[step.label] = self.live.book.tip
        self._save()
        return replication

    def _take_over(self, step: Step, known: Sequence[Replication]) -> None:
        """With more seeds, those that it was measured with before are not run again."""
        for replication in known:
            for arm, runs in (("base", replication.base), ("tip", replication.tip)):
                text = _digest(_files(step, arm))
                self._runs = {**{f"{text} {run.seed}": run for run in runs if not run.crash}, **self._runs}

    def _measured(self, step: Step) -> Replication:
        runs: list[tuple[str, Measurement]] = []
        turns = [(arm, seed) for turn, seed in enumerate(self.seeds) for arm in (("tip", "base") if turn % 2 else ("base", "tip"))]
        for arm, seed in turns:
            if any(run.crash for _, run in runs):
                break
            self.told(step, arm, len(runs) + 1, len(turns))
            runs.append((arm, self._run(step, arm, seed, runs)))
            self.measured(runs[-1][1])
        return self._weighed(step, [run for arm, run in runs if arm == "base"], [run for arm, run in runs if arm == "tip"])

    def finish(self) -> None:
        """Everything is recorded: the next reproduction measures anew."""
        self._path.unlink(missing_ok=True)

    def _weighed(self, step: Step, base: Sequence[Measurement], tip: Sequence[Measurement]) -> Replication:
        metric, experiments = self.live.session.metric, self.live.book.experiments
        first = experiments[0].measurements
        known = measured_noise(experiments[1:] if any(run in first for run in base) else experiments)  # no run counts twice
        crashed = any(run.crash for run in (*base, *tip))
        change, error = (None, 0.0) if crashed else difference(base, tip, known)
        outcome = Outcome.CRASHED if change is None else weigh(metric, step.claimed, change, error)
        return Replication(
            self.key, step.sha, step.description, outcome, step.claimed, change, error, tuple(base), tuple(tip), bool(step.base),
            self.live.session.budget, self.claimed_budget,
        )  # fmt: skip

    def _run(self, step: Step, arm: str, seed: int, runs: Sequence[tuple[str, Measurement]]) -> Measurement:
        files = _files(step, arm)
        known = f"{_digest(files)} {seed}"
        if known not in self._runs:
            same = next((run for other, run in runs if other == arm), None)
            told = pace.told(same, next((run for _, run in runs), self._first), self._first)
            log = f"replication-{step.label[:40].replace('..', '-')}-{arm}-{seed}"
            run = self.lab.measure(log, self.live.session.base, files, seed, told, self.progress, foreign=True)
            self.check(run)
            self._runs[known] = run
            self._save()
        return self._runs[known]

    def _save(self) -> None:
        runs = {key: asdict(run) for key, run in self._runs.items()}
        write_whole(self._path, json.dumps({"of": self._of, "runs": runs, "recorded": self._recorded}))

    @property
    def _of(self) -> list[object]:
        """What tells one reproduction from another: runs are taken over within one only."""
        return [self.key, *self.seeds]

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


def _files(step: Step, arm: str) -> dict[str, str]:
    """The editable files as one of the two arms runs them."""
    return {**step.beside, **(step.before if arm == "base" else step.after)}


def _saved(path: Path) -> dict[str, Any]:
    try:
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return saved


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()
