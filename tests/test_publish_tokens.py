"""The token of a publication: it is in the user's variable, and nowhere else, at any time."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from author import FORK, Author
from conftest import SCRIPTS

SLOW = "#!/bin/sh\nsleep 1\n"


def files_with(secret: str, *folders: Path) -> list[str]:
    """The files below some folders that hold it, as they are or as git keeps them."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and secret.encode() in path.read_bytes():
                found.append(str(path))
    return found


@dataclass
class Watch:
    """What all processes that run now have in their argument lists, and git's in their environment, again and again."""

    secret: str
    seen: set[str] = field(default_factory=set)  # names of the programs that were looked at
    argued: set[str] = field(default_factory=set)
    inherited: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.ended.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                self._look(process)
            time.sleep(0.005)

    def _look(self, process: Path) -> None:
        try:
            arguments = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            return
        words = [os.path.basename(word) for word in arguments.decode(errors="replace").split("\0")]
        name = " ".join(words[:2])
        self.seen.add(words[0])
        if self.secret.encode() in arguments:
            self.argued.add(name)
        if self.secret.encode() in environment:
            self.inherited.add(words[0] + (f" {words[1]}" if words[0] == "git" else ""))


@pytest.fixture
def ada(ada: Author) -> Author:
    """Ada with a token that no other test has, as tests run beside each other, and with processes that are hers from the start."""
    ada.world.zygote = None
    ada.token = f"ghp_{secrets.token_hex(18)}"
    ada.github.user("ada", token=ada.token)
    return ada


@pytest.fixture
def watched(ada: Author) -> tuple[Author, Watch, str]:
    """A publication whose pushes take a second each: (its author, what was seen meanwhile, what was printed)."""
    ada.github.repository(FORK, parent=ada.hub)
    (ada.fork.git_dir / "hooks").mkdir(exist_ok=True)
    (ada.fork.git_dir / "hooks" / "pre-receive").write_text(SLOW)
    (ada.fork.git_dir / "hooks" / "pre-receive").chmod(0o755)
    with Watch(ada.token) as watch:
        ran = ada.publish("--json")
    return ada, watch, ran.out + ran.err


def test_the_token_is_in_the_users_variable_and_nowhere_else(watched: tuple[Author, Watch, str], tmp_path: Path) -> None:
    ada, watch, printed = watched
    assert {"git-remote-http", "git"} <= watch.seen  # it was looked at the right time
    assert watch.argued == set()
    assert "git autoresearch" in watch.inherited  # as the user has started it
    assert [name for name in watch.inherited if name != "git autoresearch" and not name.startswith("python")] == []
    assert ada.token not in printed
    assert files_with(ada.token, ada.world.root, tmp_path / "home", ada.github.folder) == []
    assert not any(ada.token in request.path for request in ada.github.requests)
    assert ada.token not in ada.github.dump()


def test_no_git_that_is_started_has_it(ada: Author, tmp_path: Path) -> None:
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(f'#!/bin/sh\necho "$GH_ENTERPRISE_TOKEN $*" >> {tmp_path}/started\nexec {real} "$@"\n')
    (tmp_path / "bin" / "git").chmod(0o755)
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    # Not as `git autoresearch`: git would look in its own folder first.
    ran = subprocess.run([str(SCRIPTS / "git-autoresearch"), "publish", "--yes"], cwd=ada.world.root, capture_output=True, text=True,
                         env=os.environ | ada.environment | path)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    started = (tmp_path / "started").read_text()
    assert " push " in started
    assert [line for line in started.splitlines() if ada.token in line] == []


def test_nor_is_it_left_by_a_publication_that_fails(ada: Author, tmp_path: Path) -> None:
    """Errors name what they were about."""
    ada.github.repository(FORK, parent=ada.hub)
    ada.fork.refuse_push("refs/heads/*", f"error: GH006: remote echoes {ada.token} back")
    ran = ada.run("publish", "--yes", env={"GIT_TRACE": "1", "GIT_CURL_VERBOSE": "1", "GIT_TRACE_CURL": "1"})
    assert ran.code == 1
    assert "GH006: remote echoes … back" in ran.err
    assert ada.token not in ran.out + ran.err
    assert files_with(ada.token, ada.world.root, tmp_path / "home") == []


def test_a_token_that_was_left_somewhere_would_be_found(ada: Author, tmp_path: Path) -> None:
    """The controls of the two above."""
    for place in ("home/state.log", "repo/.git/FETCH_HEAD", "repo/.git/logs/HEAD", "repo/.git/autoresearch/cpu/t/preview/paper.md"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        with open(tmp_path / place, "a", encoding="utf-8") as file:
            file.write(f"x-access-token:{ada.token}@github.com\n")
    assert len(files_with(ada.token, ada.world.root, tmp_path / "home")) == 4
    with Watch(ada.token) as watch:
        ada.world.git("-c", f"alias.wait=!sleep 0.3; : {ada.token}", "wait")
        os.environ["PLANTED"] = ada.token
        try:
            ada.world.git("-c", "alias.wait=!sleep 0.3", "wait")
        finally:
            del os.environ["PLANTED"]
    assert any("git" in name for name in watch.argued)
    assert "git -c" in watch.inherited
