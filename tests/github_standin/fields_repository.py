"""Reading through GraphQL: the root, users, repositories and their refs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from github_standin import git, rules
from github_standin.commits import Commit, Ref, ref_of
from github_standin.errors import Refused, Unknown
from github_standin.fields import field, in_order, page
from github_standin.models import Discussion, Json, Label, Pull, User
from github_standin.repository import Repository

if TYPE_CHECKING:
    from github_standin.graphql_api import Context


@field("Query.viewer")
def _viewer(_: object, context: Context) -> User:
    return context.viewer


@field("Query.user", "Query.repositoryOwner")
def _user(_: object, context: Context, login: str) -> User:
    user = context.hub.users.get(login.lower())
    if user is None:
        raise Refused(404, f"Could not resolve to a User with the login of '{login}'.", "NOT_FOUND")
    return user


@field("Query.repository")
def _repository(_: object, context: Context, owner: str, name: str, **__: Any) -> Repository:
    repository = context.hub.find(owner, name)
    if repository is None or not repository.may(context.token, "read"):
        raise Refused(404, f"Could not resolve to a Repository with the name '{owner}/{name}'.", "NOT_FOUND")
    return repository


@field("Query.node")
def _node(_: object, context: Context, id: str) -> Any:
    return rules.node(context.hub, context.token, id)


@field("Query.nodes")
def _nodes(_: object, context: Context, ids: list[str]) -> list[Any]:
    return [rules.node(context.hub, context.token, one) for one in ids]


@field("Query.rateLimit")
def _rate_limit(_: object, context: Context, **__: Any) -> Json:
    window = context.window
    numbers = {"limit": window.limit, "remaining": window.remaining, "used": window.used}
    reset = rules.iso(window.reset)
    return {**numbers, "resetAt": reset, "cost": context.cost.points, "nodeCount": context.cost.nodes}


@field("User.isViewer")
def _is_viewer(user: User, context: Context) -> bool:
    return user is context.viewer


@field("User.repository")
def _user_repository(user: User, context: Context, name: str, **__: Any) -> Repository | None:
    found = context.hub.find(user.login, name)
    return found if found and found.may(context.token, "read") else None


@field("User.repositoryDiscussions")
def _user_discussions(user: User, context: Context, repositoryId: str | None = None, states: list[str] | None = None,
                      answered: bool | None = None, **arguments: Any) -> Json:  # fmt: skip
    rules.permit_discussions(context.token)
    visible = [r for r in context.hub.repositories.values() if r.may(context.token, "read") and repositoryId in (None, r.id)]
    mine = [d for r in visible for d in r.discussions.values() if d.author is user]
    return page(_discussions_that(mine, states, answered), arguments)


@field("User.pullRequests")
def _user_pulls(user: User, context: Context, **arguments: Any) -> Json:
    visible = [r for r in context.hub.repositories.values() if r.may(context.token, "read")]
    return page(_pulls_that([p for r in visible for p in r.pulls.values() if p.author is user], arguments), arguments)


@field("*.url", "*.permalink")
def _url(source: Any, context: Context) -> str:
    return context.url + rules.path_of(source)


@field("*.resourcePath")
def _resource_path(source: Any, _: Context) -> str:
    return rules.path_of(source)


@field("*.databaseId")
def _database_id(source: Any, _: Context) -> int:
    return int(source.database_id)


@field("*.fullDatabaseId")
def _full_database_id(source: Any, _: Context) -> str:
    return str(source.database_id)


@field("Repository.viewerPermission")
def _viewer_permission(repository: Repository, context: Context) -> str | None:
    level = repository.level(context.viewer)
    return None if level == "none" else level.upper()


@field("Repository.viewerCanAdminister")
def _can_administer(repository: Repository, context: Context) -> bool:
    return repository.may(context.token, "admin")


@field("Repository.visibility")
def _visibility(repository: Repository, _: Context) -> str:
    return "PRIVATE" if repository.is_private else "PUBLIC"


@field("Repository.sshUrl")
def _ssh_url(repository: Repository, _: Context) -> str:
    return f"git@127.0.0.1:{repository.name_with_owner}.git"


@field("Repository.isEmpty")
def _is_empty(repository: Repository, _: Context) -> bool:
    return not repository.refs("refs/heads")


@field("Repository.forkCount")
def _fork_count(repository: Repository, context: Context) -> int:
    return sum(other.parent is repository for other in context.hub.repositories.values())


@field("Repository.pullRequests", "Label.pullRequests")
def _pulls(source: Repository | Label, _: Context, **arguments: Any) -> Json:
    pulls: Iterable[Pull] = source.pulls.values() if isinstance(source, Repository) else source.repository.pulls.values()
    if isinstance(source, Label):
        pulls = [pull for pull in pulls if source in pull.labels]
    return page(_pulls_that(pulls, arguments), arguments)


def _pulls_that(pulls: Iterable[Pull], arguments: dict[str, Any]) -> list[Pull]:
    states, labels = arguments.get("states") or (), set(arguments.get("labels") or ())
    head, base = arguments.get("headRefName"), arguments.get("baseRefName")
    if not (states or labels or head or base):
        return list(pulls)
    return [
        p for p in pulls
        if (not states or p.state in states) and head in (None, p.head_ref_name) and base in (None, p.base_ref_name)
        and (not labels or labels & {label.name for label in p.labels})
    ]  # fmt: skip


@field("Repository.pullRequest")
def _pull(repository: Repository, _: Context, number: int) -> Pull:
    if number not in repository.pulls:
        raise Refused(404, f"Could not resolve to a PullRequest with the number of {number}.", "NOT_FOUND")
    return repository.pulls[number]


@field("Repository.discussions")
def _discussions(repository: Repository, context: Context, states: list[str] | None = None, answered: bool | None = None,
                 categoryId: str | None = None, **arguments: Any) -> Json:  # fmt: skip
    rules.permit_discussions(context.token)
    shown = repository.discussions.values() if repository.has_discussions_enabled else ()
    found = _discussions_that(shown, states, answered)
    return page([d for d in found if d.category.id == categoryId] if categoryId else found, arguments)


def _discussions_that(items: Iterable[Discussion], states: list[str] | None, answered: bool | None) -> list[Discussion]:
    if not states and answered is None:
        return list(items)
    return [d for d in items if (not states or ("CLOSED" if d.closed else "OPEN") in states) and answered in (None, d.is_answered)]


@field("Repository.discussion")
def _discussion(repository: Repository, context: Context, number: int) -> Discussion:
    rules.permit_discussions(context.token)
    if number not in repository.discussions or not repository.has_discussions_enabled:
        raise Refused(404, f"Could not resolve to a Discussion with the number of {number}.", "NOT_FOUND")
    return repository.discussions[number]


@field("Repository.discussionCategories")
def _categories(repository: Repository, context: Context, filterByAssignable: bool = False, **arguments: Any) -> Json:
    rules.permit_discussions(context.token)
    usable = [c for c in repository.categories if not filterByAssignable or rules.may_open_in(c, context.token)]
    return in_order(usable if repository.has_discussions_enabled else (), arguments)


@field("Repository.discussionCategory")
def _category(repository: Repository, _: Context, slug: str) -> Any:
    return next((c for c in repository.categories if c.slug == slug), None)


@field("Repository.label")
def _label(repository: Repository, _: Context, name: str) -> Label | None:
    return repository.labels.get(name)


@field("Repository.labels")
def _labels(repository: Repository, _: Context, query: str | None = None, **arguments: Any) -> Json:
    return page([label for label in repository.labels.values() if (query or "") in label.name], arguments)


@field("Repository.forks")
def _forks(repository: Repository, context: Context, affiliations: list[str] | None = None, **arguments: Any) -> Json:
    forks = [r for r in context.hub.repositories.values() if r.parent is repository and r.may(context.token, "read")]
    unknown = {name for name, value in arguments.items() if value is not None} - {"first", "last", "after", "before", "orderBy"}
    if arguments.get("ownerAffiliations") == ["OWNER", "COLLABORATOR"]:  # the default
        unknown -= {"ownerAffiliations"}
    if unknown or "ORGANIZATION_MEMBER" in (affiliations or ()):
        raise Unknown(f"the stand-in for GitHub does not filter forks by {', '.join(sorted(unknown)) or 'organization'}")
    return page([r for r in forks if affiliations is None or _affiliation(r, context.viewer) in affiliations], arguments)


def _affiliation(repository: Repository, viewer: User) -> str | None:
    if repository.owner is viewer:
        return "OWNER"
    return "COLLABORATOR" if viewer.login in repository.permissions else None


@field("Repository.defaultBranchRef")
def _default_branch(repository: Repository, _: Context) -> Ref | None:
    return ref_of(repository, f"refs/heads/{repository.default_branch}")


@field("Repository.ref")
def _ref(repository: Repository, _: Context, qualifiedName: str) -> Ref | None:
    full = qualifiedName if qualifiedName.startswith("refs/") else f"refs/heads/{qualifiedName}"
    return ref_of(repository, full)


@field("Repository.refs")
def _refs(repository: Repository, _: Context, refPrefix: str, query: str | None = None, **arguments: Any) -> Json:
    found = [Ref(repository, name, sha) for name, sha in repository.refs(refPrefix).items() if (query or "") in name]
    return in_order(found, arguments)


@field("Repository.object")
def _object(repository: Repository, _: Context, oid: str | None = None, expression: str | None = None) -> Commit | None:
    sha = git.resolve(repository.git_dir, oid or expression or "HEAD")
    return Commit(repository, sha) if sha else None
