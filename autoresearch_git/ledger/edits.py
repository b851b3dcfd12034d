"""What a person edits in a session's worktree: found, and not overwritten before it was tried."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository import Repository, Worktree


def files(folder: Path, paths: Iterable[str]) -> dict[str, bytes]:
    """The content of those files that are there. A link is not followed: a run may have made it."""
    there = (path for path in paths if (folder / path).is_file() and not (folder / path).is_symlink())
    return {path: (folder / path).read_bytes() for path in there}


def untried(
    repository: Repository, worktree: Worktree, editable: Sequence[str], head: str, proposed: Mapping[str, str]
) -> list[str]:
    """Editable files that hold somebody's work: neither what we left in the worktree, nor the text of the incumbent (the commit
    `head`) or of the proposal under way."""
    changed = worktree.changed(editable)
    if not changed:
        return []
    tree, blobs, texts = repository.tree(head), worktree.blobs(changed), files(worktree.path, changed)

    def is_ours(path: str) -> bool:
        committed = path in tree and tree[path][1] == blobs.get(path)
        return committed or (path in proposed and texts.get(path) == proposed[path].encode())

    return [path for path in changed if not is_ours(path)]


def refusal(name: str, worktree: Path, paths: Sequence[str], next_to_try: bool) -> AutoresearchError:
    """What is said instead of overwriting them, with the ways out. `next_to_try`: nothing else of the session has to come first."""
    measure = f"git autoresearch try --session {name} -m 'what it changes', or put it away: " if next_to_try else ""
    away = " && ".join(shlex.join(["mv", str(worktree / path), f"untried-{path.replace('/', '-')}"]) for path in paths)
    return AutoresearchError(f"the worktree of {name} holds an edit that was not tried: {', '.join(paths)}", measure + away)
