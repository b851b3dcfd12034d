"""Has anyone done this, on what, and with what result? By what a change does, not only by the words for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autoresearch_git.community import changes
from autoresearch_git.community.changes import Change, same_value
from autoresearch_git.community.library import Hit, Library
from autoresearch_git.community.words import telling_words

SAME_DIFF, SAME_CHANGE, SAME_VALUE, ALIKE_DIFF, SAME_WAY, SAME_CONSTANT, WORDS = (
    "the same diff", "the same change", "the same value, from another", "a similar diff", "the same constant, the same way",
    "the same constant", "similar words",
)  # fmt: skip
_ORDER = (SAME_DIFF, SAME_CHANGE, SAME_VALUE, ALIKE_DIFF, SAME_WAY, SAME_CONSTANT, WORDS)
ALIKE = 0.5  # Jaccard index of two diffs' lines, from which on they are called similar
SHARED_WORDS = 0.6  # of the words of a description, from which on another one speaks of the same
MOST = 20


@dataclass(frozen=True)
class Attempt:
    """What is asked about: constants that it moves, lines that it changes, words that describe it."""

    changes: tuple[Change, ...] = ()
    lines: frozenset[str] = frozenset()
    words: str = ""


@dataclass(frozen=True)
class Match:
    """A claim that did the same or nearly so; `how` is one of the phrases above, the closest first in a list of them."""

    how: str
    hit: Hit


def of_description(text: str) -> Attempt:
    return Attempt(changes.in_words(text), words=text)


def of_diff(patch: str) -> Attempt:
    return Attempt(changes.in_patch(patch), changes.normal_lines(patch))


def tried(library: Library, attempt: Attempt, limit: int = MOST) -> list[Match]:
    """Claims that did what the attempt does, the closest first; among equals those with a number. A commit that several
    reports tell of counts once."""
    candidates: dict[object, Hit] = {}
    for hit in _candidates(library, attempt):
        same = hit.claim.identity
        if same not in candidates or candidates[same].claim.value is None:
            candidates[same] = hit
    matches = [Match(how, hit) for hit in candidates.values() if (how := _likeness(attempt, hit))]
    return sorted(matches, key=lambda m: (_ORDER.index(m.how), m.hit.claim.delta is None))[:limit]


def _candidates(library: Library, attempt: Attempt) -> Iterator[Hit]:
    if attempt.lines:
        yield from library.with_lines(attempt.lines)
    if attempt.changes:
        yield from library.moving(c.key for c in attempt.changes if c.literal)
    if attempt.words:
        yield from library.search(attempt.words, MOST)


def _likeness(attempt: Attempt, hit: Hit) -> str:
    """How a claim is like the attempt; empty where it is not."""
    theirs = frozenset(hit.claim.lines)
    if attempt.lines and attempt.lines == theirs:
        return SAME_DIFF
    pairs = list(_pairs(attempt.changes, hit.claim.changes))
    if pairs and len(pairs) == len(attempt.changes) and all(same_value(a.new, b.new) for a, b in pairs):
        return SAME_CHANGE if all(not (a.old and b.old) or same_value(a.old, b.old) for a, b in pairs) else SAME_VALUE
    if attempt.lines and theirs and len(attempt.lines & theirs) / len(attempt.lines | theirs) >= ALIKE:
        return ALIKE_DIFF
    if any(_way(a) and _way(a) == _way(b) for a, b in pairs):
        return SAME_WAY
    return SAME_CONSTANT if pairs else (WORDS if _shares_words(attempt.words, hit.claim.description) else "")


def _shares_words(ours: str, theirs: str) -> bool:
    """Whether a description has most of the words of another; by their first letters, so that `clip` and `clipping` are one."""
    wanted = {word[:5] for word in telling_words(ours)}
    found = {word[:5] for word in telling_words(theirs)}
    return bool(wanted) and len(wanted & found) / len(wanted) >= SHARED_WORDS


def _pairs(ours: Iterable[Change], theirs: tuple[Change, ...]) -> Iterator[tuple[Change, Change]]:
    for change in ours:
        other = next((t for t in theirs if t.key == change.key), None)
        if other and change.literal and other.literal:
            yield change, other


def _way(change: Change) -> int:
    """1 where the value goes up, -1 where it goes down, 0 where that cannot be told."""
    old, new = changes.value(change.old), changes.value(change.new)
    if isinstance(old, (int, float)) and isinstance(new, (int, float)):
        return (new > old) - (new < old)
    return 0
