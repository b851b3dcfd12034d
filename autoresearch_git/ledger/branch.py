"""Where a session's branch must stand: where its notebook says that it ends."""

from __future__ import annotations

from pathlib import Path

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Session
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.repository import RefChange, Repository


def clear_stale_locks(repository: Repository, session: Session) -> None:
    """Free the session's refs of a git that was killed. Only the holder of the session's lock may call this."""
    for ref in (session.notebook, session.branch):
        Path(repository.common_dir, ref + ".lock").unlink(missing_ok=True)


def check_branch(repository: Repository, book: Notebook) -> None:
    """Raise AutoresearchError where the branch is not where the notebook says, or a checkout of the user's would feel it move.

    git moves the refs of one transaction one after the other: a kill between two leaves the branch one step behind, and it is
    moved on here. One that is missing (a fetched notebook) is made again.
    """
    branch = book.session.branch
    short = branch.removeprefix("refs/heads/")
    user = repository.checked_out_at(branch)
    if user:
        raise AutoresearchError(f"branch {short} is checked out at {user}; it would move under your feet",
                                f"git -C {user} checkout --detach")  # fmt: skip
    found = repository.ref_target(branch) or ""
    expected, before = book.branch_tip, book.tips[-2:-1]
    if found == expected:
        return
    if expected and found in ("", *before):
        repository.update_refs([RefChange(branch, expected, found or None)], "resume")
        return
    raise AutoresearchError(
        f"{short} is at {found[:10]}, not at {'its results' if book.result else 'the last kept experiment'}",
        f"git update-ref {branch} {expected} puts it back" if expected else f"git branch -m {short} <another name>",
    )
