"""Pushing one commit to one ref: from where the ref stands there to where it shall stand, or not at all.

Only what is named moves. Nothing that the user has configured adds to it (tags, submodules, push options, a mirror), no hook
runs here, nothing is signed, and the user's repository holds afterwards what it held before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository.calls import Calls
from autoresearch_git.repository.processes import GitFailed, Scanner, hexadecimal
from autoresearch_git.repository.remotes import NAME, Remote, telling_line
from autoresearch_git.repository.visits import Visit, valid_name

_PUSH = ["--porcelain", "--no-progress", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no"]
_SETTINGS = (
    "push.pushOption=",  # an empty one takes back those before it
    "push.negotiate=false",
    f"remote.{NAME}.mirror=false",
)
_SAID = 1 << 16  # bytes of git's report that are read

# The first that fits says what a refusal is about.
_REASONS = (
    ("workflow", r"refusing to allow .* workflow", "gh auth refresh -s workflow, or a token with the scope workflow"),
    ("protected", r"GH006|GH013|[Pp]rotected branch|[Rr]epository rule|denying non-fast-forward",
     "push to a fork, or ask its owner to let this through"),
    ("hidden", r"hidden ref", "this server keeps such refs to itself: push only the branch, or to another server"),
    ("stale", r"stale info|but expected [0-9a-f]{40}|reference already exists",
     "somebody else moved it: run the command again, which looks at it anew"),
    ("denied", r"error: 403|Permission to .* denied|[Ww]rite access to|not allowed to (?:push|upload)|read[ -]only|archived"
               r"|insufficient permission",
     "push to a fork, or use a token or key that may write there"),
    ("refused", r"shallow update not allowed", "git fetch --unshallow, then run the command again"),
)  # fmt: skip
_REFUSED = "mend what the server says, then run the command again"


class PushRefusedError(AutoresearchError):
    """The remote was reached, and does not let the ref move.

    `reason` is `protected` (by a rule for that branch), `stale` (it is not where it was expected), `hidden` (the server takes
    no such ref), `workflow` (the token may not change GitHub's workflows), `denied` (nor anything there), or else `refused`.
    """

    def __init__(self, message: str, hint: str, reason: str) -> None:
        super().__init__(message, hint)
        self.reason = reason


class PushVisit(Visit):
    """A visit that moves one ref."""

    def __init__(self, calls: Calls, remote: Remote, ref: str, seconds: float) -> None:
        super().__init__(calls, remote, seconds, pushing=True)
        self._ref = ref
        self._report = ""

    def push(self, commit: str, expected: str) -> None:
        lease = f"--force-with-lease={self._ref}:{expected}"
        arguments = ["push", *_PUSH, lease, "--end-of-options", NAME, f"{commit}:{self._ref}"]
        with self.talking(*arguments, settings=_SETTINGS) as stream:
            self._report = stream.read(_SAID).decode("utf-8", "replace")
            while stream.read(_SAID):
                pass

    def explain(self, error: GitFailed) -> NoReturn:
        rejected = re.search(r"^!\t.*\t\[(?:remote )?rejected\](.*)$", self._report, re.MULTILINE)
        why = self.remote.concealed(rejected[1].strip(" ()")) if rejected else ""
        said = f"{error.said}\n{why}"
        found = next(((reason, hint) for reason, pattern, hint in _REASONS if re.search(pattern, said)), None)
        custom = not self._ref.startswith(("refs/heads/", "refs/tags/"))
        if found is None and custom and re.search(r"hook declined|funny refname", why):
            found = next((reason, hint) for reason, _, hint in _REASONS if reason == "hidden")
        if found or rejected:
            reason, hint = found or ("refused", _REFUSED)
            words = _words(error.said) or why or telling_line(error.said)
            raise PushRefusedError(f"{self.remote.url} does not take {self._ref}: {words}", hint, reason) from None
        super().explain(error)


def _words(said: str) -> str:
    """What the server said, on one line, from where it begins to complain."""
    lines = [line.removeprefix("remote:").strip() for line in said.splitlines() if line.startswith("remote:")]
    start = next((n for n, line in enumerate(lines) if re.match(r"(?:error|fatal|ERROR|GitLab)\b|GH\d", line)), 0)
    words = (line.removeprefix("error: ") for line in lines[start:] if re.search(r"\w", line))
    return one_line(" ".join(words), 300)


def push(calls: Calls, remote: Remote, commit: str, ref: str, expected: str, seconds: float) -> None:
    if not (hexadecimal(commit) and valid_name(ref) and (not expected or hexadecimal(expected))):
        raise ValueError(f"not a move of a ref: {ref!r} from {expected!r} to {commit!r}")
    PushVisit(calls, remote, ref, seconds).push(commit, expected)


def remote_refs(calls: Calls, remote: Remote, names: Sequence[str], seconds: float) -> dict[str, str]:
    if wrong := [name for name in names if not valid_name(name)]:
        raise ValueError(f"not the full name of a ref: {wrong[0]!r}")
    if not names:
        return {}
    found = {}
    with Visit(calls, remote, seconds, pushing=True).listing(*names) as stream:
        for line in Scanner(stream, 1 << 14).parts(b"\n"):
            sha, _, name = line.decode("utf-8", "surrogateescape").partition("\t")
            if name in names and hexadecimal(sha):  # git also lists refs that only end so
                found[name] = sha
    return found
