"""`git autoresearch publish`: the exact commits as a pull request, the paper as a Discussion, once, whatever breaks."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoresearch_git import tokens
from autoresearch_git.commands import console, publication
from autoresearch_git.community.hubs import Hub, publication_hub, token_for
from autoresearch_git.config import Settings, load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger import notebook, result
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.ledger.session import choose_session
from autoresearch_git.plaintext import defuse, one_line
from autoresearch_git.publishing import pages
from autoresearch_git.publishing.pages import Pages
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place, remember
from autoresearch_git.publishing.wording import count
from autoresearch_git.repository import Remote, Repository, open_repository

if TYPE_CHECKING:  # only who asks GitHub needs PyGithub
    from autoresearch_git.community.github import Discussion, PullRequest
    from autoresearch_git.publishing.plan import Plan
    from autoresearch_git.publishing.publish import Published, Publisher

PATIENCE = 90.0  # seconds that a publication waits for a rate limit
SHOWN_LINES = 60  # of each body in the preview; all of it is in the files that it names


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
    if unpublish and dry_run:
        raise click.UsageError("choose one of --unpublish and --dry-run")
    repository = open_repository(Path.cwd())
    settings = load_settings(repository)
    book = notebook.read(repository, notebook.NAMESPACE + choose_session(repository, session))
    hub = publication_hub(repository, settings, to)
    if notes:
        publication.keep_notes(repository, book.session.name, notes)
    draft = _draft(repository, settings, book)
    if dry_run:
        place = publication.known_place(repository, settings, book, hub, draft.head)
        _show(draft, pages.render(draft.paper, place, draft.templates), output, as_json)
        return
    result.check(repository, book.session.name, mine)
    publisher = _publisher(draft, hub, tag, fork, discards)
    if unpublish:
        _preview_withdrawal(draft, publisher.plan)
    else:
        _preview(draft, publisher, output, bodies=not yes)
    _confirm("close both" if unpublish else "publish this", yes)
    if not unpublish:
        _land(draft, publisher, mine)
    published = _carry_out(publisher, unpublish)
    remember(repository, book.session.name, published.place)
    _tell(published, as_json)


@dataclasses.dataclass(frozen=True)
class Draft:
    """What would be published, from the notebook alone. `head` is the commit that the branch would end in."""

    repository: Repository
    settings: Settings
    book: Notebook
    paper: Paper
    picture: dict[str, bytes]
    head: str
    templates: Path | None


def _draft(repository: Repository, settings: Settings, book: Notebook) -> Draft:
    paper = publication.gather(repository, book)
    publication.refuse_secrets(repository, paper)
    picture = {} if result.is_published(repository, book) else publication.picture(book, paper)
    head = result.result_commit(repository, book, picture) if picture else book.result
    return Draft(repository, settings, book, paper, picture, head, publication.templates(repository, settings))


def _show(draft: Draft, told: Pages, output: Path | None, as_json: bool) -> None:
    """Everything, to stdout and to files; nobody was asked anything."""
    files = _write(draft, told, output) if output else []
    if as_json:
        click.echo(json.dumps({"title": told.title, "pull_request": told.pull, "discussion": told.paper, "commit": draft.head}))
        return
    click.echo(f"title: {told.title}")
    for name, body in (("pull request", told.pull), ("Discussion", told.paper)):
        click.echo(f"\n======== {name} ========\n\n{defuse(body, len(body)) if sys.stdout.isatty() else body}")
    for file in files:
        click.echo(f"wrote {file}", err=True)


def _write(draft: Draft, told: Pages, folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise AutoresearchError(f"{folder} cannot be a folder: {error.strerror}", "--output DIR") from error
    picture = draft.repository.read_file(draft.head, publication.PICTURE) or b""
    contents = {"pull_request.md": told.pull.encode(), "paper.md": told.paper.encode(), publication.PICTURE: picture}
    for name, content in contents.items():
        console.write_file(folder / name, content, "--output DIR")
    return [folder / name for name in contents]


# -- with GitHub ----------------------------------------------------------------------------------------------------------


def _publisher(draft: Draft, hub: Hub, tag: str | None, fork: bool, discards: bool) -> Publisher:
    """Asks GitHub what is there, and is ready to publish. Raises AutoresearchError for what stands in the way."""
    from autoresearch_git.community.github import Writer
    from autoresearch_git.publishing.plan import Wishes, look
    from autoresearch_git.publishing.publish import Publisher

    if not hub.trusted:
        raise AutoresearchError(f"no token is sent to {hub.host}, so nothing can be published to {hub.name}",
                                f"git config --add autoresearch.hub {hub.url}, if you know it")  # fmt: skip
    token = token_for(draft.repository, hub)
    if token is None:
        raise AutoresearchError(f"publishing to {hub.name} needs a token for {hub.host}", tokens.how_to_log_in(hub.host))
    timeout = draft.settings.api_timeout
    writer = Writer(hub.api, hub.owner_name, hub.name, token.value, token.source, _say, PATIENCE, timeout)

    def remote(of: Hub) -> Remote:
        return Remote(of.url, token.value)

    wishes = Wishes(publication.tag_for(draft.repository, draft.book, tag), fork, discards, draft.settings.category)
    plan = look(draft.repository, writer, hub, draft.paper, draft.book, wishes, remote)
    return Publisher(draft.repository, writer, plan, draft.paper, draft.book, remote, draft.head, draft.templates, _say)


def _say(text: str) -> None:
    click.echo(one_line(text, 400), err=True)


def _row(label: str, text: str) -> None:
    click.echo(f"{label:<10} {one_line(text, 400)}", err=True)


def _preview(draft: Draft, publisher: Publisher, output: Path | None, bodies: bool) -> None:
    """What would be done, to stderr; both bodies whole in files, and as far as they are short below that."""
    plan, told = publisher.plan, publisher.pages()
    files = _write(draft, told, output or publication.folder(draft.repository, draft.book) / "preview")
    for label, line in _rows(draft, plan, told):
        _row(label, line)
    _row("whole in", str(files[0].parent))
    for name, body in (("pull request", told.pull), ("Discussion", told.paper))[: (1 if plan.whole else 2) if bodies else 0]:
        lines = defuse(body, len(body)).strip().splitlines()
        shown = "\n".join(f"  | {line}" for line in lines[:SHOWN_LINES])
        rest = f"\n  … {len(lines) - SHOWN_LINES} more lines" if len(lines) > SHOWN_LINES else ""
        click.echo(f"\n{name}:\n\n{shown}{rest}", err=True)


def _rows(draft: Draft, plan: Plan, told: Pages) -> list[tuple[str, str]]:
    book, place, target = draft.book, plan.place, plan.target
    seen = f"those who may read {target.name}" if target.private else "everybody"
    where = plan.home.name if plan.home else f"{place.repository}, a fork that is made first"
    kept = count(len(draft.paper.results.kept), "kept experiment")
    rows = [
        ("publish", f"session {book.session.name} to {target.name} ({plan.hub.source}), for {seen} to see"),
        ("title", told.title),
        ("branch", f"{place.branch} to {where}: the baseline, {kept}, the results"),
    ]
    below = publication.below_base(draft.repository, book, target.head)
    if below:
        has = count(len(below), "commit")
        rows.append(("", f"and {has} below the baseline that {target.name} does not have, the last: {below[-1]}"))
    if place.notebook:
        rows.append(("notebook", f"{place.notebook}: all {count(len(book.experiments), 'experiment')}, also what was discarded"))
    rows.append(("pull", _state(plan.pull, told.title, told.pull) or f"new, a draft into {target.default_branch}"))
    if not plan.whole:
        new = f"new, in {plan.categories[0].name}" if plan.categories else ""
        rows.append(("paper", _state(plan.discussion, told.title, told.paper) or new))
    return [*rows, *(("note", note) for note in plan.notes)]


def _preview_withdrawal(draft: Draft, plan: Plan) -> None:
    if not plan.pull and not plan.discussion:
        raise AutoresearchError(f"nothing of session {draft.book.session.name} is published at {plan.hub.name}",
                                "git autoresearch publish")  # fmt: skip
    if plan.pull:
        _row("close", f"{plan.pull.url}" + ("" if plan.pull.state == "OPEN" else ", which is closed already"))
    if plan.discussion:
        _row("close", f"{plan.discussion.url}" + (", which is closed already" if plan.discussion.closed else ""))


def _state(item: PullRequest | Discussion | None, title: str, body: str) -> str:
    from autoresearch_git.publishing.publish import says

    return "" if item is None else f"{item.url}, {'as it is' if says(item, title, body) else 'to be updated'}"


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise AutoresearchError("nobody is there to be asked", "look at it with --dry-run, then add --yes")
    if not click.confirm(f"{what}?", default=False, err=True):
        raise AutoresearchError("nothing was published", "git autoresearch publish, when you are ready")


def _land(draft: Draft, publisher: Publisher, mine: bool) -> None:
    """Let the branch end in the results. Raises AutoresearchError where that is not what the user has agreed to."""
    name = draft.book.session.name
    if notebook.read(draft.repository, draft.book.session.notebook).tip != draft.book.tip:
        raise AutoresearchError(f"session {name} went on meanwhile, so nothing was published", f"git autoresearch publish {name}")
    publisher.book = result.publish_result(draft.repository, name, lambda _: draft.picture, mine)


def _carry_out(publisher: Publisher, unpublish: bool) -> Published:
    try:
        return publisher.withdraw() if unpublish else publisher.publish()
    except (AutoresearchError, KeyboardInterrupt):
        for line in publisher.done:
            _say(f"done so far: {line}")
        if not unpublish:
            _say("run the same command again to go on: it looks at what is there, and does nothing twice")
        raise


def _tell(published: Published, as_json: bool) -> None:
    place: Place = published.place
    if as_json:
        named = {"pull_request": place.pull, "discussion": place.discussion, "repository": place.repository,
                 "branch": place.branch, "notebook": place.notebook, "commit": place.head}  # fmt: skip
        click.echo(json.dumps({**{k: v or None for k, v in named.items()}, "done": published.done, "notes": published.notes}))
        return
    for line in published.done or ("everything is in place; nothing was changed",):
        _say(line)
    for note in published.notes:
        _say(f"note: {note}")
    for url in filter(None, (place.pull, place.discussion)):
        click.echo(url)
