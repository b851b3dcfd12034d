"""A git process in a group of its own, what it says, and how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import IO

from autoresearch_git.errors import AutoresearchError

GRACE = 2.0  # seconds between TERM and KILL
READ_SECONDS = 600.0  # for one process that reads, and for what is done with its output meanwhile
RESTARTS = 1000  # processes that a bulk reading may lose to broken objects, before it gives up
_SAID = 1 << 16  # bytes of git's complaints that are kept, of their beginning and of their end


class GitFailed(AutoresearchError):
    """git said no. `status` is its exit code, `said` everything that it complained of."""

    def __init__(self, message: str, hint: str, status: int, said: str) -> None:
        super().__init__(message, hint)
        self.status = status
        self.said = said


class TookTooLong(AutoresearchError):
    """git was ended as its time was over."""


def failure(command: str, status: int, said: str) -> GitFailed:
    lines = [printable(line).strip() for line in said.splitlines() if line.strip()]
    text = lines[0][:500] if lines else f"git exited with {status}"
    everything = " ".join(lines)
    hint = "git autoresearch doctor"
    if "No space left" in everything:
        hint = "free some disk space, then run the same command again: nothing was lost"
    elif "Permission denied" in everything or "Read-only file system" in everything or "insufficient permission" in text:
        hint = "make the repository's git directory writable, then run the command again"
    elif "dubious ownership" in everything:
        hint = "git config --global --add safe.directory <this repository>"
    return GitFailed(f"git {command}: {text}", hint, status, "\n".join(lines))


def printable(text: str) -> str:
    """The text without control and formatting characters: what a server said must not steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


@contextlib.contextmanager
def supervised(child: subprocess.Popen[bytes], command: str, seconds: float) -> Iterator[None]:
    late = threading.Event()

    def expire() -> None:
        late.set()
        _end(child)

    clock = threading.Timer(max(0.0, seconds), expire)
    clock.daemon = True
    said = bytearray()
    listener = threading.Thread(target=_listen, args=(child.stderr, said), daemon=True)
    try:
        clock.start()
        listener.start()
        yield
        whole = child.stdout is None or not child.stdout.read(1)
        if whole:
            child.wait()
    except BaseException:
        _end(child)
        if late.is_set():  # whatever the reader made of a stream that was cut
            raise _too_long(command, seconds) from None
        raise
    finally:
        clock.cancel()
        _end(child)
        # What git has left in the background on purpose (a shared ssh connection) may keep the pipe open.
        listener.join(1.0)
        for pipe in (child.stdout, child.stderr):
            if pipe and not (pipe is child.stderr and listener.is_alive()):
                pipe.close()
    if late.is_set():
        raise _too_long(command, seconds)
    if whole and child.returncode:
        raise failure(command, child.returncode, said.decode("utf-8", "replace"))


def _too_long(command: str, seconds: float) -> TookTooLong:
    return TookTooLong(f"git {command} took longer than {seconds:g} s", "check the network, then run the command again")


def _listen(pipe: IO[bytes] | None, said: bytearray) -> None:
    """Keep the beginning and the end of what git complains of: a server may send any amount of it."""
    assert pipe
    with contextlib.suppress(OSError, ValueError):
        while block := os.read(pipe.fileno(), 1 << 14):
            said += block
            if len(said) > 2 * _SAID:
                del said[_SAID : len(said) - _SAID]


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and its group; nothing happens to one that has ended by itself, nor to a daemon that it left."""
    if child.returncode is not None:
        return
    try:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGTERM)  # so that git removes its lock files and what it downloaded
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class Scanner:
    """A stream in parts that end with a byte; a part is cut to `limit` bytes, so that none can fill the memory."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._block = b""
        self._place = 0

    def peek(self) -> bytes:
        """The next byte; empty at the end."""
        if self._place == len(self._block):
            self._block, self._place = self._stream.read1(1 << 16), 0  # type: ignore[attr-defined]
        return self._block[self._place : self._place + 1]

    def until(self, separator: bytes) -> bytes:
        kept = bytearray()
        while self.peek():
            at = self._block.find(separator, self._place)
            end = at if at >= 0 else len(self._block)
            kept += self._block[self._place : min(end, self._place + self._limit - len(kept))]
            self._place = end
            if at >= 0:
                self._place += 1
                break
        return bytes(kept)

    def parts(self, separator: bytes) -> Iterator[bytes]:
        while self.peek():
            yield self.until(separator)


def hexadecimal(text: str) -> bool:
    """Whether it is a full object name."""
    return bool(re.fullmatch(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", text))
