"""What is left of a process tree when its command has ended or is to end, and how it is brought to its end.

The supervisor loads this file by its place, and only when something is left: psutil takes longer to import than many a run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

import psutil

_ORPHANS_COME_BACK = sys.platform.startswith("linux")  # to the supervisor, as PR_SET_CHILD_SUBREAPER has it


def marked(marker: str) -> list[psutil.Process]:
    """This user's processes, other than this one, that a trial of the session `marker` started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("AUTORESEARCH_SESSION") == marker:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end(marker: str, grace: float, wall: int | None, reap: Callable[[], object]) -> None:
    """TERM, then KILL, until nothing of this process's tree is left. A `wall` (bubblewrap) stays up for the grace of what is behind
    it; `reap` collects the children that have ended."""
    walls = _walls(wall) if wall else set()
    left = _tree(marker)
    _signal_all([process for process in left if process.pid not in walls], signal.SIGTERM)
    deadline = time.monotonic() + grace
    while left:
        time.sleep(0.02)
        reap()
        left = _tree(marker)
        if time.monotonic() > deadline:  # a fork bomb is met by killing again and again
            _signal_all(left, signal.SIGKILL)
    reap()


def _walls(wall: int) -> set[int]:
    """bubblewrap itself: the process that waits for the sandbox, and the first one inside, which takes the others along."""
    try:
        return {wall, *(process.pid for process in psutil.Process(wall).children())}
    except psutil.Error:
        return {wall}


def _tree(marker: str) -> list[psutil.Process]:
    """Every living process of the tree. Where orphans do not come back to us, the marker in their environment tells."""
    found = {p.pid: p for p in psutil.Process().children(recursive=True)}
    if not _ORPHANS_COME_BACK and marker:
        found.update({p.pid: p for p in marked(marker)})
    found.pop(os.getpid(), None)
    return [p for p in found.values() if _alive(p)]


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal_all(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except (psutil.Error, OSError):
            continue
