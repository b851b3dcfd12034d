"""What the tokens of a model cost.

From https://platform.claude.com/docs/en/about-claude/pricing and the models' own pages beside it, as of October 2026; the price of
claude-fable-5-2, and what claude-sonnet-5-5 costs to read from the cache since October 7, as trackers of that page have noted them
(github.com/archid21/rightsize v0.10.2, github.com/kurofune/claudit v1.9.2). What is written to the cache costs a quarter more for
five minutes, and twice as much for an hour.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WRITTEN_FOR_5_MINUTES, WRITTEN_FOR_AN_HOUR = 1.25, 2.0
READ = 0.1  # of the price of input, where nothing else is known


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer. Of those that were asked with, `input` were neither written to the cache nor read from it."""

    input: int = 0
    written_for_5_minutes: int = 0
    written_for_an_hour: int = 0
    read: int = 0
    output: int = 0

    @property
    def asked(self) -> int:
        return self.input + self.written_for_5_minutes + self.written_for_an_hour + self.read


NOTHING = Usage()


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens. Where more than `long` are asked with, all of them, and the answer, cost five times as much;
    0: however many."""

    input: float
    output: float
    read: float
    long: int = 0

    def of(self, usage: Usage) -> float:
        """US dollars."""
        written = WRITTEN_FOR_5_MINUTES * usage.written_for_5_minutes + WRITTEN_FOR_AN_HOUR * usage.written_for_an_hour
        plain = self.input * (usage.input + written) + self.read * usage.read + self.output * usage.output
        return plain * self._times(usage.asked) / 1e6

    def output_for(self, usd: float, asked: int) -> int:
        """Tokens of an answer that so much surely suffices for, where `asked` tokens are asked with; negative where not even those
        can be paid."""
        times = self._times(asked)
        return int((usd * 1e6 / times - self.input * WRITTEN_FOR_AN_HOUR * asked) / self.output)

    def _times(self, asked: int) -> int:
        return 5 if self.long and asked > self.long else 1


KNOWN = {
    "claude-fable-5-2": Price(8, 40, 0.20),
    "claude-fable-5-1": Price(10, 50, 0.25),
    "claude-fable-5": Price(10, 50, 1.0),
    "claude-mythos-5-1": Price(10, 50, 0.25),
    "claude-mythos-5": Price(10, 50, 1.0),
    "claude-opus-5-5": Price(4, 20, 0.20),
    "claude-opus-5": Price(5, 25, 0.50),
    "claude-opus-4-8": Price(5, 25, 0.50),
    "claude-opus-4-7": Price(5, 25, 0.50),
    "claude-opus-4-6": Price(5, 25, 0.50),
    "claude-opus-4-5": Price(5, 25, 0.50),
    "claude-sonnet-5-5": Price(2, 10, 0.10),
    "claude-sonnet-5": Price(2, 10, 0.20),
    "claude-sonnet-4-6": Price(3, 15, 0.30),
    "claude-haiku-5-5": Price(0.10, 0.50, 0.01, long=100_000),
    "claude-haiku-4-5": Price(1, 5, 0.10),
}


def price_of(model: str, told: tuple[float, float] | None) -> Price | None:
    """What the model costs: as we know, or else as we are told; None where nobody says."""
    known = KNOWN.get(re.sub(r"-\d{8}$", "", model))  # with or without the date of its release
    if known is None and told:
        return Price(told[0], told[1], READ * told[0])
    return known
