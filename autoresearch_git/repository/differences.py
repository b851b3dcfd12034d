"""What differs between many pairs of trees that strangers made.

Trees are compared level by level, each level of all pairs in one `git diff-tree --stdin`: asked for whole depths, git gathers
every path before it says one, and a few trees that name each other many times over fill any memory. git prints a header for
every pair before it compares them, so the pair that it dies of is known, and a new process goes on behind it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO

from autoresearch_git.repository.calls import LITERAL_PATHS, Calls
from autoresearch_git.repository.processes import READ_SECONDS, RESTARTS, GitFailed, Scanner

PATCH_LIMIT = 1 << 16  # bytes of one patch
PATHS_LIMIT = 10_000  # changed paths of one pair
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git knows it without having it
_TREE_LIMIT = 1 << 22  # bytes of one tree, not of what is below it
_PATH_LIMIT = 4096  # characters
_DEPTH_LIMIT = 100  # levels of trees

Pair = tuple[str, str]
_Level = dict[Pair, list[tuple[int, str]]]  # (old tree, new tree) → (number of the result, folder) of all places they stand at

_HEADER = re.compile(rb"([0-9a-f]{40,64}) ([0-9a-f]{40,64})")
_ROW = re.compile(r":([0-7]{6}) ([0-7]{6}) ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [A-Z]\d*")


@dataclass(frozen=True)
class FileChange:
    """What became of a path. Modes are git's six digits; a side that does not exist has mode `000000` and a zero sha."""

    mode: str
    blob: str
    old_mode: str
    old_blob: str


class ChangedFiles(dict[str, FileChange]):
    """path → change; bytes of a path that are no UTF-8 read as `\\xff`.

    Not `complete` where there were too many, or a tree is missing, broken or above 4 MiB: then more may differ.
    """

    complete = True


class Comparison:
    """Compare pairs of trees as far as they can be compared. `results` has one entry for each pair."""

    def __init__(
        self, calls: Calls, sizes: Callable[[list[str]], dict[str, int]], pairs: Sequence[Pair], paths: Sequence[str], cap: int
    ) -> None:
        self._calls = calls
        self._sizes = sizes  # trees → bytes, of those that are there
        self._paths = () if "." in paths else tuple(paths)
        self._cap = cap
        self.results = [ChangedFiles() for _ in pairs]
        level: _Level = defaultdict(list)
        for number, pair in enumerate(pairs):
            level[pair].append((number, ""))
        for _ in range(_DEPTH_LIMIT):
            if level:
                level = self._descend(level)
        self._give_up(level.values())

    def _give_up(self, places: Iterable[list[tuple[int, str]]]) -> None:
        for place in places:
            for number, _ in place:
                self.results[number].complete = False

    def _descend(self, level: _Level) -> _Level:
        """Compare the trees of one level; what is returned are the pairs of trees below them."""
        sizes = self._sizes(list({side for pair in level for side in pair}))
        asked = [pair for pair in level if all(sizes.get(side, _TREE_LIMIT + 1) <= _TREE_LIMIT for side in pair)]
        below: _Level = defaultdict(list)
        waiting: Counter[int] = Counter()
        told = set()
        for number, rows in raw(self._calls, asked):
            told.add(asked[number])
            for place in level[asked[number]]:
                self._take(place, rows, below, waiting)
        self._give_up(places for pair, places in level.items() if pair not in told)
        return below

    def _take(self, place: tuple[int, str], rows: list[tuple[str, FileChange]], below: _Level, waiting: Counter[int]) -> None:
        number, folder = place
        result = self.results[number]
        for name, change in rows:
            path = folder + name
            if len(result) + waiting[number] >= self._cap or len(path) > _PATH_LIMIT:
                result.complete = False
                return
            if "040000" in (change.mode, change.old_mode):
                if not self._paths or any(f"{p}/".startswith(f"{path}/") or path.startswith(f"{p}/") for p in self._paths):
                    below[_tree(change.old_mode, change.old_blob), _tree(change.mode, change.blob)].append((number, f"{path}/"))
                    waiting[number] += 1
            elif not self._paths or any(path == p or path.startswith(f"{p}/") for p in self._paths):
                result[path] = change


def _tree(mode: str, sha: str) -> str:
    return sha if mode == "040000" else EMPTY_TREE


def raw(calls: Calls, pairs: Sequence[Pair]) -> Iterator[tuple[int, list[tuple[str, FileChange]]]]:
    """(place in `pairs`, entries that differ), in order; pairs that git cannot read are passed over."""
    place = -1
    for _ in range(RESTARTS):
        before = place
        rows: list[tuple[str, FileChange]] = []
        try:
            with _diff_tree(calls, pairs[place + 1 :], "--raw", "--no-abbrev", "-z") as stream:
                scanner = Scanner(stream, _TREE_LIMIT)
                while byte := scanner.peek():
                    if byte == b":":
                        rows.append(_row(scanner.until(b"\0"), scanner.until(b"\0")))
                        continue
                    if place > before:
                        yield place, rows
                    place, rows = _next(pairs, place, scanner.until(b"\n")), []
                if place > before:
                    yield place, rows
                return
        except GitFailed:
            place = max(place, before + 1)  # git died of this one
        if place + 1 >= len(pairs):
            return


def _row(row: bytes, path: bytes) -> tuple[str, FileChange]:
    match = _ROW.fullmatch(row.decode("ascii"))
    assert match
    return path.decode("utf-8", "backslashreplace"), FileChange(match[2], match[4], match[1], match[3])


def patches_of(calls: Calls, pairs: Sequence[Pair], paths: Sequence[str], cap: int) -> Iterator[tuple[int, bytes]]:
    """(place in `pairs`, patch without context), in order; cut after the last line that ends within `cap` bytes."""
    place = -1
    for _ in range(RESTARTS):
        before = place
        patch, passed = bytearray(), 0
        try:
            with _diff_tree(calls, pairs[place + 1 :], "--patch", "--unified=0", "-r", paths=paths) as stream:
                for line in Scanner(stream, cap + 1).parts(b"\n"):
                    if _HEADER.fullmatch(line):
                        if patch:
                            yield place, bytes(patch)
                        place, patch, passed = _next(pairs, place, line), bytearray(), 0
                        continue
                    passed += len(line) + 1
                    if passed <= cap:
                        patch += line + b"\n"
                    elif passed > 64 * cap:
                        break
                else:
                    if patch:
                        yield place, bytes(patch)
                    return
            if patch:
                yield place, bytes(patch)
        except GitFailed:
            pass
        place = max(place, before + 1)
        if place + 1 >= len(pairs):
            return


def _diff_tree(calls: Calls, pairs: Sequence[Pair], *form: str, paths: Sequence[str] = ()) -> AbstractContextManager[IO[bytes]]:
    options = ["--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "--no-relative"]
    lines = (f"{old} {new}\n".encode() for old, new in pairs)
    arguments = ["diff-tree", *form, *options, "--stdin", "--", *paths]
    return calls.stream(*arguments, stdin=lines, seconds=READ_SECONDS, env=LITERAL_PATHS)


def _next(pairs: Sequence[Pair], place: int, header: bytes) -> int:
    """The place of the pair that a header names, behind the one before it: git tells them in order, and may leave some out."""
    match = _HEADER.fullmatch(header)
    pair = (match[1].decode(), match[2].decode()) if match else ("", "")
    return next((n for n in range(place + 1, len(pairs)) if pairs[n] == pair), place)
