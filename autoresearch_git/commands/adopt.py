"""`git autoresearch adopt`: take somebody else's commits, measure each here, and keep what holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import click

from autoresearch_git.commands import adopt_console as shown
from autoresearch_git.commands import console, running
from autoresearch_git.commands.adoption import Asked, again, confinement, offer_for, own_sessions, session_for, takes_source, typed
from autoresearch_git.community.offers import Offer, Step
from autoresearch_git.config import load_settings, templates_folder
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Session
from autoresearch_git.ledger.session import LiveSession, free_tag
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Repository, open_repository
from autoresearch_git.research.researchers import READERS, make
from autoresearch_git.research.researchers.replicator import Replicator

_EXAMPLES = """Examples:

\b
  git autoresearch adopt '#44' --dry-run               what would come, and from whom
  git autoresearch adopt origin/exp/H100/mar8          a branch that was fetched
  git autoresearch adopt ada:exp/H100/nov21 --whole    its last state, as one change
"""


@click.command("adopt", epilog=_EXAMPLES)
@takes_source
@click.option("--whole", is_flag=True, help="Measure its last state once, and take everything or nothing.")
@click.option("--order", type=click.Choice(["as-made", "best-first"]), default="as-made", help="Which commit is tried first.")
@click.option("--trust", is_flag=True, help="Take them without measuring; the record says so.")
@click.option("--no-port", is_flag=True, help="Pass over what conflicts, also where a model is there to port it.")
def command(asked: Asked, whole: bool, order: str, trust: bool, no_port: bool) -> None:
    """Take the commits of SOURCE over, one by one: each is measured here, and kept only if it is better here.

    SOURCE is a branch (also `remote/branch` or `owner:branch`), a number such as #44, the address of a pull request or
    Discussion, a session's name, or a range A..B. Its code runs confined, without network and without your files; the commits
    keep their authors. Run it again, with another source, and what holds accumulates.
    """
    repository = open_repository(Path.cwd())
    settings = load_settings(repository, asked.given)
    wishes = [word for word, wanted in (("--whole", whole), ("--trust", trust)) if wanted]
    wishes += [*(["--order", order] if order != "as-made" else []), *(["--no-port"] if no_port else [])]
    session, begun = session_for("adopt", repository, settings, asked)
    offer = offer_for(repository, settings, session, asked.source)
    own = own_sessions(repository, offer)
    if begun and session.name in own:
        raise AutoresearchError(
            f"{offer.source.key} is session {session.name} itself, which has measured every commit of it",
            f"{_anew(repository, session, asked, wishes)} measures them in a new session",
        )
    chosen = _chosen(offer, whole, asked.commits, order)
    runs = (0, 0) if trust else (1, 2 if session.judge == "confirmed" else 1)
    ports = settings.researcher in READERS and not (trust or no_port)  # a model's edit is no one's to trust
    plan = shown.Plan(session, begun, confinement(asked), runs, "".join(own[:1]), settings.researcher if ports else "")
    if asked.dry_run:
        shown.offered(offer, chosen, plan, asked.as_json, asked.whole_diff)
        return
    shown.preview(offer, chosen, plan, asked.whole_diff)
    steps = [step for step in chosen if not step.refused]
    if not steps:
        raise AutoresearchError(*_nothing_to_take(offer, session, typed("adopt", asked, *wishes)))
    porter = make(settings, templates_folder(repository, settings)) if ports else None
    console.confirm("take these unmeasured" if trust else "measure these here", asked.yes, "nothing was adopted")
    settings = dataclasses.replace(settings, experiments=0, hours=0.0)  # those end a night's research, not an adoption
    with running.foreground(begun, again("adopt", asked, session, *wishes)) as here:
        live = here.live = LiveSession.resume(repository, session.name) if begun else LiveSession.create(repository, session)
        skipped: list[tuple[Step, str]] = []
        replicator = Replicator(
            offer, steps, repository.merged_text, lambda step, why: skipped.append((step, why)),
            "taken, not measured" if trust else "tried", porter,
        )  # fmt: skip
        running.research(here, replicator, settings, asked.as_json, new=not begun, trust=trust, unsandboxed=asked.unsandboxed)
        shown.outcome(offer, steps, skipped, live.book)
        if not asked.as_json:
            click.echo(f"next     {shown.next_step(live.book)}")


def _anew(repository: Repository, session: Session, asked: Asked, wishes: Sequence[str]) -> str:
    tag = free_tag(repository, session.platform, session.branch_prefix)
    return typed("adopt", dataclasses.replace(asked, onto=None, tag=tag), *wishes)


def _nothing_to_take(offer: Offer, session: Session, command: str) -> tuple[str, str]:
    """(what happened, what to type) where no step may be taken."""
    message = f"nothing of {offer.source.key} can be taken"
    if any(step.after for step in offer.steps):
        return message, f"{command} --dry-run says why, commit by commit"
    paths = dict.fromkeys(path for step in offer.steps for path in step.changed)
    changed = ", ".join(one_line(path, 60) for path in list(paths)[:5])
    editable = ", ".join(one_line(path, 60) for path in session.editable)
    return f"{message}: its commits change {changed}; here only {editable} may be changed", (
        f"{command} --editable FILES measures other files, in a new session (with --run and --metric, where those differ)"
    )


def _chosen(offer: Offer, whole: bool, commits: str | None, order: str) -> list[Step]:
    """The steps that the user wants, in the order to try them. Raises AutoresearchError for a commit that is not offered."""
    if whole and commits:
        raise click.UsageError("--whole takes everything; --commits names some")
    if whole:
        return [offer.whole]
    if commits:
        return [offer.named(word) for word in commits.replace(",", " ").split()]
    taken = [step for step in offer.steps if step.takes]
    if order == "best-first":
        sign = 1 if offer.metric.direction == "min" else -1
        taken.sort(key=lambda step: (step.claimed is None, sign * (step.claimed or 0.0)))
    return taken
