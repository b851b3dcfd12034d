"""GitHub's API, read: pull requests and Discussions of a repository, newest first, a page of both in one GraphQL query.

A page that is too heavy is asked for again at half the size; a limit is waited for, told to the user, as long as their
patience goes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import github
import requests

from autoresearch_git.community.github.answers import (
    CONFUSED,
    UnreadableError,
    connect,
    limit_wait,
    message,
    not_an_api,
    raise_if_final,
    said,
    types,
    wait_for_limit,
)
from autoresearch_git.community.reports import LONGEST_BODY, Comment, Report
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.plaintext import one_line

LARGEST_PAGE = 100
COMMENTS = 30  # of each report, the newest
TRIES = 5  # of one page that fails for no reason of ours
_QUERY = """
query ($owner: String!, $name: String!, $size: Int!, $comments: Int!,
       $pulls: Boolean!, $pullsAfter: String, $discussions: Boolean!, $discussionsAfter: String) {
  rateLimit { cost remaining resetAt }
  repository(owner: $owner, name: $name) {
    nameWithOwner
    parent { nameWithOwner }
    pullRequests(first: $size, after: $pullsAfter, orderBy: {field: UPDATED_AT, direction: DESC}) @include(if: $pulls) {
      pageInfo { hasNextPage endCursor }
      nodes {
        number title body state isDraft url createdAt updatedAt author { login } headRefName headRefOid
        comments(last: $comments) { nodes { author { login } body createdAt } }
      }
    }
    discussions(first: $size, after: $discussionsAfter, orderBy: {field: UPDATED_AT, direction: DESC}) @include(if: $discussions) {
      pageInfo { hasNextPage endCursor }
      nodes {
        number title body closed url createdAt updatedAt author { login } category { slug }
        comments(last: $comments) { nodes { author { login } body createdAt } }
      }
    }
  }
}
"""


@dataclass(frozen=True)
class Cursor:
    """Where the next page begins; `done` connections are not asked for."""

    pulls: str | None = None
    discussions: str | None = None
    pulls_done: bool = False
    discussions_done: bool = False

    @property
    def done(self) -> bool:
        return self.pulls_done and self.discussions_done


@dataclass(frozen=True)
class Page:
    """Reports as they came, the newest first within their kind, and where the page after it begins. `parent` is the repository
    that this one was forked from, if it was."""

    reports: tuple[Report, ...]
    next: Cursor
    parent: str


@dataclass
class Reader:
    """Reads one repository. `tell` hears of every wait; `patience` are the seconds that one may take; `calls` and `points` count
    what was spent, also on failed pages."""

    api: str
    owner_name: str
    hub: str
    token: str = field(repr=False)
    token_source: str
    tell: Callable[[str], None]
    patience: float
    timeout: float = 30
    tries: int = TRIES
    sleep: Callable[[float], None] = time.sleep
    calls: int = 0
    points: int = 0
    _size: int = LARGEST_PAGE

    def __post_init__(self) -> None:
        self._client = connect(self.api, self.token, self.timeout)

    def page(self, cursor: Cursor, size: int = LARGEST_PAGE) -> Page:
        """The page at `cursor`. Raises AutoresearchError; LimitReachedError where waiting would take too long."""
        owner, _, name = self.owner_name.partition("/")
        failures = 0
        while True:
            asked = min(size, self._size)
            variables = {
                "owner": owner, "name": name, "size": asked, "comments": COMMENTS,
                "pulls": not cursor.pulls_done, "pullsAfter": cursor.pulls,
                "discussions": not cursor.discussions_done, "discussionsAfter": cursor.discussions,
            }  # fmt: skip
            self.calls += 1
            try:
                _, answer = self._client.requester.graphql_query(_QUERY, variables)
                page = self._page(answer, cursor)
                self._size = min(LARGEST_PAGE, 2 * self._size)
                return page
            except (github.GithubException, requests.RequestException, UnreadableError) as error:
                failures += 1
                if failures >= self.tries and (rest := self._partial(error, cursor)):
                    return rest
                self._after(error, asked, failures)
            except CONFUSED as error:
                failures += 1
                self._after(not_an_api(error), asked, failures)

    def _partial(self, error: Exception, cursor: Cursor) -> Page | None:
        """What came with an error that does not go away: a page where some items are missing is still a page."""
        answer = getattr(error, "data", None)
        if not isinstance(answer, dict) or types(answer) & {"RATE_LIMITED"}:
            return None
        try:
            page = self._page(answer, cursor)
        except UnreadableError:
            return None
        self.tell(f"{self.hub} sent a page with holes: {said(answer)}; the rest of it is read")
        return page

    def _after(self, error: Exception, asked: int, failures: int) -> None:
        """Wait or shrink so that the page can be asked for again, or raise."""
        wait = limit_wait(error)
        if wait is not None:
            self._wait(wait, failures)
            return
        if _too_heavy(error) and asked > 1:
            self._size = max(1, asked // 2)
            self.tell(f"{self.hub} could not answer for {asked} items at once; asking for {self._size}")
            self.sleep(min(1.0, 0.1 * failures))
            return
        raise_if_final(error, self)
        if failures >= self.tries:
            raise AutoresearchError(
                f"{self.api} does not answer: {message(error)}", "check the network; what was read is kept"
            ) from error
        self.sleep(min(8.0, 0.25 * 2**failures))

    def _wait(self, seconds: float, failures: int) -> None:
        patient = seconds <= self.patience and failures <= 2 * TRIES
        hint = "run git autoresearch findings --sync after that; what was read is kept"
        wait_for_limit(self.hub, seconds, patient, hint, self.tell, self.sleep)

    # -- answers ------------------------------------------------------------------------------------------------

    def _page(self, answer: Mapping[str, Any], cursor: Cursor) -> Page:
        data = answer.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("repository"), dict):
            raise UnreadableError(one_line(str(said(answer) or "no repository in the answer"), 120))
        spent = data.get("rateLimit")
        self.points += spent["cost"] if isinstance(spent, dict) and isinstance(spent.get("cost"), int) else 1
        repository: dict[str, Any] = data["repository"]
        pulls, pulls_next = self._reports(repository, "pullRequests", "pull", cursor.pulls, cursor.pulls_done)
        talks, talks_next = self._reports(repository, "discussions", "discussion", cursor.discussions, cursor.discussions_done)
        parent = repository.get("parent")
        return Page(
            (*pulls, *talks),
            Cursor(pulls_next[0], talks_next[0], pulls_next[1], talks_next[1]),
            str(parent["nameWithOwner"]) if isinstance(parent, dict) else "",
        )

    def _reports(
        self, repository: Mapping[str, Any], connection: str, kind: str, after: str | None, done: bool
    ) -> tuple[list[Report], tuple[str | None, bool]]:
        if done:
            return [], (after, True)
        found = repository.get(connection)
        if not isinstance(found, dict) or not isinstance(found.get("pageInfo"), dict):
            raise UnreadableError(f"no {connection} in the answer")
        info = found["pageInfo"]
        following = info.get("endCursor")
        last = not info.get("hasNextPage") or following in (None, after)  # a page that leads to itself is the last
        listed = found.get("nodes")
        nodes = [n for n in listed if isinstance(n, dict) and isinstance(n.get("number"), int)] if isinstance(listed, list) else []
        reports = [self._report(kind, node) for node in nodes]
        return reports, (str(following) if following else after, last)

    def _report(self, kind: str, node: Mapping[str, Any]) -> Report:
        state = "DRAFT" if node.get("isDraft") and node.get("state") == "OPEN" else node.get("state")
        head = str(node.get("headRefOid") or "")
        return Report(
            hub=self.hub,
            kind=kind,
            name=str(node["number"]),
            title=one_line(str(node.get("title") or "")),
            body=str(node.get("body") or "")[:LONGEST_BODY],
            author=_login(node),
            state=str(state or ("CLOSED" if node.get("closed") else "OPEN")),
            url=one_line(str(node.get("url") or "")),
            created=str(node.get("createdAt") or ""),
            updated=str(node.get("updatedAt") or ""),
            branch=one_line(str(node.get("headRefName") or "")),
            head=head if re.fullmatch(r"[0-9a-f]{40}", head) else "",
            comments=tuple(_comments(node.get("comments"))),
        )


def _comments(connection: object) -> Iterator[Comment]:
    """The comments, the newest of them as far as LONGEST_BODY characters hold them all."""
    nodes = connection.get("nodes") if isinstance(connection, dict) else None
    left = LONGEST_BODY
    for node in reversed([n for n in nodes if isinstance(n, dict)] if isinstance(nodes, list) else []):
        body = str(node.get("body") or "")[:left]
        left -= len(body)
        if body:
            yield Comment(_login(node), body, str(node.get("createdAt") or ""))


def _login(node: Mapping[str, Any]) -> str:
    author = node.get("author")
    return one_line(str(author.get("login") or ""), 60) if isinstance(author, dict) else ""


def _too_heavy(error: Exception) -> bool:
    if isinstance(error, requests.Timeout):
        return True
    if not isinstance(error, github.GithubException):
        return False
    told = types(error.data) & {"RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED", "TIMEOUT"}
    data = error.data.get("data") if isinstance(error.data, dict) else None
    holes = isinstance(data, dict) and bool(data.get("repository"))
    return error.status in (502, 504) or bool(told) or holes or "timeout" in message(error).lower()
