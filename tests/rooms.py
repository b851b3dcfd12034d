"""What the tests of the sandbox share: a world that confines with one kind, and programs that say what they got away with."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import World

from autoresearch_git.lab import sandbox

ONCE = {"hours": "0.0000001", "baseline_runs": "1"}  # a start is one run, and no experiment
KINDS = ("bubblewrap", "landlock")

PRELUDE = """\
import json, os, sys, time
loot = {}
def attempt(name, deed):
    try:
        loot[name] = deed()
    except Exception as error:
        loot[name] = f"{type(error).__name__}: {error}"
"""


def failing_bwrap(folder: Path, said: str = "bwrap: not today") -> str:
    """A PATH on which bubblewrap does not work."""
    folder.mkdir(exist_ok=True)
    (folder / "bwrap").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    (folder / "bwrap").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def use(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """From here on sandboxes are of this kind. The test is skipped where the machine lacks it."""
    if kind == "landlock":
        patch.setenv("PATH", failing_bwrap(folder / "no-bwrap"))
    found = sandbox.survey()
    if found.kind != kind:
        pytest.skip(f"{kind} does not work on this machine: {found.why or found.kind}")


@dataclass
class Raid:
    """A repository whose run is an attack: once without a sandbox, where it has to succeed, and once within."""

    world: World
    kind: str
    _runs: int = 0

    def run(self, body: str, mode: str, *options: str, env: dict[str, str] | None = None) -> dict[str, object]:
        """What the program got: the `loot` of its one run."""
        self._runs += 1
        tag = f"{mode}{self._runs}"
        program = f"{PRELUDE}{textwrap.dedent(body)}\nprint(json.dumps(loot))\nprint('score: 1')\n"
        self.world.commit({"solver.py": f"ALPHA = 0.3  # run {self._runs}\n{program}"})
        ran = self.world.run("start", "--tag", tag, "--sandbox", mode, *options, env=env)
        log = self.world.folder(f"cpu/{tag}") / "logs" / "0000-1.log"
        shown = [line for line in log.read_text().splitlines() if line.startswith("{")]
        assert shown, f"{ran.err}\n{log.read_text()}"
        loot: dict[str, object] = json.loads(shown[-1])
        confined = "none" if mode == "off" else self.kind
        assert ran.code or self.world.experiments(f"cpu/{tag}")[0]["measurements"][0]["sandbox"] == confined
        return loot

    def both(self, body: str) -> tuple[dict[str, object], dict[str, object]]:
        return self.run(body, "off"), self.run(body, "auto")


def make_raid(world: World, kind: str) -> Raid:
    world.configure(run="{python} solver.py", inspiration="no", **ONCE)
    return Raid(world, kind)


def site_packages(environment: Path) -> Path:
    return environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
