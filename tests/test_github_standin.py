"""The stand-in for GitHub, driven by the real PyGithub and the real git over loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from github import Auth, Github, GithubException, UnknownObjectException
from github.RepositoryDiscussion import RepositoryDiscussion
from github_standin import GitHub
from github_standin.cost import measure
from github_standin.graphql_api import schema
from github_standin.repository import Repository
from graphql import get_operation_ast, parse

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


def client(hub: GitHub, token: str | None, **options: Any) -> Github:
    """PyGithub without its pauses and second tries."""
    auth = Auth.Token(token) if token else None
    return Github(base_url=hub.api_url, auth=auth, seconds_between_requests=None, seconds_between_writes=None, retry=0, **options)


@pytest.fixture
def upstream(github: GitHub) -> Repository:
    """A public repository of somebody else's with one commit."""
    repository = github.repository("karpathy/autoresearch", discussions=True)
    repository.commit({"train.py": "depth = 8\n", "prepare.py": "budget = 300\n"}, message="base")
    return repository


@pytest.fixture
def ada(github: GitHub) -> Iterator[Github]:
    """Somebody who may only read what is not hers."""
    github.user("ada", token="t-ada")
    with client(github, "t-ada") as made:
        yield made


@pytest.fixture
def clone(github: GitHub, upstream: Repository, tmp_path: Path) -> Path:
    """A clone of upstream, on a new branch with one commit."""
    path = tmp_path / "clone"
    assert git("clone", "-q", f"{github.url}/karpathy/autoresearch.git", str(path)).returncode == 0
    git("checkout", "-qb", "exp/cpu/t", cwd=path)
    commit(path, "depth = 9\n")
    return path


def commit(path: Path, text: str) -> str:
    (path / "train.py").write_text(text)
    git("commit", "-qam", text.strip(), cwd=path)
    return git("rev-parse", "HEAD", cwd=path).stdout.strip()


def git(*arguments: str, cwd: Path | None = None, token: str | None = None) -> subprocess.CompletedProcess[str]:
    """git as a user runs it; a token is given when the server asks for a password."""
    given = {"GIT_TERMINAL_PROMPT": "0"}
    if token:
        helper = '!f() { echo username=x; echo "password=$SECRET"; }; f'
        given |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "credential.helper", "GIT_CONFIG_VALUE_0": helper, "SECRET": token}
    return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, env={**os.environ, **given})


def query(github: Github, text: str, **variables: Any) -> Any:
    return github.requester.graphql_query(text, variables)[1]["data"]


def refusal(github: Github, text: str, **variables: Any) -> tuple[str, str]:
    """(type, message) of the one error that a query gets."""
    with pytest.raises(GithubException) as caught:
        query(github, text, **variables)
    (error,) = caught.value.data["errors"]
    return error.get("type", ""), error["message"]


def read_all(github: Github, size: int = 100) -> tuple[list[Any], list[Any]]:
    """Every pull request and every Discussion, both in each call."""
    pulls: list[Any] = []
    discussions: list[Any] = []
    variables: dict[str, Any] = {"size": size}
    while True:
        found = query(github, BOTH, **variables)["repository"]
        pulls += found["pullRequests"]["nodes"]
        discussions += found["discussions"]["nodes"]
        if not any(found[kind]["pageInfo"]["hasNextPage"] for kind in ("pullRequests", "discussions")):
            return pulls, discussions
        variables["pulls"] = found["pullRequests"]["pageInfo"]["endCursor"] or variables.get("pulls")
        variables["discussions"] = found["discussions"]["pageInfo"]["endCursor"] or variables.get("discussions")


# -- reading ----------------------------------------------------------------------------------------------------


def test_a_thousand_of_each_take_ten_calls_ten_points_and_one_fetch(github: GitHub, ada: Github, tmp_path: Path) -> None:
    github.repository("karpathy/autoresearch").fill(pulls=1000, discussions=1000)
    pulls, discussions = read_all(ada)
    assert (github.graphql_calls, github.points) == (10, 10)
    assert len({item["id"] for item in pulls}) == len({item["id"] for item in discussions}) == 1000
    assert [item["updatedAt"] for item in pulls] == sorted((item["updatedAt"] for item in pulls), reverse=True)
    assert {item["author"] is None for item in pulls} == {True, False}

    store = tmp_path / "store"
    git("init", "-q", str(store))
    done = git("fetch", "-q", f"{github.url}/karpathy/autoresearch.git", "+refs/pull/*/head:refs/heads/pull/*", cwd=store)
    assert done.returncode == 0, done.stderr
    heads = git("for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/heads/pull", cwd=store).stdout
    assert sorted(heads.splitlines()) == sorted(f"{item['number']} {item['headRefOid']}" for item in pulls)
    assert github.git_fetches == 1
    assert all(request.bytes_out > 0 for request in github.requests)


def test_a_filling_is_the_same_every_time_and_goes_on(tmp_path: Path) -> None:
    dumps = []
    for name in "ab":
        with GitHub(tmp_path / name) as hub:
            repository = hub.repository("karpathy/autoresearch")
            repository.fill(30, 30)
            before = len(repository.pulls)
            repository.fill(10, 0)
            assert (before, len(repository.pulls), len(repository.discussions)) == (30, 40, 30)
            assert sorted([*repository.pulls, *repository.discussions]) == list(range(1, 71))
            refs = repository.refs("refs/pull")
            assert refs == {f"refs/pull/{p.number}/head": p.head_ref_oid for p in repository.pulls.values()}
            assert list(repository.refs("refs/filling")) == []
            some = repository.pulls[1]
            some.known_files, known = None, some.known_files
            assert repository.files(some) == known  # what the filling claims is what git says
            dumps.append(hub.dump())
    assert dumps[0] == dumps[1]


@pytest.mark.parametrize(
    ("page", "pull_fields", "discussion_fields", "points"),
    [
        (100, "", "", 1),
        (100, "labels(first: 10)", "labels(first: 10)", 2),
        (100, "labels(first: 10) files(first: 30) comments(first: 10)", "labels(first: 10) comments(first: 10)", 5),
        (
            50,
            "labels(first: 10) files(first: 30) comments(first: 10) reviews(first: 5)",
            "labels(first: 10) comments(first: 10) [5]",
            8,
        ),
        (
            25,
            "labels(first: 20) files(first: 50) comments(first: 50) reviews(first: 20)",
            "labels(first: 20) comments(first: 50) [10]",
            14,
        ),
    ],
)
def test_costs_of_the_reading_query(
    github: GitHub, ada: Github, page: int, pull_fields: str, discussion_fields: str, points: int
) -> None:
    def fields(text: str) -> str:
        replies = text.partition("[")[2].rstrip("]")
        inner = f"{{ totalCount nodes {{ replies(first: {replies}) {{ totalCount }} }} }}" if replies else "{ totalCount }"
        return text.partition(" [")[0].replace(")", ") { totalCount }").removesuffix("{ totalCount }") + (inner if text else "")

    github.repository("karpathy/autoresearch").fill(2, 2)
    found = query(ada, f"""{{ rateLimit {{ cost remaining used }} repository(owner: "karpathy", name: "autoresearch") {{
        pullRequests(first: {page}) {{ nodes {{ id {fields(pull_fields)} }} }}
        discussions(first: {page}) {{ nodes {{ id {fields(discussion_fields)} }} }} }} }}""")  # fmt: skip
    assert found["rateLimit"] == {"cost": points, "remaining": 5000 - points, "used": points}
    assert github.requests[-1].points == points
    assert github.requests[-1].page_size == page


@pytest.mark.parametrize(
    ("text", "points", "nodes"),
    [  # the worked examples in GitHub's documentation, with pull requests for issues and watched repositories for followers
        ("repositories(first: 100) { nodes { pullRequests(first: 50) { nodes { labels(first: 60) { totalCount } } } } }", 51, 305_100),
        ("repositories(first: 50) { nodes { pullRequests(first: 10) { totalCount } } }", 1, 550),
        ("""repositories(first: 50) { nodes { a: pullRequests(first: 20) { nodes { comments(first: 10) { totalCount } } }
            b: pullRequests(first: 20) { ...C } } } watching(first: 10) { totalCount }""", 21, 22_060),
    ],
)  # fmt: skip
def test_costs_of_the_documented_examples(text: str, points: int, nodes: int) -> None:
    fragment = "fragment C on PullRequestConnection { nodes { ... on PullRequest { comments(first: $n) { totalCount } } } }"
    document = parse(f"query Q($n: Int = 10) {{ viewer {{ {text} }} }} {fragment}")
    operation = get_operation_ast(document)
    assert operation
    cost = measure(schema(), document, operation, {})
    assert (cost.points, cost.nodes) == (points, nodes)


@pytest.mark.parametrize(
    ("connection", "kind", "words"),
    [
        ("pullRequests { totalCount }", "MISSING_PAGINATION_BOUNDARIES", "first"),
        ("pullRequests(first: 101) { totalCount }", "EXCESSIVE_PAGINATION", "101"),
        ("discussions(last: 0) { totalCount }", "INVALID_PAGINATION_BOUNDARIES", "less than one"),
        ("pullRequests(first: 100) { nodes { comments(first: 100) { nodes { reactions(first: 100) { totalCount } } } } }",
         "MAX_NODE_LIMIT_EXCEEDED", "1,010,100"),
        ("pullRequests(first: 1, after: \"nonsense\") { totalCount }", "INVALID_CURSOR_ARGUMENTS", "nonsense"),
    ],
)  # fmt: skip
def test_limits_of_pages(upstream: Repository, ada: Github, connection: str, kind: str, words: str) -> None:
    upstream.pull("main", "one")
    got, message = refusal(ada, f'{{ repository(owner: "karpathy", name: "autoresearch") {{ {connection} }} }}')
    assert got == kind
    assert words in message


def test_a_cursor_is_a_position_and_not_an_item(upstream: Repository, ada: Github) -> None:
    for day in range(1, 7):
        upstream.pull("main", f"day {day}", created=f"2026-04-0{day}T00:00:00Z")
    found = query(ada, BOTH, size=2)["repository"]["pullRequests"]
    assert [node["title"] for node in found["nodes"]] == ["day 6", "day 5"]
    upstream.pulls[5].updated_at = "2026-05-01T00:00:00Z"  # seen, and the cursor stood on it
    upstream.pulls[3].updated_at = "2026-05-02T00:00:00Z"  # not yet seen: it moves out of the reader's way
    rest = query(ada, BOTH, size=100, pulls=found["pageInfo"]["endCursor"])["repository"]["pullRequests"]
    assert [node["title"] for node in rest["nodes"]] == ["day 4", "day 2", "day 1"]
    again = query(ada, BOTH, size=100)["repository"]["pullRequests"]
    assert [node["title"] for node in again["nodes"]] == ["day 3", "day 5", "day 6", "day 4", "day 2", "day 1"]


def test_orders_and_directions(upstream: Repository, ada: Github) -> None:
    for number, updated in enumerate((3, 1, 2), 1):
        upstream.pull("main", f"p{number}", created=f"2026-04-0{number}T00:00:00Z", updated=f"2026-05-0{updated}T00:00:00Z")
        upstream.discussion(f"d{number}", "", created=f"2026-04-0{number}T00:00:00Z", updated=f"2026-05-0{updated}T00:00:00Z")

    def titles(connection: str) -> str:
        found = query(
            ada, f'{{ repository(owner: "karpathy", name: "autoresearch") {{ it: {connection} {{ nodes {{ title }} }} }} }}'
        )
        return " ".join(node["title"] for node in found["repository"]["it"]["nodes"])

    assert titles("pullRequests(first: 9)") == "p1 p2 p3"  # without an order: as they were made
    assert titles("pullRequests(last: 2)") == "p2 p3"
    assert titles("discussions(first: 9)") == "d1 d3 d2"  # without an order: last touched first
    assert titles("discussions(last: 2)") == "d3 d2"
    assert titles("pullRequests(first: 9, orderBy: {field: UPDATED_AT, direction: ASC})") == "p2 p3 p1"
    ends = '{ repository(owner: "karpathy", name: "autoresearch") { pullRequests(last: 2 %s) { pageInfo { startCursor hasNextPage hasPreviousPage } } } }'
    page = query(ada, ends % "")["repository"]["pullRequests"]["pageInfo"]
    assert (page["hasNextPage"], page["hasPreviousPage"]) == (False, True)
    page = query(ada, ends % f'before: "{page["startCursor"]}"')["repository"]["pullRequests"]["pageInfo"]
    assert (page["hasNextPage"], page["hasPreviousPage"]) == (True, False)
    upstream.pulls[1].state = "MERGED"
    assert titles("pullRequests(first: 9, states: [OPEN])") == "p2 p3"
    assert titles("pullRequests(first: 9, states: [CLOSED, MERGED])") == "p1"


def test_all_that_a_reader_of_the_community_asks_for(github: GitHub, upstream: Repository, ada: Github) -> None:
    fork = github.repository("bob/autoresearch", parent=upstream)
    fork.commit({"train.py": "depth = 9\n", "results.tsv": "a\n", "prepare.py": None}, branch="exp/H100/mar8", message="deeper")
    pull = upstream.pull("exp/H100/mar8", "deeper", "body", author="bob", head_repository=fork, comments=["hm", ("ada", "yes")],
                         labels=["result"], reviews=[("karpathy", "COMMENTED", "nice")], draft=True)  # fmt: skip
    upstream.discussion("report", "text", "bob", comments=[("ada", "first")])
    found = query(ada, """{ viewer { login } repository(owner: "karpathy", name: "autoresearch") {
      nameWithOwner isFork parent { nameWithOwner } hasDiscussionsEnabled viewerPermission url
      defaultBranchRef { name target { oid ... on Commit { messageHeadline } } }
      discussionCategories(first: 25) { nodes { slug isAnswerable } }
      label(name: "result") { name }
      pullRequests(first: 1) { nodes { number isDraft state url author { login } headRefName headRefOid baseRefName baseRefOid
        headRepository { nameWithOwner isFork parent { nameWithOwner url } } isCrossRepository changedFiles additions deletions
        labels(first: 5) { nodes { name } } files(first: 9) { nodes { path changeType additions deletions } }
        comments(last: 1) { totalCount nodes { body author { login } } } reviews(first: 5) { nodes { state body } }
        commits(first: 5) { totalCount nodes { commit { oid message } } } } }
      discussions(first: 1) { nodes { number category { name slug } url comments(first: 5) { totalCount nodes { body } } } } } }""")  # fmt: skip
    assert found["viewer"]["login"] == "ada"
    repository = found["repository"]
    assert (repository["viewerPermission"], repository["parent"], repository["isFork"]) == ("READ", None, False)
    assert repository["defaultBranchRef"]["target"]["messageHeadline"] == "base"
    assert {"slug": "q-a", "isAnswerable": True} in repository["discussionCategories"]["nodes"]
    (node,) = repository["pullRequests"]["nodes"]
    assert node["url"] == f"{github.url}/karpathy/autoresearch/pull/1"
    assert node["headRefOid"] == pull.head_ref_oid == fork.refs("refs/heads")["refs/heads/exp/H100/mar8"]
    assert node["headRepository"] == {
        "nameWithOwner": "bob/autoresearch", "isFork": True,
        "parent": {"nameWithOwner": "karpathy/autoresearch", "url": f"{github.url}/karpathy/autoresearch"},
    }  # fmt: skip
    assert [(f["path"], f["changeType"]) for f in node["files"]["nodes"]] == [
        ("prepare.py", "DELETED"), ("results.tsv", "ADDED"), ("train.py", "MODIFIED")]  # fmt: skip
    assert (node["changedFiles"], node["additions"], node["deletions"]) == (3, 2, 2)
    assert node["comments"] == {"totalCount": 2, "nodes": [{"body": "yes", "author": {"login": "ada"}}]}
    assert node["commits"]["nodes"][0]["commit"] == {"oid": pull.head_ref_oid, "message": "deeper"}
    (node,) = repository["discussions"]["nodes"]
    assert node["category"]["slug"] == "show-and-tell"
    assert node["number"] == 2  # pull requests and Discussions count together


def test_pygithub_reads_discussions_and_pulls_page_by_page(upstream: Repository, github: GitHub) -> None:
    upstream.fill(25, 23)
    github.user("ada", token="t-ada")
    with client(github, "t-ada", per_page=10) as ada:
        repository = ada.get_repo("karpathy/autoresearch")
        assert len({d.number for d in repository.get_discussions("number title")}) == 23
        assert github.graphql_calls == 3
        numbers = [p.number for p in repository.get_pulls(state="all")]
        assert len(set(numbers)) == 25
        assert repository.get_pulls(state="all").totalCount == 25
        assert numbers == sorted(numbers, reverse=True)


# -- what must not be answered ----------------------------------------------------------------------------------


def test_what_is_unknown_is_never_answered(github: GitHub, upstream: Repository, ada: Github) -> None:
    _, message = refusal(ada, '{ repository(owner: "karpathy", name: "autoresearch") { stars } }')
    assert "Cannot query field 'stars'" in message
    with pytest.raises(GithubException) as caught:
        query(ada, '{ repository(owner: "karpathy", name: "autoresearch") { name stargazerCount } }')
    assert caught.value.status == 501
    assert "Repository.stargazerCount" in caught.value.data["message"]
    with pytest.raises(GithubException) as caught:
        ada.get_repo("karpathy/autoresearch").get_topics()
    assert caught.value.status == 501
    assert requests.get(f"{github.url}/karpathy/autoresearch").status_code == 501
    with pytest.raises(GithubException) as caught:
        query(ada, "mutation($i: CreateDiscussionInput!) { createDiscussion(input: $i) { discussion { id } } }", i={"body": "x"})
    assert "repositoryId" in str(caught.value.data["errors"])


def test_who_may_read_what(github: GitHub, upstream: Repository, ada: Github) -> None:
    hidden = github.repository("karpathy/hidden", private=True)
    with client(github, None) as nobody, client(github, "wrong") as stranger:
        assert nobody.get_repo("Karpathy/AutoResearch").full_name == "karpathy/autoresearch"
        for github_client, repository, status in ((nobody, "hidden", 404), (ada, "hidden", 404), (stranger, "autoresearch", 401)):
            with pytest.raises(GithubException) as caught:
                github_client.get_repo(f"karpathy/{repository}")
            assert caught.value.status == status
        for github_client in (nobody, stranger):
            with pytest.raises(GithubException) as caught:
                query(github_client, "{ viewer { login } }")
            assert caught.value.status == 401
    with pytest.raises(UnknownObjectException, match="karpathy/hidden"):
        query(ada, '{ repository(owner: "karpathy", name: "hidden") { name } }')
    hidden.allow("ada", "read")
    assert ada.get_repo("karpathy/hidden").private
    headers, _ = ada.requester.requestJsonAndCheck("GET", "/user")
    assert headers["x-oauth-scopes"] == "repo"


def test_etag_spares_what_is_known(github: GitHub, upstream: Repository, ada: Github) -> None:
    upstream.pull("main", "one")
    pull = ada.get_repo("karpathy/autoresearch").get_pull(1)
    window = github.limits.window(1, "rest")
    assert (github.requests[-1].status, window.used) == (200, 2)
    assert not pull.update()
    assert (github.requests[-1].status, github.requests[-1].bytes_out, window.used) == (304, 0, 2)
    upstream.pulls[1].title = "two"
    assert pull.update()
    assert pull.title == "two"


def test_points_and_requests_run_out(github: GitHub, upstream: Repository, ada: Github) -> None:
    github.limits.graphql, github.limits.anonymous = 2, 1
    query(ada, BOTH, size=1)
    query(ada, BOTH, size=1)
    kind, _ = refusal(ada, BOTH, size=1)
    assert kind == "RATE_LIMITED"
    assert github.points == 2
    assert github.requests[-1].status == 200
    _, windows = ada.requester.requestJsonAndCheck("GET", "/rate_limit")
    assert windows["resources"]["graphql"]["remaining"] == 0
    github.limits.window(1, "graphql").reset = int(time.time())  # the hour is over
    assert query(ada, "{ rateLimit { used } }")["rateLimit"]["used"] == 1
    with client(github, None) as nobody:
        nobody.get_repo("karpathy/autoresearch")
        with pytest.raises(GithubException, match="rate limit exceeded"):
            nobody.get_repo("karpathy/autoresearch")


def test_many_ask_at_once(github: GitHub, upstream: Repository, ada: Github) -> None:
    upstream.fill(60, 60)
    results: list[int] = []

    def read() -> None:
        with client(github, "t-ada") as one:
            results.append(sum(map(len, read_all(one, size=20))))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [120] * 6
    assert github.graphql_calls == github.points == 18


# -- git --------------------------------------------------------------------------------------------------------


def test_private_repositories_need_a_token(github: GitHub, tmp_path: Path) -> None:
    hidden = github.repository("karpathy/hidden", private=True)
    hidden.commit({"a": "b"})
    hidden.allow("bob", "read")
    github.user("bob", token="t-bob")
    github.user("ada", token="t-ada")
    url = f"{github.url}/karpathy/hidden.git"
    for token, words in ((None, "could not read Username"), ("wrong", "Authentication failed"), ("t-ada", "not found")):
        done = git("clone", "-q", url, str(tmp_path / str(token)), token=token)
        assert done.returncode == 128
        assert words in done.stderr
    assert git("clone", "-q", url, str(tmp_path / "bob"), token="t-bob").returncode == 0
    assert (tmp_path / "bob" / "a").read_text() == "b"
    assert {request.scheme for request in github.requests} == {None, "basic"}
    assert "t-bob" not in repr(github.requests)
    assert git("ls-remote", f"{github.url}/karpathy/nothing.git", token="t-bob").returncode == 128


def test_pushing_takes_write_permission(github: GitHub, upstream: Repository, clone: Path) -> None:
    for token, level, words in (
        (None, "", "could not read Username"),
        ("t-bob", "", "403"),
        ("t-bob", "triage", "403"),
        ("t-bob", "write", ""),
    ):
        github.user("bob", token="t-bob")
        if level:
            upstream.allow("bob", level)
        done = git("push", "-q", "origin", "HEAD", cwd=clone, token=token)
        assert (done.returncode == 0) == (words == "")
        assert words in done.stderr
    assert "refs/heads/exp/cpu/t" in upstream.refs("refs/heads")


@pytest.mark.parametrize(("scopes", "fine"), [(("read:user",), False), ((), True)])
def test_a_token_may_do_less_than_its_owner(
    github: GitHub, upstream: Repository, clone: Path, scopes: tuple[str, ...], fine: bool
) -> None:
    github.user("bob", token="t-bob", scopes=scopes, fine_grained=fine)
    upstream.allow("bob", "admin")
    assert "403" in git("push", "-q", "origin", "HEAD", cwd=clone, token="t-bob").stderr
    with client(github, "t-bob") as bob:
        with pytest.raises(GithubException) as caught:
            bob.get_repo("karpathy/autoresearch").create_label("x", "ffffff")
        assert caught.value.status == (403 if fine else 404)
        with pytest.raises(GithubException) as caught:
            discuss(bob, upstream, "x")
        assert caught.value.data["errors"][0]["type"] == ("FORBIDDEN" if fine else "INSUFFICIENT_SCOPES")
        headers, _ = bob.requester.requestJsonAndCheck("GET", "/user")
        assert ("x-oauth-scopes" in headers) != fine


def test_hidden_refs_and_refs_of_ours(github: GitHub, upstream: Repository, clone: Path) -> None:
    github.user("karpathy", token="t-owner")
    upstream.pull("main", "one")
    done = git("push", "origin", "HEAD:refs/pull/1/head", cwd=clone, token="t-owner")
    assert "hidden ref" in done.stderr
    assert git("push", "-q", "origin", "HEAD:refs/autoresearch/cpu/t", cwd=clone, token="t-owner").returncode == 0
    listed = git("ls-remote", "origin", cwd=clone).stdout
    assert "refs/autoresearch/cpu/t" in listed
    assert "refs/pull/1/head" in listed


def test_large_pushes_and_partial_clones(github: GitHub, upstream: Repository, clone: Path, tmp_path: Path) -> None:
    github.user("karpathy", token="t-owner")
    (clone / "big").write_bytes(os.urandom(3_000_000))  # more than git keeps in one piece: it is sent in chunks
    git("add", "big", cwd=clone)
    git("commit", "-qm", "big", cwd=clone)
    assert git("push", "-q", "origin", "HEAD", cwd=clone, token="t-owner").returncode == 0
    bytes_before = sum(request.bytes_out for request in github.requests)
    bare = tmp_path / "partial"
    url = f"{github.url}/karpathy/autoresearch.git"
    assert git("clone", "-q", "--bare", "--filter=blob:none", url, str(bare)).returncode == 0
    assert sum(request.bytes_out for request in github.requests) - bytes_before < 100_000
    assert git("-C", str(bare), "cat-file", "-s", "refs/heads/exp/cpu/t:big").stdout.strip() == "3000000"
    assert github.git_fetches == 3  # the fixture's clone, the bare one, the blob


def test_trees_that_strangers_could_push(upstream: Repository, github: GitHub, tmp_path: Path) -> None:
    sha = upstream.commit(
        {"train.py": ("120000", "/etc/passwd"), "sub": ("160000", "1" * 40), 'od"d\n': b"\xff", "prepare.py": None}, branch="x"
    )
    upstream.pull(sha, "odd", head_name="--upload-pack=x", number=44)
    store = tmp_path / "s"
    git("init", "-q", str(store))
    assert git("fetch", "-q", f"{github.url}/karpathy/autoresearch.git", "refs/pull/44/head", cwd=store).returncode == 0
    rows = git("ls-tree", "-r", "FETCH_HEAD", cwd=store).stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["100644", "160000", "120000"]
    assert upstream.next_number() == 45


def test_real_clones_can_be_loaded(github: GitHub, upstream: Repository, clone: Path) -> None:
    git("update-ref", "refs/pull/7/head", "HEAD", cwd=clone)
    other = github.repository("karpathy/copy")
    other.import_from(clone)
    pull = other.pull("refs/pull/7/head", "seven", number=7, state="CLOSED", head_name="exp/cpu/t")
    assert other.refs("refs/pull") == {"refs/pull/7/head": pull.head_ref_oid}
    assert [f.path for f in other.files(pull)] == ["train.py"]


# -- publishing -------------------------------------------------------------------------------------------------


def test_fork_push_draft_pull_request_and_a_later_push(
    github: GitHub, upstream: Repository, ada: Github, clone: Path, tmp_path: Path
) -> None:
    repository = ada.get_repo("karpathy/autoresearch")
    fork = repository.create_fork()
    assert (fork.full_name, fork.fork, fork.parent.full_name) == ("ada/autoresearch", True, "karpathy/autoresearch")
    assert repository.create_fork().full_name == fork.full_name  # a second time changes nothing
    assert "403" in git("push", "-q", "origin", "HEAD", cwd=clone, token="t-ada").stderr
    assert git("push", "-q", fork.clone_url, "HEAD", cwd=clone, token="t-ada").returncode == 0
    head = git("rev-parse", "HEAD", cwd=clone).stdout.strip()

    pull = repository.create_pull("main", "ada:exp/cpu/t", title="deeper", body="b", draft=True)
    assert (pull.draft, pull.head.sha, pull.head.repo.full_name, pull.commits, pull.changed_files) == (
        True,
        head,
        "ada/autoresearch",
        1,
        1,
    )
    assert [c.sha for c in pull.get_commits()] == [head]
    assert [p.number for p in repository.get_pulls(state="all", head="ada:exp/cpu/t")] == [pull.number]
    assert repository.get_pulls(state="all", head="bob:exp/cpu/t").totalCount == 0
    with pytest.raises(GithubException, match="already exists for ada:exp/cpu/t") as caught:
        repository.create_pull("main", "ada:exp/cpu/t", title="again")
    assert caught.value.status == 422

    later = commit(clone, "depth = 10\n")
    assert git("push", "-q", fork.clone_url, "HEAD", cwd=clone, token="t-ada").returncode == 0
    assert pull.update()
    assert (pull.head.sha, pull.commits) == (later, 2)
    git("init", "-q", str(tmp_path / "s"))
    git("fetch", "-q", f"{github.url}/karpathy/autoresearch.git", "refs/pull/1/head", cwd=tmp_path / "s")
    assert git("rev-parse", "FETCH_HEAD", cwd=tmp_path / "s").stdout.strip() == later

    git("push", "-q", fork.clone_url, ":exp/cpu/t", cwd=clone, token="t-ada")
    assert repository.get_pull(pull.number).state == "closed"


def test_pull_requests_that_github_refuses(github: GitHub, upstream: Repository, ada: Github, clone: Path) -> None:
    repository = ada.get_repo("karpathy/autoresearch")
    repository.create_fork()
    git("push", "-q", f"{github.url}/ada/autoresearch.git", "HEAD", "main:same", cwd=clone, token="t-ada")
    create = repository.create_pull
    for arguments, words in (
        ({"base": "main", "head": "ada:same", "title": "x"}, "No commits between"),
        ({"base": "main", "head": "ada:nothing", "title": "x"}, "'field': 'head'"),
        ({"base": "nothing", "head": "ada:exp/cpu/t", "title": "x"}, "'field': 'base'"),
        ({"base": "main", "head": "ada:exp/cpu/t", "title": " "}, "'field': 'title'"),
        ({"base": "main", "head": "ada:exp/cpu/t", "title": "x", "body": "y" * 65_537}, "too long"),
    ):
        with pytest.raises(GithubException) as caught:
            create(**arguments)
        assert caught.value.status == 422
        assert words in str(caught.value.data["errors"])
    upstream.drafts_allowed = False
    with pytest.raises(GithubException, match="Draft pull requests are not supported"):
        create("main", "ada:exp/cpu/t", title="x", draft=True)
    github.user("bob", token="t-bob")
    with client(github, "t-bob") as bob, pytest.raises(GithubException, match="write access") as caught:
        bob.get_repo("karpathy/autoresearch").create_pull("main", "ada:exp/cpu/t", title="not mine")
    assert caught.value.status == 403
    first = create("main", "ada:exp/cpu/t", title="x", body="y" * 65_536)
    assert len(first.body) == 65_536
    first.edit(state="closed")
    create("main", "ada:exp/cpu/t", title="second")
    with pytest.raises(GithubException, match="already exists"):
        first.edit(state="open")
    assert [pull.state for pull in upstream.pulls.values()] == ["CLOSED", "OPEN"]


def test_editing_commenting_and_labelling_a_pull_request(github: GitHub, upstream: Repository, ada: Github) -> None:
    upstream.commit({"train.py": "depth = 9\n"}, branch="x")
    upstream.commit({"train.py": "depth = 10\n"}, branch="y")
    upstream.pull("x", "mine", author="ada")
    upstream.pull("y", "not mine", author="bob")
    repository = ada.get_repo("karpathy/autoresearch")
    mine, other = repository.get_pull(1), repository.get_pull(2)
    mine.edit(title="better", body="text", state="closed")
    assert (mine.title, mine.body, mine.state) == ("better", "text", "closed")
    mine.edit(state="open")
    mine.convert_to_draft()
    assert upstream.pulls[1].is_draft
    comment = mine.create_issue_comment("hello")
    comment.edit("hello again")
    assert [c.body for c in mine.get_issue_comments()] == ["hello again"]
    theirs = upstream.add_comment(upstream.pulls[1], github.person("bob"), "bob's")
    (_, foreign) = mine.get_issue_comments()
    for refused in (
                    lambda: foreign.edit("ada's"), lambda: other.edit(title="taken over"), lambda: mine.add_to_labels("result"),
                    lambda: repository.create_label("result", "ff0000"), other.convert_to_draft):  # fmt: skip
        with pytest.raises(GithubException) as caught:
            refused()
        assert caught.value.status in (400, 403)
    assert (upstream.pulls[2].title, upstream.labels, theirs.body) == ("not mine", {}, "bob's")
    upstream.allow("ada", "write")
    repository.create_label("result", "ff0000", "a measured result")
    mine.add_to_labels("result")
    assert [label.name for label in mine.get_labels()] == ["result"]
    assert repository.get_label("result").color == "ff0000"
    assert [label.name for label in repository.get_labels()] == ["result"]
    node = query(ada, 'query($n: ID!) { node(id: $n) { ... on PullRequest { viewerCanLabel labels(first: 9) { nodes { name } } } } }', n=mine.node_id)  # fmt: skip
    assert node["node"] == {"viewerCanLabel": True, "labels": {"nodes": [{"name": "result"}]}}


def test_pull_requests_through_graphql(github: GitHub, upstream: Repository, ada: Github) -> None:
    upstream.commit({"train.py": "depth = 9\n"}, branch="x")
    github.repository("ada/autoresearch", parent=upstream)
    mutate = ada.requester.graphql_named_mutation
    given = {"repositoryId": upstream.id, "baseRefName": "main", "headRefName": "ada:x", "title": "t", "draft": True}
    shape = "pullRequest { id number isDraft state body url comments(first: 1) { totalCount } }"
    mutate("createPullRequest", given, shape)
    pull = upstream.pulls[1]
    mutate("updatePullRequest", {"pullRequestId": pull.id, "body": "see the Discussion"}, shape)
    mutate("addComment", {"subjectId": pull.id, "body": "c"}, "subject { id }")
    mutate("closePullRequest", {"pullRequestId": pull.id}, shape)
    assert (pull.is_draft, pull.body, pull.state, len(pull.comments), pull.head_label) == (
        True,
        "see the Discussion",
        "CLOSED",
        1,
        "ada:x",
    )
    with pytest.raises(GithubException, match="correct permissions"):
        mutate(
            "addLabelsToLabelable", {"labelableId": pull.id, "labelIds": [upstream.label("r").id]}, "labelable { viewerCanLabel }"
        )


def discuss(
    github: Github, repository: Repository, body: str, category: str = "show-and-tell", title: str = "report"
) -> RepositoryDiscussion:
    slot = next(c for c in repository.categories if c.slug == category)
    given = {"repositoryId": repository.id, "categoryId": slot.id, "title": title, "body": body}
    shape = "discussion { id number url title body }"
    return github.requester.graphql_named_mutation_class("createDiscussion", given, shape, "discussion", RepositoryDiscussion)


def test_discussions_are_opened_answered_and_edited(github: GitHub, upstream: Repository, ada: Github) -> None:
    made = discuss(ada, upstream, "<!-- marker -->\ntext")
    found = query(ada, "query($n: ID!) { node(id: $n) { ... on Discussion { url viewerDidAuthor } } }", n=made.id)
    assert found["node"] == {"url": f"{github.url}/karpathy/autoresearch/discussions/{made.number}", "viewerDidAuthor": True}
    comment = made.add_comment("first", output_schema="id body")
    made.add_comment("reply", reply_to=comment)
    comment.edit("edited")
    ada.requester.graphql_named_mutation("updateDiscussion", {"discussionId": made.id, "body": "new"}, "discussion { id }")
    (kept,) = upstream.discussions.values()
    assert (kept.body, kept.comments[0].body, kept.comments[0].replies[0].body) == ("new", "edited", "reply")
    found = query(ada, """query($r: ID!) { viewer { repositoryDiscussions(first: 100, repositoryId: $r,
        orderBy: {field: CREATED_AT, direction: DESC}) { nodes { number body author { login } } } } }""", r=upstream.id)  # fmt: skip
    assert found["viewer"]["repositoryDiscussions"]["nodes"] == [{"number": 1, "body": "new", "author": {"login": "ada"}}]


def test_discussions_that_github_refuses(github: GitHub, upstream: Repository, ada: Github) -> None:
    assert len(discuss(ada, upstream, "x" * 65_536).body) == 65_536

    def kind(**arguments: Any) -> str:
        with pytest.raises(GithubException) as caught:
            discuss(ada, upstream, **arguments)
        return str(caught.value.data["errors"][0]["type"])

    assert kind(body="x" * 65_537) == "UNPROCESSABLE"
    assert kind(body="x", category="announcements") == "FORBIDDEN"
    assert kind(body="x", title="") == "UNPROCESSABLE"
    upstream.allow("ada", "maintain")
    assert discuss(ada, upstream, "x", "announcements").number == 2
    upstream.has_discussions_enabled = False
    assert kind(body="x") == "UNPROCESSABLE"
    assert query(ada, BOTH, size=1)["repository"]["discussions"]["totalCount"] == 0
    other = upstream.discussion("theirs", "x", "bob")
    upstream.allow("ada", "read")
    with pytest.raises(GithubException, match="correct permissions"):
        ada.requester.graphql_named_mutation("updateDiscussion", {"discussionId": other.id, "body": "mine"}, "discussion { id }")


def test_a_fork_catches_up_and_a_merged_head_is_noticed(github: GitHub, upstream: Repository, ada: Github, clone: Path) -> None:
    fork = ada.get_repo("karpathy/autoresearch").create_fork()
    assert fork.merge_upstream("main").merge_type == "none"
    git("push", "-q", fork.clone_url, "HEAD", cwd=clone, token="t-ada")
    pull = ada.get_repo("karpathy/autoresearch").create_pull("main", "ada:exp/cpu/t", title="x")
    github.user("karpathy", token="t-owner")
    assert git("push", "-q", "origin", "HEAD:main", cwd=clone, token="t-owner").returncode == 0
    assert pull.update()
    assert pull.merged
    assert fork.merge_upstream("main").merge_type == "fast-forward"
    assert fork.get_branch("main").commit.sha == pull.head.sha


def test_what_rest_tells_of_git(upstream: Repository, ada: Github) -> None:
    base = upstream.refs("refs/heads")["refs/heads/main"]
    head = upstream.commit({"train.py": "depth = 9\n"}, branch="exp/cpu/t", message="deeper")
    repository = ada.get_repo("karpathy/autoresearch")
    assert repository.get_contents("train.py", ref=base).decoded_content == b"depth = 8\n"  # type: ignore[union-attr]
    assert repository.get_contents("train.py", ref=head).decoded_content == b"depth = 9\n"  # type: ignore[union-attr]
    assert repository.get_branch("exp/cpu/t").commit.sha == head
    assert repository.get_git_ref("heads/exp/cpu/t").object.sha == head
    assert [r.ref for r in repository.get_git_matching_refs("heads/exp")] == ["refs/heads/exp/cpu/t"]
    assert repository.get_commit(head).commit.message == "deeper"
    compared = repository.compare("main", head)
    assert (compared.status, compared.ahead_by, [f.filename for f in compared.files]) == ("ahead", 1, ["train.py"])
    for missing in (lambda: repository.get_branch("nothing"), lambda: repository.get_contents("nothing", ref=head)):
        with pytest.raises(UnknownObjectException):
            missing()


# -- faults -----------------------------------------------------------------------------------------------------

SMALL = "mutation($i: AddDiscussionCommentInput!) { addDiscussionComment(input: $i) { comment { id } } }"


@pytest.mark.parametrize(
    ("kind", "status", "words", "executed"),
    [
        ("500", 500, "Server Error", False),
        ("502", 502, "502 Bad Gateway", False),
        ("504", 504, "respond to your request in time", False),
        ("429", 429, "secondary rate limit", False),
        ("secondary", 403, "secondary rate limit", False),
        ("rate-limit", 200, "RATE_LIMITED", False),
        ("resource-limit", 200, "RESOURCE_LIMITS_EXCEEDED", False),
        ("timeout", 200, "Something went wrong", False),
        ("lost", 502, "502 Bad Gateway", True),
        ("garbage", 200, "", True),
        ("slow", 200, "data", True),
    ],
)
def test_faults_of_graphql(
    github: GitHub, upstream: Repository, ada: Github, kind: str, status: int, words: str, executed: bool
) -> None:
    thread = upstream.discussion("d", "")
    github.fail(kind, seconds=0.2, after=1)
    send = {"query": SMALL, "variables": {"i": {"discussionId": thread.id, "body": "c"}}}
    headers = {"Authorization": "bearer t-ada"}
    address = f"{github.url}/api/graphql"
    answers = []
    for _ in range(3):
        start = time.monotonic()
        answers.append((requests.post(address, json=send, headers=headers), time.monotonic() - start))
    assert [answer.status_code for answer, _ in answers] == [200, status, 200]
    wrong, seconds = answers[1]
    assert words in wrong.text
    assert len(thread.comments) == (3 if executed else 2)
    assert [request.fault for request in github.requests] == [None, kind, None]
    assert (seconds >= 0.2) == (kind == "slow")
    assert ("Retry-After" in wrong.headers) == (kind == "429")
    if kind == "garbage":
        with pytest.raises(ValueError, match="Unterminated"):
            wrong.json()
    if kind == "rate-limit":
        assert wrong.headers["x-ratelimit-remaining"] == "0"
        assert 0 <= int(wrong.headers["x-ratelimit-reset"]) - time.time() + 1 <= 2
    assert github.points == (3 if executed else 2)


def test_a_hang_up_comes_in_the_middle_of_the_answer(github: GitHub, upstream: Repository, ada: Github) -> None:
    upstream.fill(20, 20)
    github.fail("hangup")
    with pytest.raises(requests.exceptions.RequestException):
        query(ada, BOTH, size=20)
    assert github.requests[0].bytes_out > 1000
    assert len(read_all(ada)[0]) == 20


def test_partial_answers_carry_nulls_and_errors(github: GitHub, upstream: Repository, ada: Github) -> None:
    upstream.fill(6, 6)
    github.fail("partial")
    with pytest.raises(GithubException) as caught:
        query(ada, BOTH, size=100)
    nodes = caught.value.data["data"]["repository"]["pullRequests"]["nodes"]
    assert [node is None for node in nodes] == [True, False, False] * 2
    assert caught.value.data["errors"][0]["path"] == ["repository", "pullRequests", "nodes", 0]
    assert len(caught.value.data["errors"]) == 4


def test_large_pages_can_be_too_large(github: GitHub, upstream: Repository, ada: Github) -> None:
    upstream.fill(60, 0)
    github.fail_above(page_size=25, kind="504")
    for size in (100, 50):
        with pytest.raises(GithubException, match="in time"):
            query(ada, BOTH, size=size)
    assert len(read_all(ada, size=25)[0]) == 60
    assert [(request.status, request.page_size) for request in github.requests] == [
        (504, 100),
        (504, 50),
        (200, 25),
        (200, 25),
        (200, 25),
    ]


def test_faults_of_rest_and_of_git(github: GitHub, upstream: Repository, ada: Github, tmp_path: Path) -> None:
    upstream.commit({"big": os.urandom(300_000)})
    github.fail("secondary", where="rest", retry_after=7)
    with pytest.raises(GithubException, match="secondary") as caught:
        ada.get_repo("karpathy/autoresearch")
    assert caught.value.headers["retry-after"] == "7"
    github.fail("rate-limit", where="rest")
    with pytest.raises(GithubException, match="rate limit exceeded"):
        ada.get_repo("karpathy/autoresearch")
    github.fail("lost", where="rest")
    with pytest.raises(GithubException):
        ada.get_repo("karpathy/autoresearch").create_fork()  # the first request is the one that is lost
    url = f"{github.url}/karpathy/autoresearch.git"
    for kind, after in (("502", 0), ("502", 1), ("garbage", 0), ("hangup", 2), ("429", 1)):
        github.fail(kind, where="git", after=after)
        done = git("clone", "-q", url, str(tmp_path / f"{kind}-{after}"))
        assert done.returncode == 128, kind
    assert git("clone", "-q", url, str(tmp_path / "good")).returncode == 0
    with pytest.raises(ValueError, match="no fault"):
        github.fail("partial", where="git")


def test_a_lost_push_has_been_done(github: GitHub, upstream: Repository, clone: Path) -> None:
    github.user("karpathy", token="t-owner")
    github.fail("lost", where="git", after=2)  # refs without and with a password, then the push
    assert git("push", "-q", "origin", "HEAD", cwd=clone, token="t-owner").returncode != 0
    assert "refs/heads/exp/cpu/t" in upstream.refs("refs/heads")


def test_a_bug_of_the_stand_in_fails_the_test_that_meets_it(tmp_path: Path) -> None:
    hub = GitHub(tmp_path / "hub")
    hub.user("ada", token="t-ada")
    repository = hub.repository("karpathy/autoresearch")
    repository.commit({"a": "b"})
    repository.pull("main", "x").title = None  # type: ignore[assignment]  # what the schema forbids
    with client(hub, "t-ada") as ada, pytest.raises(GithubException, match="has a bug"):
        query(ada, BOTH, size=1)
    with pytest.raises(RuntimeError, match="1 requests hit a bug"):
        hub.close()


# -- the n-th request -------------------------------------------------------------------------------------------

ANY = [  # kind, status of the answer or what the connection does instead, whether it was executed
    ("502", 502, False),
    ("secondary", 403, False),
    ("lost", 502, True),
    ("reset", "reset", False),
    ("reset-after", "reset", True),
    ("silent", "closed", False),
    ("silent-after", "closed", True),
]


def answered(address: str, token: str, given: Any) -> int | str:
    """The status, or how the connection ended without an answer."""
    try:
        return requests.post(address, json=given, headers={"Authorization": f"token {token}"}, timeout=5).status_code
    except requests.ConnectionError as error:
        return "reset" if "ConnectionResetError" in str(error) else "closed"


@pytest.mark.parametrize(("kind", "status", "executed"), ANY)
@pytest.mark.parametrize("where", ["rest", "graphql"])
def test_the_nth_request_of_the_api_goes_wrong(
    github: GitHub, upstream: Repository, where: str, kind: str, status: int | str, executed: bool
) -> None:
    github.user("karpathy", token="t-owner")
    thread = upstream.discussion("d", "")
    calls = {
        "rest": (f"{github.api_url}/repos/karpathy/autoresearch/labels", {"name": "result"}),
        "graphql": (f"{github.url}/api/graphql", {"query": SMALL, "variables": {"i": {"discussionId": thread.id, "body": "c"}}}),
    }
    github.fail_at(1, kind, seconds=0.2)
    assert answered(f"{github.url}/api/graphql", "t-owner", {"query": "{ viewer { login } }"}) == 200
    start = time.monotonic()
    assert answered(calls[where][0], "t-owner", calls[where][1]) == status
    assert (time.monotonic() - start >= 0.2) == kind.startswith("silent")
    assert bool(upstream.labels if where == "rest" else thread.comments) == executed
    assert answered(f"{github.url}/api/graphql", "t-owner", {"query": "{ viewer { login } }"}) == 200
    what = {"rest": "POST /repos/karpathy/autoresearch/labels", "graphql": "addDiscussionComment"}[where]
    assert [(r.what, r.fault) for r in github.requests] == [("viewer", None), (what, kind), ("viewer", None)]
    assert github.count == 3


@pytest.mark.parametrize(("kind", "status", "executed"), ANY)
def test_the_nth_request_of_a_push_goes_wrong(
    github: GitHub, upstream: Repository, clone: Path, kind: str, status: int | str, executed: bool
) -> None:
    github.user("karpathy", token="t-owner")
    before = github.count
    for n in (2,) if isinstance(status, int) else (2, 3):  # git sends a request again whose connection ends without an answer
        github.fail_at(n, kind, seconds=0.2)
    done = git("push", "-q", "origin", "HEAD", cwd=clone, token="t-owner")
    refs = "/karpathy/autoresearch.git/info/refs?service=git-receive-pack"
    push = "POST /karpathy/autoresearch.git/git-receive-pack"
    assert [r.what for r in github.requests[before:]][:3] == [f"GET {refs}", f"GET {refs}", push]
    assert done.returncode != 0
    assert (str(status) if isinstance(status, int) else "error: RPC failed") in done.stderr
    assert ("refs/heads/exp/cpu/t" in upstream.refs()) == executed


@pytest.mark.parametrize("after", [False, True])
def test_a_client_can_be_killed_at_its_nth_request(github: GitHub, upstream: Repository, clone: Path, after: bool) -> None:
    github.user("karpathy", token="t-owner")
    url = github.url.replace("//", "//x:t-owner@") + "/karpathy/autoresearch.git"
    pushing: list[subprocess.Popen[bytes]] = []
    started = threading.Event()

    def kill() -> None:
        started.wait()
        os.killpg(pushing[0].pid, signal.SIGKILL)
        pushing[0].wait()

    github.on_request(2, kill, after=after)
    if not after:
        github.fail_at(2, "reset")
    pushing.append(subprocess.Popen(["git", "push", "-q", url, "HEAD"], cwd=clone, start_new_session=True))
    started.set()
    assert pushing[0].wait() == -signal.SIGKILL
    assert ("refs/heads/exp/cpu/t" in upstream.refs()) == after


def test_a_new_fork_is_not_there_at_once(github: GitHub, upstream: Repository, ada: Github) -> None:
    upstream.fork_latency = 3
    assert ada.get_repo("karpathy/autoresearch").create_fork().full_name == "ada/autoresearch"
    url = f"{github.url}/ada/autoresearch.git"
    assert "not found" in git("ls-remote", url, token="t-ada").stderr
    for _ in range(2):
        with pytest.raises(UnknownObjectException):
            ada.get_repo("ada/autoresearch")
    assert ada.get_repo("ada/autoresearch").fork
    assert "refs/heads/main" in git("ls-remote", url, token="t-ada").stdout


def test_refs_that_the_host_refuses_cost_no_others(github: GitHub, upstream: Repository, clone: Path) -> None:
    github.user("karpathy", token="t-owner")
    upstream.refuse_push("refs/autoresearch/*", "it's not for you")
    done = git("push", "origin", "HEAD", "HEAD:refs/autoresearch/cpu/t", cwd=clone, token="t-owner")
    assert done.returncode == 1
    assert "! [remote rejected] HEAD -> refs/autoresearch/cpu/t (hook declined)" in done.stderr
    assert "remote: it's not for you" in done.stderr
    assert upstream.refs("refs/heads/exp", "refs/autoresearch").keys() == {"refs/heads/exp/cpu/t"}


def test_protected_branches_only_go_forward(github: GitHub, upstream: Repository, clone: Path) -> None:
    github.user("karpathy", token="t-owner")
    upstream.protect("refs/heads/exp/*")
    assert git("push", "-q", "origin", "HEAD", cwd=clone, token="t-owner").returncode == 0
    later = commit(clone, "depth = 10\n")
    assert git("push", "-q", "origin", "HEAD", cwd=clone, token="t-owner").returncode == 0
    for pushed in ("+HEAD~:exp/cpu/t", ":exp/cpu/t"):
        done = git("push", "origin", pushed, cwd=clone, token="t-owner")
        assert "GH006: Protected branch update failed for refs/heads/exp/cpu/t" in done.stderr
        assert "(hook declined)" in done.stderr
    assert upstream.refs("refs/heads/exp") == {"refs/heads/exp/cpu/t": later}
    assert git("push", "-q", "origin", "+HEAD~:refs/heads/other", cwd=clone, token="t-owner").returncode == 0


# -- the whole world --------------------------------------------------------------------------------------------

WORLD = """\
ada/autoresearch (fork of karpathy/autoresearch)
  refs/heads/exp/cpu/t <1> depth = 9
  refs/heads/main <2> base

karpathy/autoresearch (with Discussions)
  refs/heads/main <2> base
  refs/pull/1/head <1> depth = 9
  pull #1 by ada: deeper [open, draft, label result]
    ada:exp/cpu/t <1> → main <2>
    | See http://github/karpathy/autoresearch/discussions/2, head <1>.
    comment by bob
      | nice
  discussion #2 by ada: report [show-and-tell]
    | <1>
    comment by ada
      | more
      comment by bob
        | why?
"""


def test_the_world_as_text(github: GitHub, upstream: Repository, ada: Github, clone: Path) -> None:
    repository = ada.get_repo("karpathy/autoresearch")
    fork = repository.create_fork()
    git("push", "-q", fork.clone_url, "HEAD", cwd=clone, token="t-ada")
    pull = repository.create_pull("main", "ada:exp/cpu/t", title="deeper", draft=True)
    report = discuss(ada, upstream, pull.head.sha)
    pull.edit(body=f"See {repository.html_url}/discussions/{report.number}, head {pull.head.sha[:10]}.")
    report.add_comment("more")
    thread = upstream.discussions[report.number].comments[0]
    upstream.add_comment(upstream.discussions[report.number], github.person("bob"), "why?", thread)
    upstream.add_comment(upstream.pulls[1], github.person("bob"), "nice")
    upstream.pulls[1].labels.append(upstream.label("result"))
    assert github.dump() == WORLD
