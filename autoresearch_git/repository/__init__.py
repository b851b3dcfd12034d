"""The one door to git, in verbs of our domain.

Promises that the user's checkout, index, stash and hooks are never touched: hooks are switched off in every call, commits
are made without an index of theirs, refs move by compare-and-swap. What strangers wrote is kept apart, in a store of its own.
"""

from autoresearch_git.repository.reading import CommitMessage, Reading
from autoresearch_git.repository.repository import RefChange, Repository, open_repository
from autoresearch_git.repository.worktree import Worktree

__all__ = ["CommitMessage", "Reading", "RefChange", "Repository", "Worktree", "open_repository"]
