"""What a hub is and what was published there, from GitHub's answers. Titles and bodies are kept as they are, to be compared
with what we would write: whoever shows them makes them safe first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoresearch_git.community.github.answers import UnreadableError
from autoresearch_git.plaintext import one_line

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Category:
    """Where a Discussion may be opened."""

    id: str
    name: str
    slug: str


@dataclass(frozen=True)
class Target:
    """A repository as somebody finds it who is about to publish there. `permission` is GitHub's word, '' for none;
    `default_branch` and `head` are '' where it has no commits.

    `discussions`: it has Discussions that the token may read; where it may not, `discussions_refused` is GitHub's reason.
    `scopes` is None for a token that does not tell any: a fine-grained one, which is told by its name, or an app's.
    """

    viewer: str
    id: str
    name: str
    url: str
    private: bool
    archived: bool
    discussions: bool
    forkable: bool
    permission: str
    default_branch: str
    head: str
    parent: str
    categories: tuple[Category, ...]
    assignable: tuple[Category, ...]  # those that the viewer may open a Discussion in
    label: str  # the id of the label `autoresearch`
    fork: str  # the viewer's own
    scopes: tuple[str, ...] | None
    fine_grained: bool
    discussions_refused: str


@dataclass(frozen=True)
class PullRequest:
    id: str
    number: int
    url: str
    title: str
    body: str
    state: str  # OPEN, CLOSED or MERGED
    draft: bool
    head: str
    base: str
    labels: tuple[str, ...]
    author: str
    head_name: str  # owner:branch, '' where its repository is gone


@dataclass(frozen=True)
class Discussion:
    id: str
    number: int
    url: str
    title: str
    body: str
    closed: bool
    category: str  # its slug
    labels: tuple[str, ...]
    author: str
    editable: bool  # by the viewer


# -- from answers -------------------------------------------------------------------------------------------------------


def within(answer: object, *path: str) -> Node:
    """The object at a path in an answer. Raises UnreadableError where there is none."""
    found = answer
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise UnreadableError(f"no {path[-1] if path else 'object'} in the answer")
    return found


def objects(found: object) -> list[Node]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def text(node: Node, name: str) -> str:
    if not isinstance(node.get(name), str):
        raise UnreadableError(f"no {name} in the answer")
    return str(node[name])


def line(node: Node, name: str) -> str:
    return one_line(text(node, name))


def commit(node: Node, name: str) -> str:
    sha = text(node, name)
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", sha):
        raise UnreadableError(f"no commit in {name} of the answer")
    return sha


def link(node: Node, name: str) -> str:
    """A URL that may stand in a post: nothing in it ends a link or a line."""
    url = text(node, name)
    if not re.fullmatch(r"https?://[^\s<>()\"'`\\]+", url) or not url.isprintable():
        raise UnreadableError(f"no URL in {name} of the answer")
    return url


def full_name(node: Node, name: str) -> str:
    """owner/name, which becomes part of URLs."""
    found = text(node, name)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", found, re.ASCII):
        raise UnreadableError(f"no owner/name in {name} of the answer")
    return found


def flag(node: Node, name: str) -> bool:
    if not isinstance(node.get(name), bool):
        raise UnreadableError(f"no {name} in the answer")
    return bool(node[name])


def number(node: Node) -> int:
    if type(node.get("number")) is not int:
        raise UnreadableError("no number in the answer")
    return int(node["number"])


def _categories(repository: Node, name: str) -> tuple[Category, ...]:
    nodes = objects(within(repository, name).get("nodes"))
    return tuple(Category(text(n, "id"), line(n, "name"), line(n, "slug")) for n in nodes)


def target(data: Node, scopes: str, fine_grained: bool, discussions_refused: str) -> Target:
    """`scopes` is the header of that name, '' where there is none; with a reason why they were refused, the answer holds nothing
    of Discussions."""
    viewer, repository = within(data, "viewer"), within(data, "repository")
    branch, parent = repository.get("defaultBranchRef"), repository.get("parent")
    forks = objects(within(repository, "forks").get("nodes"))
    login = text(viewer, "login")
    return Target(
        viewer=line(viewer, "login"),
        id=text(repository, "id"),
        name=full_name(repository, "nameWithOwner"),
        url=link(repository, "url"),
        private=flag(repository, "isPrivate"),
        archived=flag(repository, "isArchived"),
        discussions=flag(repository, "hasDiscussionsEnabled") and not discussions_refused,
        forkable=flag(repository, "forkingAllowed"),
        permission=one_line(str(repository.get("viewerPermission") or "")),
        default_branch=line(branch, "name") if isinstance(branch, dict) else "",
        head=commit(within(branch, "target"), "oid") if isinstance(branch, dict) else "",
        parent=full_name(parent, "nameWithOwner") if isinstance(parent, dict) else "",
        categories=() if discussions_refused else _categories(repository, "discussionCategories"),
        assignable=() if discussions_refused else _categories(repository, "assignable"),
        label=text(repository["label"], "id") if isinstance(repository.get("label"), dict) else "",
        fork=next((full_name(fork, "nameWithOwner") for fork in forks if within(fork, "owner").get("login") == login), ""),
        scopes=tuple(word for word in re.split(r"[,\s]+", one_line(scopes)) if word) or None,
        fine_grained=fine_grained,
        discussions_refused=discussions_refused,
    )


def pull_request(node: Node) -> PullRequest:
    """As REST gives it."""
    state = "MERGED" if node.get("merged_at") else text(node, "state").upper()
    if state not in ("OPEN", "CLOSED", "MERGED"):
        raise UnreadableError("no state in the answer")
    head = within(node, "head")
    return PullRequest(
        id=text(node, "node_id"),
        number=number(node),
        url=link(node, "html_url"),
        title=text(node, "title"),
        body=text(node, "body") if node.get("body") is not None else "",
        state=state,
        draft=node.get("draft") is True,
        head=commit(head, "sha"),
        base=text(within(node, "base"), "ref"),
        labels=tuple(line(label, "name") for label in objects(node.get("labels"))),
        author=_login(node, "user"),
        head_name=text(head, "label") if isinstance(head.get("repo"), dict) else "",
    )


def _login(node: Node, name: str) -> str:
    """Empty where the account is gone."""
    return line(within(node, name), "login") if isinstance(node.get(name), dict) else ""


def discussion(node: Node) -> Discussion:
    """As GraphQL gives it."""
    return Discussion(
        id=text(node, "id"),
        number=number(node),
        url=link(node, "url"),
        title=text(node, "title"),
        body=text(node, "body"),
        closed=flag(node, "closed"),
        category=line(within(node, "category"), "slug"),
        labels=tuple(line(label, "name") for label in objects(within(node, "labels").get("nodes"))),
        author=_login(node, "author"),
        editable=flag(node, "viewerCanUpdate"),
    )
