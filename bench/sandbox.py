"""What being confined costs a run: its wall time with each kind of sandbox beside its time without, in the same minutes.

    python bench/sandbox.py [--runs 15] [--torch-runs 3] [--json]

Each run is one of `Lab.measure`, so that what the sandbox prepares and cleans up counts. The kinds take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from autoresearch_git.experiment import Metric, Session
from autoresearch_git.lab import sandbox
from autoresearch_git.lab.harness import read_harness
from autoresearch_git.lab.trial import Lab
from autoresearch_git.ledger.session import LiveSession
from autoresearch_git.repository import open_repository

TRIVIAL = "print('score: 1')\n"
TORCH = """\
import torch
torch.manual_seed(0)
model = torch.nn.Linear(256, 256)
for _ in range(200):
    model(torch.randn(256, 256)).square().mean().backward()
print("score: 1")
"""


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True).stdout.decode().strip()


def open_session(root: Path, program: str) -> LiveSession:
    root.mkdir()
    git(root, "init", "-q")
    (root / "solver.py").write_text(program)
    git(root, "add", "solver.py")
    git(root, "-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "base")
    session = Session(
        "cpu", "bench", git(root, "rev-parse", "HEAD"), Metric("score", "max"), "{python} solver.py", ("solver.py",), 300, 600
    )
    return LiveSession.create(open_repository(root), session)


def labs(live: LiveSession) -> dict[str, Lab]:
    """A lab for each kind that works here, and one without."""
    harness, path = read_harness(live.repository, live.session), os.environ["PATH"]
    found = {}
    for kind in (sandbox.NONE, *sandbox.KINDS):
        mode = "off" if kind == sandbox.NONE else "auto"
        room = sandbox.open_sandbox(live.repository, mode, (), live.session.run, live.folder, live.worktree.path, ())
        os.environ["PATH"] = f"{live.folder}{os.pathsep}{path}" if kind == "landlock" else path  # where bwrap fails
        if kind in (sandbox.NONE, room.found.kind):
            found[kind] = Lab(live.session, harness, live.worktree, live.logs, str(live.folder), live.repository, room)
    os.environ["PATH"] = path
    return found


def measure(live: LiveSession, runs: int) -> dict[str, float]:
    """Wall seconds of the fastest run by kind: other load on the machine only ever adds time."""
    (live.folder / "bwrap").write_text("#!/bin/sh\nexit 1\n")
    (live.folder / "bwrap").chmod(0o755)
    chosen = labs(live)
    seconds: dict[str, list[float]] = {kind: [] for kind in chosen}
    for _ in range(runs + 1):
        for kind, lab in chosen.items():
            started = time.monotonic()
            measured = lab.measure(0, 1, live.session.base, {}, 42, {})
            assert (measured.crash, measured.figures["sandbox"]) == ("", kind)
            seconds[kind].append(time.monotonic() - started)
    return {kind: min(times[1:]) for kind, times in seconds.items()}  # the first one warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--torch-runs", type=int, default=3, help="0: not with torch")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")  # threads that wait for each other multiply other load
    for name in [n for n in os.environ if re.match(r"AUTORESEARCH_|GIT_", n)]:
        del os.environ[name]
    result: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, program, runs in (("trivial", TRIVIAL, options.runs), ("torch", TORCH, options.torch_runs)):
            if runs:
                result[name] = measure(open_session(Path(folder, name), program), runs)
    if options.json:
        print(json.dumps(result))
        return
    for name, seconds in result.items():
        bare = seconds[sandbox.NONE]
        told = [
            f"{kind} {s:.3f} s ({s / bare:.2f} times, {s - bare:+.3f} s)" for kind, s in seconds.items() if kind != sandbox.NONE
        ]
        print(f"{name}: {bare:.3f} s without; {', '.join(told) or 'no sandbox works here'}")


if __name__ == "__main__":
    main()
