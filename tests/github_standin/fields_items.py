"""Reading through GraphQL: pull requests, Discussions, their comments, labels, reviews and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from github_standin import git
from github_standin.commits import Commit, Ref, ref_of
from github_standin.fields import field, in_order, page
from github_standin.models import ChangedFile, Comment, Discussion, Json, Pull, Review, User
from github_standin.pagination import connection
from github_standin.repository import Repository

if TYPE_CHECKING:
    from github_standin.graphql_api import Context


@field("*.viewerDidAuthor")
def _did_author(item: Any, context: Context) -> bool:
    return item.author is context.viewer


@field("*.viewerCanUpdate", "*.viewerCanClose", "*.viewerCanReopen")
def _can_update(item: Any, context: Context) -> bool:
    return bool(item.author is context.viewer or item.repository.may(context.token, "triage"))


@field("*.viewerCanLabel")
def _can_label(item: Pull | Discussion, context: Context) -> bool:
    return item.repository.may(context.token, "triage")


@field("PullRequest.labels", "Discussion.labels")
def _labels_of(item: Pull | Discussion, _: Context, **arguments: Any) -> Json:
    return page(item.labels, arguments)


@field("PullRequest.comments", "Discussion.comments")
def _comments(item: Pull | Discussion, _: Context, **arguments: Any) -> Json:
    return page(item.comments, arguments)


@field("DiscussionComment.replies")
def _replies(comment: Comment, _: Context, **arguments: Any) -> Json:
    return page(comment.replies, arguments)


@field("DiscussionComment.discussion")
def _discussion_of(comment: Comment, _: Context) -> Pull | Discussion:
    return comment.subject


@field("IssueComment.pullRequest", "PullRequestReview.pullRequest")
def _pull_of(item: Comment | Review, _: Context) -> Pull | Discussion:
    return item.subject


@field("PullRequest.reviews", "PullRequest.latestReviews")
def _reviews(pull: Pull, _: Context, states: list[str] | None = None, author: str | None = None, **arguments: Any) -> Json:
    wanted = [
        r for r in pull.reviews if (not states or r.state in states) and (author is None or (r.author and r.author.login == author))
    ]
    return page(wanted, arguments)


@field("PullRequest.files")
def _files(pull: Pull, _: Context, **arguments: Any) -> Json:
    return connection(pull.repository.files(pull), lambda file: (file.path,), arguments)


@field("PullRequestChangedFile.viewerViewedState")
def _viewed(_: ChangedFile, __: Context) -> str:
    return "UNVIEWED"


@field("PullRequest.changedFiles")
def _changed_files(pull: Pull, _: Context) -> int:
    return len(pull.repository.files(pull))


@field("PullRequest.additions")
def _additions(pull: Pull, _: Context) -> int:
    return sum(file.additions for file in pull.repository.files(pull))


@field("PullRequest.deletions")
def _deletions(pull: Pull, _: Context) -> int:
    return sum(file.deletions for file in pull.repository.files(pull))


@field("PullRequest.commits")
def _commits(pull: Pull, _: Context, **arguments: Any) -> Json:
    text = git.run(pull.repository.git_dir, "rev-list", "--reverse", f"{pull.base_ref_oid}..{pull.head_ref_oid}")
    rows = [
        {"id": f"PRC_{pull.database_id}_{sha}", "commit": Commit(pull.repository, sha), "pullRequest": pull} for sha in text.split()
    ]
    return in_order(rows, arguments)


@field("PullRequest.closed")
def _closed(pull: Pull, _: Context) -> bool:
    return pull.state != "OPEN"


@field("PullRequest.merged")
def _merged(pull: Pull, _: Context) -> bool:
    return pull.state == "MERGED"


@field("PullRequest.isCrossRepository")
def _is_cross(pull: Pull, _: Context) -> bool:
    return pull.head_repository is not pull.repository


@field("PullRequest.headRef")
def _head_ref(pull: Pull, _: Context) -> Ref | None:
    return ref_of(pull.head_repository, f"refs/heads/{pull.head_ref_name}") if pull.head_repository else None


@field("PullRequest.headRepositoryOwner")
def _head_owner(pull: Pull, _: Context) -> User | None:
    return pull.head_repository.owner if pull.head_repository else None


@field("PullRequest.baseRepository")
def _base_repository(pull: Pull, _: Context) -> Repository:
    return pull.repository
