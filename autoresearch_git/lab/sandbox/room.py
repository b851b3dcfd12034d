"""The folders of one trust domain: own code and strangers' code never share one, as compile caches hold code."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MOST_REPORTED = 2**20  # bytes that a run may report


@dataclass(frozen=True)
class Room:
    """`folder` is the session's `sandbox/own` or `sandbox/foreign`; all of it is writable for the runs of that domain."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def channel(self) -> Path:
        return self.folder / "channel"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def refresh(self, data: Path) -> None:
        """Before a run: nothing of an earlier one is left but what compilers keep. `~/.cache/autoresearch` leads to `data`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # it is the run's to lock, too
        swept = (self.home, self.temporary, self.channel, self.scratch)
        remove(*swept)
        for folder in (*swept, self.cache, self.home / ".cache"):
            if folder.is_symlink() or not folder.is_dir():
                remove(folder)
            folder.mkdir(parents=True, exist_ok=True)
        (self.home / ".cache" / "autoresearch").symlink_to(data)

    def environment(self, data: Path, hub: Path) -> dict[str, str]:
        found = {
            "HOME": self.home, "TMPDIR": self.temporary, "XDG_CACHE_HOME": self.cache, "AUTORESEARCH_CACHE": data,
            "TORCHINDUCTOR_CACHE_DIR": self.cache / "torchinductor", "TRITON_CACHE_DIR": self.cache / "triton",
            "CUDA_CACHE_PATH": self.cache / "cuda",
            **({"HF_HOME": hub} if hub.is_dir() else {}),
        }  # fmt: skip
        return {"TERM": "dumb", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", **{name: str(path) for name, path in found.items()}}

    def write(self, files: Mapping[str, bytes]) -> None:
        """Files into the empty scratch folder: plain ones, at their paths, through no link."""
        for name, content in files.items():
            target = self.scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
            with open(descriptor, "wb") as file:
                file.write(content)


def remove(*folders: Path) -> None:
    """Whatever a run made: `rm` neither follows links nor minds how deep it is. A folder that was locked is opened first."""
    names = [str(folder) for folder in folders if os.path.lexists(folder)]
    if names and subprocess.run(["rm", "-rf", "--", *names], stderr=subprocess.DEVNULL).returncode:
        subprocess.run(["chmod", "-R", "u+rwX", "--", *names], stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", "--", *names], check=True)


def read_plain(path: Path, limit: int = MOST_REPORTED) -> bytes | None:
    """What a run left at `path`, at most `limit` bytes; None where that is no plain file: a link or a pipe, for example."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
