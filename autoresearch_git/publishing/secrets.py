"""What looks like a token in what a push would give away: it cannot be taken back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from autoresearch_git.lab.process import holds_secret
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import CommitMessage, Repository

MESSAGE = "its message"
_AT_ONCE = 2_000  # patches in memory
_WINDOW, _OVERLAP = 4_096, 512  # characters of a long line that are looked at together


def find_secret(repository: Repository, book: Notebook, exclude: str) -> tuple[str, str] | None:
    """(commit, where) of the first that looks as if it held a token; where is MESSAGE or a path. None where nothing does.

    Looked at are the messages and the added lines of every experiment, the messages of the notebook's records, and both for the
    commits that the base stands on and `exclude`, a commit, does not reach: none of them where `exclude` is empty or not here.
    Of each commit 64 KiB of its patch are looked at, and no binary files.
    """
    below = _below_base(repository, book, exclude)
    records = {message.sha: message for message in repository.messages(book.tip)}
    below_messages = repository.messages_of(below)
    tried = repository.messages_of(experiment.commit for experiment in book.experiments)
    for sha, message in (below_messages | tried | records).items():
        if _in_text(message.text):
            return sha, MESSAGE
    return _in_patches(repository, _pairs(below_messages) | {e.commit: e.parent for e in book.experiments})


def _below_base(repository: Repository, book: Notebook, exclude: str) -> list[str]:
    known = repository.resolve(exclude) if exclude else None
    return [sha for sha, _, _ in repository.commits_between(known, book.session.base)] if known else []


def _pairs(messages: Mapping[str, CommitMessage]) -> dict[str, str]:
    """commit → first parent of those that have one."""
    return {sha: message.parents[0] for sha, message in messages.items() if message.parents}


def _in_patches(repository: Repository, parents: Mapping[str, str]) -> tuple[str, str] | None:
    rest = iter(parents.items())
    while some := list(itertools.islice(rest, _AT_ONCE)):
        patches = repository.patches([(parent, commit) for commit, parent in some], [])
        for (commit, _), patch in zip(some, patches, strict=True):
            for path, line in _added(patch):
                if _in_text(line):
                    return commit, path
    return None


def _added(patch: str) -> Iterator[tuple[str, str]]:
    """(path, line) of the lines that a patch adds."""
    path, header = "", True
    for line in patch.split("\n"):
        if line.startswith("diff --git "):
            header = True
        elif header and line.startswith("+++ "):
            path = one_line(line.removeprefix("+++ ").removeprefix("b/"))
        elif header and line.startswith("@@ "):
            header = False
        elif not header and line.startswith("+"):
            yield path, line[1:]


def _in_text(text: str) -> bool:
    """`holds_secret`, of a long text piece by piece: what it looks for may cost the square of a line's length."""
    return any(holds_secret(text[start : start + _WINDOW]) for start in range(0, max(1, len(text)), _WINDOW - _OVERLAP))
