"""Hints of the user that need no reader of sentences: those that name constants of the file with a value."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from autoresearch_git import constants
from autoresearch_git.community import changes
from autoresearch_git.constants import Constant
from autoresearch_git.experiment import Figure

NOT_READ = "the sweep only reads constants with a value, such as DEPTH 6; --researcher claude or command reads sentences"


def facts_of(figures: Mapping[str, Figure]) -> dict[str, str]:
    """The names that a run's figures tell the value of."""
    return {name.upper(): value for name, value in figures.items() if isinstance(value, str)}


def modules_of(context: Mapping[str, str]) -> dict[str, str]:
    """The harness's Python files by the name that they are imported under."""
    return {path.removesuffix(".py").replace("/", "."): text for path, text in context.items() if path.endswith(".py")}


def wanted(hint: str, known: Mapping[str, Constant]) -> dict[str, str]:
    """Source text of each constant that the hint gives a value which it can have; empty where it gives none."""
    said = changes.of_names(hint, known)
    found = {name: _source(known[name], text) for name, text in said.items()}
    return {name: source for name, source in found.items() if source}


def _source(constant: Constant, text: str) -> str:
    """The value that the text says, as source of the constant; empty where it is of another kind."""
    new, now = changes.value(text), constant.value
    if isinstance(now, str) and isinstance(new, str):
        return f'"{new}"'
    if isinstance(now, int) and isinstance(new, float) and new.is_integer():
        new = int(new)
    numbers = isinstance(now, float) and isinstance(new, (int, float)) and not isinstance(new, bool)
    if not numbers and (type(new) is not type(now) or (isinstance(now, tuple) and len(now) != len(new))):  # type: ignore[arg-type]
        return ""
    plain = text.replace("^", "**")
    return plain if _evaluated(plain) == new else repr(new)


def _evaluated(source: str) -> object:
    try:
        return constants.evaluate(ast.parse(source, mode="eval").body, {})
    except (SyntaxError, ValueError, constants.UnknownError):
        return None
