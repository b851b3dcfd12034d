"""GitHub's API: what is read of a repository, and what is written to it. The only importer of PyGithub."""

from autoresearch_git.community.github.answers import LimitReachedError
from autoresearch_git.community.github.comments import Comment, CommentWriter, Thread
from autoresearch_git.community.github.outcomes import LostAnswerError, RefusedError
from autoresearch_git.community.github.reader import LARGEST_PAGE, TRIES, Cursor, Page, Reader
from autoresearch_git.community.github.records import Category, Discussion, PullRequest, Target
from autoresearch_git.community.github.writer import LABEL, Writer

__all__ = [
    "LABEL", "LARGEST_PAGE", "TRIES", "Category", "Comment", "CommentWriter", "Cursor", "Discussion", "LimitReachedError",
    "LostAnswerError", "Page", "PullRequest", "Reader", "RefusedError", "Target", "Thread", "Writer",
]  # fmt: skip
