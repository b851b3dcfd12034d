"""REST: pull requests, their comments and labels."""

from __future__ import annotations

from typing import Any

from github_standin import git, rules, shapes
from github_standin.errors import Unknown, invalid, not_found
from github_standin.models import Comment, Discussion, Pull
from github_standin.repository import Repository
from github_standin.routing import Asked, Reply, number_of, paged, route


def _pull(repository: Repository, number: str) -> Pull:
    pull = repository.pulls.get(number_of(number))
    if pull is None:
        raise not_found()
    return pull


@route("GET", "/repos/{owner}/{repo}/pulls")
def list_pulls(asked: Asked, repository: Repository) -> Reply:
    query = asked.query
    state, head, base = query.get("state", "open"), query.get("head"), query.get("base")
    if head and ":" not in head:
        head = None  # GitHub ignores a head without its owner
    found = [
        pull for pull in repository.pulls.values()
        if state in ("all", "open" if pull.state == "OPEN" else "closed")
        and (head is None or head.lower() == pull.head_label.lower()) and base in (None, pull.base_ref_name)
    ]  # fmt: skip
    orders = {"created": lambda p: (p.created_at, p.number), "updated": lambda p: (p.updated_at, p.number)}
    sort = query.get("sort", "created")
    if sort not in orders:
        raise Unknown(f"the stand-in for GitHub does not sort pull requests by {sort}")
    falling = query.get("direction", "desc" if sort == "created" and "sort" not in query else "asc") == "desc"
    found.sort(key=orders[sort], reverse=falling)
    return paged(asked, found, lambda pull: shapes.pull(asked.url, pull, asked.token))


@route("POST", "/repos/{owner}/{repo}/pulls")
def create_pull(asked: Asked, repository: Repository) -> Reply:
    given = asked.input
    if "issue" in given or "head_repo" in given:
        raise Unknown("the stand-in for GitHub opens pull requests only from head, base and title")
    for name in ("title", "head", "base"):
        if not isinstance(given.get(name), str):
            raise invalid("PullRequest", f"{name} is missing", name, "missing_field")
    modify = given.get("maintainer_can_modify", True)
    pull = rules.create_pull(repository, asked.token, title=given["title"], head=given["head"], base=given["base"],
                             body=given.get("body") or "", draft=bool(given.get("draft")), maintainer_can_modify=modify)  # fmt: skip
    return Reply(shapes.pull(asked.url, pull, asked.token, full=True), 201)


@route("GET", "/repos/{owner}/{repo}/pulls/{number}")
def get_pull(asked: Asked, repository: Repository, number: str) -> Reply:
    return Reply(shapes.pull(asked.url, _pull(repository, number), asked.token, full=True))


@route("PATCH", "/repos/{owner}/{repo}/pulls/{number}")
def edit_pull(asked: Asked, repository: Repository, number: str) -> Reply:
    pull, given = _pull(repository, number), asked.input
    state = given.get("state")
    if state not in (None, "open", "closed"):
        raise invalid("PullRequest", "state is invalid", "state", "invalid")
    rules.edit_pull(pull, asked.token, title=given.get("title"), body=given.get("body"), state=state and state.upper(),
                    base=given.get("base"), maintainer_can_modify=given.get("maintainer_can_modify"))  # fmt: skip
    return Reply(shapes.pull(asked.url, pull, asked.token, full=True))


@route("GET", "/repos/{owner}/{repo}/pulls/{number}/files")
def list_pull_files(asked: Asked, repository: Repository, number: str) -> Reply:
    pull = _pull(repository, number)
    return paged(asked, list(repository.files(pull)), lambda file: shapes.file(asked.url, pull.repository, pull.head_ref_oid, file))


@route("GET", "/repos/{owner}/{repo}/pulls/{number}/commits")
def list_pull_commits(asked: Asked, repository: Repository, number: str) -> Reply:
    pull = _pull(repository, number)
    shas = git.run(repository.git_dir, "rev-list", "--reverse", f"{pull.base_ref_oid}..{pull.head_ref_oid}").split()
    return paged(asked, shas, lambda sha: shapes.commit(asked.url, repository, sha))


@route("GET", "/repos/{owner}/{repo}/issues/{number}")
def get_issue(asked: Asked, repository: Repository, number: str) -> Reply:
    return Reply(shapes.issue(asked.url, _pull(repository, number)))


@route("GET", "/repos/{owner}/{repo}/issues/{number}/comments")
def list_comments(asked: Asked, repository: Repository, number: str) -> Reply:
    return paged(asked, _pull(repository, number).comments, lambda comment: shapes.comment(asked.url, comment))


@route("POST", "/repos/{owner}/{repo}/issues/{number}/comments")
def create_comment(asked: Asked, repository: Repository, number: str) -> Reply:
    made = rules.comment(_pull(repository, number), asked.token, str(asked.input.get("body") or ""))
    return Reply(shapes.comment(asked.url, made), 201)


def _comment(asked: Asked, repository: Repository, number: str) -> Comment:
    found = asked.hub.by_database_id.get(number_of(number))
    if not isinstance(found, Comment) or found.repository is not repository or isinstance(found.subject, Discussion):
        raise not_found()
    return found


@route("GET", "/repos/{owner}/{repo}/issues/comments/{number}")
def get_comment(asked: Asked, repository: Repository, number: str) -> Reply:
    return Reply(shapes.comment(asked.url, _comment(asked, repository, number)))


@route("PATCH", "/repos/{owner}/{repo}/issues/comments/{number}")
def edit_comment(asked: Asked, repository: Repository, number: str) -> Reply:
    comment = _comment(asked, repository, number)
    rules.edit_comment(comment, asked.token, str(asked.input.get("body") or ""))
    return Reply(shapes.comment(asked.url, comment))


@route("GET", "/repos/{owner}/{repo}/labels")
def list_labels(asked: Asked, repository: Repository) -> Reply:
    return paged(asked, list(repository.labels.values()), lambda label: shapes.label(asked.url, label))


@route("POST", "/repos/{owner}/{repo}/labels")
def create_label(asked: Asked, repository: Repository) -> Reply:
    given = asked.input
    rules.permit(repository, asked.token, "write")
    if given.get("name") in repository.labels:
        raise invalid("Label", "name already exists", "name", "already_exists")
    if not given.get("name"):
        raise invalid("Label", "name is missing", "name", "missing_field")
    made = repository.label(str(given["name"]), str(given.get("color", "ededed")), given.get("description"))
    return Reply(shapes.label(asked.url, made), 201)


@route("GET", "/repos/{owner}/{repo}/labels/{name}")
def get_label(asked: Asked, repository: Repository, name: str) -> Reply:
    if name not in repository.labels:
        raise not_found()
    return Reply(shapes.label(asked.url, repository.labels[name]))


@route("GET", "/repos/{owner}/{repo}/issues/{number}/labels")
def list_labels_of(asked: Asked, repository: Repository, number: str) -> Reply:
    return paged(asked, _pull(repository, number).labels, lambda label: shapes.label(asked.url, label))


def _named_labels(asked: Asked, repository: Repository) -> list[Any]:
    rules.permit(repository, asked.token, "triage")
    given = asked.json if isinstance(asked.json, list) else asked.input.get("labels", [])
    names = [name["name"] if isinstance(name, dict) else str(name) for name in given]
    return [repository.labels.get(name) or repository.label(name) for name in dict.fromkeys(names)]


@route("POST", "/repos/{owner}/{repo}/issues/{number}/labels")
def add_labels(asked: Asked, repository: Repository, number: str) -> Reply:
    pull = _pull(repository, number)
    pull.labels += [label for label in _named_labels(asked, repository) if label not in pull.labels]
    pull.updated_at = asked.hub.now()
    return Reply([shapes.label(asked.url, label) for label in pull.labels])


@route("PUT", "/repos/{owner}/{repo}/issues/{number}/labels")
def set_labels(asked: Asked, repository: Repository, number: str) -> Reply:
    pull = _pull(repository, number)
    pull.labels = _named_labels(asked, repository)
    pull.updated_at = asked.hub.now()
    return Reply([shapes.label(asked.url, label) for label in pull.labels])
