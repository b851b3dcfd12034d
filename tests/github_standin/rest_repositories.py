"""REST: people, limits, repositories, and what lies in git."""

from __future__ import annotations

import base64
from urllib.parse import quote

from github_standin import git, rules, shapes
from github_standin.errors import Refused, Unknown, not_found
from github_standin.repository import Repository
from github_standin.routing import Asked, Reply, paged, route


@route("GET", "/rate_limit")
def rate_limit(asked: Asked) -> Reply:
    number = asked.token.number if asked.token else 0
    windows = {"core": asked.hub.limits.window(number, "rest"), "graphql": asked.hub.limits.window(number, "graphql")}
    shown = {name: {"limit": w.limit, "remaining": w.remaining, "used": w.used, "reset": w.reset} for name, w in windows.items()}
    return Reply({"resources": shown, "rate": shown["core"]})


@route("GET", "/user")
def get_viewer(asked: Asked) -> Reply:
    return Reply(shapes.user(asked.url, asked.viewer))


@route("GET", "/users/{login}")
def get_user(asked: Asked, login: str) -> Reply:
    user = asked.hub.users.get(login.lower())
    if user is None:
        raise not_found()
    return Reply(shapes.user(asked.url, user))


@route("GET", "/repos/{owner}/{repo}")
def get_repo(asked: Asked, repository: Repository) -> Reply:
    return Reply(shapes.repository(asked.url, repository, asked.token))


@route("GET", "/repos/{owner}/{repo}/forks")
def list_forks(asked: Asked, repository: Repository) -> Reply:
    forks = [r for r in asked.hub.repositories.values() if r.parent is repository and r.may(asked.token, "read")]
    return paged(asked, forks, lambda fork: shapes.repository(asked.url, fork, asked.token))


@route("POST", "/repos/{owner}/{repo}/forks")
def create_fork(asked: Asked, repository: Repository) -> Reply:
    given = asked.input
    if given.get("organization"):
        raise Unknown("the stand-in for GitHub does not fork into organizations")
    made = rules.fork(repository, asked.token, given.get("name"), bool(given.get("default_branch_only")))
    return Reply(shapes.repository(asked.url, made, asked.token), 202)


@route("POST", "/repos/{owner}/{repo}/merge-upstream")
def merge_upstream(asked: Asked, repository: Repository) -> Reply:
    kind, branch = rules.merge_upstream(repository, asked.token, str(asked.input.get("branch", "")))
    words = "This branch is not behind the upstream" if kind == "none" else "Successfully fetched and fast-forwarded from upstream"
    return Reply({"message": f"{words} {branch}.", "merge_type": kind, "base_branch": branch})


@route("GET", "/repos/{owner}/{repo}/collaborators/{login}/permission")
def get_permission(asked: Asked, repository: Repository, login: str) -> Reply:
    rules.permit(repository, asked.token, "write")
    user = asked.hub.users.get(login.lower())
    if user is None:
        raise not_found()
    level = repository.level(user)
    broad = {"triage": "read", "maintain": "write"}.get(level, level)
    return Reply({"permission": broad, "role_name": level, "user": shapes.user(asked.url, user)})


@route("GET", "/repos/{owner}/{repo}/branches/{name*}")
def get_branch(asked: Asked, repository: Repository, name: str) -> Reply:
    sha = repository.refs(f"refs/heads/{name}").get(f"refs/heads/{name}")
    if sha is None:
        raise Refused(404, "Branch not found")
    return Reply({"name": name, "commit": shapes.commit(asked.url, repository, sha), "protected": False})


@route("GET", "/repos/{owner}/{repo}/git/refs/{name*}")  # as PyGithub asked before 2.7
@route("GET", "/repos/{owner}/{repo}/git/ref/{name*}")
def get_ref(asked: Asked, repository: Repository, name: str) -> Reply:
    full = f"refs/{name.removeprefix('refs/')}"
    sha = repository.refs(full).get(full)
    if sha is None:
        raise not_found()
    return Reply(shapes.ref(asked.url, repository, full, sha))


@route("GET", "/repos/{owner}/{repo}/git/matching-refs/{name*}")
def matching_refs(asked: Asked, repository: Repository, name: str) -> Reply:
    rows = [row for row in sorted(repository.refs().items()) if row[0].startswith(f"refs/{name}")]
    return paged(asked, rows, lambda row: shapes.ref(asked.url, repository, *row))


@route("GET", "/repos/{owner}/{repo}/commits/{revision*}")
def get_commit(asked: Asked, repository: Repository, revision: str) -> Reply:
    sha = git.resolve(repository.git_dir, revision)
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {revision}")
    return Reply(shapes.commit(asked.url, repository, sha))


@route("GET", "/repos/{owner}/{repo}/compare/{pair*}")
def compare(asked: Asked, repository: Repository, pair: str) -> Reply:
    names = pair.split("...")
    shas = [git.resolve(repository.git_dir, name) for name in names]
    if len(shas) != 2 or any(":" in name for name in names):
        raise Unknown("the stand-in for GitHub compares two revisions of one repository")
    if shas[0] is None or shas[1] is None:
        raise not_found()
    return Reply(shapes.comparison(asked.url, repository, shas[0], shas[1]))


@route("GET", "/repos/{owner}/{repo}/contents/{path*}")
def get_contents(asked: Asked, repository: Repository, path: str) -> Reply:
    revision = asked.query.get("ref", repository.default_branch)
    sha = git.resolve(repository.git_dir, revision)
    row = git.run(repository.git_dir, "ls-tree", "-z", "--long", sha, "--", path) if sha else ""
    meta, _, name = row.partition("\0")[0].partition("\t")
    if not name:
        raise not_found()
    _, kind, blob, size = meta.split()
    if kind != "blob":
        raise Unknown("the stand-in for GitHub gives the contents of files only")
    raw = git.read_blob(repository.git_dir, blob)
    place = f"{shapes.api(asked.url, repository)}/contents/{quote(path)}?ref={quote(revision)}"
    found = {
        "type": "file",
        "encoding": "base64",
        "size": int(size),
        "name": name.rpartition("/")[2],
        "path": name,
        "sha": blob,
        "url": place,
    }
    return Reply({**found, "content": base64.encodebytes(raw).decode()})
