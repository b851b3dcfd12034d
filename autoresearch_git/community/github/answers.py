"""What GitHub's API answers, told apart: a limit to wait for, a definite no, an answer that says nothing.

PyGithub's own retries are switched off here: it would re-send what must not be sent twice, and it does not know that a rate
limit may come as HTTP 200.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import github
import requests

from autoresearch_git import __version__
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.plaintext import one_line

# GraphQL errors that say for certain that nothing was done. Any other type, or none, may be of something that half happened.
_DEFINITE = {"FORBIDDEN", "INSUFFICIENT_SCOPES", "UNPROCESSABLE", "NOT_FOUND", "RATE_LIMITED", "MAX_NODE_LIMIT_EXCEEDED"}
# How GitHub words a limit that it gives the look of a refusal: of all requests, and of what one may create in a while.
_LIMIT = re.compile(r"\brate limit\b|\bsubmitted too quickly\b|\bblocked from content creation\b", re.IGNORECASE)


class LimitReachedError(AutoresearchError):
    """The rate limit lasts longer than the user's patience. What was done until then is kept."""


class UnreadableError(Exception):
    """An answer without what was asked for."""


# What PyGithub raises, some of it of an answer that is no API's: a login page, a redirect, a list.
CONFUSED = (ValueError, TypeError, AttributeError, LookupError, RuntimeError)
FAILURES = (github.GithubException, requests.RequestException, UnreadableError, *CONFUSED)


class Asker(Protocol):
    """Who asks where: what errors name."""

    api: str
    owner_name: str
    hub: str
    token_source: str


def connect(api: str, token: str, timeout: float) -> github.Github:
    """The client, which sends every request once and at once. PyGithub takes whole seconds only."""
    return github.Github(
        auth=github.Auth.Token(token), base_url=api, timeout=math.ceil(timeout), retry=None,
        seconds_between_requests=0.0, seconds_between_writes=0.0, user_agent=f"git-autoresearch/{__version__}",
    )  # fmt: skip


def not_an_api(error: Exception) -> UnreadableError:
    return UnreadableError(f"what answers there is no GitHub API ({type(error).__name__})")


def _errors(answer: object) -> list[Mapping[str, Any]]:
    errors = answer.get("errors") if isinstance(answer, dict) else None
    return [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []


def types(answer: object) -> set[str]:
    return {str(e.get("type", "")).upper() for e in _errors(answer)}


def said(answer: object) -> str:
    """The errors of an answer on one line. REST names a field and a code where it has no message."""
    return one_line("; ".join(str(e.get("message", f"{e.get('field', '')} {e.get('code', '')}")) for e in _errors(answer)), 160)


def message(error: Exception) -> str:
    if isinstance(error, github.GithubException):
        return said(error.data) or one_line(f"HTTP {error.status} {error.message or ''}", 160)
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return one_line(str(error) or type(error).__name__, 160)


def told(error: Exception, timeout: float) -> str:
    """`message` of any of FAILURES. What PyGithub stumbled over is not quoted: it may hold what we sent."""
    if isinstance(error, requests.Timeout):
        return f"no answer in {timeout:g} s"
    return message(not_an_api(error) if isinstance(error, CONFUSED) else error)


def limit_wait(error: Exception) -> float | None:
    """Seconds that a rate limit lasts, or None where the error is none: primary limits come as HTTP 200 with RATE_LIMITED,
    secondary ones as 403 or 429, those of creating as 403, 422 or UNPROCESSABLE."""
    if not isinstance(error, github.GithubException):
        return None
    headers = {k.lower(): v for k, v in (error.headers or {}).items()}
    if not _is_limit(error, "retry-after" in headers):
        return None
    if re.fullmatch(r"\d{1,6}", headers.get("retry-after", "")):
        return float(headers["retry-after"])
    if re.fullmatch(r"\d{9,11}", headers.get("x-ratelimit-reset", "")) and headers.get("x-ratelimit-remaining", "0") == "0":
        return max(1.0, float(headers["x-ratelimit-reset"]) - time.time() + 1)
    return 60.0


def _is_limit(error: github.GithubException, told_when: bool) -> bool:
    if isinstance(error, github.RateLimitExceededException) or "RATE_LIMITED" in types(error.data) or error.status == 429:
        return True
    refused = is_graphql(error) or error.status in (403, 422)
    return (error.status == 403 and told_when) or (refused and bool(_LIMIT.search(message(error))))


def wait_for_limit(
    hub: str, seconds: float, patient: bool, hint: str, tell: Callable[[str], None], sleep: Callable[[float], None]
) -> None:
    """Sleep until the limit is over, told to the user. Raises LimitReachedError where they are not `patient`."""
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
    if not patient:
        raise LimitReachedError(f"the rate limit of {hub} lasts until {until}", hint)
    tell(f"rate limit of {hub}: waiting {seconds:.0f} s, until {until}")
    sleep(seconds)


def is_graphql(error: github.GithubException) -> bool:
    """Whether GraphQL says so, with HTTP 200. PyGithub gives its errors a status of their own."""
    return isinstance(error.data, dict) and isinstance(error.data.get("errors"), list) and "message" not in error.data


def is_refusal(error: Exception) -> bool:
    """Whether the answer is a definite no. A 5xx, a cut connection or an error without a type is none."""
    if not isinstance(error, github.GithubException):
        return False
    if not is_graphql(error):
        return 400 <= error.status < 500 and error.status not in (408, 425)
    static = "data" not in error.data  # before anything is done: a question that does not fit the schema
    errors = _errors(error.data)
    return bool(errors) and all(e["type"] in _DEFINITE if e.get("type") else static and "locations" in e for e in errors)


def brought_something(error: Exception) -> bool:
    """Whether data came with the errors: then what was asked for was done, at least in part."""
    data = getattr(error, "data", None)
    found = data.get("data") if isinstance(data, dict) else None
    return isinstance(found, dict) and any(value is not None for value in found.values())


def raise_if_final(error: Exception, asker: Asker) -> None:
    """Turn what asking again cannot mend into an error that says what can."""
    if not isinstance(error, github.GithubException):
        return
    raise_if_unauthorized(error, asker)
    if isinstance(error, github.UnknownObjectException) or "NOT_FOUND" in types(error.data):
        raise AutoresearchError(
            f"there is no repository {asker.owner_name} at {asker.api}, or the token from {asker.token_source} may not see it",
            "git config autoresearch.hub OWNER/NAME",
        ) from error
    if error.status in (403, 451) or types(error.data) & {"FORBIDDEN", "INSUFFICIENT_SCOPES"}:
        raise AutoresearchError(
            f"{asker.hub} does not let the token from {asker.token_source} read: {message(error)}",
            "use a token that may read the repository and its Discussions (classic: public_repo)",
        ) from error
    if 400 <= error.status < 500 and error.status not in (408, 409, 425):
        raise AutoresearchError(f"{asker.api} refuses the question: {message(error)}", "git autoresearch doctor") from error


def raise_if_unauthorized(error: Exception, asker: Asker) -> None:
    """The token is good for nothing, whatever was asked."""
    if isinstance(error, github.GithubException) and error.status == 401:
        raise AutoresearchError(
            f"{asker.hub} refuses the token from {asker.token_source}", "gh auth login, or export a token that is valid"
        ) from error
