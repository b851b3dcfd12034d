"""GitHub's API, written: pull requests, Discussions and labels, each in one request that is sent once.

No answer to a write does not mean that nothing was written. Such a write is never sent again from here: `LostAnswerError` says
so, and whoever called looks with one of the `find_` methods. `RefusedError` says that nothing was written for sure.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import github

from autoresearch_git.community.github import records
from autoresearch_git.community.github.answers import (
    FAILURES,
    UnreadableError,
    brought_something,
    connect,
    is_refusal,
    limit_wait,
    message,
    raise_if_final,
    told,
    types,
    wait_for_limit,
)
from autoresearch_git.community.github.outcomes import outcome
from autoresearch_git.community.github.records import Discussion, PullRequest, Target, full_name, objects, text, within
from autoresearch_git.errors import AutoresearchError

LABEL = "autoresearch"
READS = 3  # of one question that fails for no reason of ours
PAGE = 100
_BODIES = 25  # Discussions a page, each with up to 64 KiB of body
_FINE_GRAINED = "github_pat_"  # how such a token begins
_CATEGORY = "nodes { id name slug }"
_LOOK = f"""
query ($owner: String!, $name: String!, $label: String!, $discussions: Boolean!) {{
  viewer {{ login }}
  repository(owner: $owner, name: $name) {{
    id url nameWithOwner isPrivate isArchived hasDiscussionsEnabled viewerPermission forkingAllowed
    defaultBranchRef {{ name target {{ oid }} }}
    parent {{ nameWithOwner }}
    discussionCategories(first: 25) @include(if: $discussions) {{ {_CATEGORY} }}
    assignable: discussionCategories(first: 25, filterByAssignable: true) @include(if: $discussions) {{ {_CATEGORY} }}
    label(name: $label) {{ id }}
    forks(first: 10, affiliations: [OWNER]) {{ nodes {{ nameWithOwner owner {{ login }} }} }}
  }}
}}
"""
_DISCUSSION = (
    "id number url title body closed category { slug } labels(first: 20) { nodes { name } } author { login } viewerCanUpdate"
)
_NUMBERED = f"""
query ($owner: String!, $name: String!, $number: Int!) {{
  repository(owner: $owner, name: $name) {{ discussion(number: $number) {{ {_DISCUSSION} }} }}
}}
"""
_DISCUSSIONS = f"""
query ($repository: ID!, $size: Int!, $after: String) {{
  viewer {{
    repositoryDiscussions(
      first: $size, after: $after, repositoryId: $repository, orderBy: {{field: CREATED_AT, direction: DESC}}
    ) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ {_DISCUSSION} }} }}
  }}
}}
"""
_COMMITS = """
query ($owner: String!, $name: String!, $number: Int!, $size: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      commits(first: $size, after: $after) { pageInfo { hasNextPage endCursor } nodes { commit { oid } } }
    }
  }
}
"""
T = TypeVar("T")


@dataclass
class Writer:
    """Publishes to one repository. `tell` hears of every wait; `patience` are the seconds that all waits of one request may
    take. Every method but `look`, `commits_of` and those that `find_` is one write."""

    api: str
    owner_name: str
    hub: str
    token: str = field(repr=False)
    token_source: str
    tell: Callable[[str], None]
    patience: float
    timeout: float = 30
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._client = connect(self.api, self.token, self.timeout)

    # -- reading ----------------------------------------------------------------------------------------------------

    def look(self) -> Target:
        """What must be known before anything is written, in one question; in two where the token may not read Discussions. A
        repository that was renamed is written to under its new name from here on, as REST does not follow the old one."""

        def ask() -> Target:
            try:
                return self._target(discussions_refused="")
            except github.GithubException as error:
                if types(error.data) != {"FORBIDDEN"} or limit_wait(error) is not None:
                    raise
                return self._target(discussions_refused=message(error))

        found = self._read(ask)
        self.owner_name = found.name
        return found

    def _target(self, discussions_refused: str) -> Target:
        asked = {**self._named(), "label": LABEL, "discussions": not discussions_refused}
        headers, answer = self._client.requester.graphql_query(_LOOK, asked)
        scopes, fine_grained = headers.get("x-oauth-scopes", ""), self.token.startswith(_FINE_GRAINED)
        return records.target(within(answer, "data"), scopes, fine_grained, discussions_refused)

    def find_pulls(self, head_owner: str, branch: str) -> list[PullRequest]:
        """Every pull request from this branch, in any state, the newest first: a listing, as search lags behind."""
        found: dict[int, PullRequest] = {}
        page, more = 1, True
        while more:
            listed, more = self._read(functools.partial(self._list_pulls, head_owner, branch, page))
            found |= {pull.number: pull for pull in listed}  # what is opened meanwhile moves the others to the next page
            page += 1
        return sorted(found.values(), key=lambda pull: pull.number, reverse=True)

    def _list_pulls(self, head_owner: str, branch: str, page: int) -> tuple[list[PullRequest], bool]:
        """(those of one page, whether another one follows)."""
        head = f"{head_owner}:{branch}"
        asked = {"state": "all", "head": head, "sort": "created", "direction": "desc", "per_page": PAGE, "page": page}
        headers, nodes = self._client.requester.requestJsonAndCheck("GET", f"/repos/{self.owner_name}/pulls", parameters=asked)
        if not isinstance(nodes, list):
            raise UnreadableError("no list of pull requests in the answer")
        ours = [records.pull_request(node) for node in objects(nodes) if _is_from(node, head_owner, branch)]
        return ours, 'rel="next"' in headers.get("link", "")

    def find_discussion(self, repository_id: str, holds: str) -> Discussion | None:
        """The newest Discussion of the viewer's in the repository whose body contains `holds`."""
        asked = {"repository": repository_id, "size": _BODIES}
        listed = self._pages(_DISCUSSIONS, asked, ("viewer", "repositoryDiscussions"), records.discussion)
        return next((found for found in listed if holds in found.body), None)

    def find_discussion_numbered(self, number: int) -> Discussion | None:
        """Anybody's Discussion in the repository, by its number."""

        def ask() -> Discussion | None:
            try:
                _, answer = self._client.requester.graphql_query(_NUMBERED, {**self._named(), "number": number})
            except github.GithubException as error:
                if types(error.data) != {"NOT_FOUND"} or within(error.data, "data").get("repository") is None:
                    raise
                return None
            return records.discussion(within(answer, "data", "repository", "discussion"))

        return self._read(ask)

    def commits_of(self, number: int) -> tuple[str, ...]:
        """The commits of a pull request, the oldest first."""
        asked = {**self._named(), "number": number, "size": PAGE}
        path = ("repository", "pullRequest", "commits")
        return tuple(self._pages(_COMMITS, asked, path, lambda node: records.commit(within(node, "commit"), "oid")))

    def _named(self) -> dict[str, Any]:
        owner, _, name = self.owner_name.partition("/")
        return {"owner": owner, "name": name}

    def _pages(
        self, query: str, variables: Mapping[str, Any], path: tuple[str, ...], convert: Callable[[records.Node], T]
    ) -> Iterator[T]:
        """What a connection holds, page after page."""

        def ask() -> tuple[list[T], str | None]:
            _, answer = self._client.requester.graphql_query(query, {**variables, "after": after})
            connection = within(answer, "data", *path)
            info = within(connection, "pageInfo")
            following = text(info, "endCursor") if info.get("hasNextPage") else None
            return [convert(node) for node in objects(connection.get("nodes"))], following

        after: str | None = None
        while True:
            found, following = self._read(ask)
            yield from found
            if following in (None, after):  # a page that leads to itself is the last
                return
            after = following

    # -- writing ----------------------------------------------------------------------------------------------------

    def make_fork(self) -> str:
        """owner/name of the viewer's fork, which is made where there is none. It may take a while before it can be pushed to."""
        return self._post("forking", "POST", "forks", {"default_branch_only": True}, lambda fork: full_name(fork, "full_name"))

    def create_pull(self, title: str, body: str, head: str, base: str, draft: bool) -> PullRequest:
        given = {"title": title, "body": body, "head": head, "base": base, "draft": draft}
        return self._post("opening a pull request", "POST", "pulls", given, records.pull_request)

    def edit_pull(self, number: int, title: str, body: str) -> PullRequest:
        given = {"title": title, "body": body}
        return self._post(f"editing pull request #{number}", "PATCH", f"pulls/{number}", given, records.pull_request)

    def set_pull_open(self, number: int, is_open: bool) -> PullRequest:
        given = {"state": "open" if is_open else "closed"}
        what = f"{'reopening' if is_open else 'closing'} pull request #{number}"
        return self._post(what, "PATCH", f"pulls/{number}", given, records.pull_request)

    def create_label(self, name: str, colour: str, description: str) -> str:
        """The id of the new label."""
        given = {"name": name, "color": colour, "description": description}
        return self._post(f"creating the label {name}", "POST", "labels", given, lambda made: text(made, "node_id"))

    def label(self, node_id: str, label_id: str) -> None:
        given = {"labelableId": node_id, "labelIds": [label_id]}
        self._mutate("adding a label", "addLabelsToLabelable", given, "labelable { __typename }", "labelable", lambda _: None)

    def create_discussion(self, repository_id: str, category_id: str, title: str, body: str) -> Discussion:
        given = {"repositoryId": repository_id, "categoryId": category_id, "title": title, "body": body}
        return self._discuss("opening a Discussion", "createDiscussion", given)

    def edit_discussion(self, discussion_id: str, title: str, body: str) -> Discussion:
        given = {"discussionId": discussion_id, "title": title, "body": body}
        return self._discuss("editing the Discussion", "updateDiscussion", given)

    def close_discussion(self, discussion_id: str) -> Discussion:
        return self._discuss("closing the Discussion", "closeDiscussion", {"discussionId": discussion_id})

    def reopen_discussion(self, discussion_id: str) -> Discussion:
        return self._discuss("reopening the Discussion", "reopenDiscussion", {"discussionId": discussion_id})

    # -- sending ----------------------------------------------------------------------------------------------------

    def _discuss(self, what: str, mutation: str, given: Mapping[str, Any]) -> Discussion:
        return self._mutate(what, mutation, given, f"discussion {{ {_DISCUSSION} }}", "discussion", records.discussion)

    def _mutate(
        self, what: str, mutation: str, given: Mapping[str, Any], shape: str, item: str, read: Callable[[records.Node], T]
    ) -> T:
        def send() -> T:
            _, payload = self._client.requester.graphql_named_mutation(mutation, dict(given), shape)
            return read(within(payload, item))

        return self._write(what, send)

    def _post(self, what: str, verb: str, place: str, given: Mapping[str, Any], read: Callable[[records.Node], T]) -> T:
        def send() -> T:
            _, made = self._client.requester.requestJsonAndCheck(verb, f"/repos/{self.owner_name}/{place}", input=dict(given))
            return read(within(made))

        return self._write(what, send)

    def _write(self, what: str, send: Callable[[], T]) -> T:
        """Send once, and again only after a limit, which says that nothing was done."""
        waited = 0.0
        while True:
            try:
                return send()
            except FAILURES as error:
                seconds = None if brought_something(error) else limit_wait(error)
                if seconds is None:
                    raise outcome(what, error, self, self.timeout) from error
                waited = self._wait(waited, seconds)

    def _read(self, ask: Callable[[], T]) -> T:
        waited, failures = 0.0, 0
        while True:
            try:
                return ask()
            except FAILURES as error:
                seconds = limit_wait(error)
                if seconds is not None:
                    waited = self._wait(waited, seconds)
                    continue
                if is_refusal(error):
                    raise_if_final(error, self)
                failures += 1
                if failures >= READS:
                    hint = "check the network, then run the same command again"
                    raise AutoresearchError(f"{self.api} does not answer: {told(error, self.timeout)}", hint) from error
                self.sleep(0.2 * 2 ** (failures - 1))

    def _wait(self, waited: float, seconds: float) -> float:
        """Wait for a limit; the seconds waited in all."""
        waited += max(1.0, seconds)
        hint = "run the same command again after that; what was published is kept"
        wait_for_limit(self.hub, max(1.0, seconds), waited <= self.patience, hint, self.tell, self.sleep)
        return waited


def _is_from(node: records.Node, head_owner: str, branch: str) -> bool:
    """Whether a pull request comes from the branch: a server that knows no filter lists them all."""
    owner, _, name = text(within(node, "head"), "label").partition(":")
    return (owner.lower(), name) == (head_owner.lower(), branch)
