"""A competent researcher: it reads the files and the digest, and changes one constant that was not tried yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from model_standin.answers import Answer, text, thinking, tool_use
from model_standin.requests import Json, Request, old_name, result_text

MOST_TRIES = 3  # of a call that is answered with an error
QUOTED = re.compile(r"^`([^`\n]+)`:\n+(`{3,})[^\n]*\n(.*?)^\2$", re.DOTALL | re.MULTILINE)
DIGEST = "# This session so far\n"  # what stands before it may name a change as an example
NUMBER = re.compile(r"^ *\d+[\t→]", re.MULTILINE)


class Step(NamedTuple):
    """A constant of a module, its value as it is written there, and the one to try."""

    name: str
    old: str
    new: str

    @property
    def description(self) -> str:
        return f"{self.name} {self.old} → {self.new}"

    def edit(self, source: str) -> tuple[str, str] | None:
        """The line that it changes, before and after; None where the source has no constant with the old value."""
        found = re.search(rf"^({self.name}\b[^=\n]*= *){re.escape(self.old)}((?![\w.*]).*)$", source, re.MULTILINE)
        return (found[0], f"{found[1]}{self.new}{found[2]}") if found else None

    def is_named_in(self, digest: str) -> bool:
        words = rf"\b{self.name}\W+{re.escape(self.old)}\W+(to\W+)?{re.escape(self.new)}(?![\w*]|\.\d)"
        return bool(re.search(words, digest.replace('\\"', '"')))  # a value may be text, quoted in JSON


@dataclass(frozen=True)
class Dialect:
    """How a client's tools are called, and what they take; an edit's input has `old_str` or `old_string`. Without `submit` the end
    of the turn is the proposal."""

    look: str
    look_input: Callable[[str], Json]  # of path
    edit: str
    edit_input: Callable[[str, str, str], Json]  # of path, old and new text
    submit: str = ""
    submit_input: Callable[[str, str, str], Json] = lambda description, rationale, expected: {
        "description": description, "rationale": rationale, "expected": expected}  # fmt: skip


EDITOR = "str_replace_based_edit_tool"
SDK = Dialect(
    look=EDITOR,
    look_input=lambda path: {"command": "view", "path": path},
    edit=EDITOR,
    edit_input=lambda path, old, new: {"command": "str_replace", "path": path, "old_str": old, "new_str": new},
    submit="submit",
)
CLAUDE_CODE = Dialect(
    look="Read",
    look_input=lambda path: {"file_path": path},
    edit="Edit",
    edit_input=lambda path, old, new: {"file_path": path, "old_string": old, "new_string": new},
)


class Scripted:
    """It looks, edits, submits, and ends its turn, a call in each answer; a call that fails it makes again. It remembers nothing:
    the same conversation gets the same answer, as often as it is sent. `path` is the file that it looks at where the prompt quotes
    none; what the prompt quotes it looks at all the same, unless `looks` is false."""

    def __init__(
        self, steps: Iterable[tuple[str, str, str]], dialect: Dialect = SDK, *, path: str = "train.py", looks: bool = True
    ) -> None:
        self.steps, self.dialect, self.path, self.looks = [Step(*step) for step in steps], dialect, path, looks

    def __call__(self, request: Request) -> Answer:
        if self.dialect.edit not in request.tools:
            return Answer([text("Without tools there is nothing that I can change.")])
        files, calls = files_shown(request), calls_of(request)
        found = self._next(request, files)
        if files and not found:
            return Answer([text("I know of nothing more to try.")])
        path, step, old, new = found or (self.path, None, "", "")
        wanted = [("look", self.dialect.look, self.dialect.look_input(path))] if self.looks or not files else []
        if step:
            wanted.append(("edit", self.dialect.edit, self.dialect.edit_input(path, old, new)))
        if step and self.dialect.submit:
            told = (step.description, f"{step.name} was never {step.new} here.", "a small gain")
            wanted.append(("submit", self.dialect.submit, self.dialect.submit_input(*told)))
        for kind, name, given in wanted:
            tried = [call for call in calls if self._kind(call) == kind]
            if len(tried) == MOST_TRIES and not any(call.done for call in tried):
                return Answer([text(f"I could not {kind}.")])
            if not any(call.done for call in tried):
                return Answer([*_thoughts(request), text(f"Now I {kind}."), tool_use(name, **given)])
        return Answer([text(step.description if step else "I saw no file.")])

    def _next(self, request: Request, files: dict[str, str]) -> tuple[str, Step, str, str] | None:
        """(path, step, the line before, the line after) of the first step that can be taken and was not."""
        digest = request.prompt.rpartition(DIGEST)[2]
        for step in self.steps:
            for path, source in files.items():
                if not step.is_named_in(digest) and (lines := step.edit(source)):
                    return path, step, *lines
        return None

    def _kind(self, call: Call) -> str:
        if call.name == self.dialect.submit:
            return "submit"
        return "edit" if old_name(call.given) else "look"


def _thoughts(request: Request) -> list[Json]:
    thinks = (request.body.get("thinking") or {}).get("type") in ("adaptive", "enabled")
    return [thinking("What comes next?")] if thinks else []


# -- reading a conversation ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A call of a tool in the conversation, and what came back."""

    name: str
    given: dict[str, Any]
    result: str
    done: bool  # not answered with an error


def calls_of(request: Request) -> list[Call]:
    blocks = [block for _, blocks in request.turns for block in blocks]
    results = {block["tool_use_id"]: block for block in blocks if block["type"] == "tool_result"}
    return [
        Call(block["name"], block["input"], result_text(results[block["id"]]), not results[block["id"]].get("is_error"))
        for block in blocks
        if block["type"] == "tool_use"
    ]


def files_shown(request: Request) -> dict[str, str]:
    """The files that the prompt quotes, by path; where it quotes none, those that were looked at, as they were at first."""
    quoted = {path: source for path, _, source in QUOTED.findall(request.prompt)}
    if quoted:
        return quoted
    seen: dict[str, str] = {}
    for call in calls_of(request):
        path = call.given.get("path") or call.given.get("file_path")
        if call.done and isinstance(path, str) and not old_name(call.given):
            seen.setdefault(path, NUMBER.sub("", call.result))
    return seen
