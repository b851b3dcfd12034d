"""Carry a change over: from their text before and after it, and ours now, to ours with it.

First by three-way merge, with their text before as the base. Where the two changes meet, a change of constants alone is carried
by name: moving `MATRIX_LR` means the same wherever the line stands. What it gave them is a claim on the change that they made;
from another value, or with a part of it in already, it is another change. What then still conflicts is for a researcher who reads.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autoresearch_git import constants
from autoresearch_git.plaintext import one_line

LONGEST_VALUE = 60  # characters of a constant's value in a description
Merge = Callable[[str, str, str], str | None]  # (ours, base, theirs) → the merged text, None where the changes meet


@dataclass(frozen=True)
class Carried:
    """path → our text with the change, of the `files` that it changes here; and whether it is `theirs`: what they changed, from
    what they changed it from."""

    files: dict[str, str]
    theirs: bool


class CannotCarryError(Exception):
    """The change cannot be made here; the message says why, in a few words."""


class ConflictError(CannotCarryError):
    """It could be, by one who understands it."""


def carry(before: Mapping[str, str], after: Mapping[str, str], ours: Mapping[str, str], merge: Merge) -> Carried:
    """The change on our text. Raises CannotCarryError."""
    carried = {path: _one(path, before.get(path), text, ours.get(path), merge) for path, text in after.items()}
    changed = {path: text for path, (text, _) in carried.items() if text != ours.get(path)}
    if not changed:
        raise CannotCarryError("it is in already")
    return Carried(changed, all(theirs for _, theirs in carried.values()))


def holds(start: Mapping[str, str], before: Mapping[str, str], ours: Mapping[str, str], merge: Merge) -> bool:
    """Whether all that led from `start` to `before` is in ours."""
    led = ((path, text) for path, text in before.items() if ours.get(path) != text and start.get(path, text) != text)
    return all(path in ours and merge(ours[path], start[path], text) == ours[path] for path, text in led)


def moves(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The constants that a change moves, as `GAMMA 8 → 12`."""
    pairs = ((_constants(before.get(path, "")), _constants(text)) for path, text in after.items() if path.endswith(".py"))
    return [
        f"{name} {one_line(old[name], LONGEST_VALUE)} → {one_line(source, LONGEST_VALUE)}"
        for old, new in pairs
        for name, source in new.items()
        if old.get(name, source) != source
    ]


def _one(path: str, before: str | None, after: str, ours: str | None, merge: Merge) -> tuple[str, bool]:
    """Our text with the change of one file, and whether the change is theirs."""
    if ours == before:
        return after, True
    if before is None:
        raise CannotCarryError(f"{path} is new there, and another file here")
    if ours is None:
        raise CannotCarryError(f"there is no {path} here")
    merged = merge(ours, before, after)
    if merged is not None:  # undone, the whole of it gives ours back
        return merged, merge(merged, after, before) == ours and moves({path: before}, {path: after}) == moves(
            {path: ours}, {path: merged}
        )
    named = _by_name(before, after, ours) if path.endswith(".py") else None
    if named is None:
        raise ConflictError(f"it does not fit onto our {path}")
    return named, False


def _constants(text: str) -> dict[str, str]:
    """name → source of its value; nothing of a text that does not parse."""
    try:
        return {name: constant.source for name, constant in constants.read(text, {}).constants.items()}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def _by_name(before: str, after: str, ours: str) -> str | None:
    """Ours with the constants that the change moves, if its code does nothing else and we have them all."""
    try:
        old, new, here = (constants.read(text, {}).constants for text in (before, after, ours))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    moved = {name: c.source for name, c in new.items() if name in old and old[name].source != c.source}
    if not moved or not set(moved) <= set(here) or _code(constants.replace(before, old, moved)) != _code(after):
        return None
    return constants.replace(ours, here, moved)


def _code(text: str) -> str:
    """The code without comments and formatting."""
    return ast.dump(ast.parse(text))
