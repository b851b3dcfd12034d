"""How `publish` tells the sources of a session where their claims stand: who may be told, what is shown, what is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoresearch_git.commands.console import say
from autoresearch_git.commands.publication import Draft
from autoresearch_git.commands.publish_console import row, write_comments
from autoresearch_git.community.hubs import Hub, hub_at, hubs, token_for
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.publishing.place import Place
from autoresearch_git.publishing.standing import render, standings, unspoken
from autoresearch_git.publishing.wording import listed

if TYPE_CHECKING:  # only who asks GitHub needs PyGithub
    from autoresearch_git.community.github import CommentWriter
    from autoresearch_git.publishing.commenting import Commenter
    from autoresearch_git.publishing.publish import Publisher

PATIENCE = 90.0  # seconds that a comment waits for a rate limit
_NUMBERED = re.compile(r"([\w.:/\[\]-]+)#(\d{1,9})", re.ASCII)  # what a pull request or a Discussion is called


def look(draft: Draft, publisher: Publisher, hub: Hub) -> Commenter:
    """What is there to be said, and what has been, after a look at every source."""
    from autoresearch_git.publishing.commenting import Commenter

    found = Commenter(draft.paper, publisher.place, draft.templates, publisher.done, say)
    told = standings(draft.paper)
    silent = unspoken(draft.paper)
    if not told and not silent:
        found.notes.append("nothing is commented: no commit of others was measured in this session")
    for standing in told:
        match = _NUMBERED.fullmatch(standing.key)
        if match is None:
            found.notes.append(f"{standing.key} cannot be commented on: it is no pull request or Discussion")
            continue
        try:
            writer = _writer(draft, hub, match[1])
        except AutoresearchError as error:
            found.notes.append(f"{standing.key} cannot be commented on: {error}")
        else:
            found.look(standing, writer, int(match[2]))
    for key in silent:
        why = "is not commented on: not all of it was tried from where it started, so its claim was not measured"
        found.notes.append(
            f"{key} {why if _NUMBERED.fullmatch(key) else 'cannot be commented on: it is no pull request or Discussion'}"
        )
    return found


def _writer(draft: Draft, hub: Hub, name: str) -> CommentWriter:
    """For the repository that findings call `name`. Raises AutoresearchError where no token goes there: the name may be a
    stranger's, and makes no host one that is trusted."""
    from autoresearch_git.community.github import CommentWriter

    known = (each for each in (hub, *hubs(draft.repository, draft.settings)) if each.name.lower() == name.lower())
    address = name if name.count("/") == 1 else f"https://{name}"
    there = next(known, None) or hub_at(draft.repository, draft.settings, address)
    token = token_for(draft.repository, there) if there.api else None
    if token is None:
        raise AutoresearchError(
            f"there is no token for {there.host or there.name}, or none may go there", "git autoresearch doctor"
        )
    timeout = draft.settings.api_timeout
    return CommentWriter(there.api, there.owner_name, there.name, token.value, token.source, say, PATIENCE, timeout)


def preview(commenter: Commenter, folder: Path) -> None:
    """Where it would comment and what it would say, a line each; all of it in files."""
    for spot in (spot for spot in commenter.spots if not spot.thread.shut):
        said = f": {spot.standing.line}" if spot in commenter.changes() else ""
        row("comment", f"{spot.standing.key}, {commenter.state(spot)}{said}")
    for note in commenter.notes:
        row("note", note)
    bodies = {spot.standing.key: commenter.body(spot) for spot in commenter.changes()}
    if write_comments(bodies, folder):
        row("whole in", f"{folder}/comment-*.md")


def agreed(commenter: Commenter) -> bool:
    """Ask the user, by the sources' names."""
    names = listed(spot.standing.key for spot in commenter.changes())
    return click.confirm(f"comment on {names}?", default=False, err=True)


def offline(draft: Draft, place: Place) -> dict[str, str]:
    """Source → the comment, as far as it is known without asking anybody: for those that are called like a pull request or a
    Discussion."""
    told = [standing for standing in standings(draft.paper) if _NUMBERED.fullmatch(standing.key)]
    return {standing.key: render(standing, draft.paper, place, draft.templates) for standing in told}


def preview_withdrawal(commenter: Commenter) -> None:
    for spot in commenter.spots:
        if spot.there:
            row("stays", f"{spot.there.url}, your comment on {spot.standing.key}; it can be deleted there")
