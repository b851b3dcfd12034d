"""A report as a hub gives it, before anything is believed: a pull request, a Discussion, a branch or a notebook."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

LONGEST_BODY = 131_072  # characters; GitHub takes 65,536


@dataclass(frozen=True)
class Comment:
    author: str
    body: str
    created: str = ""


@dataclass(frozen=True)
class Report:
    """`name` is the number of a pull request or Discussion, or the name of a branch or notebook. Times are ISO 8601 in UTC.
    `head` is the full sha that the report is about, empty where there is none."""

    hub: str
    kind: str  # pull, discussion, branch, notebook
    name: str
    title: str = ""
    body: str = ""
    author: str = ""
    state: str = ""
    url: str = ""
    created: str = ""
    updated: str = ""
    branch: str = ""
    head: str = ""
    comments: tuple[Comment, ...] = ()

    @property
    def key(self) -> str:
        """How findings name it: `owner/name#44`, `owner/name@exp/H100/mar8`."""
        return f"{self.hub}{'#' if self.kind in ('pull', 'discussion') else '@'}{self.name}"

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> Report:
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "comments": tuple(Comment(**c) for c in fields["comments"])})
