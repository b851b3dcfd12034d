"""What can be read from any repository, in verbs of our domain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from autoresearch_git.repository.calls import Calls
from autoresearch_git.repository.processes import GitFailed


@dataclass(frozen=True)
class CommitMessage:
    sha: str
    parents: tuple[str, ...]
    tree: str
    seconds_since_epoch: int
    text: str
    author: str = ""


class Reading:
    """The verbs that only read; the user's repository and the store of strangers' objects share them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def resolve(self, revision: str) -> str | None:
        """The full sha of the commit that `revision` names, or None."""
        return self._calls.attempt("rev_parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")

    def refs(self, *prefixes: str) -> list[str]:
        """Every ref below the prefixes, newest first."""
        rows = self._calls.run("for_each_ref", "--sort=-committerdate", "--format=%(refname)", *prefixes)
        return rows.split("\n") if rows else []  # git allows what else Python takes for the end of a line

    def refs_below(self, prefix: str) -> dict[str, str]:
        """name → object of every ref below `prefix`, which ends with a slash; bytes that are no UTF-8 read as `\\xff`."""
        text = self._calls.run("for_each_ref", "--format=%(objectname) %(refname)", prefix)
        rows = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").split("\n")
        return {name: sha for sha, _, name in (row.partition(" ") for row in rows if row)}

    def ref_target(self, name: str) -> str | None:
        return self._calls.attempt("rev_parse", "--verify", "--quiet", "--end-of-options", name)

    def valid_ref(self, name: str) -> bool:
        return self._calls.attempt("check_ref_format", name) is not None

    def tree(self, commit: str) -> dict[str, tuple[str, str]]:
        """path → (mode, blob sha) of every file of the commit's tree."""
        rows = self._calls.run("ls_tree", "-r", "-z", "--end-of-options", commit).split("\0")
        entries = (row.partition("\t") for row in rows if row)
        return {path: (meta.split()[0], meta.split()[2]) for meta, _, path in entries}

    def read_file(self, commit: str, path: str) -> bytes | None:
        """The bytes of one regular file at a commit, or None where there is none."""
        try:
            return self._calls.read("cat_file", "blob", f"{commit}:{path}")
        except GitFailed:
            return None

    def messages(self, tip: str) -> list[CommitMessage]:
        """The chain of first parents from `tip` back to the root, oldest first, in one git process."""
        return list(self._log(["--reverse", "--first-parent", tip], None))

    def messages_of(self, commits: Iterable[str]) -> dict[str, CommitMessage]:
        """The named commits, by sha, in one git process."""
        shas = "".join(f"{sha}\n" for sha in commits).encode()
        return {m.sha: m for m in self._log(["--no-walk=unsorted", "--stdin"], shas)} if shas else {}

    def chain(self, tip: str, most: int) -> list[CommitMessage]:
        """The chain of first parents from `tip` back, newest first, at most that many, with their authors."""
        return list(self._log(["--first-parent", f"--max-count={most}", "--end-of-options", tip], None))

    def chained(self, tips: Sequence[str]) -> list[str]:
        """The chains of first parents of the tips, with the second parents along them, in one git process."""
        asked = "".join(f"{tip}\n" for tip in tips).encode()
        rows = self._calls.run("log", "--first-parent", "--format=%H %P", "--stdin", stdin=asked).splitlines() if asked else []
        return [sha for row in rows for sha in (*row.split()[:1], *row.split()[2:3])]

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` reaches `old`; also false where one of them is not here."""
        return self._calls.attempt("merge_base", "--is-ancestor", old, new) is not None

    def are_related(self, one: str, other: str) -> bool:
        """Whether two commits have a common ancestor here."""
        return self._calls.attempt("merge_base", one, other) is not None

    def commits_named(self, names: Iterable[str]) -> set[str]:
        """Those of some (short) shas that name one commit here, in one git process."""
        wanted = [name for name in names if re.fullmatch(r"[0-9a-f]{4,64}", name)]
        rows = "".join(f"{name}\n" for name in wanted).encode()
        found = self._calls.run("cat_file", "--batch-check=%(objecttype)", stdin=rows).splitlines() if wanted else []
        return {name for name, kind in zip(wanted, found, strict=True) if kind == "commit"}

    def commits_between(self, exclude: str, tip: str) -> list[tuple[str, str, str]]:
        """(sha, author's name, subject) of every commit that `tip` reaches and `exclude` does not, parents before children."""
        return self._rows("--end-of-options", f"{exclude}..{tip}", "--")

    def commits_nowhere(self, tip: str) -> list[tuple[str, str, str]]:
        """The same for what `tip` reaches and no remote-tracking branch does."""
        return self._rows(tip, "--not", "--remotes", "--")

    def _rows(self, *revisions: str) -> list[tuple[str, str, str]]:
        arguments = ["-z", "--reverse", "--topo-order", "--format=%H%x09%an%n%s", *revisions]
        rows = (chunk.partition("\n") for chunk in self._calls.run("log", *arguments, raw=True).split("\0") if chunk)
        return [(*author.partition("\t")[::2], subject) for author, _, subject in rows]

    def _log(self, arguments: Sequence[str], stdin: bytes | None) -> Iterator[CommitMessage]:
        text = self._calls.run("log", "-z", "--format=%H %T %ct %P%n%an%n%B", *arguments, stdin=stdin, raw=True)
        for chunk in text.split("\0"):
            if not chunk:
                continue
            header, author, message = chunk.split("\n", 2)
            sha, tree, time, *parents = header.split()
            yield CommitMessage(sha, tuple(parents), tree, int(time), message, author)

    def changed_paths(self, pairs: Iterable[tuple[str, str]]) -> list[set[str]]:
        """For each (old tree, new tree), the paths that differ, in one git process."""
        lines = "".join(f"{old} {new}\n" for old, new in pairs)
        if not lines:
            return []
        text = self._calls.run("diff_tree", "-r", "-z", "--name-only", "--no-renames", "--stdin", stdin=lines.encode(), raw=True)
        return _changed_by_pair(text, lines.splitlines())

    def missing_objects(self, tips: Sequence[str]) -> str:
        """What git says is missing or broken below the tips; empty where every object is there."""
        try:
            self._calls.run("rev_list", "--objects", "--quiet", *tips)
            return ""
        except GitFailed as error:
            return error.message

    def commit_time(self, commit: str) -> int:
        return int(self._calls.run("log", "-1", "--format=%ct", commit))


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
