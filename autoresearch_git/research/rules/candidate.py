"""One editable file beside the harness: which of its names are the harness's. Pure."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from autoresearch_git.research.rules.source import Source

Broken = tuple[ast.AST, str, str]  # where a rule is broken, a code by which the same is known in another text, and what it does

EVALUATION = "evaluate_bpb"
_LAW = (EVALUATION, "TIME_BUDGET", "EVAL_TOKENS", "MAX_SEQ_LEN")  # of prepare.py, whether it is imported or not


def place(node: ast.AST) -> tuple[int, int]:
    """Where in the file."""
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0)


class Harness:
    """The names of the harness's modules, and what each defines at its top."""

    def __init__(self, modules: Mapping[str, Source]) -> None:
        self.defines = {name: source.at_top for name, source in modules.items()}

    def holds(self, path: str) -> bool:
        """Whether a dotted path is of one of the modules, or in it."""
        return any(path == module or path.startswith(f"{module}.") for module in self.defines)


class Candidate:
    """One editable file beside the harness. `theirs` are its names for what is the harness's, with what they stand for."""

    def __init__(self, source: Source, harness: Harness) -> None:
        self.source, self.harness = source, harness
        imported = {name: path for name, path, _ in source.imports if harness.holds(path)}
        stars = {name for path in imported.values() if path.endswith(".*") for name in harness.defines.get(path[:-2], ())}
        law = {name: f"prepare.{name}" for name in _LAW if name in harness.defines["prepare"]}
        self.theirs = {**law, **{name: name for name in stars}, **imported}
        made = {n for n, values in source.assigned.items() if any(self._makes(value) for value in values)}
        self.objects = made - set(self.theirs)  # what the harness made: a tokenizer, a loader, a clock

    def _makes(self, value: ast.expr) -> bool:
        return isinstance(value, ast.Call) and self.harness.holds(self.source.path(value.func))

    def is_evaluation(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Name):
            path = self.source.imported.get(node.id, "")
            return path == f"prepare.{EVALUATION}" or (node.id == EVALUATION and path in ("", f"prepare.{EVALUATION}"))
        return self.source.path(node) == f"prepare.{EVALUATION}"

    def evaluations(self) -> list[ast.Call]:
        return sorted((node for _, node in self.source.calls if self.is_evaluation(node.func)), key=place)


def said(node: ast.AST) -> str:
    """An expression as one would say it: `prepare.EVAL_TOKENS`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{said(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript):
        key = node.slice.value if isinstance(node.slice, ast.Constant) else "…"
        return f"{said(node.value)}[{key!r}]" if isinstance(key, str) and key != "…" else f"{said(node.value)}[…]"
    if isinstance(node, ast.Call):
        return f"{said(node.func)}({', '.join(said(a) for a in node.args[:1])})"
    return "…"
