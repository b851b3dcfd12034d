"""Writing once: a write whose answer is lost is never sent again, but looked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from autoresearch_git.community.github import LostAnswerError

LOOKS = (0.2, 0.8, 2.0)  # seconds before each look for what a lost answer may have made
T = TypeVar("T")


def once(write: Callable[[], T], find: Callable[[], T | None], sleep: Callable[[float], None]) -> T:
    """Write; where the answer is lost, look whether it was done. Raises LostAnswerError where it seems that it was not: it may yet
    turn up, and the next run looks again."""
    try:
        return write()
    except LostAnswerError:
        for pause in LOOKS:
            sleep(pause)
            found = find()
            if found is not None:
                return found
        raise
