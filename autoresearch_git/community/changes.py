"""What a change changes: constants with their old and new values, read from a diff or from the words that describe it.

Two changes are the same idea where they move the same constant the same way, whatever the sentence around it; a diff
without its comments and spaces is compared line by line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

from autoresearch_git import constants
from autoresearch_git.plaintext import one_line

_ASSIGNED = re.compile(r"([A-Za-z_][\w.]{0,60})\s*(?::\s*[\w\[\], .]{1,40})?=(?!=)\s*(.+?)\s*,?\s*(?:#.*)?$")
_KEYWORD = re.compile(r"\b([A-Za-z_]\w{1,40})\s*=(?!=)\s*(\([^()]{1,60}\)|[^\s,()]{1,40})")
_VALUE = (
    r"\([^()]{1,60}\)|\"[^\"]{1,40}\"|[~]?-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?:\s*\*\*\s*\d+|\^\d+)?[KkMm%x]?"
    r"|-?\.\d+|[SLM]{2,12}|True|False"
)
_ARROW = r"(?:\s*(?:→|⟶|⇒|=>|-{1,2}>)\s*|\s+to\s+)"
_MOVED = re.compile(rf"([A-Za-z][\w.]*(?:[ -][A-Za-z_][\w.]*){{0,4}})[\s:=]+({_VALUE}){_ARROW}({_VALUE})(?![\w.])")
_SET = re.compile(rf"\b([A-Za-z_][\w.]{{2,40}})\s*=\s*({_VALUE})(?![\w.])")
_RAISED = re.compile(
    rf"\b(?:increase|raise|decrease|reduce|lower|set|change|bump)\s+([A-Za-z_][\w. ]{{1,40}}?){_ARROW}({_VALUE})(?![\w.])", re.I
)
_NOISE_WORDS = re.compile(
    r"^(?:the|a|an|try|test|re-?test|exp\d*|experiment|increase|decrease|reduce|raise|lower|set|change|bump|from|of|and|with|use|using|more|less|halve|double|higher|longer|shorter|smaller|larger|wider|now)\s+",
    re.I,
)
_METRIC = re.compile(r"(val|train)_?(bpb|loss)|bpb|loss|gap|score")  # what came of it is no change
LONGEST_VALUE = 60
MOST = 12  # changes of one commit that are told apart


@dataclass(frozen=True)
class Change:
    """`name` as it was written; `old` empty where it is not told."""

    name: str
    old: str
    new: str

    @property
    def key(self) -> str:
        """The name as words, so that `EMBEDDING_LR`, `embedding LR` and `embedding-lr` are one."""
        return key(self.name)

    @property
    def literal(self) -> bool:
        """Whether its new value is a value and no expression: only then can two of them be the same."""
        return not isinstance(value(self.new), str) or bool(re.fullmatch(r"[\"']?[SLM]{2,12}[\"']?", self.new))

    def __str__(self) -> str:
        return f"{self.name} {self.old} → {self.new}" if self.old else f"{self.name} = {self.new}"


def key(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def value(text: str) -> object:
    """A value as Python means it, with `524K`, `2^18` and `5%` read as people do; the text itself where it is none."""
    word = text.strip().strip("\"'`~").replace("^", "**")
    factor = {"k": 1024, "m": 1024**2}.get(word[-1:].lower()) if re.fullmatch(r"[\d.,]+[KkMm]", word) else None
    if factor:
        number = float(word[:-1].replace(",", ""))
        near = round(number * factor), round(number * (1000 if factor == 1024 else 10**6))
        return next((n for n in near if n > 0 and n & (n - 1) == 0), _power_of_two_near(near[1]))
    if re.fullmatch(r"\d+(\.\d+)?[%x]", word):
        return float(word[:-1]) / (100 if word[-1] == "%" else 1)
    try:
        return constants.evaluate(ast.parse(word.replace(",", "") if re.fullmatch(r"[\d,]+", word) else word, mode="eval").body, {})
    except (SyntaxError, ValueError, constants.UnknownError, RecursionError, MemoryError):
        return word


def _power_of_two_near(number: int) -> int:
    """524K is 524,288, as people write it: the power of two within three per cent, or else the number."""
    power = 1 << max(0, number.bit_length() - 1)
    return next((p for p in (power, power * 2) if abs(p - number) <= 0.03 * p), number)


def same_value(a: str, b: str) -> bool:
    left, right = value(a), value(b)
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return abs(left - right) <= 0.02 * max(abs(left), abs(right))
    return str(left) == str(right)


def in_patch(patch: str) -> tuple[Change, ...]:
    """The assignments and keyword arguments whose value a diff (`git diff -U0`) changes, hunk by hunk."""
    found: dict[str, Change] = {}
    for hunk in re.split(r"^@@.*$", patch, flags=re.MULTILINE)[1:]:
        lines = hunk.splitlines()
        old = _assignments(line[1:] for line in lines if line.startswith("-") and not line.startswith("---"))
        new = _assignments(line[1:] for line in lines if line.startswith("+") and not line.startswith("+++"))
        for name, text in new.items():
            if old.get(name, text) != text and len(found) < MOST:
                found.setdefault(name, Change(name, one_line(old[name], LONGEST_VALUE), one_line(text, LONGEST_VALUE)))
    return tuple(found.values())


def _assignments(lines: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        code = " ".join(line[:400].split())
        match = _ASSIGNED.fullmatch(code)
        pairs = _KEYWORD.findall(code) if not match or "(" in match[2] else []
        for name, text in [*([(match[1], match[2])] if match and len(match[2]) <= LONGEST_VALUE else []), *pairs]:
            found.setdefault(name, text)
    return found


def in_words(description: str) -> tuple[Change, ...]:
    """The changes that a sentence tells: `embedding LR 0.6 to 0.8`, `MATRIX_LR=0.03`, `SSSL→SSLL`, `increase DEPTH to 5`."""
    text = one_line(description, 300)
    found: dict[str, Change] = {}
    for pattern, has_old in ((_MOVED, True), (_RAISED, False), (_SET, False)):
        for groups in pattern.findall(text):
            name = groups[0].strip()
            while _NOISE_WORDS.match(name):
                name = _NOISE_WORDS.sub("", name, count=1)
            change = Change(name, groups[1].strip() if has_old else "", groups[-1].strip())
            if name and change.key not in found and len(found) < MOST and not _METRIC.match(change.key):
                found[change.key] = change
    return tuple(found.values())


def of_names(text: str, names: Iterable[str]) -> dict[str, str]:
    """What a sentence gives each of these names as its value: `DEPTH 6`, `matrix LR = 0.05`, `WARMDOWN_RATIO 0.5 to 0.7`."""
    found = {}
    for name in names:
        words = re.escape(name).replace("_", "[ _-]")
        given = rf"(?<![\w.])(?i:{words})(?:{_ARROW}|\s*[=:]\s*|\s+)(?:from\s+)?(?:(?:{_VALUE}){_ARROW})?({_VALUE})(?![\w.]*\w)"
        if match := re.search(given, text):
            found[name] = match[1].rstrip(",")
    return found


def normal_lines(patch: str) -> frozenset[str]:
    """The added and removed lines of a diff without comments and spaces: what two diffs are compared by."""
    found = set()
    for line in patch.splitlines():
        if line[:1] in ("+", "-") and not line.startswith(("+++", "---")):
            code = re.sub(r"\s+", "", re.sub(r"(^|\s)#.*$", "", line[1:400]))
            if code:
                found.add(line[0] + code)
    return frozenset(found)
