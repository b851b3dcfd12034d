"""Who proposes. A researcher sees the session and returns one Proposal; it never runs, commits or judges anything.

A fifth researcher needs one file here and one line in `make`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from autoresearch_git.community.inspiration import NOTHING_READ, Inspiration
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Figure, Proposal, Session
from autoresearch_git.noise import Noise


@dataclass(frozen=True)
class View:
    """What a researcher is shown. `files` are the incumbent's editable files, `context` the harness's, by path; `facts`
    are the figures that the baseline's run reported; `inspiration` is what the community found."""

    session: Session
    experiments: tuple[Experiment, ...]
    files: Mapping[str, str]
    context: Mapping[str, str]
    facts: Mapping[str, Figure]
    noise: Noise
    inspiration: Inspiration = NOTHING_READ


class NoProposal(Exception):
    """The researcher has nothing for this turn; the message says why. `exhausted`: nor will it ever."""

    def __init__(self, reason: str, *, exhausted: bool = False) -> None:
        super().__init__(reason)
        self.exhausted = exhausted


class Researcher(Protocol):
    name: str

    def propose(self, view: View) -> Proposal:
        """The next thing to try on the incumbent. Raises NoProposal."""


def make(name: str) -> Researcher:
    """The researcher of that name. Raises AutoresearchError where there is none."""
    from autoresearch_git.research.researchers.sweep import Sweep

    known: dict[str, type[Researcher]] = {"sweep": Sweep}
    if name not in known:
        raise AutoresearchError(f"there is no researcher {name!r}", f"--researcher takes: {', '.join(known)}")
    return known[name]()
