"""The user's repository: what is read from it, and the few things that are written."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Author
from autoresearch_git.repository import pushing
from autoresearch_git.repository.calls import NO_PROMPTS, Calls, discover, forget_repository_variables
from autoresearch_git.repository.differences import PATCH_LIMIT, patches_of
from autoresearch_git.repository.processes import GitFailed
from autoresearch_git.repository.reading import Reading
from autoresearch_git.repository.remotes import Remote
from autoresearch_git.repository.worktree import Worktree

CREDENTIAL_SECONDS = 10.0
CONFLICTS_LIMIT = 128  # exit codes of git merge-file below it count conflicts

_FALLBACK_IDENTITY = ("git-autoresearch", "git-autoresearch@localhost")


@dataclass(frozen=True)
class RefChange:
    """Move `name` from `old` to `new`; `old` None means that it must not exist yet."""

    name: str
    new: str
    old: str | None


class Repository(Reading):
    """A repository as the tool sees it. Make one with `open_repository`."""

    def __init__(self, root: Path, git_dir: Path, common_dir: Path, bare: bool) -> None:
        self.root = root  # the checkout's top level, or the git directory of a bare repository
        self.common_dir = common_dir
        self.bare = bare
        super().__init__(Calls(git_dir, None if bare else root))
        self.has_identity = self._calls.ensure_identity(*_FALLBACK_IDENTITY)

    # -- reading ------------------------------------------------------------------------------------------------

    def config_entries(self, section: str) -> list[tuple[str, str, str]]:
        """(key below `section`, value, where it stands) of every `git config` entry, in git's order of precedence."""
        try:
            text = self._calls.run("config", "--null", "--show-scope", "--show-origin", "--get-regexp", rf"^{section}\.", raw=True)
        except GitFailed as error:
            if error.status == 1:  # no such entry
                return []
            raise
        fields = text.split("\0")
        entries = []
        for scope, origin, entry in zip(fields[0::3], fields[1::3], fields[2::3], strict=False):
            key, _, value = entry.partition("\n")
            where = "git -c" if scope == "command" else f"git config --{scope}"
            file = origin.removeprefix("file:").removeprefix(f"{self.root}{os.sep}")
            entries.append((key.partition(".")[2], value, f"{where} ({file})"))
        return entries

    def remote_urls(self) -> dict[str, str]:
        """Remote name → the URL that git would fetch from, after `url.<base>.insteadOf`. A URL may hold a password."""
        rows = (re.match(r"(.+?)\t(.*) \(fetch\)", line) for line in self._calls.run("remote", "-v").splitlines())
        return {row[1]: row[2] for row in rows if row}

    def credential(self, protocol: str, host: str) -> tuple[str, str] | None:
        """(username, password) that git's credential helpers have for a host; None where they have none, or take over 10 s.

        Nobody is asked: no terminal, no askpass program, no window.
        """
        if re.search(r"[\0\r\n]", protocol + host):
            return None
        question = f"protocol={protocol}\nhost={host}\n\n".encode()
        try:
            with self._calls.stream("credential", "fill", stdin=[question], seconds=CREDENTIAL_SECONDS, **NO_PROMPTS) as stream:
                answer = stream.read(1 << 16)
        except AutoresearchError:
            return None
        fields = dict(line.partition("=")[::2] for line in answer.decode("utf-8", "replace").splitlines())
        return (fields.get("username", ""), fields["password"]) if fields.get("password") else None

    def checked_out_at(self, branch: str) -> str:
        """The worktree that has the branch checked out; empty where none has."""
        return self._calls.run("for_each_ref", "--format=%(worktreepath)", branch)

    def uncommitted(self, paths: Sequence[str]) -> list[str]:
        """Which of the paths differ, in the user's checkout, from its HEAD. The index is not even refreshed."""
        if self.bare or self.resolve("HEAD") is None:
            return []
        rows = self._calls.run("diff", "--name-only", "-z", "--no-ext-diff", "HEAD", "--", *paths, raw=True)
        return [path for path in rows.split("\0") if path]

    def working_diff(self, paths: Sequence[str]) -> str:
        """The user's uncommitted changes of the paths, staged or not, without context lines; empty in a bare repository."""
        if self.bare or self.resolve("HEAD") is None:
            return ""
        return self._calls.run("diff", "-U0", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--", *paths, raw=True)

    def diff(self, old: str, new: str, *, color: bool = False) -> str:
        return self._calls.run("diff", "--no-ext-diff", "--no-textconv", f"--color={'always' if color else 'never'}", old, new)

    def patches(self, pairs: Sequence[tuple[str, str]], paths: Sequence[str]) -> list[str]:
        """For each (old, new), both commits by their full shas, the patch of `paths` without context lines.

        A patch is cut at the last line that ends within 64 KiB. Bytes that are no UTF-8 become U+FFFD.
        """
        trees = {sha: commit.tree for sha, commit in self.messages_of({side for pair in pairs for side in pair}).items()}
        found = dict(patches_of(self._calls, [(trees[old], trees[new]) for old, new in pairs], paths, PATCH_LIMIT))
        return [found.get(place, b"").decode("utf-8", "replace") for place in range(len(pairs))]

    def graph(self, tips: Iterable[str], exclude: str) -> str:
        """`git log --graph` of the commits that the tips reach and `exclude` does not; the subject and status of each."""
        line = "%h %(trailers:key=Autoresearch-Status,valueonly,separator=%x20)%x20" \
               "%(trailers:key=Autoresearch-Metric,valueonly,separator=%x20)%x20%s"  # fmt: skip
        revisions = "".join(f"{tip}\n" for tip in tips) + f"^{exclude}\n"
        return self._calls.run("log", "--graph", f"--format={line}", "--stdin", stdin=revisions.encode())

    def git_version(self) -> str:
        return self._calls.run("version").split()[2]

    # -- writing ------------------------------------------------------------------------------------------------

    def tree_with(self, commit: str, files: Mapping[str, str | bytes]) -> str:
        """The sha of the commit's tree with `files` replaced, made in an index of our own; the modes of files are kept."""
        modes = {path: mode for path, (mode, _) in self.tree(commit).items() if path in files and mode.startswith("100")}
        with tempfile.TemporaryDirectory(prefix="autoresearch-index-") as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self._calls.run("read_tree", "--end-of-options", commit, env=env)
            rows = []
            for path, content in files.items():
                raw = content.encode() if isinstance(content, str) else content
                blob = self._calls.run("hash_object", "-w", "--no-filters", "--stdin", stdin=raw)
                rows.append(f"{modes.get(path, '100644')} {blob}\t{path}")
            self._calls.run("update_index", "-z", "--add", "--index-info", stdin="".join(r + "\0" for r in rows).encode(), env=env)
            return self._calls.run("write_tree", env=env)

    def commit_tree(
        self, tree: str, parents: Sequence[str], message: str, seconds_since_epoch: int | None = None, author: Author | None = None
    ) -> str:
        """A commit object that no ref points at yet; hooks and signing do not take part.

        With a time, which is taken in UTC for both its dates, the same arguments make the same commit again. An `author` other
        than the user is named with the time of the original; the user is the committer.
        """
        flags = [word for parent in parents for word in ("-p", parent)]
        date = f"@{seconds_since_epoch} +0000"
        env = {} if seconds_since_epoch is None else {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        if author:
            made = f"@{author.seconds_since_epoch} +0000"
            env |= {"GIT_AUTHOR_NAME": author.name, "GIT_AUTHOR_EMAIL": author.email, "GIT_AUTHOR_DATE": made}
        return self._calls.run("commit_tree", tree, *flags, stdin=message.encode(), env=env)

    def merged_text(self, ours: str, base: str, theirs: str) -> str | None:
        """`ours` with what leads from `base` to `theirs` (`git merge-file`); None where the two changes meet."""
        with tempfile.TemporaryDirectory(prefix="autoresearch-merge-") as folder:
            files = [Path(folder, name) for name in ("ours", "base", "theirs")]
            for file, text in zip(files, (ours, base, theirs), strict=True):
                file.write_bytes(text.encode())
            try:
                return self._calls.run("merge_file", "-p", "--quiet", *map(str, files), raw=True)
            except GitFailed as error:
                if 0 < error.status < CONFLICTS_LIMIT:
                    return None
                raise

    def update_refs(self, changes: Sequence[RefChange], reason: str) -> None:
        """Move all the refs, or none. Raises AutoresearchError where one is not where `old` says."""
        verbs = [f"create {c.name}\0{c.new}\0" if c.old is None else f"update {c.name}\0{c.new}\0{c.old}\0" for c in changes]
        script = "start\0" + "".join(verbs) + "prepare\0commit\0"
        try:
            self._calls.run("update_ref", "-m", f"autoresearch: {reason}", "--stdin", "-z", stdin=script.encode())
        except AutoresearchError as error:
            moved = [c for c in changes if self.ref_target(c.name) != c.old]
            if not moved:
                raise
            raise AutoresearchError(
                f"{moved[0].name} was moved by somebody else (it was {(moved[0].old or 'absent')[:12]})",
                f"git log -3 {moved[0].name}, put it back with git update-ref, then start --resume",
            ) from error

    def housekeeping(self) -> None:
        """Pack loose objects where git thinks it is time, and prune nothing. Never fails a session."""
        never = [f"gc.{what}=never" for what in ("pruneExpire", "reflogExpire", "reflogExpireUnreachable", "worktreePruneExpire")]
        try:
            self._calls.run("gc", "--auto", "--quiet", settings=["gc.autoDetach=false", *never])
        except GitFailed:
            return

    # -- the network --------------------------------------------------------------------------------------------

    def remote_refs(self, remote: Remote, names: Sequence[str], seconds: float) -> dict[str, str]:
        """Full name → sha of those of the refs that exist where a push to the remote would go.

        Raises AutoresearchError where the remote cannot be reached, or takes more than `seconds`.
        """
        return pushing.remote_refs(self._calls, remote, names, seconds)

    def push(self, remote: Remote, commit: str, ref: str, expected: str, seconds: float) -> None:
        """Move `ref` at the remote from `expected` (empty: it must not exist yet) to `commit`, both full shas.

        Nothing happens where it stands there already. Raises PushRefusedError where the remote does not let it move, else
        AutoresearchError where it cannot be reached or takes more than `seconds`; then it may have moved all the same.
        """
        pushing.push(self._calls, remote, commit, ref, expected, seconds)

    # -- linked worktrees ---------------------------------------------------------------------------------------

    def add_worktree(self, path: Path, commit: str) -> None:
        # Twice --force: the session's folder may have been deleted while git still knows of the worktree, locked even.
        self._calls.run("worktree", "add", "--force", "--force", "--detach", "--quiet", str(path), commit)

    def open_worktree(self, path: Path) -> Worktree | None:
        """The linked worktree at `path`; None where it is missing, damaged, or another repository's."""
        try:
            git_dir = Path((path / ".git").read_text(encoding="utf-8").removeprefix("gitdir:").strip())
            back = Path((git_dir / "gitdir").read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            return None
        if git_dir.parent != self.common_dir / "worktrees" or back != path / ".git":
            return None
        return Worktree(path, git_dir, self._calls.sibling(git_dir, path))


def open_repository(start: Path) -> Repository:
    """The repository that `start` lies in, or that GIT_DIR names. Raises AutoresearchError where there is none."""
    try:
        found = discover(start, "--is-bare-repository", "--absolute-git-dir", "--git-common-dir")
    except GitFailed as error:
        if "not a git repository" in error.said:
            raise AutoresearchError(f"{start} is not in a git repository", "cd into one, or make one: git init") from error
        raise
    bare, git_dir, common = found.split("\n", 2)
    root = Path(git_dir)
    if bare == "false":
        try:
            root = Path(discover(start, "--show-toplevel"))
        except GitFailed:  # inside .git itself
            root = Path(git_dir).parent
    common_dir = (start / common).resolve()
    forget_repository_variables()
    return Repository(root, Path(git_dir), common_dir, bare == "true")
