"""What `git diff-tree --stdin` tells of many pairs of trees that strangers made.

It prints a header for every pair before it compares them, so the pair that it dies of is known, and a new process goes on
behind it. The same is done with a pair that has no end, as a few trees that name each other many times over have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO

from autoresearch_git.repository.calls import Calls
from autoresearch_git.repository.processes import READ_SECONDS, RESTARTS, GitFailed, Scanner

PATCH_LIMIT = 1 << 16  # bytes of one patch
PATHS_LIMIT = 10_000  # changed paths of one pair
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git knows it without having it
_NAME_LIMIT = 1 << 14  # bytes of one path

Pair = tuple[str, str]

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

    Not `complete` where there were too many, or a tree is missing or broken: then more may differ.
    """

    complete = True


def raw(calls: Calls, pairs: Sequence[Pair], paths: Sequence[str], max_paths: int) -> Iterator[tuple[int, ChangedFiles]]:
    """(place in `pairs`, what differs), in order; pairs that git cannot read are passed over."""
    place = -1
    for _ in range(RESTARTS):
        before = place
        files = ChangedFiles()
        try:
            with _diff_tree(calls, pairs[place + 1 :], paths, "--raw", "--no-abbrev", "-z") as stream:
                scanner = Scanner(stream, _NAME_LIMIT)
                while byte := scanner.peek():
                    if byte != b":":
                        if place > before:
                            yield place, files
                        place, files = _next(pairs, place, scanner.until(b"\n")), ChangedFiles()
                    elif not _add(files, scanner.until(b"\0"), scanner.until(b"\0"), max_paths):
                        break
                else:
                    if place > before:
                        yield place, files
                    return
        except GitFailed:
            pass
        if place > before:
            files.complete = False
            yield place, files
        else:
            place += 1
        if place + 1 >= len(pairs):
            return


def _add(files: ChangedFiles, row: bytes, path: bytes, max_paths: int) -> bool:
    """Whether there was room for the change, and its path is one that can be told whole."""
    match = _ROW.fullmatch(row.decode("ascii", "replace"))
    if len(files) >= max_paths or not match or len(path) >= _NAME_LIMIT:
        return False
    files[path.decode("utf-8", "backslashreplace")] = FileChange(match[2], match[4], match[1], match[3])
    return True


def patches(calls: Calls, pairs: Sequence[Pair], paths: Sequence[str], cap: int) -> Iterator[tuple[int, bytes]]:
    """(place in `pairs`, patch without context), in order; cut after the last line that ends within `cap` bytes."""
    place = -1
    for _ in range(RESTARTS):
        before = place
        patch, passed = bytearray(), 0
        try:
            with _diff_tree(calls, pairs[place + 1 :], paths, "--patch", "--unified=0") as stream:
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


def _diff_tree(calls: Calls, pairs: Sequence[Pair], paths: Sequence[str], *form: str) -> AbstractContextManager[IO[bytes]]:
    options = ["-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "--no-relative"]
    lines = (f"{old} {new}\n".encode() for old, new in pairs)
    env = {"GIT_LITERAL_PATHSPECS": "1", "GIT_DIFF_OPTS": ""}
    return calls.stream("diff-tree", *form, *options, "--stdin", "--", *paths, stdin=lines, seconds=READ_SECONDS, env=env)


def _next(pairs: Sequence[Pair], place: int, header: bytes) -> int:
    """The place of the pair that a header names, behind the one before it: git tells them in order, and may leave some out."""
    match = _HEADER.fullmatch(header)
    pair = (match[1].decode(), match[2].decode()) if match else ("", "")
    return next((n for n in range(place + 1, len(pairs)) if pairs[n] == pair), place)
