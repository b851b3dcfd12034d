"""`git autoresearch adopt`: take somebody else's commits, measure each here, and keep what holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from autoresearch_git.commands import adopt_console as shown
from autoresearch_git.commands import console, running
from autoresearch_git.commands.adoption import Asked, again, confinement, offer_for, session_for, takes_source
from autoresearch_git.community.offers import Offer, Step
from autoresearch_git.config import load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger.session import LiveSession
from autoresearch_git.repository import open_repository
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
def command(asked: Asked, whole: bool, order: str, trust: bool) -> None:
    """Take the commits of SOURCE over, one by one: each is measured here, and kept only if it is better here.

    SOURCE is a branch (also `remote/branch` or `owner:branch`), a number such as #44, the address of a pull request or
    Discussion, a session's name, or a range A..B. Its code runs confined, without network and without your files; the commits
    keep their authors. Run it again, with another source, and what holds accumulates.
    """
    repository = open_repository(Path.cwd())
    settings = load_settings(repository, asked.given)
    session, begun = session_for(repository, settings, asked)
    offer = offer_for(repository, settings, session, asked.source)
    chosen = _chosen(offer, whole, asked.commits, order)
    if asked.dry_run:
        shown.offered(offer, chosen, session, asked.as_json, asked.whole_diff)
        return
    kind = confinement(asked.unsandboxed)
    shown.preview(offer, chosen, session, begun, kind, asked.whole_diff)
    if not any(step for step in chosen if not step.refused):
        raise AutoresearchError(
            f"nothing of {offer.source.key} can be taken", "git autoresearch adopt … --dry-run says why, commit by commit"
        )
    console.confirm("take these unmeasured" if trust else "measure these here", asked.yes, "nothing was adopted")
    wishes = [word for word, wanted in (("--whole", whole), ("--trust", trust)) if wanted]
    order_again = ["--order", order] if order != "as-made" else []
    settings = dataclasses.replace(settings, experiments=0, hours=0.0)  # those end a night's research, not an adoption
    with running.foreground(begun, again("adopt", asked, session, *wishes, *order_again)) as here:
        live = here.live = LiveSession.resume(repository, session.name) if begun else LiveSession.create(repository, session)
        skipped: list[tuple[Step, str]] = []
        steps = [step for step in chosen if not step.refused]
        replicator = Replicator(
            offer, steps, repository.merged_text, lambda step, why: skipped.append((step, why)),
            "taken, not measured" if trust else "tried",
        )  # fmt: skip
        running.research(here, replicator, settings, asked.as_json, new=not begun, trust=trust, unsandboxed=asked.unsandboxed)
        shown.outcome(offer, steps, skipped, live.book)


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
