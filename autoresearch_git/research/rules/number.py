"""What makes the number: the evaluation, the harness, the clock, and the modules that they work with. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from autoresearch_git.research.rules.candidate import EVALUATION, Broken, Candidate, place, said
from autoresearch_git.research.rules.source import Source, arguments_of, name_of

METRIC = "val_bpb"

_CONFIGURATION = re.compile(r"(torch\.backends|(torch|triton)\.([\w.]+\.)?(config|knobs))\.|sys\.excepthook$")
_CPU_CLOCKS = re.compile(r"time\.(process_time|thread_time|clock_gettime|clock_settime)(_ns)?$")
_HOOKS = re.compile(r"register_(module_)?(full_)?forward_(pre_)?hook$|_call_impl$")


# -- the evaluation -------------------------------------------------------------------------------------------------


def evaluation(file: Candidate) -> Iterator[Broken]:
    """One call of evaluate_bpb, by that name, once, and its result as it came."""
    source, calls = file.source, file.evaluations()
    if not calls:
        yield source.tree, "none", f"it never calls {EVALUATION}"
    for call in calls[1:]:
        yield call, "again", f"it calls {EVALUATION} again; a run evaluates once"
    for call in calls[:1]:
        if source.within(call, (ast.For, ast.While, ast.ListComp, ast.GeneratorExp)):
            yield call, "loop", f"it calls {EVALUATION} in a loop; a run evaluates once"
    called = {call.func for call in calls}
    nodes: list[ast.Name | ast.Attribute] = [*source.each(ast.Name), *source.each(ast.Attribute)]
    for node in nodes:
        if isinstance(node.ctx, ast.Load) and node not in called and file.is_evaluation(node):
            yield node, "alias", f"it hands {EVALUATION} on; it may only be called"
    for text, constant in source.texts:
        if text == EVALUATION:
            yield constant, "alias", f"it looks {EVALUATION} up by its name"
    for name, path, statement in source.imports:
        if path == f"prepare.{EVALUATION}" and name != EVALUATION:
            yield statement, "alias", f"it calls {EVALUATION} {name}"
    for path, call in source.calls:
        if file.harness.holds(path) and any(isinstance(a, ast.Constant) and a.value == "val" for a in arguments_of(call)):
            yield call, "val", "it reads the validation rows itself"
    yield from _results(file, calls)


def _results(file: Candidate, calls: list[ast.Call]) -> Iterator[Broken]:
    """What evaluate_bpb returned is neither changed nor replaced on its way to the summary."""
    source = file.source
    for call in calls:
        above = source.parents[call]
        if _computes(above):
            yield call, ast.dump(above), f"it changes what {EVALUATION} returned"
        names = {t.id for t in above.targets if isinstance(t, ast.Name)} if isinstance(above, ast.Assign) else set()
        for name, node in source.bound:
            statement = source.parents.get(node)
            if name in names and place(node) > place(call) and _replaces(statement, name):
                yield node, ast.dump(node), f"it changes what {EVALUATION} returned"
    for node, value in _printed(source):
        if _computes(value) or (isinstance(value, ast.Constant) and isinstance(value.value, (int, float))):
            yield node, ast.dump(value), f"it prints another {METRIC} than {EVALUATION} returned"


def _replaces(statement: ast.AST | None, name: str) -> bool:
    """Whether an assignment to a name is a constant, or arithmetic on what the name was."""
    if isinstance(statement, ast.Assign):
        value = statement.value
        own = any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(value))
        return isinstance(value, ast.Constant) or (_computes(value) and own)
    return isinstance(statement, ast.AugAssign)


def _computes(node: ast.AST) -> bool:
    """Arithmetic, or a choice between numbers."""
    least = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max", "abs", "pow", "sum")
    return least or isinstance(node, (ast.BinOp, ast.UnaryOp, ast.IfExp, ast.BoolOp))


def _printed(source: Source) -> Iterator[tuple[ast.AST, ast.expr]]:
    """What is shown as the metric: after its name in a text, or under it in a dictionary."""
    for node in source.each(ast.JoinedStr):
        for text, shown in zip(node.values, node.values[1:], strict=False):
            named = isinstance(text, ast.Constant) and re.search(rf"\b{METRIC}:\s*$", str(text.value))
            if named and isinstance(shown, ast.FormattedValue):
                yield node, shown.value
    for table in source.each(ast.Dict):
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == METRIC:
                parts = value.values if isinstance(value, ast.JoinedStr) else [value]
                yield from ((value, p.value if isinstance(p, ast.FormattedValue) else p) for p in parts)
    for before, after in _together(source):
        if isinstance(before, ast.Constant) and re.search(rf"\b{METRIC}:\s*(%[^%]*|{{[^}}]*}})?$", str(before.value)):
            yield before, after
    for words, constant in source.texts:
        if re.search(rf"\b{METRIC}:\s*[\d.]", words):
            yield constant, ast.Constant(0.0)


def _together(source: Source) -> Iterator[tuple[ast.expr, ast.expr]]:
    """A text and what is shown with it: `text % shown`, `text.format(shown)`, `print(text, shown)`."""
    for operation in source.each(ast.BinOp):
        if isinstance(operation.op, ast.Mod):
            shown = operation.right
            yield operation.left, shown.elts[0] if isinstance(shown, ast.Tuple) and shown.elts else shown
    for call in source.each(ast.Call):
        if name_of(call) == "format" and isinstance(call.func, ast.Attribute) and call.args:
            yield call.func.value, call.args[0]
        elif name_of(call) == "print":
            yield from zip(call.args, call.args[1:], strict=False)


# -- the harness, the clock and other modules -----------------------------------------------------------------------


def harness(file: Candidate) -> Iterator[Broken]:
    """Nothing of the harness is bound anew, written to or looked behind."""
    source = file.source
    for name, node in source.bound:
        if name in file.theirs and not isinstance(source.parents.get(source.parents.get(node, node)), ast.ClassDef):
            yield node, name, f"it rebinds {name}, which is the harness's"
    for parameter in source.each(ast.arg):
        if parameter.arg.isupper() and parameter.arg in file.theirs:
            yield parameter, parameter.arg, f"it rebinds {parameter.arg}, which is the harness's"
    for name, path, statement in source.imports:
        module, _, member = path.rpartition(".")
        if name in file.theirs and not file.harness.holds(path):
            yield statement, name, f"it imports another {name} over the harness's"
        elif member not in ("", name) and file.harness.holds(module) and name in file.harness.defines.get(module, ()):
            yield statement, name, f"it imports {member} as {name}, which is another thing of the harness's"
    owners = {*file.theirs, *file.objects}
    for node, target in _written(source):
        if source.root(target) in owners:
            yield node, said(target), f"it sets {said(target)}, which is the harness's"
    for derived in source.each(ast.ClassDef):
        if any(file.harness.holds(source.path(base)) for base in derived.bases):
            yield derived, derived.name, f"it derives {derived.name} from a class of the harness's"
    for part in source.each(ast.Attribute):
        if part.attr.startswith("_") and source.root(part) in file.objects:
            yield part, said(part), f"it looks behind {said(part)}, which is the harness's"
    yield from _namespaces(file, owners)


def _namespaces(file: Candidate, owners: set[str]) -> Iterator[Broken]:
    """Ways to a name around its binding."""
    source = file.source
    for path, node in source.references:
        if path == "sys.modules":
            yield node, path, "it reaches modules by sys.modules"
    for name in source.each(ast.Name):
        if name.id == "globals" and isinstance(name.ctx, ast.Load):
            yield name, "globals", "it reaches its own names by globals()"
    for call in source.each(ast.Call):
        asks = isinstance(call.func, ast.Name) and name_of(call) in ("vars", "locals")
        if asks and (not call.args or source.root(call.args[0]) in owners or source.path(call.args[0])):
            yield call, name_of(call), f"it reaches names by {name_of(call)}()"
    for part in source.each(ast.Attribute):
        if part.attr == "__dict__" and (source.root(part) in owners or source.path(part)):
            yield part, said(part), f"it reaches names by {said(part)}"


def _written(source: Source) -> Iterator[tuple[ast.AST, ast.expr]]:
    """What is set or deleted without being a plain name: attributes, elements, and what setattr and its like are given."""
    nodes: list[ast.Attribute | ast.Subscript] = [*source.each(ast.Attribute), *source.each(ast.Subscript)]
    for node in nodes:
        if not isinstance(node.ctx, ast.Load):
            yield node, node
    for call in source.each(ast.Call):
        if name_of(call) in ("setattr", "delattr", "__setattr__", "__delattr__") and call.args:
            what, name = call.args[0], call.args[1] if len(call.args) > 1 else None
            if isinstance(call.func, ast.Attribute) and source.root(call.func.value) != "object":
                what, name = call.func.value, call.args[0]  # a.__setattr__("b", c)
            text = name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else "?"
            yield call, ast.Attribute(what, text, ast.Store())


def clock(file: Candidate) -> Iterator[Broken]:
    """Time is what it was: neither the module nor a function of it is another."""
    source = file.source
    clocks = {name for name, path, _ in source.imports if path.split(".")[0] == "time"}
    for name, node in source.bound:
        if name in clocks:
            yield node, name, f"it rebinds {name}, which tells the time"
    for name, path, statement in source.imports:
        if name in clocks and path.split(".")[0] != "time":
            yield statement, name, f"it imports another {name}, which tells the time"
    for node, target in _written(source):
        if source.path(target).split(".")[0] == "time":
            yield node, said(target), f"it sets {said(target)}, which tells the time"
    for path, node in source.references:
        if _CPU_CLOCKS.match(path):
            yield node, path, f"{path} stands still while a GPU works; a run is measured by time"


def patch(file: Candidate) -> Iterator[Broken]:
    """No other module is changed, but for its configuration; nothing hooks into what forward returns."""
    source = file.source
    for node, target in _written(source):
        path = source.path(target)
        if path and not file.harness.holds(path) and path.split(".")[0] != "time" and not _CONFIGURATION.match(path):
            yield node, path, f"it sets {said(target)}, which belongs to another module"
    for name, node in source.bound:
        path = source.imported.get(name, "")
        torch = path in ("torch", "torch.nn") or path.startswith("torch.nn.functional")
        if torch and name in source.at_top:
            yield node, name, f"it rebinds {name}, which is {path}"
    for part in source.each(ast.Attribute):
        if _HOOKS.match(part.attr):
            yield part, part.attr, f"{part.attr} can change what the model returns"
