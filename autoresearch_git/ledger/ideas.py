"""The user's hints to a session, one file each in its folder until a proposal has answered it.

They are written by another process than the one that runs the session, which is why they are no records yet: the notebook has
one writer. Once answered, a hint stands in the trailers of the experiment that did.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger.trailers import LONGEST_IDEA
from autoresearch_git.ledger.written import write_whole
from autoresearch_git.plaintext import defuse, one_line


@dataclass(frozen=True)
class Idea:
    """A hint, by the name of its file: those of one session are in order."""

    name: str
    text: str


def queue(folder: Path, text: str) -> Idea:
    """Add a hint to the session in that folder. Raises AutoresearchError where it says nothing, or too much."""
    plain = one_line(text, LONGEST_IDEA + 1)
    if not plain or len(plain) > LONGEST_IDEA:
        raise AutoresearchError(f"an idea has 1 to {LONGEST_IDEA} characters", "git autoresearch idea 'try a longer warm-down'")
    place = folder / "ideas"
    place.mkdir(exist_ok=True)
    name = f"{time.time_ns():020d}.txt"
    write_whole(place / name, plain + "\n")
    return Idea(name, plain)


def waiting(folder: Path) -> tuple[Idea, ...]:
    """The hints that nothing has answered yet, the oldest first."""
    found = []
    for path in sorted((folder / "ideas").glob("*.txt")):
        try:
            found.append(Idea(path.name, defuse(path.read_text(encoding="utf-8", errors="replace"), LONGEST_IDEA).strip()))
        except FileNotFoundError:  # answered or dropped meanwhile
            continue
    return tuple(found)


def drop(folder: Path, name: str) -> None:
    (folder / "ideas" / name).unlink(missing_ok=True)
