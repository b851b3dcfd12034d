"""Is this machine fit for research? Each check answers with a fact, and with the command that mends what is wrong."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.config import Settings
from autoresearch_git.lab import machine, process, sandbox
from autoresearch_git.repository import Repository

LEAST_GIT = (2, 31)
LEAST_DISK = 2  # GiB
_TORCH = "import torch; print(torch.cuda.is_available() or torch.backends.mps.is_available())"


@dataclass(frozen=True)
class Check:
    """`fix` is what to type where `ok` is False; `needed` is False where only some commands want it."""

    name: str
    ok: bool
    fact: str
    fix: str = ""
    needed: bool = True


def checks(repository: Repository | None, settings: Settings | None) -> Iterator[Check]:
    """All checks, those about a repository only where there is one."""
    if repository:
        version = repository.git_version()
        numbers = tuple(int(n) for n in version.split(".")[:2] if n.isdigit())
        yield Check("git", numbers >= LEAST_GIT, version, "install git 2.31 or newer")
        identity = "configured" if repository.has_identity else "none; commits are by git-autoresearch"
        yield Check("identity", repository.has_identity, identity,
                    "git config --global user.name NAME && git config --global user.email ADDRESS", needed=False)  # fmt: skip
    yield Check(
        "python",
        sys.version_info >= (3, 10),
        f"{platform.python_version()} ({sys.executable})",
        "install Python 3.10 or newer",
    )
    if settings is None or "train.py" in settings.run:
        yield from _training()
    if settings:
        words = process.argv(settings.run)
        there = shutil.which(words[0]) is not None
        yield Check("run", there, settings.run if there else f"{words[0]} is not on PATH",
                    "git config autoresearch.run '<command>'")  # fmt: skip
    yield _disk(repository.common_dir if repository else Path.cwd())
    yield _sandbox()
    key = "set" if os.environ.get("ANTHROPIC_API_KEY") else "not set (only a model needs it)"
    yield Check("model", True, f"ANTHROPIC_API_KEY is {key}")


def _training() -> Iterator[Check]:
    version = machine.torch_version()
    yield Check("torch", bool(version), version or "not installed beside this tool", "pip install 'git-autoresearch[train]'")
    gpu = machine.gpu_name()
    fact = f"{gpu or machine.cpu_name()}: sessions are named {machine.hardware_class(gpu)}/…"
    usable = not gpu or not version or _says_true(sys.executable, "-c", _TORCH)
    yield Check(
        "device",
        usable,
        fact if usable else f"{fact}, but torch cannot use it",
        "install the torch build for this GPU: https://pytorch.org/get-started",
    )
    cache = Path(os.environ.get("AUTORESEARCH_CACHE") or Path.home() / ".cache" / "autoresearch")
    prepared = cache.is_dir() and any(cache.iterdir())
    yield Check("data", prepared, str(cache) if prepared else f"nothing in {cache} yet; a start prepares it where `prepare` is set",
                "python prepare.py", needed=False)  # fmt: skip


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free / 2**30
    return Check("disk", free >= LEAST_DISK, f"{free:.0f} GiB free at {folder}", f"free {LEAST_DISK} GiB there")


def _sandbox() -> Check:
    """Which kind runs are confined with, and why it is not a better one."""
    found = sandbox.survey()
    works, best = found.kind != sandbox.NONE, not found.failures
    fact = f"{found.kind} works" if works else "no sandbox works; strangers' code will be refused"
    return Check("sandbox", best, fact if best else f"{fact} ({found.why})", found.fix, needed=False)


def _says_true(*command: str) -> bool:
    try:
        return "True" in subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
