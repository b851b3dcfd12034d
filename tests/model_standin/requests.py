"""What was asked."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_standin.answers import Answer

Json = dict[str, Any]


@dataclass
class Request:
    """One request as a test may look at it. Its headers never hold a key."""

    method: str
    path: str  # without the query
    query: str
    headers: dict[str, str]  # names in lower case
    key_sent: str | None = None  # how: bearer or x-api-key
    key_accepted: bool = False
    body: Json = field(default_factory=dict)
    status: int = 0  # of the answer; 0 where there was none
    fault: str | None = None
    answer: Answer | None = None  # what was sent, after a fault has changed it; of a cut stream, what the whole would have been
    usage: Json = field(default_factory=dict)

    @property
    def asks_model(self) -> bool:
        return self.method == "POST" and self.path == "/v1/messages"

    @property
    def streamed(self) -> bool:
        return self.body.get("stream") is True

    @property
    def tools(self) -> list[str]:
        return [tool["name"] for tool in self.body.get("tools") or ()]

    @property
    def turns(self) -> list[tuple[str, list[Json]]]:
        """The conversation as (role, blocks); what one role says in a row is one turn, as the API has it."""
        found: list[tuple[str, list[Json]]] = []
        for message in self.body.get("messages") or ():
            blocks = as_blocks(message["content"])
            if found and found[-1][0] == message["role"]:
                found[-1][1].extend(blocks)
            else:
                found.append((message["role"], blocks))
        return found

    @functools.cached_property
    def prompt(self) -> str:
        """What it was told: the system prompt and the texts of the user, without results of tools."""
        said = as_blocks(self.body.get("system") or [])
        said += [block for role, blocks in self.turns if role != "assistant" for block in blocks]
        return "\n\n".join(block["text"] for block in said if block["type"] == "text")

    @property
    def text(self) -> str:
        """The prompt, and what tools gave back."""
        results = [block for _, blocks in self.turns for block in blocks if block["type"] == "tool_result"]
        return "\n\n".join([self.prompt, *map(result_text, results)])


def as_blocks(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def old_name(given: Json) -> str:
    """How the input of a tool names the text that it replaces; empty where it replaces none."""
    return next((name for name in ("old_str", "old_string") if name in given), "")


def result_text(result: Json) -> str:
    """The text of a tool's result."""
    return "\n".join(block.get("text", "") for block in as_blocks(result.get("content") or []))
