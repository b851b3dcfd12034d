"""One training run under the budget: put the files in place, run, watch, parse what came out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.experiment import Figure, Measurement, Session
from autoresearch_git.lab import outcome, process
from autoresearch_git.lab.harness import Harness
from autoresearch_git.repository import Worktree

_TAIL = 4096  # bytes of the log looked at for progress
_STEP = re.compile(r"\bstep\s+(\d+)", re.IGNORECASE)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s?%")
_LOSS = re.compile(r"\bloss:?\s*([-+\d.eE]+)")
_RATE = re.compile(r"\btok(?:ens)?/s(?:ec)?:?\s*([\d,]+)")
_LEFT = re.compile(r"\b(?:remaining|eta):?\s*(\d+(?:\.\d+)?)\s*s")


@dataclass(frozen=True)
class Progress:
    """How far a run is, as its last progress line said; None where it said nothing of the kind."""

    elapsed: float  # wall-clock seconds since the run was started
    fraction: float | None = None
    step: int | None = None
    loss: float | None = None
    tokens_per_second: int | None = None
    seconds_left: float | None = None
    line: str = ""


def parse_progress(output: str, elapsed: float) -> Progress:
    """The last complete line of output, which `\\r` may have drawn over the ones before."""
    shown = outcome.lines(output)
    line = shown[-1].strip() if shown else ""

    def number(pattern: re.Pattern[str]) -> float | None:
        match = pattern.search(line)
        try:
            return float(match[1].replace(",", "")) if match else None
        except ValueError:
            return None

    step, percent, rate = number(_STEP), number(_PERCENT), number(_RATE)
    return Progress(
        elapsed,
        None if percent is None or step is None else min(1.0, percent / 100),
        None if step is None else int(step),
        number(_LOSS),
        None if rate is None else int(rate),
        number(_LEFT),
        line[:200],
    )


def tail(log: Path, size: int = _TAIL) -> str:
    """The last `size` bytes of a log that may still be growing; empty where there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - size))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


@dataclass(frozen=True)
class Lab:
    """What measures: a session's worktree, and the harness that must come out of every run as it went in."""

    session: Session
    harness: Harness
    worktree: Worktree
    logs: Path
    marker: str  # told to every process of a run, so that none can be lost

    def log_of(self, run: str) -> Path:
        return self.logs / f"{run}.log"

    def measure(
        self,
        run: str,
        commit: str,
        files: Mapping[str, str],
        seed: int,
        told: Mapping[str, str],
        watch: Callable[[Progress], None] = lambda progress: None,
        foreign: bool = False,
    ) -> Measurement:
        """The run of that name, which its log keeps: `files` on top of `commit`, with `seed`.

        `told` is further environment for the harness. A failure is a Measurement with `crash`; only ^C and a command that
        cannot be started at all are raised.
        """
        log, channel = self.log_of(run), self.logs / f"{run}.result.json"
        log.unlink(missing_ok=True)
        channel.unlink(missing_ok=True)
        self.place(commit, files)
        ended = process.run(
            process.argv(self.session.run),
            cwd=self.worktree.path,
            environment=process.environment_for_run({**told, **self._contract(seed, channel)}),
            log=log,
            timeout=self.session.timeout,
            tick=lambda elapsed: watch(parse_progress(tail(log), elapsed)),
        )
        touched = self._touched(files)
        found = self._outcome(ended, log, channel, touched)
        own: dict[str, Figure] = {"wall_seconds": round(ended.wall_seconds, 1), "peak_rss_mb": ended.peak_rss_mb}
        figures = {**{k: v for k, v in found.figures.items() if k != "seed"}, **own}
        traceback = "" if not found.crash else outcome.crash_reason(tail(log, 64 * 1024), ended.returncode)[1]
        return Measurement(found.value, seed, figures, found.channel, found.crash, traceback)

    def place(self, commit: str, files: Mapping[str, str]) -> None:
        """Make the worktree exactly `commit` with `files` on top."""
        # An environment that `uv run` makes is built from the lock file, not by the experiment.
        self.worktree.restore(commit, keep=(".venv",) if self.session.run.startswith("uv ") else ())
        for path, text in files.items():
            target = self.worktree.path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())

    def _contract(self, seed: int, channel: Path) -> dict[str, str]:
        return {
            "AUTORESEARCH_SEED": str(seed),
            "AUTORESEARCH_BUDGET": f"{self.session.budget:g}",
            "AUTORESEARCH_RESULT": str(channel),
            "AUTORESEARCH_SESSION": self.marker,
        }

    def _touched(self, files: Mapping[str, str]) -> list[str]:
        """Files of the harness, or of the proposal itself, that the run changed while it ran."""
        blobs = self.worktree.blobs(sorted(self.harness.files))
        changed = {path for path, blob in self.harness.files.items() if blobs.get(path) != blob}
        rewritten = {p for p, text in files.items() if _bytes(self.worktree.path / p) != text.encode()}
        return sorted(changed | rewritten)

    def _outcome(self, ended: process.Exit, log: Path, channel: Path, touched: list[str]) -> outcome.Outcome:
        if ended.reason:
            return outcome.Outcome(crash=ended.reason)
        output = log.read_text(encoding="utf-8", errors="replace")
        if ended.returncode != 0:
            return outcome.Outcome(crash=outcome.crash_reason(output, ended.returncode)[0])
        if touched:
            return outcome.Outcome(crash=f"the run changed {', '.join(touched)}")
        metric = self.session.metric.name
        found = outcome.parse_summary(output, metric)
        if not (channel.exists() or self.harness.reports):
            printed = {k: v for k, v in found.figures.items() if k not in outcome.HARNESS_FIGURES}
            found = dataclasses.replace(found, figures=printed)
        if channel.exists():
            text = channel.read_text(encoding="utf-8", errors="replace")
            found = outcome.combine(outcome.parse_channel(text, metric), found, metric)
        elif self.harness.reports:
            found = outcome.Outcome(crash="the run ended without the harness's evaluation", channel="harness")
        if not found.crash:
            wrong = outcome.check_budget(found.figures, self.session.budget, ended.wall_seconds)
            found = outcome.Outcome(None, found.figures, found.channel, wrong) if wrong else found
        return found


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def prepare(session: Session, worktree: Worktree, log: Path, marker: str, watch: Callable[[Progress], None]) -> process.Exit:
    """Run the session's `prepare` command once, in its worktree, before the baseline."""
    log.unlink(missing_ok=True)
    return process.run(
        process.argv(session.prepare),
        cwd=worktree.path,
        environment=process.environment_for_run({"AUTORESEARCH_SESSION": marker}),
        log=log,
        tick=lambda elapsed: watch(parse_progress(tail(log), elapsed)),
    )
