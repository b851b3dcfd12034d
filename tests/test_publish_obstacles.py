"""Where publishing cannot do all that it would: it says so before it writes, or tells what it has done, and goes on next time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from author import BRANCH, FORK, HUB, NOTEBOOK, Author, said
from conftest import Ran
from github_standin import git

from autoresearch_git.community import record


def stopped(ada: Author, *arguments: str) -> tuple[Ran, list[str]]:
    """A publication that fails on the way: (the command, what it says that was done)."""
    ran = ada.run("publish", "--yes", *arguments)
    assert ran.code == 1, ran.err
    assert "run the same command again to go on: it looks at what is there, and does nothing twice" in ran.err
    return ran, [line.removeprefix("done so far: ") for line in ran.err.splitlines() if line.startswith("done so far: ")]


def notes(ran: Ran) -> list[str]:
    return [line.removeprefix("note: ") for line in ran.err.splitlines() if line.startswith("note: ")]


def the_paper_is_in_the_pull_request(ada: Author) -> bool:
    told = record.read(ada.pull.body)
    sections = ("Not meant to be merged", "## Highlights", "## Top wins", "## Setup", "<summary>All 6 experiments</summary>")
    return bool(told and told.head == ada.tip and told.findings) and all(text in ada.pull.body for text in sections)


# -- no Discussion ----------------------------------------------------------------------------------------------


def test_without_discussions_the_pull_request_holds_the_paper(ada: Author) -> None:
    ada.hub.has_discussions_enabled = False
    ran = ada.publish()
    assert ran.out.splitlines() == [f"{ada.url}/pull/1"]
    assert notes(ran) == [f"{HUB} has no Discussions, so the paper is the pull request's body"]
    assert the_paper_is_in_the_pull_request(ada)
    assert "Discussion" not in ada.pull.body
    seen = len(ada.github.requests)
    ada.publish()
    assert ada.written(seen) == []
    ada.hub.has_discussions_enabled = True  # then it moves there
    ada.publish()
    assert f"{ada.url}/discussions/2" in ada.pull.body
    assert "## Setup" in ada.discussion.body
    assert "## Setup" not in ada.pull.body


def test_a_category_that_is_missing_is_told_and_the_next_is_taken(ada: Author) -> None:
    ada.world.configure(category="results")
    ran = ada.publish()
    assert ada.discussion.category.slug == "show-and-tell"
    assert notes(ran) == [f"{HUB} has no such category: results; the paper goes to show-and-tell"]


def test_the_paper_goes_where_the_user_says_else_to_general(ada: Author) -> None:
    next(c for c in ada.hub.categories if c.slug == "show-and-tell").announcement = True
    ada.publish()
    assert ada.discussion.category.slug == "general"
    other = ada.github.repository("ada/other")
    other.import_from(ada.world.root / ".git", ["+refs/heads/main:refs/heads/main"])
    ada.world.configure(category="ideas")
    assert notes(ada.publish("--to", "ada/other")) == []
    assert [d.category.slug for d in other.discussions.values()] == ["ideas"]


def test_where_only_maintainers_may_post_the_pull_request_holds_the_paper(ada: Author) -> None:
    for category in ada.hub.categories:
        category.announcement = category.slug in ("show-and-tell", "general", "ideas")
    ada.world.configure(category="ideas")
    ran = ada.publish()
    assert ran.out.splitlines() == [f"{ada.url}/pull/1"]
    assert notes(ran) == [f"{HUB} lets you open nothing there: ideas",
                          f"{HUB} has no category that you may post a paper in, so it is the pull request's body"]  # fmt: skip
    assert the_paper_is_in_the_pull_request(ada)


def test_a_discussion_that_is_refused_leaves_the_paper_in_the_pull_request(ada: Author) -> None:
    """Everything looked well: the rights were taken away between the question and the write."""

    def take_away() -> None:
        for category in ada.hub.categories:
            category.announcement = True

    counted = ada.github.count
    ada.run("publish")  # asks what is there, as the next one will, and nobody agrees
    asked = ada.github.count - counted
    ada.github.on_request(asked + 1, take_away)
    ran = ada.publish()
    assert ran.out.splitlines() == [f"{ada.url}/pull/1"]
    assert len(notes(ran)) == 2
    assert all("opening a Discussion was refused" in note for note in notes(ran))
    assert notes(ran)[1].endswith("; the paper is the pull request's body")
    assert ada.hub.discussions == {}
    assert the_paper_is_in_the_pull_request(ada)


# -- refused before anything is written ---------------------------------------------------------------------------


def archived(ada: Author) -> None:
    ada.hub.is_archived = True


def without_commits(ada: Author) -> None:
    git.run(ada.hub.git_dir, "update-ref", "-d", "refs/heads/main")


def fine_grained(ada: Author) -> None:
    ada.token = "github_pat_of_ada"
    ada.github.user("ada", token=ada.token, fine_grained=True)


def without_scopes(ada: Author) -> None:
    ada.token = "t-gist"
    ada.github.user("ada", token=ada.token, scopes=("gist", "read:org"))


def unforkable(ada: Author) -> None:
    ada.hub.forking_allowed = False


@pytest.mark.parametrize(
    ("arrange", "message", "hint"),
    [
        (archived, f"{HUB} is archived, so nothing can be published there", "git autoresearch publish --to OWNER/NAME"),
        (without_commits, f"{HUB} has no commits, so there is nothing to open a pull request against", "push its default branch first: git push "),
        (fine_grained, "the token from GH_ENTERPRISE_TOKEN is a fine-grained one, and those cannot open pull requests in "
                       f"{HUB}, which others own", "gh auth login, or use a classic token with the scope public_repo"),
        (without_scopes, f"the token from GH_ENTERPRISE_TOKEN lacks the scope public_repo, so it cannot publish to {HUB}",
                         "gh auth refresh --scopes public_repo, or use a classic token that has it"),
        (unforkable, f"you may not push to {HUB}, and it cannot be forked", "git autoresearch publish --to OWNER/NAME"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_is_written(
    ada: Author, arrange: Callable[[Author], None], message: str, hint: str
) -> None:
    arrange(ada)
    before = ada.github.dump(), ada.world.git("for-each-ref")
    told = ada.refused()
    assert (told[0], told[1].startswith(hint)) == (message, True)
    assert (ada.written(), ada.github.dump(), ada.world.git("for-each-ref")) == ([], *before)


def test_a_private_repository_takes_a_token_for_private_ones(ada: Author) -> None:
    ada.hub.is_private = True
    ada.hub.allow("ada", "write")
    ada.github.user("ada", token="t-public", scopes=("public_repo",))
    ada.token = "t-public"
    assert ada.refused()[0] == f"the token from GH_ENTERPRISE_TOKEN lacks the scope repo, so it cannot publish to {HUB}"


def test_a_fine_grained_token_does_for_a_repository_of_ones_own(ada: Author) -> None:
    own = ada.github.repository("ada/own", discussions=True)
    own.import_from(ada.world.root / ".git", ["+refs/heads/main:refs/heads/main"])
    ada.world.git("remote", "set-url", "origin", f"{ada.github.url}/ada/own.git")
    fine_grained(ada)
    assert ada.publish().out.splitlines() == [f"{ada.github.url}/ada/own/pull/1", f"{ada.github.url}/ada/own/discussions/2"]


# -- refused on the way -------------------------------------------------------------------------------------------


def test_where_drafts_are_refused_an_ordinary_pull_request_says_what_it_is(ada: Author) -> None:
    ada.hub.drafts_allowed = False
    ada.publish()
    assert not ada.pull.is_draft
    assert "It stands as an ordinary pull request, not as a draft; please do not merge it all the same." in ada.pull.body
    seen = len(ada.github.requests)
    ada.publish()
    assert ada.written(seen) == []


def test_a_protected_branch_is_told_with_what_to_do_and_what_was_done(ada: Author) -> None:
    ada.github.repository(FORK, parent=ada.hub)
    ada.fork.refuse_push("refs/heads/exp/*", "error: GH013: Repository rule violations found for refs/heads/exp/cpu/t.")
    ran, done = stopped(ada)
    message, hint = said(ran)
    assert f"/{FORK}.git does not take refs/heads/exp/cpu/t: GH013: Repository rule violations found" in message
    assert hint == "push to a fork, or ask its owner to let this through"
    assert done == []
    assert (ada.hub.pulls, ada.fork.refs("refs/autoresearch")) == ({}, {})


def test_where_the_notebook_is_refused_the_rest_is_published_and_does_not_speak_of_it(ada: Author) -> None:
    ada.github.repository(FORK, parent=ada.hub)
    ada.fork.refuse_push("refs/autoresearch/*", "error: refusing to update hidden ref")
    ran = ada.publish()
    assert ran.out.splitlines() == [f"{ada.url}/pull/1", f"{ada.url}/discussions/2"]
    (note,) = notes(ran)
    assert "does not take the notebook, so the discards are in results.tsv alone" in note
    assert "refs/autoresearch" not in ada.pull.body + ada.discussion.body
    assert git.run(ada.fork.git_dir, "show", f"{BRANCH}:results.tsv").count("\tdiscard\t") == 4
    ada.fork.git_dir.joinpath("hooks", "update").unlink()
    ada.publish()
    assert "refs/autoresearch/cpu/t" in ada.pull.body
    assert ada.fork.refs("refs/autoresearch") == {NOTEBOOK: ada.world.git("rev-parse", NOTEBOOK)}


def test_without_discards_no_notebook_is_pushed_or_spoken_of(ada: Author) -> None:
    ada.publish("--without-discards")
    assert ada.fork.refs("refs/autoresearch") == {}
    assert "refs/autoresearch" not in ada.pull.body + ada.discussion.body


def test_a_session_on_another_history_is_refused_with_a_way_out(ada: Author) -> None:
    ada.hub.commit({"README.md": "another project\n"}, parent="")
    ran, done = stopped(ada)
    message, hint = said(ran)
    assert f"{HUB}: opening a pull request was refused" in message
    assert "has no history in common with main" in message
    assert hint == "publish it where its base comes from: git autoresearch publish --to OWNER/NAME"
    assert [line.partition(" http")[0].partition(",")[0] for line in done] == [
        "made the fork", "pushed exp/cpu/t", f"pushed {NOTEBOOK} to {FORK}",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["reset", "502", "silent"])
def test_a_push_that_the_network_breaks_off_is_made_once_more(ada: Author, kind: str) -> None:
    ada.github.repository(FORK, parent=ada.hub)
    ada.run("publish")  # asks what is there, as the next one will, and nobody agrees
    looked = sum(request.kind == "git" for request in ada.github.requests)
    ada.github.fail(kind, where="git", after=looked - 2, seconds=0.1)  # on a connection that is new: else git tries again itself
    assert ada.publish().out.splitlines() == [f"{ada.url}/pull/1", f"{ada.url}/discussions/2"]
    (broken,) = (request for request in ada.github.requests if request.fault)
    assert broken.path == f"/{FORK}.git/info/refs?service=git-receive-pack"


def test_a_rate_limit_beyond_patience_is_told_and_a_later_run_completes(ada: Author) -> None:
    ada.github.repository(FORK, parent=ada.hub)
    ada.github.fail("secondary", where="rest", after=3, retry_after=300)  # three questions look for pull requests
    ran, done = stopped(ada)
    message, hint = said(ran)
    assert message.startswith(f"the rate limit of {HUB} lasts until ")
    assert hint == "run the same command again after that; what was published is kept"
    assert done == [f"pushed exp/cpu/t, 4 commits from its base, to {FORK}", f"pushed {NOTEBOOK} to {FORK}"]
    assert (ada.hub.pulls, ada.hub.discussions) == ({}, {})
    assert ada.publish().out.splitlines() == [f"{ada.url}/pull/1", f"{ada.url}/discussions/2"]


def test_a_short_rate_limit_is_waited_for(ada: Author) -> None:
    ada.github.fail("secondary", where="rest", retry_after=1)
    ran = ada.publish()
    assert f"rate limit of {HUB}: waiting 1 s, until " in ran.err
    assert len(ada.hub.pulls) == len(ada.hub.discussions) == 1


# -- what others did meanwhile ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["closed", "merged"])
def test_a_pull_request_that_the_maintainer_closed_stays_as_it_is(ada: Author, state: str) -> None:
    ada.publish()
    if state == "merged":
        ada.pull.state, ada.pull.merged_at = "MERGED", ada.github.now()
    else:
        ada.pull.state = "CLOSED"
    ada.pull.closed_at = ada.github.now()
    body, discussion = ada.pull.body, ada.discussion.body
    ada.go_on(1)
    ran = ada.publish()
    then = "; reopen it there, and it follows" if state == "closed" else ""
    assert notes(ran) == [f"{ada.url}/pull/1 was {state} there, so it stays as it is{then}"]
    assert (ada.pull.state, ada.pull.body) == (state.upper(), body)
    assert ada.discussion.body != discussion
    assert "in 7 experiments" in ada.discussion.title
    seen = len(ada.github.requests)
    ada.publish()
    assert ada.written(seen) == []


def test_another_session_of_the_same_name_is_not_overwritten(ada: Author) -> None:
    """Another machine of hers has published its cpu/t already."""
    ada.github.repository(FORK, parent=ada.hub)
    theirs = ada.fork.commit({"solver.py": "ALPHA = 0.4\nN = 5\n"}, branch="exp/cpu/t")
    message, hint = ada.refused()
    assert message == f"{FORK} has another {BRANCH} ({theirs[:7]}): another session's, or this one's from elsewhere"
    assert hint == "if it is another session's: git autoresearch publish cpu/t --as t-2"
    assert ada.written() == []
    ada.publish("--as", "t-2")
    assert ada.pull.head_ref_name == "exp/cpu/t-2"
    assert ada.fork.refs(BRANCH) == {BRANCH: theirs}
    assert set(ada.fork.refs("refs/autoresearch")) == {"refs/autoresearch/cpu/t-2"}
    told = record.read(ada.pull.body)
    assert told
    assert (told.session, told.branch, told.head) == ("cpu/t-2", "exp/cpu/t-2", ada.tip)
    ada.go_on(1)
    ada.publish()  # the name is remembered
    assert (ada.pull.head_ref_oid, len(ada.hub.pulls), len(ada.hub.discussions)) == (ada.tip, 1, 1)


def test_a_tag_with_a_slash_is_one_name(ada: Author) -> None:
    ada.world.ok("start", "--tag", "depth/8", "--experiments", "1")
    ada.publish("depth/8")
    seen = len(ada.github.requests)
    ada.publish("depth/8")
    assert ada.written(seen) == []
    assert ada.pull.head_ref_name == "exp/cpu/depth/8"


def test_a_commit_that_slips_into_the_pull_request_is_noticed(ada: Author) -> None:
    """Somebody with rights pushed onto the branch: that is not what the notebook says, and is not moved away unseen."""
    ada.publish()
    pushed = ada.fork.commit({"solver.py": "ALPHA = 9\nN = 9\n"}, branch="exp/cpu/t")
    message, _ = ada.refused()
    assert message == f"{FORK} has another {BRANCH} ({pushed[:7]}): another session's, or this one's from elsewhere"
    assert ada.fork.refs(BRANCH) == {BRANCH: pushed}
