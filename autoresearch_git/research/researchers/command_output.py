"""What the output of a command-line agent tells besides its edit: its last words, what it cost, and that it was not let in.

All of it is advice: agents exit with 0 after a failure and with 1 after a good edit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoresearch_git.experiment import Spending
from autoresearch_git.plaintext import one_line
from autoresearch_git.research.researchers.command_folder import dollars

HEAD, TAIL = 64 * 1024, 2**20  # bytes of one turn's output that the log keeps: of its beginning, and of its end
MOST_OBJECTS = 200  # that are looked for in it
_SAID_LATE = 4_000  # characters in which an agent that was not let in says so
# As Claude Code, Codex, Gemini CLI, and what is built on LiteLLM have it.
_NOT_LET_IN = re.compile(
    r"authentication_error|AuthenticationError|failed to authenticate|not able to authenticate"
    r"|\b401\b.{0,60}(?:unauthori[sz]ed|invalid)|(?:invalid|incorrect|missing)[^.\n]{0,20}\bapi[-_ ]?key"
    r"|not logged in|please run /login|an auth method|invalid auth method",
    re.IGNORECASE,
)
_WORDS = ("result", "response", "error", "item")  # of Claude Code, of Gemini CLI, of Gemini CLI and Codex, of Codex


@dataclass(frozen=True)
class Output:
    """The end of what one turn of an agent printed, and the JSON objects in it."""

    text: str
    objects: Sequence[Mapping[str, Any]]

    @property
    def last_line(self) -> str:
        """Its last words, on one line; empty where it said none."""
        for told in reversed(self.objects):
            for name in _WORDS:
                words = told.get(name)
                if isinstance(words, dict):
                    words = words.get("text", words.get("message"))
                if isinstance(words, str):
                    return _last(words)
        return "" if self.objects else _last(self.text)

    @property
    def not_let_in(self) -> str:
        """The line that says that the agent has no valid key or login; empty where none does."""
        lines = [*self.text[-_SAID_LATE:].splitlines(), self.last_line]
        return next((one_line(line) for line in reversed(lines) if _NOT_LET_IN.search(line)), "")

    def spending(self, seconds: float, answered: float | None) -> Spending:
        """What the agent says that it cost, else what its answer says; without a price where neither does."""
        nothing: Mapping[str, Any] = {}
        found = next((o for o in reversed(self.objects) if "total_cost_usd" in o or isinstance(o.get("usage"), dict)), nothing)
        usage = found["usage"] if isinstance(found.get("usage"), dict) else nothing
        kept = _count(usage, "cache_read_input_tokens")  # as Anthropic counts: beside input_tokens, and not among them
        usd = dollars(found.get("total_cost_usd"))
        return Spending(
            requests=max(_count(found, "num_turns"), 1 if found else 0),
            input_tokens=_count(usage, "input_tokens") + _count(usage, "cache_creation_input_tokens") + kept,
            cached_tokens=kept + _count(usage, "cached_input_tokens"),
            output_tokens=_count(usage, "output_tokens"),
            usd=answered if usd is None else usd,
            seconds=round(seconds, 1),
        )


def _count(numbers: Mapping[str, Any], name: str) -> int:
    value = numbers.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12 else 0


def _last(text: str) -> str:
    return next((line for raw in reversed(text.splitlines()) if (line := one_line(raw))), "")


def keep(log: Path, began: int, hidden: Sequence[str]) -> Output:
    """Cut what the log holds from byte `began` to its beginning and end, with `***` for what is `hidden`; and read it."""
    with open(log, "r+b") as file:
        file.seek(began)
        size = file.seek(0, 2) - began
        file.seek(began)
        whole = file.read(min(size, HEAD + TAIL))
        if size > HEAD + TAIL:
            file.seek(-TAIL, 2)
            end = file.read()
            whole = whole[:HEAD] + b"\n[... %d bytes are left out]\n" % (size - HEAD - TAIL) + end
        for secret in hidden:
            whole = whole.replace(secret.encode(), b"***")
        file.seek(began)
        file.truncate()
        file.write(whole)
    text = whole[-TAIL:].decode(errors="replace")
    return Output(text, _objects(text))


def _objects(text: str) -> list[Mapping[str, Any]]:
    """The JSON objects that begin at the beginning of a line, in order; of many the last."""
    found: list[Mapping[str, Any]] = []
    decoder, end = json.JSONDecoder(), 0
    for match in list(re.finditer(r"^\{", text, re.MULTILINE))[-MOST_OBJECTS:]:
        if match.start() < end:  # inside of the one before
            continue
        try:
            told, end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        found.append(told)
    return found
