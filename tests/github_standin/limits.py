"""Rate limits: a window of an hour for each token and for those who have none."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

HOUR = 3600


@dataclass
class Window:
    limit: int
    resource: str
    used: int = 0
    reset: int = field(default_factory=lambda: int(time.time()) + HOUR)

    @property
    def remaining(self) -> int:
        if time.time() >= self.reset:
            self.used, self.reset = 0, int(time.time()) + HOUR
        return max(0, self.limit - self.used)

    def headers(self) -> dict[str, str]:
        named = {
            "Limit": self.limit,
            "Remaining": self.remaining,
            "Reset": self.reset,
            "Used": self.used,
            "Resource": self.resource,
        }
        return {f"X-RateLimit-{name}": str(value) for name, value in named.items()}


@dataclass
class Limits:
    """What an hour allows. Assign smaller numbers before the first request to run into them."""

    graphql: int = 5000
    rest: int = 5000
    anonymous: int = 60
    windows: dict[tuple[int, str], Window] = field(default_factory=dict)

    def window(self, token: int, where: str) -> Window:
        """`token` is its number, 0 for none."""
        allowed = self.graphql if where == "graphql" else self.rest if token else self.anonymous
        return self.windows.setdefault((token, where), Window(allowed, "graphql" if where == "graphql" else "core"))
