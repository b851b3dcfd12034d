"""Reading many objects in one git process, from objects that strangers made.

Memory stays bounded whatever they hold: output is streamed, and what is too large is left out. An object that git dies of
costs the item that needs it, and the rest is read. Names are never options: they go in by standard input, and one that
would break its line is left out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from autoresearch_git.experiment import Author
from autoresearch_git.repository.differences import (
    EMPTY_TREE,
    PATCH_LIMIT,
    PATHS_LIMIT,
    ChangedFiles,
    Comparison,
    FileChange,
    patches_of,
)
from autoresearch_git.repository.processes import READ_SECONDS, RESTARTS, GitFailed, Scanner, hexadecimal
from autoresearch_git.repository.reading import CommitMessage, Reading

BLOB_LIMIT = 1 << 20  # bytes; what is larger is neither fetched nor read
PATCHED_LIMIT = 1 << 18  # bytes; lines of one letter take git 7 s to compare in a file of 1 MiB, 0.4 s in one of 256 KiB
MESSAGE_LIMIT = 1 << 18  # bytes of one commit's message
MESSAGES_LIMIT = 1 << 28  # bytes of all messages of one call
COMMITS_LIMIT = 200_000

_OBJECT_ROW = re.compile(r"([0-9a-f]{40,64}) (\w+) (\d+)")


@dataclass(frozen=True)
class Blob:
    """An object that is there: `size` in bytes, `kind` as git says it (blob, tree, commit, tag)."""

    sha: str
    size: int
    kind: str


class BulkReading(Reading):
    """Verbs that take any number of items, each in as many git processes whatever that number is."""

    def blobs(self, names: Iterable[str]) -> dict[str, Blob]:
        """What there is under each name: an object's sha, which may be cut short, or `<sha or refs/…>:<path>`.

        What is missing is left out. So is a name that git cannot be asked for: a path with a newline, or one that begins with `./`.
        """
        return self._look_up([name for name in dict.fromkeys(names) if _askable(name)])

    def _look_up(self, names: Sequence[str]) -> dict[str, Blob]:
        found: dict[str, Blob] = {}
        row = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
        restarts = start = 0
        while start < len(names):
            lines = (name.encode("utf-8", "surrogateescape") + b"\n" for name in names[start:])
            try:
                with self._calls.stream("cat-file", row, "--buffer", stdin=lines, seconds=READ_SECONDS) as stream:
                    for line in Scanner(stream, 1 << 16).parts(b"\n"):
                        if match := _OBJECT_ROW.fullmatch(line.decode("utf-8", "replace")):
                            found[names[start]] = Blob(match[1], int(match[3]), match[2])
                        start += 1
                break
            except GitFailed:
                start, restarts = start + 1, restarts + 1  # git died of this one
                if restarts > RESTARTS:
                    raise
        return found

    def read_blobs(self, shas: Iterable[str], limit: int = BLOB_LIMIT) -> Iterator[tuple[str, bytes]]:
        """(sha, content) of each blob of at most `limit` bytes that is there, in the order asked for, each once."""
        wanted = [sha for sha in dict.fromkeys(shas) if hexadecimal(sha)]
        known = self._look_up(wanted)
        wanted = [sha for sha in wanted if sha in known and known[sha].kind == "blob" and known[sha].size <= limit]
        restarts = start = 0
        while start < len(wanted):
            lines = (sha.encode() + b"\n" for sha in wanted[start:])
            try:
                with self._calls.stream("cat-file", "--batch", "--buffer", stdin=lines, seconds=READ_SECONDS) as stream:
                    for sha, content in _contents(stream):
                        start = wanted.index(sha, start) + 1
                        yield sha, content
                return
            except GitFailed:
                start, restarts = start + 1, restarts + 1
                if restarts > RESTARTS:
                    raise

    def history(
        self, tips: Iterable[str], exclude: Iterable[str] = (), max_commits: int = COMMITS_LIMIT
    ) -> dict[str, CommitMessage]:
        """sha → commit for what `tips` reach and `exclude` does not (full shas), newest first.

        At most `max_commits`, and 256 MiB of messages; one message is cut after 256 KiB. A sha that is no commit here is
        left out.
        """
        left_out = [f"^{sha}" for sha in self._commits(exclude)]
        found: dict[str, CommitMessage] = {}
        parts = [self._commits(tips)]
        restarts = size = 0
        while parts:
            part = parts.pop()
            try:
                if part:  # git log would begin at HEAD
                    for message in self._messages([*part, *left_out], f"--max-count={max_commits}"):
                        found.setdefault(message.sha, message)
                        size += len(message.text)
                        if size > MESSAGES_LIMIT:
                            return found
            except GitFailed:  # a commit on the way is missing or broken: the tips that do not reach it are read whole
                restarts += 1
                if restarts > RESTARTS:
                    raise
                half = len(part) // 2
                parts += [part[half:], part[:half]] if half else []
        return found if restarts == 0 else dict(itertools.islice(found.items(), max_commits))

    def _commits(self, shas: Iterable[str]) -> list[str]:
        """Those of the shas that are commits here, or tags of some."""
        names = [f"{sha}^{{commit}}" for sha in dict.fromkeys(shas) if hexadecimal(sha)]
        found = self._look_up(names)
        return list(dict.fromkeys(found[name].sha for name in names if name in found))

    def _messages(self, revisions: Sequence[str], *options: str) -> Iterator[CommitMessage]:
        arguments = ["log", "-z", "--format=%H %T %ct %P%n%B", *options, "--stdin"]
        stdin = [f"{line}\n".encode() for line in revisions]
        with self._calls.stream(*arguments, stdin=stdin, seconds=READ_SECONDS) as stream:
            for chunk in Scanner(stream, MESSAGE_LIMIT).parts(b"\0"):
                if message := _commit(chunk.decode("utf-8", "replace")):
                    yield message

    def authors(self, commits: Iterable[str]) -> dict[str, Author]:
        """Commit → its author, of those that are here. Names and addresses are as git has them."""
        stdin = [f"{sha}\n".encode() for sha in self._commits(commits)]
        if not stdin:
            return {}
        found: dict[str, Author] = {}
        arguments = ["log", "-z", "--no-walk=unsorted", "--format=%H %at%n%an%n%ae", "--stdin"]
        with self._calls.stream(*arguments, stdin=stdin, seconds=READ_SECONDS) as stream:
            for chunk in Scanner(stream, MESSAGE_LIMIT).parts(b"\0"):
                head, name, email = chunk.decode("utf-8", "replace").split("\n", 2)
                sha, time = head.split()
                found[sha] = Author(name, email, int(time))
        return found

    def ranks(self, tip: str) -> dict[str, int]:
        """Commit → its place in `git rev-list --topo-order <tip>`: 0 is the tip, and no parent stands before its child."""
        stdin = [f"{sha}\n".encode() for sha in self._commits([tip])]
        if not stdin:
            return {}
        with self._calls.stream("rev-list", "--topo-order", "--stdin", stdin=stdin, seconds=READ_SECONDS) as stream:
            return {sha.decode(): place for place, sha in enumerate(Scanner(stream, 64).parts(b"\n"))}

    # -- differences --------------------------------------------------------------------------------------------

    def changed_files(
        self, pairs: Iterable[tuple[str, str]], paths: Sequence[str] = (), max_paths: int = PATHS_LIMIT
    ) -> list[ChangedFiles]:
        """For each (old, new), both a commit or a tree by its full sha, the files that differ; at most `max_paths` of them.

        `paths` restricts them to these files, or files below these directories. A side that is missing gives a result that
        is empty and not `complete`. `EMPTY_TREE` is always there.
        """
        asked = list(pairs)
        trees = self._trees({side for pair in asked for side in pair})
        there = [number for number, pair in enumerate(asked) if pair[0] in trees and pair[1] in trees]
        resolved = [(trees[asked[number][0]], trees[asked[number][1]]) for number in there]
        compared = Comparison(self._calls, self._tree_sizes, resolved, paths, max_paths).results
        results = [ChangedFiles() for _ in asked]
        for result in results:
            result.complete = False
        for number, result in zip(there, compared, strict=True):
            results[number] = result
        return results

    def _tree_sizes(self, trees: list[str]) -> dict[str, int]:
        return {tree: found.size for tree, found in self._look_up(trees).items() if found.kind == "tree"}

    def _trees(self, names: Iterable[str]) -> dict[str, str]:
        """Commit or tree → its tree."""
        found = self._look_up([f"{name}^{{tree}}" for name in names if hexadecimal(name)])
        return {name.partition("^")[0]: blob.sha for name, blob in found.items()}

    def patches(
        self, tips: Iterable[str], exclude: Iterable[str], paths: Sequence[str], cap: int = PATCH_LIMIT,
        max_commits: int = COMMITS_LIMIT,
    ) -> Iterator[tuple[str, str]]:  # fmt: skip
        """(sha, patch of `paths` without context) of each commit that changes them, newest first; merges are passed over.

        `paths` are files or directories, literally. A patch is cut at the last line that ends within `cap` bytes. A commit is
        passed over where a blob that it needs is missing or above 256 KiB. Bytes that are no UTF-8 become U+FFFD.
        """
        commits = [m for m in self.history(tips, exclude, max_commits).values() if len(m.parents) < 2]
        trees = self._trees({parent for m in commits for parent in m.parents})
        shas, pairs = [], []
        for commit in commits:
            before = trees.get(commit.parents[0]) if commit.parents else EMPTY_TREE
            if before and before != commit.tree:
                shas.append(commit.sha)
                pairs.append((before, commit.tree))
        changes = self.changed_files(pairs, paths)
        sizes = self._look_up([*{blob for files in changes for change in files.values() for blob in _sides(change)}])
        readable = [n for n, files in enumerate(changes) if files and files.complete and _small(files, sizes)]
        for place, patch in patches_of(self._calls, [pairs[n] for n in readable], paths, cap):
            yield shas[readable[place]], patch.decode("utf-8", "replace")


def _askable(name: str) -> bool:
    if re.fullmatch(r"[0-9a-f]{4,64}", name):
        return True
    revision, _, path = name.partition(":")
    named = hexadecimal(revision) or bool(re.fullmatch(r"refs/[^\0-\x20\x7f~^:?*\[\\]+", revision))
    return named and bool(path) and not re.search(r"[\n\0]", path) and not path.startswith(("./", "../"))


def _contents(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Split the output of `git cat-file --batch`, whose objects are known to be small."""
    while header := stream.readline(1 << 16):
        match = _OBJECT_ROW.fullmatch(header.decode("utf-8", "replace").rstrip("\n"))
        if match:
            content = stream.read(int(match[3]))
            stream.read(1)
            if len(content) == int(match[3]):
                yield match[1], content


def _commit(text: str) -> CommitMessage | None:
    header, _, message = text.partition("\n")
    match = re.fullmatch(r"([0-9a-f]{40,64}) ([0-9a-f]{40,64}) (-?\d*) ?((?:[0-9a-f]{40,64} ?)*)", header)
    return CommitMessage(match[1], tuple(match[4].split()), match[2], int(match[3] or 0), message) if match else None


def _sides(change: FileChange) -> list[str]:
    """The blobs whose content a patch shows; a submodule's commit is only named."""
    sides = ((change.mode, change.blob), (change.old_mode, change.old_blob))
    return [blob for mode, blob in sides if mode not in ("000000", "160000")]


def _small(files: ChangedFiles, sizes: dict[str, Blob]) -> bool:
    blobs = [blob for change in files.values() for blob in _sides(change)]
    return all(blob in sizes and sizes[blob].size <= PATCHED_LIMIT for blob in blobs)
