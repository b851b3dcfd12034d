"""What a conversation costs: four characters are a token, and a prefix that was marked for the cache is read from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from model_standin.requests import Json, Request, as_blocks

LOOKBACK = 20  # blocks before a mark in which a cached prefix is looked for
LIFETIMES = {"5m": 300.0, "1h": 3600.0}  # seconds


def count(words: str) -> int:
    return -(-len(words) // 4)


def blocks_of(body: Json) -> Iterator[tuple[str, Json]]:
    """What stands in a prompt, in the order in which it is read: (where, block)."""
    for tool in body.get("tools") or ():
        yield "tools", tool
    for block in as_blocks(body.get("system") or []):
        yield "system", block
    for message in body.get("messages") or ():
        for block in as_blocks(message["content"]):
            yield message["role"], block


def input_tokens(body: Json) -> int:
    return sum(_size(block) for _, block in blocks_of(body))


def _size(block: Json) -> int:
    bare = _unmarked(block)
    return count(bare["text"] if bare.get("type") == "text" else json.dumps(bare, ensure_ascii=False)) + 3


def _unmarked(block: Json) -> Json:
    return {name: value for name, value in block.items() if name != "cache_control"}


@dataclass
class Cache:
    """The prefixes that were marked, each until it expires. What is shorter than `least` tokens is not cached, silently."""

    least: int
    expiries: dict[str, float] = field(default_factory=dict)

    def usage(self, request: Request, now: float) -> Json:
        """What the request's input costs. It is remembered for the next."""
        prefixes, marks = _prefixes(request.body)
        marks = {place: ttl for place, ttl in marks.items() if prefixes[place][1] >= self.least}
        read = self._longest(prefixes, marks, now)
        made = {"5m": 0, "1h": 0}
        before = read
        for place, ttl in marks.items():
            name, tokens = prefixes[place]
            self.expiries[name] = now + LIFETIMES[ttl]
            made[ttl] += max(0, tokens - before)
            before = max(before, tokens)
        return {
            "input_tokens": input_tokens(request.body) - before,
            "cache_creation_input_tokens": sum(made.values()),
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": made["5m"], "ephemeral_1h_input_tokens": made["1h"]},
            "service_tier": "standard",
        }

    def _longest(self, prefixes: list[tuple[str, int]], marks: dict[int, str], now: float) -> int:
        """The tokens of the longest prefix that is kept, from a mark backwards; reading renews it."""
        for place in sorted(marks, reverse=True):
            for before in range(place, max(-1, place - LOOKBACK), -1):
                name, tokens = prefixes[before]
                if self.expiries.get(name, 0.0) > now:
                    self.expiries[name] = max(self.expiries[name], now + LIFETIMES[marks[place]])
                    return tokens
        return 0


def _prefixes(body: Json) -> tuple[list[tuple[str, int]], dict[int, str]]:
    """(the name and the tokens of each prefix, the time to live at each mark by its place)."""
    prefixes, marks, tokens = [], {}, 0
    name = hashlib.sha256(json.dumps([body["model"], body.get("thinking"), body.get("tool_choice")]).encode())
    for place, (where, block) in enumerate(blocks_of(body)):
        name.update(json.dumps([where, _unmarked(block)]).encode())
        tokens += _size(block)
        prefixes.append((name.hexdigest(), tokens))
        if block.get("cache_control"):
            marks[place] = block["cache_control"].get("ttl", "5m")
    if body.get("cache_control"):  # of the whole request: at its last block
        marks[len(prefixes) - 1] = body["cache_control"].get("ttl", "5m")
    return prefixes, marks
