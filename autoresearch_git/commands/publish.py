"""`git autoresearch publish`: the exact commits as a pull request, the paper as a Discussion, once, whatever breaks."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoresearch_git import tokens
from autoresearch_git.commands import publication
from autoresearch_git.community.hubs import Hub, publication_hub, token_for
from autoresearch_git.config import Settings, load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.lab.process import holds_secret
from autoresearch_git.ledger import notebook, result
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.ledger.session import choose_session, folder_of
from autoresearch_git.plaintext import one_line
from autoresearch_git.publishing import pages
from autoresearch_git.publishing.pages import Pages
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.repository import Remote, Repository, open_repository

if TYPE_CHECKING:
    from autoresearch_git.publishing.plan import Plan, Wishes
    from autoresearch_git.publishing.publish import Published, Publisher

PATIENCE = 90.0  # seconds that a publication waits for a rate limit


@click.command("publish", epilog="Example:  git autoresearch publish --dry-run")
@click.argument("session", required=False)
@click.option("--to", metavar="OWNER/NAME", help="Publish there; the repository behind origin if not given.")
@click.option("--fork", is_flag=True, help="Push to your fork, also where you may push to the repository itself.")
@click.option("--as", "tag", metavar="TAG", help="Publish under another name than the session's tag.")
@click.option("--with-discards/--without-discards", "discards", default=True,
              help="Push the notebook, with everything that was discarded (default).")  # fmt: skip
@click.option("--notes", type=click.Path(dir_okay=False, exists=True, path_type=Path), metavar="FILE",
              help="Markdown of your own for the paper; kept for the next time.")  # fmt: skip
@click.option("--mine", is_flag=True, help="Also a session that was not begun in this repository.")
@click.option("--unpublish", is_flag=True, help="Close the pull request and the Discussion, with a note.")
@click.option("--dry-run", is_flag=True, help="Show everything that would be posted, and contact nobody.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Also write what is shown there.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(
    session: str | None, to: str | None, fork: bool, tag: str | None, discards: bool, notes: Path | None, mine: bool,
    unpublish: bool, dry_run: bool, output: Path | None, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Publish SESSION: push its exact commits, open a pull request that is not meant to be merged, and post the paper as a
    Discussion.

    Shows first what would be done, and asks. Run it again after more experiments, or after anything went wrong: it looks at
    what is there, and brings it up to date.
    """
    repository = open_repository(Path.cwd())
    settings = load_settings(repository)
    book = notebook.read(repository, notebook.NAMESPACE + choose_session(repository, session))
    hub = publication_hub(repository, settings, to)
    draft = Draft(repository, settings, hub, book, notes, output)
    if dry_run:
        draft.show(as_json)
        return
    if not unpublish:
        result.check(repository, book.session.name, mine)
        draft.refuse_secrets()
    wishes = _wishes(repository, settings, book, tag, fork, discards)
    plan, publisher = _look(draft, wishes)
    if unpublish:
        _refuse_unpublished(plan, book)
    else:
        draft.preview(plan)
    if not yes:
        _confirm("close both" if unpublish else "publish this")
    if not unpublish:
        publisher.book = result.publish_result(repository, book.session.name, draft.files, mine)
    _carry_out(publisher, unpublish, as_json)
