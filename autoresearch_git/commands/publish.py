"""`git autoresearch publish`: the exact commits as a pull request, the paper as a Discussion, once, whatever breaks."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoresearch_git import tokens
from autoresearch_git.commands import console, publication, publish_comments, publish_console
from autoresearch_git.commands.console import say
from autoresearch_git.commands.publication import Draft
from autoresearch_git.community.hubs import Hub, publication_hub, token_for
from autoresearch_git.config import Settings, load_settings, templates_folder
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger import notebook, result
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.ledger.session import begun_here, choose_session
from autoresearch_git.publishing import pages
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place, remember, remembered
from autoresearch_git.repository import Remote, Repository, open_repository

if TYPE_CHECKING:  # only who asks GitHub needs PyGithub
    from autoresearch_git.publishing.commenting import Commenter
    from autoresearch_git.publishing.publish import Published, Publisher

PATIENCE = 90.0  # seconds that a publication waits for a rate limit


@click.command("publish", epilog="Example:  git autoresearch publish --dry-run")
@click.argument("session", required=False)
@click.option("--to", metavar="OWNER/NAME", help="Publish there; the repository behind origin if not given.")
@click.option("--fork", is_flag=True, help="Push to your fork, also where you may push to the repository itself.")
@click.option("--as", "tag", metavar="TAG", help="Publish under another name than the session's tag.")
@click.option("--with-discards/--without-discards", "discards", default=None,
              help="Push the notebook, with everything that was discarded (default), or not; remembered.")  # fmt: skip
@click.option("--notes", type=click.Path(dir_okay=False, exists=True, path_type=Path), metavar="FILE",
              help="Markdown of your own for the paper; kept for the next time. An empty file takes it off again.")  # fmt: skip
@click.option("--comment", is_flag=True,
              help="Comment on each pull request and Discussion whose claims were measured, with what became of them.")  # fmt: skip
@click.option("--mine", is_flag=True, help="Also a session that was not begun in this repository.")
@click.option(
    "--unpublish", is_flag=True, help="Close the pull request and the Discussion, with a note; the branch and the notebook stay."
)
@click.option("--dry-run", is_flag=True, help="Show everything that would be posted, and contact nobody.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Also write what is shown there.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(
    session: str | None, to: str | None, fork: bool, tag: str | None, discards: bool | None, notes: Path | None, comment: bool,
    mine: bool, unpublish: bool, dry_run: bool, output: Path | None, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Publish SESSION: push its exact commits, open a pull request that is not meant to be merged, and post the paper as a
    Discussion.

    Shows first what would be done, and asks. Run it again after more experiments, or after anything went wrong: it looks at
    what is there, and brings it up to date. Where commits of others were adopted or measured again, --comment also tells each of
    their pull requests and Discussions what came out; without it a terminal is asked.
    """
    if unpublish and (dry_run or comment):
        raise click.UsageError(f"choose one of --unpublish and {'--dry-run' if dry_run else '--comment'}")
    repository = open_repository(Path.cwd())
    settings = load_settings(repository)
    name = choose_session(repository, session)
    hub = publication_hub(repository, settings, to)
    asked = Asked(hub, tag or "", fork, discards, comment, output, yes)
    if dry_run:
        book = notebook.read(repository, notebook.NAMESPACE + name)
        draft = _draft(repository, settings, book, notes)
        publication.refuse_secrets(repository, book, draft.paper.notes, "")
        if not mine and not begun_here(repository, name):
            say(f"note: session {name} was not begun here, so it may be somebody else's; to publish it takes --mine")
        place = _offline(draft, asked)
        comments = publish_comments.offline(draft, place) if comment else {}
        publish_console.show(draft, pages.render(_paper_for(draft, ""), place, draft.templates), comments, output, as_json)
        return
    if unpublish:
        book = notebook.read(repository, notebook.NAMESPACE + name)
        published = _unpublish(_draft(repository, settings, book, notes, lands=False), asked)
    else:
        with result.held(repository, name, mine) as book:  # nobody goes on with it between the preview and the push
            published = _publish(_draft(repository, settings, book, notes), asked)
    publish_console.tell(published, as_json)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the user typed."""

    hub: Hub
    tag: str
    fork: bool
    discards: bool | None
    comment: bool
    output: Path | None
    yes: bool


def _draft(repository: Repository, settings: Settings, book: Notebook, notes: Path | None, lands: bool = True) -> Draft:
    """`lands`: the branch is to end in a commit of the results, which is made here if it is not there."""
    paper = publication.gather(repository, book, notes)
    head = book.branch_tip
    if lands and not result.is_published(repository, book):
        head = result.result_commit(repository, book, publication.picture(book, paper))
    return Draft(repository, settings, book, paper, head, templates_folder(repository, settings))


def _offline(draft: Draft, asked: Asked) -> Place:
    """Where it would be published, as far as that is known without asking anybody."""
    place = publication.known_place(draft.repository, draft.settings, draft.book, asked.hub, draft.head)
    place = publication.as_wished(draft.repository, draft.book, place, asked.tag, asked.discards)
    say(f"links are as if you may push to {place.repository}; where you may not, they name your fork")
    return place


def _paper_for(draft: Draft, head: str) -> Paper:
    """The paper for a repository whose default branch ends in `head`, as far as that, or any remote's, is known here."""
    repository = draft.repository
    known = repository.resolve(head) or repository.refs("refs/remotes/")
    return dataclasses.replace(draft.paper, inherits=bool(known and publication.below_base(repository, draft.book, head)))


# -- with GitHub ----------------------------------------------------------------------------------------------------------


def _publish(draft: Draft, asked: Asked) -> Published:
    publisher = _publisher(draft, asked)
    publication.refuse_secrets(draft.repository, draft.book, draft.paper.notes, publisher.plan.target.head)
    comments = _agree(draft, publisher, asked)
    publication.keep_notes(draft.repository, draft.book, draft.paper.notes)
    publisher.book = result.land(draft.repository, draft.book, draft.head)

    def act() -> Published:
        published = publisher.publish()
        if comments is None:
            return published
        urls = comments.post(publisher.place)
        notes = (*published.notes, *comments.notes)
        return dataclasses.replace(published, done=tuple(publisher.done), notes=notes, comments=urls)

    return _carry_out(draft, publisher, act)


def _agree(draft: Draft, publisher: Publisher, asked: Asked) -> Commenter | None:
    """Show what would be published, and let the user agree to it; and then to comments, each time anew, as those reach others. The
    comments that they want. Raises AutoresearchError where they do not agree to the publication."""
    may_ask = not asked.yes and sys.stdin.isatty()
    comments = publish_comments.look(draft, publisher, asked.hub) if asked.comment or may_ask else None
    wanted = comments if asked.comment else None
    folder = publish_console.preview_folder(draft, asked.output)
    changes = bool(publisher.changes())
    if changes:
        publish_console.preview(draft, publisher, folder, bodies=not asked.yes)
    if wanted and (changes or wanted.changes()):
        publish_comments.preview(wanted, folder)
    if changes or (wanted and wanted.changes()):
        console.confirm("publish this", asked.yes, "nothing was published")
    if comments and not wanted and comments.changes():
        publish_comments.preview(comments, folder)
        wanted = comments if publish_comments.agreed(comments) else None
    return wanted


def _unpublish(draft: Draft, asked: Asked) -> Published:
    publisher = _publisher(draft, asked)
    is_open = publish_console.preview_withdrawal(draft, publisher.plan)
    publish_comments.preview_withdrawal(publish_comments.look(draft, publisher, asked.hub))
    if is_open:
        console.confirm("close what is open", asked.yes, "nothing was withdrawn", "look at the lines above, then add --yes")
    return _carry_out(draft, publisher, publisher.withdraw)


def _publisher(draft: Draft, asked: Asked) -> Publisher:
    """Asks GitHub what is there, and is ready to publish. Raises AutoresearchError for what stands in the way."""
    from autoresearch_git.community.github import Writer
    from autoresearch_git.publishing.plan import Wishes, look
    from autoresearch_git.publishing.publish import Publisher

    hub = asked.hub
    if not hub.trusted:
        raise AutoresearchError(f"no token is sent to {hub.host}, so nothing can be published to {hub.name}",
                                f"git config --add autoresearch.hub {hub.url}, if you know it")  # fmt: skip
    token = token_for(draft.repository, hub)
    if token is None:
        raise AutoresearchError(f"publishing to {hub.name} needs a token for {hub.host}", tokens.how_to_log_in(hub.host))
    timeout = draft.settings.api_timeout
    writer = Writer(hub.api, hub.owner_name, hub.name, token.value, token.source, say, PATIENCE, timeout)

    def remote(of: Hub) -> Remote:
        return Remote(of.url, token.value)

    before = remembered(draft.repository, draft.book.session.name)
    wishes = Wishes(asked.tag, asked.fork, asked.discards, draft.settings.category, before)
    plan = look(draft.repository, writer, hub, draft.paper, draft.book, wishes, remote)
    paper = _paper_for(draft, plan.target.head)
    return Publisher(draft.repository, writer, plan, paper, draft.book, remote, draft.head, draft.templates, say)


def _carry_out(draft: Draft, publisher: Publisher, act: Callable[[], Published]) -> Published:
    try:
        return act()
    except (AutoresearchError, KeyboardInterrupt):
        for line in publisher.done:
            say(f"done so far: {line}")
        say("run the same command again to go on: it looks at what is there, and does nothing twice")
        raise
    finally:
        if publisher.place.pull or publisher.place.discussion:
            remember(draft.repository, draft.book.session.name, publisher.place)
