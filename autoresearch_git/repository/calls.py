"""How git is called: the only importer of GitPython, and the only starter of git.

GitPython serves as `repo.git.<command>()` alone: its object API keeps `git cat-file` children alive, which adds up in a loop
that runs for days. What streams, or must end within a time, is a process group of its own and is ended whole.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypedDict

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository.processes import GitFailed, failure, supervised

# The user's tokens for GitHub's API: git is handed the one that it needs by a pipe, and neither it nor what it starts for the user
# (ssh, a helper, a filter) sees any.
_TOKENS = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")

_held_back = {name: os.environ.pop(name) for name in _TOKENS if name in os.environ}
import git  # noqa: E402 - it asks git for its version as it is imported, and git inherits the environment

os.environ.update(_held_back)

# git exports these to its subcommands and hooks; inherited, they would redirect our calls to another repository.
_REPOSITORY_VARIABLES = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
]

_ALWAYS = (
    "core.hooksPath=/dev/null",  # nobody's hook runs because of us
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.autocrlf=false",  # what is measured is what is committed, byte for byte
    "core.sparseCheckout=false",  # a session's worktree is whole, whatever part the user looks at
    "core.splitIndex=false",
    "core.fsync=committed,reference",  # a recorded experiment survives a power cut
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "log.showSignature=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
)


class _Options(TypedDict):
    settings: Sequence[str]
    env: Mapping[str, str]


# For a call that must not ask anybody. An askpass that is set and empty keeps git from looking for another one.
NO_PROMPTS = _Options(
    settings=("core.askPass=", "credential.interactive=false"),
    env={"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "", "GCM_INTERACTIVE": "never"},
)

# Paths are names here, never patterns, whatever the user has set.
LITERAL_PATHS = {
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_GLOB_PATHSPECS": "0",
    "GIT_NOGLOB_PATHSPECS": "0",
    "GIT_ICASE_PATHSPECS": "0",
}


def _explain(error: git.GitCommandError) -> AutoresearchError:
    if isinstance(error, git.GitCommandNotFound):
        return AutoresearchError("git is not on PATH", "install git 2.31 or newer, e.g. apt install git")
    said = str(error.stderr).replace("stderr:", "").strip().strip("'")
    status = error.status if isinstance(error.status, int) else 1
    return failure(_verb(list(error.command)), status, said)


def _verb(command: Sequence[str]) -> str:
    words = iter(command[1:])
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _no_tokens() -> dict[str, str]:
    """Variables for git: GitPython can set one, and not take it away. An empty one is no token to anybody."""
    return {name: "" for name in _TOKENS if name in os.environ}


def discover(start: Path, *arguments: str) -> str:
    """`git rev-parse` where nothing is known yet. Raises AutoresearchError."""
    try:
        return str(git.Git(start).rev_parse(*arguments, env=_no_tokens()))
    except git.GitCommandError as error:
        raise _explain(error) from error


def initialise(path: Path, environment: Mapping[str, str]) -> None:
    """Make a bare repository, or mend one that was only half made; nobody's templates or hooks go into it."""
    try:
        env = {**environment, **_no_tokens()}
        git.Git(path).init("--bare", "--quiet", "--template=", "--initial-branch=none", str(path), env=env)
    except git.GitCommandError as error:
        raise _explain(error) from error


def forget_repository_variables() -> None:
    """From here on, only what we name decides in which repository git works."""
    for name in _REPOSITORY_VARIABLES:
        os.environ.pop(name, None)


class Calls:
    """git for one repository and one work tree, both named: discovery could end up in somebody else's.

    `settings` are `key=value` for every call, on top of ours; `environment` wins over the user's.
    """

    def __init__(
        self, git_dir: Path, work_tree: Path | None, settings: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self.git_dir = git_dir
        self._top = work_tree or git_dir
        self._git: git.Git = git.Repo(git_dir, expand_vars=False).git
        self._settings = [word for setting in (*_ALWAYS, *settings) for word in ("-c", setting)]
        self._git.set_persistent_git_options(c=[*_ALWAYS, *settings])
        ours = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_DIR": str(git_dir), **_no_tokens()}
        self._git.update_environment(**{**(environment or {}), **ours})
        if work_tree:
            self._git.update_environment(GIT_WORK_TREE=str(work_tree))

    def sibling(self, git_dir: Path, work_tree: Path) -> Calls:
        """The same for another work tree of the repository."""
        inherited = {k: v for k, v in self._git.environment().items() if k not in ("GIT_DIR", "GIT_WORK_TREE")}
        return Calls(git_dir, work_tree, environment=inherited)

    def ensure_identity(self, name: str, email: str) -> bool:
        """Commit as `name` where the user has configured nobody. False where that was needed."""
        try:
            self._git.var("GIT_COMMITTER_IDENT", env={"GIT_CONFIG_PARAMETERS": _strict_identity()})
            return True
        except git.GitCommandError:
            self._git.update_environment(
                GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=email, GIT_COMMITTER_NAME=name, GIT_COMMITTER_EMAIL=email
            )
            return False

    def run(
        self,
        verb: str,
        *arguments: str,
        stdin: bytes | None = None,
        raw: bool = False,
        settings: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> str:
        """What one git process prints; `raw` keeps its last newline. Raises GitFailed with git's first line."""
        return str(self._run(verb, arguments, stdin, raw, settings, env or {}, True))

    def read(self, verb: str, *arguments: str) -> bytes:
        """The bytes that one git process prints. Raises GitFailed."""
        content = self._run(verb, arguments, None, True, (), {}, False)
        assert isinstance(content, bytes)
        return content

    def attempt(self, verb: str, *arguments: str) -> str | None:
        """What one git process prints, or None where it fails."""
        try:
            return self.run(verb, *arguments)
        except GitFailed:
            return None

    def _run(
        self,
        verb: str,
        arguments: Sequence[str],
        stdin: bytes | None,
        raw: bool,
        settings: Sequence[str],
        env: Mapping[str, str],
        as_text: bool,
    ) -> str | bytes:
        options: dict[str, object] = {"strip_newline_in_stdout": not raw, "stdout_as_string": as_text, "env": dict(env)}
        git_ = self._git(c=list(settings)) if settings else self._git
        try:
            with tempfile.TemporaryFile() as pipe:
                if stdin is not None:
                    pipe.write(stdin)
                    pipe.seek(0)
                    options["istream"] = pipe
                said: str | bytes = getattr(git_, verb)(*arguments, **options)
                return said
        except git.GitCommandError as error:
            raise _explain(error) from error

    # -- in a process group of its own --------------------------------------------------------------------------

    @contextlib.contextmanager
    def stream(
        self,
        *arguments: str,
        stdin: Iterable[bytes] = (),
        seconds: float,
        settings: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> Iterator[IO[bytes]]:
        """The output of one git process, as it comes. It is ended, with all that it started, where the block is left early.

        `descriptors` of ours are inherited by git. Raises GitFailed where git fails, TookTooLong after `seconds`.
        """
        options = [word for setting in settings for word in ("-c", setting)]
        with tempfile.TemporaryFile() as questions:
            questions.writelines(stdin)
            questions.seek(0)
            child = subprocess.Popen(
                [git.Git.GIT_PYTHON_GIT_EXECUTABLE or "git", *self._settings, *options, *arguments],
                stdin=questions, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self._environment(env or {}),
                cwd=self._top,  # below it, git would take paths for relative ones
                pass_fds=descriptors,
                start_new_session=True,  # no terminal to ask on, and ^C reaches us, who end the group in order
            )  # fmt: skip
        assert child.stdout
        with supervised(child, arguments[0], seconds):
            yield child.stdout

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in _REPOSITORY_VARIABLES}
        return {**inherited, "LANGUAGE": "C", "LC_ALL": "C", **self._git.environment(), **extra}


def _strict_identity() -> str:
    """`user.useConfigOnly` for one call, on top of what `git -c` gave: without it git invents user@host."""
    return " ".join(filter(None, [os.environ.get("GIT_CONFIG_PARAMETERS", ""), "'user.useConfigOnly'='true'"]))
