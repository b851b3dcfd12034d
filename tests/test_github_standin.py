"""The stand-in for GitHub, driven by the real PyGithub and the real git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from github import Auth, Github
from github_standin import GitHub

BOTH = """
query Both($size: Int!, $pulls: String, $discussions: String) {
  rateLimit { cost remaining used limit nodeCount resetAt }
  repository(owner: "karpathy", name: "autoresearch") {
    pullRequests(first: $size, after: $pulls, orderBy: {field: UPDATED_AT, direction: DESC}) {
      totalCount pageInfo { hasNextPage endCursor } nodes { id number title body state updatedAt headRefOid author { login } }
    }
    discussions(first: $size, after: $discussions, orderBy: {field: UPDATED_AT, direction: DESC}) {
      totalCount pageInfo { hasNextPage endCursor } nodes { id number title body updatedAt category { slug } author { login } }
    }
  }
}
"""


@pytest.fixture
def ada(github: GitHub) -> Iterator[Github]:
    """PyGithub as ada, who has no rights anywhere but to read, without its pauses and second tries."""
    github.user("ada", token="t-ada")
    with client(github, "t-ada") as made:
        yield made


def client(hub: GitHub, token: str, **options: Any) -> Github:
    return Github(
        base_url=hub.api_url, auth=Auth.Token(token), seconds_between_requests=None, seconds_between_writes=None, retry=0, **options
    )


def read_all(github: Github, size: int = 100) -> tuple[list[Any], list[Any]]:
    """Every pull request and every Discussion, both in each call."""
    pulls: list[Any] = []
    discussions: list[Any] = []
    variables: dict[str, Any] = {"size": size}
    while True:
        _, answer = github.requester.graphql_query(BOTH, variables)
        found = answer["data"]["repository"]
        pulls += found["pullRequests"]["nodes"]
        discussions += found["discussions"]["nodes"]
        if not any(found[kind]["pageInfo"]["hasNextPage"] for kind in ("pullRequests", "discussions")):
            return pulls, discussions
        variables["pulls"] = found["pullRequests"]["pageInfo"]["endCursor"] or variables.get("pulls")
        variables["discussions"] = found["discussions"]["pageInfo"]["endCursor"] or variables.get("discussions")


def git(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True)


def test_a_thousand_of_each_take_ten_calls_ten_points_and_one_fetch(github: GitHub, ada: Github, tmp_path: Path) -> None:
    github.repository("karpathy/autoresearch").fill(pulls=1000, discussions=1000)
    pulls, discussions = read_all(ada)
    assert (github.graphql_calls, github.points) == (10, 10)
    assert len({item["id"] for item in pulls}) == len({item["id"] for item in discussions}) == 1000
    assert [item["updatedAt"] for item in pulls] == sorted((item["updatedAt"] for item in pulls), reverse=True)

    git("init", "-q", str(tmp_path / "store"))
    done = git(
        "fetch", "-q", f"{github.url}/karpathy/autoresearch.git", "+refs/pull/*/head:refs/heads/pull/*", cwd=tmp_path / "store"
    )
    assert done.returncode == 0, done.stderr
    heads = git("for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/heads/pull", cwd=tmp_path / "store").stdout
    assert sorted(heads.splitlines()) == sorted(f"{item['number']} {item['headRefOid']}" for item in pulls)
    assert github.git_fetches == 1
