"""GitHub's API: what is read of a repository, and what is written to it. The only importer of PyGithub."""

from autoresearch_git.community.github.answers import LimitReachedError
from autoresearch_git.community.github.reader import LARGEST_PAGE, TRIES, Cursor, Page, Reader

__all__ = ["LARGEST_PAGE", "TRIES", "Cursor", "LimitReachedError", "Page", "Reader"]
