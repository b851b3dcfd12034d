"""The results of a session as one commit on top of its kept chain: the table and the picture that go with its branch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Session, Status
from autoresearch_git.ledger import notebook, results_tsv
from autoresearch_git.ledger.branch import check_branch, clear_stale_locks
from autoresearch_git.ledger.lock import acquire, holder
from autoresearch_git.ledger.notebook import RESULT_FILES, Notebook
from autoresearch_git.ledger.session import begun_here, folder_of, own_session, uninterrupted
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Repository

Files = Mapping[str, str | bytes]

_TABLE = "results.tsv"


def _table(book: Notebook) -> str:
    return results_tsv.render(book.session.metric, book.experiments)


def _message(book: Notebook) -> str:
    metric, first, best = book.session.metric, book.experiments[0], book.incumbent
    assert best
    gained = f"{first.value or 0:.6f} → {best.value or 0:.6f} in {book.tried} experiment{'s' * (book.tried != 1)}"
    counts = {status: sum(e.status is status for e in book.experiments) for status in Status}
    return (
        f"results: {one_line(metric.name)} {gained}\n\n"
        f"{counts[Status.KEEP]} kept, {counts[Status.DISCARD]} discarded, {counts[Status.CRASH]} crashed.\n"
        f"Every one of them is a commit: {book.session.notebook}\n"
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


def check(repository: Repository, name: str, mine: bool = False) -> Session:
    """The session, if it may be published now. Raises AutoresearchError where it runs, or may be somebody else's."""
    session = own_session(repository, name)
    if not mine and not begun_here(repository, name):
        raise AutoresearchError(f"session {name} was not begun here, so it may be somebody else's",
                                f"if it is yours: git autoresearch publish {name} --mine")  # fmt: skip
    working = holder(folder_of(repository, name))
    if working:
        raise AutoresearchError(f"session {name} is being worked on by {working}",
                                f"git autoresearch stop {name}, publish, then git autoresearch start --resume")  # fmt: skip
    return session


def publish_result(repository: Repository, name: str, make: Callable[[Notebook], Files], mine: bool = False) -> Notebook:
    """Let the session's branch end in a commit of its results, and its notebook say so. Returns the notebook as it is then.

    `make` gives the files beside the table; it is not called where nothing is new. The session must not run, and must have
    been begun here, or be `mine`. Raises AutoresearchError.
    """
    session = check(repository, name, mine)
    with acquire(folder_of(repository, name), name, "publish, then git autoresearch start --resume"):
        clear_stale_locks(repository, session)
        book = notebook.read(repository, session.notebook)
        done = is_published(repository, book)
        if done and repository.ref_target(session.branch) == book.result:
            return book  # nothing moves, so the branch may be checked out
        check_branch(repository, book)
        return book if done else _publish(repository, book, make)


def _publish(repository: Repository, book: Notebook, make: Callable[[Notebook], Files]) -> Notebook:
    commit = result_commit(repository, book, make(book) if book.incumbent else {})
    with uninterrupted():
        changes = notebook.append_result(repository, book, commit)
        repository.update_refs(changes, "results")
    return dataclasses.replace(book, tip=changes[0].new, tips=(*book.tips, commit))
