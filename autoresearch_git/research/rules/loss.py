"""What a function returns for a loss that cannot be one. Pure.

`evaluate_bpb` calls `model(x, y, reduction="none")`, so the model computes its own number with the answers in its hands.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from autoresearch_git.research.rules.candidate import Broken, Candidate
from autoresearch_git.research.rules.following import Reader
from autoresearch_git.research.rules.values import (
    HIDDEN,
    LEAK,
    LOG,
    LOSS,
    MASK,
    MODEL,
    SHARE,
    TARGETS,
    UNKNOWN,
    Function,
    Tags,
    defaults,
)  # fmt: skip

_TARGETS = re.compile(r"(targets?|labels?|tgts?)$")


def loss(file: Candidate) -> Iterator[Broken]:
    """Where targets are given, what comes back is a cross-entropy of logits and targets."""
    source = file.source
    functions: list[Function] = [*source.each(ast.FunctionDef), *source.each(ast.AsyncFunctionDef), *source.each(ast.Lambda)]
    for function in functions:
        targets = _parameter(function)
        if targets:
            values = {a.arg: frozenset((MODEL,)) for a in ast.walk(function.args) if isinstance(a, ast.arg)}
            known = {**defaults(function), "reduction": "none"}  # as evaluate_bpb asks for it
            known.pop(targets, None)
            reader = Reader(source, function, {**values, targets: frozenset((TARGETS,))}, known)
            reader.run()
            for node, tags in dict(reader.returned).items():
                why = _objection(tags)
                if why:
                    yield node, ast.dump(node), why


def _parameter(function: Function) -> str:
    """The parameter that the targets come in by, where the function is one that an evaluation calls; else nothing."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg not in ("self", "cls", "ctx")]
    reduces = "reduction" in [*names, *(a.arg for a in function.args.kwonlyargs)]
    name = "" if isinstance(function, ast.Lambda) else function.name.lower()
    called = name in ("forward", "__call__") or (bool(re.search("(loss|entropy|nll)$", name)) and len(names) > 1)
    found = next((n for n in names if _TARGETS.match(n)), "")
    return found if found and (called or reduces) else names[1] if reduces and len(names) > 1 else ""


def _objection(tags: Tags) -> str:
    """Only what cannot be told otherwise: an unknown hand in it, or any whole cross-entropy, and there is none."""
    if tags & {LOSS, UNKNOWN}:
        return ""
    if LEAK in tags:
        return "the logits of the cross-entropy are made with the targets in hand"
    if SHARE in tags:
        return "the loss returned is only a part of the cross-entropy"
    if HIDDEN in tags or tags >= {TARGETS, MODEL, LOG}:
        return ""
    if not tags & {TARGETS, MASK}:
        return "with targets given, what is returned does not depend on them; it must be a cross-entropy"
    if MODEL not in tags:
        return "with targets given, what is returned does not depend on the logits; it must be a cross-entropy"
    return "with targets given, what is returned is no cross-entropy of logits and targets"
