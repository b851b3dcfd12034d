"""A session's own linked worktree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoresearch_git.repository.calls import Calls


class Worktree:
    """A session's own linked worktree, detached; the user never works in it."""

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
