"""A private bare repository for what strangers made: fetched into, read from, never checked out, never the user's.

Blobs above 1 MiB are not asked for. A server may send them all the same; they are then on the disk, and nothing here reads
them. git would remember such a server, and ask it again whenever a blob is missing: the store's `config` is therefore ours
alone and names no remote, so that a missing blob simply is missing, and reading never touches the network.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository.bulk import BLOB_LIMIT, MESSAGES_LIMIT, BulkReading
from autoresearch_git.repository.calls import LITERAL_PATHS, Calls, forget_repository_variables, initialise
from autoresearch_git.repository.fetching import NETWORK, BadObject, FetchVisit, Refusals, replace_file
from autoresearch_git.repository.processes import READ_SECONDS, GitFailed, Scanner
from autoresearch_git.repository.reading import CommitMessage
from autoresearch_git.repository.remotes import Remote
from autoresearch_git.repository.visits import valid_name

TREE_LIMIT = 100_000  # files of one tree
PATHS_SIZE = 1 << 25  # characters of all their paths
REFS_LIMIT = 500_000  # refs of one remote
ALLOC_LIMIT = "256m"  # of one allocation by git: a few bytes of a delta can stand for gigabytes

_REFSPEC = re.compile(r"\+?refs/[^\s:]+:refs/[^\s:]+")

_CONFIG = """\
# Written anew by git autoresearch whenever it opens this store.
[core]
	repositoryformatversion = 0
	bare = true
	logAllRefUpdates = false
	attributesFile = /dev/null
	bigFileThreshold = 1m
	symlinks = false
	useReplaceRefs = false
[gc]
	auto = 0
[maintenance]
	auto = false
"""

# For reading: nothing that the user or the machine has configured (diff drivers, filters, attributes) takes part.
_SEALED = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
    **LITERAL_PATHS,
    "GIT_DIFF_OPTS": "",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
}


@dataclass(frozen=True)
class RemoteRefs:
    """What a remote offers: `refs` name → sha, the branch of its HEAD (empty where it does not say), and names left out."""

    refs: dict[str, str]
    default_branch: str
    skipped: tuple[str, ...] = ()


class Store(BulkReading):
    """Strangers' objects. Make one with `open_store`. `beside` are further objects that it reads, and never writes."""

    def __init__(self, path: Path, beside: Path | None = None) -> None:
        also = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(beside)} if beside else {}
        super().__init__(Calls(path, None, environment={**_SEALED, **also, "GIT_ALLOC_LIMIT": ALLOC_LIMIT}))
        self.path = path
        self._network = Calls(path, None, NETWORK, {"GIT_ALLOC_LIMIT": ALLOC_LIMIT, "GIT_NO_REPLACE_OBJECTS": "1"})

    # -- the network --------------------------------------------------------------------------------------------

    def list_remote(self, remote: Remote, *patterns: str, timeout: float = 60) -> RemoteRefs:
        """What a remote offers; with patterns, the refs whose whole name matches one (`*` also matches `/`).

        Raises AutoresearchError where the remote cannot be read, takes more than `timeout` seconds, or has over 500,000 refs.
        """
        return self._list(FetchVisit(self._network, remote, timeout), patterns)

    def _list(self, visit: FetchVisit, patterns: Sequence[str] = ()) -> RemoteRefs:
        refs: dict[str, str] = {}
        skipped: list[str] = []
        default = ""
        with visit.listing() as stream:
            for line in Scanner(stream, 1 << 14).parts(b"\n"):
                value, _, name = line.decode("utf-8", "backslashreplace").partition("\t")
                if name == "HEAD" and value.startswith("ref: refs/heads/"):
                    default = value.removeprefix("ref: refs/heads/")
                if name.endswith("^{}") or not name.startswith("refs/"):
                    continue
                if patterns and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                    continue
                if valid_name(name) and re.fullmatch(r"[0-9a-f]{40,64}", value):
                    refs[name] = value
                elif len(skipped) < 1000:
                    skipped.append(name)
                if len(refs) > REFS_LIMIT:
                    raise AutoresearchError(f"{visit.remote.url} has more than {REFS_LIMIT:,} refs", "name another hub")
        return RemoteRefs(refs, default, tuple(skipped))

    def fetch(
        self, remote: Remote, refspecs: Sequence[str], timeout: float = 600, wanted: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Fetch full refspecs (`+refs/pull/*/head:refs/hub/1/pull/*`) in one git process; what is deleted there stays here.

        Where an object is bad, `wanted` (remote ref → local ref) is fetched by halves instead, until only the bad refs are
        left. Returns those: remote ref → why git refused it. A ref that was refused is not asked for again before it moves.
        Raises AutoresearchError where the remote cannot be read or `timeout` seconds are over; refs that came before stay.
        """
        if wrong := [spec for spec in refspecs if not _REFSPEC.fullmatch(spec) or ":refs/replace/" in spec]:
            raise ValueError(f"not a full refspec: {wrong[0]!r}")
        visit = FetchVisit(self._network, remote, timeout)
        with _written(self.path), self._alone(visit):
            try:
                return self._fetch(visit, refspecs, wanted or {})
            finally:
                _write_config(self.path)
                self._calls.attempt("pack_refs", "--all")

    def _fetch(self, visit: FetchVisit, refspecs: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
        refusals = Refusals(self.path / "refused.json")
        known = refusals.of(visit.remote.url)
        if known:
            offered = self._list(visit).refs
            known = {ref: entry for ref, entry in known.items() if offered.get(ref) == entry[0]}
        refused = {ref: "git allows no such name" for ref, local in wanted.items() if not _plain(ref, local)}
        refused |= {ref: why for ref, (_, why) in known.items()}
        try:
            visit.fetch([*refspecs, *(f"^{ref}" for ref in known)])
        except BadObject as error:
            left = [(ref, local) for ref, local in wanted.items() if ref not in refused]
            if not left:
                raise AutoresearchError(f"{visit.remote.url} sent a bad object: {error.message}", "leave this hub out") from None
            # Before they are tried: a ref that moves meanwhile is asked for again next time.
            offered = self._list(visit).refs
            outcome = visit.by_halves(left)
            refused |= outcome.refused
            known = {**known, **{ref: [offered.get(ref, ""), outcome.refused[ref]] for ref in outcome.lasting}}
        refusals.replace(visit.remote.url, known)
        return refused

    @contextlib.contextmanager
    def _alone(self, visit: FetchVisit) -> Iterator[None]:
        """One fetch at a time; what a git that was killed has left behind is removed first."""
        with open(self.path / "fetching", "w", encoding="utf-8") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if visit.seconds_left <= 0:
                        raise AutoresearchError("another fetch into the same store is still running", "wait for it") from None
                    time.sleep(0.1)
            _write_config(self.path)
            stale = [*self.path.glob("*.lock"), *self.path.glob("refs/**/*.lock"), *self.path.glob("objects/pack/tmp_*")]
            for file in [*stale, *self.path.glob("objects/pack/.tmp-*")]:
                file.unlink(missing_ok=True)
            yield

    # -- reading, with strangers in mind ------------------------------------------------------------------------

    def _entries(self, commit: str, *options: str) -> Iterator[tuple[str, str, str]]:
        """(path, mode, sha) of a tree."""
        arguments = ["ls-tree", "-z", *options[:1], "--end-of-options", commit, *options[1:]]
        with self._calls.stream(*arguments, seconds=READ_SECONDS) as stream:
            for row in Scanner(stream, 1 << 14).parts(b"\0"):
                meta, _, path = row.decode("utf-8", "backslashreplace").partition("\t")
                mode, _, sha = meta.split()
                yield path, mode, sha

    def tree(self, commit: str) -> dict[str, tuple[str, str]]:
        """path → (mode, blob sha) of every file of the commit's tree. Raises AutoresearchError above 100,000 files."""
        found: dict[str, tuple[str, str]] = {}
        size = 0
        for path, mode, sha in self._entries(commit, "-r"):
            found[path] = (mode, sha)
            size += len(path)
            if len(found) > TREE_LIMIT or size > PATHS_SIZE:
                raise AutoresearchError(f"commit {commit[:12]} holds more than {TREE_LIMIT:,} files", "leave it out")
        return found

    def read_file(self, commit: str, path: str, limit: int = BLOB_LIMIT) -> bytes | None:
        """The bytes of one regular file at a commit; None where it is missing, a link, or larger than `limit` bytes."""
        try:
            entries = {name: (mode, sha) for name, mode, sha in self._entries(commit, "--full-tree", "--", path)}
        except GitFailed:
            return None
        mode, sha = entries.get(path, ("", ""))
        return next((content for _, content in self.read_blobs([sha], limit)), None) if mode.startswith("100") else None

    def messages(self, tip: str) -> list[CommitMessage]:
        """The chain of first parents from `tip` back to the root, oldest first. Raises AutoresearchError above 256 MiB."""
        commit = self.resolve(tip)
        if commit is None:
            raise AutoresearchError(f"{tip} is no commit here", "fetch it first")
        return self._bounded(self._messages([commit], "--reverse", "--first-parent"))

    def messages_of(self, commits: Iterable[str]) -> dict[str, CommitMessage]:
        """The named commits, by sha; one that is not here is left out. Raises AutoresearchError above 256 MiB."""
        there = self._commits(commits)
        return {m.sha: m for m in self._bounded(self._messages(there, "--no-walk=unsorted"))} if there else {}

    def _bounded(self, messages: Iterator[CommitMessage]) -> list[CommitMessage]:
        found: list[CommitMessage] = []
        size = 0
        for message in messages:
            found.append(message)
            size += len(message.text)
            if size > MESSAGES_LIMIT:
                raise AutoresearchError(f"the history of {found[0].sha[:12]} is too long to be read", "leave it out")
        return found

    def changed_paths(self, pairs: Iterable[tuple[str, str]]) -> list[set[str]]:
        """For each (old, new), the paths that differ. Raises AutoresearchError where a tree is missing or endless."""
        changes = self.changed_files(pairs)
        if not all(files.complete for files in changes):
            raise AutoresearchError("a tree is missing, broken or too large to be compared", "leave this history out")
        return [set(files) for files in changes]

    def missing_objects(self, tips: Sequence[str]) -> str:
        """What git says is missing or broken below the tips, blobs apart, as large ones are never fetched."""
        arguments = ["rev-list", "--objects", "--filter=blob:none", "--quiet", "--end-of-options", *tips]
        try:
            with self._calls.stream(*arguments, seconds=READ_SECONDS):
                return ""
        except GitFailed as error:
            return error.message


def _plain(ref: str, local: str) -> bool:
    return valid_name(ref) and valid_name(local) and not local.startswith("refs/replace/")


def _write_config(path: Path) -> None:
    """Whatever a git that was killed has written there, the store's configuration is ours."""
    for name, text in (("config", _CONFIG), ("HEAD", "ref: refs/heads/none\n")):
        file = path / name
        try:
            same = file.read_text(encoding="utf-8") == text
        except (OSError, UnicodeDecodeError):
            same = False
        if not same:
            replace_file(file, text)


def open_store(path: Path, beside: Path | None = None) -> Store:
    """The store at `path`, which is made where it is missing; it also reads the objects in the folder `beside`.

    Raises AutoresearchError where something else lies there.
    """
    forget_repository_variables()
    path = path.absolute()
    with _written(path):
        content = (path / "config").read_bytes() if (path / "config").exists() else b""
        if content and not content.startswith(_CONFIG.partition("\n")[0].encode()):
            raise AutoresearchError(f"{path} is not a store of strangers' objects", f"move it away: mv {path} {path}.old")
        path.mkdir(parents=True, exist_ok=True)
        _write_config(path)
        if not all((path / name).is_dir() for name in ("objects/pack", "objects/info", "refs/heads")):
            initialise(path, {"GIT_DEFAULT_HASH": "sha1", "GIT_DEFAULT_REF_FORMAT": "files", **_SEALED})
            _write_config(path)
    return Store(path, beside)


def _quoted(path: Path) -> str:
    """As git takes a path in a list of paths: it may hold the colon that separates them."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"the store of strangers' objects {path} cannot be written: {error.strerror}"
        raise AutoresearchError(message, "free some disk space, or check who may write there") from error
