"""What the value of an expression depends on, in a function that gets the targets. Pure.

Told is where a value comes from, not what it is; whatever an unknown function had a hand in is unknown.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from autoresearch_git.constants import UnknownError, evaluate
from autoresearch_git.research.rules.source import FUNCTIONS, Source, name_of, number_of

# What a value depends on.
TARGETS = "targets"
MASK = "mask"  # of targets, compared with a constant: which of them count
HIDDEN = "targets through a layer"
MODEL = "model"  # anything else that the function is given or finds
LOG = "logarithm"
LOSS = "loss"  # a cross-entropy of something and the targets
SHARE = "share of a loss"
LEAK = "loss of logits that know the targets"
UNKNOWN = "unknown"

Tags = frozenset[str]
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
NONE: Tags = frozenset()
_FROM_TARGETS = frozenset((TARGETS, HIDDEN))

_LOSSES = re.compile(r"crossentropy|nllloss|^nll$")
_SHAPES = ("shape", "dtype", "device", "ndim", "size", "numel", "dim", "element_size", "stride", "nelement", "get_device")
_BLANK = re.compile(r"(new_)?(zeros|ones|empty|full|rand|randn|randint|arange|eye)(_like)?$")
_LOGS = re.compile(r"log(_softmax|softmax|sumexp|2|10|1p|addexp|sigmoid)?_?$|softplus$")
_COMPARISONS = ("eq", "ne", "ge", "gt", "le", "lt")
_PLAIN = re.compile(  # what a tensor can be asked for that only moves, picks or combines its elements
    r"(one_hot|scatter\w*|gather|take_along_dim|take|index_\w+|masked_\w+|where|eq|ne|ge|gt|le|lt|equal|add|sub|mul|div|addcmul|"
    r"lerp|view|view_as|reshape|flatten|unflatten|squeeze|unsqueeze|expand|expand_as|repeat|to|float|half|double|bfloat16|int|long|"
    r"bool|type|type_as|clone|contiguous|detach|cpu|cuda|chunk|split|unbind|transpose|permute|t|roll|flip|cat|stack|concat|pad|"
    r"sum|mean|amax|amin|max|min|abs|neg|clamp|clip|clamp_min|clamp_max|narrow|select|item|tolist|any|all|logical_\w+|"
    r"nonzero|argmax|softmax|exp|pow|square|sqrt|tensor|as_tensor|copy|fill)_?$"
)
_METHODS: dict[str, type[ast.operator]] = {"mul": ast.Mult, "div": ast.Div, "sub": ast.Sub, "pow": ast.Pow}
_GROWS = re.compile(r"\w*[^_]_$|append$|extend$|insert$")
_HIDES = re.compile(r"loss|div|checkpoint|apply|compile|call|map")  # what torch has that may make a loss of what it is given
_DEPTH = 4  # of functions that hand the targets on
_WORK = 20_000  # expressions; a text made to be long in reading is read no further


@dataclass
class Values:
    """One function. `values` are what names depend on here, `known` the constants that its parameters are."""

    source: Source
    function: Function
    values: dict[str, Tags]
    known: dict[str, object]
    depth: int = 0
    work: list[int] = field(default_factory=lambda: [_WORK])  # left, for this function and those that it calls
    looping: bool = False
    local: dict[str, Function] = field(default_factory=dict)
    returned: list[tuple[ast.expr, Tags]] = field(default_factory=list)

    def run(self) -> Tags:
        """What the function gives back."""
        raise NotImplementedError

    # -- names ----------------------------------------------------------------------------------------------------

    def assign(self, target: ast.expr, value: ast.expr, tags: Tags) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
                each = [self.of(e) for e in value.elts]
                for to, part in zip(target.elts, each, strict=True):
                    self.store(to, part)
                return
            tags = _blurred(tags)
        if isinstance(value, ast.Lambda) and isinstance(target, ast.Name):
            self.local[target.id] = value
        self.store(target, tags)

    def store(self, target: ast.expr, tags: Tags) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            for element in target.elts:
                self.store(element, _blurred(tags))
        elif isinstance(target, ast.Name):
            self.values[target.id] = tags
            self.known.pop(target.id, None)
        elif isinstance(target, ast.Starred):
            self.store(target.value, tags)
        else:
            self.grow(target, tags)

    def grow(self, node: ast.expr, tags: Tags) -> None:
        """Something becomes part of what an expression begins at. Attributes of parameters are values of their own."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
        else:
            name = self.source.root(node)
        if name:
            self.values[name] = self.values.get(name, NONE) | tags

    def iterate(self, target: ast.expr, iterable: ast.expr) -> None:
        """`for a, b in zip(x, y)` keeps apart what comes apart."""
        named = iterable.func.id if isinstance(iterable, ast.Call) and isinstance(iterable.func, ast.Name) else ""
        if isinstance(iterable, ast.Call) and isinstance(target, ast.Tuple):
            if named == "zip" and len(iterable.args) == len(target.elts):
                for to, part in zip(target.elts, iterable.args, strict=True):
                    self.iterate(to, part)
                return
            if named == "enumerate" and len(target.elts) == 2 and iterable.args:
                self.store(target.elts[0], NONE)
                self.iterate(target.elts[1], iterable.args[0])
                return
        self.store(target, self.of(iterable))

    def truth(self, test: ast.expr) -> bool | None:
        """Whether a condition holds in an evaluation; None where that cannot be told."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.truth(test.operand)
            return None if inner is None else not inner
        if isinstance(test, ast.BoolOp):
            each = [self.truth(value) for value in test.values]
            decides = isinstance(test.op, ast.Or)
            return decides if decides in each else None if None in each else not decides
        if isinstance(test, ast.Compare) and isinstance(test.ops[0], (ast.Is, ast.IsNot)) and len(test.ops) == 1:
            left, nothing = test.left, isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value is None
            if nothing and isinstance(left, ast.Name):
                if left.id in self.known:
                    return (self.known[left.id] is None) == isinstance(test.ops[0], ast.Is)
                if TARGETS in self.values.get(left.id, NONE):
                    return isinstance(test.ops[0], ast.IsNot)
            return None
        try:
            return bool(evaluate(test, self.known))
        except UnknownError:
            return None

    # -- expressions --------------------------------------------------------------------------------------------

    def of(self, node: ast.AST) -> Tags:
        """What the value of an expression depends on."""
        self.work[0] -= 1
        if self.work[0] < 0:
            return frozenset((UNKNOWN,))
        if isinstance(node, ast.Name):
            return self.values.get(node.id, NONE if node.id in self.source.imported else frozenset((MODEL,)))
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.BinOp):
            return self.combined(node.op, node.left, node.right)
        if isinstance(node, ast.Compare):
            return self.comparison(node.left, node.comparators)
        if isinstance(node, ast.IfExp):
            truth = self.truth(node.test)
            return self.of(node.body if truth else node.orelse) if truth is not None else self.of(node.body) | self.of(node.orelse)
        if isinstance(node, ast.Attribute):
            if node.attr in _SHAPES:
                return NONE
            own = self.values.get(f"{node.value.id}.{node.attr}") if isinstance(node.value, ast.Name) else None
            return self.of(node.value) if own is None else own
        if isinstance(node, ast.Subscript):
            return self.of(node.value) | (self.of(node.slice) - {MASK})
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            tags = self.of(node.operand)
            return (tags - {LOSS}) | {SHARE} if LOSS in tags else tags
        if isinstance(node, ast.NamedExpr):
            self.assign(node.target, node.value, self.of(node.value))
            return self.of(node.target)
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
            for generator in node.generators:
                self.iterate(generator.target, generator.iter)
            return self.of(node.elt)
        if isinstance(node, ast.Lambda):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            return frozenset((UNKNOWN,)) if any(self.values.get(name, NONE) & _FROM_TARGETS for name in names) else NONE
        return union(self.of(child) for child in ast.iter_child_nodes(node))

    def comparison(self, left: ast.expr, others: list[ast.expr]) -> Tags:
        """Targets against a constant say which of them count; against anything else, what they are."""
        tags = union(self.of(node) for node in (left, *others))
        fixed = all(number_of(node, self.source.numbers) is not None for node in others)
        return (tags - {TARGETS}) | {MASK} if fixed and TARGETS in tags else tags

    def combined(self, op: ast.operator, left: ast.expr, right: ast.expr) -> Tags:
        a, b = self.of(left), self.of(right)
        numbers = [number_of(node, {**self.source.numbers, **self.known}) for node in (left, right)]
        both = a & {LOSS, SHARE} and b & {LOSS, SHARE} and not isinstance(op, ast.Add)
        whole = {LOSS, HIDDEN}
        if both or ((a | b) & whole and _shrinks(op, numbers, bool(a & whole))):
            return ((a | b) - {LOSS}) | {SHARE}
        if isinstance(op, ast.Add) and SHARE in a | b and a and b:
            return ((a | b) - {SHARE}) | {UNKNOWN}  # shares may add up to a whole
        return a | b

    # -- calls --------------------------------------------------------------------------------------------------

    def call(self, node: ast.Call) -> Tags:
        called = name_of(node)
        arguments = [*node.args, *(k.value for k in node.keywords)]
        given = [self.of(a) for a in arguments]
        handed = union(given)
        if handed & {TARGETS, MASK, HIDDEN, UNKNOWN} and _is_loss(node.func):
            return self.loss(node)
        if called in _SHAPES or called == "len" or _BLANK.match(called):
            return NONE
        base = self.of(node.func.value) if isinstance(node.func, ast.Attribute) else NONE
        if isinstance(node.func, ast.Attribute) and LOSS in base and len(node.args) <= 1:
            cut = self.cut(node.func.value, called, node.args, [k.arg for k in node.keywords])
            if cut is not None:
                return cut
        if isinstance(node.func, ast.Attribute) and called in _COMPARISONS and not self.source.path(node.func):
            return self.comparison(node.func.value, node.args)
        function = self.resolve(node.func)
        if function is not None and self.depth < _DEPTH:
            return self.enter(function, node)
        result = base | handed
        if _LOGS.match(called):
            knows = "sum" in called or "softmax" in called  # it is taken of the logits alone
            result |= {LOG, LEAK} if knows and result & _FROM_TARGETS else {LOG}
        elif not (handed | base) & _FROM_TARGETS or self.plain(node.func, called):
            if isinstance(node.func, ast.Attribute) and _GROWS.match(called):
                self.grow(node.func.value, result)
        else:
            result = self.opaque(node.func, arguments, result)
        return result

    def cut(self, value: ast.expr, called: str, arguments: list[ast.expr], named: list[str | None]) -> Tags | None:
        """What a method that makes a loss another number leaves of it; None for any other method."""
        operator = _METHODS.get(called.rstrip("_"))
        tags = self.of(value)
        if operator and arguments:
            tags = self.combined(operator(), value, arguments[0])
        elif called == "zero_":
            tags = NONE
        elif called.rstrip("_") == "clamp_max" or (called.rstrip("_") in ("clamp", "clip") and "max" in named):
            tags = (tags - {LOSS}) | {SHARE}
        else:
            return None
        if called.endswith("_") and isinstance(value, ast.Name):
            self.values[value.id] = tags
        return tags

    def plain(self, function: ast.expr, called: str) -> bool:
        """A method of a tensor or a function of torch that hides nothing; not a layer of the model, whatever its name."""
        if isinstance(function, ast.Name):
            return called in ("float", "int", "min", "max", "sum", "abs", "list", "tuple", "zip", "enumerate", "range", "reversed")
        return bool(_PLAIN.match(called)) and not (isinstance(function, ast.Attribute) and self.layer(function.value))

    def layer(self, node: ast.expr) -> bool:
        """`self` or an attribute of it that this function has not made itself."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in ("self", "ctx")

    def opaque(self, function: ast.expr, arguments: list[ast.expr], result: Tags) -> Tags:
        """A call that nothing is known of gets the targets: what it returns, or writes into, may be anything. A layer of the
        model or of torch gives back what knows them."""
        path = self.source.path(function)
        torch = path.startswith("torch.") and not _HIDES.search(path)
        if torch or (self.source.root(function) in self.values and not isinstance(function, ast.Subscript)):
            return (result - _FROM_TARGETS) | {HIDDEN}
        for argument in arguments:
            if isinstance(argument, (ast.Name, ast.Subscript)):
                self.grow(argument, frozenset((UNKNOWN,)))
        return (result - _FROM_TARGETS) | {UNKNOWN}

    def loss(self, node: ast.Call) -> Tags:
        """What a cross-entropy of targets gives back: the logits come first, or after targets that are nothing but targets."""
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        logits, *others = [*(named[n] for n in ("input", "logits") if n in named), *node.args, *named.values()]
        first = self.of(logits)
        if first & _FROM_TARGETS and (MODEL in first or not any(MODEL in self.of(other) for other in others[:1])):
            return frozenset((LEAK,))
        ignored = number_of(named["ignore_index"], self.source.numbers) if "ignore_index" in named else None
        weight = named.get("weight") if self.source.path(node.func).endswith(".cross_entropy") else None
        weighs = weight is not None and not isinstance(weight, ast.Constant)
        return frozenset((SHARE if weighs or (ignored is not None and ignored >= 0) else LOSS,))

    def resolve(self, function: ast.expr) -> Function | None:
        """The function of this file that is called, if it is one: by its name, or as a method of the same class."""
        if isinstance(function, ast.Name):
            top = (n for n in self.source.tree.body if isinstance(n, FUNCTIONS) and n.name == function.id)
            return self.local.get(function.id) or next(top, None)
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in ("self", "cls"):
            around = self.source.within(self.function, (ast.ClassDef,))
            body = around.body if isinstance(around, ast.ClassDef) else []
            return next((n for n in body if isinstance(n, FUNCTIONS) and n.name == function.attr), None)
        return None

    def enter(self, function: Function, node: ast.Call) -> Tags:
        """What a function of this file gives back for these arguments."""
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        if isinstance(node.func, ast.Attribute) and names and names[0] in ("self", "cls"):
            names = names[1:]
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            return frozenset((UNKNOWN,))
        passed = {**dict(zip(names, node.args, strict=False)), **{k.arg: k.value for k in node.keywords if k.arg}}
        outside = dict(self.values) if function in self.local.values() else {}
        values = {**outside, "self": frozenset((MODEL,)), **{name: self.of(value) for name, value in passed.items()}}
        known = {name: value for name, value in defaults(function).items() if name not in passed}
        for name, value in passed.items():
            try:
                known[name] = evaluate(value, self.known)
            except UnknownError:
                continue
        inner = type(self)(self.source, function, values, known, self.depth + 1, self.work, self.looping, dict(self.local))
        return inner.run()


def union(each: Iterator[Tags] | list[Tags]) -> Tags:
    return NONE.union(*each)


def _blurred(tags: Tags) -> Tags:
    """What is taken apart in an unknown way may be with the targets or without."""
    return (tags - _FROM_TARGETS) | {UNKNOWN} if tags & _FROM_TARGETS else tags


def _is_loss(function: ast.expr) -> bool:
    """`F.cross_entropy`, `nn.CrossEntropyLoss()(…)`, `CROSS_ENTROPY[path](…)`, `FusedCrossEntropy.apply`."""
    names = []
    if isinstance(function, ast.Call):
        function = function.func
    while isinstance(function, (ast.Attribute, ast.Subscript)):
        names.append(getattr(function, "attr", ""))
        function = function.value
    names.append(getattr(function, "id", ""))
    return any(_LOSSES.search(name.replace("_", "").lower()) for name in names)


def _shrinks(op: ast.operator, numbers: list[float | None], loss_first: bool) -> bool:
    """Whether a constant makes a loss smaller: times a half, by two, minus one."""
    left, right = numbers
    if isinstance(op, ast.Mult):
        factor = right if loss_first else left
        return factor is not None and factor < 1
    if not loss_first or right is None:
        return False
    return right > 1 if isinstance(op, ast.Div) else right > 0 if isinstance(op, ast.Sub) else False


def defaults(function: Function) -> dict[str, object]:
    """The parameters whose default is a constant."""
    has = function.args
    given = [*zip(reversed([*has.posonlyargs, *has.args]), reversed(has.defaults), strict=False)]
    alone = [*zip(has.kwonlyargs, has.kw_defaults, strict=True)]
    return {argument.arg: value.value for argument, value in [*given, *alone] if isinstance(value, ast.Constant)}
