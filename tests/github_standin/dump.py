"""The whole world as text, the same whenever the same things happened, whatever the port and the clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from github_standin import git
from github_standin.models import Comment, Discussion, Pull

if TYPE_CHECKING:
    from github_standin.hub import GitHub
    from github_standin.repository import Repository


def dump(hub: GitHub) -> str:
    """Repositories, branches and other refs, pull requests, Discussions, comments.

    Commits are named <1>, <2> … in the order in which they appear, as their shas depend on when they were made; the
    stand-in's own address is http://github.
    """
    lines: list[str] = []
    for _, repository in sorted(hub.repositories.items()):
        lines += [_title(repository), *_refs(repository)]
        items = {number: _pull(pull) for number, pull in repository.pulls.items()}
        items |= {number: _discussion(discussion) for number, discussion in repository.discussions.items()}
        for _, item in sorted(items.items()):
            lines += item
        lines.append("")
    return _stable("\n".join(lines), hub)


def _title(repository: Repository) -> str:
    words = [f"fork of {repository.parent.name_with_owner}"] if repository.parent else []
    words += ["private"] if repository.is_private else []
    words += ["with Discussions"] if repository.has_discussions_enabled else []
    return f"{repository.name_with_owner}" + (f" ({', '.join(words)})" if words else "")


def _refs(repository: Repository) -> list[str]:
    shape = "--format=%(refname) %(objectname) %(contents:subject)"
    return [f"  {row}" for row in git.run(repository.git_dir, "for-each-ref", "--sort=refname", shape).splitlines()]


def _pull(pull: Pull) -> list[str]:
    who = pull.author.login if pull.author else "ghost"
    words = [pull.state.lower(), *(["draft"] if pull.is_draft else []), *sorted(f"label {label.name}" for label in pull.labels)]
    head = f"    {pull.head_label} {pull.head_ref_oid} → {pull.base_ref_name} {pull.base_ref_oid}"
    return [
        f"  pull #{pull.number} by {who}: {pull.title} [{', '.join(words)}]",
        head,
        *_body(pull.body, 4),
        *_comments(pull.comments, 4),
    ]


def _discussion(discussion: Discussion) -> list[str]:
    who = discussion.author.login if discussion.author else "ghost"
    words = [
        discussion.category.slug,
        *(["closed"] if discussion.closed else []),
        *sorted(f"label {one.name}" for one in discussion.labels),
    ]
    head = f"  discussion #{discussion.number} by {who}: {discussion.title} [{', '.join(words)}]"
    return [head, *_body(discussion.body, 4), *_comments(discussion.comments, 4)]


def _body(text: str, indent: int) -> list[str]:
    return [" " * indent + "| " + line for line in text.splitlines()]


def _comments(comments: list[Comment], indent: int) -> list[str]:
    lines = []
    for comment in comments:
        who = comment.author.login if comment.author else "ghost"
        lines += [" " * indent + f"comment by {who}", *_body(comment.body, indent + 2), *_comments(comment.replies, indent + 2)]
    return lines


def _stable(text: str, hub: GitHub) -> str:
    names: dict[str, str] = {}
    for sha in re.findall(r"\b[0-9a-f]{40}\b", text):
        names.setdefault(sha, f"<{len(names) + 1}>")
    by_start = {sha[:7]: sha for sha in names}

    def name(match: re.Match[str]) -> str:
        sha = by_start.get(match[0][:7], "")
        return names[sha] if sha.startswith(match[0]) and sha else match[0]

    return re.sub(r"\b[0-9a-f]{7,40}\b", name, text).replace(hub.url, "http://github")
