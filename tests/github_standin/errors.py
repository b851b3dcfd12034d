"""How the stand-in says no."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A rule of GitHub's: `status` and `errors` are what REST answers, `kind` is the type of a GraphQL error."""

    def __init__(self, status: int, message: str, kind: str = "UNPROCESSABLE", errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.errors = status, message, kind, errors


class Unknown(Exception):
    """Something of GitHub's that the stand-in does not have: answered with 501, never with an invention."""


def not_found(what: str = "Not Found") -> Refused:
    return Refused(404, "Not Found", "NOT_FOUND") if what == "Not Found" else Refused(404, what, "NOT_FOUND")


def invalid(resource: str, text: str, field: str | None = None, code: str = "custom") -> Refused:
    """A 422 with one entry in `errors`, as GitHub's REST API words it; `text` is the message of the GraphQL error."""
    entry: dict[str, Any] = {"resource": resource, "code": code}
    if field:
        entry["field"] = field
    if code == "custom":
        entry["message"] = text
    return Refused(422, text, "UNPROCESSABLE", [entry])
