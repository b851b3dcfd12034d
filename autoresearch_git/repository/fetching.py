"""Fetching from strangers: what is asked of git so that nothing they send runs, and what is done about bad objects."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository.processes import GitFailed
from autoresearch_git.repository.remotes import NAME
from autoresearch_git.repository.visits import Visit

FILTER = "blob:limit=1m"
MAX_ATTEMPTS = 200  # git processes spent on finding bad refs in one fetch

# For the calls that fetch, beside what every visit is given.
NETWORK = (
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    "fetch.unpackLimit=1",  # objects stay in the pack they came in, which git writes as it comes
    "transfer.unpackLimit=1",
    "transfer.bundleURI=false",
    "fetch.uriProtocols=",  # a server cannot send us elsewhere for a pack
    "fetch.recurseSubmodules=false",
    "fetch.prune=false",
    "fetch.pruneTags=false",
    "fetch.writeCommitGraph=false",
    "core.bigFileThreshold=1m",
    "core.symlinks=false",
    "pack.threads=2",
    # With these git neither writes the remote to the store's configuration nor takes a filtered object for a damage.
    f"remote.{NAME}.promisor=true",
    f"remote.{NAME}.partialCloneFilter={FILTER}",
    f"remote.{NAME}.followRemoteHEAD=never",
)

_FETCH = [
    "--stdin", "--quiet", "--no-progress", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-prune",
    "--no-auto-maintenance", "--no-show-forced-updates", "--no-write-commit-graph", f"--filter={FILTER}",
]  # fmt: skip

# What a broken or hostile object makes git say; anything else is a matter of the remote or of this machine.
_BAD_OBJECT = re.compile(
    r"fsck error|object [0-9a-f]{40,64}: \w+:|did not send all necessary objects|bad object|object corrupt|is corrupt"
    r"|attempting to allocate|[Oo]ut of memory|pack has bad|unresolved delta|failed to apply delta|inflate returned|invalid blob"
    r"|possible repository corruption|from promisor remote|COLLISION|not our ref|couldn't find remote ref"
    r"|cannot lock ref|unable to update local ref|cannot update ref|refusing to"
)
_LASTING = re.compile(r"fsck error|object [0-9a-f]{40,64}: \w+:")


class BadObject(AutoresearchError):
    """An object, or the name of a ref, is such that git takes nothing of what it came with."""


@dataclass
class Outcome:
    """The refs that were refused, remote ref → why; `lasting` are those to be refused as long as they do not move."""

    refused: dict[str, str] = field(default_factory=dict)
    lasting: set[str] = field(default_factory=set)


class FetchVisit(Visit):
    """A visit that fetches."""

    def fetch(self, refspecs: Iterable[str]) -> None:
        """One `git fetch`. Raises BadObject where it is what came that is wrong."""
        stdin = [f"{refspec}\n".encode() for refspec in refspecs]
        with self.talking("fetch", *_FETCH, "--end-of-options", NAME, stdin=stdin) as stream:
            while stream.read(1 << 16):
                pass

    def explain(self, error: GitFailed) -> NoReturn:
        if bad := _BAD_OBJECT.search(error.said):
            line = next(line for line in error.said.splitlines() if bad[0] in line)
            raise BadObject(line.removeprefix("error: ").removeprefix("fatal: ")[:300]) from None
        super().explain(error)

    def by_halves(self, wanted: Sequence[tuple[str, str]]) -> Outcome:
        """Fetch (remote ref, local ref) until only those are left that git refuses."""
        outcome = Outcome()
        parts = [wanted]
        for _ in range(MAX_ATTEMPTS):
            if not parts:
                return outcome
            part = parts.pop()
            try:
                self.fetch(f"+{ref}:{local}" for ref, local in part)
            except BadObject as error:
                if len(part) > 1:
                    parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                    continue
                outcome.refused[part[0][0]] = error.message
                if _LASTING.search(error.message):
                    outcome.lasting.add(part[0][0])
        outcome.refused |= {ref: "not read this time: too many refs of this remote are bad" for part in parts for ref, _ in part}
        return outcome


class Refusals:
    """Which refs were refused at which sha, in a file of the store: url → ref → [sha, why]."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all: dict[str, dict[str, list[str]]] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            content = json.loads(path.read_text(encoding="utf-8"))
            self._all = {url: {ref: [str(sha), str(why)] for ref, (sha, why) in refs.items()} for url, refs in content.items()}

    def of(self, url: str) -> dict[str, list[str]]:
        return self._all.get(url, {})

    def replace(self, url: str, refused: dict[str, list[str]]) -> None:
        if refused == self.of(url):
            return
        self._all[url] = refused
        replace_file(self._path, json.dumps(self._all, sort_keys=True, indent=1))


def replace_file(path: Path, text: str) -> None:
    """Write a file whole, or leave the one that is there."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
