"""What is answered: content, and why it ends."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model_standin.requests import Json
from model_standin.tokens import count

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """`stop_reason` is worked out where it is not given. `raw` is the JSON of a tool's input, by the place of its block, where it
    is not whole: so it is streamed, whatever the block says."""

    content: list[Json]
    stop_reason: str = ""
    stop_details: Json | None = None
    raw: Mapping[int, str] = field(default_factory=dict)

    @property
    def ends_with(self) -> str:
        calls = any(block["type"] == "tool_use" for block in self.content)
        return self.stop_reason or ("tool_use" if calls else "end_turn")

    @property
    def tokens(self) -> int:
        return max(1, sum(count(written(self, place)) for place in range(len(self.content))))


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def thinking(words: str) -> Json:
    """What a model thinks before it answers, with the signature under which the API takes it back."""
    return {"type": "thinking", "thinking": words, "signature": signature(words)}


def signature(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


def tool_use(name: str, /, **given: Any) -> Json:
    """A call of a tool."""
    return {"type": "tool_use", "id": f"toolu_{next(_numbers):024d}", "name": name, "input": given}


def written(answer: Answer, place: int) -> str:
    """A block as the model writes it."""
    block = answer.content[place]
    if place in answer.raw:
        return answer.raw[place]
    return json.dumps(block["input"], ensure_ascii=False) if block["type"] == "tool_use" else str(block[block["type"]])


def cut(answer: Answer, tokens: int) -> Answer:
    """The first `tokens` of it, which is where max_tokens ends it."""
    content: list[Json] = []
    raw: dict[int, str] = {}
    left = tokens
    for place, block in enumerate(answer.content):
        whole = written(answer, place)
        start = whole[: left * 4]
        if left <= 0:
            break
        if start == whole:
            content.append(block)
        elif block["type"] != "tool_use":
            content.append((text if block["type"] == "text" else thinking)(start))
        else:
            raw[place] = start
            content.append({**block, "input": _whole_pairs(block["input"], start)})
        left -= count(whole)
    return replace(answer, content=content, stop_reason="max_tokens", raw=raw)


def _whole_pairs(given: Json, start: str) -> Json:
    """Of a tool's input what stands whole in the start of its JSON."""
    found: Json = {}
    for name, value in given.items():
        if not start.startswith(json.dumps({**found, name: value}, ensure_ascii=False)[:-1]):
            break
        found[name] = value
    return found
