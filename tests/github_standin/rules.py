"""GitHub's rules for writing, asked by REST and GraphQL alike: rights, limits of length, pull requests and forks.

Everything here is our reading of GitHub's documentation.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from github_standin import git
from github_standin.errors import Refused, Unknown, invalid, not_found
from github_standin.models import Category, Comment, Discussion, Label, Pull, Review, Token, User
from github_standin.repository import Repository

if TYPE_CHECKING:
    from github_standin.hub import GitHub

LONGEST_BODY = 65_536
LONGEST_TITLE = 256


def iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def path_of(thing: Any) -> str:
    """The path of its web page."""
    if isinstance(thing, User):
        return f"/{thing.login}"
    if isinstance(thing, Repository):
        return f"/{thing.name_with_owner}"
    if isinstance(thing, Pull):
        return f"/{thing.repository.name_with_owner}/pull/{thing.number}"
    if isinstance(thing, Discussion):
        return f"/{thing.repository.name_with_owner}/discussions/{thing.number}"
    if isinstance(thing, Review):
        return f"{path_of(thing.subject)}#pullrequestreview-{thing.database_id}"
    if isinstance(thing, Comment):
        kind = "issuecomment" if isinstance(thing.subject, Pull) else "discussioncomment"
        return f"{path_of(thing.subject)}#{kind}-{thing.database_id}"
    if isinstance(thing, Label):
        return f"/{thing.repository.name_with_owner}/labels/{thing.name}"
    if getattr(thing, "graphql_type", "") == "Commit":
        return f"/{thing.repository.name_with_owner}/commit/{thing.oid}"
    raise Unknown(f"the stand-in for GitHub knows no address of a {type(thing).__name__}")


# -- rights -----------------------------------------------------------------------------------------------------


def node(hub: GitHub, token: Token | None, node_id: str) -> Any:
    """What an id names. Raises Refused where there is nothing that the token may see."""
    thing = hub.nodes.get(node_id)
    repository = thing if isinstance(thing, Repository) else getattr(thing, "repository", None)
    if thing is None or (repository is not None and not repository.may(token, "read")):
        raise Refused(404, f"Could not resolve to a node with the global id of '{node_id}'", "NOT_FOUND")
    return thing


def typed_node(hub: GitHub, token: Token | None, node_id: str, *kinds: type) -> Any:
    thing = node(hub, token, node_id)
    if not isinstance(thing, kinds):
        raise Refused(404, f"Could not resolve to {kinds[0].__name__} node with the global id of '{node_id}'.", "NOT_FOUND")
    return thing


def permit(repository: Repository, token: Token | None, level: str = "read") -> Token:
    """Raises Refused unless the token may write where `level` is needed. `read` is enough to comment."""
    if token is None:
        raise Refused(401, "Requires authentication", "FORBIDDEN")
    if not repository.may(token, "read"):
        raise not_found()
    if token.fine_grained and repository.owner is not token.user:
        raise Refused(403, "Resource not accessible by personal access token", "FORBIDDEN")
    if not token.covers(repository.is_private):
        scopes = ", ".join(token.scopes or ())
        message = f"Your token has not been granted the required scopes: ['public_repo'] is needed, it has only: [{scopes}]."
        raise Refused(404, message, "INSUFFICIENT_SCOPES")
    if repository.is_archived:
        raise Refused(403, "Repository was archived so is read-only.", "FORBIDDEN")
    if not repository.may(token, level):
        message = f"{token.user.login} does not have the correct permissions in {repository.name_with_owner}: {level} is needed."
        raise Refused(403, message, "FORBIDDEN")
    return token


def permit_discussions(token: Token) -> None:
    """Raises Refused unless the token may read Discussions."""
    if not token.discussions:
        raise Refused(403, "Resource not accessible by personal access token", "FORBIDDEN")


def permit_author(item: Pull | Discussion | Comment, token: Token | None, level: str = "triage") -> None:
    """Authors may change what they wrote; others need `level`."""
    permit(item.repository, token, "read" if token and item.author is token.user else level)


def may_open_in(category: Category, token: Token | None) -> bool:
    return category.repository.may(token, "maintain" if category.announcement else "read")


def check_text(resource: str, title: str | None = None, body: str | None = None) -> None:
    """Raises Refused for a title or a body that GitHub would not take; None is not asked about."""
    if title is not None and not title.strip():
        raise invalid(resource, "Title can't be blank", "title", "missing_field")
    if title is not None and len(title) > LONGEST_TITLE:
        raise invalid(resource, f"title is too long (maximum is {LONGEST_TITLE} characters)", "title")
    if body is not None and len(body) > LONGEST_BODY:
        raise invalid(resource, f"body is too long (maximum is {LONGEST_BODY} characters)", "body")


# -- pull requests ----------------------------------------------------------------------------------------------


def _root(repository: Repository) -> Repository:
    return _root(repository.parent) if repository.parent else repository


def _head(repository: Repository, token: Token, head: str) -> tuple[Repository, str]:
    """(repository, branch) of `branch` or `user:branch`."""
    owner, colon, branch = head.rpartition(":")
    if not colon or owner.lower() == repository.owner.login.lower():
        return repository, branch
    for other in repository.hub.repositories.values():
        if other.owner.login.lower() == owner.lower() and _root(other) is _root(repository) and other.may(token, "read"):
            return other, branch
    raise invalid("PullRequest", f"head {head} is invalid", "head", "invalid")


def create_pull(repository: Repository, token: Token | None, *, title: str, head: str, base: str, body: str = "",
                draft: bool = False, maintainer_can_modify: bool = True, source: Repository | None = None) -> Pull:  # fmt: skip
    """Open a pull request. `head` is `branch` or `user:branch`, or a branch of `source` where that is given."""
    token = permit(repository, token)
    check_text("PullRequest", title, body)
    head_repository, branch = (source, head) if source else _head(repository, token, head)
    base_sha = git.resolve(repository.git_dir, f"refs/heads/{base}")
    head_sha = git.resolve(head_repository.git_dir, f"refs/heads/{branch}")
    if base_sha is None or head_sha is None:
        wrong = "base" if base_sha is None else "head"
        raise invalid("PullRequest", f"{wrong} is invalid", wrong, "invalid")
    if not head_repository.may(token, "write") and not repository.may(token, "write"):
        raise Refused(403, "You must have write access to the head or the source branch.", "FORBIDDEN")
    _refuse_second(repository, head_repository, branch, base)
    if draft and not repository.drafts_allowed:
        raise Refused(422, "Draft pull requests are not supported in this repository.")
    if not _has_new_commits(repository, head_repository, base_sha, head_sha):
        raise invalid("PullRequest", f"No commits between {base} and {head if ':' in head else branch}")
    if not git.run(repository.git_dir, "merge-base", base_sha, head_sha, check=False):
        raise invalid("PullRequest", f"The {head if ':' in head else branch} branch has no history in common with {base}")
    pull = repository.add_pull(title, body, token.user, head_repository, branch, head_sha, base, draft)
    pull.maintainer_can_modify = maintainer_can_modify
    return pull


def _refuse_second(repository: Repository, source: Repository, branch: str, base: str) -> None:
    for pull in repository.pulls.values():
        same = pull.head_repository is source and (pull.head_ref_name, pull.base_ref_name) == (branch, base)
        if same and pull.state == "OPEN":
            raise invalid("PullRequest", f"A pull request already exists for {source.owner.login}:{branch}.")


def _has_new_commits(repository: Repository, source: Repository, base: str, head: str) -> bool:
    repository.take(source, head)
    return git.run(repository.git_dir, "rev-list", "--max-count=1", f"{base}..{head}") != ""


def edit_pull(pull: Pull, token: Token | None, *, title: str | None = None, body: str | None = None, state: str | None = None,
              base: str | None = None, maintainer_can_modify: bool | None = None) -> None:  # fmt: skip
    """Change what is given. `state` is OPEN or CLOSED."""
    permit_author(pull, token)
    check_text("PullRequest", title, body)
    if base is not None and base != pull.base_ref_name:
        if git.resolve(pull.repository.git_dir, f"refs/heads/{base}") is None:
            raise invalid("PullRequest", "base is invalid", "base", "invalid")
        pull.base_ref_name, pull.base_ref_oid, pull.known_files = base, pull.repository.base_oid(base), None
    if state is not None and state != pull.state:
        set_state(pull, state)
    if body is not None and body != pull.body:
        pull.last_edited_at = pull.repository.hub.now()
    pull.title, pull.body = title if title is not None else pull.title, body if body is not None else pull.body
    if maintainer_can_modify is not None:
        pull.maintainer_can_modify = maintainer_can_modify
    pull.updated_at = pull.repository.hub.now()


def set_state(pull: Pull, state: str) -> None:
    if pull.state == "MERGED":
        raise invalid("PullRequest", "state cannot be changed. The pull request was merged.", "state")
    there = pull.head_repository and git.resolve(pull.head_repository.git_dir, f"refs/heads/{pull.head_ref_name}")
    if state == "OPEN" and not there:
        raise invalid("PullRequest", f"state cannot be changed. The {pull.head_ref_name} branch has been deleted.", "state")
    if state == "OPEN" and pull.head_repository:
        _refuse_second(pull.repository, pull.head_repository, pull.head_ref_name, pull.base_ref_name)
    pull.state = state
    pull.closed_at = None if state == "OPEN" else pull.repository.hub.now()
    if there and state == "OPEN":
        pull.repository.move_head(pull, there)


def follow_push(repository: Repository, before: dict[str, str]) -> None:
    """What GitHub does after a push: heads follow their branch, pull requests close or turn out to be merged."""
    after = repository.refs("refs/heads")
    moved = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    now = repository.hub.now()
    repository.pushed_at = repository.updated_at = now
    for other in repository.hub.repositories.values():
        for pull in other.pulls.values():
            if pull.state == "OPEN" and pull.head_repository is repository and f"refs/heads/{pull.head_ref_name}" in moved:
                _follow(pull, after.get(f"refs/heads/{pull.head_ref_name}"), now)
    for name in moved & after.keys():
        _notice_merges(repository, name, after[name], now)


def _follow(pull: Pull, sha: str | None, now: str) -> None:
    pull.updated_at = now
    if sha is None:
        pull.state, pull.closed_at = "CLOSED", now
        return
    pull.repository.move_head(pull, sha)
    pull.base_ref_oid = pull.repository.base_oid(pull.base_ref_name)


def _notice_merges(repository: Repository, base: str, sha: str, now: str) -> None:
    waiting = {f"refs/pull/{p.number}/head": p for p in repository.pulls.values() if p.state == "OPEN"}
    if not any(f"refs/heads/{pull.base_ref_name}" == base for pull in waiting.values()):
        return
    merged = git.run(repository.git_dir, "for-each-ref", f"--merged={sha}", "--format=%(refname)", "refs/pull").split()
    for name in merged:
        pull = waiting.get(name)
        if pull and f"refs/heads/{pull.base_ref_name}" == base:
            pull.state, pull.merged_at, pull.closed_at, pull.updated_at = "MERGED", now, now, now


# -- comments ---------------------------------------------------------------------------------------------------


def comment(subject: Pull | Discussion, token: Token | None, body: str, reply_to: Comment | None = None) -> Comment:
    token = permit(subject.repository, token)
    if subject.locked and not subject.repository.may(token, "write"):
        raise Refused(403, "Unable to create comment because issue is locked.")
    _check_comment(body)
    return subject.repository.add_comment(subject, token.user, body, reply_to)


def edit_comment(comment: Comment, token: Token | None, body: str) -> None:
    permit_author(comment, token, "write")
    _check_comment(body)
    comment.body, comment.updated_at = body, comment.repository.hub.now()
    comment.subject.updated_at = comment.updated_at


def _check_comment(body: str) -> None:
    if not body.strip():
        raise invalid("IssueComment", "body can't be blank", "body", "missing_field")
    check_text("IssueComment", body=body)


# -- forks ------------------------------------------------------------------------------------------------------


def fork(repository: Repository, token: Token | None, name: str | None = None, default_branch_only: bool = False) -> Repository:
    """The user's fork, made where there is none."""
    token = permit(repository, token)
    hub = repository.hub
    for other in hub.repositories.values():
        if other.owner is token.user and other.is_fork and _root(other) is _root(repository):
            return other
    if repository.owner is token.user or not repository.forking_allowed:
        raise Refused(403, "The repository exists, but forking is disabled.", "FORBIDDEN")
    wanted = free = name or repository.name
    count = 0
    while hub.find(token.user.login, free):
        count += 1
        free = f"{wanted}-{count}"
    made = hub.add_repository(token.user, free, parent=repository, private=repository.is_private)
    refs = [f"refs/heads/{repository.default_branch}"] if default_branch_only else ["refs/heads/*"]
    made.import_from(repository.git_dir, [f"+{ref}:{ref}" for ref in refs])
    made.unready = repository.fork_latency
    return made


def merge_upstream(repository: Repository, token: Token | None, branch: str) -> tuple[str, str]:
    """Bring a fork's branch up to its parent's; (merge type, parent's branch)."""
    permit(repository, token, "write")
    parent = repository.parent
    theirs = git.resolve(parent.git_dir, f"refs/heads/{branch}") if parent else None
    if parent is None or theirs is None:
        raise Refused(422, f"{repository.name_with_owner} has no upstream branch {branch}")
    name, ref = f"{parent.owner.login}:{branch}", f"refs/heads/{branch}"
    before = repository.refs("refs/heads")
    ours = before.get(ref)
    if ours and git.succeeds(repository.git_dir, "merge-base", "--is-ancestor", theirs, ours):
        return "none", name
    if ours and not git.succeeds(repository.git_dir, "merge-base", "--is-ancestor", ours, theirs):
        raise Unknown("the stand-in for GitHub only fast-forwards a fork")
    repository.import_from(parent.git_dir, [f"+{ref}:{ref}"])
    follow_push(repository, before)
    return "fast-forward", name
