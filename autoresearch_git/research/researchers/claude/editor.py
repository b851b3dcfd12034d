"""The text editor that a model has: the commands of Anthropic's own tool, on copies in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from autoresearch_git.plaintext import one_line

NAME = "str_replace_based_edit_tool"
TOOL = {"type": "text_editor_20250728", "name": NAME}
LONGEST_VIEW = 60_000  # characters


class ToolError(Exception):
    """What a tool was asked for cannot be; the message tells the model how to do it right."""


class Editor:
    """`files` may be changed, `others` only looked at; both by path. Nothing else is there."""

    def __init__(self, files: Mapping[str, str], others: Mapping[str, str]) -> None:
        self._before = dict(files)
        self._files = dict(files)
        self._others = {path: text for path, text in others.items() if path not in files}

    def changed(self) -> dict[str, str]:
        """The files that are other than they were."""
        return {path: text for path, text in self._files.items() if text != self._before[path]}

    def run(self, given: Mapping[str, Any]) -> str:
        """Carry out one call; returns what the model is told. Raises ToolError."""
        commands: dict[str, Callable[[Mapping[str, Any]], str]] = {
            "view": self._view,
            "create": self._create,
            "str_replace": self._replace,
            "insert": self._insert,
        }
        command = given.get("command")
        if not isinstance(command, str) or command not in commands:
            raise ToolError(f"command must be one of {', '.join(commands)}")
        return commands[command](given)

    # -- the commands -------------------------------------------------------------------------------------------

    def _view(self, given: Mapping[str, Any]) -> str:
        path = _path(given)
        if path in ("", "."):
            return "\n".join([*(f"{p} (may be changed)" for p in self._files), *self._others])
        text = self._files.get(path, self._others.get(path))
        if text is None:
            raise ToolError(f"there is no {one_line(path, 80)} here; there are: {', '.join([*self._files, *self._others])}")
        lines = text.splitlines()
        first, last = _range(given.get("view_range"), len(lines))
        shown = "\n".join(f"{n:6}\t{line}" for n, line in enumerate(lines[first - 1 : last], start=first))
        if len(shown) > LONGEST_VIEW:
            shown = shown[:LONGEST_VIEW] + "\n(cut here: view the rest with view_range)"
        return shown or "(empty)"

    def _create(self, given: Mapping[str, Any]) -> str:
        path = self._editable(given)
        self._files[path] = _text(given, "file_text")
        return f"{path} has the new text, {_lines(self._files[path])}"

    def _replace(self, given: Mapping[str, Any]) -> str:
        path = self._editable(given)
        old, new, text = _text(given, "old_str"), _text(given, "new_str", ""), self._files[path]
        if not old:
            raise ToolError("old_str is empty; insert adds lines without replacing any")
        times = text.count(old)
        if times == 0:
            raise ToolError(f"old_str does not occur in {path}; it must be there letter by letter, indentation too: view the file")
        if times > 1:
            raise ToolError(f"old_str occurs {times} times in {path}; take in lines around it, so that it occurs once")
        self._files[path] = text.replace(old, new)
        return f"replaced in {path}, line {text[: text.index(old)].count(chr(10)) + 1}"

    def _insert(self, given: Mapping[str, Any]) -> str:
        path = self._editable(given)
        lines = self._files[path].splitlines(keepends=True)
        after, text = given.get("insert_line"), _text(given, "insert_text")
        if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after <= len(lines):
            raise ToolError(f"insert_line must be a number from 0 to {len(lines)}, the line after which the text goes")
        if after and not lines[after - 1].endswith("\n"):
            lines[after - 1] += "\n"
        self._files[path] = "".join([*lines[:after], text if text.endswith("\n") else text + "\n", *lines[after:]])
        return f"inserted in {path} after line {after}"

    def _editable(self, given: Mapping[str, Any]) -> str:
        path = _path(given)
        if path not in self._files:
            why = "is the harness's, and may only be viewed" if path in self._others else "is no file that an experiment may change"
            raise ToolError(f"{one_line(path, 80) or 'that'} {why}; change {', '.join(self._files)}")
        return path


def _path(given: Mapping[str, Any]) -> str:
    path = given.get("path")
    if not isinstance(path, str):
        raise ToolError("path must be a text")
    return PurePosixPath(path).as_posix()


def _text(given: Mapping[str, Any], name: str, default: str | None = None) -> str:
    text = given.get(name, default)
    if not isinstance(text, str):
        raise ToolError(f"{name} must be a text")
    return text


def _range(given: Any, lines: int) -> tuple[int, int]:
    if given is None:
        return 1, lines
    if not (isinstance(given, list) and len(given) == 2 and all(type(n) is int for n in given)) or given[0] < 1:
        raise ToolError("view_range must be two numbers of lines, [first, last], counted from 1; -1 is the last line")
    return given[0], lines if given[1] == -1 else given[1]


def _lines(text: str) -> str:
    return f"{len(text.splitlines())} lines"
