"""How a publication is shown: what it would post, what it did."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoresearch_git.commands import console, publication
from autoresearch_git.commands.publication import Draft
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.plaintext import defuse, one_line
from autoresearch_git.publishing.pages import Pages
from autoresearch_git.publishing.wording import count

if TYPE_CHECKING:  # only who asks GitHub needs PyGithub
    from autoresearch_git.community.github import Discussion, PullRequest
    from autoresearch_git.publishing.plan import Plan
    from autoresearch_git.publishing.publish import Published, Publisher

SHOWN_LINES = 60  # of each body in the preview; all of it is in the files that it names


def row(label: str, text: str) -> None:
    click.echo(f"{label:<10} {one_line(text, 400)}", err=True)


def show(draft: Draft, told: Pages, comments: dict[str, str], output: Path | None, as_json: bool) -> None:
    """Everything, to stdout and to files; nobody was asked anything. `comments` are by their sources."""
    files = [*_write(draft, told, output), *write_comments(comments, output)] if output else []
    for problem in publication.notes_problems(draft.repository, draft.paper):
        console.say(f"note: {problem}")
    if as_json:
        fields = {"title": told.title, "pull_request": told.pull, "discussion": told.paper, "commit": draft.head}
        click.echo(json.dumps({**fields, "comments": comments}))
        return
    click.echo(f"title: {told.title}")
    commented = ((f"comment on {key}", body) for key, body in comments.items())
    for name, body in (("pull request", told.pull), ("Discussion", told.paper), *commented):
        click.echo(f"\n======== {name} ========\n\n{defuse(body, len(body)) if sys.stdout.isatty() else body}")
    for file in files:
        console.say(f"wrote {file}")


def _write(draft: Draft, told: Pages, folder: Path) -> list[Path]:
    picture = draft.repository.read_file(draft.head, publication.PICTURE) or b""
    contents = {"pull_request.md": told.pull.encode(), "paper.md": told.paper.encode(), publication.PICTURE: picture}
    return _write_files(contents, folder)


def write_comments(comments: Mapping[str, str], folder: Path) -> list[Path]:
    """Each as a file with its source's name."""
    return _write_files(
        {f"comment-{re.sub(r'[^A-Za-z0-9]+', '-', key)}.md": body.encode() for key, body in comments.items()}, folder
    )


def _write_files(contents: Mapping[str, bytes], folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise AutoresearchError(f"{folder} cannot be a folder: {error.strerror}", "--output DIR") from error
    for name, content in contents.items():
        console.write_file(folder / name, content, "--output DIR")
    return [folder / name for name in contents]


def preview_folder(draft: Draft, output: Path | None) -> Path:
    return output or publication.folder(draft.repository, draft.book) / "preview"


def preview(draft: Draft, publisher: Publisher, folder: Path, bodies: bool) -> None:
    """What would be done, to stderr; the bodies that would change whole in a folder, and as far as they are short below that."""
    plan, told = publisher.plan, publisher.pages()
    _write(draft, told, folder)
    for label, line in _rows(draft, publisher, told):
        row(label, line)
    row("whole in", str(folder))
    if bodies:
        _show_bodies(plan, told)


def _show_bodies(plan: Plan, told: Pages) -> None:
    """The bodies that would be new or changed."""
    from autoresearch_git.publishing import outlook

    written = (
        ("pull request", told.pull, outlook.of_pull(plan, told)),
        ("Discussion", told.paper, outlook.of_discussion(plan, told)),
    )
    for name, body in [(name, body) for name, body, state in written if state and not state.endswith(outlook.AS_IT_IS)]:
        lines = defuse(body, len(body)).strip().splitlines()
        shown = "\n".join(f"  | {line}" for line in lines[:SHOWN_LINES])
        rest = f"\n  … {len(lines) - SHOWN_LINES} more lines" if len(lines) > SHOWN_LINES else ""
        click.echo(f"\n{name}:\n\n{shown}{rest}", err=True)


def _rows(draft: Draft, publisher: Publisher, told: Pages) -> list[tuple[str, str]]:
    from autoresearch_git.publishing.outlook import of_discussion, of_pull

    plan, book = publisher.plan, draft.book
    place, target = plan.place, plan.target
    seen = f"those who may read {target.name}" if target.private else "everybody"
    where = plan.home.name if plan.home else f"{place.repository}, a fork that is made first"
    kept = count(len(draft.paper.results.kept), "kept experiment")
    rows = [
        ("publish", f"session {book.session.name} to {target.name} ({plan.hub.source}), for {seen} to see"),
        *([("changes", ", ".join(publisher.changes()))] if plan.pull or plan.discussion else []),
        ("title", told.title),
        ("branch", f"{place.branch} to {where}: the baseline, {kept}, the results"),
    ]
    below = publication.below_base(draft.repository, book, target.head)
    if below:
        has = count(len(below), "commit")
        rows.append(("", f"and {has} below the baseline that {target.name} does not have, the last: {below[-1]}"))
    if place.notebook:
        rows.append(("notebook", f"{place.notebook}: {_all(draft)}"))
    rows.append(("pull", _at(plan.pull, of_pull(plan, told))))
    if not plan.whole:
        rows.append(("paper", _at(plan.discussion, of_discussion(plan, told))))
    notes = (*plan.notes, *publication.notes_problems(draft.repository, draft.paper))
    return [*rows, *(("note", note) for note in notes)]


def _all(draft: Draft) -> str:
    results = draft.paper.results
    tried = {0: "", 1: " and the experiment"}.get(len(results.rows), f" and all {len(results.rows)} experiments")
    return f"the baseline{tried}{', also what was discarded' if results.not_kept else ''}"


def _at(item: PullRequest | Discussion | None, state: str) -> str:
    return f"{item.url}, {state}" if item else state


def preview_withdrawal(draft: Draft, plan: Plan) -> bool:
    """What would be closed, and what stays all the same. Returns whether anything is open."""
    if not plan.pull and not plan.discussion:
        raise AutoresearchError(f"nothing of session {draft.book.session.name} is published at {plan.hub.name}",
                                "git autoresearch publish")  # fmt: skip
    from autoresearch_git.publishing.plan import names

    there = [(plan.pull.url, plan.pull.state == "OPEN")] if plan.pull else []
    there += [(plan.discussion.url, not plan.discussion.closed)] if plan.discussion else []
    for url, is_open in there:
        row("close", url if is_open else f"{url}, which is closed already")
    refs = [ref for ref in names(plan.place) if ref in plan.refs]
    if plan.home and refs:
        row("stays", f"{' and '.join(refs)} at {plan.home.name}, which others may have gone on from; to remove them:")
        row("", shlex.join(["git", "push", plan.home.url, "--delete", *refs]))
        if plan.home.owner_name != plan.target.name:
            row("stays", f"your fork {plan.home.web}; to remove it, with all that is in it: gh repo delete {plan.place.repository}")
    return any(is_open for _, is_open in there)


def tell(published: Published, as_json: bool) -> None:
    place = published.place
    if as_json:
        named = {"pull_request": place.pull, "discussion": place.discussion, "repository": place.repository,
                 "branch": place.branch, "notebook": place.notebook, "commit": place.head}  # fmt: skip
        rest = {"comments": published.comments, "done": published.done, "notes": published.notes}
        click.echo(json.dumps({**{k: v or None for k, v in named.items()}, **rest}))
        return
    nothing = "what was published is closed" if place.withdrawn else "everything is in place"
    for line in published.done or (f"nothing to do: {nothing}",):
        console.say(line)
    for note in published.notes:
        console.say(f"note: {note}")
    for url in filter(None, (place.pull, place.discussion, *published.comments)):
        click.echo(url)
