"""Where objects come from and go to: an address, a secret that goes with it, and what is told when it fails."""

from __future__ import annotations

import base64
import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository.calls import NO_PROMPTS, Calls
from autoresearch_git.repository.processes import GitFailed, printable

NAME = "autoresearch-hub"  # of the remote, in the configuration of a single call
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

# git runs the helper in a shell, with our descriptor open, and may ask it several times: `read` takes one line at a time.
# Only the descriptor's number is in an argv or an environment. Not `<&12`: that is no descriptor to every shell.
_HELPER = (
    """!f() { test "$1" = get && { IFS= read -r user && IFS= read -r secret; } </dev/fd/%d && """
    """printf 'username=%%s\\npassword=%%s\\n' "$user" "$secret"; }; f"""
)
_ANSWERS = 16  # times that the helper can answer in one git call

_NETWORK = "check the network, then run the command again"
_HINTS = (
    (r"could not read Username|could not read Password|Authentication failed|error: 40[13]|invalid credentials",
     "set GH_TOKEN, or run gh auth login: the repository may be private, and a push always takes a token"),
    (r"[Rr]epository .*not found|does not appear to be a git repository|error: 404|does not exist|No such file",
     "check the address: git config autoresearch.hub"),
    (r"Host key verification failed", "connect once by hand, so that ssh knows the host"),
    (r"Permission denied \(", "ssh has no key for this host: ssh-add, or use the https:// address"),
    (r"transport '.*' not allowed", "use an https, ssh or file address"),
    (r"dubious ownership", "git config --global --add safe.directory <that repository>"),
    (r"No space left", "free some disk space, then run the same command again: nothing was lost"),
    (r"shallow", "ask for a hub with its whole history, or run git fetch --unshallow there"),
    (r"resolve host|connect|[Cc]onnection|timed out|hung up|early EOF|RPC failed|too slow|SSL|certificate|unable to access"
     r"|error: [45]\d\d",
     _NETWORK),
)  # fmt: skip


class NetworkError(AutoresearchError):
    """The remote did not answer to the end, which it may do the next time."""


@dataclass(frozen=True)
class Remote:
    """An address that git may fetch from or push to. A user name and password in the URL are taken out of it.

    Raises AutoresearchError where it is no https, http, ssh or file address, or path.
    """

    url: str
    secret: str = field(default="", repr=False)
    username: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url if _scheme(self.url) else _local(self.url))
        try:
            parts = urlsplit(self.url) if self._is_http else None
        except ValueError:
            raise _refusal(self.url, "is no address of a repository") from None
        if parts and "@" in parts.netloc:
            userinfo, _, host = parts.netloc.rpartition("@")
            name, _, password = userinfo.partition(":")
            object.__setattr__(self, "url", parts._replace(netloc=host).geturl())
            object.__setattr__(self, "username", self.username or unquote(name))
            object.__setattr__(self, "secret", self.secret or unquote(password))
        if parts and self.secret and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise AutoresearchError(f"a token is not sent to {parts.hostname} over plain http", "use its https:// address")
        if re.search(r"[\0\r\n]", self.secret + self.username):
            raise AutoresearchError(f"the token for {self.url} is no single line", "check the variable or file that holds it")

    @property
    def _is_http(self) -> bool:
        return _scheme(self.url) in ("http", "https")

    @property
    def host(self) -> str:
        """Where the secret belongs: scheme, host and port; empty where git is given none."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}" if self._is_http else ""

    @property
    def settings(self) -> list[str]:
        """`key=value` for one git call in which this is the remote `NAME`, and nobody else's credential helper is asked."""
        settings = [f"remote.{NAME}.url={self.url}", f"remote.{NAME}.pushurl={self.url}", "credential.helper="]
        if "=" not in self.url:  # the longest rule wins: insteadOf was applied once, and is not applied again
            settings.append(f"url.{self.url}.insteadOf={self.url}")
        return settings

    @property
    def environment(self) -> dict[str, str]:
        return {**NO_PROMPTS["env"], "GIT_LFS_SKIP_SMUDGE": "1", "GIT_TRACE_REDACT": "1"}

    @contextlib.contextmanager
    def credentials(self) -> Iterator[tuple[list[str], list[int]]]:
        """(`key=value`, descriptors) for one git call: a helper that answers for this host alone, from a pipe that git inherits.

        A redirection to another host gets nothing.
        """
        if not self._is_http or not (self.secret or self.username):
            yield [], []
            return
        reading = _filled_pipe(os.fsencode(f"{self._user}\n{self.secret}\n"))
        try:
            yield [f"credential.{self.host}.helper={_HELPER % reading}"], [reading]
        finally:
            os.close(reading)

    @property
    def _user(self) -> str:
        return self.username or "x-access-token"

    def concealed(self, text: str) -> str:
        """The text without the secret, should the server have sent it back."""
        for word in (self.secret, base64.b64encode(f"{self._user}:{self.secret}".encode()).decode()) if self.secret else ():
            text = text.replace(word, "…")
        return text

    def conceal(self, error: GitFailed) -> None:
        """Take the secret out of what git said."""
        error.said, error.message = self.concealed(error.said), self.concealed(error.message)
        error.args = (error.message,)

    def fail(self, error: GitFailed, done: str) -> NoReturn:
        """Raise what the user is told where git could not talk to the remote; `done` is what could not be."""
        said = error.said or error.message
        line = telling_line(said)
        hint = next((hint for pattern, hint in _HINTS if re.search(pattern, said)), "git autoresearch doctor")
        kind = NetworkError if hint == _NETWORK else AutoresearchError
        raise kind(f"{self.url} cannot be {done}: {line}", hint) from None


def telling_line(said: str) -> str:
    """The line of git's complaints that says what is wrong."""
    telling = re.compile(r"(ERROR|error|fatal|ssh|Host key)\b|.*Permission denied")
    return next(filter(telling.match, said.splitlines()), said.partition("\n")[0])[:300]


def _filled_pipe(answer: bytes) -> int:
    """The end to read from of a pipe that holds the answer some times over, and then ends. Nobody ever waits for it."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):  # a full pipe holds enough of them
            for _ in range(_ANSWERS):
                if os.write(writing, answer) < len(answer):
                    break
    finally:
        os.close(writing)
    return reading


def _scheme(url: str) -> str:
    """The transport of an address; empty for a path. Raises AutoresearchError for one that git must not see."""
    if not url or url.startswith("-") or not url.isprintable():
        raise _refusal(url, "is no address of a repository")
    if re.match(r"[A-Za-z0-9+.-]*::", url):
        raise _refusal(url, "would run a program")
    scheme, found, rest = url.partition("://")
    if found and re.fullmatch(r"[A-Za-z0-9+.-]+", scheme):
        if scheme not in ("https", "http", "ssh", "file"):
            raise _refusal(url, "is not fetched from")
        host = rest.partition("/")[0].rpartition("@")[2]
    else:
        scheme, host = ("ssh", url.partition(":")[0].rpartition("@")[2]) if re.match(r"[^/]+:", url) else ("", "")
    if host.startswith("-"):
        raise _refusal(url, "would pass an option to ssh")
    return scheme


def _refusal(url: str, why: str) -> AutoresearchError:
    shown = re.sub(r"//[^/]*@", "//…@", printable(url[:100]))
    hint = "git config autoresearch.hub owner/repository, or an https, ssh or file address"
    return AutoresearchError(f"{shown!r} {why}", hint)


def _local(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def ssh_command(calls: Calls, environment: dict[str, str]) -> str:
    """The user's ssh, told not to ask anybody."""
    chosen = environment.get("GIT_SSH_COMMAND") or calls.attempt("config", "core.sshCommand")
    program = chosen or (f"'{environment['GIT_SSH']}'" if environment.get("GIT_SSH") else "ssh")
    return program if re.search(r"plink", program, re.IGNORECASE) else f"{program} -o BatchMode=yes"
