"""The researcher that needs no key: one constant at a time, around the incumbent.

Each module-level constant of the editable file can be moved up or down on the scale that suits it (a batch doubles, a
learning rate changes by a factor, a ratio by a tenth). A direction that was kept is tried again first; one that failed
is tried later and in finer steps; a value that was tried is never tried again. What the user asks for comes first, where it
names a constant and a value. It keeps no state: what it knows is read from the descriptions in the ledger, `NAME old → new`.
`bench/sweep.py` compares it with Optuna's TPE.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoresearch_git import constants
from autoresearch_git.community.inspiration import Idea
from autoresearch_git.constants import Constant, Reading
from autoresearch_git.experiment import Experiment, Proposal, Status
from autoresearch_git.plaintext import one_line
from autoresearch_git.research import hints
from autoresearch_git.research.researchers import NoProposal, View

# Constants that do not change what is learned, or that only say how the run is reported.
_LEFT_ALONE = re.compile(
    r"SEED|FLOPS|PEAK|VERBOSE|DEBUG|VERSION|PATH|DIR$|FILE|URL|EVAL|BUDGET|TIMEOUT|VOCAB|SEQ_LEN|DEVICE|DTYPE|THREADS|EPS$"
)
# May be moved along where an assert ties it to the one that is tried.
_FOLLOWS = re.compile(r"DEVICE_BATCH|MICRO_BATCH|ACCUM")
# What usually matters, and which way (up, down): the weights follow what published sessions kept.
_PRIOR = (
    (r"TOTAL_BATCH|BATCH_SIZE", 0.7, 1.0),
    (r"UNEMBEDDING_LR|HEAD_LR", 0.95, 0.75),
    (r"_LR$|LEARNING_RATE", 0.9, 0.75),
    (r"WARMDOWN|FINAL_LR", 0.8, 0.6),
    (r"DEPTH|LAYERS|ASPECT", 0.75, 0.6),
    (r"PATTERN|WINDOW|ROPE|INIT|LAMBDA", 0.6, 0.6),
    (r"DECAY|BETA|MOMENTUM|WARMUP", 0.5, 0.5),
    (r"", 0.4, 0.4),
)
_TRIED = re.compile(r"([A-Z][A-Z0-9_]*) (\([^)]*\)|\"[^\"]*\"|'[^']*'|[^,]+?) → (\([^)]*\)|\"[^\"]*\"|'[^']*'|[^,]+)")
IN_VAIN = 2  # experiments of others in a row that did not hold here
_LONGEST = 60  # characters of a value
_FINEST = 0.2  # of the first step; below that a value is as good as tried


@dataclass
class _Arm:
    """One direction of one constant: how large its next step is, and how promising it looks."""

    name: str
    up: bool
    step: float = 1.0
    score: float = 1.0


@dataclass
class _Memory:
    """What the ledger says of each constant."""

    tried: dict[str, list[Any]] = field(default_factory=dict)
    arms: dict[tuple[str, bool], _Arm] = field(default_factory=dict)


class Sweep:
    name = "sweep"
    repairs = False

    def __init__(self) -> None:
        self._passed_over: set[str] = set()  # hints that the user was told of

    def propose(self, view: View) -> Proposal:
        path = next((p for p in view.session.editable if p.endswith(".py") and p in view.files), None)
        if path is None:
            raise NoProposal("sweep needs a Python file among the editable ones", exhausted=True)
        facts, modules = hints.facts_of(view.facts), hints.modules_of(view.context)
        reading = constants.read(view.files[path], facts, modules)
        memory = remember(view.experiments)
        for returned in view.returned:
            _forgo(memory, returned.proposal.description)
            if returned.proposal.idea:
                self._pass_over(view, returned.proposal.idea, returned.reason)
        for hint in view.ideas:
            taken = None if hint in self._passed_over else self._take(view, hint, path, reading, facts, modules)
            if taken:
                return taken
        for idea in () if _in_vain(view.experiments) else view.inspiration.suggestions:  # before what nobody tried
            allowed = _inspired(view.files[path], reading, idea, memory, facts, modules)
            if allowed:
                return self._proposal(path, reading, *allowed, _evidence(idea), inspired_by=idea.reports[0])
        order = random.Random(f"{view.session.seed} {len(view.experiments)}")
        for arm in _arms(reading, memory, order):
            for step in _steps(reading, arm, memory):
                if view.inspiration.is_dead_end(arm.name, reading.constants[arm.name].source, step[arm.name]):
                    continue
                allowed = _allowed(view.files[path], reading, step, facts, modules)
                if allowed:
                    return self._proposal(path, reading, *allowed, _why(arm, memory))
        raise NoProposal("every constant has been tried in every direction", exhausted=True)

    def _take(
        self, view: View, hint: str, path: str, reading: Reading, facts: Mapping[str, Any], modules: Mapping[str, str]
    ) -> Proposal | None:
        """What the user's hint asks for, where it can be read and had."""
        readable = {name: constant for name, constant in reading.constants.items() if _is_told(constant)}
        wanted = hints.wanted(hint, readable)
        new = {name: source for name, source in wanted.items() if _value(source) != readable[name].value}
        allowed = _allowed(view.files[path], reading, new, facts, modules) if new else None
        if allowed:
            return dataclasses.replace(self._proposal(path, reading, *allowed, "The user asked for it."), idea=hint)
        why = "an assert of the file does not allow it" if new else "it is so already" if wanted else hints.NOT_READ
        self._pass_over(view, hint, why)
        return None

    def _pass_over(self, view: View, hint: str, why: str) -> None:
        if hint not in self._passed_over:
            view.turn.say(f"      waiting   {one_line(hint, 80)}: {why}")
        self._passed_over.add(hint)

    def _proposal(
        self, path: str, reading: Reading, sources: Mapping[str, str], text: str, why: str, inspired_by: str = ""
    ) -> Proposal:
        changes = [f"{name} {reading.constants[name].source} → {source}" for name, source in sources.items()]
        return Proposal(", ".join(changes), {path: text}, why, self.name, inspired_by=inspired_by)


def _is_told(constant: Constant) -> bool:
    """Whether its value can be read back from a description, which is one line."""
    return len(constant.source) <= _LONGEST and "\n" not in constant.source


def _in_vain(experiments: Sequence[Experiment]) -> bool:
    """Whether the last few came from elsewhere and none was kept: then a step of our own comes between."""
    last = experiments[-IN_VAIN:]
    return len(last) == IN_VAIN and all(e.inspired_by and e.status is not Status.KEEP for e in last)


def _inspired(
    text: str, reading: Reading, idea: Idea, memory: _Memory, facts: Mapping[str, Any], modules: Mapping[str, str]
) -> tuple[dict[str, str], str] | None:
    """The change that a finding suggests and its text, where it is new here and the file's own asserts allow it."""
    sources = {}
    for step in idea.steps:
        constant = reading.constants.get(step.name)
        if constant is None or _LEFT_ALONE.search(step.name) or not _is_told(constant):
            return None
        before, after = _value(step.before), _value(step.after)
        if after is None or _same(after, constant.value) or (step.before and not _same(before, constant.value)):
            return None  # done, or its turn comes when the step before it was kept
        sources[step.name] = step.after
    if all(any(_same(_value(text), other) for other in memory.tried.get(name, [])) for name, text in sources.items()):
        return None
    return _allowed(text, reading, sources, facts, modules)


def _evidence(idea: Idea) -> str:
    gain = f"{sum(idea.gains) / len(idea.gains):.2%} better" if idea.gains else "no number"
    return f"Kept {idea.kept} of {idea.times} times elsewhere ({gain}; {', '.join(idea.platforms)}): {', '.join(idea.reports[:3])}."


def remember(experiments: Sequence[Experiment]) -> _Memory:
    """Read the ledger: what each constant was set to, and what came of moving it that way."""
    memory = _Memory()
    for experiment in experiments:
        for index, (name, old, new) in enumerate(_TRIED.findall(experiment.description)):
            before, after = _value(old), _value(new)
            memory.tried.setdefault(name, []).extend((before, after))
            if index == 0 and before is not None and after is not None:
                _learn(memory, name, _order(after) > _order(before), experiment.status)
    return memory


def _forgo(memory: _Memory, description: str) -> None:
    """Not to propose it again; nothing is learned from what was not run."""
    for name, _, new in _TRIED.findall(description):
        memory.tried.setdefault(name, []).append(_value(new))


def _learn(memory: _Memory, name: str, up: bool, status: Status) -> None:
    arm = memory.arms.setdefault((name, up), _Arm(name, up))
    back = memory.arms.setdefault((name, not up), _Arm(name, not up))
    if status is Status.KEEP:
        arm.score = 2.0
        back.score *= 0.3  # what was just left behind
    elif status is Status.CRASH:
        arm.score *= 0.1
        arm.step *= 0.5
    else:
        arm.score = min(arm.score, 1.0) * 0.35
        arm.step *= 0.5


def _arms(reading: Reading, memory: _Memory, order: random.Random) -> Iterator[_Arm]:
    """Directions, the most promising first; equals in an order that the session's seed decides."""
    ranked = []
    for name, constant in sorted(reading.constants.items()):
        if not _is_told(constant) or _LEFT_ALONE.search(name) or not isinstance(constant.value, (bool, int, float, str, tuple)):
            continue
        upwards, downwards = next((up, down) for pattern, up, down in _PRIOR if re.search(pattern, name))
        for up, prior in ((True, upwards), (False, downwards)):
            arm = memory.arms.get((name, up), _Arm(name, up))
            ranked.append((prior * arm.score * order.uniform(0.9, 1.0), arm))
    for _, arm in sorted(ranked, key=lambda pair: -pair[0]):
        yield arm


def _steps(reading: Reading, arm: _Arm, memory: _Memory) -> Iterator[dict[str, str]]:
    """New source text for the arm's constant, the step getting finer until a value is new."""
    constant = reading.constants[arm.name]
    tried = [*memory.tried.get(arm.name, []), constant.value]
    step = arm.step
    while step >= _FINEST:
        for source in moved(constant, arm.up, step):
            value = _value(source)
            if value is not None and not any(_same(value, other) for other in tried):
                yield {arm.name: source}
                return
        step *= 0.6


def moved(constant: Constant, up: bool, step: float) -> Iterator[str]:
    """Source text of the value moved by about `step` (1 is the first, coarse one)."""
    value, name = constant.value, constant.name
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, str):
        yield from (f'"{s}"' for s in _patterns(value, up))
    elif isinstance(value, tuple):
        for i, element in enumerate(value):
            if isinstance(element, (int, float)) and not isinstance(element, bool):
                for text in _number(name, element, up, step):
                    yield "(" + ", ".join(text if j == i else repr(e) for j, e in enumerate(value)) + ")"
    elif "**" in constant.source and value > 0 and math.log2(value).is_integer():
        exponent = int(math.log2(value)) + (1 if up else -1)
        if exponent > 0 and step > 0.5:
            yield f"2**{exponent}"
    else:
        yield from _number(name, value, up, step)


def _patterns(value: str, up: bool) -> Iterator[str]:
    """A layer pattern such as SSSL: one more, or one fewer, of its repeated letter."""
    if re.fullmatch(r"[A-Z]{1,12}", value) and len(set(value)) <= 3:
        letter = value[0]
        if up:
            yield letter + value
        elif len(value) > 1:
            yield value[1:]


def _number(name: str, value: float, up: bool, step: float) -> Iterator[str]:
    if isinstance(value, int):
        if value >= 32 and math.log2(value).is_integer():
            yield str(value * 2 if up else value // 2)
        else:
            moved_by = max(1, round(abs(value) * 0.25 * step)) * (1 if up else -1)
            yield str(max(1, value + moved_by) if value > 0 else value + moved_by)
    elif re.search(r"BETA|MOMENTUM", name) and 0 < value < 1:  # what matters is the distance to one
        distance = (1 - value) * (1 + 0.6 * step) ** (-1 if up else 1)
        if distance < 1:
            yield _plain(1 - distance, 3)
    elif re.search(r"RATIO|FRAC|PROB|DROPOUT", name) and 0 <= value <= 1:
        new = value + (0.15 if up else -0.15) * step if value >= 0.15 or up else value * 0.5
        if 0 <= new <= 1:
            yield _plain(new, 2)
    elif value == 0:
        if up:
            yield _plain(0.01 * step, 1)
    else:
        yield _plain(value * (1 + step) ** (1 if up else -1), 2)  # coarse first: a small change drowns in the noise


def _plain(value: float, digits: int) -> str:
    return repr(float(f"{value:.{digits}g}"))


def _allowed(
    text: str, reading: Reading, sources: dict[str, str], facts: Mapping[str, Any], modules: Mapping[str, str]
) -> tuple[dict[str, str], str] | None:
    """The change and its text where the file's own asserts hold, if need be with one tied constant halved or doubled."""

    def tried(changes: dict[str, str]) -> str | None:
        changed = constants.replace(text, reading.constants, changes)
        return None if set(constants.read(changed, facts, modules).violations) - set(reading.violations) else changed

    alone = tried(sources)
    if alone is not None:
        return sources, alone
    for name, constant in reading.constants.items():
        if not (_FOLLOWS.search(name) and isinstance(constant.value, int)) or name in sources:
            continue
        for factor in (0.5, 2, 0.25, 4, 0.125, 8):
            both = {**sources, name: str(int(constant.value * factor))}
            together = tried(both) if int(constant.value * factor) >= 1 else None
            if together is not None:
                return both, together
    return None


@functools.lru_cache(maxsize=1 << 16)
def _value(source: str) -> Any:
    try:
        return constants.read(f"X = {source}", {}).constants["X"].value
    except (SyntaxError, KeyError):
        return None


def _order(value: Any) -> Any:
    """A number that says which of two values of a constant is the larger one."""
    if isinstance(value, str):
        return len(value)
    return sum(value) if isinstance(value, tuple) else value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=0.02)
    return bool(a == b)


def _why(arm: _Arm, memory: _Memory) -> str:
    way = "up" if arm.up else "down"
    if (arm.name, arm.up) not in memory.arms:
        return f"{arm.name} was not moved {way} yet."
    return f"Moving {arm.name} {way} helped before." if arm.score > 1 else f"A finer step of {arm.name} {way}."
