"""Publishing again from another state of the world: other rights, other machines, names that changed, branches that went."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

from author import Author, said
from conftest import World
from github_standin import git

from autoresearch_git.community import record

HUB = "karpathy/autoresearch"


def test_a_session_stays_where_its_pull_request_comes_from(ada: Author) -> None:
    """Rights that were given since, or a --fork that is left out, open no second pull request."""
    ada.publish()
    ada.hub.allow("ada", "write")
    ran = ada.publish()
    assert "its pull request comes from ada:exp/cpu/t, so that is where it is pushed to" in ran.err
    assert ran.err.splitlines()[-2] == "nothing to do: everything is in place"
    ada.go_on(1)
    ada.publish()
    assert (len(ada.hub.pulls), ada.pull.head_label, ada.pull.head_ref_oid) == (1, "ada:exp/cpu/t", ada.tip)
    assert "refs/heads/exp/cpu/t" not in ada.hub.refs()


def test_a_fork_from_elsewhere_in_the_network_is_used_again(ada: Author) -> None:
    """GitHub has one fork for each of us in a network, whatever it was forked from."""
    middle = ada.github.repository("bob/autoresearch", parent=ada.hub)
    ada.github.repository("ada/autoresearch", parent=middle)
    ada.publish()
    ada.go_on(1)
    ada.publish()
    assert (len(ada.hub.pulls), ada.pull.head_ref_oid) == (1, ada.tip)


def test_a_repository_is_published_to_under_the_name_that_it_has(ada: Author) -> None:
    ada.publish("--to", HUB.upper())
    told = ada.github.dump()
    ran = ada.publish("--to", HUB)
    assert "nothing to do: everything is in place" in ran.err
    assert ada.github.dump() == told


def test_a_pull_request_of_ones_own_hand_is_left_alone(ada: Author) -> None:
    """Another one from the same branch, into another base, is none of ours."""
    ada.publish()
    fork = ada.github.find("ada", "autoresearch")
    assert fork
    ada.hub.commit({"x": "y"}, branch="dev")
    own = ada.hub.pull("exp/cpu/t", "by hand", "my own words", author="ada", head_repository=fork, base="dev")
    ada.go_on(1)
    ada.publish()
    assert (own.title, own.body) == ("by hand", "my own words")
    assert len(ada.hub.pulls) == 2


def test_what_was_withdrawn_and_lost_its_branch_is_published_anew(ada: Author) -> None:
    ada.publish()
    ada.publish("--unpublish")
    fork = ada.github.find("ada", "autoresearch")
    assert fork
    git.run(fork.git_dir, "update-ref", "-d", "refs/heads/exp/cpu/t")
    ada.publish()
    assert [p.state for p in ada.hub.pulls.values()].count("OPEN") == 1
    assert [d.closed for d in ada.hub.discussions.values()] == [False]


def test_withdrawing_changes_nothing_but_a_note(ada: Author) -> None:
    """Experiments since the publication are not published by taking it back."""
    ada.publish()
    before = ada.pull.body, ada.discussion.body
    ada.go_on(2)
    ada.publish("--unpublish")
    for old, new in zip(before, (ada.pull.body, ada.discussion.body), strict=True):
        lines = [line for line in new.splitlines() if line not in old.splitlines()]
        assert lines == ["<!-- git-autoresearch withdrawn -->",
                         "> **Withdrawn** by whoever posted it. The commits and the numbers below are as they were."]  # fmt: skip
        assert [line for line in old.splitlines() if line] == [line for line in new.splitlines() if line and line not in lines]
    remembered = json.loads((ada.world.folder() / "published.json").read_text())
    assert (remembered["head"], remembered["withdrawn"]) == (ada.pull.head_ref_oid, True)  # nothing was made that is not there


def test_who_leaves_out_the_discards_once_leaves_them_out(ada: Author) -> None:
    ada.publish("--without-discards")
    ada.go_on(1)
    ada.publish()
    fork = ada.github.find("ada", "autoresearch")
    assert fork
    assert "refs/autoresearch/cpu/t" not in fork.refs()
    ada.publish("--with-discards")
    assert "refs/autoresearch/cpu/t" in fork.refs()


def test_a_session_published_under_another_name_is_found_there(ada: Author) -> None:
    ada.publish("--as", "u")
    (ada.world.folder() / "published.json").unlink()
    assert ada.publish().err.splitlines()[-1] == "nothing to do: everything is in place"
    assert ada.refused("--as", "v")[0] == f"session cpu/t is published as exp/cpu/u already: {ada.discussion_url}"
    assert len(ada.hub.pulls) == len(ada.hub.discussions) == 1


def test_a_machine_that_is_behind_overwrites_nothing(ada: Author, tmp_path: Path) -> None:
    """The same session, taken further and published elsewhere."""
    subprocess.run(["cp", "-R", ada.world.root, tmp_path / "behind"], check=True)
    ada.go_on(2)
    ada.publish()
    told = ada.github.dump()
    behind = Author(ada.github, ada.hub, World(tmp_path / "behind", ada.world.zygote), ada.token)
    message, _ = behind.refused()
    assert "another session's, or this one's from elsewhere" in message
    assert ada.github.dump() == told


def test_the_preview_is_shown_without_contacting_anybody_as_it_is_asked_for(ada: Author) -> None:
    ran = ada.world.run("publish", "--dry-run", "--json", "--as", "u", "--without-discards")
    assert ran.code == 0, ran.err
    shown = json.loads(ran.out)
    assert "/tree/exp/cpu/u" in shown["discussion"]
    assert "refs/autoresearch" not in shown["discussion"]
    assert said(ada.world.run("publish", "--dry-run", "--as", "a b"))[0] == "'a b' cannot be part of a branch's name"


def test_another_account_of_the_same_person_opens_no_second_discussion(ada: Author) -> None:
    """The pull request names the Discussion; who may not change it is told."""
    ada.publish()
    ada.github.user("bot", token="t-bot")
    ada.fork.allow("bot", "write")
    ada.go_on(1)
    bot = Author(ada.github, ada.hub, ada.world, "t-bot")
    message, hint = bot.refused()
    assert message == f"{ada.discussion_url} was posted by ada, and this token may not change it"
    assert hint == "publish with the token of ada"
    ada.hub.allow("bot", "write")
    bot.publish()
    assert (len(ada.hub.pulls), len(ada.hub.discussions), ada.pull.head_ref_oid) == (1, 1, ada.tip)


def test_a_token_in_a_commit_below_the_baseline_is_not_pushed(ada: Author) -> None:
    secret = "ghp_" + "a1B2" * 9
    ada.world.commit({"notes.py": f"TOKEN = '{secret}'\n"}, "private")
    ada.world.ok("start", "--tag", "u", "--experiments", "1")
    message, _ = ada.refused("u")
    assert message.endswith("looks as if it held a token (notes.py), so nothing is published")
    assert ada.written() == []


def test_a_session_published_under_another_name_can_be_built_on(ada: Author, tmp_path: Path) -> None:
    """By a reader who has sessions of both names: it is found, fetched, listed, proven, gone on with and published."""
    ada.hub.allow("ada", "write")
    ada.publish("--as", "real")
    told = record.read(ada.discussion.body)
    assert told
    assert (told.session, told.branch) == ("cpu/real", "exp/cpu/real")
    assert "| session | cpu/real, " in ada.discussion.body
    eve = World(tmp_path / "eve", ada.world.zygote)
    subprocess.run(["git", "clone", "-q", f"{ada.url}.git", str(eve.root)], check=True)
    eve.configure(api_url=ada.github.api_url, metric="score", direction="max", run="{python} bench.py", editable="solver.py")
    for tag in ("t", "real"):
        eve.ok("start", "--tag", tag, "--experiments", "1", "--no-inspiration")
    before = eve.git("for-each-ref", "refs/heads", "refs/autoresearch")
    for body in (ada.pull.body, ada.discussion.body):
        (fetch,) = re.findall(r"^ +(git fetch .+refs/autoresearch/[^&\n]+)", body, re.MULTILINE)
        eve.git(*shlex.split(fetch)[1:])
    assert {s["session"] for s in json.loads(eve.ok("status", "--json"))} == {"cpu/t", "cpu/real", "cpu/karpathy-real"}
    assert eve.ok("log", "karpathy-real", "--verify").startswith("ok: 7 experiments")
    eve.ok("start", "--resume", "--tag", "karpathy-real", "--trust", "--experiments", "1", "--no-inspiration")
    rows = eve.experiments("karpathy-real")
    assert [e["commit"] for e in rows[:7]] == [e["commit"] for e in ada.world.experiments()]
    assert (rows[7]["status"], eve.git("rev-parse", "exp/cpu/karpathy-real")) == ("discard", ada.tip)
    assert eve.ok("log", "karpathy-real", "--verify").startswith("ok: 8 experiments")
    assert set(before.splitlines()) <= set(eve.git("for-each-ref", "refs/heads", "refs/autoresearch").splitlines())
    eve.ok("findings", "--sync", "--platform", "cpu", env={"GH_ENTERPRISE_TOKEN": ada.token})
    (found,) = json.loads(eve.ok("findings", "--platform", "cpu", "--all", "--json"))
    assert (found["finding"], found["source"], found["branch"]) == (f"{HUB}#1", "notebook", "exp/cpu/real")


def test_ones_own_session_under_another_name_is_nobody_elses(ada: Author) -> None:
    """Neither its notebook at the hub, nor its pull request, nor its paper."""
    ada.hub.allow("ada", "write")
    ada.publish("--as", "real")
    ada.world.configure(inspiration="yes")
    ran = ada.run("start", "--resume", "--tag", "t", "--experiments", "1")
    assert ran.code == 0, ran.err
    assert "of others" not in ran.err
    found = json.loads(ada.run("findings", "--platform", "cpu", "--all", "--json").out)
    assert [(f["finding"], f["evidence"]) for f in found] == [(f"{HUB}#1", "yours")]
