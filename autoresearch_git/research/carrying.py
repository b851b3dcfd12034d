"""Carry a change over: from their text before and after it, and ours now, to ours with it.

First by three-way merge, with their text before as the base. Where the two changes meet, a change of constants alone is carried
by name: moving `MATRIX_LR` means the same wherever the line stands.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from autoresearch_git import constants

Merge = Callable[[str, str, str], str | None]  # (ours, base, theirs) → the merged text, None where the changes meet


class CannotCarryError(Exception):
    """The change does not fit; the message says why, in a few words."""


def carry(before: Mapping[str, str], after: Mapping[str, str], ours: Mapping[str, str], merge: Merge) -> dict[str, str]:
    """path → our text with the change, of the files that it changes here. Raises CannotCarryError."""
    carried = {path: _one(path, before.get(path), text, ours.get(path), merge) for path, text in after.items()}
    changed = {path: text for path, text in carried.items() if text != ours.get(path)}
    if not changed:
        raise CannotCarryError("it is in already")
    return changed


def _one(path: str, before: str | None, after: str, ours: str | None, merge: Merge) -> str:
    if ours == before:
        return after
    if before is None:
        raise CannotCarryError(f"{path} is new there, and another file here")
    if ours is None:
        raise CannotCarryError(f"there is no {path} here")
    merged = merge(ours, before, after)
    if merged is None:
        merged = _by_name(before, after, ours) if path.endswith(".py") else None
    if merged is None:
        raise CannotCarryError(f"it does not fit onto our {path}")
    return merged


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
