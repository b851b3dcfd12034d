"""What adopting and reproducing have in common: the session that measures, what a source offers to it, and the user's word."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from autoresearch_git.commands import community, console, running
from autoresearch_git.community.evidence import EvidenceReader
from autoresearch_git.community.offers import Offer, Step, read_offer
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import LARGEST_FILE, Proposal, Session
from autoresearch_git.lab import sandbox
from autoresearch_git.lab.harness import python_texts, read_harness
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.session import MissingSubjectError, begun_here, session_names
from autoresearch_git.repository import Repository
from autoresearch_git.research import screening


@dataclass(frozen=True)
class Asked:
    """What the user typed of a command that takes a source. `given` are the options of a new session, None where they were not
    typed."""

    source: str
    commits: str | None
    onto: str | None
    tag: str | None
    base: str | None
    whole_diff: bool
    unsandboxed: bool
    dry_run: bool
    yes: bool
    as_json: bool
    given: Mapping[str, Any]


def takes_source(command: Callable[..., None]) -> Callable[..., None]:
    """The argument and the options of a command that takes a source; it is called with them as `asked`."""

    @functools.wraps(command)
    def wrapped(**typed: Any) -> None:
        given = {name: typed.pop(name) for name in running.SESSION_OPTIONS}
        own = {field.name: typed.pop(field.name) for field in dataclasses.fields(Asked) if field.name != "given"}
        command(Asked(**own, given=given), **typed)

    options: list[Callable[[Any], Any]] = [
        click.argument("source"),
        click.option("--commits", metavar="SHAS", help="Only these commits, separated by commas."),
        click.option("--session", "onto", metavar="NAME", help="The session to go on with; the latest if not given."),
        click.option("--tag", help="Begin a new session of that name."),
        click.option("--from", "base", metavar="REV", help="Begin a new session from this commit; HEAD if not given."),
        running.session_options,
        click.option("--diff", "whole_diff", is_flag=True, help="Show all that would change, however long."),
        click.option("--unsandboxed", is_flag=True, help="Run strangers' code even where nothing can confine it."),
        click.option("--dry-run", is_flag=True, help="Show what would be measured, and do nothing."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON: of adopt one object, of reproduce a list."),
    ]
    taking: Callable[..., None] = wrapped
    for option in reversed(options):
        taking = option(taking)
    return taking


def session_for(verb: str, repository: Repository, settings: Settings, asked: Asked) -> tuple[Session, bool]:
    """The session that measures, and whether it was begun before."""
    onto = dataclasses.replace(asked, onto=asked.tag, tag=None, base=None, given={})
    try:
        return running.session_for(
            repository, settings, asked.onto, asked.tag, asked.base, asked.given, f"{typed(verb, onto)} goes on with it"
        )
    except MissingSubjectError as error:
        if asked.base:
            raise
        session = running.new_session(repository, settings, asked.tag, asked.base)
        raise AutoresearchError(error.message, _begin_where_it_began(repository, settings, session, asked.source)) from error


def _begin_where_it_began(repository: Repository, settings: Settings, session: Session, word: str) -> str:
    """What to type to adopt a source from the commit that it grew from, as nothing of it is here."""
    with community.read_library(repository) as library:
        sources = community.sources(repository, settings, library, session.base, console.say)
        source = sources.find(word)
        there = [sources.store.read_file(source.base, path, LARGEST_FILE) for path in session.editable if source.base]
    if not there or None in there:
        return "git autoresearch findings --sync, then the same again: its record says where it began"
    fetch = f"git fetch {sources.fetched} && " if sources.fetched else ""
    return f"begin where it began: {fetch}git autoresearch adopt {shlex.quote(word)} --from {source.base[:10]}"


def offer_for(repository: Repository, settings: Settings, session: Session, word: str) -> Offer:
    """What `word` offers to the session; a step that the loop would refuse is refused here already, with the same reason."""
    with community.read_library(repository) as library:
        sources = community.sources(repository, settings, library, session.base, console.say)
        reader = EvidenceReader(sources.store, session.metric, session.editable, console.say)
        offer = read_offer(sources.store, reader, sources.find(word))
    harness = python_texts(repository, session, read_harness(repository, session))
    steps = tuple(_screened(step, session.editable, harness) for step in offer.steps)
    return dataclasses.replace(offer, steps=steps, whole=_screened(offer.whole, session.editable, harness))


def _screened(step: Step, editable: tuple[str, ...], harness: Mapping[str, str]) -> Step:
    if step.refused or not step.after:
        return step
    refused = screening.refusal(Proposal(step.description, step.after), step.before, editable, harness)
    return dataclasses.replace(step, refused=refused)


def confinement(asked: Asked) -> str:
    """What strangers' code is confined by here. Raises AutoresearchError where nothing works, unless the user typed that they want
    it unsandboxed, or only looks."""
    found = sandbox.survey()
    if found.kind != sandbox.NONE:
        return found.kind
    if asked.unsandboxed:
        return "nothing confines their code"
    if asked.dry_run:
        return f"none works here ({found.why}), so nothing would be run without --unsandboxed"
    raise AutoresearchError(f"strangers' code is not run where nothing confines it: {found.why}",
                            f"{found.fix}; or, in a machine that may be lost: --unsandboxed")  # fmt: skip


def own_sessions(repository: Repository, offer: Offer) -> list[str]:
    """The sessions begun here that have made all that the source kept."""
    wanted = {step.sha for step in offer.kept}
    begun = [name for name in session_names(repository) if wanted and begun_here(repository, name)]
    return [
        name for name in begun if wanted <= {e.commit for e in notebook.read(repository, notebook.NAMESPACE + name).experiments}
    ]


def typed(verb: str, asked: Asked, *more: str) -> str:
    """What the user typed, with `more`, without the options that only say how it is shown or agreed to."""
    options = {"commits": asked.commits, "session": asked.onto, "tag": asked.tag, "from": asked.base, **asked.given}
    words = [word for name, value in options.items() if value for word in (f"--{name.replace('_', '-')}", str(value))]
    return shlex.join(["git", "autoresearch", verb, asked.source, *words, *more])


def again(verb: str, asked: Asked, session: Session, *more: str) -> str:
    """The command that goes on where this one stopped."""
    commits = ["--commits", asked.commits] if asked.commits else []
    return shlex.join(["git", "autoresearch", verb, asked.source, "--session", session.name, *commits, *more])
