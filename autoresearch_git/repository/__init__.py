"""The one door to git, in verbs of our domain.

Promises that the user's checkout, index, stash and hooks are never touched: hooks are switched off in every call, commits
are made without an index of theirs, refs move by compare-and-swap. What strangers wrote is kept apart, in a store of its own.
"""

from autoresearch_git.repository.bulk import Blob
from autoresearch_git.repository.differences import EMPTY_TREE, ChangedFiles, FileChange
from autoresearch_git.repository.pushing import PushRefusedError
from autoresearch_git.repository.reading import CommitMessage, Reading
from autoresearch_git.repository.remotes import NetworkError, Remote
from autoresearch_git.repository.repository import RefChange, Repository, open_repository
from autoresearch_git.repository.store import RemoteRefs, Store, open_store
from autoresearch_git.repository.worktree import Worktree

__all__ = [
    "EMPTY_TREE", "Blob", "ChangedFiles", "CommitMessage", "FileChange", "NetworkError", "PushRefusedError", "Reading",
    "RefChange", "Remote", "RemoteRefs", "Repository", "Store", "Worktree", "open_repository", "open_store",
]  # fmt: skip
