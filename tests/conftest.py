"""A hermetic world for every test: a home of its own, no configuration of ours, real git and the real command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from author import Author
    from github_standin import GitHub
    from zygote import Zygote

SCRIPTS = Path(sys.executable).parent

# LC_: of the environment a confined run gets the locale, as with ssh.
BENCH = """\
import os, time
from solver import ALPHA, N
seed = int(os.environ["AUTORESEARCH_SEED"])
time.sleep(float(os.environ.get("LC_BENCH_SLEEP", "0")))
print("score:", round(1 - (ALPHA - 0.6) ** 2 - 0.01 * (N - 7) ** 2, 6))
"""
SOLVER = "ALPHA = 0.3  # step\nN = 5\n"


def seal(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """From here on nothing reads or writes the home, the settings or the git configuration of whoever runs the tests."""
    home = folder / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("GIT_", "AUTORESEARCH_", "XDG_", "GITHUB_", "GH_", "ANTHROPIC_")):
            patch.delenv(name)
    patch.setenv("HOME", str(home))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.setenv("GIT_CEILING_DIRECTORIES", str(folder))
    patch.setenv("PATH", f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}")
    patch.setenv("CUDA_VISIBLE_DEVICES", "")
    patch.setenv("GIT_TEST_FSYNC", "0")  # git need not wait for the disk: no test cuts its power
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n"
    )


@pytest.fixture(autouse=True)
def hermetic_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test is sealed in a folder of its own."""
    seal(monkeypatch, tmp_path)


@dataclass(frozen=True)
class Ran:
    """A finished command: what a user saw."""

    code: int
    out: str
    err: str


@dataclass
class World:
    """A repository and the command, as a user has them. With a `zygote` each command is a fork of one that has done its imports."""

    root: Path
    zygote: Zygote | None = None

    def git(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, input=stdin)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def run(self, *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> Ran:
        """`git autoresearch <arguments>` to its end."""
        if self.zygote and cwd is None:
            direct = {"NO_PROXY": "127.0.0.1"}  # macOS may end a fork that asks it for proxies
            return self.zygote.call(self.root, {**os.environ, **direct, **(env or {})}, *arguments).wait()
        done = subprocess.run(["git", "autoresearch", *arguments], cwd=cwd or self.root, capture_output=True, text=True,
                              env={**os.environ, **(env or {})}, timeout=300)  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        ran = self.run(*arguments, env=env)
        assert ran.code == 0, f"{ran.out}\n{ran.err}"
        return ran.out

    def popen(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """The command itself, left running, in a process group of its own as a terminal would give it."""
        return subprocess.Popen(["git-autoresearch", *arguments], cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env={**os.environ, **(env or {})}, start_new_session=True)  # fmt: skip

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def commit(self, files: dict[str, str], message: str = "base") -> str:
        self.write(files)
        self.git("add", "-A", "--", *files)
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def configure(self, **settings: str) -> None:
        for name, value in settings.items():
            self.git("config", f"autoresearch.{name.replace('_', '-')}", value)

    def experiments(self, session: str = "") -> list[dict[str, object]]:
        return [json.loads(line) for line in self.ok("log", "--json", *([session] if session else [])).splitlines()]

    def folder(self, session: str = "cpu/t") -> Path:
        return self.root / ".git" / "autoresearch" / session


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def marked_processes(marker: Path) -> list[int]:
    """Processes that carry a session's mark in their environment: the runs that it started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"AUTORESEARCH_SESSION={marker}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def make_empty(folder: Path) -> World:
    root = folder / "repo"
    root.mkdir()
    world = World(root)
    world.git("init", "-q")
    return world


def make_toy(folder: Path) -> World:
    world = make_empty(folder)
    world.commit({"solver.py": SOLVER, "bench.py": BENCH, "README.md": "toy\n", ".gitignore": "__pycache__/\n"})
    world.configure(metric="score", direction="max", run="{python} bench.py", editable="solver.py")
    return world


@pytest.fixture
def empty(tmp_path: Path) -> World:
    """A repository without commits."""
    return make_empty(tmp_path)


@pytest.fixture
def toy(tmp_path: Path) -> World:
    """A repository with a deterministic score to raise, researched in a tenth of a second a run."""
    return make_toy(tmp_path)


@pytest.fixture(scope="session")
def researched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's repository after a session of six experiments, two of which were kept. Made once: copy it, never change it."""
    folder = tmp_path_factory.mktemp("researched")
    with pytest.MonkeyPatch.context() as patch:
        seal(patch, folder)
        world = make_toy(folder)
        world.configure(inspiration="no")
        world.ok("start", "--tag", "t", "--experiments", "6")
    return world.root


@pytest.fixture(scope="session")
def drawn(researched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its results on the branch, as a publication that got no further leaves it; the picture need not be drawn."""
    from author import author
    from github_standin import GitHub

    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch, GitHub(folder / "github") as hub:
        seal(patch, folder)
        ada = author(folder, researched, hub)
        hub.fail("secondary", after=2, where="rest", retry_after=600)  # at the fork, after two listings
        assert ada.run("publish", "--yes").code == 1
        assert ada.world.git("log", "-1", "--format=%s", "exp/cpu/t").startswith("results: ")
        ada.world.git("remote", "remove", "origin")
        shutil.rmtree(ada.world.folder() / "preview")
    return ada.world.root


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    """A GitHub of this test's own, on 127.0.0.1."""
    from github_standin import GitHub

    with GitHub(tmp_path / "github") as hub:
        yield hub


@pytest.fixture(scope="session")
def zygote(drawn: Path) -> Iterator[Zygote]:
    """The command with its imports done."""
    from zygote import Zygote

    found = Zygote(drawn, "publish", "--dry-run", "--to", "karpathy/autoresearch")
    yield found
    found.close()


@pytest.fixture
def warm(request: pytest.FixtureRequest) -> None:
    """The commands of a test's world are forks of the one with its imports done: for files whose tests call many."""
    for name in {"toy", "empty"} & set(request.fixturenames):
        request.getfixturevalue(name).zygote = request.getfixturevalue("zygote")


@pytest.fixture
def ada(tmp_path: Path, drawn: Path, github: GitHub, zygote: Zygote) -> Author:
    """Who may read karpathy/autoresearch, and has researched it."""
    from author import author

    found = author(tmp_path, drawn, github)
    found.world.zygote = zygote
    return found
