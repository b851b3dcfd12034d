"""`git autoresearch start`: research on a fresh branch, or go on with a session."""

from __future__ import annotations

import functools
import shlex
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from autoresearch_git.commands import community, console, running
from autoresearch_git.community.inspiration import NOTHING_READ, Inspiration
from autoresearch_git.config import Settings, load_settings, templates_folder
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Figure, Session
from autoresearch_git.lab import process, sandbox
from autoresearch_git.lab.harness import read_harness
from autoresearch_git.ledger.session import LiveSession, check_session, choose_session
from autoresearch_git.plaintext import one_line
from autoresearch_git.publishing.wording import count
from autoresearch_git.repository import Repository, open_repository
from autoresearch_git.research.researchers import make

SYNC_PATIENCE = 20.0  # seconds that a start waits for a rate limit; `findings --sync` waits longer
SYNC_SECONDS = 60.0  # that git may take to fetch before a start goes on without

_FIXED = (*running.SESSION_OPTIONS, "platform")


@click.command("start", epilog="Example:  git autoresearch start --budget 20 --experiments 6")
@click.option("--tag", help="Name of the session; today's date (nov21) if not given.")
@click.option("--from", "base", metavar="REV", help="Commit to begin from; HEAD if not given.")
@click.option("--resume", is_flag=True, help="Go on with a session: the one named by --tag, or the latest.")
@click.option("--trust", is_flag=True, help="With --resume: also a session that was not begun here.")
@click.option("--experiments", type=int, metavar="N", help="End after N experiments from now.")
@click.option("--hours", type=float, metavar="H", help="End after H hours from now.")
@click.option("--researcher", metavar="NAME", help="Who proposes (sweep needs no key).")
@click.option("--sandbox", metavar="MODE", help="auto (default), require or off: whether runs are confined.")
@running.session_options
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
    **options: Any,
) -> None:
    """Research on a fresh branch: propose, train, keep or discard, until a limit or ^C.

    Works in a worktree of its own below the git directory; your checkout is never touched. Every experiment becomes a
    commit, also the discarded ones.
    """
    repository = open_repository(Path.cwd())
    settings = load_settings(repository, options)
    researcher = make(settings, templates_folder(repository, settings))
    if settings.sandbox == "require" and not dry_run:
        running.refuse_unconfined(sandbox.survey())
    reads = settings.inspiration and not no_inspiration
    if resume:
        _refuse_fixed(options, base)
        name = choose_session(repository, tag)
    else:
        session = running.new_session(repository, settings, tag, base)
        check_session(repository, session)
        if dry_run:
            _show_plan(repository, session, settings, reads)
            return
        name = session.name
    again = f"git autoresearch start --resume --tag {name.partition('/')[2]}"
    with running.foreground(resume, again, settings.experiments) as here:
        inspired = reads and _read_hubs(repository, settings)
        live = here.live = LiveSession.resume(repository, name, trust) if resume else LiveSession.create(repository, session)
        inspire = functools.partial(_inspire, live, settings) if inspired else None
        running.research(here, researcher, settings, as_json, new=not resume, inspire=inspire)
        if not as_json:
            click.echo(f"next     git autoresearch log {name}   or   git autoresearch start --resume --tag {live.session.tag}")


def _refuse_fixed(options: dict[str, Any], base: str | None) -> None:
    given = [name for name in _FIXED if options.get(name) is not None] + (["from"] if base else [])
    if given:
        raise AutoresearchError(
            f"a session's {given[0].replace('_', '-')} was fixed when it began",
            "leave it out, or begin a new session with another --tag",
        )


def _show_plan(repository: Repository, session: Session, settings: Settings, reads: bool) -> None:
    harness = read_harness(repository, session)
    limit = f"{settings.experiments} experiments" if settings.experiments else "no limit of experiments"
    click.echo(f"session    {session.name}, branch {session.branch.removeprefix('refs/heads/')}, from {session.base[:7]}")
    click.echo(f"metric     {session.metric.name} ({session.metric.direction})")
    click.echo(f"run        {shlex.join(process.argv(session.run))}")
    if session.prepare:
        click.echo(f"prepare    {session.prepare}")
    click.echo(f"budget     {session.budget:g} s a run, killed after {session.timeout:g} s; {limit}")
    click.echo(f"editable   {' '.join(session.editable)}")
    click.echo(f"sandbox    {settings.sandbox}")
    click.echo(f"harness    {' '.join(sorted(harness.files)) or '(no file of this repository)'}")
    click.echo(f"reads      {'what others found, first' if reads else 'nothing of others'}")
    click.echo(f"researcher {settings.researcher}; judge {session.judge}; {session.baseline_runs} baseline runs")


def _read_hubs(repository: Repository, settings: Settings) -> bool:
    """Read what is new at the hubs, as far as a short while allows. Nothing of it can fail a session. False: nothing is there."""
    try:
        with community.read_library(repository) as library:
            told = community.sync(repository, settings, library, console.say, SYNC_PATIENCE, SYNC_SECONDS)
            if told.others:
                are = "is" if told.others == 1 else "are"
                console.say(f"{count(told.others, 'report')} of others {are} new ({count(told.others_findings, 'finding')})")
            return library.count_reports() > 0
    except (AutoresearchError, sqlite3.Error) as error:
        console.say(f"note: the community could not be read: {error}")
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
