"""A program that owns one process tree: it starts a command, and when it is gone so is everything the command started.

Run by `process.py` as a file, on its own: `supervisor.py GRACE LOG COMMAND…`. Standard input is a pipe that the lab
holds; when it closes (the lab asks, or is dead), the tree gets TERM, and after GRACE seconds KILL. A child that calls
setsid or outlives its parent does not escape: on Linux orphans come back to this process (PR_SET_CHILD_SUBREAPER), and
if this process is killed the kernel kills the command (PR_SET_PDEATHSIG). When all are gone, one JSON line on standard
output says how it went.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time

import psutil

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LINUX = sys.platform.startswith("linux")
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None


def _die_with_parent() -> None:
    if _libc:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _reap(statuses: dict[int, int]) -> None:
    """Collect every child that has ended, orphans that came back to us included."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        statuses[pid] = os.waitstatus_to_exitcode(status)


def _tree(marker: str) -> list[psutil.Process]:
    """Every living process of the tree. Where orphans do not come back to us, the marker in their environment tells."""
    found = {p.pid: p for p in psutil.Process().children(recursive=True)}
    if not _LINUX and marker:
        found.update({p.pid: p for p in marked(marker)})
    found.pop(os.getpid(), None)
    return [p for p in found.values() if _alive(p)]


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


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


def _signal_all(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except (psutil.Error, OSError):
            continue


def _end(marker: str, grace: float, statuses: dict[int, int]) -> None:
    """TERM, then KILL, until nothing of the tree is left."""
    left = _tree(marker)
    _signal_all(left, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while left:
        time.sleep(0.02)
        _reap(statuses)
        left = _tree(marker)
        if time.monotonic() > deadline:  # a fork bomb is met by killing again and again
            _signal_all(left, signal.SIGKILL)
    _reap(statuses)


def _wait(child: int, statuses: dict[int, int]) -> bool:
    """Until the command has ended (True) or we are asked to stop (False)."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    while True:
        _reap(statuses)
        if child in statuses:
            return True
        ready, _, _ = select.select([wake_read, sys.stdin], [], [], 60)
        if sys.stdin in ready:
            return False
        if wake_read in ready and set(os.read(wake_read, 512)) - {signal.SIGCHLD}:
            return False


def main() -> None:
    grace, log_path, *command = sys.argv[1:]
    if _libc:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    statuses: dict[int, int] = {}
    try:
        with open(log_path, "ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 — this program has one thread
            )  # fmt: skip
    except OSError as error:
        print(json.dumps({"error": f"{error.strerror}: {error.filename or command[0]}"}), flush=True)
        return
    ended = _wait(child.pid, statuses)
    _end(os.environ.get("AUTORESEARCH_SESSION", ""), float(grace) if not ended else min(2.0, float(grace)), statuses)
    child.returncode = statuses.get(child.pid, -signal.SIGKILL)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    print(json.dumps({"returncode": child.returncode, "peak_rss_mb": round(peak, 1)}), flush=True)


if __name__ == "__main__":
    main()
