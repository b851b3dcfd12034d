"""The module-level constants of a Python file: read, checked against the file's own asserts, and edited in place.

A file is followed from top to bottom as far as its values are plain: literals such as `2**19`, arithmetic on names known
so far, `if` on known values. What is not known is left alone, never guessed. Edits replace the bytes of the value alone,
so comments and formatting survive.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_OPERATORS: dict[type, Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
}  # fmt: skip
_FUNCTIONS: dict[str, Any] = {
    "min": min,
    "max": max,
    "int": int,
    "float": float,
    "abs": abs,
    "round": lambda number, digits=0: round(number, digits) if abs(digits) <= 30 else _unknown(),
    "len": len,
    "set": set,
}


_MOST_ELEMENTS = 10_000  # of a tuple or dictionary, those within its elements counted
_LARGEST = 1e30  # of an operand: squares of squares would never end


class UnknownError(Exception):
    """An expression whose value cannot be told from the text."""


@dataclass(frozen=True)
class Constant:
    """A constant whose assignment is in force. `start` and `end` are byte offsets of its value in the file."""

    name: str
    value: Any
    source: str
    start: int
    end: int


@dataclass(frozen=True)
class Reading:
    """What the text says: its constants in force, every name that is known, and the asserts that do not hold."""

    constants: dict[str, Constant]
    names: dict[str, Any]
    violations: list[str]


def evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of a plain expression. Raises UnknownError for everything else, and for numbers of absurd size."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    try:
        if isinstance(node, (ast.Tuple, ast.List)):
            return _small(tuple(evaluate(e, names) for e in node.elts))
        if isinstance(node, ast.Dict) and all(node.keys):
            return _small({evaluate(k, names): evaluate(v, names) for k, v in zip(node.keys, node.values, strict=True) if k})
        return _operation(node, names)
    except (ArithmeticError, TypeError, ValueError, KeyError, IndexError) as error:
        raise UnknownError from error


def _unknown() -> Any:
    raise UnknownError


def _small(value: Any) -> Any:
    """The container, unless it holds too much: one that holds another twice, which holds another twice, … never ends."""
    left, count = [value], 0
    while left:
        one = left.pop()
        count += 1
        if count > _MOST_ELEMENTS:
            raise UnknownError
        if isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, tuple):
            left += one
    return value


def _operation(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.BinOp):
        left, right = evaluate(node.left, names), evaluate(node.right, names)
        if not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            raise UnknownError  # "x" * 10**9 is a way to fill the memory
        if isinstance(node.op, ast.Pow) and abs(left) <= 1e6 and abs(right) <= 64:
            return left**right
        if max(abs(left), abs(right)) > _LARGEST:
            raise UnknownError
        return _OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp):
        return _OPERATORS[type(node.op)](evaluate(node.operand, names))
    if isinstance(node, ast.Compare):
        values = [evaluate(e, names) for e in (node.left, *node.comparators)]
        return all(_OPERATORS[type(op)](a, b) for op, a, b in zip(node.ops, values, values[1:], strict=False))
    if isinstance(node, ast.BoolOp):
        values = [evaluate(e, names) for e in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.IfExp):
        return evaluate(node.body if evaluate(node.test, names) else node.orelse, names)
    if isinstance(node, ast.Subscript):
        return evaluate(node.value, names)[evaluate(node.slice, names)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _FUNCTIONS[node.func.id](*(evaluate(a, names) for a in node.args))
    raise UnknownError


def read(text: str, facts: Mapping[str, Any], modules: Mapping[str, str] | None = None) -> Reading:
    """Follow a file. `facts` are names known from elsewhere (they win over the text), `modules` the texts of local
    modules whose names it imports. Raises SyntaxError where the file does not parse."""
    data = text.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    reading = Reading({}, dict(facts), [])
    for node in _statements(ast.parse(text).body, reading, facts, modules or {}):
        value = node.value
        start = starts[value.lineno - 1] + value.col_offset
        end = starts[(value.end_lineno or 0) - 1] + (value.end_col_offset or 0)
        name = node.targets[0]
        assert isinstance(name, ast.Name)
        if re.fullmatch(r"[A-Z][A-Z0-9_]*", name.id) and name.id not in facts:
            try:
                literal = evaluate(value, {})
                reading.constants[name.id] = Constant(name.id, literal, data[start:end].decode(), start, end)
            except UnknownError:
                reading.constants.pop(name.id, None)
    return reading


def _statements(
    body: list[ast.stmt], reading: Reading, facts: Mapping[str, Any], modules: Mapping[str, str]
) -> Iterator[ast.Assign]:
    """The plain assignments in force, in order; names and violations are noted on the way."""
    for node in body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name not in facts:
                try:
                    reading.names[name] = evaluate(node.value, reading.names)
                except UnknownError:
                    reading.names.pop(name, None)
                yield node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            _unpack(node.targets[0], node.value, reading, facts)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module in modules:
            there = read(modules[node.module], facts)
            reading.names.update({a.asname or a.name: there.names[a.name] for a in node.names if a.name in there.names})
        elif isinstance(node, ast.Assert):
            if _holds(node.test, reading.names) is False:
                reading.violations.append(ast.unparse(node.test))
        elif isinstance(node, ast.If):
            known = _holds(node.test, reading.names)
            if known and isinstance(node.body[0], ast.Raise):
                reading.violations.append("not (" + ast.unparse(node.test) + ")")
            elif known is not None:
                yield from _statements(node.body if known else node.orelse, reading, facts, modules)
            else:
                _forget(node, reading, facts)


def _unpack(targets: ast.Tuple, value: ast.expr, reading: Reading, facts: Mapping[str, Any]) -> None:
    """`A, B = …` makes names known, but no constants: there is no one value to edit."""
    names = [t.id if isinstance(t, ast.Name) else "" for t in targets.elts]
    try:
        values = list(evaluate(value, reading.names))
    except (UnknownError, TypeError):
        values = []
    for index, name in enumerate(names):
        reading.constants.pop(name, None)
        if name not in facts and len(values) == len(names):
            reading.names[name] = values[index]
        elif name not in facts:
            reading.names.pop(name, None)


def _holds(test: ast.expr, names: Mapping[str, Any]) -> bool | None:
    try:
        return bool(evaluate(test, names))
    except UnknownError:
        return None


def _forget(branch: ast.If, reading: Reading, facts: Mapping[str, Any]) -> None:
    """Names that a branch of unknown outcome may assign are not known any more."""
    for node in ast.walk(branch):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id not in facts:
            reading.names.pop(node.id, None)
            reading.constants.pop(node.id, None)


def replace(text: str, constants: Mapping[str, Constant], sources: Mapping[str, str]) -> str:
    """The text with new source for the values of the named constants; every other byte stays."""
    data = text.encode()
    for constant in sorted((constants[name] for name in sources), key=lambda c: c.start, reverse=True):
        data = data[: constant.start] + sources[constant.name].encode() + data[constant.end :]
    return data.decode()
