"""How commands show things: plain columns on stdout, live progress on stderr."""

from __future__ import annotations

import dataclasses
import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Measurement, Metric, Proposal, Session, Spending, Status
from autoresearch_git.noise import measured_noise
from autoresearch_git.plaintext import one_line
from autoresearch_git.publishing.wording import count
from autoresearch_git.research.plateau import PLATEAU, without_gain

if TYPE_CHECKING:
    from autoresearch_git.community.offers import Step
    from autoresearch_git.lab.trial import Progress as TrialProgress

COLOURS = {Status.KEEP: "green", Status.BASELINE: "cyan", Status.DISCARD: "bright_black", Status.CRASH: "red"}
HEARTBEAT = 60.0  # seconds between two lines of progress where nobody watches a terminal


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"


def delta(metric: Metric, value: float | None, incumbent: float | None) -> str:
    """The change of the metric itself, with its sign: −0.012 is good for a minimised metric."""
    return "" if value is None or incumbent is None else f"{value - incumbent:+.6f}".replace("-", "−")


def row(metric: Metric, experiment: Experiment, incumbent: float | None) -> str:
    """One experiment on one line."""
    status = click.style(f"{experiment.status!s:<8}", fg=COLOURS[experiment.status])
    change = delta(metric, experiment.value, incumbent)
    return f"{experiment.number:04d}  {status}  {number(experiment.value):>10}  {change:>10}  {experiment.description}"


def rows(metric: Metric, experiments: tuple[Experiment, ...]) -> list[str]:
    incumbent: float | None = None
    shown = []
    for experiment in experiments:
        shown.append(row(metric, experiment, incumbent))
        incumbent = experiment.value if experiment.status.advances else incumbent
    return shown


def experiment_fields(metric: Metric, experiment: Experiment) -> dict[str, Any]:
    """An experiment for machines."""
    return {
        "number": experiment.number,
        "status": str(experiment.status),
        "description": experiment.description,
        metric.name: experiment.value,
        "memory_gb": round(experiment.memory_gb, 3),
        "commit": experiment.commit,
        "parent": experiment.parent,
        "record": experiment.record,
        "reason": experiment.reason,
        "rationale": experiment.rationale,
        "expected": experiment.expected,
        "idea": experiment.idea,
        "mended": list(experiment.mended),
        "researcher": experiment.researcher,
        "program": experiment.program,
        "spending": None if experiment.spending == Spending() else dataclasses.asdict(experiment.spending),
        "inspired_by": experiment.inspired_by,
        "adopted_from": experiment.adopted_from,
        "ported": experiment.ported,
        "harness": experiment.harness,
        "platform": dict(experiment.platform),
        "measurements": [
            {
                **m.figures,
                metric.name: m.value,
                "seed": m.seed,
                "channel": m.channel,
                **({"crash": m.crash} if m.crash else {}),
            }
            for m in experiment.measurements
        ],
    }


def session_fields(session: Session, experiments: tuple[Experiment, ...]) -> dict[str, Any]:
    """A session for machines: its baseline, its best, and how many of each."""
    kept = [e for e in experiments if e.status.advances]
    noise = measured_noise(experiments)
    return {
        "session": session.name,
        "branch": session.branch.removeprefix("refs/heads/"),
        "notebook": session.notebook,
        "base": session.base,
        "metric": {"name": session.metric.name, "direction": session.metric.direction},
        "baseline": kept[0].value if kept else None,
        "best": kept[-1].value if kept else None,
        "best_commit": kept[-1].commit if kept else None,
        "noise": {"sd": noise.sd, "degrees": noise.degrees},
        "experiments": {s.value: sum(e.status is s for e in experiments) for s in Status if s is not Status.BASELINE},
        "without_gain": without_gain(experiments),
        "budget_seconds": session.budget,
    }


def summary(session: Session, experiments: tuple[Experiment, ...]) -> list[str]:
    """What a session found, in lines for people: baseline → best, how it stands above the noise, and the branch."""
    fields = session_fields(session, experiments)
    if fields["baseline"] is None:
        return [f"{session.name}: no baseline yet"]
    counts = ", ".join(
        f"{n} {word}" for word, n in zip(("kept", "discarded", "crashed"), fields["experiments"].values(), strict=True)
    )
    change = delta(session.metric, fields["best"], fields["baseline"])
    better = "lower" if session.metric.direction == "min" else "higher"
    lines = [f"{session.metric.name}  {number(fields['baseline'])} → {number(fields['best'])}  ({change})  baseline → best, "
             f"{better} is better"]  # fmt: skip
    if fields["best"] is None:
        lines = [f"{session.metric.name}  {number(fields['baseline'])}  baseline, {better} is better; "
                 "what was taken on trust since is not measured"]  # fmt: skip
    lines += [f"noise    {line}" for line in noise_of(session, experiments)]
    lines.append(f"tried    {count(len(experiments) - 1, 'experiment')}: {counts}")
    lines += [f"plateau  {line}" for line in plateau(experiments)]
    lines.append(f"branch   {fields['branch']}")
    return lines


def noise_of(session: Session, experiments: Sequence[Experiment]) -> list[str]:
    """How much a run varies, and what follows for a gain: one line, or none where that is not known."""
    noise = measured_noise(experiments)
    rule = f"; a gain below {noise.floor:.2g} is kept only if a second seed shows it too" if session.judge == "confirmed" else ""
    told = f"one run varies by {noise.sd:.2g} (sd, {count(noise.degrees, 'degree')} of freedom){rule}"
    return [told] if noise.degrees else []


def plateau(experiments: Sequence[Experiment]) -> list[str]:
    """That nothing was gained for long, in one line; none where that is not so."""
    since = without_gain(experiments)
    return [f"no gain in the last {since} experiments"] if since >= PLATEAU else []


def say(text: str) -> None:
    """Progress: a line to stderr, whatever a stranger wrote in it."""
    click.echo(one_line(text, 400), err=True)


def confirm(what: str, yes: bool, declined: str, unasked: str = "look at it with --dry-run, then add --yes") -> None:
    """Ask the user whether to do `what`. Raises AutoresearchError where they do not agree, which leaves it at `declined`, or are
    not there to be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise AutoresearchError("nobody is there to be asked", unasked)
    if not click.confirm(f"{what}?", default=False, err=True):
        raise AutoresearchError(declined, "the same command again, when you are ready")


def write_file(path: Path, content: bytes, hint: str) -> None:
    """Write what the user asked for where they asked. Raises AutoresearchError where that is no place for a file."""
    try:
        path.write_bytes(content)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise AutoresearchError(f"cannot write {path}: {error.strerror}", hint) from error


def ago(seconds_since_epoch: int) -> str:
    span = datetime.timedelta(seconds=max(0, int(time.time()) - seconds_since_epoch))
    if span.days:
        return f"{span.days} d ago"
    hours, rest = divmod(span.seconds, 3600)
    return f"{hours} h ago" if hours else f"{rest // 60} min ago"


class ConsoleReporter:
    """Tells a person what the loop does: a live bar on a terminal, a line now and then elsewhere."""

    def __init__(self, metric: Metric, experiments: Sequence[Experiment]) -> None:
        from rich.console import Console  # only who follows a session needs it
        from rich.progress import BarColumn, Progress, TextColumn

        self._metric = metric
        self._incumbent = next((e.value for e in reversed(experiments) if e.status.advances), None)
        self._without_gain = without_gain(experiments)
        self._console = Console(stderr=True, highlight=False)
        # No refresh thread: signals must reach the main thread, and the lab ticks often enough.
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(20), TextColumn("{task.fields[told]}", markup=False),
            console=self._console, auto_refresh=False, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=1.0, told="")
        self._heartbeat = 0.0

    def __enter__(self) -> ConsoleReporter:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def say(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.out(text)
        else:
            click.echo(text, file=sys.stderr)

    def running(self, number: int, run: int, description: str, why: str) -> None:
        self._heartbeat = 0.0
        again = f" again: {why}" if run > 1 or (number == 0 and why) else ""
        text = f"{number:04d}  running   {description}{again}"
        self._bar.reset(self._task, description=f"{number:04d}", told="starting", total=1.0)
        self.say(text if number or not why else f"0000  running   {why}")

    def repeating(self, step: Step, arm: str, number: int, total: int) -> None:
        """A run of a claim that is measured again begins."""
        what = "what it began with" if arm == "base" else "what it came to"
        self.say(f"{number:>2} of {total}  running   {one_line(step.description, 80)}: {what}")

    def progress(self, progress: TrialProgress) -> None:
        told = [
            f"step {progress.step}" if progress.step is not None else "",
            f"loss {progress.loss:.4f}" if progress.loss is not None else "",
            f"{progress.seconds_left:.0f} s left" if progress.seconds_left is not None else f"{progress.elapsed:.0f} s",
            f"{progress.tokens_per_second:,} tokens/s" if progress.tokens_per_second else "",
        ]
        if progress.step is None and progress.line:
            told.append(one_line(progress.line, 60))
        text = "  ".join(part for part in told if part)
        if self._console.is_terminal:
            self._bar.update(self._task, completed=progress.fraction or 0.0, told=text)
            self._bar.refresh()
        elif progress.elapsed - self._heartbeat >= HEARTBEAT:
            self._heartbeat = progress.elapsed
            self.say(f"      …         {text}")

    def measured(self, measurement: Measurement) -> None:
        what = one_line(measurement.crash) or f"{self._metric.name} {number(measurement.value)}"
        seconds = measurement.figures.get("wall_seconds", 0)
        self.say(f"      measured  {what}  (seed {measurement.seed}, {seconds} s)")

    def refused(self, proposal: Proposal, reason: str) -> None:
        self.say(f"      refused   {proposal.description}: {reason}")

    def repairing(self, proposal: Proposal, reason: str) -> None:
        self.say(f"      mending   {one_line(proposal.description)}: {one_line(reason)}")

    def recorded(self, experiment: Experiment) -> None:
        line = row(self._metric, experiment, self._incumbent)
        self.say(f"{line}  ({experiment.reason})" if experiment.reason else line)
        self._without_gain += 1
        if experiment.status.advances:
            self._incumbent, self._without_gain = experiment.value, 0
        elif self._without_gain % PLATEAU == 0:
            self.say(f"      plateau   no gain in the last {self._without_gain} experiments")
