"""A session's two refs at their host: found there, moved there, and the commits of its pull request compared with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from autoresearch_git.community.github import PullRequest, Target
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.repository import NetworkError, Remote, Repository

GIT_SECONDS = 60.0  # that the host may take to list its refs
PUSH_SECONDS = 900.0
FORK_SECONDS = 60.0  # that a new fork may take until git can reach it
MOST_LISTED = 250  # commits of one pull request that GitHub lists


def refs_of_new(repository: Repository, remote: Remote, names: Sequence[str], sleep: Callable[[float], None]) -> dict[str, str]:
    """The refs of a fork that was just asked for: it is made in the background. Raises AutoresearchError."""
    until = time.monotonic() + FORK_SECONDS
    while True:
        try:
            return repository.remote_refs(remote, names, GIT_SECONDS)
        except AutoresearchError:
            if time.monotonic() > until:
                raise
            sleep(1.0)


def move(repository: Repository, remote: Remote, ref: str, sha: str, before: str) -> None:
    """Push, and look where that failed: git itself sends a push twice where an answer is lost. One that a network broke off before
    anything moved is made once more. Raises AutoresearchError."""
    try:
        repository.push(remote, sha, ref, before, PUSH_SECONDS)
    except AutoresearchError as error:
        now = repository.remote_refs(remote, [ref], GIT_SECONDS).get(ref, "")
        if now == before and isinstance(error, NetworkError):
            repository.push(remote, sha, ref, before, PUSH_SECONDS)
        elif now != sha:
            raise


def expected(repository: Repository, book: Notebook, head: str, pull: PullRequest, target: Target) -> tuple[list[str], list[str]]:
    """(the session's own commits up to `head`, all that the pull request must list, empty where that cannot be told), in order."""
    own = [*(e.commit for e in book.experiments if e.status.advances), head]
    known = repository.resolve(target.head) if pull.base == target.default_branch else None
    return own, [sha for sha, _, _ in repository.commits_between(known, head)] if known else []


def holds(there: Sequence[str], own: Sequence[str], branch: Sequence[str]) -> bool:
    """Whether a pull request that lists these commits holds exactly the branch, in order."""
    if list(there[-len(own) :]) == list(own) and (not branch or sorted(there) == sorted(branch)):
        return True
    return len(there) >= MOST_LISTED and list(there) == list(branch[: len(there)] if branch else there)
