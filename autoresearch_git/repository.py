"""The one door to git.

Owns every git call of the tool, in verbs of our domain; nothing else imports GitPython. Promises that the user's
checkout, index, stash and hooks are never touched: hooks are switched off in every call, commits are made without an
index of theirs, refs move by compare-and-swap. GitPython serves only as `repo.git.<command>()`: its object API keeps
`git cat-file` children alive, which adds up in a loop that runs for days.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import git

from autoresearch_git.errors import AutoresearchError

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

# An askpass that is set and empty keeps git from looking for another one.
_NO_PROMPTS = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "", "GCM_INTERACTIVE": "never"}
_NO_PROMPT_SETTINGS = ("core.askPass=", "credential.interactive=false")
CREDENTIAL_SECONDS = 10.0

_FALLBACK_IDENTITY = ("git-autoresearch", "git-autoresearch@localhost")


@dataclass(frozen=True)
class RefChange:
    """Move `name` from `old` to `new`; `old` None means that it must not exist yet."""

    name: str
    new: str
    old: str | None


@dataclass(frozen=True)
class CommitMessage:
    sha: str
    parents: tuple[str, ...]
    tree: str
    seconds_since_epoch: int
    text: str


def _explain(error: git.GitCommandError) -> AutoresearchError:
    said = [line for line in str(error.stderr).replace("stderr:", "").strip().strip("'").splitlines() if line.strip()]
    text = said[0].strip() if said else f"git exited with {error.status}"
    message = f"git {_verb(list(error.command))}: {text}"
    everything = " ".join(said)
    if "No space left" in everything:
        return AutoresearchError(message, "free some disk space, then run the same command again: nothing was lost")
    if "Permission denied" in everything or "Read-only file system" in everything or "insufficient permission" in text:
        return AutoresearchError(message, "make the repository's git directory writable, then run the command again")
    if "dubious ownership" in everything:
        return AutoresearchError(message, "git config --global --add safe.directory <this repository>")
    return AutoresearchError(message, "git autoresearch doctor")


def _commands(git_dir: Path, work_tree: Path | None) -> git.Git:
    """git for one repository and one work tree, both named: discovery could end up in somebody else's."""
    commands: git.Git = git.Repo(git_dir, expand_vars=False).git
    commands.set_persistent_git_options(c=list(_ALWAYS))
    commands.update_environment(GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", GIT_DIR=str(git_dir))
    if work_tree:
        commands.update_environment(GIT_WORK_TREE=str(work_tree))
    return commands


def _verb(command: Sequence[str]) -> str:
    words = iter(command[1:])
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _unattended(where: git.Git, arguments: Sequence[str], stdin: bytes, seconds: float) -> bytes:
    """What git prints, asking nobody; empty where it fails or takes longer. It is ended with everything it started."""
    environment = {**os.environ, **where.environment(), **_NO_PROMPTS}
    options = [word for entry in (*_ALWAYS, *_NO_PROMPT_SETTINGS) for word in ("-c", entry)]
    child = subprocess.Popen(
        [git.Git.GIT_PYTHON_GIT_EXECUTABLE or "git", *options, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        start_new_session=True,  # without a terminal a helper cannot ask, and the whole group can be ended
    )  # fmt: skip
    try:
        out, _ = child.communicate(stdin, timeout=seconds)
        return out if child.returncode == 0 else b""
    except BaseException as error:  # one that ends by itself may leave a daemon behind that it means to keep
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            return b""
        raise


class Repository:
    """A repository as the tool sees it. Make one with `open_repository`."""

    def __init__(self, root: Path, git_dir: Path, common_dir: Path, bare: bool) -> None:
        self.root = root  # the checkout's top level, or the git directory of a bare repository
        self.common_dir = common_dir
        self.bare = bare
        self._git = _commands(git_dir, None if bare else root)
        self.has_identity = self._ensure_identity()

    def _call(self, verb: str, *arguments: str, stdin: bytes | None = None, raw: bool = False, **options: object) -> str:
        return self._call_in(self._git, verb, *arguments, stdin=stdin, raw=raw, **options)

    @staticmethod
    def _call_in(
        where: git.Git, verb: str, *arguments: str, stdin: bytes | None = None, raw: bool = False, **options: object
    ) -> str:
        """One git process. `raw` keeps the output's last newline. Raises AutoresearchError with git's first line."""
        try:
            with tempfile.TemporaryFile() as pipe:
                if stdin is not None:
                    pipe.write(stdin)
                    pipe.seek(0)
                    options["istream"] = pipe
                return str(getattr(where, verb)(*arguments, strip_newline_in_stdout=not raw, **options))
        except git.GitCommandError as error:
            raise _explain(error) from error

    def _ensure_identity(self) -> bool:
        """Give git an identity of ours where the user has configured none. False where that was needed."""
        try:
            self._git.var("GIT_COMMITTER_IDENT", env={"GIT_CONFIG_PARAMETERS": _strict_identity()})
            return True
        except git.GitCommandError:
            name, email = _FALLBACK_IDENTITY
            self._git.update_environment(
                GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=email, GIT_COMMITTER_NAME=name, GIT_COMMITTER_EMAIL=email
            )
            return False

    # -- reading ------------------------------------------------------------------------------------------------

    def resolve(self, revision: str) -> str | None:
        """The full sha of the commit that `revision` names, or None."""
        try:
            return str(self._git.rev_parse("--verify", "--quiet", "--end-of-options", revision + "^{commit}"))
        except git.GitCommandError:
            return None

    def config_entries(self, section: str) -> list[tuple[str, str, str]]:
        """(key below `section`, value, where it stands) of every `git config` entry, in git's order of precedence."""
        try:
            text = self._git.config(
                "--null",
                "--show-scope",
                "--show-origin",
                "--get-regexp",
                rf"^{section}\.",
                strip_newline_in_stdout=False,
            )
        except git.GitCommandError as error:
            if error.status == 1:  # no such entry
                return []
            raise _explain(error) from error
        fields = str(text).split("\0")
        entries = []
        for scope, origin, entry in zip(fields[0::3], fields[1::3], fields[2::3], strict=False):
            key, _, value = entry.partition("\n")
            where = "git -c" if scope == "command" else f"git config --{scope}"
            file = origin.removeprefix("file:").removeprefix(f"{self.root}{os.sep}")
            entries.append((key.partition(".")[2], value, f"{where} ({file})"))
        return entries

    def remote_urls(self) -> dict[str, str]:
        """Remote name → the URL that git would fetch from, after `url.<base>.insteadOf`. A URL may hold a password."""
        rows = (re.match(r"(.+?)\t(.*) \(fetch\)", line) for line in self._call("remote", "-v").splitlines())
        return {row[1]: row[2] for row in rows if row}

    def credential(self, protocol: str, host: str) -> tuple[str, str] | None:
        """(username, password) that git's credential helpers have for a host; None where they have none, or take over 10 s.

        Nobody is asked: no terminal, no askpass program, no window.
        """
        if re.search(r"[\0\r\n]", protocol + host):
            return None
        question = f"protocol={protocol}\nhost={host}\n\n".encode()
        answer = _unattended(self._git, ["credential", "fill"], question, CREDENTIAL_SECONDS)
        fields = dict(line.partition("=")[::2] for line in answer.decode("utf-8", "replace").splitlines())
        return (fields.get("username", ""), fields["password"]) if fields.get("password") else None

    def refs(self, *prefixes: str) -> list[str]:
        """Every ref below the prefixes, newest first."""
        return self._call("for_each_ref", "--sort=-committerdate", "--format=%(refname)", *prefixes).splitlines()

    def checked_out_at(self, branch: str) -> str:
        """The worktree that has the branch checked out; empty where none has."""
        return self._call("for_each_ref", "--format=%(worktreepath)", branch)

    def valid_ref(self, name: str) -> bool:
        try:
            self._git.check_ref_format(name)
            return True
        except git.GitCommandError:
            return False

    def tree(self, commit: str) -> dict[str, tuple[str, str]]:
        """path → (mode, blob sha) of every file of the commit's tree."""
        rows = self._call("ls_tree", "-r", "-z", "--end-of-options", commit).split("\0")
        entries = (row.partition("\t") for row in rows if row)
        return {path: (meta.split()[0], meta.split()[2]) for meta, _, path in entries}

    def read_file(self, commit: str, path: str) -> bytes | None:
        """The bytes of one regular file at a commit, or None where there is none."""
        try:
            content = self._git.cat_file("blob", f"{commit}:{path}", stdout_as_string=False, strip_newline_in_stdout=False)
            return bytes(content)
        except git.GitCommandError:
            return None

    def messages(self, tip: str) -> list[CommitMessage]:
        """The chain of first parents from `tip` back to the root, oldest first, in one git process."""
        return list(self._log(["--reverse", "--first-parent", tip], None))

    def messages_of(self, commits: Iterable[str]) -> dict[str, CommitMessage]:
        """The named commits, by sha, in one git process."""
        shas = "".join(f"{sha}\n" for sha in commits).encode()
        return {m.sha: m for m in self._log(["--no-walk=unsorted", "--stdin"], shas)} if shas else {}

    def _log(self, arguments: Sequence[str], stdin: bytes | None) -> Iterator[CommitMessage]:
        text = self._call("log", "-z", "--format=%H %T %ct %P%n%B", *arguments, stdin=stdin, raw=True)
        for chunk in text.split("\0"):
            if not chunk:
                continue
            header, _, message = chunk.partition("\n")
            sha, tree, time, *parents = header.split()
            yield CommitMessage(sha, tuple(parents), tree, int(time), message)

    def changed_paths(self, pairs: Iterable[tuple[str, str]]) -> list[set[str]]:
        """For each (old tree, new tree), the paths that differ, in one git process."""
        lines = "".join(f"{old} {new}\n" for old, new in pairs)
        if not lines:
            return []
        text = self._call("diff_tree", "-r", "-z", "--name-only", "--no-renames", "--stdin", stdin=lines.encode(), raw=True)
        return _changed_by_pair(text, lines.splitlines())

    def uncommitted(self, paths: Sequence[str]) -> list[str]:
        """Which of the paths differ, in the user's checkout, from its HEAD. The index is not even refreshed."""
        if self.bare or self.resolve("HEAD") is None:
            return []
        rows = self._call("diff", "--name-only", "-z", "--no-ext-diff", "HEAD", "--", *paths, raw=True)
        return [path for path in rows.split("\0") if path]

    def diff(self, old: str, new: str, *, color: bool = False) -> str:
        return self._call("diff", "--no-ext-diff", "--no-textconv", f"--color={'always' if color else 'never'}", old, new)

    def graph(self, tips: Iterable[str], exclude: str) -> str:
        """`git log --graph` of the commits that the tips reach and `exclude` does not; the subject and status of each."""
        line = "%h %(trailers:key=Autoresearch-Status,valueonly,separator=%x20)%x20" \
               "%(trailers:key=Autoresearch-Metric,valueonly,separator=%x20)%x20%s"  # fmt: skip
        revisions = "".join(f"{tip}\n" for tip in tips) + f"^{exclude}\n"
        return self._call("log", "--graph", f"--format={line}", "--stdin", stdin=revisions.encode())

    def missing_objects(self, tips: Sequence[str]) -> str:
        """What git says is missing or broken below the tips; empty where every object is there."""
        try:
            self._git.rev_list("--objects", "--quiet", *tips)
            return ""
        except git.GitCommandError as error:
            return _explain(error).message

    def commit_time(self, commit: str) -> int:
        return int(self._call("log", "-1", "--format=%ct", commit))

    def git_version(self) -> str:
        return self._call("version").split()[2]

    # -- writing ------------------------------------------------------------------------------------------------

    def tree_with(self, commit: str, files: Mapping[str, str]) -> str:
        """The sha of the commit's tree with `files` replaced, made in an index of our own; modes are kept."""
        modes = {path: mode for path, (mode, _) in self.tree(commit).items() if path in files}
        with tempfile.TemporaryDirectory(prefix="autoresearch-index-") as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self._call("read_tree", "--end-of-options", commit, env=env)
            rows = []
            for path, text in files.items():
                blob = self._call("hash_object", "-w", "--no-filters", "--stdin", stdin=text.encode())
                rows.append(f"{modes.get(path, '100644')} {blob}\t{path}")
            self._call("update_index", "-z", "--add", "--index-info", stdin="".join(r + "\0" for r in rows).encode(), env=env)
            return self._call("write_tree", env=env)

    def commit_tree(self, tree: str, parents: Sequence[str], message: str) -> str:
        """A commit object that no ref points at yet; hooks and signing do not take part."""
        flags = [word for parent in parents for word in ("-p", parent)]
        return self._call("commit_tree", tree, *flags, stdin=message.encode())

    def update_refs(self, changes: Sequence[RefChange], reason: str) -> None:
        """Move all the refs, or none. Raises AutoresearchError where one is not where `old` says."""
        verbs = [f"create {c.name}\0{c.new}\0" if c.old is None else f"update {c.name}\0{c.new}\0{c.old}\0" for c in changes]
        script = "start\0" + "".join(verbs) + "prepare\0commit\0"
        try:
            self._call("update_ref", "-m", f"autoresearch: {reason}", "--stdin", "-z", stdin=script.encode())
        except AutoresearchError as error:
            moved = [c for c in changes if self.ref_target(c.name) != c.old]
            if not moved:
                raise
            raise AutoresearchError(
                f"{moved[0].name} was moved by somebody else (it was {(moved[0].old or 'absent')[:12]})",
                f"git log -3 {moved[0].name}, put it back with git update-ref, then start --resume",
            ) from error

    def ref_target(self, name: str) -> str | None:
        try:
            return str(self._git.rev_parse("--verify", "--quiet", "--end-of-options", name))
        except git.GitCommandError:
            return None

    def housekeeping(self) -> None:
        """Pack loose objects where git thinks it is time, and prune nothing. Never fails a session."""
        never = [f"gc.{what}=never" for what in ("pruneExpire", "reflogExpire", "reflogExpireUnreachable", "worktreePruneExpire")]
        try:
            self._git(c=["gc.autoDetach=false", *never]).gc("--auto", "--quiet")
        except git.GitCommandError:
            return

    # -- linked worktrees ---------------------------------------------------------------------------------------

    def add_worktree(self, path: Path, commit: str) -> None:
        # Twice --force: the session's folder may have been deleted while git still knows of the worktree, locked even.
        self._call("worktree", "add", "--force", "--force", "--detach", "--quiet", str(path), commit)

    def open_worktree(self, path: Path) -> Worktree | None:
        """The linked worktree at `path`; None where it is missing, damaged, or another repository's."""
        try:
            git_dir = Path((path / ".git").read_text(encoding="utf-8").removeprefix("gitdir:").strip())
            back = Path((git_dir / "gitdir").read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            return None
        if git_dir.parent != self.common_dir / "worktrees" or back != path / ".git":
            return None
        commands = _commands(git_dir, path)
        inherited = {k: v for k, v in self._git.environment().items() if k not in ("GIT_DIR", "GIT_WORK_TREE")}
        commands.update_environment(**inherited)
        return Worktree(path, git_dir, commands)


class Worktree:
    """A session's own linked worktree, detached; the user never works in it."""

    def __init__(self, path: Path, git_dir: Path, commands: git.Git) -> None:
        self.path = path
        self._git_dir = git_dir
        self._git = commands

    def clear_stale_locks(self) -> None:
        """Remove the lock files of a git that was killed here. Only the holder of the session's lock may call this."""
        for name in ("index.lock", "HEAD.lock"):
            (self._git_dir / name).unlink(missing_ok=True)

    def restore(self, commit: str, keep: Sequence[str] = ()) -> None:
        """Make the worktree exactly the commit: nothing that a run left behind may reach the next one.

        The index goes too, as a run can mark files in it as unchanged. `keep` are untracked paths at the top that stay.
        """
        (self.path / ".git").write_text(f"gitdir: {self._git_dir}\n", encoding="utf-8")
        (self._git_dir / "index").unlink(missing_ok=True)
        Repository._call_in(self._git, "checkout", "--quiet", "--force", "--detach", commit)
        excluded = [word for path in keep for word in ("-e", f"/{path}")]
        Repository._call_in(self._git, "clean", "-ffdxq", *excluded)

    def blobs(self, paths: Sequence[str]) -> dict[str, str]:
        """path → blob sha of the files as they lie in the worktree now; what is missing is left out."""
        there = [p for p in paths if (self.path / p).is_file()]
        listed = "".join(f"{p}\n" for p in there).encode()
        shas = Repository._call_in(self._git, "hash_object", "--stdin-paths", stdin=listed) if there else ""
        return dict(zip(there, shas.split(), strict=True))


def _strict_identity() -> str:
    """`user.useConfigOnly` for one call, on top of what `git -c` gave: without it git invents user@host."""
    return " ".join(filter(None, [os.environ.get("GIT_CONFIG_PARAMETERS", ""), "'user.useConfigOnly'='true'"]))


def _changed_by_pair(text: str, pairs: Sequence[str]) -> list[set[str]]:
    """Split `git diff-tree --stdin -z` output: a header per pair that differs, then its paths."""
    changed: dict[str, set[str]] = {pair: set() for pair in pairs}
    current: set[str] = set()
    for item in text.split("\0"):
        for line in item.split("\n"):
            if line in changed:
                current = changed[line]
            elif line:
                current.add(line)
    return [changed[pair] for pair in pairs]


def open_repository(start: Path) -> Repository:
    """The repository that `start` lies in, or that GIT_DIR names. Raises AutoresearchError where there is none."""
    try:
        found = git.Git(start).rev_parse("--is-bare-repository", "--absolute-git-dir", "--git-common-dir")
    except git.GitCommandNotFound as error:
        raise AutoresearchError("git is not on PATH", "install git 2.31 or newer, e.g. apt install git") from error
    except git.GitCommandError as error:
        if "not a git repository" in str(error.stderr):
            raise AutoresearchError(f"{start} is not in a git repository", "cd into one, or make one: git init") from error
        raise _explain(error) from error
    bare, git_dir, common = str(found).split("\n", 2)
    root = Path(git_dir)
    if bare == "false":
        try:
            root = Path(str(git.Git(start).rev_parse("--show-toplevel")))
        except git.GitCommandError:  # inside .git itself
            root = Path(git_dir).parent
    common_dir = (start / common).resolve()
    for name in _REPOSITORY_VARIABLES:
        os.environ.pop(name, None)
    return Repository(root, Path(git_dir), common_dir, bare == "true")
