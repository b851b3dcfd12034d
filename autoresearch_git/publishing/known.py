"""Numbers as a text has them, and whether a recorded number is what one of them was rounded from. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from autoresearch_git.publishing import wording

TOKEN = re.compile(
    r"(?<![\w.])(\d{4}-\d\d-\d\d|\d+(?:\.\d+){2,}|[+−-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+−-]?\d+)?|[+−-]?\.\d+)(?![\w]|\.\d)"
)


@dataclass
class Known:
    """Numbers that may stand somewhere, and words with digits such as versions and dates. `sizes` are numbers that a text gave
    without a sign (`0.05 worse`): they explain no number with one."""

    numbers: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    words: set[str] = field(default_factory=set)

    def add(self, *values: object) -> Known:
        for value in values:
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                self.numbers.append(float(value))
            elif isinstance(value, str):
                found = [match[1] for match in TOKEN.finditer(value)]
                self.words |= set(found)
                for token in found:
                    number = number_of(token)
                    if number is not None:
                        (self.numbers if token[0] in "+−-" else self.sizes).append(number)
        return self

    def explains(self, token: str) -> bool:
        """Whether the token is one of the words, or what one of the numbers rounds to; without a sign it may be either's."""
        if token in self.words:
            return True
        number = number_of(token)
        if number is None:
            return False
        known = self.numbers if token[0] in "+−-" else [*map(abs, self.numbers), *self.sizes]
        return any(_rounds_to(value, number, token) for value in known)


def number_of(token: str) -> float | None:
    try:
        return float(token.replace(",", "").replace(wording.MINUS, "-"))
    except ValueError:
        return None


def _rounds_to(known: float, number: float, token: str) -> bool:
    """Whether `known`, written with as many digits as the token has, is the token."""
    mantissa, _, exponent = token.replace(wording.MINUS, "-").lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    half = 0.5 * 10.0 ** (int(exponent or 0) - decimals)
    return abs(known - number) <= half * (1 + 1e-6)
