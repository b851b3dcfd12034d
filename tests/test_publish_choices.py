"""Before anything is published: what is shown, who is asked, where it goes, and what is refused at once."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from author import FORK, HUB, NOTEBOOK, TOKEN, Author, said
from conftest import World, marked_processes, wait_for
from github_standin import GitHub, git

from autoresearch_git.community import record


def local(world: World) -> tuple[str, str]:
    """All that a publication may leave in the repository besides its objects."""
    names = sorted(str(path.relative_to(world.root)) for path in world.folder().rglob("*") if path.is_file())
    return world.git("for-each-ref"), "\n".join(name for name in names if "/preview/" not in name and not name.endswith("/lock"))


# -- preview and question ---------------------------------------------------------------------------------------


def test_a_dry_run_shows_everything_and_contacts_nobody(ada: Author, tmp_path: Path) -> None:
    before, asked = local(ada.world), ada.github.count
    ran = ada.run("publish", "--dry-run", "--output", str(tmp_path / "there"), env={"GH_ENTERPRISE_TOKEN": ""})
    assert ran.code == 0
    assert ada.github.count == asked
    assert local(ada.world) == before
    files = {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
    assert set(files) == {"paper.md", "pull_request.md", "progress.png"}
    assert files["progress.png"].startswith(b"\x89PNG\r\n")
    assert ran.out.startswith("title: exp/cpu/t: 0.8700 → 0.9900 in 6 experiments\n")
    for name in ("paper.md", "pull_request.md"):
        assert files[name].decode().strip() in ran.out
        assert str(tmp_path / "there" / name) in ran.err
        told = record.read(files[name].decode())
        assert told
        assert told.experiments == {"keep": 2, "discard": 4, "crash": 0}
    told = json.loads(ada.run("publish", "--dry-run", "--json").out)
    assert sorted(told) == ["comments", "commit", "discussion", "pull_request", "title"]
    assert told["discussion"] == files["paper.md"].decode()
    assert ada.github.count == asked


def test_what_a_dry_run_shows_is_what_is_posted(ada: Author) -> None:
    """But for the links, which are not known before, and the fork that it goes to."""
    told = json.loads(ada.run("publish", "--dry-run", "--json").out)
    ada.publish()
    assert told["commit"] == ada.tip == ada.pull.head_ref_oid
    assert told["title"] == ada.pull.title
    for shown, posted in ((told["discussion"], ada.discussion.body), (told["pull_request"], ada.pull.body)):
        tables = [line for line in shown.splitlines() if line.startswith("|")]
        assert len(tables) > 3
        assert tables == [line for line in posted.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04", "nobody"])
def test_nothing_is_written_unless_somebody_agrees(ada: Author, answer: str) -> None:
    before = local(ada.world)
    ran = ada.run("publish") if answer == "nobody" else ada.answer(answer)
    if answer == "\x04":
        assert ran.code == 130
    else:
        assert ran.code == 1
        assert said(ran) == {
            "nobody": ("nobody is there to be asked", "look at it with --dry-run, then add --yes"),
        }.get(answer, ("nothing was published", "the same command again, when you are ready"))  # fmt: skip
    assert ada.written() == []
    assert local(ada.world) == before
    assert (ran.out, ada.github.repositories.keys()) == ("", {HUB})


def test_whoever_agrees_has_seen_where_it_goes_and_what_it_says(ada: Author) -> None:
    ran = ada.answer("y\n")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [f"{ada.url}/pull/1", f"{ada.url}/discussions/2"]
    shown, asked, _ = ran.err.partition("publish this? [y/N]")
    assert asked
    for line in (f"session cpu/t to {HUB} (origin), for everybody to see", "exp/cpu/t: 0.8700 → 0.9900 in 6 experiments",
                 f"exp/cpu/t to {FORK}, a fork that is made first: the baseline, 2 kept experiments, the results",
                 f"{NOTEBOOK}: the baseline and all 6 experiments, also what was discarded", "new, a draft into main",
                 "new, in Show and tell", "## Top wins"):  # fmt: skip
        assert line in shown
    preview = ada.world.folder() / "preview"
    assert str(preview) in shown
    assert {path.name for path in preview.iterdir()} == {"paper.md", "pull_request.md", "progress.png"}


def test_a_target_that_lacks_the_commits_below_the_base_is_told_to_get_them(ada: Author) -> None:
    """A base with work of one's own would publish that too: it is in the preview, before anybody agrees."""
    ada.world.git("checkout", "-q", "-b", "private")
    ada.world.commit({"README.md": "my own\n"}, "unfinished thoughts")
    ada.world.ok("start", "--tag", "u", "--experiments", "1")
    ran = ada.answer("n\n", "u")
    assert "1 commit below the baseline that karpathy/autoresearch does not have, the last: unfinished thoughts" in ran.err


def test_nobody_goes_on_with_a_session_while_its_preview_is_read(ada: Author) -> None:
    """What was agreed to is what is there; a second publication waits for its turn, too."""
    with ada.at_terminal() as terminal:
        wait_for((ada.world.folder() / "preview" / "progress.png").exists)
        for arguments in (("start", "--resume", "--tag", "t", "--experiments", "1"), ("publish", "--yes")):
            ran = ada.run(*arguments)
            assert ran.code == 1
            assert "session cpu/t is being worked on by process" in ran.err
        ran = terminal.answer("y\n")
    assert ran.code == 0, ran.err
    assert ada.pull.head_ref_oid == ada.tip


def test_another_git_identity_while_the_preview_is_read_changes_nothing(ada: Author) -> None:
    ada.go_on(1)
    with ada.at_terminal() as terminal:
        wait_for((ada.world.folder() / "preview" / "progress.png").exists)
        ada.world.git("config", "user.name", "Somebody Else")
        ran = terminal.answer("y\n")
    assert ran.code == 0, ran.err
    assert ada.pull.head_ref_oid == ada.tip
    assert ada.publish().err.endswith("nothing to do: everything is in place\n")


def test_who_publishes_again_sees_first_what_would_change_and_is_not_asked_about_nothing(ada: Author) -> None:
    ada.publish()
    seen = len(ada.github.requests)
    ran = ada.run("publish")
    assert (ran.code, ran.err) == (0, "nothing to do: everything is in place\n")
    assert ran.out.splitlines() == [f"{ada.url}/pull/1", f"{ada.url}/discussions/2"]
    assert ada.written(seen) == []
    ada.discussion.title = "by hand"
    ran = ada.run("publish")
    assert said(ran)[0] == "nobody is there to be asked"
    assert ran.err.splitlines()[1] == "changes    the paper is updated"
    assert f"{ada.url}/pull/1, as it is" in ran.err
    assert "\nDiscussion:\n" in ran.err
    assert "\npull request:\n" not in ran.err
    ada.go_on(1)
    changes = ada.run("publish").err.splitlines()[1]
    assert changes == f"changes    exp/cpu/t is pushed, {NOTEBOOK} is pushed, the pull request is updated, the paper is updated"


def test_who_withdraws_sees_what_stays_and_how_to_remove_it(ada: Author) -> None:
    ada.publish()
    ran = ada.run("publish", "--unpublish")
    assert said(ran) == ("nobody is there to be asked", "look at the lines above, then add --yes")
    assert f"refs/heads/exp/cpu/t and {NOTEBOOK} at {FORK}, which others may have gone on from" in ran.err
    (remove,) = re.findall(r"^ +(git push .+)$", ran.err, re.MULTILINE)
    assert f"gh repo delete {FORK}" in ran.err
    assert said(ada.answer("n\n", "--unpublish")) == ("nothing was withdrawn", "the same command again, when you are ready")
    assert (ada.pull.state, ada.discussion.closed) == ("OPEN", False)
    ada.publish("--unpublish")
    ada.world.git("-c", f"http.extraHeader=Authorization: Bearer {TOKEN}", *remove.split()[1:])
    assert [name for name in ada.fork.refs() if "/cpu/t" in name] == []
    seen = len(ada.github.requests)
    assert ada.run("publish", "--unpublish").code == 0  # nobody is asked about nothing
    assert ada.written(seen) == []


def test_publishing_what_was_withdrawn_says_that_it_will_be_reopened(ada: Author) -> None:
    ada.publish()
    ada.publish("--unpublish")
    ran = ada.run("publish")
    assert said(ran)[0] == "nobody is there to be asked"
    assert ran.err.count(", will be reopened and updated") == 2


# -- where it goes ----------------------------------------------------------------------------------------------


def shown_target(ada: Author, *arguments: str, env: dict[str, str] | None = None) -> str:
    """The line of the preview that says where; nobody agrees to it."""
    ran = ada.run("publish", *arguments, env=env)
    assert said(ran)[0] == "nobody is there to be asked"
    return ran.err.splitlines()[0].removeprefix("publish    ")


@pytest.fixture
def other(ada: Author) -> str:
    """Another repository with the same history, that she may push to."""
    found = ada.github.repository("ada/papers", discussions=True)
    found.import_from(ada.world.root / ".git", ["+refs/heads/main:refs/heads/main"])
    return found.name_with_owner


def test_the_target_is_origin_unless_the_user_says_otherwise(ada: Author, other: str) -> None:
    assert shown_target(ada) == f"session cpu/t to {HUB} (origin), for everybody to see"
    assert shown_target(ada, "--to", other) == f"session cpu/t to {other} (--to), for everybody to see"
    by_host = f"{ada.github.url.removeprefix('http://')}/{other}"
    assert shown_target(ada, "--to", by_host) == f"session cpu/t to {other} (--to), for everybody to see"
    ada.world.write({".autoresearch.toml": f'hub = "{other}"\n'})  # a stranger's: read from, never published to
    assert shown_target(ada) == f"session cpu/t to {HUB} (origin), for everybody to see"
    ada.world.configure(hub=other)
    assert shown_target(ada).startswith(f"session cpu/t to {other} (")
    assert shown_target(ada, "--to", HUB).startswith(f"session cpu/t to {HUB} (")
    ada.world.git("config", "--add", "autoresearch.hub", HUB)
    message, hint = ada.refused()
    assert message.startswith("2 repositories are named by hub (")
    assert hint == f"git autoresearch publish --to {other}"
    assert ada.written() == []


def test_what_is_published_with_to_goes_there_and_nowhere_else(ada: Author, other: str) -> None:
    ran = ada.publish("--to", other)
    assert ran.out.splitlines() == [f"{ada.github.url}/{other}/pull/1", f"{ada.github.url}/{other}/discussions/2"]
    assert (ada.hub.pulls, ada.hub.discussions, FORK in ada.github.repositories) == ({}, {}, False)


def test_a_fork_is_published_to_itself_and_not_to_its_parent(ada: Author) -> None:
    fork = ada.github.repository(FORK, parent=ada.hub)
    fork.has_discussions_enabled = True
    ada.world.git("remote", "set-url", "origin", f"{ada.github.url}/{FORK}.git")
    assert ada.publish().out.splitlines() == [f"{ada.github.url}/{FORK}/pull/1", f"{ada.github.url}/{FORK}/discussions/2"]
    assert (ada.hub.pulls, ada.hub.discussions) == ({}, {})


def test_a_fork_that_is_there_is_used_again_also_under_another_name(ada: Author) -> None:
    fork = ada.github.repository("ada/my-autoresearch", parent=ada.hub)
    ada.publish()
    assert (ada.pull.head_repository, FORK in ada.github.repositories) == (fork, False)
    assert not any(what.endswith("/forks") for what in ada.written())


def test_who_may_push_can_still_take_a_fork(ada: Author) -> None:
    ada.hub.allow("ada", "write")
    ada.publish("--fork")
    assert ada.pull.head_repository is ada.fork
    assert list(ada.hub.refs("refs/heads", "refs/autoresearch")) == ["refs/heads/main"]


def test_origin_over_ssh_is_pushed_to_over_ssh(ada: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API is asked with the token; git goes the way of the address, where no token is needed or seen."""
    ada.hub.allow("ada", "write")
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/told\nenv >> {tmp_path}/told\nfor last; do :; done\n"
                       f"cd {ada.github.folder} && exec sh -c \"$last\"\n")  # fmt: skip
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    ada.world.git("remote", "set-url", "origin", f"git@127.0.0.1:{HUB}.git")
    assert ada.publish().out.splitlines() == [f"{ada.url}/pull/1", f"{ada.url}/discussions/2"]
    assert ada.pull.head_ref_oid == ada.tip
    told = (tmp_path / "told").read_text()
    assert f"git-receive-pack '{HUB}.git'" in told
    assert TOKEN not in told


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://gitlab.com/ada/x.git", "https://gitlab.com/ada/x.git is no GitHub repository, so no pull request can be opened"),
        ("/somewhere/x.git", "/somewhere/x.git is no GitHub repository, so no pull request can be opened"),
        ("", "there is no origin on GitHub, so no pull request can be opened"),
    ],
)
def test_an_origin_that_is_no_github_is_refused(ada: Author, url: str, message: str) -> None:
    ada.world.git("remote", "set-url", "origin", url) if url else ada.world.git("remote", "remove", "origin")
    assert ada.refused() == (message, "git autoresearch publish --to OWNER/NAME")
    assert ada.written() == []


@pytest.mark.parametrize("url", ["https://git.corp.example/ada/x.git", "git@git.corp.example:ada/x.git"])
def test_a_host_that_is_not_known_may_be_a_github_of_ones_own(ada: Author, url: str) -> None:
    ada.world.git("remote", "set-url", "origin", url)
    ada.token = ""
    message, hint = ada.refused()
    assert message == f"{url} is no GitHub repository, so no pull request can be opened"
    known = re.search(r"git config (autoresearch\.api-url) (https://git\.corp\.example/api/v3)", hint)
    assert known
    assert hint.endswith("git autoresearch publish --to OWNER/NAME")
    ada.world.git("config", *known.groups())
    assert ada.run("publish", "--dry-run").err.startswith("links are as if you may push to ada/x;")


def test_without_a_token_it_is_said_how_to_log_in(ada: Author) -> None:
    host = ada.github.url.removeprefix("http://")
    ada.token = ""
    assert ada.refused() == (
        f"publishing to {HUB} needs a token for {host}",
        f"gh auth login --hostname {host}, or export GH_ENTERPRISE_TOKEN=…",
    )
    ada.token = "t-of-nobody"
    assert ada.refused() == (
        f"{HUB} refuses the token from GH_ENTERPRISE_TOKEN",
        "gh auth login, or export a token that is valid",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "not a name"), "hub = 'not a name' (--to) is not owner/name"),
        (("--to", "foo"), "hub = 'foo' (--to) is not owner/name"),
        (("--to", "nobody/nothing"), "there is no repository nobody/nothing at "),
        (("--as", "../x"), "'../x' cannot be part of a branch's name"),
        (("--as", "a b"), "'a b' cannot be part of a branch's name"),
        (("--notes", "latin1.md"), "latin1.md cannot be read: "),
        (("other",), "there is no session 'other'"),
    ],
)
def test_what_cannot_be_meant_is_refused_on_one_line(ada: Author, arguments: tuple[str, ...], message: str) -> None:
    (ada.world.root / "latin1.md").write_bytes(b"caf\xe9\n")
    told = ada.refused(*arguments)
    assert told[0].startswith(message)
    assert "karpathy/autoresearch" not in told[1]
    assert ada.written() == []


def test_two_things_at_once_are_a_usage_error(ada: Author) -> None:
    ran = ada.run("publish", "--unpublish", "--dry-run")
    assert ran.code == 2
    assert said(ran) == ("choose one of --unpublish and --dry-run", "git autoresearch publish -h")


# -- what is not published --------------------------------------------------------------------------------------


def test_who_has_measured_nothing_of_others_has_nothing_to_comment(ada: Author) -> None:
    assert json.loads(ada.publish("--comment", "--json").out)["notes"] == [
        "nothing is commented: no commit of others was measured in this session"
    ]


def test_a_session_that_runs_is_not_published(ada: Author) -> None:
    process = ada.world.popen("start", "--resume", "--tag", "t", "--experiments", "1", env={"LC_BENCH_SLEEP": "60"})
    wait_for(lambda: marked_processes(ada.world.folder()))
    message, hint = ada.refused()
    assert message.startswith(f"session cpu/t is being worked on by process {process.pid} on ")
    assert hint == "git autoresearch stop cpu/t, publish, then git autoresearch start --resume"
    ada.world.ok("stop")
    process.communicate(timeout=20)
    assert ada.written() == []
    ada.publish()


def test_a_session_of_somebody_else_is_published_only_if_it_is_said_to_be_mine(ada: Author, tmp_path: Path) -> None:
    eve = World(tmp_path / "eve", ada.world.zygote)
    subprocess.run(["git", "clone", "-q", f"{ada.url}.git", str(eve.root)], check=True)
    eve.git("fetch", "-q", str(ada.world.root), "refs/autoresearch/*:refs/autoresearch/*")
    eve.configure(api_url=ada.github.api_url)
    hers = Author(ada.github, ada.hub, eve)
    assert hers.refused() == ("session cpu/t was not begun here, so it may be somebody else's",
                              "if it is yours: git autoresearch publish cpu/t --mine")  # fmt: skip
    shown = hers.run("publish", "--dry-run")
    assert (shown.code, "publish it takes --mine" in shown.err) == (0, True)
    assert "--mine" not in hers.run("publish", "--dry-run", "--mine").err + ada.run("publish", "--dry-run").err
    assert ada.written() == []
    hers.publish("--mine")
    assert ada.pull.head_ref_oid == eve.git("rev-parse", "exp/cpu/t")


def test_a_session_without_a_baseline_has_nothing_to_tell(ada: Author) -> None:
    ada.world.commit({"bench.py": "raise SystemExit('no data')\n"})
    ada.world.run("start", "--tag", "u")
    assert ada.refused("u") == ("session cpu/u has no baseline yet, so there is nothing to tell",
                                "git autoresearch start --resume --tag u")  # fmt: skip


SECRET = "ghp_" + "A1b2C3d4" * 5


def test_a_traceback_that_looks_as_if_it_held_a_token_is_not_published(ada: Author) -> None:
    """A push cannot be taken back."""
    script = f"import solver\nif solver.N != 5:\n    raise SystemExit('denied: {SECRET}')\nprint('score:', solver.ALPHA)\n"
    ada.world.commit({"bench.py": script})
    ada.world.ok("start", "--tag", "u", "--experiments", "2")
    message, hint = ada.refused("u")
    assert "looks as if it held a token (its message), so nothing is published" in message
    assert hint.startswith("git show ")
    assert SECRET in ada.world.git(*hint.partition(",")[0].split()[1:])
    assert ada.written() == []


def test_notes_that_hold_a_token_are_not_published(ada: Author) -> None:
    ada.world.write({"notes.md": f"log in with {SECRET}\n"})
    assert ada.refused("--notes", "notes.md") == (
        "the notes look as if they held a token, so nothing is published", "take it out, then --notes FILE",
    )  # fmt: skip
    assert ada.written() == []


def test_notes_that_leave_no_room_for_the_paper_are_refused_before_anything_is_written(ada: Author) -> None:
    ada.world.write({"notes.md": "All that I thought of.\n" * 3_000})
    message, hint = ada.refused("--notes", "notes.md")
    assert re.fullmatch(r"paper\.md\.j2 gives [0-9,]+ characters without its tables; GitHub takes 65,536", message)
    assert hint == "shorten the notes or your template"
    assert ada.written() == []


def test_notes_stand_in_the_paper_and_are_kept_for_the_next(ada: Author, tmp_path: Path, github: GitHub) -> None:
    (tmp_path / "notes.md").write_text("## What I make of it\n\nALPHA wants to be *0.6*.\n<!-- autoresearch:1\n{}\n-->\n")
    ada.publish("--notes", str(tmp_path / "notes.md"))
    assert "ALPHA wants to be *0.6*." in ada.discussion.body
    assert ada.discussion.body.count("<!-- autoresearch:1") == 1
    (tmp_path / "notes.md").unlink()
    seen = len(github.requests)
    ada.publish()
    assert ada.written(seen) == []


@pytest.mark.parametrize("nothing", ["", " \n\t\n", "<!-- to be written -->\n"])
def test_an_empty_file_takes_the_notes_off_for_good(ada: Author, nothing: str) -> None:
    ada.world.write({"notes.md": "ALPHA wants to be *0.6*.\n", "empty.md": nothing})
    ada.publish("--notes", "notes.md")
    assert "## Notes" in ada.discussion.body
    for arguments in (("--notes", "empty.md"), ()):
        ada.publish(*arguments)
        assert "## Notes" not in ada.discussion.body
        assert "ALPHA wants" not in ada.discussion.body
    assert "## Notes" not in ada.world.ok("paper")


def test_a_number_in_the_notes_that_is_not_the_sessions_is_told_and_stops_nothing(ada: Author) -> None:
    """They are the author's own words, and the paper says so; what they tell of the session is looked up like anybody's."""
    ada.world.write({"notes.md": "It went from 0.87 to 0.99.\n\nALPHA of 0.6431 gave 0.9987, see `c0ffee1`.\n"})
    dry = ada.run("publish", "--dry-run", "--notes", "notes.md")
    ran = ada.publish("--notes", "notes.md")
    for shown in (dry, ran):
        told = re.findall(r"your notes, line (\d+: .+)", shown.err)
        assert told == ["3: c0ffee1 is no commit of this repository", "3: 0.6431 is no number of this session's headline",
                        "3: 0.9987 is no number of this session's headline"]  # fmt: skip
    assert "0.9987" in ada.discussion.body
    assert "comes from the session's record in git, but for the notes, which are the author's own words." in ada.discussion.body
    ada.world.write({"p.md": ada.discussion.body})
    checked = ada.run("paper", "--check", "p.md")
    assert checked.code == 1
    assert re.findall(r"wrong: line \d+: (\S+) ", checked.out) == ["c0ffee1", "0.6431", "0.9987"]
    ada.world.write({"notes.md": "It went from 0.87 to 0.99.\n"})
    assert "your notes" not in ada.publish("--notes", "notes.md").err
    ada.world.write({"p.md": ada.discussion.body})
    assert ada.world.ok("paper", "--check", "p.md").startswith("ok: ")


# -- without discards -------------------------------------------------------------------------------------------


def test_without_discards_no_commit_is_named_that_nobody_can_fetch(ada: Author) -> None:
    ada.publish("--without-discards")
    fetchable = git.run(ada.fork.git_dir, "rev-list", "--all").split()
    discarded = [str(e["commit"])[:7] for e in ada.world.experiments() if e["status"] == "discard"]
    assert len(discarded) == 4
    for body in (ada.pull.body, ada.discussion.body):
        assert not [sha for sha in discarded if sha in body]
        told = record.read(body)
        assert told
        assert [claim.status for claim in told.findings].count("discard") == 4
        assert all(claim.commit in fetchable for claim in told.findings if claim.commit)
        ada.world.write({"p.md": body})
        assert ada.world.ok("paper", "--check", "p.md").startswith("ok: ")
    ada.world.write({"p.md": ada.discussion.body.replace("| −0.050000 |", "| −0.060000 |")})
    assert "the session has −0.050000 where it says −0.060000" in ada.world.run("paper", "--check", "p.md").out


def test_a_notebook_that_was_published_before_stays_and_is_told_with_the_way_to_remove_it(ada: Author) -> None:
    ada.publish()
    ran = ada.publish("--without-discards", "--json")
    (note,) = json.loads(ran.out)["notes"]
    assert f"note       {note}" in ran.err  # in the preview, too
    command = note.partition("; to remove it: ")[2]
    assert note.startswith(f"{NOTEBOOK}, with what was discarded, stays at {FORK} from an earlier publication; ")
    assert list(ada.fork.refs("refs/autoresearch")) == [NOTEBOOK]
    ada.fork.allow("ada", "admin")
    environment = {**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader",
                   "GIT_CONFIG_VALUE_0": "Authorization: Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode()}  # fmt: skip
    subprocess.run(shlex.split(command), cwd=ada.world.root, check=True, capture_output=True, env=environment)
    assert ada.fork.refs("refs/autoresearch") == {}
    assert json.loads(ada.publish("--json").out)["notes"] == []
