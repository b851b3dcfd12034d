"""Publishing to GitHub: the real client over the wire, against the stand-in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from github_standin import GitHub, git
from github_standin.repository import Repository

from autoresearch_git.community.github import (
    Category,
    Discussion,
    LimitReachedError,
    LostAnswerError,
    PullRequest,
    RefusedError,
    Writer,
)
from autoresearch_git.errors import AutoresearchError

HUB = "karpathy/autoresearch"


@dataclass
class Desk:
    """A writer, what it told, and how long it would have slept."""

    hub: GitHub
    token: str = "t-ada"
    patience: float = 900
    timeout: float = 5
    api: str = ""
    told: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    @property
    def writer(self) -> Writer:
        return Writer(self.api or self.hub.api_url, HUB, HUB, self.token, "GH_TOKEN", self.told.append, self.patience,
                      timeout=self.timeout, sleep=self.slept.append)  # fmt: skip


@pytest.fixture
def upstream(github: GitHub) -> Repository:
    """Somebody else's repository, where ada may read and discuss, and her fork of it with a branch."""
    repository = github.repository(HUB, discussions=True)
    repository.commit({"train.py": "depth = 8\n"}, message="base")
    github.user("ada", token="t-ada")
    fork = github.repository("ada/autoresearch", parent=repository)
    fork.commit({"train.py": "depth = 9\n"}, branch="exp/cpu/t", message="deeper")
    return repository


@pytest.fixture
def desk(github: GitHub, upstream: Repository) -> Desk:
    return Desk(github)


def slot(repository: Repository, slug: str = "show-and-tell") -> str:
    return next(c.id for c in repository.categories if c.slug == slug)


def open_pull(writer: Writer, **changes: Any) -> PullRequest:
    given = {"title": "deeper", "body": "b", "head": "ada:exp/cpu/t", "base": "main", "draft": False}
    return writer.create_pull(**{**given, **changes})


def discuss(
    writer: Writer, upstream: Repository, body: str = "b", slug: str = "show-and-tell", title: str = "report"
) -> Discussion:
    return writer.create_discussion(upstream.id, slot(upstream, slug), title, body)


# -- looking ----------------------------------------------------------------------------------------------------


def test_one_question_tells_all_that_publishing_needs_to_know(github: GitHub, upstream: Repository, desk: Desk) -> None:
    label = upstream.label("autoresearch")
    found = desk.writer.look()
    assert github.count == 1
    assert found.viewer == "ada"
    assert (found.id, found.name, found.url) == (upstream.id, HUB, f"{github.url}/{HUB}")
    assert (found.private, found.archived, found.discussions, found.forkable) == (False, False, True, True)
    assert (found.permission, found.default_branch, found.parent) == ("READ", "main", "")
    assert found.head == upstream.refs("refs/heads")["refs/heads/main"]
    assert found.label == label.id
    assert found.fork == "ada/autoresearch"
    assert (found.scopes, found.fine_grained, found.discussions_refused) == (("repo",), False, "")
    assert {c.slug for c in found.categories} - {c.slug for c in found.assignable} == {"announcements"}
    assert Category(slot(upstream, "q-a"), "Q&A", "q-a") in found.assignable


def test_what_is_missing_is_told_as_missing(github: GitHub, desk: Desk, upstream: Repository) -> None:
    github.repository("bob/autoresearch", parent=upstream).allow("ada", "write")  # another one's fork is not hers
    github.user("eve", token="t-eve", fine_grained=True)
    upstream.has_discussions_enabled, upstream.is_archived, upstream.forking_allowed = False, True, False
    found = Desk(github, "t-eve").writer.look()
    assert (found.fork, found.scopes, found.label, found.categories) == ("", None, "", ())
    assert (found.discussions, found.archived, found.forkable) == (False, True, False)
    github.user("eve", token="t-gh", scopes=("gist", "read:org", "public_repo"))
    assert Desk(github, "t-gh").writer.look().scopes == ("gist", "read:org", "public_repo")
    github.repository("ada/empty", private=True)
    empty = Writer(github.api_url, "ada/empty", "ada/empty", "t-ada", "GH_TOKEN", desk.told.append, 1).look()
    assert (empty.default_branch, empty.head, empty.private, empty.permission) == ("", "", True, "ADMIN")
    mine = Writer(github.api_url, "ada/autoresearch", "x", "t-ada", "GH_TOKEN", desk.told.append, 1).look()
    assert (mine.parent, mine.fork) == (HUB, "")


@pytest.mark.parametrize(
    ("kind", "scopes", "fine"),
    [({"fine_grained": True}, None, True), ({"app": True}, None, False), ({"scopes": ()}, None, False),
     ({"scopes": ("gist", "repo")}, ("gist", "repo"), False)],
)  # fmt: skip
def test_what_a_token_does_not_tell_is_not_known(
    github: GitHub, upstream: Repository, kind: dict[str, Any], scopes: tuple[str, ...] | None, fine: bool
) -> None:
    """Its scopes by their header, which is blank for more than one kind of token; that it is fine-grained by its name."""
    secret = "github_pat_0" if fine else "ghu_0" if "app" in kind else "ghp_0"
    github.user("eve", token=secret, **kind)
    found = Desk(github, secret).writer.look()
    assert (found.scopes, found.fine_grained) == (scopes, fine)
    assert secret not in repr(found)


def test_a_token_that_may_not_read_discussions_sees_everything_else(github: GitHub, upstream: Repository) -> None:
    github.user("eve", token="t-eve", fine_grained=True, discussions=False)
    label = upstream.label("autoresearch")
    found = Desk(github, "t-eve").writer.look()
    assert (found.discussions, found.categories, found.assignable) == (False, (), ())
    assert found.discussions_refused == "Resource not accessible by personal access token"
    assert (found.viewer, found.name, found.permission, found.label) == ("eve", HUB, "READ", label.id)
    assert github.count == 2


def test_pull_requests_are_found_by_their_branch_in_every_state(upstream: Repository, desk: Desk) -> None:
    writer = desk.writer
    assert writer.find_pulls("ada", "exp/cpu/t") == []
    first = open_pull(writer)
    writer.set_pull_open(first.number, False)
    second = open_pull(writer, title="again")
    upstream.pull("main", "another branch", author="ada", head_name="exp/cpu/other")
    upstream.pulls[first.number].state, upstream.pulls[first.number].merged_at = "MERGED", "2026-03-02T00:00:00Z"
    upstream.pulls[second.number].labels.append(upstream.label("result"))
    newest, oldest = writer.find_pulls("Ada", "exp/cpu/t")
    assert (newest.number, newest.state, newest.title, newest.labels) == (second.number, "OPEN", "again", ("result",))
    assert (oldest.number, oldest.state) == (first.number, "MERGED")
    assert writer.find_pulls("bob", "exp/cpu/t") == []
    assert newest.head_name == "ada:exp/cpu/t"
    upstream.pulls[second.number].head_repository = None  # the fork was deleted
    assert [pull.head_name for pull in writer.find_pulls("ada", "exp/cpu/t")] == ["", "ada:exp/cpu/t"]


def test_a_discussion_is_found_by_its_number_whoever_posted_it(github: GitHub, upstream: Repository, desk: Desk) -> None:
    mine, theirs = (upstream.discussion("report", "b", author) for author in ("ada", "bob"))
    upstream.discussion("by a ghost", "b").author = None
    pull = open_pull(desk.writer)
    found = [desk.writer.find_discussion_numbered(number) for number in (1, 2, 3)]
    assert [(d.id, d.author, d.editable) for d in found[:2] if d] == [(mine.id, "ada", True), (theirs.id, "bob", False)]
    assert found[2]
    assert found[2].author == ""
    for number in (pull.number, 99):
        assert desk.writer.find_discussion_numbered(number) is None
    gone = Writer(github.api_url, "karpathy/gone", "karpathy/gone", "t-ada", "GH_TOKEN", desk.told.append, 1)
    with pytest.raises(AutoresearchError, match="there is no repository karpathy/gone"):
        gone.find_discussion_numbered(1)
    assert desk.slept == []


def test_listings_are_read_to_their_end(github: GitHub, upstream: Repository, desk: Desk) -> None:
    tip = upstream.refs("refs/heads")["refs/heads/main"]
    rows = [git.commit_command("refs/heads/long", n, f"step {n}", 1772323200 + n, tip if n == 1 else f":{n - 1}",
                               [git.file_command("train.py", f"depth = {n}\n")]) for n in range(1, 102)]  # fmt: skip
    shas = git.fast_import(upstream.git_dir, b"".join(rows), 101)
    pull = upstream.pull("long", "long")
    for _ in range(100):
        upstream.pull("long", "long", state="CLOSED")
    for n in range(51):
        upstream.discussion(f"d{n}", "<!-- mine -->" if n == 0 else "", "ada")
    upstream.discussion("theirs", "<!-- mine --> quoted", "bob")
    writer = desk.writer
    assert writer.commits_of(pull.number) == tuple(shas)
    assert [p.number for p in writer.find_pulls("karpathy", "long")] == list(range(101, 0, -1))
    found = writer.find_discussion(upstream.id, "<!-- mine -->")
    assert found
    assert found.title == "d0"
    assert writer.find_discussion(upstream.id, "nothing") is None
    assert github.count == 2 + 2 + 3 + 3


# -- writing ----------------------------------------------------------------------------------------------------

WORLD = """\
ada/autoresearch (fork of karpathy/autoresearch, with Discussions)
  refs/heads/exp/cpu/t <1> deeper
  refs/heads/main <2> base

karpathy/autoresearch (with Discussions)
  refs/heads/main <2> base
  refs/pull/1/head <1> deeper
  pull #1 by ada: even deeper [open, draft, label autoresearch]
    ada:exp/cpu/t <1> → main <2>
    | see the Discussion
  discussion #2 by ada: report, again [show-and-tell, label autoresearch]
    | all of it
"""


def test_each_write_is_one_request_and_gives_what_is_there_now(github: GitHub, upstream: Repository, desk: Desk) -> None:
    upstream.allow("ada", "write")
    writer = desk.writer
    fork = upstream.hub.find("ada", "autoresearch")
    assert fork
    assert writer.make_fork() == "ada/autoresearch"
    pull = open_pull(writer, draft=True)
    url = f"{github.url}/{HUB}"
    head = fork.refs("refs/heads")["refs/heads/exp/cpu/t"]
    id_ = upstream.pulls[1].id
    assert pull == PullRequest(id_, 1, f"{url}/pull/1", "deeper", "b", "OPEN", True, head, "main", (), "ada", "ada:exp/cpu/t")
    made = discuss(writer, upstream)
    id_ = upstream.discussions[2].id
    assert made == Discussion(id_, 2, f"{url}/discussions/2", "report", "b", False, "show-and-tell", (), "ada", True)
    edited = writer.edit_pull(1, "even deeper", "see the Discussion")
    assert (edited.title, edited.body) == ("even deeper", "see the Discussion")
    assert [writer.set_pull_open(1, is_open).state for is_open in (False, True)] == ["CLOSED", "OPEN"]
    edited_report = writer.edit_discussion(made.id, "report, again", "all of it")
    assert (edited_report.title, edited_report.body) == ("report, again", "all of it")
    assert writer.close_discussion(made.id).closed
    assert not writer.reopen_discussion(made.id).closed
    label = writer.create_label("autoresearch", "0e8a16", "a measured result")
    assert writer.look().label == label
    writer.label(pull.id, label)
    writer.label(made.id, label)
    assert [request.what for request in github.requests] == [
        f"POST /repos/{HUB}/forks", f"POST /repos/{HUB}/pulls", "createDiscussion", f"PATCH /repos/{HUB}/pulls/1",
        f"PATCH /repos/{HUB}/pulls/1", f"PATCH /repos/{HUB}/pulls/1", "updateDiscussion", "closeDiscussion", "reopenDiscussion",
        f"POST /repos/{HUB}/labels", "viewer repository", "addLabelsToLabelable", "addLabelsToLabelable",
    ]  # fmt: skip
    assert (github.dump(), desk.told, desk.slept) == (WORLD, [], [])


def test_a_look_tells_the_writer_the_name_that_the_repository_has_now(github: GitHub, upstream: Repository) -> None:
    writer = Writer(github.api_url, "Karpathy/AutoResearch", HUB, "t-ada", "GH_TOKEN", print, 1)
    assert writer.look().name == HUB
    open_pull(writer)
    assert github.requests[-1].what == f"POST /repos/{HUB}/pulls"


def test_a_fork_is_made_where_there_is_none(github: GitHub, upstream: Repository) -> None:
    upstream.commit({"train.py": "depth = 7\n"}, branch="other")
    github.user("eve", token="t-eve")
    desk = Desk(github, "t-eve")
    assert desk.writer.look().fork == ""
    assert desk.writer.make_fork() == "eve/autoresearch"
    assert desk.writer.look().fork == "eve/autoresearch"
    made = github.find("eve", "autoresearch")
    assert made
    assert made.refs("refs/heads").keys() == {"refs/heads/main"}


Act = Callable[[Writer, Repository], object]
PULL: Act = lambda writer, _: open_pull(writer)  # noqa: E731
TALK: Act = discuss
WRITES = [PULL, TALK]


def things(upstream: Repository) -> int:
    return len(upstream.pulls) + len(upstream.discussions)


@pytest.mark.parametrize("act", WRITES, ids=["rest", "graphql"])
@pytest.mark.parametrize(
    ("kind", "executed"),
    [("500", False), ("502", False), ("504", False), ("reset", False), ("silent", False), ("lost", True), ("garbage", True),
     ("hangup", True), ("reset-after", True), ("silent-after", True)],
)  # fmt: skip
def test_a_write_without_an_answer_is_sent_once(
    github: GitHub, upstream: Repository, desk: Desk, act: Act, kind: str, executed: bool
) -> None:
    github.fail_at(0, kind, seconds=2)
    desk.timeout = 1
    with pytest.raises(LostAnswerError) as caught:
        act(desk.writer, upstream)
    assert "may have worked or not" in caught.value.message
    assert "run the same command again" in caught.value.hint
    assert "t-ada" not in caught.value.message
    assert (github.count, things(upstream)) == (1, executed)
    act_again = desk.writer
    if executed:  # a look finds what was made
        assert len(act_again.find_pulls("ada", "exp/cpu/t")) + bool(act_again.find_discussion(upstream.id, "b")) == 1
    else:
        act(act_again, upstream)
        assert things(upstream) == 1


def test_a_write_that_came_back_in_part_is_no_refusal(github: GitHub, upstream: Repository, desk: Desk) -> None:
    made = upstream.discussion("report", "b", "ada", labels=["result"])
    github.fail("partial")
    with pytest.raises(LostAnswerError):
        desk.writer.edit_discussion(made.id, "report", "better")
    assert (made.body, github.count) == ("better", 1)


def test_a_mutation_that_may_have_timed_out_is_no_refusal(github: GitHub, upstream: Repository, desk: Desk) -> None:
    github.fail("timeout")
    with pytest.raises(LostAnswerError, match="Something went wrong"):
        discuss(desk.writer, upstream)
    assert github.count == 1


def test_nobody_there_is_no_refusal(github: GitHub, upstream: Repository) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Desk(github, api=f"http://127.0.0.1:{taken.getsockname()[1]}/api/v3")
        with pytest.raises(LostAnswerError, match="no connection"):
            open_pull(nobody.writer)
        with pytest.raises(AutoresearchError, match="does not answer: no connection"):
            nobody.writer.look()
    assert nobody.slept == [0.2, 0.4]


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"{}", b'{"message": "moved"}', b"<html>sign in</html>", b'{"data": null}', b"\xff"]
)
def test_an_answer_of_something_else_is_none(body: bytes) -> None:
    """A login page, a proxy, another forge."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard: list[bytes] = []

        def serve() -> None:
            for _ in range(5):
                connection, _ = server.accept()
                with connection:
                    heard.append(connection.recv(65_536))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        thread = threading.Thread(target=serve)
        thread.start()
        api = f"http://127.0.0.1:{server.getsockname()[1]}/api/v3"
        writer = Writer(api, HUB, HUB, "t-ada", "GH_TOKEN", print, 1, timeout=5, sleep=lambda _: None)
        with pytest.raises(LostAnswerError):
            open_pull(writer)
        with pytest.raises(LostAnswerError):
            writer.close_discussion("D_1")
        with pytest.raises(AutoresearchError, match="does not answer"):
            writer.look()
        thread.join()
    assert len(heard) == 5


# -- refusals ---------------------------------------------------------------------------------------------------


def refused(act: Callable[[], object]) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        act()
    return caught.value


def test_refusals_of_pull_requests_can_be_told_apart(github: GitHub, upstream: Repository, desk: Desk) -> None:
    writer = desk.writer
    fork = github.find("ada", "autoresearch")
    assert fork
    fork.commit({"train.py": "depth = 1\n"}, branch="alone", parent="", message="another root")
    reasons = {}
    upstream.drafts_allowed = False
    reasons["draft"] = refused(lambda: open_pull(writer, draft=True))
    reasons["same"] = refused(lambda: open_pull(writer, head="ada:main"))
    reasons["alone"] = refused(lambda: open_pull(writer, head="ada:alone"))
    reasons["long"] = refused(lambda: open_pull(writer, body="x" * 65_537))
    reasons["nothing"] = refused(lambda: open_pull(writer, head="ada:nothing"))
    open_pull(writer)
    reasons["second"] = refused(lambda: open_pull(writer))
    upstream.is_archived = True
    reasons["archived"] = refused(lambda: writer.edit_pull(1, "t", "b"))
    assert {name: (error.status, error.reason) for name, error in reasons.items()} == {
        "draft": (422, "drafts"), "same": (422, "no-commits"), "alone": (422, "no-history"), "long": (422, "too-long"),
        "nothing": (422, ""), "second": (422, "exists"), "archived": (403, "archived"),
    }  # fmt: skip
    assert reasons["alone"].said == "The ada:alone branch has no history in common with main"
    assert reasons["nothing"].said == "head invalid"
    assert reasons["second"].message == (
        f"{HUB}: opening a pull request was refused: A pull request already exists for ada:exp/cpu/t."
    )
    assert len(upstream.pulls) == 1
    assert desk.slept == []


def test_refusals_of_discussions_and_labels_can_be_told_apart(github: GitHub, upstream: Repository, desk: Desk) -> None:
    writer = desk.writer
    label = upstream.label("autoresearch")
    made = discuss(writer, upstream)
    rows = {
        "announcement": refused(lambda: discuss(writer, upstream, slug="announcements")),
        "long": refused(lambda: discuss(writer, upstream, body="x" * 65_537)),
        "label": refused(lambda: writer.label(made.id, label.id)),
        "unknown": refused(lambda: writer.edit_discussion("D_none", "t", "b")),
    }
    upstream.has_discussions_enabled = False
    rows["off"] = refused(lambda: discuss(writer, upstream))
    upstream.allow("ada", "write")
    rows["twice"] = refused(lambda: writer.create_label("autoresearch", "ffffff", ""))
    upstream.is_archived = True
    rows["archived"] = refused(lambda: writer.reopen_discussion(made.id))
    assert {name: (error.status, *error.types, error.reason) for name, error in rows.items()} == {
        "announcement": (200, "FORBIDDEN", ""), "long": (200, "UNPROCESSABLE", "too-long"), "label": (200, "FORBIDDEN", ""),
        "unknown": (200, "NOT_FOUND", ""), "off": (200, "UNPROCESSABLE", "no-discussions"), "twice": (422, "exists"),
        "archived": (200, "FORBIDDEN", "archived"),
    }  # fmt: skip
    assert "announcements" in rows["announcement"].said


@pytest.mark.parametrize(("scopes", "fine"), [(("read:user",), False), ((), True)])
def test_tokens_that_may_not_write(github: GitHub, upstream: Repository, scopes: tuple[str, ...], fine: bool) -> None:
    github.user("eve", token="t-eve", scopes=scopes, fine_grained=fine)
    upstream.allow("eve", "write")
    writer = Desk(github, "t-eve").writer
    rest, graphql = refused(writer.make_fork), refused(lambda: discuss(writer, upstream))
    assert (rest.status, graphql.types) == ((403, {"FORBIDDEN"}) if fine else (404, {"INSUFFICIENT_SCOPES"}))
    for error in (rest, graphql):
        assert ("fine-grained" if fine else "gh auth refresh --scopes public_repo") in error.hint
    assert things(upstream) == 0


def test_a_token_or_a_repository_that_is_not_there(github: GitHub, upstream: Repository, desk: Desk) -> None:
    stranger = Desk(github, "t-wrong").writer
    acts: tuple[Callable[[], object], ...] = (
        stranger.look, lambda: stranger.find_pulls("ada", "x"), lambda: open_pull(stranger), lambda: discuss(stranger, upstream))  # fmt: skip
    for act in acts:
        with pytest.raises(AutoresearchError) as caught:
            act()
        assert caught.value.message == f"{HUB} refuses the token from GH_TOKEN"
        assert "gh auth login" in caught.value.hint
    gone = Writer(github.api_url, "karpathy/gone", "karpathy/gone", "t-ada", "GH_TOKEN", desk.told.append, 1)
    with pytest.raises(AutoresearchError, match="there is no repository karpathy/gone"):
        gone.look()
    assert github.count == 5


# -- limits, and reading again ----------------------------------------------------------------------------------


@pytest.mark.parametrize("act", WRITES, ids=["rest", "graphql"])
@pytest.mark.parametrize("kind", ["secondary", "429", "rate-limit", "too-quickly", "blocked"])
def test_a_limit_is_waited_for_and_the_write_sent_again(
    github: GitHub, upstream: Repository, desk: Desk, act: Act, kind: str
) -> None:
    for n in range(2):
        github.fail_at(n, kind, seconds=3, retry_after=7)
    act(desk.writer, upstream)
    assert (github.count, things(upstream)) == (3, 1)
    assert len(desk.slept) == 2
    assert all(2 <= seconds <= 7 for seconds in desk.slept)
    assert desk.told[0].startswith(f"rate limit of {HUB}: waiting {desk.slept[0]:.0f} s, until ")


@pytest.mark.parametrize("act", [*WRITES, lambda writer, _: writer.look()], ids=["rest", "graphql", "look"])
def test_a_limit_beyond_patience_ends_it(github: GitHub, upstream: Repository, desk: Desk, act: Act) -> None:
    for n in range(3):
        github.fail_at(n, "secondary", retry_after=40)
    desk.patience = 100
    with pytest.raises(LimitReachedError, match="lasts until") as caught:
        act(desk.writer, upstream)
    assert "what was published is kept" in caught.value.hint
    assert (github.count, things(upstream), desk.slept) == (3, 0, [40, 40])  # the third would make 120


@pytest.mark.parametrize("act", WRITES, ids=["rest", "graphql"])
@pytest.mark.parametrize("kind", ["too-quickly", "blocked"])
def test_what_was_created_too_quickly_is_a_limit_and_no_refusal(
    github: GitHub, upstream: Repository, desk: Desk, act: Act, kind: str
) -> None:
    for n in range(2):
        github.fail_at(n, kind)
    desk.patience = 90
    with pytest.raises(LimitReachedError):
        act(desk.writer, upstream)
    assert (github.count, things(upstream), desk.slept) == (2, 0, [60])  # nobody said for how long


@pytest.mark.parametrize("kind", ["500", "502", "garbage", "hangup", "reset", "silent"])
@pytest.mark.parametrize("times", [2, 3])
def test_reading_is_tried_again(github: GitHub, upstream: Repository, desk: Desk, kind: str, times: int) -> None:
    desk.timeout = 1
    reads: tuple[Callable[[], object], ...] = (desk.writer.look, lambda: desk.writer.find_pulls("ada", "exp/cpu/t"))
    for read in reads if kind != "silent" else reads[:1]:
        desk.slept.clear()
        for n in range(times):
            github.fail_at(n, kind, seconds=2)
        if times == 2:
            read()
        else:
            with pytest.raises(AutoresearchError, match="does not answer") as caught:
                read()
            assert not isinstance(caught.value, LostAnswerError)
        assert desk.slept == [0.2, 0.4]
    assert github.count == 3 * (1 if kind == "silent" else 2)


def test_a_question_that_timed_out_over_there_is_asked_again(github: GitHub, upstream: Repository, desk: Desk) -> None:
    github.fail("timeout", times=2)
    assert desk.writer.look().viewer == "ada"
    assert github.count == 3
