"""Hubs and tokens: which repositories are read, which token may go to which host, and that none is ever shown.

gh is a shell script of ours on PATH that answers from a file and writes down how it was called; git's credential helper is
one too. What the real gh does with `auth token --hostname` is not proved here.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import World

from autoresearch_git import tokens
from autoresearch_git.community.hubs import Hub, hubs, token_for, with_parent
from autoresearch_git.config import load_settings, without_secrets
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository import open_repository
from autoresearch_git.tokens import find_token

pytestmark = pytest.mark.usefixtures("warm")

HOSTS = ("github.com", "octo.ghe.com", "ghe.corp.example", "127.0.0.1:8123")
API = "http://127.0.0.1:8123/api/v3"
SECRET = "ghp_" + "s3cr3t" * 6

GH = """\
#!/bin/sh
echo "$*" >> "{folder}/calls"
env > "{folder}/environment"
while read -r host token; do
    if [ "$4" = "$host" ]; then echo "$token"; exit 0; fi
done < "{folder}/store"
echo "no oauth token found for $4" >&2
exit 1
"""
HELPER = """\
#!/bin/sh
test "$1" = get || exit 0
host=$(sed -n 's/^host=//p')
echo "$host" >> "{folder}/asked"
while read -r known password; do
    if [ "$host" = "$known" ]; then echo username=ada; echo "password=$password"; fi
done < "{folder}/passwords"
"""


@dataclass(frozen=True)
class Keys:
    """The user's own stores of tokens: gh's and git's."""

    folder: Path

    def gh(self, **stored: str) -> None:
        (self.folder / "store").write_text("".join(f"{host} {token}\n" for host, token in stored.items()))

    def git(self, **stored: str) -> None:
        (self.folder / "passwords").write_text("".join(f"{host} {token}\n" for host, token in stored.items()))

    def script(self, text: str) -> None:
        (self.folder / "gh").write_text(text)
        (self.folder / "gh").chmod(0o755)

    def calls(self) -> list[str]:
        """The argument lists that gh was called with."""
        return self._lines("calls")

    def asked(self) -> list[str]:
        """The hosts that git's credential helper was asked about."""
        return self._lines("asked")

    def _lines(self, name: str) -> list[str]:
        return (self.folder / name).read_text().splitlines() if (self.folder / name).exists() else []


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """A gh and a credential helper that know nothing, in front of any real one."""
    folder = tmp_path / "keys"
    folder.mkdir()
    made = Keys(folder)
    made.gh()
    made.git()
    made.script(GH.format(folder=folder))
    (folder / "helper").write_text(HELPER.format(folder=folder))
    (folder / "helper").chmod(0o755)
    with open(tmp_path / "home" / ".gitconfig", "a") as file:
        file.write(f"[credential]\n\thelper = {folder / 'helper'}\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return made


def _found(world: World, host: str) -> tuple[str, str] | None:
    token = find_token(open_repository(world.root), host)
    return (token.value, token.source) if token else None


def _hubs(world: World) -> list[Hub]:
    repository = open_repository(world.root)
    return hubs(repository, load_settings(repository))


def _token_for(world: World, hub: Hub) -> str | None:
    token = token_for(open_repository(world.root), hub)
    return token.value if token else None


# -- whose token goes where ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", [*tokens.VARIABLES, *tokens.ENTERPRISE_VARIABLES])
@pytest.mark.parametrize("host", HOSTS)
def test_a_variable_is_for_its_own_hosts(empty: World, host: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "abc")
    own = ("ENTERPRISE" in variable) == (host in HOSTS[2:])
    assert _found(empty, host) == (("abc", variable) if own else None)


@pytest.mark.parametrize(
    ("host", "order"),
    [(HOSTS[0], tokens.VARIABLES), (HOSTS[1], tokens.VARIABLES), (HOSTS[2], tokens.ENTERPRISE_VARIABLES), (HOSTS[3], tokens.ENTERPRISE_VARIABLES)],
)  # fmt: skip
def test_environment_then_gh_then_git(
    empty: World, keys: Keys, host: str, order: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.gh(**{host: "of-gh"})
    keys.git(**{host: "of-git"})
    for variable in (*tokens.VARIABLES, *tokens.ENTERPRISE_VARIABLES):
        monkeypatch.setenv(variable, f"of-{variable}")
    for variable in order:
        assert _found(empty, host) == (f"of-{variable}", variable)
        assert (keys.calls(), keys.asked()) == ([], [])
        monkeypatch.setenv(variable, "  ")
    assert _found(empty, host) == ("of-gh", f"gh auth token --hostname {host}")
    assert keys.asked() == []
    keys.gh()
    assert _found(empty, host) == ("of-git", "git credential fill")
    keys.git()
    assert _found(empty, host) is None


def test_each_store_is_asked_about_the_host_alone(empty: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """gh sees no token of ours: one that it took from the environment could be another host's."""
    variables = dict.fromkeys((*tokens.VARIABLES, *tokens.ENTERPRISE_VARIABLES), SECRET)
    for name, value in {**variables, "GH_HOST": "ghe.two", "KEPT": "yes"}.items():
        monkeypatch.setenv(name, value)
    keys.gh(**{"github.com": "one", "ghe.two": "two"})
    assert _found(empty, "ghe.corp.example") is None
    assert keys.calls() == ["auth token --hostname ghe.corp.example"]
    assert keys.asked() == ["ghe.corp.example"]
    seen = (keys.folder / "environment").read_text()
    assert "KEPT=yes" in seen
    assert "GH_PROMPT_DISABLED=1" in seen
    assert SECRET not in seen
    assert "ghe.two" not in seen


@pytest.mark.parametrize(
    ("api", "host", "paired"),
    [
        (API, "127.0.0.1:8123", True),
        (API, "github.com", False),
        (API, "octo.ghe.com", False),
        (API, "ghe.corp.example", False),
        (API, "127.0.0.1", False),
        ("https://api.github.com", "github.com", True),
        ("https://api.github.com", "octo.ghe.com", False),
        ("https://api.github.com", "127.0.0.1:8123", False),
        ("https://api.octo.ghe.com/", "octo.ghe.com", True),
        ("https://api.octo.ghe.com/", "github.com", False),
        ("https://GHE.corp.example:443/api/v3", "ghe.corp.example", True),
        ("http://[bad/api", "github.com", False),
        ("", "github.com", True),
        ("", "ghe.corp.example", False),
    ],
)
def test_actions_pairs_its_token_with_its_api(
    empty: World, api: str, host: str, paired: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GITHUB_TOKEN belongs to the API that GITHUB_API_URL names, and to no other; GH_TOKEN stays where it was."""
    monkeypatch.setenv("GITHUB_API_URL", api)
    monkeypatch.setenv("GITHUB_TOKEN", "abc")
    assert _found(empty, host) == (("abc", "GITHUB_TOKEN") if paired else None)
    monkeypatch.setenv("GITHUB_TOKEN", "")
    monkeypatch.setenv("GH_TOKEN", "xyz")
    assert _found(empty, host) == (("xyz", "GH_TOKEN") if tokens.is_github(host) else None)


@pytest.mark.parametrize("variable", ["GH_HOST", "GITHUB_SERVER_URL"])
def test_an_enterprise_token_stays_with_the_server_that_is_named(
    empty: World, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", "abc")
    monkeypatch.setenv(variable, "github.com" if variable == "GH_HOST" else "https://github.com")
    assert _found(empty, "ghe.corp.example")
    monkeypatch.setenv(variable, "ghe.two" if variable == "GH_HOST" else "https://ghe.two/")
    assert _found(empty, "ghe.corp.example") is None
    assert _found(empty, "ghe.two") == ("abc", "GH_ENTERPRISE_TOKEN")


@pytest.mark.parametrize(
    "script",
    ["#!/bin/sh\necho secret\nexit 4\n", "#!/bin/sh\nexit 0\n", "#!/no/such/interpreter\n", "#!/bin/sh\nsleep 60 & sleep 60\n"],
)
def test_a_gh_that_fails_or_hangs_is_as_none(empty: World, keys: Keys, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "GH_SECONDS", 0.5)
    keys.script(script)
    keys.git(**{"github.com": "of-git"})
    began = time.monotonic()
    assert _found(empty, "github.com") == ("of-git", "git credential fill")
    assert time.monotonic() - began < 8


def test_a_gh_that_hangs_leaves_nothing_behind(empty: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "GH_SECONDS", 0.5)
    keys.script(f"#!/bin/sh\necho $$ > {keys.folder}/pid\nsleep 60 & echo $! >> {keys.folder}/pid\nsleep 60\n")
    assert _found(empty, "github.com") is None
    for pid in (keys.folder / "pid").read_text().split():
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_without_gh(empty: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    (keys.folder / "gh").unlink()
    monkeypatch.setenv("PATH", f"{keys.folder}{os.pathsep}/usr/bin" if not Path("/usr/bin/gh").exists() else str(keys.folder))
    assert tokens.from_gh("github.com") is None


@pytest.mark.parametrize(
    "host", ["", "-x", "--help", "a b", "github.com\n", "https://github.com", "ada@github.com", "github.com/x"]
)
def test_what_is_no_host_reaches_nobody(empty: World, keys: Keys, host: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        _found(empty, host)
    assert (keys.calls(), keys.asked()) == ([], [])


# -- a token is never shown ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [f"{SECRET}\n", f"{SECRET}\nX-Evil: 1", f"{SECRET}\x1b[1m", f"{SECRET}\t", f"two {SECRET}", "dé" + SECRET]
)
def test_a_value_that_is_no_token_is_refused_unseen(empty: World, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TOKEN", value)
    with pytest.raises(AutoresearchError) as caught:
        _found(empty, "github.com")
    assert caught.value.message.startswith("the token in GH_TOKEN has ")
    assert "\n" not in caught.value.message + caught.value.hint
    assert "s3cr3t" not in caught.value.message + caught.value.hint


def test_what_gh_and_git_answer_is_checked_too(empty: World, keys: Keys) -> None:
    keys.gh(**{"github.com": f"{SECRET} and more"})
    with pytest.raises(AutoresearchError) as caught:
        _found(empty, "github.com")
    assert caught.value.message.startswith("the token in gh auth token --hostname github.com has ")
    keys.gh()
    keys.git(**{"github.com": "a pass word"})
    assert _found(empty, "github.com") is None


def test_spaces_around_a_token_are_no_part_of_it(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TOKEN", " abc ")
    assert _found(empty, "github.com") == ("abc", "GH_TOKEN")


def test_a_token_shows_only_where_it_is_from(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TOKEN", SECRET)
    token = find_token(open_repository(empty.root), "github.com")
    assert token
    assert token.value == SECRET

    def fails(held: object) -> None:
        raise RuntimeError(f"with {held}")

    try:
        fails(token)
    except RuntimeError as error:
        trace = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    shown = [repr(token), str(token), f"{token}", f"{token!r}", f"{[token]}", "%s" % token, trace]  # noqa: UP031
    assert all("Token(source='GH_TOKEN')" in text for text in shown)
    assert not any("s3cr3t" in text for text in shown)
    for spread in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a token is not written anywhere"):
            spread(token)
    with pytest.raises(TypeError):
        vars(token)
    with pytest.raises(TypeError):
        json.dumps(token)


def test_no_command_shows_a_token(empty: World, keys: Keys) -> None:
    """Whatever holds one: each variable, gh, git, the URL of a remote, a hub, an API root."""
    empty.git("remote", "add", "origin", f"https://ada:{SECRET}@github.com/karpathy/autoresearch")
    empty.git("remote", "add", "upstream", f"https://{SECRET}@ghe.corp.example/karpathy/autoresearch")
    keys.gh(**{"github.com": SECRET})
    keys.git(**{"ghe.corp.example": SECRET})
    variables = dict.fromkeys((*tokens.VARIABLES, *tokens.ENTERPRISE_VARIABLES), SECRET)
    for env in ({}, variables, {"GH_TOKEN": SECRET + "\n"}, {"AUTORESEARCH_API_URL": f"https://x:{SECRET}@ghe.corp.example"},
                {"AUTORESEARCH_HUB": f"https://{SECRET}@github.com/a/b https://github.com/a/b?token={SECRET} ada:{SECRET}@host:a/b"},
                {"GITHUB_API_URL": f"https://{SECRET}@ghe.corp.example/api/v3"}):  # fmt: skip
        for command in (["config"], ["config", "--json"], ["config", "hub"], ["doctor"], ["doctor", "--json"]):
            ran = empty.run(*command, env=env)
            assert ran.code in (0, 1), ran.err
            assert "s3cr3t" not in ran.out + ran.err
    assert not any("s3cr3t" in call for call in keys.calls())
    assert list(Path(os.environ["HOME"]).rglob("bug-*.log")) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ada:p@github.com/a/b", "https://***@github.com/a/b"),
        ("https://p@github.com/a/b", "https://***@github.com/a/b"),
        ("https://ada:p@w@github.com/a/b", "https://***@github.com/a/b"),
        ("https://ada:p/w@github.com/a/b", "https://***@github.com/a/b"),
        ("https://ada:p#w?@github.com/a/b", "https://***@github.com/a/b"),
        ("HTTPS://ada:p@github.com/a/b", "HTTPS://***@github.com/a/b"),
        ("https://github.com/a/b?token=p", "https://github.com/a/b?***"),
        ("https://github.com/a/b#p", "https://github.com/a/b?***"),
        ("ssh://ada:p@github.com/a/b", "ssh://***@github.com/a/b"),
        ("ada:p@github.com:a/b", "***@github.com:a/b"),
        ("a/b https://ada:p@h/a/b,x:p@h:a/b", "a/b https://***@h/a/b,***@h:a/b"),
        ("https://github.com:8443/a/b@c", "https://github.com:8443/a/b@c"),
        ("ssh://git@github.com:22/a/b", "ssh://git@github.com:22/a/b"),
        ("git@github.com:a/b", "git@github.com:a/b"),
        ("/home/ada/a@b#c", "/home/ada/a@b#c"),
    ],
)
def test_secrets_in_urls_are_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


# -- hubs from remotes --------------------------------------------------------------------------------------------------

GITHUB = ("karpathy/autoresearch", "https://github.com/karpathy/autoresearch.git", "github.com", "https://api.github.com")
CORP = ("ghe.corp.example/a/b", "https://ghe.corp.example/a/b.git", "ghe.corp.example", "https://ghe.corp.example/api/v3")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/karpathy/autoresearch", GITHUB),
        ("https://github.com/karpathy/autoresearch.git", GITHUB),
        ("https://github.com/karpathy/autoresearch/", GITHUB),
        ("https://github.com/karpathy/autoresearch.git/", GITHUB),
        ("https://www.GitHub.com:443/karpathy/autoresearch", GITHUB),
        ("http://github.com/karpathy/autoresearch", GITHUB),
        (f"https://ada:{SECRET}@github.com/karpathy/autoresearch", GITHUB),
        (f"https://{SECRET}@github.com/karpathy/autoresearch.git", GITHUB),
        ("git@github.com:karpathy/autoresearch.git", (GITHUB[0], "git@github.com:karpathy/autoresearch.git", *GITHUB[2:])),
        ("git@github.com:/karpathy/autoresearch", (GITHUB[0], "git@github.com:/karpathy/autoresearch", *GITHUB[2:])),
        ("github.com:karpathy/autoresearch", (GITHUB[0], "github.com:karpathy/autoresearch", *GITHUB[2:])),
        ("ssh://git@github.com/karpathy/autoresearch.git", (GITHUB[0], "ssh://git@github.com/karpathy/autoresearch.git", *GITHUB[2:])),
        ("ssh://git@ssh.github.com:443/karpathy/autoresearch", (GITHUB[0], "ssh://git@ssh.github.com:443/karpathy/autoresearch", *GITHUB[2:])),
        ("https://octo.ghe.com/a/b", ("octo.ghe.com/a/b", "https://octo.ghe.com/a/b.git", "octo.ghe.com", "https://api.octo.ghe.com")),
        ("git@octo.ghe.com:a/b", ("octo.ghe.com/a/b", "git@octo.ghe.com:a/b", "octo.ghe.com", "https://api.octo.ghe.com")),
        # Hosts that nobody calls a GitHub are read by git alone.
        ("https://gitlab.com/group/sub/name.git", ("https://gitlab.com/group/sub/name.git", "https://gitlab.com/group/sub/name.git", "", "")),
        (f"https://ada:{SECRET}@gitlab.com/a/b", ("https://gitlab.com/a/b", "https://gitlab.com/a/b", "", "")),
        ("git@codeberg.org:a/b.git", ("git@codeberg.org:a/b.git", "git@codeberg.org:a/b.git", "", "")),
        ("https://gist.github.com/a/b", ("https://gist.github.com/a/b", "https://gist.github.com/a/b", "", "")),
        ("https://github.com.evil.example/a/b", ("https://github.com.evil.example/a/b", "https://github.com.evil.example/a/b", "", "")),
        ("https://evilghe.com/a/b", ("https://evilghe.com/a/b", "https://evilghe.com/a/b", "", "")),
        ("https://ghe.corp.example/a/b", ("https://ghe.corp.example/a/b", "https://ghe.corp.example/a/b", "", "")),
        ("http://127.0.0.1:8123/a/b.git", ("http://127.0.0.1:8123/a/b.git", "http://127.0.0.1:8123/a/b.git", "", "")),
        ("/srv/git/a b", ("/srv/git/a b", "/srv/git/a b", "", "")),
        ("file:///srv/git/a.git", ("file:///srv/git/a.git", "file:///srv/git/a.git", "", "")),
    ],
)  # fmt: skip
def test_origin_in_every_shape(empty: World, url: str, expected: tuple[str, str, str, str]) -> None:
    empty.git("remote", "add", "origin", url)
    (hub,) = _hubs(empty)
    assert (hub.name, hub.url, hub.host, hub.api) == expected
    assert hub.owner_name == (expected[0].removeprefix("octo.ghe.com/") if hub.api else "")
    assert hub.source == "origin"
    assert hub.trusted == (":8123" in url or not url.startswith(("/", "file:")))
    assert bool(hub.note) == ("s3cr3t" in url)
    assert "s3cr3t" not in repr(hub)


def test_a_relative_path_is_the_repositorys(empty: World) -> None:
    empty.git("remote", "add", "origin", "../elsewhere/hub.git")
    (empty.root / "sub").mkdir()
    assert [hub.url for hub in _hubs(World(empty.root / "sub"))] == [str(empty.root.parent / "elsewhere" / "hub.git")]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("GH_HOST", "ghe.corp.example"), ("GITHUB_SERVER_URL", "https://ghe.corp.example"), ("GITHUB_API_URL", "https://ghe.corp.example/api/v3"),
     ("AUTORESEARCH_API_URL", "https://ghe.corp.example/api/v3/"), ("GH_ENTERPRISE_TOKEN", "abc"), ("GITHUB_ENTERPRISE_TOKEN", "abc")],
)  # fmt: skip
def test_a_host_is_a_github_where_the_user_says_so(
    empty: World, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    empty.git("remote", "add", "origin", "https://ghe.corp.example/a/b")
    (hub,) = _hubs(empty)
    default = "API" in variable
    assert (hub.name, hub.url, hub.host, hub.api) == (("a/b" if default else CORP[0]), *CORP[1:])
    assert hub.trusted


def test_a_host_that_gh_knows_is_a_github(empty: World, keys: Keys) -> None:
    keys.gh(**{"ghe.corp.example": "abc"})
    empty.git("remote", "add", "origin", "git@ghe.corp.example:a/b.git")
    (hub,) = _hubs(empty)
    assert (hub.name, hub.url, hub.api) == (CORP[0], "git@ghe.corp.example:a/b.git", CORP[3])
    assert _token_for(empty, hub) == "abc"


def test_an_enterprise_token_does_not_make_another_forge_a_github(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", "abc")
    for url in ("https://gitlab.com/a/b", "https://gitlab.corp.example/a/b", "git@bitbucket.org:a/b", "https://git.sr.ht/~a/b"):
        empty.git("config", "remote.origin.url", url)
        (hub,) = _hubs(empty)
        assert (hub.host, _token_for(empty, hub)) == ("", None)


@pytest.mark.parametrize("root", [API, "http://127.0.0.1:8123", "http://127.0.0.1:8123/"])
@pytest.mark.parametrize("setting", ["AUTORESEARCH_API_URL", "GITHUB_API_URL", "git config"])
def test_another_api_root_is_where_owner_and_name_live(
    empty: World, root: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if setting == "git config":
        empty.configure(api_url=root)
    else:
        monkeypatch.setenv(setting, root)
    empty.configure(hub="karpathy/autoresearch")
    there = ("karpathy/autoresearch", "http://127.0.0.1:8123/karpathy/autoresearch.git", "127.0.0.1:8123", root.rstrip("/"), True)
    (named,) = _hubs(empty)
    assert (named.name, named.url, named.host, named.api, named.trusted) == there
    empty.git("config", "--unset", "autoresearch.hub")
    empty.git("remote", "add", "origin", "http://127.0.0.1:8123/karpathy/autoresearch")
    empty.git("remote", "add", "upstream", "https://github.com/karpathy/autoresearch")
    origin, upstream = _hubs(empty)
    assert (origin.name, origin.url, origin.host, origin.api, origin.trusted) == there
    assert origin.key == named.key
    assert (upstream.name, upstream.api) == ("github.com/karpathy/autoresearch", "https://api.github.com")
    empty.git("remote", "set-url", "origin", "ssh://git@127.0.0.1:2222/karpathy/autoresearch")
    over_ssh = _hubs(empty)[0]
    assert (over_ssh.url, over_ssh.api, over_ssh.key) == ("ssh://git@127.0.0.1:2222/karpathy/autoresearch", there[3], named.key)


@pytest.mark.parametrize(
    ("root", "owner_name"),
    [("https://api.github.com", GITHUB), ("https://github.com", GITHUB), ("https://api.octo.ghe.com", None)],
)
def test_githubs_own_roots(
    empty: World, root: str, owner_name: tuple[str, str, str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub Actions sets GITHUB_API_URL everywhere, also on github.com."""
    monkeypatch.setenv("GITHUB_API_URL", root)
    empty.configure(hub="karpathy/autoresearch")
    tenant = ("karpathy/autoresearch", "https://octo.ghe.com/karpathy/autoresearch.git", "octo.ghe.com", "https://api.octo.ghe.com")
    (hub,) = _hubs(empty)
    assert (hub.name, hub.url, hub.host, hub.api) == (owner_name or tenant)


def test_a_token_never_travels_in_the_clear(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", "abc")
    empty.git("remote", "add", "origin", "http://ghe.corp.example/a/b")
    (hub,) = _hubs(empty)
    assert (hub.url, hub.api, hub.trusted) == (CORP[1], CORP[3], True)
    monkeypatch.setenv("AUTORESEARCH_API_URL", "http://ghe.corp.example/api/v3")
    (hub,) = _hubs(empty)
    assert (hub.api, hub.trusted, _token_for(empty, hub)) == ("http://ghe.corp.example/api/v3", False, None)
    assert "opt  token     ghe.corp.example: none is sent, as it would travel in the clear" in empty.ok("doctor")


def test_upstream_beside_origin_and_each_repository_once(empty: World) -> None:
    empty.git("remote", "add", "upstream", "https://github.com/karpathy/autoresearch")
    assert _hubs(empty) == []
    empty.git("remote", "add", "origin", "git@github.com:ada/autoresearch.git")
    empty.git("remote", "add", "other", "https://github.com/other/autoresearch")
    assert [(hub.name, hub.source) for hub in _hubs(empty)] == [
        ("ada/autoresearch", "origin"),
        ("karpathy/autoresearch", "upstream"),
    ]
    empty.git("remote", "set-url", "origin", "git@github.com:Karpathy/AutoResearch.git")
    assert [(hub.url, hub.source) for hub in _hubs(empty)] == [("git@github.com:Karpathy/AutoResearch.git", "origin")]


BAD_URLS = ["git@github.com:22:a/b", "ext::sh -c 'touch pwned'", "ext::touch% pwned", "git://github.com/a/b", "ftp://github.com/a/b", "-u./x", "--upload-pack=touch pwned",
            "https://github.com/a", "https://github.com/a/b/pulls", "https://github.com/a/..", "https://github.com/", "https:///a/b",
            "https://github.com/a/b?x=1", "https://githüb.com/a/b", "ssh://-oProxyCommand=x/a/b", "ssh://ada:p@github.com/a/b",
            "-oProxyCommand=x:a/b", "git@github.com:-x", "git@-x:a/b", "https://github.com:99999999/a/b", "codecommit::x://y",
            "https://github.com/a/b\x1b]0;x\x07", "https://github.com/a/b\u202e", "file://host/a", "https://[::1/a/b",
            "https://example.org/a\x1b[2J", "/srv/a\x1b]0;x\x07", "/srv/a\u202eb", "file:///srv/\u2066a", "git@example.org:a\x07"]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_remote_that_is_nothing_to_read_from_is_left_out(empty: World, url: str) -> None:
    empty.git("config", "remote.origin.url", url)
    empty.git("remote", "add", "upstream", "https://github.com/karpathy/autoresearch")
    assert [hub.source for hub in _hubs(empty)] == ["upstream"]


# -- hubs from settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [*BAD_URLS, "autoresearch", "a/b/c", "a//b", "a/..", "a/.git", "-a/b", "a b/c", "github.com/a", "***"]
)
def test_a_hub_that_cannot_be_is_named_with_its_source(empty: World, value: str) -> None:
    empty.configure(hub=value)
    with pytest.raises(AutoresearchError) as caught:
        _hubs(empty)
    assert caught.value.message == (
        f"hub = {without_secrets(value)!r} (git config --local (.git/config)) is not owner/name, host/owner/name, "
        "a git URL (https or ssh), or a path such as ../hub"
    )
    assert caught.value.hint == "git config autoresearch.hub karpathy/autoresearch"
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("karpathy/autoresearch", GITHUB),
        ("karpathy/autoresearch.git", GITHUB),
        ("github.com/karpathy/autoresearch", GITHUB),
        ("www.github.com/karpathy/autoresearch/", GITHUB),
        (f"https://ada:{SECRET}@github.com/karpathy/autoresearch", GITHUB),
        ("octo.ghe.com/a/b", ("octo.ghe.com/a/b", "https://octo.ghe.com/a/b.git", "octo.ghe.com", "https://api.octo.ghe.com")),
        ("codeberg.org/a/b", ("https://codeberg.org/a/b.git", "https://codeberg.org/a/b.git", "", "")),
        ("127.0.0.1:8123/a/b", ("https://127.0.0.1:8123/a/b.git", "https://127.0.0.1:8123/a/b.git", "", "")),
        ("git@github.com:karpathy/autoresearch", (GITHUB[0], "git@github.com:karpathy/autoresearch", *GITHUB[2:])),
        ("/srv/git/my hub", ("/srv/git/my hub", "/srv/git/my hub", "", "")),
    ],
)  # fmt: skip
def test_a_hub_in_every_shape(empty: World, value: str, expected: tuple[str, str, str, str]) -> None:
    empty.configure(hub=value)
    (hub,) = _hubs(empty)
    assert (hub.name, hub.url, hub.host, hub.api) == expected
    assert hub.source == "git config --local (.git/config)"
    assert bool(hub.note) == ("s3cr3t" in value)


def test_several_hubs_add_up(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    empty.git("remote", "add", "origin", "https://github.com/karpathy/autoresearch")
    home = os.environ["HOME"]
    empty.write({".autoresearch.toml": 'hub = ["a/one", "https://example.org/my%20hub", "a/one.git"]\n'})
    assert [hub.name for hub in _hubs(empty)] == ["a/one", "https://example.org/my%20hub"]
    for value in ("b/one", "~/my hub", "./sub", "B/ONE"):
        empty.git("config", "--add", "autoresearch.hub", value)
    assert [hub.name for hub in _hubs(empty)] == ["b/one", f"{home}/my hub", f"{empty.root}/sub"]
    assert json.loads(empty.ok("config", "--json"))["hub"]["value"].split("\n") == ["b/one", "~/my hub", "./sub", "B/ONE", ""]
    assert empty.ok("config", "hub") == "b/one\n~/my hub\n./sub\nB/ONE\n"
    monkeypatch.setenv("AUTORESEARCH_HUB", "c/one, c/two c/three")
    assert [hub.name for hub in _hubs(empty)] == ["c/one", "c/two", "c/three"]
    repository = open_repository(empty.root)
    option = load_settings(repository, {"hub": ("d/one", "/srv/d two")})
    assert [hub.name for hub in hubs(repository, option)] == ["d/one", "/srv/d two"]
    assert load_settings(repository, {"hub": ()}).hub == ("c/one", "c/two", "c/three")
    monkeypatch.setenv("AUTORESEARCH_HUB", "")
    assert [hub.name for hub in _hubs(empty)] == ["karpathy/autoresearch"]


def test_keys_are_safe_stable_and_different(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["a/b", "github.com/A/B", "git@github.com:a/b.git", "octo.ghe.com/a/b", "/srv/git/b", "/srv/git/B", f"https://example.org/{'x' * 300}",
              "/", "https://example.org/été"]  # fmt: skip
    monkeypatch.setenv("AUTORESEARCH_HUB", "\n".join(values[:3]))
    assert len(_hubs(empty)) == 1
    monkeypatch.setenv("AUTORESEARCH_HUB", "\n".join(values[2:]))
    keys = [hub.key for hub in _hubs(empty)]
    assert len(set(keys)) == len(values) - 2
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}-[0-9a-f]{12}", key) for key in keys)
    assert keys[0] == "a-b-b703f2afd864"  # refs and folders are named by it
    monkeypatch.setenv("AUTORESEARCH_API_URL", API)  # what is short for github.com changes, the repository does not
    assert _hubs(empty)[0].name == "github.com/a/b"
    assert _hubs(empty)[0].key == keys[0]


@pytest.mark.parametrize(
    ("hub", "url"),
    [
        ("ada/autoresearch", "https://github.com/karpathy/autoresearch.git"),
        ("git@github.com:ada/autoresearch.git", "git@github.com:karpathy/autoresearch.git"),
        ("ssh://git@ssh.github.com:443/ada/autoresearch/", "ssh://git@ssh.github.com:443/karpathy/autoresearch.git"),
    ],
)
def test_a_parent_is_fetched_as_its_fork_is(empty: World, hub: str, url: str) -> None:
    empty.configure(hub=hub)
    (fork,) = _hubs(empty)
    parent = with_parent(fork, "karpathy/autoresearch")
    assert (parent.name, parent.url, parent.host, parent.owner_name, parent.api, parent.trusted) == (
        "karpathy/autoresearch", url, "github.com", "karpathy/autoresearch", "https://api.github.com", True)  # fmt: skip
    empty.configure(hub="karpathy/autoresearch")
    assert [h.key for h in _hubs(empty)] == [parent.key]
    assert with_parent(Hub(**{**fork.__dict__, "name": "octo.ghe.com/ada/autoresearch"}), "a/b").name == "octo.ghe.com/a/b"


@pytest.mark.parametrize("name", ["", "karpathy", "a/b/c", "../x", "a/..", "-x/y", "a/b\n", "a/b c", "https://evil.example/a"])
def test_a_parent_is_a_servers_word(empty: World, name: str) -> None:
    empty.configure(hub="ada/autoresearch")
    with pytest.raises(AutoresearchError, match="cannot be the parent of ada/autoresearch"):
        with_parent(_hubs(empty)[0], name)


# -- what came with the clone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [".autoresearch.toml", "pyproject.toml"])
def test_a_cloned_file_does_not_choose_the_api(empty: World, file: str) -> None:
    table = "[tool.autoresearch]\n" if file == "pyproject.toml" else ""
    where = f"{file} [tool.autoresearch]" if table else file
    empty.write({file: f'{table}api-url = "https://evil.example/api/v3"\n'})
    ran = empty.run("config")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        f"error: api-url is not taken from {where}: a cloned file may not say where tokens go",
        "  try: take it out there, then: git config autoresearch.api-url <value>",
    ]


@pytest.mark.parametrize("hub", ["evil.example/a/b", "https://evil.example/a/b", "evil.ghe.com/a/b", "https://evil.ghe.com/a/b",
                                 "https://127.0.0.1:8123/a/b"])  # fmt: skip
def test_a_hub_of_a_cloned_file_gets_no_token(empty: World, keys: Keys, hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = hub.removeprefix("https://").partition("/")[0]
    for variable in (*tokens.VARIABLES, *tokens.ENTERPRISE_VARIABLES):
        monkeypatch.setenv(variable, SECRET)
    keys.gh(**{host: SECRET})
    keys.git(**{host: SECRET})
    empty.write({".autoresearch.toml": f"hub = {hub!r}\n"})
    (found,) = _hubs(empty)
    assert found.url.startswith(f"https://{host}/a/b")
    assert (found.trusted, _token_for(empty, found)) == (False, None)
    empty.ok("doctor")
    assert (keys.calls(), keys.asked()) == ([], [])
    empty.configure(hub=hub)  # the user's own word is another thing
    (found,) = _hubs(empty)
    assert (found.trusted, _token_for(empty, found)) == (True, SECRET)


def test_a_host_of_a_remote_is_the_users_word(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", "abc")
    empty.write({".autoresearch.toml": 'hub = ["ghe.corp.example/a/b", "ghe.two/a/b", "a/b"]\n'})
    assert [(hub.host, hub.trusted) for hub in _hubs(empty)] == [("", False), ("", False), ("github.com", True)]
    empty.git("remote", "add", "mine", "ssh://git@ghe.corp.example:2222/ada/c")
    assert [(hub.host, hub.trusted) for hub in _hubs(empty)] == [("ghe.corp.example", True), ("", False), ("github.com", True)]


@pytest.mark.parametrize("hub", ["/etc", "../x", "file:///x", "git@github.com:a/b", "ssh://git@internal/a/b"])
def test_a_cloned_file_names_no_path_and_no_ssh_host(empty: World, hub: str) -> None:
    """A path may be a repository that came with the clone, and git's own upload-pack would read its configuration."""
    empty.write({".autoresearch.toml": f"hub = {hub!r}\n"})
    ran = empty.run("doctor")
    assert ran.code == 1
    assert f"hub = {hub!r} is not read: .autoresearch.toml came with the clone" in ran.out
    empty.configure(hub=hub)
    assert len(_hubs(empty)) == 1


# -- settings and doctor ------------------------------------------------------------------------------------------------


def test_actions_api_stands_between_our_variable_and_git(empty: World) -> None:
    def origin(env: dict[str, str]) -> list[str]:
        setting = json.loads(empty.ok("config", "--json", env=env))["api-url"]
        return [setting["value"], setting["source"]]

    empty.configure(api_url="https://one.example/api/v3")
    assert origin({}) == ["https://one.example/api/v3", "git config --local (.git/config)"]
    two = {"GITHUB_API_URL": "https://two.example/api/v3"}
    assert origin(two) == ["https://two.example/api/v3", "GITHUB_API_URL"]
    assert origin({**two, "AUTORESEARCH_API_URL": "https://three.example"}) == ["https://three.example", "AUTORESEARCH_API_URL"]
    assert origin({"GITHUB_API_URL": ""})[1].startswith("git config")


@pytest.mark.parametrize(
    "root", ["ghe.corp.example", "ftp://x/api", "https://a b", "https://x/api?y=1", "https://-x/api", "https://u:p@x/api"]
)
def test_an_api_root_is_a_plain_url(empty: World, root: str) -> None:
    ran = empty.run("config", env={"AUTORESEARCH_API_URL": root})
    assert ran.code == 1
    assert ran.err.startswith(
        f"error: api-url = {without_secrets(root)!r} (AUTORESEARCH_API_URL) is not the root of a GitHub API such as "
    )
    assert "u:p" not in ran.err


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("No", False), ("false", False), ("on", True), ("0", False)])
def test_inspiration_is_yes_or_no(empty: World, text: str, value: bool) -> None:
    repository = open_repository(empty.root)
    assert load_settings(repository).inspiration is True
    empty.configure(inspiration=text)
    assert load_settings(repository).inspiration is value
    empty.git("config", "--unset", "autoresearch.inspiration")
    empty.write({".autoresearch.toml": f"inspiration = {str(value).lower()}\n"})
    assert load_settings(repository).inspiration is value
    assert load_settings(repository, {"inspiration": not value}).inspiration is (not value)
    ran = empty.run("config", env={"AUTORESEARCH_INSPIRATION": "maybe"})
    assert ran.err.startswith("error: inspiration = 'maybe' (AUTORESEARCH_INSPIRATION) is not yes or no")


def _doctor(world: World, **env: str) -> list[str]:
    """What the doctor says of hubs and tokens."""
    lines = world.ok("doctor", env=env).splitlines()
    return lines[next(i for i, line in enumerate(lines) if line[5:].startswith("hub ")) :]


def test_the_doctor_tells_hubs_and_tokens(empty: World, keys: Keys) -> None:
    empty.configure(run="true")
    assert _doctor(empty) == [
        "opt  hub       none, as there is no origin",
        "              → git config autoresearch.hub karpathy/autoresearch",
    ]
    empty.git("remote", "add", "origin", f"https://ada:{SECRET}@github.com/ada/autoresearch")
    empty.git("remote", "add", "upstream", "git@gitlab.com:karpathy/autoresearch")
    assert _doctor(empty) == [
        "ok   hub       ada/autoresearch (origin); the name and password in the URL are ignored (origin)",
        "ok   hub       git@gitlab.com:karpathy/autoresearch (upstream), by git alone: branches and pull-request heads",
        "opt  token     github.com: none, so only branches and pull-request heads are read; no Discussions",
        "              → gh auth login, or export GH_TOKEN=…",
    ]
    assert _doctor(empty, GITHUB_TOKEN=SECRET)[2:] == ["ok   token     github.com: from GITHUB_TOKEN"]
    keys.git(**{"github.com": SECRET})
    assert _doctor(empty)[2:] == ["ok   token     github.com: from git credential fill"]
    keys.gh(**{"github.com": SECRET})
    assert _doctor(empty)[2:] == ["ok   token     github.com: from gh auth token --hostname github.com"]
    empty.write({".autoresearch.toml": 'hub = ["evil.ghe.com/a/b", "a/b", "a/c"]\n'})
    assert _doctor(empty)[3:] == [
        "opt  token     evil.ghe.com: none is sent, as only .autoresearch.toml names it, which came with the clone",
        "              → git config --add autoresearch.hub https://evil.ghe.com/a/b.git, if you know it",
        "ok   token     github.com: from gh auth token --hostname github.com",
    ]


def test_the_doctor_finds_what_is_no_hub(empty: World) -> None:
    empty.git("remote", "add", "origin", "git://github.com/ada/autoresearch")
    assert _doctor(empty)[0] == "opt  hub       none, as origin is nothing that can be read"
    empty.configure(hub="x")
    ran = empty.run("doctor")
    assert ran.code == 1
    assert "fix  hub       hub = 'x' (git config --local (.git/config)) is not owner/name, " in ran.out
    assert ran.err.splitlines()[0] == "error: not ready: hub"


def test_the_doctor_finds_a_broken_token(empty: World) -> None:
    empty.git("remote", "add", "origin", "https://github.com/ada/autoresearch")
    ran = empty.run("doctor", env={"GH_TOKEN": f"{SECRET}\n"})
    assert ran.code == 1
    assert "fix  token     the token in GH_TOKEN has a line break or another character that no token has" in ran.out
    assert ran.err.splitlines()[0] == "error: not ready: token"


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ("github.com", "gh auth login, or export GH_TOKEN=…"),
        ("octo.ghe.com", "gh auth login --hostname octo.ghe.com, or export GH_TOKEN=…"),
        ("ghe.corp.example", "gh auth login --hostname ghe.corp.example, or export GH_ENTERPRISE_TOKEN=…"),
    ],
)
def test_what_a_token_adds_is_one_line(host: str, advice: str) -> None:
    line = tokens.what_a_token_adds(host)
    assert line.endswith(advice)
    assert "\n" not in line
