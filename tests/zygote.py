"""A process that has run the command once and forks for each call of it: from argv to exit code, without a second of imports.

Run as a script it serves; `Zygote` starts that and calls it, from any number of threads at once.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import pkgutil
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from conftest import Ran, wait_for

LONGEST = 120.0  # seconds that a call may take


@dataclass(frozen=True)
class Call:
    """A call of the command that has begun, in a process group of its own: its `pid`."""

    pid: int
    _answers: IO[str]
    _said: Path

    def wait(self) -> Ran:
        """What a user sees in the end. The code is that of subprocess: negative where a signal ended it."""
        with self._answers:
            code = int(self._answers.readline())
        return Ran(code, *(self._said.with_suffix(name).read_text() for name in (".out", ".err")))


class Zygote:
    """The process, from construction to `close()`. `rehearsal` is the call that it begins with: what that imports and compiles is
    there for all others, as is every module of ours; so neither may leave a thread or a lock behind."""

    def __init__(self, root: Path, *rehearsal: str) -> None:
        self._folder, self._numbers = Path(tempfile.mkdtemp()), itertools.count()  # a socket's path must be short
        self._process = subprocess.Popen([sys.executable, __file__, str(self._folder / "socket"), *rehearsal], cwd=root,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        wait_for((self._folder / "socket").exists, 60)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def call(self, root: Path, environment: Mapping[str, str], *arguments: str) -> Call:
        """`git autoresearch <arguments>`, begun."""
        said = self._folder / f"call-{next(self._numbers)}"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LONGEST)
            connection.connect(str(self._folder / "socket"))
            stream = connection.makefile("rw")
        asked = {"arguments": arguments, "root": str(root), "environment": dict(environment), "said": str(said)}
        stream.write(json.dumps(asked) + "\n")
        stream.flush()
        return Call(int(stream.readline()), stream, said)


# -- in the process -----------------------------------------------------------------------------------------------------


def serve(path: str) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who attend
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + ".new")
        listener.listen(16)
        os.rename(path + ".new", path)
        while True:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    attend(connection)


def attend(connection: socket.socket) -> NoReturn:
    """Start one call, say who it is, and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stream = connection.makefile("rw")
    asked = json.loads(stream.readline())
    child = os.fork()
    if child == 0:
        carry_out(**asked)
    stream.write(f"{child}\n")
    stream.flush()
    _, status = os.waitpid(child, 0)
    stream.write(f"{os.waitstatus_to_exitcode(status)}\n")
    stream.flush()
    os._exit(0)


def carry_out(arguments: list[str], root: str, environment: dict[str, str], said: str) -> NoReturn:
    """What the interpreter does for a command, once all is imported."""
    os.setsid()
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # which the environment says
    for number, path in enumerate((os.devnull, said + ".out", said + ".err")):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    os.closerange(3, 64)  # of the zygote's
    try:
        code = cli.run(arguments)
    except SystemExit as ended:  # so ^C ends it
        code = int(str(ended.code))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import autoresearch_git
    from autoresearch_git import cli

    cli.run(sys.argv[2:])
    for module in pkgutil.walk_packages(autoresearch_git.__path__, "autoresearch_git."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    serve(sys.argv[1])
