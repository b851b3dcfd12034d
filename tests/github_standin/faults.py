"""What goes wrong on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from github_standin.models import Json

# kind → what the client gets
KINDS = {
    "500": "an answer of 500, nothing is executed",
    "502": "a 502 with a page of HTML, nothing is executed",
    "504": "a 504, nothing is executed",
    "429": "a 429 with Retry-After, nothing is executed",
    "secondary": "a 403 that says secondary rate limit, with Retry-After only where retry_after is given",
    "too-quickly": "a 422 or UNPROCESSABLE that says submitted too quickly, with Retry-After only where retry_after is given",
    "blocked": "a 403 or UNPROCESSABLE that says blocked from content creation, with Retry-After only where retry_after is given",
    "rate-limit": "no points left until `seconds` from now: a 200 with an error for GraphQL, a 403 for REST",
    "resource-limit": "a 200 without data and the error RESOURCE_LIMITS_EXCEEDED; GraphQL only",
    "timeout": "a 200 without data and `Something went wrong`; GraphQL only",
    "partial": "a 200 where every third node is null, with errors; GraphQL only",
    "garbage": "a 200 whose body is no JSON, after executing the request",
    "lost": "a 502 after executing the request: the answer is lost",
    "hangup": "the connection closes in the middle of the body, after executing the request",
    "slow": "the right answer after `seconds`",
    "reset": "a connection reset (RST) without any answer, nothing is executed",
    "reset-after": "a connection reset without any answer, after executing the request",
    "silent": "no answer, and the end of the connection after `seconds`, nothing is executed",
    "silent-after": "no answer, and the end of the connection after `seconds`, after executing the request",
}
_GRAPHQL_ONLY = {"resource-limit", "timeout", "partial"}
EXECUTED = {"partial", "garbage", "lost", "hangup", "slow", "reset-after", "silent-after"}
UNANSWERED = {"reset", "reset-after", "silent", "silent-after"}

SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
TOO_QUICKLY = "was submitted too quickly"
BLOCKED = ("You have exceeded a secondary rate limit and have been temporarily blocked from content creation. "
           "Please retry your request again later.")  # fmt: skip
WENT_WRONG = "Something went wrong while executing your query. This may be the result of a timeout, or it could be a GitHub bug."
BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
GARBAGE = b'{"data": {"repository": {"pullReq'


@dataclass
class Fault:
    kind: str
    times: int = 1
    after: int = 0
    where: str = "graphql"
    seconds: float = 1.0
    retry_after: int | None = None

    @property
    def executes(self) -> bool:
        return self.kind in EXECUTED


class Faults:
    def __init__(self) -> None:
        self.arrived = 0  # requests of every kind
        self._planned: dict[int, Fault] = {}
        self._calls: dict[tuple[int, bool], Callable[[], object]] = {}
        self._queue: list[Fault] = []
        self._above: list[tuple[int, Fault]] = []
        self._lock = threading.Lock()

    def arrive(self) -> int:
        """The place of a new request among all."""
        with self._lock:
            self.arrived += 1
            return self.arrived - 1

    def plan(self, n: int, kind: str, seconds: float, retry_after: int | None) -> None:
        """For the n-th request from now on, whatever it is."""
        if kind not in KINDS or kind in _GRAPHQL_ONLY:
            raise ValueError(f"no fault {kind!r} of any request")
        self._planned[self.arrived + n] = Fault(kind, seconds=seconds, retry_after=retry_after)

    def planned(self, number: int) -> Fault | None:
        return self._planned.get(number)

    def plan_call(self, n: int, function: Callable[[], object], after: bool) -> None:
        self._calls[self.arrived + n, after] = function

    def call(self, number: int, after: bool) -> None:
        function = self._calls.pop((number, after), None)
        if function:
            function()

    def add(self, kind: str, times: int, after: int, where: str, seconds: float, retry_after: int | None) -> None:
        if kind not in KINDS or where not in ("graphql", "rest", "git") or (kind in _GRAPHQL_ONLY and where != "graphql"):
            raise ValueError(f"no fault {kind!r} in {where!r}")
        self._queue.append(Fault(kind, times, after, where, seconds, retry_after))

    def add_above(self, page_size: int, kind: str) -> None:
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}")
        self._above.append((page_size, Fault(kind)))

    def take(self, where: str, page_size: int = 0) -> Fault | None:
        """What is to go wrong with the request that is being answered now."""
        with self._lock:
            for limit, fault in self._above:
                if where == "graphql" and page_size > limit:
                    return fault
            fault_next = next((f for f in self._queue if f.where == where), None)
            if fault_next is None:
                return None
            if fault_next.after > 0:
                fault_next.after -= 1
                return None
            fault_next.times -= 1
            if fault_next.times == 0:
                self._queue.remove(fault_next)
            return fault_next


def refusal(fault: Fault, where: str, who: str) -> tuple[int, dict[str, str], bytes | Json]:
    """(status, headers, body) of a fault that executes nothing."""
    if fault.kind == "502":
        return 502, {"Content-Type": "text/html"}, BAD_GATEWAY
    if fault.kind == "429":
        return 429, {"Retry-After": str(1 if fault.retry_after is None else fault.retry_after)}, {"message": SECONDARY}
    if fault.kind == "secondary":
        return 403, {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}, {"message": SECONDARY}
    if fault.kind in ("too-quickly", "blocked"):
        return _creation_limited(fault, where)
    if fault.kind == "resource-limit":
        error = {"type": "RESOURCE_LIMITS_EXCEEDED", "message": "Resource limits for this query exceeded."}
        return 200, {}, {"data": None, "errors": [error]}
    if fault.kind == "timeout":
        return 200, {}, {"data": None, "errors": [{"message": WENT_WRONG}]}
    if fault.kind == "rate-limit":
        reset = str(int(time.time() + fault.seconds))
        return rate_limited(where, who, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})
    words = "We couldn't respond to your request in time." if fault.kind == "504" else "Server Error"
    return int(fault.kind), {}, {"message": words}


def _creation_limited(fault: Fault, where: str) -> tuple[int, dict[str, str], Json]:
    """The limit of what one may create, which GitHub words like a refusal."""
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    words = TOO_QUICKLY if fault.kind == "too-quickly" else BLOCKED
    if where == "graphql":
        return 200, headers, {"data": None, "errors": [{"type": "UNPROCESSABLE", "message": words}]}
    if fault.kind == "blocked":
        return 403, headers, {"message": words}
    entry = {"resource": "PullRequest", "code": "custom", "message": words}
    return 422, headers, {"message": "Validation Failed", "errors": [entry]}


def rate_limited(where: str, who: str, headers: dict[str, str]) -> tuple[int, dict[str, str], Json]:
    message = f"API rate limit exceeded for {who}."
    if where == "graphql":
        return 200, headers, {"errors": [{"type": "RATE_LIMITED", "message": message}]}
    return 403, headers, {"message": message}


def drop_nodes(answer: Json) -> Json:
    """The answer with every third node of the outermost connections null, and an error for each."""
    errors: list[Json] = list(answer.get("errors", []))

    def walk(value: Any, path: list[str | int]) -> Any:
        if not isinstance(value, dict):
            return value
        found = dict(value)
        for name, inner in value.items():
            if name == "nodes" and isinstance(inner, list) and inner:
                gone = set(range(0, len(inner), 3))
                found[name] = [None if place in gone else node for place, node in enumerate(inner)]
                errors.extend({"message": WENT_WRONG, "path": [*path, name, place]} for place in sorted(gone))
            else:
                found[name] = walk(inner, [*path, name])
        return found

    data = walk(answer.get("data"), [])
    return {"data": data, "errors": errors}
