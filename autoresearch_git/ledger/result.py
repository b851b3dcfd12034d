"""The results of a session as one commit on top of its kept chain: the table and the picture that go with its branch."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Status
from autoresearch_git.ledger import notebook, results_tsv
from autoresearch_git.ledger.branch import check_branch, clear_stale_locks
from autoresearch_git.ledger.lock import acquire
from autoresearch_git.ledger.notebook import RESULT_FILES, Notebook
from autoresearch_git.ledger.session import begun_here, folder_of, own_session, uninterrupted
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Repository

Files = Mapping[str, str | bytes]

_TABLE = "results.tsv"
UNMEASURED = "taken on trust, not measured"


def _table(book: Notebook) -> str:
    return results_tsv.render(book.session.metric, book.experiments)


def _message(book: Notebook) -> str:
    metric, first, best = book.session.metric, book.experiments[0], book.incumbent
    assert best
    tried = f"{book.tried} experiment{'s' * (book.tried != 1)}"
    start = f"{first.value or 0:.6f}"
    gained = f"{start} → {best.value:.6f} in {tried}" if best.value is not None else f"{start}, then {UNMEASURED}, in {tried}"
    counts = {status: sum(e.status is status for e in book.experiments) for status in Status}
    return (
        f"results: {one_line(metric.name)} {gained}\n\n"
        f"{counts[Status.KEEP]} kept, {counts[Status.DISCARD]} discarded, {counts[Status.CRASH]} crashed.\n"
        f"Every one of them is a commit in the notebook beside this branch, below {notebook.NAMESPACE}\n"
    )


def result_commit(repository: Repository, book: Notebook, files: Files) -> str:
    """Make the commit that carries the table, and `files` beside it, on top of the incumbent; no ref moves.

    It bears the time of the last experiment, so that the same results make the same commit. Raises AutoresearchError where
    there is no baseline yet.
    """
    if set(files) - set(RESULT_FILES):
        raise ValueError(f"not a file of results: {', '.join(sorted(set(files) - set(RESULT_FILES)))}")
    if book.incumbent is None:
        raise AutoresearchError(f"session {book.session.name} has no baseline yet, so it has no results",
                                f"git autoresearch start --resume --tag {book.session.tag}")  # fmt: skip
    head = book.incumbent.commit
    tree = repository.tree_with(head, {**files, _TABLE: _table(book)})
    return repository.commit_tree(tree, [head], _message(book), book.experiments[-1].seconds_since_epoch)


def is_published(repository: Repository, book: Notebook) -> bool:
    """Whether the branch ends in a result commit that covers every experiment of the notebook."""
    return bool(book.result) and repository.read_file(book.result, _TABLE) == _table(book).encode()


@contextlib.contextmanager
def held(repository: Repository, name: str, mine: bool = False) -> Iterator[Notebook]:
    """The notebook of a session that nobody else works on within the block: its branch stands where the notebook says.

    Raises AutoresearchError where it runs, where it was not begun here and is not `mine`, or where the branch is elsewhere.
    """
    session = own_session(repository, name)
    if not mine and not begun_here(repository, name):
        raise AutoresearchError(f"session {name} was not begun here, so it may be somebody else's",
                                f"if it is yours: git autoresearch publish {name} --mine")  # fmt: skip
    with acquire(folder_of(repository, name), name, "publish, then git autoresearch start --resume"):
        clear_stale_locks(repository, session)
        book = notebook.read(repository, session.notebook)
        whole = is_published(repository, book) and repository.ref_target(session.branch) == book.result
        if not whole:  # where nothing will move, the branch may be checked out
            check_branch(repository, book)
        yield book


def land(repository: Repository, book: Notebook, commit: str) -> Notebook:
    """Let the branch of a session that is `held` end in a result commit, and its notebook say so. Returns the notebook as it is
    then; nothing moves where it ends there already."""
    if book.result == commit:
        return book
    with uninterrupted():
        changes = notebook.append_result(repository, book, commit)
        repository.update_refs(changes, "results")
    return dataclasses.replace(book, tip=changes[0].new, tips=(*book.tips, commit))
