"""How long the model's side is waited for: longer each time, as long as it asks, and not for ever."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.research.researchers import Turn
from autoresearch_git.research.researchers.claude.journal import Journal

LONGEST = 300.0  # seconds of one wait, unless the model's side asks for more
ENOUGH = 6 * 3600.0  # seconds of nothing but failures
_STEPS = 9  # doublings that reach the longest


@dataclass
class Patience:
    turn: Turn
    journal: Journal
    failures: int = 0
    since: float = 0.0

    def wait(self, reason: str, asked: float) -> None:
        """Wait for at least `asked` seconds, and say why. Raises AutoresearchError where that would be more than enough, NoProposal
        where the time of this start is over."""
        now = time.monotonic()
        if not self.failures:
            self.since = now
        seconds = max(asked, min(2.0 ** min(self.failures, _STEPS), LONGEST)) * random.uniform(1.0, 1.1)
        self.failures += 1
        if now + seconds - self.since > ENOUGH:
            raise AutoresearchError(f"the model has not answered for {_spoken(now - self.since)}: {reason}" if now > self.since else
                                    f"the model is to be asked again in {_spoken(asked)} only: {reason}",
                                    "git autoresearch start --resume goes on, once it answers")  # fmt: skip
        self.turn.say(f"      {reason}; again in {_spoken(seconds)}")
        self.journal.note("wait", reason=reason, seconds=round(seconds, 1))
        self.turn.wait(seconds)

    def answered(self) -> None:
        self.failures = 0


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
