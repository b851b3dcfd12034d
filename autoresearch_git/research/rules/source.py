"""What the names of a Python file stand for: where each was imported from, where it is bound, what it may say. Pure.

Names are taken file-wide: a function's own variable of the same name is the same name here. Nothing is executed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TypeVar

from autoresearch_git.constants import UnknownError, evaluate

Node = TypeVar("Node", bound=ast.AST)
_SEES_THROUGH = ("type", "vars", "getattr")  # calls that lead from a thing to what belongs to it
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*FUNCTIONS, *_COMPREHENSIONS, ast.Lambda, ast.ClassDef)


class Source:
    """A file that parses. Raises SyntaxError, ValueError or RecursionError where it does not."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self.parents: dict[ast.AST, ast.AST] = {}
        self._by_kind: dict[type[ast.AST], list[ast.AST]] = {}
        queue: list[ast.AST] = [self.tree]
        for node in queue:
            self._by_kind.setdefault(type(node), []).append(node)
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
                queue.append(child)

    def each(self, kind: type[Node]) -> list[Node]:
        """The nodes of one kind."""
        return self._by_kind.get(kind, [])  # type: ignore[return-value]

    # -- names --------------------------------------------------------------------------------------------------

    @cached_property
    def imports(self) -> list[tuple[str, str, ast.stmt]]:
        """Each name that an import binds, the dotted path of what it then stands for, and the statement."""
        found: list[tuple[str, str, ast.stmt]] = []
        for node in self.each(ast.Import):
            for a in node.names:
                top = a.name.split(".")[0]
                found.append((a.asname, a.name, node) if a.asname else (top, top, node))
        for whence in self.each(ast.ImportFrom):
            if not whence.level:
                found += [(a.asname or a.name, f"{whence.module}.{a.name}", whence) for a in whence.names]
        return found

    @cached_property
    def imported(self) -> dict[str, str]:
        """Name → dotted path, of imports and of names that only ever stand for an import: `m = torch.nn.functional`."""
        known = {name: path for name, path, _ in self.imports}
        for name, values in self.assigned.items():
            paths = {_chain(value, known) for value in values}
            if name not in known and len(paths) == 1 and len(values) == self._times_bound.get(name):
                known[name] = paths.pop()
        return {name: path for name, path in known.items() if path}

    @cached_property
    def bound(self) -> list[tuple[str, ast.AST]]:
        """Each binding of a name other than by an import or as a parameter: stores, dels, `global`, def, class, except."""
        found: list[tuple[str, ast.AST]] = [(n.id, n) for n in self.each(ast.Name) if not isinstance(n.ctx, ast.Load)]
        named: list[ast.AST] = [*self.each(ast.FunctionDef), *self.each(ast.AsyncFunctionDef), *self.each(ast.ClassDef)]
        named += [*self.each(ast.ExceptHandler), *self.each(ast.MatchAs), *self.each(ast.MatchStar)]
        found += [(n.name, n) for n in named if getattr(n, "name", None)]  # type: ignore[attr-defined]
        return [*found, *((name, n) for n in self.each(ast.Global) for name in n.names)]

    @cached_property
    def _times_bound(self) -> dict[str, int]:
        times: dict[str, int] = {}
        for name in [*(name for name, _ in self.bound), *(node.arg for node in self.each(ast.arg))]:
            times[name] = times.get(name, 0) + 1
        return times

    @cached_property
    def assigned(self) -> dict[str, list[ast.expr]]:
        """Name → the values that plain assignments give it."""
        found: dict[str, list[ast.expr]] = {}
        pairs = [(target, node.value) for node in self.each(ast.Assign) for target in node.targets]
        pairs += [(node.target, node.value) for node in self.each(ast.AnnAssign) if node.value is not None]
        for target, value in pairs:
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(value)
        return found

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Names that are bound once, to a number that can be told."""
        found: dict[str, float] = {}
        for name, values in self.assigned.items():
            if self._times_bound.get(name) == 1:
                number = number_of(values[0], found)
                if number is not None:
                    found[name] = number
        return found

    @cached_property
    def at_top(self) -> set[str]:
        """The names that the file binds outside of its functions, classes and comprehensions."""
        return {name for name, node in self.bound if self.within(node, _SCOPES) is None}

    # -- expressions --------------------------------------------------------------------------------------------

    def path(self, node: ast.AST) -> str:
        """`torch.nn.functional.relu` for an expression that leads there from an import; empty for any other."""
        return _chain(node, self.imported)

    @cached_property
    def references(self) -> list[tuple[str, ast.expr]]:
        """Every expression that leads somewhere from an import, with where; those that are assigned to included."""
        nodes: list[ast.expr] = [*self.each(ast.Name), *self.each(ast.Attribute), *self.each(ast.Call)]
        pairs = ((self.path(node), node) for node in nodes)
        return [(path, node) for path, node in pairs if path]

    @cached_property
    def calls(self) -> list[tuple[str, ast.Call]]:
        """Every call, with the dotted path of what is called; empty where no import leads there."""
        return [(self.path(node.func), node) for node in self.each(ast.Call)]

    def root(self, node: ast.AST) -> str:
        """The name that an expression such as `vars(a)["b"].c[0]` begins at; empty where it begins otherwise."""
        while not isinstance(node, ast.Name):
            if isinstance(node, (ast.Attribute, ast.Subscript)):
                node = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SEES_THROUGH and node.args:
                node = node.args[0]
            else:
                return ""
        return node.id

    @cached_property
    def texts(self) -> list[tuple[str, ast.Constant]]:
        """Every string that is written out in the file, those in f-strings included, docstrings not."""
        written = (node for node in self.each(ast.Constant) if not isinstance(self.parents[node], ast.Expr))
        return [(node.value, node) for node in written if isinstance(node.value, str)]

    def within(self, node: ast.AST, kinds: tuple[type[ast.AST], ...]) -> ast.AST | None:
        """The nearest node of these kinds around a node."""
        above = self.parents.get(node)
        while above is not None and not isinstance(above, kinds):
            above = self.parents.get(above)
        return above

    def strings(self, node: ast.expr) -> set[str] | None:
        """What text an expression may be, as far as it is written out: of an f-string how it begins. None: cannot be told."""
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str)):
            return {node.value} if node.value else set()
        if isinstance(node, ast.JoinedStr) and node.values:
            return self.strings(node.values[0])
        if isinstance(node, ast.FormattedValue):
            return self.strings(node.value)
        parts: list[ast.expr] = []
        if isinstance(node, ast.IfExp):
            parts = [node.body, node.orelse]
        elif isinstance(node, ast.BoolOp):
            parts = node.values
        elif isinstance(node, ast.Name) and node.id not in self.imported:
            parts = self._values(node.id, node)
        found = [self.strings(part) for part in parts]
        return None if not found or None in found else {text for texts in found if texts for text in texts}

    def _values(self, name: str, use: ast.expr) -> list[ast.expr]:
        """What a name is given by plain assignments and by loops over what is written out; [] where by anything else too."""
        loops = [n.iter for n in self.each(ast.For) if isinstance(n.target, ast.Name) and n.target.id == name]
        given = list(self.assigned.get(name, []))
        if len(given) + len(loops) != self._times_bound.get(name) or any(use in ast.walk(value) for value in given):
            return []
        written = [loop.elts for loop in loops if isinstance(loop, (ast.Tuple, ast.List))]
        return [*given, *(e for elements in written for e in elements)] if len(written) == len(loops) else []


@lru_cache(maxsize=8)
def read(text: str) -> Source:
    """The file, remembered: the incumbent and the harness are asked about again and again."""
    return Source(text)


def name_of(call: ast.Call) -> str:
    """What is called, without what it belongs to."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def arguments_of(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def number_of(node: ast.expr, known: Mapping[str, object]) -> float | None:
    """The number that an expression is, where that can be told."""
    try:
        value = evaluate(node, known)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    except (UnknownError, OverflowError):
        return None


def _chain(node: ast.AST, known: Mapping[str, str]) -> str:
    tail: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            tail.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1:
            name = node.args[1]
            tail.append(name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else "?")
            node = node.args[0]
        else:
            break
    root = known.get(node.id, "") if isinstance(node, ast.Name) else ""
    return ".".join([root, *reversed(tail)]) if root else ""
