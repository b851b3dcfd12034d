"""How much a confined run has written so far, looked at now and then while it runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_EVERY = 1.0  # seconds between two looks, or twenty times what a look takes


class Meter:
    """Counts from its making. What a run deletes is given back; a file deleted while it is open is not seen."""

    def __init__(self, folders: Sequence[Path], limit: int) -> None:
        self._folders = [str(folder) for folder in folders]
        self._limit = limit
        self._before = sum(_sizes(self._folders))
        self._next = 0.0

    def over(self, elapsed: float) -> str:
        """Why the run must end; empty while it may go on."""
        if elapsed < self._next:
            return ""
        began = time.monotonic()
        written = sum(_sizes(self._folders)) - self._before
        self._next = elapsed + max(_EVERY, 20 * (time.monotonic() - began))
        return f"killed after writing {self._limit / 2**30:.3g} GiB" if written > self._limit else ""


def _sizes(folders: Sequence[str]) -> Iterator[int]:
    """Bytes on disk. What vanishes meanwhile, or lies too deep to be named, does not count."""
    left = list(folders)
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                    else:
                        yield entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
