"""Which crashes are worth returning to the researcher: those of the edit, and not of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterable

from autoresearch_git.experiment import Measurement
from autoresearch_git.plaintext import defuse

MOST_REPAIRS = 2  # of one proposal
LONGEST = 2_000  # characters of a traceback's end
_MEMORY = re.compile(r"OutOfMemoryError|out of memory|MemoryError|Cannot allocate memory", re.IGNORECASE)
_SHAPE = re.compile(r"shape|size mismatch|size of tensor|dimension|must match|broadcast", re.IGNORECASE)


def mendable(measurement: Measurement, editable: Iterable[str]) -> bool:
    """Whether the edit is what crashed: its file stands in the traceback, shapes do not fit, or the memory does not suffice."""
    if not measurement.crash or measurement.crash.startswith("killed after"):
        return False
    told = f"{measurement.crash}\n{measurement.traceback}"
    return any(_names(told, path) for path in editable) or bool(_MEMORY.search(told) or _SHAPE.search(told))


def _names(traceback: str, path: str) -> bool:
    return re.search(rf'File "[^"\n]*{re.escape(path)}", line \d+', traceback) is not None


def shown(measurement: Measurement) -> str:
    """The end of the crash's output for the researcher: what a terminal would obey is gone, and so are folders of this machine."""
    plain = defuse(measurement.traceback, 8 * LONGEST)
    return re.sub(r'File "[^"\n]*/([^/"\n]+)"', r'File "\1"', plain)[-LONGEST:]
