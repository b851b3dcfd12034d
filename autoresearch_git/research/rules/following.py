"""A function that gets the targets, followed on the path that an evaluation takes. Pure."""

from __future__ import annotations

import ast

from autoresearch_git.research.rules.source import FUNCTIONS
from autoresearch_git.research.rules.values import NONE, Tags, Values, union

_TRIES = (ast.Try, getattr(ast, "TryStar", ast.Try))  # `except*` came with Python 3.11


class Reader(Values):
    """What each statement leaves behind."""

    def run(self) -> Tags:
        if isinstance(self.function, ast.Lambda):
            self.returned.append((self.function.body, self.of(self.function.body)))
        else:
            self.block(self.function.body)
        return union(tags for _, tags in self.returned)

    # -- statements ---------------------------------------------------------------------------------------------

    def block(self, body: list[ast.stmt]) -> bool:
        """Follow statements; whether they end in a return, a raise or a jump."""
        return any(self.statement(node) for node in body)

    def statement(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.Return):
            if node.value is not None:
                self.returned.append((node.value, self.of(node.value)))
            return True
        if isinstance(node, (ast.Raise, ast.Continue, ast.Break)):
            return True
        if isinstance(node, FUNCTIONS):
            self.local[node.name] = node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self.assign(target, node.value, self.of(node.value))
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self.assign(node.target, node.value, self.of(node.value))
        elif isinstance(node, ast.AugAssign):
            self.store(node.target, self.combined(node.op, node.target, node.value))
        elif isinstance(node, ast.Expr):
            self.of(node.value)
        else:
            return self.compound(node)
        return False

    def compound(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.If):
            truth = self.truth(node.test)
            if truth is not None:
                return self.block(node.body if truth else node.orelse)
            return self.branches([node.body, node.orelse])
        if isinstance(node, (ast.For, ast.AsyncFor)):
            self.iterate(node.target, node.iter)
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            return self.loop(node)
        if isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                if item.optional_vars is not None:
                    self.store(item.optional_vars, self.of(item.context_expr))
            return self.block(node.body)
        if isinstance(node, _TRIES):
            ended = self.branches([[*node.body, *node.orelse], *(handler.body for handler in node.handlers)])
            return self.block(node.finalbody) or ended
        if isinstance(node, ast.Match):
            self.branches([*(case.body for case in node.cases), []])
        return False

    def loop(self, node: ast.For | ast.AsyncFor | ast.While) -> bool:
        turns, outermost = 1 if self.looping else 2, not self.looping  # what one turn leaves, the next one finds
        self.looping = True
        self.branches([node.body * turns, []])
        self.looping = not outermost
        return self.block(node.orelse)

    def branches(self, bodies: list[list[ast.stmt]]) -> bool:
        """Follow each from here; afterwards a value may be what any of them made it."""
        before, left = dict(self.values), []
        for body in bodies:
            self.values = dict(before)
            if not self.block(body):
                left.append(self.values)
        self.values = {name: union(v.get(name, NONE) for v in left) for name in {n for v in left for n in v}}
        return not left
