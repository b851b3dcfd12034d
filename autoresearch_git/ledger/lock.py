"""Who works on a session: one process at a time, told by a lock that the kernel frees when its holder dies."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from autoresearch_git.errors import AutoresearchError


@dataclass(frozen=True)
class Holder:
    """Who holds a session's lock."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


def holder(folder: Path) -> Holder | None:
    """Who works on the session now; None where nobody does. A dead holder's lock is free: the kernel let go of it."""
    try:
        with open(folder / "lock", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except OSError:
                fields = json.loads(file.read() or "{}")
                return Holder(fields.get("pid", 0), fields.get("host", "?"), fields.get("since", "?"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _take(file: IO[str]) -> None:
    """Lock a file for this process alone. Raises OSError at once where another holds it so.

    Somebody who only looks (`status`) shares it for an instant: that is waited for.
    """
    deadline = time.monotonic() + 5
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                raise
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
        time.sleep(0.005)


def acquire(folder: Path, name: str, otherwise: str = "or start another with --tag") -> IO[str]:
    """Lock a session for this process until the file is closed. Raises AutoresearchError that says who holds it.

    `otherwise` ends its hint, after how to stop that session.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "a+", encoding="utf-8")  # noqa: SIM115 — held as long as the session is open
    except OSError as error:
        raise AutoresearchError(f"the session's folder cannot be written: {error.strerror}: {folder}",
                                "make the git directory writable") from error  # fmt: skip
    try:
        _take(file)
    except OSError as error:
        file.close()
        raise AutoresearchError(f"session {name} is being worked on by {holder(folder) or 'another process'}",
                                f"git autoresearch stop {name}, {otherwise}") from error  # fmt: skip
    file.truncate(0)
    me = Holder(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))
    file.write(json.dumps(dataclasses.asdict(me)))
    file.flush()
    return file
