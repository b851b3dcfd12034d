"""A session's own linked worktree."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Sequence
from pathlib import Path

from autoresearch_git.repository.calls import Calls

_LEFT = "autoresearch-left.json"  # beside the worktree's index
_COMPARED = 1 << 20  # bytes of a file; what is longer is told apart by its length, too


class Worktree:
    """A session's own linked worktree, detached. Who edits by hand does so in it, while nothing runs: `leave` remembers files as we
    left them, so that `changed` can tell what is not ours to overwrite."""

    def __init__(self, path: Path, git_dir: Path, calls: Calls) -> None:
        self.path = path
        self._git_dir = git_dir
        self._calls = calls

    def clear_stale_locks(self) -> None:
        """Remove the lock files of a git that was killed here. Only the holder of the session's lock may call this."""
        for name in ("index.lock", "HEAD.lock"):
            (self._git_dir / name).unlink(missing_ok=True)

    def restore(self, commit: str, keep: Sequence[str] = ()) -> None:
        """Make the worktree exactly the commit: nothing that a run left behind may reach the next one.

        The index goes too, as a run can mark files in it as unchanged. `keep` are untracked paths at the top that stay.
        """
        self._remember(None)  # killed from here on, what lies there is half of ours
        (self.path / ".git").write_text(f"gitdir: {self._git_dir}\n", encoding="utf-8")
        (self._git_dir / "index").unlink(missing_ok=True)
        self._calls.run("checkout", "--quiet", "--force", "--detach", commit)
        excluded = [word for path in keep for word in ("-e", f"/{path}")]
        self._calls.run("clean", "-ffdxq", *excluded)

    def blobs(self, paths: Sequence[str]) -> dict[str, str]:
        """path → blob sha of the files as they lie in the worktree now; what is missing is left out."""
        there = [p for p in paths if (self.path / p).is_file()]
        listed = "".join(f"{p}\n" for p in there).encode()
        shas = self._calls.run("hash_object", "--stdin-paths", stdin=listed) if there else ""
        return dict(zip(there, shas.split(), strict=True))

    def leave(self, paths: Sequence[str]) -> None:
        """Remember these files as they lie now: what differs later is somebody else's work."""
        self._remember({path: _digest(self.path / path) for path in paths})

    def changed(self, paths: Sequence[str]) -> list[str]:
        """Those of the files that are there and not as they were left. All that are there, where nothing was left yet."""
        try:
            left = json.loads((self._git_dir / _LEFT).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            left = {}
        if left is None:
            return []
        now = {path: _digest(self.path / path) for path in paths}
        return [path for path, digest in now.items() if digest and digest != left.get(path)]

    def _remember(self, left: dict[str, str] | None) -> None:
        (self._git_dir / _LEFT).write_text(json.dumps(left), encoding="utf-8")


def _digest(path: Path) -> str:
    """What a file's content is told apart by; empty for what is no file: a link or a folder holds nobody's edit."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return ""
        with open(path, "rb") as file:
            return f"{found.st_size} {hashlib.sha256(file.read(_COMPARED)).hexdigest()}"
    except OSError:
        return ""
