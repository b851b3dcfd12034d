"""Who proposes. A researcher sees the session and returns one Proposal; it never runs, commits or judges anything.

A fifth researcher needs one file here and one line in `make`.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from autoresearch_git.community.inspiration import NOTHING_READ, Inspiration
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Figure, Proposal, Session, Spending
from autoresearch_git.noise import Noise
from autoresearch_git.research.program import NO_PROGRAM, Program


@dataclass(frozen=True)
class Returned:
    """A proposal that came back in the same turn, and why: it was refused before a run, or, where there is a `traceback`, its run
    crashed. The traceback is the end of our own run's output, made safe to read."""

    proposal: Proposal
    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Port:
    """A change that a stranger made to other files, by its `patch`, which is to be made to these; `reason` says why it cannot be
    carried over as it is."""

    description: str
    patch: str
    reason: str


@dataclass(frozen=True)
class Turn:
    """What a researcher may use while it proposes. `log` is a file of this turn's own; `say` tells the user something in one line;
    `spend` remembers what was paid for, at once; `allowance` is what may still be spent, in US dollars, None without a limit;
    `deadline` the time (of `time.monotonic`) by which it must have proposed; `stopping` whether the user has asked to stop."""

    log: Path = Path(os.devnull)
    say: Callable[[str], None] = lambda text: None
    spend: Callable[[Spending], None] = lambda spending: None
    allowance: Callable[[], float | None] = lambda: None
    deadline: float = math.inf
    stopping: Callable[[], bool] = lambda: False

    def wait(self, seconds: float) -> None:
        """Sleep. Raises NoProposal where the deadline comes first, or the user asks to stop."""
        end = time.monotonic() + seconds
        if end > self.deadline:
            raise NoProposal("the time of this start is over", exhausted=True)
        while (left := end - time.monotonic()) > 0:
            if self.stopping():
                raise NoProposal("stopped as asked", exhausted=True)
            time.sleep(min(left, 0.5))


@dataclass(frozen=True)
class View:
    """What a researcher is shown. `files` are the incumbent's editable files, `context` the harness's, by path; `facts`
    are the figures that the baseline's run reported; `inspiration` is what the community found; `ideas` are hints of the user that
    the next proposals must consider first; `returned` is what it has proposed in vain in this turn. `port` is all that this turn is
    for, where there is one."""

    session: Session
    experiments: tuple[Experiment, ...]
    files: Mapping[str, str]
    context: Mapping[str, str]
    facts: Mapping[str, Figure]
    noise: Noise
    turn: Turn = Turn()
    inspiration: Inspiration = NOTHING_READ
    program: Program = NO_PROGRAM
    ideas: tuple[str, ...] = ()
    returned: tuple[Returned, ...] = ()
    port: Port | None = None


class NoProposal(Exception):
    """The researcher has nothing for this turn; the message says why. `exhausted`: nor will it ever."""

    def __init__(self, reason: str, *, exhausted: bool = False) -> None:
        super().__init__(reason)
        self.exhausted = exhausted


class Researcher(Protocol):
    """`repairs`: whether a proposal whose run crashed is worth returning to it."""

    name: str
    repairs: bool

    def propose(self, view: View) -> Proposal:
        """The next thing to try on the incumbent. Raises NoProposal."""


READERS = ("claude", "command")  # which are told in words what to do


def make(settings: Settings, templates: Path | None = None) -> Researcher:
    """The researcher that the settings name; one that reads is told by the user's own `templates`. Raises AutoresearchError where
    there is none, or it lacks what it needs."""
    from autoresearch_git.research.researchers import claude, command, hand, sweep

    known: dict[str, Callable[[Settings], Researcher]] = {
        "sweep": lambda settings: sweep.Sweep(),
        "claude": lambda settings: claude.make(settings, templates),
        "command": lambda settings: command.from_settings(settings, templates),
        "hand": lambda settings: hand.Hand(),
    }
    if settings.researcher not in known:
        raise AutoresearchError(f"there is no researcher {settings.researcher!r}", f"--researcher takes: {', '.join(known)}")
    return known[settings.researcher](settings)
