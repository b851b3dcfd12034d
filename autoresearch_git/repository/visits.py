"""One visit to a remote: nobody is asked anything, nothing but the remote is talked to, and it ends within its time."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NoReturn

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository.calls import NO_PROMPTS, Calls
from autoresearch_git.repository.processes import GitFailed, TookTooLong
from autoresearch_git.repository.remotes import NAME, Remote, ssh_command

# For the calls that talk to a remote. Proxies, certificates and ssh stay the user's.
TRANSPORT = (
    *NO_PROMPTS["settings"],
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.http.allow=always",
    "protocol.ssh.allow=always",
    "protocol.file.allow=always",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.lowSpeedLimit=1",  # bytes a second: a server that packs for minutes sends a sign of life every five seconds
    "http.lowSpeedTime=60",
)

_NAME = re.compile(r"refs(?:/(?!\.)[^\0-\x20\x7f~^:?*\[\\/]+(?<!\.lock))+")


def valid_name(ref: str) -> bool:
    """Whether git allows the name of a ref (`git check-ref-format`), without asking it ten thousand times."""
    return bool(_NAME.fullmatch(ref)) and "/" in ref and ".." not in ref and "@{" not in ref and not ref.endswith(".")


class Visit:
    """Calls to one remote until a deadline (`time.monotonic()` seconds). Raises AutoresearchError, without the secret.

    `pushing` says that the remote is where a push would go, which may be another address than that of a fetch.
    """

    def __init__(self, calls: Calls, remote: Remote, seconds: float, pushing: bool = False) -> None:
        self._calls = calls
        self._seconds = seconds
        self._done = "pushed to" if pushing else "read"
        self.deadline = time.monotonic() + seconds
        self.remote = _resolved(remote, _push_url(calls, remote) if pushing else _fetch_url(calls, remote))
        self._env = {**self.remote.environment, "GIT_SSH_COMMAND": ssh_command(calls, dict(os.environ))}

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    @contextlib.contextmanager
    def listing(self, *names: str) -> Iterator[IO[bytes]]:
        """The output of `git ls-remote --symref`; with names, of refs that end so."""
        with self.talking("ls-remote", "--symref", "--quiet", "--end-of-options", NAME, *names) as stream:
            yield stream

    @contextlib.contextmanager
    def talking(self, *arguments: str, stdin: Iterable[bytes] = (), settings: Sequence[str] = ()) -> Iterator[IO[bytes]]:
        """The output of one git process that talks to the remote, under the name NAME."""
        try:
            with self.remote.credentials() as (helper, descriptors):
                given = [*TRANSPORT, *settings, *self.remote.settings, *helper]
                with self._calls.stream(
                    *arguments, stdin=stdin, seconds=self.seconds_left, settings=given, env=self._env, descriptors=descriptors
                ) as stream:
                    yield stream
        except TookTooLong:
            message = f"{self.remote.url} was not {self._done} within {self._seconds:g} s"
            raise AutoresearchError(message, "check the network, then run the command again") from None
        except GitFailed as error:
            self.remote.conceal(error)
            self.explain(error)

    def explain(self, error: GitFailed) -> NoReturn:
        """Raise what the user is told where git failed."""
        self.remote.fail(error, self._done)


def _fetch_url(calls: Calls, remote: Remote) -> str:
    """The address after the user's `url.<base>.insteadOf`."""
    return calls.run("ls_remote", "--get-url", "--end-of-options", remote.url)


def _push_url(calls: Calls, remote: Remote) -> str:
    """The address after the user's `url.<base>.pushInsteadOf`, or where none fits, `insteadOf`."""
    rows = calls.run("remote", "-v", settings=[f"remote.{NAME}.url={remote.url}"]).splitlines()
    found = [row.removeprefix(f"{NAME}\t").removesuffix(" (push)") for row in rows if row.startswith(f"{NAME}\t")]
    return found[-1]  # the line of the fetch comes before that of the push


def _resolved(remote: Remote, url: str) -> Remote:
    """The remote at another address; a secret stays with the host that it is for."""
    if url == remote.url:
        return remote
    found = Remote(url)
    return found if found.secret or found.host != remote.host else Remote(url, remote.secret, remote.username)
