"""A program that owns one process tree: it starts a command, and when it is gone so is everything the command started.

Run by `process.py` as a file, on its own: `supervisor.py GRACE LOG`. Standard input is a pipe that the lab holds: one line of
JSON with the command, its environment, the file that is its own standard input, and how it is confined; when the pipe closes (the
lab asks, or is dead), the tree gets TERM, and after GRACE seconds KILL. A child that calls
setsid or outlives its parent does not escape: on Linux orphans come back to this process (PR_SET_CHILD_SUBREAPER), and
if this process is killed the kernel kills the command (PR_SET_PDEATHSIG). When all are gone, one JSON line on standard
output says how it went.
"""

from __future__ import annotations

import base64
import ctypes
import importlib.util
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

SECCOMP_FD = 9  # bubblewrap reads its filter there
LARGEST_FILE = 8 * 2**30  # bytes that a confined run may write into one file
MOST_FILES = 65536  # that it may hold open

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LINUX = sys.platform.startswith("linux")
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None


def _die_with_parent() -> None:
    if _libc:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _reap(statuses: dict[int, int]) -> bool:
    """Collect every child that has ended, orphans that came back to us included. Whether there are others."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        statuses[pid] = os.waitstatus_to_exitcode(status)


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


def _instructions() -> dict[str, Any]:
    text = bytearray()
    while not text.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:  # the lab died first
            sys.exit()
        text += piece
    found: dict[str, Any] = json.loads(text)
    return found


def _wrapped(told: dict[str, Any]) -> bool:
    """Whether the command is bubblewrap, around the one that is meant."""
    return "seccomp" in told and told["landlock"] is None


def _module(*place: str) -> ModuleType:
    """One of the files beside this one, without the package, which takes a while."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), *place)
    spec = importlib.util.spec_from_file_location(place[-1].removesuffix(".py"), path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _limit() -> None:
    """What no run needs more of; and where the machine runs out of memory, the run is the one to go."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], files), files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _enter_wrapped() -> None:
    _die_with_parent()
    _limit()


def _confinement(told: dict[str, Any]) -> Callable[[], None]:
    """What the child does before it becomes the command. What can fail is done here already, where it can be said."""
    if "seccomp" not in told:
        return _die_with_parent
    program = base64.b64decode(told["seccomp"])
    if _wrapped(told):
        filter_ = os.memfd_create("filter")
        os.write(filter_, program)
        os.lseek(filter_, 0, os.SEEK_SET)
        os.dup2(filter_, SECCOMP_FD)
        return _enter_wrapped
    landlock = _module("sandbox", "landlock.py")
    rules = landlock.ruleset(told["landlock"])

    def enter() -> None:
        _die_with_parent()
        _limit()
        landlock.enter(rules, program, told["machine"])

    return enter


def _start(told: dict[str, Any], log_path: str) -> subprocess.Popen[bytes]:
    kept = (SECCOMP_FD,) if _wrapped(told) else ()
    confine = _confinement(told)
    with open(log_path, "ab") as log, open(told["stdin"], "rb") as given:
        return subprocess.Popen(
            told["command"], stdin=given, stdout=log, stderr=log, start_new_session=True,
            env=told["environment"], pass_fds=kept, preexec_fn=confine,  # noqa: PLW1509 — this program has one thread
        )  # fmt: skip


def main() -> None:
    grace, log_path = sys.argv[1:]
    told = _instructions()
    if _libc:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    statuses: dict[int, int] = {}
    try:
        child = _start(told, log_path)
    except OSError as error:
        print(json.dumps({"error": f"{error.strerror}: {error.filename or told['command'][0]}"}), flush=True)
        return
    except subprocess.SubprocessError as error:
        print(json.dumps({"error": f"the sandbox could not be entered: {error}"}), flush=True)
        return
    ended = _wait(child.pid, statuses)
    if _reap(statuses) or not _LINUX:  # elsewhere orphans do not come back to us
        patience = float(grace) if not ended else min(2.0, float(grace))
        wall = child.pid if _wrapped(told) else None
        _module("survivors.py").end(os.environ.get("AUTORESEARCH_SESSION", ""), patience, wall, lambda: _reap(statuses))
    child.returncode = statuses.get(child.pid, -signal.SIGKILL)
    if _wrapped(told) and 128 < child.returncode <= 128 + signal.SIGRTMAX:  # as bubblewrap, like a shell, says of a signal
        child.returncode = 128 - child.returncode
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    print(json.dumps({"returncode": child.returncode, "peak_rss_mb": round(peak, 1)}), flush=True)


if __name__ == "__main__":
    main()
