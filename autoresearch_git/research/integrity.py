"""What a candidate may do to the number: a static tripwire for one editable file beside a prepare.py of our kind. Pure.

The edited file computes its own loss and prints its own number, so a change can move val_bpb without a better model. What
is read here is text; nothing is executed. It is a tripwire, not a boundary: it catches what an agent does in haste and
what a stranger's file does plainly. Who wants to hide it from a reader of text can. See docs/integrity.md.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from autoresearch_git.research.rules import number, ways_out
from autoresearch_git.research.rules.candidate import EVALUATION, Candidate, Harness
from autoresearch_git.research.rules.loss import loss
from autoresearch_git.research.rules.number import METRIC
from autoresearch_git.research.rules.source import FUNCTIONS, Source, arguments_of, name_of, read

_RULES = {
    "evaluation": number.evaluation, "harness": number.harness, "clock": number.clock, "patch": number.patch, "loss": loss,
    "import": ways_out.imports, "code": ways_out.code, "frames": ways_out.frames, "process": ways_out.process,
    "files": ways_out.files, "contract": ways_out.contract,
}  # fmt: skip
_KERNELS = frozenset(("varunneal/flash-attention-3", "kernels-community/flash-attn3"))  # upstream's two
_SEEDING = re.compile(r"(manual_seed(_all)?|seed(_all|_everything)?|set_seed|default_rng|RandomState|PRNGKey)$")


@dataclass(frozen=True)
class Finding:
    """One thing that may move the number without a better model. `code` is what it is known by in another text."""

    line: int
    rule: str
    code: str
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what} ({self.rule})"


_UNREADABLE = Finding(1, "nesting", "", "it is nested too deeply to be read")


def findings(text: str, harness: Mapping[str, str]) -> list[Finding]:
    """What a file does that no file may; by line. Nothing where the harness, by path, is none of our kind, or where the file
    does not import from it."""
    try:
        file = _candidate(text, harness)
        return _absolute(file) if file else []
    except RecursionError:
        return [_UNREADABLE]


def added(text: str, before: str, harness: Mapping[str, str]) -> list[Finding]:
    """What a file does that no file may and the incumbent's did not; by line. What was always there is excused."""
    try:
        old = _candidate(before, harness)
        if old is None:
            return findings(text, harness)
        new = Candidate(read(text), old.harness)
        excused = Counter((finding.rule, finding.code) for finding in _absolute(old))
        found = []
        for finding in _absolute(new):
            excused[finding.rule, finding.code] -= 1
            if excused[finding.rule, finding.code] < 0:
                found.append(finding)
        return sorted([*found, *_compared(new, old)], key=lambda finding: finding.line)
    except RecursionError:
        return [_UNREADABLE]


def _candidate(text: str, harness: Mapping[str, str]) -> Candidate | None:
    """The file, if this is a harness of our kind that it imports from."""
    try:
        prepare = read(harness["prepare.py"])
        if not any(isinstance(n, ast.FunctionDef) and n.name == EVALUATION for n in prepare.tree.body):
            return None
        modules = {path[:-3].replace("/", "."): read(t) for path, t in harness.items() if path.endswith(".py")}
        file = Candidate(read(text), Harness(modules))
    except (KeyError, SyntaxError, ValueError):
        return None
    return file if any(path.split(".")[0] == "prepare" for _, path, _ in file.source.imports) else None


def _absolute(file: Candidate) -> list[Finding]:
    """What a file shows by itself."""
    found = [_finding(node, rule, code, what) for rule, broken in _RULES.items() for node, code, what in broken(file)]
    for text, name in ((_RULER, "---"), (_SHOWN, f"{METRIC}:")):
        again = _written(file.source, text)[1:]
        found += [_finding(node, "summary", name, f"it prints {name} more than once") for node in again]
    for node, name in _kernels(file.source):
        if name not in _KERNELS:
            found.append(_finding(node, "kernel", name, f"it gets the kernel {name or 'of a name that cannot be told'}"))
    return sorted(dict.fromkeys(found), key=lambda finding: finding.line)


def _compared(new: Candidate, old: Candidate) -> list[Finding]:
    """What shows only beside the incumbent."""
    found = []
    was, now = old.evaluations(), new.evaluations()
    if len(was) == len(now) == 1 and _arguments(was[0]) != _arguments(now[0]):
        found.append(_finding(now[0], "evaluation", "arguments", f"it calls {EVALUATION} with other arguments"))
    for text, name in ((_RULER, "---"), (_SHOWN, f"{METRIC}:")):
        first = _written(new.source, text)[:1]
        if not _written(old.source, text):
            found += [_finding(node, "summary", name, f"it prints {name} where the incumbent does not") for node in first]
    known, seeds = {code for _, code in _seeds(old.source)}, list(_seeds(new.source))
    other = "it seeds with something else, and luck is no finding"
    found += [_finding(node, "seed", code, other) for node, code in seeds if code not in known]
    if known and not seeds:
        found.append(_finding(new.source.tree, "seed", "none", "it seeds nothing any more, and luck is no finding"))
    if _uses(old.source, "TIME_BUDGET") and not _uses(new.source, "TIME_BUDGET"):
        found.append(_finding(new.source.tree, "clock", "TIME_BUDGET", "it does not use TIME_BUDGET any more"))
    return found


_RULER = re.compile(r"^---[ \t]*$", re.MULTILINE)
_SHOWN = re.compile(rf"\b{METRIC}:")


def _written(source: Source, what: re.Pattern[str]) -> list[ast.AST]:
    """The strings in which something is written, one as often as it is there."""
    return [node for text, node in source.texts for _ in what.findall(text)]


def _kernels(source: Source) -> Iterator[tuple[ast.AST, str]]:
    for call in source.each(ast.Call):
        if name_of(call) in ("get_kernel", "get_local_kernel") and call.args:
            yield from ((call, name) for name in sorted(source.strings(call.args[0]) or {""}))


def _seeds(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Every call that seeds something, and with what: a name for a constant is that constant."""
    for call in source.each(ast.Call):
        if _SEEDING.match(name_of(call)):
            for argument in arguments_of(call):
                yield from ((call, ast.dump(value)) for value in _meant(source, call, argument))


def _meant(source: Source, call: ast.Call, argument: ast.expr) -> list[ast.expr]:
    """The constant that a name stands for; of a parameter, what its function is called with."""
    if not isinstance(argument, ast.Name):
        return [argument]
    around = source.within(call, FUNCTIONS)
    names = [a.arg for a in around.args.args] if isinstance(around, FUNCTIONS) else []
    if isinstance(around, FUNCTIONS) and argument.id in names:
        calls = [c for c in source.each(ast.Call) if name_of(c) == around.name]
        place = names.index(argument.id)
        return [c.args[place] for c in calls if len(c.args) > place]
    values = source.assigned.get(argument.id, [])
    return values if len(values) == 1 and isinstance(values[0], ast.Constant) else [argument]


def _uses(source: Source, name: str) -> bool:
    named = any(node.id == name for node in source.each(ast.Name))
    return named or any(node.attr == name for node in source.each(ast.Attribute))


def _arguments(call: ast.Call) -> str:
    return ast.dump(ast.Call(ast.Name("f", ast.Load()), call.args, call.keywords))


def _finding(node: ast.AST, rule: str, code: str, what: str) -> Finding:
    return Finding(getattr(node, "lineno", 1), rule, code, what)
