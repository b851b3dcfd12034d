"""Find the token for one GitHub host: the environment, then gh, then git's credential helpers.

A token belongs to one host. GH_TOKEN and GITHUB_TOKEN are for github.com and *.ghe.com, the enterprise pair is for other
hosts, and neither is ever offered to the other's; gh is asked about one host by name, as without a name it answers with
the token of another. Whether a host may be asked at all is decided above: `community.hubs.token_for`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from typing import NoReturn
from urllib.parse import urlsplit

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository import Repository

VARIABLES = ("GH_TOKEN", "GITHUB_TOKEN")
ENTERPRISE_VARIABLES = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
GH_SECONDS = 10.0
HOST_NAME = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"  # in lower case
HOST = HOST_NAME + r"(?::[0-9]{1,5})?"


class Token:
    """A secret and where it was found. It shows its source only, and can be neither pickled nor copied."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self._value = value
        self.source = source

    @property
    def value(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Token(source={self.source!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a token is not written anywhere")


def find_token(repository: Repository, host: str) -> Token | None:
    """The token for `host` (`github.com`, `ghe.example.org`, `127.0.0.1:8123`), or None.

    Raises AutoresearchError where a variable holds what cannot be a token, and ValueError for what is no host.
    """
    if not re.fullmatch(HOST, host):
        raise ValueError(f"{host!r} is no host")
    return from_environment(host) or from_gh(host) or _from_credentials(repository, host)


def from_environment(host: str) -> Token | None:
    """The first variable for `host` that holds anything. Raises AutoresearchError where that cannot be a token."""
    for name in _variables(host):
        value = os.environ.get(name, "")
        if value.strip():
            return Token(_checked(value, name, f"export {name}=… again, from where it came"), name)
    return None


def _variables(host: str) -> list[str]:
    """Which variables are about `host`. GitHub Actions sets GITHUB_API_URL, and GITHUB_TOKEN is then for that API alone."""
    actions = os.environ.get("GITHUB_API_URL", "").strip()
    paired = bool(actions) and web_host(actions) == host
    if is_github(host):
        return [name for name in VARIABLES if name != "GITHUB_TOKEN" or paired or not actions]
    homes = {home for home in hosts_in_environment() if not is_github(home)}
    enterprise = list(ENTERPRISE_VARIABLES) if host in homes or not homes else []
    return [*enterprise, "GITHUB_TOKEN"] if paired else enterprise


def hosts_in_environment() -> set[str]:
    """The GitHub hosts that gh's and GitHub Actions' variables name."""
    named = {web_host(os.environ.get(name, "")) for name in ("GH_HOST", "GITHUB_SERVER_URL", "GITHUB_API_URL")}
    return named - {""}


def is_github(host: str) -> bool:
    """github.com and its tenants *.ghe.com, as opposed to a server that somebody runs."""
    return host == "github.com" or host.endswith(".ghe.com")


def web_host(url: str) -> str:
    """The host, with its port, whose repositories an API root (or a server's URL, or a bare host) is about; '' if none."""
    text = url.strip().lower()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    if port == {"https": 443, "http": 80}.get(parts.scheme):
        host = host.rpartition(":")[0]
    if host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com")):
        host = host.removeprefix("api.")
    return host if re.fullmatch(HOST, host) else ""


def from_gh(host: str) -> Token | None:
    """The token that the gh command keeps for `host`; None where there is no gh, or it has none, or hangs."""
    said = _gh("auth", "token", "--hostname", host).rstrip("\r\n")
    source = f"gh auth token --hostname {host}"
    return Token(_checked(said, source, f"gh auth login --hostname {host}"), source) if said.strip() else None


def _gh(*arguments: str) -> str:
    """What gh prints; empty where it fails. It answers from its own store: our variables may be another host's."""
    silent = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1"}
    ours = {*VARIABLES, *ENTERPRISE_VARIABLES, "GH_HOST", "GH_DEBUG", "DEBUG"}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | silent
    try:
        gh = subprocess.Popen(["gh", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env=environment, start_new_session=True)  # fmt: skip
    except OSError:
        return ""
    try:
        output = gh.communicate(timeout=GH_SECONDS)[0]
    except subprocess.TimeoutExpired:
        return ""
    finally:
        if gh.returncode is None:  # a timeout or ^C: end it with what it started, which would hold our pipe open
            with suppress(OSError):
                os.killpg(gh.pid, signal.SIGKILL)
        gh.wait()
        assert gh.stdout
        gh.stdout.close()
    return output.decode("utf-8", "replace") if gh.returncode == 0 else ""


def _from_credentials(repository: Repository, host: str) -> Token | None:
    found = repository.credential("https", host)
    usable = found and re.fullmatch(r"[!-~]+", found[1])  # a password of another kind is none of ours to refuse
    return Token(found[1], "git credential fill") if found and usable else None


def _checked(value: str, source: str, hint: str) -> str:
    """The value without the spaces around it. Raises AutoresearchError for what could not stand in an HTTP header."""
    token = value.strip(" ")
    if not re.fullmatch(r"[!-~]+", token):
        raise AutoresearchError(f"the token in {source} has a line break or another character that no token has", hint)
    return token


def how_to_log_in(host: str) -> str:
    """What to type where there is no token for `host`."""
    command = "gh auth login" if host == "github.com" else f"gh auth login --hostname {host}"
    return f"{command}, or export {VARIABLES[0] if is_github(host) else ENTERPRISE_VARIABLES[0]}=…"


def what_a_token_adds(host: str) -> str:
    """One line for a host that there is no token for: what is missed, and what to type."""
    return (
        "without a token only branches and pull-request heads are read, through git; "
        f"Discussions and descriptions need one: {how_to_log_in(host)}"
    )
