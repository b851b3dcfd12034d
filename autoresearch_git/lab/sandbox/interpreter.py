"""Which Python a run uses, and what of the file system that Python needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.plaintext import one_line

_QUESTION = (
    "import json, site, sys\n"
    "print(json.dumps([sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix,"
    " site.getuserbase(), site.getusersitepackages()]))"
)
_PYTHON = re.compile(r"(python|pypy)[\d.]*t?$")
_PATIENCE = 60.0  # seconds for an answer; making uv's environment takes what it takes


@dataclass(frozen=True)
class Interpreter:
    """`command` is the run's command with the interpreter found. `readable` is what that one, or those that it may start, need."""

    command: tuple[str, ...]
    readable: tuple[Path, ...]
    environment: Mapping[str, str]


def find(words: Sequence[str], worktree: Path, environment_folder: Path) -> Interpreter:
    """The interpreter behind the words of a run command, asked once. A `uv run` makes its environment, in a folder outside of
    the worktree, and is the interpreter in it from then on: in a sandbox uv could neither download nor be kept from writing."""
    program = next((i for i, word in enumerate(words) if is_python(word) or word.endswith(".py")), 0)
    if list(words[:2]) == ["uv", "run"] and program:
        env = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment_folder)}
        answer = _ask([*words[:program], "python"], worktree, None, env)
        path = f"{environment_folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        told = {"VIRTUAL_ENV": str(environment_folder), "PATH": path}
        rest = words[program + 1 :] if is_python(words[program]) else words[program:]
        return Interpreter((answer[0], *rest), _needs(answer), {**told, **_user_base(answer)})
    first = shutil.which(words[0])
    if is_python(words[0]):
        answer = _own() if words[0] == sys.executable else _ask([words[0]], worktree, _PATIENCE, dict(os.environ))
        return Interpreter((answer[0], *words[1:]), _needs(answer), _user_base(answer))
    return _of_another_program(words, first, worktree)


def is_python(word: str) -> bool:
    return bool(_PYTHON.match(Path(word).name))


def _of_another_program(words: Sequence[str], first: str | None, worktree: Path) -> Interpreter:
    """A shell, make, a program: it may start the Python of this tool, or the one that `python3` and `python` name."""
    readable = [*_needs(_own()), *(_chain(Path(first)) if first else ())]
    folders = []
    for name in ("python3", "python"):
        found = shutil.which(name)
        if found:
            try:
                answer = _ask([found], worktree, _PATIENCE, dict(os.environ))
            except AutoresearchError:  # a name that leads nowhere, as Xcode's and Windows's do
                continue
            readable += _needs(answer)
            folders.append(str(Path(answer[0]).parent))
    path = os.pathsep.join(dict.fromkeys([*folders, *os.environ.get("PATH", "").split(os.pathsep)]))
    return Interpreter(tuple(words), tuple(dict.fromkeys(readable)), {"PATH": path})


def _own() -> list[str]:
    """What `_ask` would hear from the interpreter of this tool."""
    return [sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix,
            site.getuserbase(), site.getusersitepackages()]  # fmt: skip


def _ask(python: Sequence[str], cwd: Path, patience: float | None, environment: Mapping[str, str]) -> list[str]:
    """What an interpreter says of itself. It is asked outside of the sandbox, without a look at the folder that it is asked in."""
    try:
        done = subprocess.run([*python, "-I", "-c", _QUESTION], cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=patience)  # fmt: skip
        answer: list[str] = json.loads(done.stdout.splitlines()[-1])
        return answer
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"{error.strerror}: {python[0]}" if isinstance(error, OSError) else str(error)
        raise AutoresearchError(f"the command cannot be started: {why}", "git autoresearch config") from error
    except (ValueError, IndexError) as error:
        said = (done.stderr.strip().splitlines() or [str(error)])[-1]
        raise AutoresearchError(f"{' '.join(python)} does not run: {one_line(said)}", "git autoresearch config") from error


def _needs(answer: Sequence[str]) -> tuple[Path, ...]:
    """An interpreter's own file, its prefixes, and the user's packages where it uses them."""
    packages = [Path(answer[6])] if _user_base(answer) else []
    return (*_chain(Path(answer[0])), *(Path(prefix) for prefix in dict.fromkeys(answer[1:5])), *packages)


def _user_base(answer: Sequence[str]) -> dict[str, str]:
    """Where `pip install --user` put things, for an interpreter that looks there: HOME is another one in the sandbox."""
    _, prefix, base, _, _, folder, packages = answer
    settings = Path(prefix) / "pyvenv.cfg"
    text = settings.read_text(errors="replace") if settings.is_file() else ""
    looks = prefix == base or re.search(r"(?mi)^include-system-site-packages\s*=\s*true", text)
    return {"PYTHONUSERBASE": folder} if looks and Path(packages).is_dir() else {}


def _chain(path: Path) -> list[Path]:
    """A file and every link on the way to it."""
    found = [path]
    while path.is_symlink() and len(found) < 40:
        path = Path(os.path.normpath(path.parent / os.readlink(path)))
        found.append(path)
    return found
