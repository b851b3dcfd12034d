"""The door to git: what it says of remotes, and how it asks for credentials."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import pytest
from conftest import World

from autoresearch_git.repository import open_repository, repository

SECRET = "s3cret"


def helper(world: World, tmp_path: Path, script: str) -> None:
    """Configure a credential helper of the user's: a shell script."""
    program = tmp_path / "helper"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    world.git("config", "--global", "credential.helper", f"!{shlex.quote(str(program))}")


def test_remote_urls_are_those_git_would_fetch_from(empty: World) -> None:
    empty.git("config", "--global", "url.https://github.com/.insteadOf", "gh:")
    empty.git("remote", "add", "origin", "gh:karpathy/autoresearch")
    empty.git("remote", "add", "push-elsewhere", "/some where/else.git")
    empty.git("remote", "set-url", "--push", "push-elsewhere", "/third.git")
    empty.git("config", "remote.origin.promisor", "true")
    empty.git("config", "remote.origin.partialclonefilter", "blob:none")
    urls = open_repository(empty.root).remote_urls()
    assert urls == {"origin": "https://github.com/karpathy/autoresearch", "push-elsewhere": "/some where/else.git"}


def test_there_may_be_no_remote(empty: World) -> None:
    assert open_repository(empty.root).remote_urls() == {}


def test_a_credential_comes_from_the_users_helper(empty: World, tmp_path: Path) -> None:
    helper(
        empty,
        tmp_path,
        f"""test "$1" = get || exit 0
        grep -q host=github.com || exit 0
        echo username=ada; echo 'password={SECRET}=with=signs'""",
    )
    door = open_repository(empty.root)
    assert door.credential("https", "github.com") == ("ada", f"{SECRET}=with=signs")
    assert door.credential("https", "ghe.example.org") is None


def test_nobody_is_asked_for_a_credential(empty: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by an askpass program, wherever it is configured, nor on a terminal."""
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch {asked}\necho {SECRET}\n")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_ASKPASS", str(program))
    monkeypatch.setenv("SSH_ASKPASS", str(program))
    empty.git("config", "--global", "core.askPass", str(program))
    assert open_repository(empty.root).credential("https", "github.com") is None
    assert not asked.exists()


def test_a_helper_that_hangs_is_ended_with_its_children(empty: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "CREDENTIAL_SECONDS", 0.5)
    helper(empty, tmp_path, "sleep 98765 & wait")
    started = time.monotonic()
    assert open_repository(empty.root).credential("https", "github.com") is None
    assert time.monotonic() - started < 5
    time.sleep(0.1)
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if _cmdline(p) == b"sleep\x0098765\0"]


def _cmdline(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("host", ["github.com\nhost=evil.example", "a\0b", "a\rb"])
def test_a_host_cannot_add_lines_to_the_question(empty: World, tmp_path: Path, host: str) -> None:
    helper(empty, tmp_path, f"echo username=ada; echo password={SECRET}")
    assert open_repository(empty.root).credential("https", host) is None


# -- reading and making commits ---------------------------------------------------------------------------------


def test_patches_of_many_pairs_cost_two_processes(empty: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal pairs, pairs that do not differ, a patch that looks like a header, one that is cut: each stands at its place."""
    one = empty.commit({"train.py": "a = 1\n", "sub/x.py": "x = 1\n", "[a].py": "b = 1\n"})
    sham = f"{'0' * 40} {'1' * 40}"
    two = empty.commit({"train.py": f"a = 2\n{sham}\n", "sub/x.py": "x = 2\n", "a.py": "c = 1\n"}, "two")
    other = empty.commit({"sub/x.py": "x = 3\n"}, "beside")
    long = empty.commit({"train.py": "".join(f"line = {n}\n" for n in range(20_000))}, "long")
    pairs = [(one, two), (two, other), (one, two), (two, one), (other, long), (one, one), (one, two)]
    empty.git("config", "diff.noprefix", "true")
    empty.git("config", "diff.external", "false")
    empty.git("config", "color.ui", "always")
    monkeypatch.setenv("GIT_GLOB_PATHSPECS", "1")
    monkeypatch.chdir(empty.root / "sub")
    door = open_repository(empty.root / "sub")
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(tmp_path / "trace"))
    patches = door.patches(pairs, ["train.py", "[a].py"])
    monkeypatch.delenv("GIT_TRACE2_EVENT")
    assert (tmp_path / "trace").read_text().count('"event":"start"') == 2
    forth = f"-a = 1\n+a = 2\n+{sham}\n"
    assert patches[0].startswith("diff --git a/train.py b/train.py\n")
    assert patches[0].endswith(f"@@ -1 +1,2 @@\n{forth}")
    assert patches[3].endswith(f"@@ -1,2 +1 @@\n-a = 2\n-{sham}\n+a = 1\n")
    assert [patches[n] == patches[0] for n in (1, 2, 5, 6)] == [False, True, False, True]
    assert (patches[1], patches[5]) == ("", "")
    assert 60_000 < len(patches[4]) <= 65_536
    assert patches[4].endswith("\n")
    assert door.patches([], ["train.py"]) == []


def test_commits_between_are_told_with_their_authors_from_the_oldest_on(empty: World) -> None:
    base = empty.commit({"a": "1\n"})
    first = empty.commit({"a": "2\n"}, "one\ttab")
    empty.git("checkout", "-q", "-b", "side", base)
    empty.git("config", "user.name", "Grace Höpper")
    side = empty.commit({"b": "1\n"}, "side\n\nits body")
    empty.git("checkout", "-q", "main")
    empty.git("merge", "-q", "--no-edit", "side")
    door = open_repository(empty.root)
    told = door.commits_between(base, "main")
    assert set(told[:2]) == {(first, "Ada", "one\ttab"), (side, "Grace Höpper", "side")}
    assert told[2] == (empty.git("rev-parse", "main"), "Grace Höpper", "Merge branch 'side'")
    assert door.commits_between("main", base) == []


def test_a_commit_of_a_given_time_is_the_same_whenever_and_wherever_it_is_made(
    empty: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = empty.commit({"run.sh": "true\n"})
    (empty.root / "link").symlink_to("/etc/passwd")
    (empty.root / "run.sh").chmod(0o755)
    empty.git("add", "-A")
    empty.git("commit", "-qm", "modes")
    door = open_repository(empty.root)
    tree = door.tree_with("HEAD", {"link": b"\x89PNG\0\xff", "run.sh": "false\n", "new/é.txt": "é\n"})
    rows = [row.split() for row in empty.git("ls-tree", "-r", "-z", tree).rstrip("\0").split("\0")]
    assert {row[3]: row[0] for row in rows} == {"link": "100644", "run.sh": "100755", "new/é.txt": "100644"}
    assert door.read_file(tree, "link") == b"\x89PNG\0\xff"
    made = set()
    for zone in ("Pacific/Auckland", "America/New_York"):
        monkeypatch.setenv("TZ", zone)
        made.add(open_repository(empty.root).commit_tree(tree, [base], "results\n", 86_400))
    (commit,) = made
    assert empty.git("log", "-1", "--format=%aI %cI", commit) == "1970-01-02T00:00:00+00:00 1970-01-02T00:00:00+00:00"
