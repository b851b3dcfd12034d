"""What happened in a turn, as lines of JSON in its log: no file's contents, and no key."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Journal:
    path: Path

    def note(self, what: str, **facts: object) -> None:
        line = json.dumps({"at": round(time.time(), 1), "what": what, **facts}, ensure_ascii=False)
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(line + "\n")
