"""What a repository on GitHub holds: people, pull requests, Discussions. Plain records, no I/O.

Attributes carry GitHub's field names in snake case, so that GraphQL can read most of them without a resolver. Times are
ISO strings in UTC, which sort as text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from github_standin.repository import Repository

LEVELS = ("none", "read", "triage", "write", "maintain", "admin")


@dataclass(eq=False)
class User:
    graphql_type: ClassVar[str] = "User"
    id: str
    database_id: int
    login: str
    created_at: str
    name: str | None = None
    email: str = ""


@dataclass(frozen=True)
class Token:
    """What a secret stands for. `scopes` is None for a fine-grained token and for an app's, which have no scopes.

    A fine-grained token writes only to repositories that its owner owns, and reads Discussions where it was given that right.
    """

    user: User
    scopes: tuple[str, ...] | None
    number: int
    app: bool = False
    discussions: bool = True

    @property
    def fine_grained(self) -> bool:
        return self.scopes is None and not self.app

    def covers(self, private: bool) -> bool:
        """Whether a classic token's scopes allow writing to a repository."""
        return self.scopes is None or "repo" in self.scopes or (not private and "public_repo" in self.scopes)


@dataclass(eq=False)
class Label:
    graphql_type: ClassVar[str] = "Label"
    id: str
    database_id: int
    repository: Repository
    name: str
    color: str
    description: str | None
    created_at: str
    updated_at: str
    is_default: bool = False


@dataclass(eq=False)
class Category:
    graphql_type: ClassVar[str] = "DiscussionCategory"
    id: str
    repository: Repository
    name: str
    slug: str
    emoji: str
    description: str | None
    is_answerable: bool
    created_at: str
    updated_at: str
    announcement: bool = False  # only who maintains the repository may open a Discussion here


@dataclass(eq=False)
class Comment:
    """A comment on a pull request, or on a Discussion, where it may have replies."""

    id: str
    database_id: int
    subject: Pull | Discussion
    author: User | None
    body: str
    created_at: str
    updated_at: str
    reply_to: Comment | None = None
    replies: list[Comment] = field(default_factory=list)
    is_minimized: bool = False
    minimized_reason: str | None = None

    @property
    def graphql_type(self) -> str:
        return "IssueComment" if isinstance(self.subject, Pull) else "DiscussionComment"

    @property
    def repository(self) -> Repository:
        return self.subject.repository


@dataclass(eq=False)
class Review:
    graphql_type: ClassVar[str] = "PullRequestReview"
    id: str
    database_id: int
    subject: Pull
    author: User | None
    body: str
    state: str
    created_at: str
    updated_at: str

    @property
    def repository(self) -> Repository:
        return self.subject.repository


@dataclass(frozen=True)
class ChangedFile:
    graphql_type: ClassVar[str] = "PullRequestChangedFile"
    path: str
    change_type: str  # ADDED, MODIFIED, DELETED
    additions: int
    deletions: int


@dataclass(eq=False)
class Pull:
    graphql_type: ClassVar[str] = "PullRequest"
    id: str
    database_id: int
    repository: Repository
    number: int
    title: str
    body: str
    author: User | None
    state: str  # OPEN, CLOSED, MERGED
    is_draft: bool
    created_at: str
    updated_at: str
    head_repository: Repository | None  # None: deleted since
    head_owner: str
    head_ref_name: str
    head_ref_oid: str
    base_ref_name: str
    base_ref_oid: str
    closed_at: str | None = None
    merged_at: str | None = None
    maintainer_can_modify: bool = True
    last_edited_at: str | None = None
    locked: bool = False
    comments: list[Comment] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    known_files: tuple[ChangedFile, ...] | None = None  # spares a bulk filling one `git diff` each

    @property
    def head_label(self) -> str:
        return f"{self.head_owner}:{self.head_ref_name}"


@dataclass(eq=False)
class Discussion:
    graphql_type: ClassVar[str] = "Discussion"
    id: str
    database_id: int
    repository: Repository
    number: int
    title: str
    body: str
    author: User | None
    category: Category
    created_at: str
    updated_at: str
    closed: bool = False
    closed_at: str | None = None
    state_reason: str | None = None
    last_edited_at: str | None = None
    locked: bool = False
    upvote_count: int = 1
    comments: list[Comment] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    @property
    def is_answered(self) -> bool | None:
        return False if self.category.is_answerable else None


Json = dict[str, Any]
