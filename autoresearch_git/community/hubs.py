"""The repositories that findings are read from and published to, and where a token may go.

A hub is named by the setting `hub`, or else by the remotes. What a remote, a setting or a cloned file says is only text
here: it is matched against a few shapes, and anything else is refused before git or a client sees it. A token goes only to
a host that the user named; a file that came with the clone does not speak for the user.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from autoresearch_git import tokens
from autoresearch_git.config import Setting, Settings, without_secrets
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository import Repository

_OWNER_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]*/(?!\.{0,2}(?:\.git)?(?:/|$))[A-Za-z0-9_.-]+"
_ANY_HOST = f"(?i:{tokens.HOST})"
_SSH_USER = r"(?:[A-Za-z0-9_][\w.-]*@)?"
_ALIASES = {"www.github.com": "github.com", "ssh.github.com": "github.com"}
# Forges that are not GitHub, in case that an enterprise token lies in the environment for another host.
_OTHER_FORGES = re.compile(r"(^|\.)(gitlab|bitbucket|codeberg|gitee|sr\.ht|huggingface|azure|visualstudio|kernel)(\.|$)")


@dataclass(frozen=True)
class Hub:
    """A repository whose findings are read."""

    name: str  # owner/name; host/owner/name where that is not the default host; else the URL, or the path in full
    url: str  # what git fetches from; never with credentials
    host: str  # host[:port] of its GitHub; '' where only git can be read
    owner_name: str  # owner/name; '' where only git can be read
    api: str  # root of the API: https://api.github.com, https://HOST/api/v3; '' where only git can be read
    trusted: bool  # whether a token may go there
    key: str  # [a-z0-9-], the same for every URL of one repository: for refs and folders
    source: str = ""  # who named it: a remote, or where the setting stands
    note: str = ""  # one line to tell the user; '' mostly

    @property
    def below(self) -> str:
        """Where its refs lie in the store of strangers' objects."""
        return f"refs/hubs/{self.key}/"

    @property
    def web(self) -> str:
        """Its page: https://github.com/owner/name; '' where only git can be read."""
        return f"{self.api.partition(':')[0]}://{self.host}/{self.owner_name}" if self.api else ""


@dataclass(frozen=True)
class _Hosts:
    """What is known of hosts before any hub is read."""

    api_url: str  # the setting; '' for github.com's
    default: str  # where owner/name lives
    github: frozenset[str]  # hosts that are said to be GitHub
    trusted: frozenset[str]  # hosts that the user named


@dataclass(frozen=True)
class _Place:
    """A URL taken apart. `host` is '' for a path."""

    url: str
    scheme: str  # https, http, ssh or file
    host: str
    path: str


def hubs(repository: Repository, settings: Settings) -> list[Hub]:
    """The hubs of this repository, in the order of the setting, each once; none where there is no setting and no origin.

    By default `origin`, and `upstream` where there is such a remote; what `origin` is a fork of is the API's to say (see
    `with_parent`). A remote that is nothing to read from is left out. Raises AutoresearchError for an unusable setting.
    """
    remotes = repository.remote_urls()
    hosts = _hosts(settings, remotes)
    setting = settings.origin["hub"]
    if settings.hub:
        found = [_from_setting(word, setting, repository.root, hosts) for word in settings.hub]
    else:
        names = [name for name in ("origin", "upstream") if name in remotes and "origin" in remotes]
        read = [_from_remote(name, remotes[name], repository.root, hosts) for name in names]
        found = [hub for hub in read if hub]
    first: dict[str, Hub] = {}
    for hub in found:
        first.setdefault(hub.key, hub)
    return list(first.values())


def with_parent(hub: Hub, owner_name: str) -> Hub:
    """The hub that `hub` is a fork of: `owner_name` on the same host, fetched the same way.

    Raises AutoresearchError where `owner_name`, which a server gave us, is none.
    """
    return beside(hub, owner_name, f"parent of {hub.name}")


def fork_of(hub: Hub, owner_name: str) -> Hub:
    """The user's fork of `hub`, pushed to the same way."""
    return beside(hub, owner_name, f"your fork of {hub.name}")


def spelled(hub: Hub, owner_name: str) -> Hub:
    """The hub as its host names it: it may have been renamed, or written in other letters."""
    return hub if hub.owner_name == owner_name else beside(hub, owner_name, hub.source)


def beside(hub: Hub, owner_name: str, source: str = "fork") -> Hub:
    """Another repository on the same host, whose address differs in its name alone. Raises AutoresearchError where `owner_name`,
    which a server or a stranger's text gave us, is none."""
    before, found, _ = hub.url.rpartition(hub.owner_name)
    if not found or not hub.owner_name or not re.fullmatch(_OWNER_NAME, owner_name):
        role = source.removeprefix("your ")
        raise AutoresearchError(f"{owner_name!r} cannot be the {role}", "git config autoresearch.hub owner/name")
    prefix = hub.name.removesuffix(hub.owner_name)
    key = _key(f"{hub.host}/{owner_name}".lower(), owner_name)
    return replace(
        hub, name=prefix + owner_name, url=f"{before}{owner_name}.git", owner_name=owner_name, key=key, source=source, note=""
    )


def publication_hub(repository: Repository, settings: Settings, to: str | None) -> Hub:
    """The one repository that is published to: `to`, else the setting `hub` where the user made it, else `origin`.

    What a file of the clone names is read from, and never published to: the file may be a stranger's. Nor is the parent of a fork
    that `origin` is. Raises AutoresearchError where that is no GitHub repository, or more than one.
    """
    remotes = repository.remote_urls()
    hosts = _hosts(settings, remotes)
    setting = settings.origin["hub"]
    if to:
        hub: Hub | None = _from_setting(to, Setting(setting.key, to, "--to"), repository.root, hosts)
    elif settings.hub and not setting.tracked:
        if len(settings.hub) > 1:
            raise AutoresearchError(f"{len(settings.hub)} repositories are named by hub ({setting.source})",
                                    f"git autoresearch publish --to {settings.hub[0]}")  # fmt: skip
        hub = _from_setting(settings.hub[0], setting, repository.root, hosts)
    else:
        hub = _from_remote("origin", remotes["origin"], repository.root, hosts) if "origin" in remotes else None
    if hub is None or not hub.api:
        what = f"{hub.name} is no GitHub repository" if hub else "there is no origin on GitHub"
        raise AutoresearchError(f"{what}, so no pull request can be opened", _how_to_name_one(hub))
    return hub


def hub_at(repository: Repository, settings: Settings, address: str) -> Hub:
    """The hub at an address that the user typed, or that stands in a remote. The address alone makes no host one that a token goes
    to. Raises AutoresearchError where it is none to read from."""
    hosts = _hosts(settings, repository.remote_urls())
    hub = None if re.fullmatch(_OWNER_NAME, address) else _from_remote("remote", address, repository.root, hosts)
    as_named = Setting(settings.origin["hub"].key, address, "as named", tracked=True)
    return hub or _from_setting(address, as_named, repository.root, hosts)


def _how_to_name_one(hub: Hub | None) -> str:
    """What to type where a hub is no GitHub: its host may be one that nothing here says so of."""
    place = _place(hub.url, Path()) if hub else None
    elsewhere = "git autoresearch publish --to OWNER/NAME"
    if place is None or not place.host or _OTHER_FORGES.search(place.host):
        return elsewhere
    known = f"git config autoresearch.api-url https://{place.host}/api/v3"
    return f"if that is a GitHub Enterprise: {known}; if not: {elsewhere}"


def no_api(hub: Hub, api_url: str) -> str:
    """Why only git is read of a hub, and what to type, where the setting `api_url` is of another host; else empty."""
    place = _place(hub.url, Path())
    if hub.api or not api_url or place is None or not place.host or _OTHER_FORGES.search(place.host):
        return ""
    scheme = "http" if _is_loopback(place.host) else "https"
    return (f"its API was not asked, so Discussions and descriptions are missing: autoresearch.api-url is {api_url}, of another "
            f"host — git config autoresearch.api-url {scheme}://{place.host}/api/v3")  # fmt: skip


def token_for(repository: Repository, hub: Hub) -> tokens.Token | None:
    """The token to read `hub` with; None where there is none, or where none may go.

    Raises AutoresearchError where a variable for that host holds what cannot be a token.
    """
    return tokens.find_token(repository, hub.host) if hub.trusted and hub.host else None


def _hosts(settings: Settings, remotes: dict[str, str]) -> _Hosts:
    api_host = tokens.web_host(settings.api_url)
    named = tokens.hosts_in_environment() | ({api_host} if api_host else set())
    places = (_place(url, Path()) for url in remotes.values())
    from_remotes = {_known_host(place, api_host) for place in places if place and place.host}
    return _Hosts(settings.api_url, api_host or "github.com", frozenset(named), frozenset({"github.com"} | named | from_remotes))


def _from_setting(word: str, setting: Setting, root: Path, hosts: _Hosts) -> Hub:
    short = re.fullmatch(rf"(?:({_ANY_HOST})/)?({_OWNER_NAME})/?", word)
    source = setting.source
    given = short and (short[1] or hosts.default).lower()
    if short and given and (re.search(r"[.:]", given) or given in hosts.trusted):
        host = _ALIASES.get(given, given)
        scheme = _scheme(host, "https", hosts)
        place: _Place | None = _Place(f"{scheme}://{host}/{_bare(short[2])}.git", scheme, host, _bare(short[2]))
    else:  # for git `a/b` is a path too; here a path begins as one
        place = _place(word, root) if ":" in word or word.startswith(("/", ".", "~")) else None
    if place and setting.tracked and place.scheme in ("file", "ssh"):
        raise AutoresearchError(
            f"hub = {word!r} is not read: {source} came with the clone, and such a file may name no path and no ssh host",
            "git config --add autoresearch.hub <path or URL>, if you know it",
        )
    named = place.host if place and not setting.tracked else ""
    hub = place and _hub(place, replace(hosts, trusted=hosts.trusted | {named}), source)
    if not hub:
        raise AutoresearchError(
            f"hub = {word!r} ({source}) is not owner/name, host/owner/name, a git URL (https or ssh), or a path such as ../hub",
            "git autoresearch publish --to OWNER/NAME" if source == "--to" else "git config autoresearch.hub karpathy/autoresearch",
        )
    return _noted(hub, word)


def _from_remote(name: str, url: str, root: Path, hosts: _Hosts) -> Hub | None:
    place = _place(url, root)
    hub = place and _hub(place, hosts, name)
    return _noted(hub, without_secrets(url)) if hub else None


def _noted(hub: Hub, text: str) -> Hub:
    ignored = "://***@" in text
    return replace(hub, note=f"the name and password in the URL are ignored ({hub.source})") if ignored else hub


def _place(text: str, root: Path) -> _Place | None:
    """A URL as git has it, or a path below `root`; None for what is not read from. Credentials are left out."""
    url = without_secrets(text)
    if url.startswith("-") or not url.isprintable() or re.match(r"[\w.+-]*::", url):
        return None
    if match := re.fullmatch(rf"(https?)://(?:\*\*\*@)?({_ANY_HOST})/+([^?#\\\s]+)", url):
        scheme, host = match[1], _without_port(match[2].lower(), match[1])
        return _Place(f"{scheme}://{host}/{match[3]}", scheme, _ALIASES.get(host, host), match[3])
    if match := re.fullmatch(rf"ssh://{_SSH_USER}({_ANY_HOST})/+(?!-)(\S+)", url):
        return _ssh(url, match[1], match[2])
    if match := re.fullmatch(rf"{_SSH_USER}((?i:{tokens.HOST_NAME})):(?!//|-)(\S+)", url):
        return _ssh(url, match[1], match[2])
    if match := re.fullmatch(r"file://(?:localhost)?(/.+)", url):
        return _Place(url, "file", "", match[1])
    if "://" in url or ":" in url.partition("/")[0]:
        return None
    try:
        path = os.path.abspath(root / Path(url).expanduser())
    except RuntimeError:  # there is no such home
        return None
    return _Place(path, "file", "", path)


def _ssh(url: str, host: str, path: str) -> _Place:
    name = re.sub(r":\d+$", "", host.lower())
    return _Place(url, "ssh", _ALIASES.get(name, name), path)


def _without_port(host: str, scheme: str) -> str:
    return host.removesuffix(":443" if scheme == "https" else ":80")


def _bare(path: str) -> str:
    return path.strip("/").removesuffix(".git")


def _known_host(place: _Place, api_host: str) -> str:
    """The host of a place; over ssh, whose port says nothing of the API's, the API's where it is the same machine."""
    same = place.scheme == "ssh" and re.sub(r":\d+$", "", api_host) == place.host
    return api_host if same else place.host


def _scheme(host: str, given: str, hosts: _Hosts) -> str:
    """https, also where a remote says http; http only on this machine, and where the API's root says so."""
    if host == tokens.web_host(hosts.api_url) and not tokens.is_github(host):
        return hosts.api_url.partition(":")[0]
    return given if _is_loopback(host) else "https"


def _is_loopback(host: str) -> bool:
    return bool(re.fullmatch(r"(127(\.\d+){3}|localhost|[\w.-]+\.localhost|\[::1\])(:\d+)?", host))


def _hub(place: _Place, hosts: _Hosts, source: str) -> Hub | None:
    host = _known_host(place, tokens.web_host(hosts.api_url))
    plain = place.scheme == "http" and not _is_loopback(host)
    trusted = host in hosts.trusted
    if not host or not _speaks_github(host, hosts, trusted):
        key = _key(place.url.rstrip("/"), _bare(place.path))
        return Hub(place.url, place.url, "", "", "", bool(host) and trusted and not plain, key, source)
    owner_name = _bare(place.path)
    if not re.fullmatch(_OWNER_NAME, owner_name):
        return None
    scheme = _scheme(host, "http" if place.scheme == "http" else "https", hosts)
    url = place.url if place.scheme == "ssh" else f"{scheme}://{host}/{owner_name}.git"
    name = owner_name if host == hosts.default else f"{host}/{owner_name}"
    safe = scheme == "https" or _is_loopback(host)
    identity = f"{host}/{owner_name}".lower()
    return Hub(name, url, host, owner_name, _api(host, scheme, hosts), trusted and safe, _key(identity, owner_name), source)


def _speaks_github(host: str, hosts: _Hosts, trusted: bool) -> bool:
    """Whether a host is a GitHub: known, named as one, or one that the user keeps a token for. Nothing is asked of it."""
    if tokens.is_github(host) or host in hosts.github:
        return True
    if not trusted or _OTHER_FORGES.search(host):
        return False
    return tokens.from_environment(host) is not None or tokens.from_gh(host) is not None


def _api(host: str, scheme: str, hosts: _Hosts) -> str:
    if tokens.is_github(host):
        return f"https://api.{host}"
    return hosts.api_url if host == tokens.web_host(hosts.api_url) else f"{scheme}://{host}/api/v3"


def _key(identity: str, name: str) -> str:
    """A short name that is safe in refs and folders, the same for the same identity."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return f"{words or 'hub'}-{digest}"
