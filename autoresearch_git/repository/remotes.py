"""Where strangers' objects come from: an address, a secret that goes with it, and what is told when it fails."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository.calls import NO_PROMPTS, Calls
from autoresearch_git.repository.processes import GitFailed, printable

NAME = "autoresearch-hub"  # of the remote, in the configuration of a single call
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

# The helper's text is in an argv; what it tells is not. git runs it in a shell.
_HELPER = (
    """!f() { test "$1" = get && """
    """printf 'username=%s\\npassword=%s\\n' "$AUTORESEARCH_GIT_USERNAME" "$AUTORESEARCH_GIT_SECRET"; }; f"""
)

_HINTS = (
    (r"could not read Username|could not read Password|Authentication failed|error: 40[13]|invalid credentials",
     "the repository may be private: set GH_TOKEN, or run gh auth login"),
    (r"[Rr]epository .*not found|does not appear to be a git repository|error: 404|does not exist|No such file",
     "check the address: git config autoresearch.hub"),
    (r"Host key verification failed", "connect once by hand, so that ssh knows the host"),
    (r"Permission denied \(", "ssh has no key for this host: ssh-add, or use the https:// address"),
    (r"transport '.*' not allowed", "use an https, ssh or file address"),
    (r"dubious ownership", "git config --global --add safe.directory <that repository>"),
    (r"No space left", "free some disk space, then run the same command again: nothing was lost"),
    (r"shallow", "ask for a hub with its whole history, or run git fetch --unshallow there"),
    (r"resolve host|connect|[Cc]onnection|timed out|hung up|early EOF|RPC failed|too slow|SSL|certificate|error: [45]\d\d",
     "check the network, then run the command again"),
)  # fmt: skip


@dataclass(frozen=True)
class Remote:
    """An address that git may fetch from. A user name and password in the URL are taken out of it.

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
        settings = [f"remote.{NAME}.url={self.url}", "credential.helper="]
        if "=" not in self.url:  # the longest rule wins: insteadOf was applied once, and is not applied again
            settings.append(f"url.{self.url}.insteadOf={self.url}")
        if self._is_http and (self.secret or self.username):
            settings.append(f"credential.{self.host}.helper={_HELPER}")  # a redirection to another host gets nothing
        return settings

    @property
    def environment(self) -> dict[str, str]:
        secret = {"AUTORESEARCH_GIT_USERNAME": self.username or "x-access-token", "AUTORESEARCH_GIT_SECRET": self.secret}
        return {**NO_PROMPTS["env"], "GIT_LFS_SKIP_SMUDGE": "1", "GIT_TRACE_REDACT": "1", **(secret if self._is_http else {})}

    def conceal(self, error: GitFailed) -> None:
        """Take the secret out of what git said, should the server have sent it back."""
        name = self.username or "x-access-token"
        for word in (self.secret, base64.b64encode(f"{name}:{self.secret}".encode()).decode()) if self.secret else ():
            error.said, error.message = error.said.replace(word, "…"), error.message.replace(word, "…")
        error.args = (error.message,)

    def fail(self, error: GitFailed) -> NoReturn:
        """Raise what the user is told where git could not talk to the remote."""
        said = error.said or error.message
        telling = re.compile(r"(ERROR|error|fatal|ssh|Host key)\b|.*Permission denied")
        line = next(filter(telling.match, said.splitlines()), said.partition("\n")[0])
        hint = next((hint for pattern, hint in _HINTS if re.search(pattern, said)), "git autoresearch doctor")
        raise AutoresearchError(f"{self.url} cannot be read: {line[:300]}", hint) from None


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
