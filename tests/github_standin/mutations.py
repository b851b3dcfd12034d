"""Writing through GraphQL: input, rule, payload."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from github_standin import rules
from github_standin.errors import Refused, Unknown
from github_standin.models import Category, Comment, Discussion, Json, Label, Pull
from github_standin.repository import Repository

if TYPE_CHECKING:
    from github_standin.graphql_api import Context

Mutation = Callable[["Context", Json], Json]


def resolver(mutation: Mutation) -> Callable[..., Json]:
    def resolve(_: object, context: Context, input: Json) -> Json:
        return {**mutation(context, input), "clientMutationId": input.get("clientMutationId")}

    return resolve


def _find(context: Context, node_id: str, *kinds: type) -> Any:
    return rules.typed_node(context.hub, context.token, node_id, *kinds)


def create_discussion(context: Context, given: Json) -> Json:
    repository: Repository = _find(context, given["repositoryId"], Repository)
    rules.permit(repository, context.token)
    if not repository.has_discussions_enabled:
        raise Refused(410, "Discussions are disabled for this repository", "UNPROCESSABLE")
    category = _category(context, repository, given["categoryId"])
    rules.check_text("Discussion", given["title"], given["body"])
    return {"discussion": repository.add_discussion(given["title"], given["body"], context.viewer, category)}


def _category(context: Context, repository: Repository, node_id: str) -> Category:
    category: Category = _find(context, node_id, Category)
    if category.repository is not repository:
        raise Refused(422, "Category is not of this repository")
    if not rules.may_open_in(category, context.token):
        login, slug = context.viewer.login, category.slug
        raise Refused(403, f"{login} does not have the correct permissions to open a Discussion in {slug}", "FORBIDDEN")
    return category


def update_discussion(context: Context, given: Json) -> Json:
    discussion: Discussion = _find(context, given["discussionId"], Discussion)
    rules.permit_author(discussion, context.token)
    title, body = given.get("title"), given.get("body")
    rules.check_text("Discussion", title, body)
    if given.get("categoryId"):
        discussion.category = _category(context, discussion.repository, given["categoryId"])
    discussion.title = discussion.title if title is None else title
    now = context.hub.now()
    if body is not None and body != discussion.body:
        discussion.body, discussion.last_edited_at = body, now
    discussion.updated_at = now
    return {"discussion": discussion}


def close_discussion(context: Context, given: Json) -> Json:
    discussion: Discussion = _find(context, given["discussionId"], Discussion)
    rules.permit_author(discussion, context.token)
    now = context.hub.now()
    discussion.closed, discussion.closed_at, discussion.updated_at = True, now, now
    discussion.state_reason = given.get("reason") or "RESOLVED"
    return {"discussion": discussion}


def reopen_discussion(context: Context, given: Json) -> Json:
    discussion: Discussion = _find(context, given["discussionId"], Discussion)
    rules.permit_author(discussion, context.token)
    discussion.closed, discussion.closed_at, discussion.state_reason = False, None, "REOPENED"
    discussion.updated_at = context.hub.now()
    return {"discussion": discussion}


def delete_discussion(context: Context, given: Json) -> Json:
    discussion: Discussion = _find(context, given["id"], Discussion)
    rules.permit(discussion.repository, context.token, "maintain")
    del discussion.repository.discussions[discussion.number]
    del context.hub.nodes[discussion.id]
    return {"discussion": discussion}


def add_discussion_comment(context: Context, given: Json) -> Json:
    discussion: Discussion = _find(context, given["discussionId"], Discussion)
    above: Comment | None = _find(context, given["replyToId"], Comment) if given.get("replyToId") else None
    if above and (above.subject is not discussion or above.reply_to):
        raise Refused(422, "Parent comment is already in a thread, cannot reply to it")
    return {"comment": rules.comment(discussion, context.token, given["body"], above)}


def add_comment(context: Context, given: Json) -> Json:
    pull: Pull = _find(context, given["subjectId"], Pull)
    return {"subject": pull, "commentEdge": {"node": rules.comment(pull, context.token, given["body"])}}


def _update_comment(context: Context, node_id: str, body: str) -> Comment:
    comment: Comment = _find(context, node_id, Comment)
    rules.edit_comment(comment, context.token, body)
    return comment


def update_discussion_comment(context: Context, given: Json) -> Json:
    return {"comment": _update_comment(context, given["commentId"], given["body"])}


def update_issue_comment(context: Context, given: Json) -> Json:
    return {"issueComment": _update_comment(context, given["id"], given["body"])}


def add_labels(context: Context, given: Json) -> Json:
    item: Pull | Discussion = _find(context, given["labelableId"], Pull, Discussion)
    rules.permit(item.repository, context.token, "triage")
    for node_id in given["labelIds"]:
        label: Label = _find(context, node_id, Label)
        if label.repository is not item.repository:
            raise Refused(422, "Label is not of this repository")
        if label not in item.labels:
            item.labels.append(label)
    item.updated_at = context.hub.now()
    return {"labelable": item}


def create_pull_request(context: Context, given: Json) -> Json:
    repository: Repository = _find(context, given["repositoryId"], Repository)
    source = _find(context, given["headRepositoryId"], Repository) if given.get("headRepositoryId") else None
    modify = given.get("maintainerCanModify")
    pull = rules.create_pull(repository, context.token, title=given["title"], head=given["headRefName"], base=given["baseRefName"],
                             body=given.get("body") or "", draft=bool(given.get("draft")),
                             maintainer_can_modify=modify is not False, source=source)  # fmt: skip
    return {"pullRequest": pull}


def update_pull_request(context: Context, given: Json) -> Json:
    pull: Pull = _find(context, given["pullRequestId"], Pull)
    known = {"pullRequestId", "clientMutationId", "title", "body", "state", "baseRefName", "maintainerCanModify"}
    if unknown := {name for name, value in given.items() if value is not None} - known:
        raise Unknown(f"the stand-in for GitHub does not update {', '.join(sorted(unknown))} of a pull request")
    rules.edit_pull(pull, context.token, title=given.get("title"), body=given.get("body"), state=given.get("state"),
                    base=given.get("baseRefName"), maintainer_can_modify=given.get("maintainerCanModify"))  # fmt: skip
    return {"pullRequest": pull, "actor": context.viewer}


def close_pull_request(context: Context, given: Json) -> Json:
    pull: Pull = _find(context, given["pullRequestId"], Pull)
    rules.edit_pull(pull, context.token, state="CLOSED")
    return {"pullRequest": pull}


def convert_to_draft(context: Context, given: Json) -> Json:
    pull: Pull = _find(context, given["pullRequestId"], Pull)
    rules.permit_author(pull, context.token, "write")
    if not pull.repository.drafts_allowed:
        raise Refused(422, "Draft pull requests are not supported in this repository.")
    pull.is_draft, pull.updated_at = True, context.hub.now()
    return {"pullRequest": pull}


MUTATIONS: dict[str, Mutation] = {
    "addComment": add_comment,
    "addDiscussionComment": add_discussion_comment,
    "addLabelsToLabelable": add_labels,
    "closeDiscussion": close_discussion,
    "closePullRequest": close_pull_request,
    "convertPullRequestToDraft": convert_to_draft,
    "createDiscussion": create_discussion,
    "createPullRequest": create_pull_request,
    "deleteDiscussion": delete_discussion,
    "reopenDiscussion": reopen_discussion,
    "updateDiscussion": update_discussion,
    "updateDiscussionComment": update_discussion_comment,
    "updateIssueComment": update_issue_comment,
    "updatePullRequest": update_pull_request,
}
