"""The JSON of GitHub's REST API, as far as clients of pull requests read it."""

from __future__ import annotations

from urllib.parse import quote

from github_standin import git, rules
from github_standin.errors import not_found
from github_standin.models import LEVELS, ChangedFile, Comment, Json, Label, Pull, Token, User
from github_standin.repository import Repository

# of what a level contains, in GitHub's older words
RIGHTS = {"pull": "read", "triage": "triage", "push": "write", "maintain": "maintain", "admin": "admin"}


def api(url: str, repository: Repository) -> str:
    return f"{url}/api/v3/repos/{repository.name_with_owner}"


def user(url: str, one: User) -> Json:
    place = f"{url}/api/v3/users/{one.login}"
    return {"login": one.login, "id": one.database_id, "node_id": one.id, "type": "User", "name": one.name, "site_admin": False,
            "url": place, "html_url": url + rules.path_of(one), "created_at": one.created_at}  # fmt: skip


def _author(url: str, one: User | None) -> Json | None:
    return user(url, one) if one else None


def repository(url: str, one: Repository, token: Token | None, deep: bool = True) -> Json:
    level = one.level(token.user if token else None)
    rights = {word: LEVELS.index(level) >= LEVELS.index(needed) for word, needed in RIGHTS.items()}
    found = {
        "id": one.database_id, "node_id": one.id, "name": one.name, "full_name": one.name_with_owner, "private": one.is_private,
        "owner": user(url, one.owner), "html_url": url + rules.path_of(one), "description": one.description, "fork": one.is_fork,
        "url": api(url, one), "clone_url": f"{url}/{one.name_with_owner}.git", "ssh_url": f"git@127.0.0.1:{one.name_with_owner}.git",
        "default_branch": one.default_branch, "archived": one.is_archived, "disabled": False, "allow_forking": one.forking_allowed,
        "visibility": "private" if one.is_private else "public", "has_discussions": one.has_discussions_enabled,
        "created_at": one.created_at, "updated_at": one.updated_at, "pushed_at": one.pushed_at, "permissions": rights,
    }  # fmt: skip
    if deep and one.parent:
        source = one.parent
        while source.parent:
            source = source.parent
        found |= {"parent": repository(url, one.parent, token, False), "source": repository(url, source, token, False)}
    return found


def _side(url: str, token: Token | None, owner: User | None, login: str, name: str, sha: str, where: Repository | None) -> Json:
    repo = repository(url, where, token, False) if where else None
    return {"label": f"{login}:{name}", "ref": name, "sha": sha, "user": _author(url, owner), "repo": repo}


def pull(url: str, one: Pull, token: Token | None, full: bool = False) -> Json:
    """A pull request; `full` with what GitHub leaves out of lists."""
    base, head = one.repository, one.head_repository
    place = f"{api(url, base)}/pulls/{one.number}"
    found = {
        "url": place, "id": one.database_id, "node_id": one.id, "html_url": url + rules.path_of(one), "number": one.number,
        "issue_url": f"{api(url, base)}/issues/{one.number}", "comments_url": f"{api(url, base)}/issues/{one.number}/comments",
        "commits_url": f"{place}/commits", "state": "open" if one.state == "OPEN" else "closed", "locked": one.locked,
        "title": one.title, "user": _author(url, one.author), "body": one.body or None, "created_at": one.created_at,
        "updated_at": one.updated_at, "closed_at": one.closed_at, "merged_at": one.merged_at, "draft": one.is_draft,
        "labels": [label(url, each) for each in one.labels], "assignees": [], "requested_reviewers": [], "requested_teams": [],
        "head": _side(url, token, head.owner if head else None, one.head_owner, one.head_ref_name, one.head_ref_oid, head),
        "base": _side(url, token, base.owner, base.owner.login, one.base_ref_name, one.base_ref_oid, base),
    }  # fmt: skip
    if full:
        files = base.files(one)
        found |= {
            "merged": one.state == "MERGED", "maintainer_can_modify": one.maintainer_can_modify, "comments": len(one.comments),
            "changed_files": len(files), "additions": sum(f.additions for f in files), "deletions": sum(f.deletions for f in files),
            "commits": int(git.run(base.git_dir, "rev-list", "--count", f"{one.base_ref_oid}..{one.head_ref_oid}")),
        }  # fmt: skip
    return found


def issue(url: str, one: Pull) -> Json:
    """A pull request as the issue that it also is."""
    place = f"{api(url, one.repository)}/issues/{one.number}"
    return {"url": place, "id": one.database_id, "number": one.number, "title": one.title, "body": one.body or None,
            "user": _author(url, one.author), "state": "open" if one.state == "OPEN" else "closed",
            "labels": [label(url, each) for each in one.labels], "comments": len(one.comments), "created_at": one.created_at,
            "updated_at": one.updated_at, "html_url": url + rules.path_of(one),
            "pull_request": {"url": f"{api(url, one.repository)}/pulls/{one.number}"}}  # fmt: skip


def comment(url: str, one: Comment) -> Json:
    repository = one.repository
    return {"url": f"{api(url, repository)}/issues/comments/{one.database_id}", "id": one.database_id, "node_id": one.id,
            "html_url": url + rules.path_of(one), "issue_url": f"{api(url, repository)}/issues/{one.subject.number}",
            "body": one.body, "user": _author(url, one.author), "created_at": one.created_at, "updated_at": one.updated_at}  # fmt: skip


def label(url: str, one: Label) -> Json:
    return {"id": one.database_id, "node_id": one.id, "url": f"{api(url, one.repository)}/labels/{quote(one.name)}", "name": one.name,
            "color": one.color, "description": one.description, "default": one.is_default}  # fmt: skip


def ref(url: str, where: Repository, name: str, sha: str) -> Json:
    target = {"type": "commit", "sha": sha, "url": f"{api(url, where)}/git/commits/{sha}"}
    return {"ref": name, "url": f"{api(url, where)}/git/{quote(name)}", "object": target}


def commit(url: str, where: Repository, sha: str) -> Json:
    text = git.run(where.git_dir, "show", "--no-patch", "--format=%an%x00%ae%x00%at%x00%T%x00%P%x00%B", sha)
    name, email, when, tree, parents, message = text.split("\0", 5)
    who = {"name": name, "email": email, "date": rules.iso(int(when))}
    place = f"{api(url, where)}/commits"
    inner = {
        "message": message.strip(),
        "author": who,
        "committer": who,
        "tree": {"sha": tree, "url": f"{api(url, where)}/git/trees/{tree}"},
    }
    return {"sha": sha, "url": f"{place}/{sha}", "html_url": f"{url}/{where.name_with_owner}/commit/{sha}", "commit": inner,
            "author": None, "committer": None, "parents": [{"sha": each, "url": f"{place}/{each}"} for each in parents.split()]}  # fmt: skip


def file(url: str, where: Repository, sha: str, one: ChangedFile) -> Json:
    status = {"ADDED": "added", "DELETED": "removed"}.get(one.change_type, "modified")
    return {"filename": one.path, "status": status, "additions": one.additions, "deletions": one.deletions,
            "changes": one.additions + one.deletions,
            "contents_url": f"{api(url, where)}/contents/{quote(one.path)}?ref={sha}"}  # fmt: skip


def comparison(url: str, where: Repository, base: str, head: str) -> Json:
    behind, ahead = git.run(where.git_dir, "rev-list", "--left-right", "--count", f"{base}...{head}").split()
    common = git.run(where.git_dir, "merge-base", base, head, check=False)
    if not common:
        raise not_found()
    words = {(False, False): "identical", (True, False): "ahead", (False, True): "behind", (True, True): "diverged"}
    shas = git.run(where.git_dir, "rev-list", "--reverse", f"{base}..{head}").split()
    files = [file(url, where, head, each) for each in git.changed_files(where.git_dir, base, head)]
    return {"url": f"{api(url, where)}/compare/{base}...{head}", "status": words[int(ahead) > 0, int(behind) > 0],
            "ahead_by": int(ahead), "behind_by": int(behind), "total_commits": int(ahead),
            "base_commit": commit(url, where, base), "merge_base_commit": commit(url, where, common),
            "commits": [commit(url, where, sha) for sha in shas[:250]], "files": files}  # fmt: skip
