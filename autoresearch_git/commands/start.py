"""`git autoresearch start`: research on a fresh branch, or go on with a session."""

from __future__ import annotations

import functools
import json
import os
import shlex
import signal
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from autoresearch_git.commands import community, console
from autoresearch_git.community.inspiration import NOTHING_READ, Inspiration
from autoresearch_git.config import Settings, load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Figure, Metric, Session
from autoresearch_git.lab import machine, process, sandbox, trial
from autoresearch_git.lab.harness import read_harness
from autoresearch_git.ledger.session import LiveSession, check_session, choose_session, free_tag
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Repository, open_repository
from autoresearch_git.research.loop import Limits, Loop
from autoresearch_git.research.researchers import Researcher, make

SYNC_PATIENCE = 20.0  # seconds that a start waits for a rate limit; `findings --sync` waits longer
SYNC_SECONDS = 60.0  # that git may take to fetch before a start goes on without

_FIXED = ("metric", "direction", "run", "budget", "timeout", "editable", "baseline_runs", "judge", "seed", "platform")


@click.command("start", epilog="Example:  git autoresearch start --budget 20 --experiments 6")
@click.option("--tag", help="Name of the session; today's date (nov21) if not given.")
@click.option("--from", "base", metavar="REV", help="Commit to begin from; HEAD if not given.")
@click.option("--resume", is_flag=True, help="Go on with a session: the one named by --tag, or the latest.")
@click.option("--trust", is_flag=True, help="With --resume: also a session that was not begun here.")
@click.option("--experiments", type=int, metavar="N", help="End after N experiments from now.")
@click.option("--hours", type=float, metavar="H", help="End after H hours from now.")
@click.option("--budget", metavar="SECONDS", help="Training time of one run (300, 90s, 5m).")
@click.option("--timeout", metavar="SECONDS", help="Time after which a run is killed.")
@click.option("--baseline-runs", metavar="N", help="Runs of the baseline, which also measure the noise (2).")
@click.option("--judge", metavar="RULE", help="confirmed (default) or strict, upstream's rule.")
@click.option("--researcher", metavar="NAME", help="Who proposes (sweep needs no key).")
@click.option("--seed", metavar="N", help="Seed of the first run (42).")
@click.option("--run", "run_", metavar="COMMAND", help="Command of one experiment.")
@click.option("--metric", metavar="NAME", help="Name of the number that a run reports.")
@click.option("--direction", metavar="WAY", help="min or max.")
@click.option("--editable", metavar="PATHS", help="The only files an experiment may change.")
@click.option("--sandbox", metavar="MODE", help="auto (default), require or off: whether runs are confined.")
@click.option("--no-inspiration", is_flag=True, help="Do not read what others found first.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(
    tag: str | None,
    base: str | None,
    resume: bool,
    trust: bool,
    no_inspiration: bool,
    dry_run: bool,
    as_json: bool,
    run_: str | None,
    **options: Any,
) -> None:
    """Research on a fresh branch: propose, train, keep or discard, until a limit or ^C.

    Works in a worktree of its own below the git directory; your checkout is never touched. Every experiment becomes a
    commit, also the discarded ones.
    """
    repository = open_repository(Path.cwd())
    settings = load_settings(repository, {"run": run_, **options})
    researcher = make(settings.researcher)
    if settings.sandbox == "require" and not dry_run:
        _refuse_unconfined(sandbox.survey())
    reads = settings.inspiration and not no_inspiration
    if resume:
        _refuse_fixed({"run": run_, **options}, base)
        name = choose_session(repository, tag)
    else:
        session = _new_session(repository, settings, tag, base)
        check_session(repository, session)
        if dry_run:
            _show_plan(repository, session, settings, reads)
            return
        name = session.name
    stopping = _handle_signals()
    live: LiveSession | None = None
    try:
        inspired = reads and _read_hubs(repository, settings)
        live = LiveSession.resume(repository, name, trust) if resume else LiveSession.create(repository, session)
        _research(live, researcher, settings, inspired, as_json, new=not resume, stopping=stopping)
    except KeyboardInterrupt:
        _say_how_to_go_on(live, name, settings, begun=resume)
        raise SystemExit(130) from None  # click would put an empty line below the one that matters
    finally:
        if live:
            live.close()


def _say_how_to_go_on(live: LiveSession | None, name: str, settings: Settings, begun: bool) -> None:
    if live is None and not begun:
        _say("stopped before the session began; nothing was changed")
        return
    done = max(0, len(live.book.experiments) - max(1, live.began_with)) if live else 0
    left = f" --experiments {settings.experiments - done}" if settings.experiments > done else ""
    click.echo("stopped; nothing is lost, and what was under way is taken up again.", err=True)
    click.echo(f"to go on:  git autoresearch start --resume --tag {name.partition('/')[2]}{left}", err=True)


def _refuse_fixed(options: dict[str, Any], base: str | None) -> None:
    given = [name for name in _FIXED if options.get(name) is not None] + (["from"] if base else [])
    if given:
        raise AutoresearchError(
            f"a session's {given[0].replace('_', '-')} was fixed when it began",
            "leave it out, or begin a new session with another --tag",
        )


def _new_session(repository: Repository, settings: Settings, tag: str | None, base: str | None) -> Session:
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


def _show_plan(repository: Repository, session: Session, settings: Settings, reads: bool) -> None:
    harness = read_harness(repository, session)
    limit = f"{settings.experiments} experiments" if settings.experiments else "no limit of experiments"
    click.echo(f"session    {session.name}, branch {session.branch.removeprefix('refs/heads/')}, from {session.base[:7]}")
    click.echo(f"metric     {session.metric.name} ({session.metric.direction})")
    click.echo(f"run        {shlex.join(process.argv(session.run))}")
    click.echo(f"budget     {session.budget:g} s a run, killed after {session.timeout:g} s; {limit}")
    click.echo(f"editable   {' '.join(session.editable)}")
    click.echo(f"sandbox    {settings.sandbox}")
    click.echo(f"harness    {' '.join(sorted(harness.files)) or '(no file of this repository)'}")
    click.echo(f"reads      {'what others found, first' if reads else 'nothing of others'}")
    click.echo(f"researcher {settings.researcher}; judge {session.judge}; {session.baseline_runs} baseline runs")


def _say(text: str) -> None:
    click.echo(one_line(text, 400), err=True)


def _read_hubs(repository: Repository, settings: Settings) -> bool:
    """Read what is new at the hubs, as far as a short while allows. Nothing of it can fail a session. False: nothing is there."""
    try:
        with community.read_library(repository) as library:
            told = community.sync(repository, settings, library, _say, SYNC_PATIENCE, SYNC_SECONDS)
            if told.reports:
                _say(f"{told.reports} reports of others are new ({told.findings} findings)")
            return library.count_reports() > 0
    except (AutoresearchError, sqlite3.Error) as error:
        _say(f"note: the community could not be read: {error}")
        return False


def _inspire(live: LiveSession, settings: Settings, reporter: console.ConsoleReporter, facts: Mapping[str, Figure]) -> Inspiration:
    """What the library holds for this session; said in one line."""
    try:
        with community.read_library(live.repository) as library:
            found = community.inspire_here(live.repository, settings, library, live.session, facts)
    except (AutoresearchError, sqlite3.Error) as error:
        reporter.say(f"note: the community's findings could not be used: {one_line(str(error))}")
        return NOTHING_READ
    if found.read:
        reporter.say(f"of {len(found.read)} findings of {live.session.metric.name}: {len(found.suggestions)} changes to try first, "
                     f"{len(found.dead_ends)} dead ends")  # fmt: skip
    return found


def _research(
    live: LiveSession, researcher: Researcher, settings: Settings, inspired: bool, as_json: bool, new: bool, stopping: list[int]
) -> None:
    session, facts = live.session, machine.facts()
    _refuse_other_machine(session, facts)
    process.end_survivors(str(live.folder))
    lab = _lab(live, settings)
    incumbent = live.book.incumbent
    with console.ConsoleReporter(session.metric, incumbent.value if incumbent else None) as reporter:
        _introduce(live, reporter, new)
        _say_how_confined(lab.sandbox, reporter)
        limits = Limits(settings.experiments, settings.hours)
        inspire = functools.partial(_inspire, live, settings, reporter) if inspired else lambda facts: NOTHING_READ
        loop = Loop(live, lab, researcher, limits, reporter, facts, inspire, lambda: bool(stopping))
        if session.prepare and not live.book.experiments:
            _prepare(live, reporter)
        ended = loop.run()
    if as_json:
        click.echo(json.dumps({**console.session_fields(session, live.book.experiments), "ended": ended}))
        return
    for line in console.summary(session, live.book.experiments):
        click.echo(line)
    click.echo(f"ended    {ended}")
    click.echo(f"next     git autoresearch log {session.name}   or   git autoresearch start --resume --tag {session.tag}")


def _lab(live: LiveSession, settings: Settings) -> trial.Lab:
    """What measures, with the sandbox of this machine."""
    session, repository = live.session, live.repository
    harness = read_harness(repository, session)
    python = [(live.book.head, path) for path in session.editable] + [(session.base, p) for p in harness.files if p.endswith(".py")]
    texts = (repository.read_file(commit, path) or b"" for commit, path in python)
    room = sandbox.open_sandbox(
        repository, settings.sandbox, settings.sandbox_read, session.run, live.folder, live.worktree.path, texts
    )
    lab = trial.Lab(session, harness, live.worktree, live.logs, str(live.folder), repository, room)
    if settings.sandbox != "off" and session.run.startswith("uv "):  # makes its environment from what lies in the worktree
        lab.place(live.book.head, {})
    return lab


def _refuse_unconfined(found: sandbox.Found) -> None:
    if found.kind == sandbox.NONE:
        raise AutoresearchError(f"no sandbox works here, and autoresearch.sandbox asks for one: {found.why}", found.fix)


def _say_how_confined(room: sandbox.Sandbox, reporter: console.ConsoleReporter) -> None:
    if room.wanted == "off":
        reporter.say("runs are not confined, as autoresearch.sandbox says")
        return
    if room.run.startswith("uv "):
        reporter.say("preparing  the environment of uv, outside of the sandbox")
    if room.wanted == "require":
        _refuse_unconfined(room.found)
    if room.found.kind == sandbox.NONE:
        reporter.say(f"note: runs are not confined, no sandbox works here ({room.found.why}); git autoresearch doctor")
    else:
        reporter.say(f"runs are confined by {room.found.kind}: no network, no files but their own")


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
    reporter.say(f"preparing  {live.session.prepare}")
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
