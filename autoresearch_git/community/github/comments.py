"""GitHub's API, for what is said below somebody's pull request or Discussion: found by what it holds, then written once."""

from __future__ import annotations

from dataclasses import dataclass

import github

from autoresearch_git.community.github.answers import types
from autoresearch_git.community.github.records import Node, flag, link, text, within
from autoresearch_git.community.github.writer import PAGE, Writer

PULL, DISCUSSION = "pullRequest", "discussion"  # as GraphQL calls them
_COMMENT = "id url body"
_THREAD = """
query ($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { thread: %s(number: $number) { id url closed locked viewerDidAuthor } }
}
"""
_LISTED = f"pageInfo {{ hasNextPage endCursor }} nodes {{ {_COMMENT} viewerDidAuthor }}"
_COMMENTS = f"""
query ($id: ID!, $size: Int!, $after: String) {{
  node(id: $id) {{
    ... on PullRequest {{ comments(first: $size, after: $after) {{ {_LISTED} }} }}
    ... on Discussion {{ comments(first: $size, after: $after) {{ {_LISTED} }} }}
  }}
}}
"""


@dataclass(frozen=True)
class Comment:
    id: str
    url: str
    body: str


@dataclass(frozen=True)
class Thread:
    """A pull request or a Discussion, as somebody finds it who may comment there. `own`: the viewer opened it."""

    kind: str
    id: str
    url: str
    closed: bool
    locked: bool
    own: bool

    @property
    def shut(self) -> str:
        """closed or locked, where nothing is to be said any more; else empty."""
        return "closed" if self.closed else "locked" if self.locked else ""


class CommentWriter(Writer):
    """Comments in one repository. Every method but those that `find_` is one write."""

    def find_thread(self, number: int) -> Thread | None:
        """Anybody's pull request or Discussion of that number; None where there is neither."""
        return self._find_thread(PULL, number) or self._find_thread(DISCUSSION, number)

    def _find_thread(self, kind: str, number: int) -> Thread | None:
        def ask() -> Thread | None:
            try:
                _, answer = self._client.requester.graphql_query(_THREAD % kind, {**self._named(), "number": number})
            except github.GithubException as error:
                if types(error.data) != {"NOT_FOUND"} or within(error.data, "data").get("repository") is None:
                    raise
                return None
            found = within(answer, "data", "repository", "thread")
            own = flag(found, "viewerDidAuthor")
            return Thread(kind, text(found, "id"), link(found, "url"), flag(found, "closed"), flag(found, "locked"), own)

        return self._read(ask)

    def find_comment(self, thread: Thread, holds: str) -> Comment | None:
        """The viewer's first comment there whose body contains `holds`, on whatever page it stands. Who copies it is not them."""
        asked = {"id": thread.id, "size": PAGE}
        listed = self._pages(_COMMENTS, asked, ("node", "comments"), lambda node: (flag(node, "viewerDidAuthor"), _comment(node)))
        return next((found for own, found in listed if own and holds in found.body), None)

    def add_comment(self, thread: Thread, body: str) -> Comment:
        what = f"commenting on {thread.url}"
        if thread.kind == DISCUSSION:
            given = {"discussionId": thread.id, "body": body}
            return self._mutate(what, "addDiscussionComment", given, f"comment {{ {_COMMENT} }}", "comment", _comment)
        shape = f"commentEdge {{ node {{ {_COMMENT} }} }}"
        given = {"subjectId": thread.id, "body": body}
        return self._mutate(what, "addComment", given, shape, "commentEdge", lambda edge: _comment(within(edge, "node")))

    def edit_comment(self, thread: Thread, comment_id: str, body: str) -> Comment:
        what, shape = f"editing the comment on {thread.url}", f"{{ {_COMMENT} }}"
        if thread.kind == DISCUSSION:
            given = {"commentId": comment_id, "body": body}
            return self._mutate(what, "updateDiscussionComment", given, f"comment {shape}", "comment", _comment)
        given = {"id": comment_id, "body": body}
        return self._mutate(what, "updateIssueComment", given, f"issueComment {shape}", "issueComment", _comment)


def _comment(node: Node) -> Comment:
    return Comment(text(node, "id"), link(node, "url"), text(node, "body"))
