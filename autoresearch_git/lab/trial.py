"""One training run under the budget: put the files in place, run, watch, parse what came out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import LARGEST_FILE, Figure, Measurement, Session
from autoresearch_git.lab import outcome, process
from autoresearch_git.lab.harness import Harness
from autoresearch_git.lab.sandbox import NONE, Meter, Sandbox, confined, read_plain
from autoresearch_git.repository import Repository, Worktree

_TAIL = 4096  # bytes of the log looked at for progress
_STEP = re.compile(r"\bstep\s+(\d+)", re.IGNORECASE)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s?%")
_LOSS = re.compile(r"\bloss:?\s*([-+\d.eE]+)")
_RATE = re.compile(r"\btok(?:ens)?/s(?:ec)?:?\s*([\d,]+)")
MOST_FIXED = 500  # files of the harness that a sandbox pins down one by one; all are compared after the run
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
    """What measures: a session's worktree, the harness that must come out of every run as it went in, and the sandbox.

    `unsandboxed`: a stranger's code is run also where no sandbox works. `write_limit` is in bytes, of one confined run.
    """

    session: Session
    harness: Harness
    worktree: Worktree
    logs: Path
    marker: str  # told to every process of a run, so that none can be lost
    repository: Repository
    sandbox: Sandbox
    unsandboxed: bool = False
    write_limit: int = 16 * 2**30

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
        *,
        foreign: bool = False,
    ) -> Measurement:
        """The run of that name, which its log keeps: `files` on top of `commit`, with `seed`.

        `told` is further environment for the harness. `foreign` files are a stranger's: they are run in a folder with nothing
        but the harness, and only in a sandbox. A failure is a Measurement with `crash`; only ^C, a command that cannot be
        started at all, and strangers' code where no sandbox works are raised.
        """
        kind = self._kind(foreign)
        log, kept = self.log_of(run), self.logs / f"{run}.result.json"
        log.unlink(missing_ok=True)
        kept.unlink(missing_ok=True)
        place = self._place(kind, foreign, commit, files)
        channel = kept if kind == NONE else self.sandbox.room(foreign).channel / kept.name
        try:
            ended = self._run(kind, foreign, place, {**told, **self._contract(seed, channel)}, log, watch)
        finally:
            if not foreign:
                self._set_aside(run)
        reported = read_plain(channel)
        if reported is not None and channel != kept:
            kept.write_bytes(reported)
        found = self._outcome(ended, log, reported, self._touched(place, foreign, commit, files))
        own: dict[str, Figure] = {"wall_seconds": round(ended.wall_seconds, 1), "peak_rss_mb": ended.peak_rss_mb, "sandbox": kind}
        figures = {**{k: v for k, v in found.figures.items() if k != "seed"}, **own}
        traceback = "" if not found.crash else outcome.crash_reason(tail(log, 64 * 1024), ended.returncode)[1]
        return Measurement(found.value, seed, figures, found.channel, found.crash, traceback)

    def _kind(self, foreign: bool) -> str:
        kind = self.sandbox.kind(foreign)
        if foreign and kind == NONE and not self.unsandboxed:
            found = self.sandbox.found
            raise AutoresearchError(f"a stranger's code is not run without a sandbox, and none works here: {found.why}", found.fix)
        return kind

    def _place(self, kind: str, foreign: bool, commit: str, files: Mapping[str, str]) -> Path:
        """The folder of the run, as it must be at its beginning."""
        if kind != NONE or foreign:
            self.sandbox.refresh(foreign)
        if not foreign:
            self.place(commit, files)
            return self.worktree.path
        room = self.sandbox.room(foreign)
        room.write(self._foreign_files(commit, files))
        return room.scratch

    def place(self, commit: str, files: Mapping[str, str]) -> None:
        """Make the worktree exactly `commit` with `files` on top."""
        # An environment that `uv run` makes is built from the lock file, not by the experiment.
        self.worktree.restore(commit, keep=(".venv",) if self.session.run.startswith("uv ") else ())
        for path, text in files.items():
            target = self.worktree.path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())
        self.worktree.leave(self.session.editable)

    def _foreign_files(self, commit: str, files: Mapping[str, str]) -> dict[str, bytes]:
        """What a stranger's run finds: the harness as the session began with it, the editable files of `commit`, `files` on top."""
        base = {path: self.repository.read_file(self.session.base, path) for path in self.harness.files}
        editable = {path: self.repository.read_file(commit, path) for path in self.session.editable}
        there = {path: content for path, content in {**base, **editable}.items() if content is not None}
        return {**there, **{path: text.encode() for path, text in files.items()}}

    def _run(
        self, kind: str, foreign: bool, place: Path, told: Mapping[str, str], log: Path, watch: Callable[[Progress], None]
    ) -> process.Exit:
        """Run the command, confined or not."""
        command: Sequence[str] = process.argv(self.session.run)
        environment: Mapping[str, str] = process.environment_for_run(told)
        confinement, spent = None, _nothing
        if kind != NONE:
            fixed = (place / ".git", *(place / path for path in sorted(self.harness.files)[:MOST_FIXED]))
            policy = self.sandbox.policy(foreign, place, fixed, told)
            command, environment, confinement = confined(kind, policy, self.sandbox.python.command, log)
            spent = Meter(policy.writable, self.write_limit).over

        def tick(elapsed: float) -> str:
            watch(parse_progress(tail(log), elapsed))
            return spent(elapsed)

        return process.run(command, cwd=place, environment=environment, log=log, timeout=self.session.timeout, tick=tick,
                           confinement=confinement)  # fmt: skip

    def _contract(self, seed: int, channel: Path) -> dict[str, str]:
        return {
            "AUTORESEARCH_SEED": str(seed),
            "AUTORESEARCH_BUDGET": f"{self.session.budget:g}",
            "AUTORESEARCH_RESULT": str(channel),
            "AUTORESEARCH_SESSION": self.marker,
        }

    def _set_aside(self, run: str) -> None:
        """What changed an editable file while it was run may have been a person: a copy stays beside the log."""
        for path in self.worktree.changed(self.session.editable):
            content = read_plain(self.worktree.path / path, LARGEST_FILE)
            if content is not None:
                (self.logs / f"{run}.{path.replace('/', '-')}").write_bytes(content)
        self.worktree.leave(self.session.editable)

    def _touched(self, place: Path, foreign: bool, commit: str, files: Mapping[str, str]) -> list[str]:
        """Files of the harness, or of the proposal itself, that the run changed while it ran."""
        if foreign:
            put = self._foreign_files(commit, files)
            return sorted(path for path, content in put.items() if not _holds(place / path, content))
        blobs = self.worktree.blobs(sorted(self.harness.files))
        changed = {path for path, blob in self.harness.files.items() if blobs.get(path) != blob}
        rewritten = {p for p, text in files.items() if not _holds(self.worktree.path / p, text.encode())}
        return sorted(changed | rewritten)

    def _outcome(self, ended: process.Exit, log: Path, reported: bytes | None, touched: list[str]) -> outcome.Outcome:
        if ended.reason:
            return outcome.Outcome(crash=ended.reason)
        output = log.read_text(encoding="utf-8", errors="replace")
        if ended.returncode != 0:
            return outcome.Outcome(crash=outcome.crash_reason(output, ended.returncode)[0])
        if touched:
            return outcome.Outcome(crash=f"the run changed {', '.join(touched)}")
        metric = self.session.metric.name
        found = outcome.parse_summary(output, metric)
        if reported is None and not self.harness.reports:
            printed = {k: v for k, v in found.figures.items() if k not in outcome.HARNESS_FIGURES}
            found = dataclasses.replace(found, figures=printed)
        if reported is not None:
            text = reported.decode(errors="replace")
            found = outcome.combine(outcome.parse_channel(text, metric), found, metric)
        elif self.harness.reports:
            found = outcome.Outcome(crash="the run ended without the harness's evaluation", channel="harness")
        if not found.crash:
            wrong = outcome.check_budget(found.figures, self.session.budget, ended.wall_seconds)
            found = outcome.Outcome(None, found.figures, found.channel, wrong) if wrong else found
        return found


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file still has its content; a run may have replaced it by a link, a folder or something endless."""
    return read_plain(path, len(content) + 1) == content


def _nothing(elapsed: float) -> str:
    return ""


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
