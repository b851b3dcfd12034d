"""What is refused before it costs a run: a change outside the editable files, of nothing, of only a seed, one that does
not parse, or one that moves the number by other means than a better model. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache

from autoresearch_git.experiment import LARGEST_FILE, Proposal
from autoresearch_git.plaintext import one_line
from autoresearch_git.research import integrity


def refusal(proposal: Proposal, before: Mapping[str, str], editable: tuple[str, ...], harness: Mapping[str, str]) -> str:
    """Why the proposal is refused, in one line; empty where it may run. `before` are the incumbent's editable files,
    `harness` the Python files of the harness, both by path."""
    outside = sorted(set(proposal.files) - set(editable))
    if outside:
        return f"it changes {', '.join(outside)}, which no experiment may"
    changed = {path: text for path, text in proposal.files.items() if text != before.get(path)}
    if not changed:
        return "it changes nothing"
    for path, text in changed.items():
        if len(text.encode(errors="replace")) > LARGEST_FILE or "\0" in text:
            return f"{path} is larger than {LARGEST_FILE >> 10} KiB or no text"
        if path.endswith(".py"):
            try:
                ast.parse(text)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                return f"{path} does not parse: {error}"
    return _idle(changed, before) or _dishonest(changed, before, harness)


def _idle(changed: Mapping[str, str], before: Mapping[str, str]) -> str:
    """Why a change cannot be a finding."""
    if all(path.endswith(".py") for path in changed):
        codes = [(_code(before.get(path, "")), _code(text)) for path, text in changed.items()]
        if all(old == new for old, new in codes):
            return "it changes no code"
        if all(_without_seeds(old) == _without_seeds(new) for old, new in codes):
            return "it changes only a seed, and luck is no finding"
    return ""


def _dishonest(changed: Mapping[str, str], before: Mapping[str, str], harness: Mapping[str, str]) -> str:
    """The first thing that would move the number without a better model, with its line, and how many more there are."""
    found = [
        (path, finding)
        for path, text in changed.items()
        if path.endswith(".py")
        for finding in integrity.added(text, before.get(path, ""), harness)
    ]
    if not found:
        return ""
    path, first = found[0]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return one_line(f"{path}, {first}{more}")


@lru_cache(maxsize=4)
def _code(text: str) -> str:
    """The code without comments and formatting."""
    try:
        return ast.dump(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        return text


def _without_seeds(dump: str) -> str:
    """An `ast.dump` in which the integers that seed something are blanked."""
    called = re.sub(r"((?:attr|id)='\w*seed\w*'[^\[\]]*args=\[)Constant\(value=\d+\)", r"\1SEED", dump, flags=re.IGNORECASE)
    return re.sub(r"(Name\(id='\w*seed\w*', ctx=Store\(\)\)\], value=)Constant\(value=\d+\)", r"\1SEED", called,
                  flags=re.IGNORECASE)  # fmt: skip
