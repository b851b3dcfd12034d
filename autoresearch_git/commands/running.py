"""A session in the foreground of a terminal: begun or taken up, researched, summed up; and how it ends when interrupted."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from autoresearch_git.commands import console
from autoresearch_git.community.inspiration import Inspiration
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Figure, Metric, Session
from autoresearch_git.lab import machine, process, sandbox, trial
from autoresearch_git.lab.harness import read_harness
from autoresearch_git.ledger.session import (
    LiveSession,
    begun_here,
    check_session,
    choose_session,
    free_tag,
    own_session,
    session_names,
)
from autoresearch_git.repository import Repository
from autoresearch_git.research.asking import Asking, Limits
from autoresearch_git.research.loop import Loop
from autoresearch_git.research.researchers import Researcher

# What is fixed when a session begins: option → (metavar, help).
SESSION_OPTIONS = {
    "budget": ("SECONDS", "Training time of one run (300, 90s, 5m)."),
    "timeout": ("SECONDS", "Time after which a run is killed."),
    "baseline_runs": ("N", "Runs of the baseline, which also measure the noise (2)."),
    "judge": ("RULE", "confirmed (default) or strict, upstream's rule."),
    "seed": ("N", "Seed of the first run (42)."),
    "run": ("COMMAND", "Command of one experiment."),
    "prepare": ("COMMAND", "Command that is run once, before the baseline."),
    "metric": ("NAME", "Name of the number that a run reports."),
    "direction": ("WAY", "min or max."),
    "editable": ("PATHS", "The only files an experiment may change."),
}


def session_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that may begin a session."""
    for name, (metavar, told) in reversed(SESSION_OPTIONS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, metavar=metavar, help=told)(command)
    return command


Inspire = Callable[[console.ConsoleReporter, Mapping[str, Figure]], Inspiration]


@dataclass
class Foreground:
    """What a command holds while a session runs. `again` is the command that goes on after ^C; `live` is the session once it was
    begun or taken up; `stopping` fills when it is to stop after the experiment under way."""

    again: str
    live: LiveSession | None = None
    stopping: list[int] = field(default_factory=list)


@contextlib.contextmanager
def foreground(begun: bool, again: str, experiments: int = 0) -> Iterator[Foreground]:
    """A session, which was `begun` before or is new, until the block has ended. ^C says how to go on with the command `again`, for
    what is left of so many experiments, and exits with 130."""
    here = Foreground(again, stopping=_handle_signals())
    try:
        yield here
    except KeyboardInterrupt:
        _say_how_to_go_on(here.live, experiments, begun, here.again)
        raise SystemExit(130) from None  # click would put an empty line below the one that matters
    finally:
        if here.live:
            here.live.close()


def _say_how_to_go_on(live: LiveSession | None, experiments: int, begun: bool, again: str) -> None:
    if live is None and not begun:
        console.say("stopped before the session began; nothing was changed")
        return
    done = max(0, len(live.book.experiments) - max(1, live.began_with)) if live else 0
    left = f" --experiments {experiments - done}" if experiments > done else ""
    click.echo("stopped; nothing is lost, and what was under way is taken up again.", err=True)
    click.echo(f"to go on:  {again}{left}", err=True)


def new_session(repository: Repository, settings: Settings, tag: str | None, base: str | None) -> Session:
    """A session as the settings have it, from the commit `base` or HEAD. Raises AutoresearchError where it cannot be."""
    commit = repository.resolve(base or "HEAD")
    if commit is None and base:
        raise AutoresearchError(f"there is no commit {base!r}", "git log --oneline --all")
    if commit is None:
        raise AutoresearchError("this repository has no commits yet", "git add -A && git commit -m 'first commit'")
    for name in ("run", "prepare"):
        if process.holds_secret(settings.origin[name].text):
            raise AutoresearchError(
                f"{name} holds what looks like a token, and would be recorded", "let the program read it from a file"
            )
    platform = settings.platform or machine.hardware_class(machine.gpu_name())
    return Session(
        platform=platform,
        tag=tag or free_tag(repository, platform, settings.branch_prefix),
        base=commit,
        metric=Metric(settings.metric, settings.direction),
        run=settings.run,
        editable=settings.editable,
        budget=settings.budget,
        timeout=settings.timeout,
        seed=settings.seed,
        baseline_runs=settings.baseline_runs,
        judge=settings.judge,
        prepare=settings.prepare,
        branch_prefix=settings.branch_prefix,
        machine=machine.facts(),
    )


def session_for(
    repository: Repository,
    settings: Settings,
    onto: str | None,
    tag: str | None,
    base: str | None,
    given: Mapping[str, Any],
    goes_on: str = "",
) -> tuple[Session, bool]:
    """The session that measures, and whether it was begun before: the one that was named, else the latest of this repository
    unless the user asked for something of a new one, else a new one. `given` are the options of a new session, None where they
    were not typed; `goes_on` is the hint where the new one exists already."""
    named = {name for name in SESSION_OPTIONS if given.get(name) is not None}
    fresh = tag or base
    if onto and (fresh or named):
        raise click.UsageError("--session goes on with a session; the other options are for a new one")
    if onto or (not fresh and any(begun_here(repository, name) for name in session_names(repository))):
        session = own_session(repository, choose_session(repository, onto))
        if all(getattr(settings, name) == _fixed(session, name) for name in named):
            return session, True
    session = new_session(repository, settings, tag, base)
    if goes_on and tag and repository.ref_target(session.notebook):
        raise AutoresearchError(f"session {session.name} exists already", goes_on)
    check_session(repository, session)
    return session, False


def _fixed(session: Session, name: str) -> Any:
    """What a session was begun with, by the name of the setting."""
    if name in ("metric", "direction"):
        return session.metric.name if name == "metric" else session.metric.direction
    return getattr(session, name)


@contextlib.contextmanager
def loop_of(
    here: Foreground,
    researcher: Researcher,
    settings: Settings,
    new: bool,
    inspire: Inspire | None = None,
    unsandboxed: bool = False,
) -> Iterator[tuple[Loop, console.ConsoleReporter]]:
    """The session at hand, ready to measure: on this machine, nothing left of an earlier run, prepared where it is new.
    `unsandboxed`: strangers' code may run where no sandbox works."""
    live = here.live
    assert live
    session, facts = live.session, machine.facts()
    _refuse_other_machine(session, facts)
    process.end_survivors(str(live.folder))
    lab = _lab(live, settings, unsandboxed)
    with console.ConsoleReporter(session.metric, live.book.experiments) as reporter:
        _introduce(live, reporter, new)
        _say_how_confined(lab.sandbox, reporter)
        limits = Limits(settings.experiments, settings.hours, settings.max_cost)
        asking = Asking(live, lab.harness, researcher, limits, reporter, stop=lambda: bool(here.stopping))
        if inspire:
            asking.inspire = functools.partial(inspire, reporter)
        loop = Loop(live, lab, asking, limits, reporter, facts)
        if session.prepare and not live.book.experiments:
            _prepare(live, reporter)
        try:
            yield loop, reporter
        finally:
            if live.inflight is None and not live.untried():  # who looks into the worktree finds the incumbent
                lab.place(live.book.head, {})


def research(
    here: Foreground,
    researcher: Researcher,
    settings: Settings,
    as_json: bool,
    new: bool,
    inspire: Inspire | None = None,
    trust: bool = False,
    unsandboxed: bool = False,
) -> None:
    """Research with the session at hand until a limit, and print its summary."""
    with loop_of(here, researcher, settings, new, inspire, unsandboxed) as (loop, _):
        loop.trust = trust
        ended = loop.run()
    session, experiments = loop.live.session, loop.live.book.experiments
    if as_json:
        click.echo(json.dumps({**console.session_fields(session, experiments), "ended": ended}))
        return
    for line in console.summary(session, experiments):
        click.echo(line)
    click.echo(f"ended    {ended}")


def _refuse_other_machine(session: Session, facts: Mapping[str, object]) -> None:
    """Five minutes elsewhere are another number: a session stays on the hardware that it was begun on."""
    for name in ("gpu", "cpu") if session.machine else ():
        then, now = session.machine.get(name), facts.get(name)
        if then != now:
            raise AutoresearchError(f"session {session.name} was begun on {then or f'no {name}'}, this is {now or f'no {name}'}",
                                    f"begin one here from its branch: git autoresearch start --from {session.branch}")  # fmt: skip
        if then:
            return


def _introduce(live: LiveSession, reporter: console.ConsoleReporter, new: bool) -> None:
    session = live.session
    branch = session.branch.removeprefix("refs/heads/")
    reporter.say(f"session {session.name}: branch {branch} from {session.base[:7]}" if new else
                 f"session {session.name} goes on at experiment {live.next_number:04d}")  # fmt: skip
    changed = live.repository.uncommitted(session.editable) if new else []
    if changed:
        reporter.say(f"note: your uncommitted changes to {', '.join(changed)} are not part of it; it begins from the commit")
    if not live.repository.has_identity:
        reporter.say("note: no git identity is configured; commits are by git-autoresearch (git config --global user.name …)")


def _prepare(live: LiveSession, reporter: console.ConsoleReporter) -> None:
    log = live.logs / "prepare.log"
    reporter.say(f"preparing  {shlex.join(process.argv(live.session.prepare))}")
    ended = trial.prepare(live.session, live.worktree, log, str(live.folder), reporter.progress)
    if ended.returncode != 0:
        said = [line for line in trial.tail(log).splitlines() if line.strip()]
        why = next((line for line in said if line.startswith("error:")), said[-1] if said else f"exit code {ended.returncode}")
        raise AutoresearchError(f"the prepare command failed: {why.removeprefix('error:').strip()}",
                                f"see {log}, then git autoresearch start --resume --tag {live.session.tag}")  # fmt: skip


def _handle_signals() -> list[int]:
    """Termination and hang-up end like ^C; USR1 asks to stop after the experiment under way, by filling the list."""
    asked: list[int] = []

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if os.isatty(sys.stderr.fileno()):  # under nohup the hang-up stays ignored
        signal.signal(signal.SIGHUP, interrupt)
    signal.signal(signal.SIGINT, interrupt)  # a background job inherits SIGINT ignored, yet `stop` must reach it
    signal.signal(signal.SIGUSR1, lambda number, _: asked.append(number))
    return asked


def _lab(live: LiveSession, settings: Settings, unsandboxed: bool) -> trial.Lab:
    """What measures, with the sandbox of this machine."""
    session, repository = live.session, live.repository
    harness = read_harness(repository, session)
    python = [(live.book.head, path) for path in session.editable] + [(session.base, p) for p in harness.files if p.endswith(".py")]
    texts = (repository.read_file(commit, path) or b"" for commit, path in python)
    room = sandbox.open_sandbox(
        repository, settings.sandbox, settings.sandbox_read, session.run, live.folder, live.worktree.path, texts
    )
    lab = trial.Lab(session, harness, live.worktree, live.logs, str(live.folder), repository, room, unsandboxed)
    uv = settings.sandbox != "off" and session.run.startswith("uv ")
    if uv and not live.untried():  # it makes its environment from what lies in the worktree
        lab.place(live.book.head, {})
    return lab


def refuse_unconfined(found: sandbox.Found) -> None:
    """Raises AutoresearchError where no sandbox works."""
    if found.kind == sandbox.NONE:
        raise AutoresearchError(f"no sandbox works here, and autoresearch.sandbox asks for one: {found.why}", found.fix)


def _say_how_confined(room: sandbox.Sandbox, reporter: console.ConsoleReporter) -> None:
    if room.wanted == "off":
        reporter.say("runs are not confined, as autoresearch.sandbox says")
        return
    if room.run.startswith("uv "):
        reporter.say("preparing  the environment of uv, outside of the sandbox")
    if room.wanted == "require":
        refuse_unconfined(room.found)
    if room.found.kind == sandbox.NONE:
        reporter.say(f"note: runs are not confined, no sandbox works here ({room.found.why}); git autoresearch doctor")
    else:
        reporter.say(f"runs are confined by {room.found.kind}: no network, no files but their own")
