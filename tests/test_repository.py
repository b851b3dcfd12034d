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
