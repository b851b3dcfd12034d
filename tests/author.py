"""Ada, who publishes: a copy of a researched repository, whose origin is a repository on the stand-in for GitHub."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import Ran, World
from github_standin import GitHub
from github_standin.models import Discussion, Pull
from github_standin.repository import Repository

HUB, FORK = "karpathy/autoresearch", "ada/autoresearch"
TOKEN = "ghp_Distinctive0123456789abcdefghijklmnop"
BRANCH, NOTEBOOK = "refs/heads/exp/cpu/t", "refs/autoresearch/cpu/t"
WRITES = ("POST /repos", "PATCH ", "PUT ", "DELETE ", "create", "update", "close", "reopen", "add", "convert", "delete")


@dataclass
class Terminal:
    """A command that asks, and the terminal that it reads the answer from."""

    process: subprocess.Popen[str]
    keyboard: int

    def answer(self, text: str) -> Ran:
        os.write(self.keyboard, text.encode())
        out, err = self.process.communicate(timeout=60)
        return Ran(self.process.returncode, out, err)


@dataclass
class Author:
    github: GitHub
    hub: Repository
    world: World
    token: str = TOKEN

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> Ran:
        """`git autoresearch <arguments>` with her token, as she would export it for this host."""
        return self.world.run(*arguments, env={**self.environment, **(env or {})})

    @property
    def environment(self) -> dict[str, str]:
        return {"GH_ENTERPRISE_TOKEN": self.token}

    def publish(self, *arguments: str) -> Ran:
        ran = self.run("publish", "--yes", *arguments)
        assert ran.code == 0, f"{ran.out}\n{ran.err}"
        return ran

    def refused(self, *arguments: str, code: int = 1) -> tuple[str, str]:
        """(what went wrong, what to type) of a publication that fails."""
        ran = self.run("publish", "--yes", *arguments)
        assert ran.code == code, f"{ran.out}\n{ran.err}"
        return said(ran)

    def go_on(self, experiments: int) -> None:
        self.world.ok("start", "--resume", "--tag", "t", "--experiments", str(experiments))

    def answer(self, text: str, *arguments: str) -> Ran:
        """`publish` at a terminal, with this answer to its question."""
        with self.at_terminal(*arguments) as terminal:
            return terminal.answer(text)

    @contextlib.contextmanager
    def at_terminal(self, *arguments: str) -> Iterator[Terminal]:
        """`publish` at a terminal, left at its question."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(["git-autoresearch", "publish", *arguments], cwd=self.world.root, stdin=theirs, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **self.environment})  # fmt: skip
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            process.communicate()
            os.close(ours)
            os.close(theirs)

    # -- what there is then -------------------------------------------------------------------------------------

    @property
    def pull(self) -> Pull:
        (pull,) = self.hub.pulls.values()
        return pull

    @property
    def discussion(self) -> Discussion:
        (discussion,) = self.hub.discussions.values()
        return discussion

    @property
    def fork(self) -> Repository:
        found = self.github.find(*FORK.split("/"))
        assert found
        return found

    @property
    def tip(self) -> str:
        return self.world.git("rev-parse", "exp/cpu/t")

    @property
    def url(self) -> str:
        return f"{self.github.url}/{HUB}"

    @property
    def discussion_url(self) -> str:
        return f"{self.url}/discussions/{self.discussion.number}"

    def written(self, since: int = 0) -> list[str]:
        """What was asked of GitHub and git that changes anything, in order."""
        asked = [request.what for request in self.github.requests[since:]]
        return [what for what in asked if what.startswith(WRITES) or what.endswith("git-receive-pack")]


def said(ran: Ran) -> tuple[str, str]:
    """(message, hint) of a failed command: the last two lines, one each."""
    match = re.search(r"error: (.+)\n  try: (.+)\n\Z", ran.err)
    assert match, ran.err
    return match[1], match[2]


def author(folder: Path, researched: Path, github: GitHub, token: str = TOKEN) -> Author:
    """Ada's copy of the researched repository, and the repository that it is a clone of."""
    root = folder / "repo"
    shutil.copytree(researched, root, symlinks=True)
    github.user("ada", token=token)
    hub = github.repository(HUB, discussions=True)
    hub.import_from(root / ".git", ["+refs/heads/main:refs/heads/main"])
    world = World(root)
    world.git("remote", "add", "origin", f"{github.url}/{HUB}.git")
    world.git("fetch", "-q", "origin")
    world.configure(api_url=github.api_url)
    return Author(github, hub, world, token)
