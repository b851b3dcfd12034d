"""The sandbox of one session: which kind its runs get, and the policy of each run."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.lab import machine, process
from autoresearch_git.lab.sandbox import interpreter, kinds, policy
from autoresearch_git.lab.sandbox.interpreter import Interpreter
from autoresearch_git.lab.sandbox.kinds import NONE, Found
from autoresearch_git.lab.sandbox.policy import Policy, View
from autoresearch_git.lab.sandbox.room import Room
from autoresearch_git.repository import Repository

_TORCH = "import sys, torch; torch.zeros(1, device=sys.argv[1]).sum().item()"
_IMPORTS_TORCH = re.compile(rb"^\s*(import\s[^#\n]*\btorch\b|from\s+torch\b)", re.MULTILINE)


@dataclass(frozen=True)
class Sandbox:
    """Where the runs of the command `run` are confined; make one with `open_sandbox`. Nothing is looked for before it is needed.

    `wanted` is the setting: `auto`, `require` or `off`. `folder` holds a room for each trust domain. `further` may be read,
    what holds one of `hidden` may not. `torch` says that the program needs it.
    """

    wanted: str
    run: str
    folder: Path
    worktree: Path
    further: tuple[Path, ...]
    hidden: tuple[Path, ...]
    torch: bool

    @functools.cached_property
    def python(self) -> Interpreter:
        """The interpreter behind the command, asked once."""
        return interpreter.find(process.argv(self.run), self.worktree, self.folder / "venv")

    @functools.cached_property
    def found(self) -> Found:
        """The best kind that works, tried once."""
        self.refresh(foreign=False)
        there = self.policy(foreign=False, cwd=self.room(foreign=False).scratch, fixed=(), told={})
        python = self.python.command[0]
        if not interpreter.is_python(python):
            return kinds.best(there, ["/bin/sh", "-c", ":"])
        if not self.torch:
            return kinds.best(there, [python, "-I", "-c", ""])
        return self._with_torch(there, [python, "-c", _TORCH])

    def _with_torch(self, there: Policy, words: list[str]) -> Found:
        """A GPU that torch can use outside must be usable inside, too."""
        device = "cuda" if policy.gpu_devices() and machine.gpu_name() else "cpu"
        found = kinds.best(there, [*words, device])
        if device == "cuda" and found.failures and not kinds.works_outside([*words, device]):
            return kinds.best(there, [*words, "cpu"])
        return found

    def kind(self, foreign: bool) -> str:
        """`off` is for the user's own code; a stranger's is confined where it can be."""
        return NONE if self.wanted == "off" and not foreign else self.found.kind

    def room(self, foreign: bool) -> Room:
        return Room(self.folder / ("foreign" if foreign else "own"))

    def refresh(self, foreign: bool) -> None:
        """Leave nothing of an earlier run in the domain's room but what compilers keep."""
        self.room(foreign).refresh(policy.data_cache(os.environ))

    def policy(self, foreign: bool, cwd: Path, fixed: Iterable[Path], told: Mapping[str, str]) -> Policy:
        """What a run in `cwd` may see. `told` is the lab's contract."""
        room, ours = self.room(foreign), process.scrubbed(os.environ)
        mine = {**policy.plain_environment(ours), **self.python.environment}
        environment = {**mine, **room.environment(policy.data_cache(ours), policy.hub_cache(os.environ)), **told}
        if foreign:
            environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # its workers would need the memory that programs share
        devices = policy.gpu_devices()
        return Policy(
            cwd=cwd,
            environment=environment,
            readable=policy.visible(View((*self.python.readable, *self.further), self.hidden, bool(devices)), environment),
            writable=(room.folder, *(() if cwd.is_relative_to(room.folder) else (cwd,))),
            fixed=tuple(path for path in fixed if path.exists()),
            temporary=room.temporary,
            devices=devices,
            shares_memory=not foreign,
        )


def survey() -> Found:
    """Which kind works on this machine for a Python that does nothing, session or not."""
    with tempfile.TemporaryDirectory() as folder:
        return Sandbox("auto", "{python}", Path(folder), Path(folder), (), (Path.home(),), torch=False).found


def open_sandbox(
    repository: Repository, wanted: str, further: Sequence[str], run: str, folder: Path, worktree: Path, texts: Iterable[bytes]
) -> Sandbox:
    """The sandbox of a session. `further` are the user's own paths, `folder` is the session's; `texts` are the program's.

    Raises AutoresearchError where a path is missing or would show too much.
    """
    hidden = (Path.home(), repository.root, repository.common_dir)
    torch = any(_IMPORTS_TORCH.search(text) for text in texts)
    return Sandbox(wanted, run, folder / "sandbox", worktree, tuple(_path(text, hidden) for text in further), hidden, torch)


def _path(text: str, hidden: Sequence[Path]) -> Path:
    path = Path(text).expanduser()
    if not path.is_absolute() or not os.path.exists(path):
        raise AutoresearchError(f"sandbox-read names {text}, which is not there", "git config --get-all autoresearch.sandbox-read")
    if any(one.is_relative_to(place) for one in hidden for place in (path, path.resolve())):
        raise AutoresearchError(f"sandbox-read names {text}, which holds your home folder or this repository",
                                "name the folder of the data alone")  # fmt: skip
    return path
