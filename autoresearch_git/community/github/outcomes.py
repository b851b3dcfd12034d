"""What became of a write that brought no answer to go on with: refused, which is certain, or lost, which is not."""

from __future__ import annotations

import re

import github

from autoresearch_git.community.github.answers import (
    Asker,
    brought_something,
    is_graphql,
    is_refusal,
    message,
    raise_if_unauthorized,
    told,
    types,
)
from autoresearch_git.errors import AutoresearchError

# How GitHub words what a publisher has an answer to.
_REASONS = {
    "drafts": r"draft pull requests are not supported",
    "exists": r"already[ _]exists",
    "no-commits": r"no commits between",
    "no-history": r"no history in common",
    "too-long": r"too long",
    "no-discussions": r"discussions are (disabled|not enabled)",
    "archived": r"\barchived\b",
}


class LostAnswerError(AutoresearchError):
    """A write may have happened or not: look before it is sent again."""


class RefusedError(AutoresearchError):
    """A write did not happen. `status` is HTTP's, 200 for GraphQL's refusals; `types` are those of GraphQL's errors; `said` is
    GitHub's reason on one line."""

    def __init__(self, text: str, hint: str, status: int, types: frozenset[str], said: str) -> None:
        super().__init__(text, hint)
        self.status, self.types, self.said = status, types, said

    @property
    def reason(self) -> str:
        """drafts, exists, no-commits, no-history, too-long, no-discussions or archived; '' for any other."""
        return next((word for word, pattern in _REASONS.items() if re.search(pattern, self.said, re.IGNORECASE)), "")


def outcome(what: str, error: Exception, asker: Asker, timeout: float) -> AutoresearchError:
    """The error to raise. Raises another one where the token is good for nothing."""
    raise_if_unauthorized(error, asker)
    if not isinstance(error, github.GithubException) or not is_refusal(error) or brought_something(error):
        hint = "run the same command again: it looks first"
        return LostAnswerError(f"{asker.hub}: {what} may have worked or not: {told(error, timeout)}", hint)
    kinds = frozenset(types(error.data) if is_graphql(error) else ())
    status = 200 if is_graphql(error) else error.status
    said = message(error)
    return RefusedError(f"{asker.hub}: {what} was refused: {said}", _mend(status, kinds, said), status, kinds, said)


def _mend(status: int, kinds: frozenset[str], said: str) -> str:
    if "INSUFFICIENT_SCOPES" in kinds or status == 404:
        return "gh auth refresh --scopes public_repo, or use a classic token with that scope (repo for a private repository)"
    if re.search("resource not accessible", said, re.IGNORECASE):
        return "gh auth login, or use a classic token: a fine-grained one never writes where others own the repository"
    if re.search(_REASONS["no-history"], said, re.IGNORECASE):
        return "publish it where its base comes from: git autoresearch publish --to OWNER/NAME"
    return "git autoresearch doctor"
