"""What adopting and reproducing have in common: the session that measures, what a source offers to it, and the user's word."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

import click

from autoresearch_git.commands import community, running
from autoresearch_git.community.evidence import EvidenceReader
from autoresearch_git.community.offers import Offer, Step, read_offer
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Proposal, Session
from autoresearch_git.lab import sandbox
from autoresearch_git.lab.harness import python_texts, read_harness
from autoresearch_git.ledger.session import begun_here, check_session, choose_session, own_session, session_names
from autoresearch_git.repository import Repository
from autoresearch_git.research import screening


def session_for(
    repository: Repository, settings: Settings, onto: str | None, tag: str | None, base: str | None, given: Mapping[str, Any]
) -> tuple[Session, bool]:
    """The session that measures, and whether it was begun before: the one named by `onto`, else the latest of this repository
    unless `tag`, `base` or one of the options that were `given` is of a new one, else a new one."""
    named = {name for name, value in given.items() if value is not None}
    if onto and (tag or base or named):
        raise click.UsageError("--session goes on with a session; the other options are for a new one")
    begun = [name for name in session_names(repository) if begun_here(repository, name)]
    if onto or (begun and not tag and not base):
        session = own_session(repository, choose_session(repository, onto or begun[0]))
        if all(getattr(settings, name) == _fixed(session, name) for name in named):
            return session, True
    session = running.new_session(repository, settings, tag, base)
    check_session(repository, session)
    return session, False


def _fixed(session: Session, name: str) -> Any:
    """What a session was begun with, by the name of the setting."""
    if name in ("metric", "direction"):
        return session.metric.name if name == "metric" else session.metric.direction
    return getattr(session, name)


def offer_for(repository: Repository, settings: Settings, session: Session, word: str) -> Offer:
    """What `word` offers to the session; a step that the loop would refuse is refused here already, with the same reason."""
    with community.read_library(repository) as library:
        sources = community.sources(repository, settings, library, session.base, running.say)
        reader = EvidenceReader(sources.store, session.metric, session.editable, running.say)
        offer = read_offer(sources.store, reader, sources.find(word))
    harness = python_texts(repository, session, read_harness(repository, session))
    steps = tuple(_screened(step, session.editable, harness) for step in offer.steps)
    return dataclasses.replace(offer, steps=steps, whole=_screened(offer.whole, session.editable, harness))


def _screened(step: Step, editable: tuple[str, ...], harness: Mapping[str, str]) -> Step:
    if step.refused or not step.after:
        return step
    refused = screening.refusal(Proposal(step.description, step.after), step.before, editable, harness)
    return dataclasses.replace(step, refused=refused)


def confirm(what: str, done: str, yes: bool) -> None:
    """Ask the user whether to do `what`. Raises AutoresearchError, saying that nothing was `done`, where they do not want it."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise AutoresearchError(f"nothing was {done}: there is nobody to ask", "look at it with --dry-run, then add --yes")
    if not click.confirm(f"{what}?", default=False, err=True):
        raise AutoresearchError(f"nothing was {done}", "run it again when you are ready")


def confinement(unsandboxed: bool) -> str:
    """What strangers' code is confined by here. Raises AutoresearchError where nothing works, unless the user typed that they want
    it `unsandboxed`."""
    found = sandbox.survey()
    if found.kind == sandbox.NONE and not unsandboxed:
        raise AutoresearchError(f"strangers' code is not run where nothing confines it: {found.why}",
                                f"{found.fix}; or, in a machine that may be lost: --unsandboxed")  # fmt: skip
    return found.kind
