"""The store of strangers' objects: what hostile repositories hold reaches neither the user, nor memory, nor the network.

Every hub here is a real bare repository, read by real git from a path or through `git http-backend` on the loopback.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import World, wait_for

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger import notebook
from autoresearch_git.repository import Remote, Store, fetching, open_repository, open_store

TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
HEADS = "+refs/heads/*:refs/hub/1/heads/*"
PULLS = "+refs/pull/*/head:refs/hub/1/pull/*"
MB = 1 << 20

Files = dict[str, "bytes | tuple[str, str]"]  # path → content, or (mode, sha)


@dataclass
class Hub:
    """Somebody's repository, written with plumbing alone: any tree, any name."""

    path: Path

    def git(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> str:
        done = subprocess.run(["git", "--git-dir", str(self.path), *arguments], input=stdin, capture_output=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def tree(self, files: Files) -> str:
        rows = b""
        folders: dict[str, Files] = {}
        for path, content in files.items():
            top, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(top, {})[rest] = content
                continue
            mode, sha = content if isinstance(content, tuple) else ("100644", self.blob(content))
            rows += f"{mode} {'tree' if mode == '040000' else 'commit' if mode == '160000' else 'blob'} {sha}\t{path}\0".encode()
        for name, below in folders.items():
            rows += f"040000 tree {self.tree(below)}\t{name}\0".encode()
        return self.git("mktree", "-z", "--missing", stdin=rows)

    def commit(self, ref: str, files: Files | str, *parents: str, message: str = "work", date: int = 1_760_000_000) -> str:
        tree = files if isinstance(files, str) else self.tree(files)
        header = "".join([f"tree {tree}\n", *(f"parent {p}\n" for p in parents)])
        who = f"Eve <eve@example.org> {date} +0000"
        raw = f"{header}author {who}\ncommitter {who}\n\n{message}\n".encode()
        sha = self.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=raw)
        self.point(ref, sha)
        return sha

    def point(self, ref: str, sha: str) -> None:
        self.git("update-ref", ref, sha)

    @property
    def remote(self) -> Remote:
        return Remote(str(self.path))


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    path = tmp_path / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    return Hub(path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


# -- a hub behind HTTP ------------------------------------------------------------------------------------------


@dataclass
class Web:
    """`git http-backend` on the loopback, which asks for a token if it is given one, and remembers what it was told."""

    root: Path
    token: str = ""
    delay: float = 0
    elsewhere: str = ""  # where every request is redirected to
    echo: str = ""  # answered with 403 to everything
    port: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)  # path, Authorization

    def remote(self, secret: str = "") -> Remote:
        return Remote(f"http://127.0.0.1:{self.port}/hub.git", secret)


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, web: Web, *arguments: Any) -> None:
        self.web = web
        super().__init__(*arguments)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        web = self.web
        told = self.headers.get("Authorization", "")
        web.requests.append((self.path, told))
        time.sleep(web.delay)
        if web.elsewhere:
            return self._say(302, {"Location": web.elsewhere + self.path})
        if web.echo:
            return self._say(403, {"Content-Type": "text/plain"}, f"{web.echo} {told}".encode())
        if web.token and base64.b64encode(f"x-access-token:{web.token}".encode()).decode() not in told:
            return self._say(401, {"WWW-Authenticate": 'Basic realm="hub"'})
        return self._backend()

    do_GET = do_POST = _answer

    def _say(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _backend(self) -> None:
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "GIT_PROJECT_ROOT": str(self.web.root), "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "REMOTE_ADDR": "127.0.0.1",
        }  # fmt: skip
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        child = subprocess.Popen(["git", "http-backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        assert child.stdin
        assert child.stdout
        child.stdin.write(body)
        child.stdin.close()
        status, headers = 200, {}
        while line := child.stdout.readline().strip():
            name, _, value = line.decode().partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers[name] = value
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while block := child.stdout.read1(1 << 16):
                self.wfile.write(block)
        child.stdout.close()
        child.kill()
        child.wait()


@contextlib.contextmanager
def serving(root: Path, **settings: Any) -> Iterator[Web]:
    web = Web(root, **settings)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, web))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that was killed
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def web(hub: Hub, tmp_path: Path) -> Iterator[Web]:
    with serving(tmp_path) as web:
        yield web


# -- the store itself -------------------------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder, by its hash."""
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_a_store_is_bare_and_has_nobodys_hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    (template / "hooks" / "reference-transaction").write_text("#!/bin/sh\nexit 1\n")
    subprocess.run(["git", "config", "--global", "init.templateDir", str(template)], check=True)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_DEFAULT_HASH", "sha256")
    store = open_store(tmp_path / "a" / "store")
    assert sorted(p.name for p in store.path.iterdir()) == ["HEAD", "config", "objects", "refs"]
    assert store.resolve("HEAD") is None
    assert store.refs() == []


def test_what_a_killed_git_wrote_into_the_store_does_not_matter(hub: Hub, store: Store) -> None:
    head = hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    config = (store.path / "config").read_bytes()
    store.fetch(hub.remote, [HEADS])
    with open(store.path / "config", "a") as file:
        file.write('[remote "origin"]\n\turl = ext::sh -c "touch /tmp/x"\n\tpromisor = true\n[core]\n\tfsmonitor = /bin/false\n')
    (store.path / "config.lock").touch()
    (store.path / "packed-refs.lock").touch()
    (store.path / "refs" / "hub" / "1").mkdir(parents=True, exist_ok=True)
    (store.path / "refs" / "hub" / "1" / "x.lock").touch()
    (store.path / "objects" / "pack" / "tmp_pack_abc").write_bytes(b"half")
    (store.path / "HEAD").write_text("nonsense")
    again = open_store(store.path)
    assert (store.path / "config").read_bytes() == config
    new = hub.commit("refs/heads/main", {"train.py": b"a = 2\n"}, head)
    again.fetch(hub.remote, [HEADS])
    assert again.ref_target("refs/hub/1/heads/main") == new
    assert not list(store.path.rglob("tmp_*"))


def test_something_else_is_not_taken_for_a_store(hub: Hub) -> None:
    before = snapshot(hub.path)
    with pytest.raises(AutoresearchError, match="is not a store"):
        open_store(hub.path)
    assert snapshot(hub.path) == before


def test_the_users_repository_is_unchanged_byte_for_byte(empty: World, hub: Hub) -> None:
    empty.commit({"train.py": "a = 1\n"})
    hub.commit("refs/heads/main", {"train.py": b"a = 2\n"})
    before = snapshot(empty.root), snapshot(Path.home())
    store = open_store(open_repository(empty.root).common_dir / "autoresearch" / "community" / "git")
    store.fetch(hub.remote, [HEADS])
    store.history([store.ref_target("refs/hub/1/heads/main") or ""])
    after = {name: digest for name, digest in snapshot(empty.root).items() if "autoresearch/community" not in name}
    assert (after, snapshot(Path.home())) == before
    assert empty.git("fsck") == ""


# -- fetching ---------------------------------------------------------------------------------------------------


def test_heads_are_followed_and_nothing_is_lost(hub: Hub, store: Store) -> None:
    base = hub.commit("refs/pull/1/head", {"train.py": b"a = 1\n"})
    hub.commit("refs/pull/2/head", {"train.py": b"a = 2\n"}, base)
    gone = hub.commit("refs/pull/3/head", {"train.py": b"a = 3\n"}, base)
    hub.git("tag", "-a", "-m", "x", "v1", base)
    assert store.fetch(hub.remote, [PULLS]) == {}
    forced = hub.commit("refs/pull/2/head", {"train.py": b"a = 4\n"}, base)
    hub.git("update-ref", "-d", "refs/pull/3/head")
    assert store.fetch(hub.remote, [PULLS]) == {}
    assert {ref: store.ref_target(ref) for ref in store.refs()} == {
        "refs/hub/1/pull/1": base, "refs/hub/1/pull/2": forced, "refs/hub/1/pull/3": gone,
    }  # fmt: skip
    assert store.fetch(Remote(f"file://{hub.path}"), [PULLS]) == {}


def test_a_notebook_is_read_from_the_store(toy: World, store: Store) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "3")
    store.fetch(Remote(str(toy.root)), ["+refs/autoresearch/*:refs/hub/1/autoresearch/*", HEADS])
    book = notebook.read(store, "refs/hub/1/autoresearch/cpu/t")
    assert book == notebook.read(open_repository(toy.root), "refs/autoresearch/cpu/t")
    assert len(book.experiments) == 4
    problems = notebook.verify(store, "refs/hub/1/autoresearch/cpu/t")
    assert [p for p in problems if "is at nothing" not in p] == []  # the branch has another name here


@pytest.mark.parametrize(
    "url",
    ["", "-x", "--upload-pack=touch x", "ext::sh -c touch% x", "fd::17", "git://example.org/x", "ftp://example.org/x",
     "https://exa\nmple.org/x", "/a\0b", "ssh://-oProxyCommand=x/y", "user@-oProxyCommand=x:y", "-oProxyCommand=x:y",
     "transport::address", "https://[::1", "\x1b]0;x"],
)  # fmt: skip
def test_an_address_that_could_run_something_is_refused(url: str) -> None:
    with pytest.raises(AutoresearchError) as error:
        Remote(url)
    assert error.value.message.isprintable()
    assert error.value.hint


def test_a_password_leaves_the_address() -> None:
    remote = Remote(f"https://ada:{TOKEN}%21@example.org:8443/x.git")
    assert remote.url == "https://example.org:8443/x.git"
    assert (remote.username, remote.secret) == ("ada", TOKEN + "!")
    assert TOKEN not in repr(remote)
    with pytest.raises(AutoresearchError) as error:
        Remote(f"git://ada:{TOKEN}@example.org/x")
    assert TOKEN not in error.value.message


def test_a_token_is_not_sent_in_the_clear() -> None:
    with pytest.raises(AutoresearchError, match="plain http"):
        Remote("http://example.org/x", TOKEN)


def test_refspecs_are_full(hub: Hub, store: Store) -> None:
    for refspec in ("--upload-pack=touch x", "main", "refs/heads/main", "+refs/heads/*:refs/replace/*"):
        with pytest.raises(ValueError, match="refspec"):
            store.fetch(hub.remote, [refspec])


def test_the_users_insteadof_is_applied_once(hub: Hub, store: Store) -> None:
    head = hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    subprocess.run(["git", "config", "--global", f"url.{hub.path.parent}/.insteadOf", "mirror:"], check=True)
    subprocess.run(["git", "config", "--global", "url.ext::sh -c false.insteadOf", str(hub.path.parent)], check=True)
    store.fetch(Remote("mirror:hub.git"), [HEADS])
    assert store.ref_target("refs/hub/1/heads/main") == head


def test_a_remote_is_listed(hub: Hub, store: Store) -> None:
    hub.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    head = hub.commit("refs/heads/trunk", {"train.py": b"a = 1\n"})
    for name in (
        "refs/heads/-x",
        "refs/heads/--upload-pack=touch",
        "refs/pull/1/head",
        "refs/pull/7/merge",
        "refs/other/refs/pull/1/head",
    ):
        hub.point(name, head)
    hub.git("tag", "-a", "-m", "x", "v1", head)
    listed = store.list_remote(hub.remote)
    assert listed.default_branch == "trunk"
    assert set(listed.refs) == {
        "refs/heads/trunk", "refs/heads/-x", "refs/heads/--upload-pack=touch", "refs/pull/1/head", "refs/pull/7/merge",
        "refs/other/refs/pull/1/head", "refs/tags/v1",
    }  # fmt: skip
    assert store.list_remote(hub.remote, "refs/pull/*/head", "refs/heads/-*").refs == {
        "refs/pull/1/head": head, "refs/heads/-x": head, "refs/heads/--upload-pack=touch": head,
    }  # fmt: skip
    assert store.list_remote(hub.remote, "HEAD").refs == {}


def test_names_that_git_does_not_allow_are_left_out(hub: Hub, store: Store, tmp_path: Path) -> None:
    """A server may name its refs as it likes: this one is a folder of files, as a dumb HTTP server offers it."""
    head = hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    names = ["refs/heads/../../config", "refs/heads/x.lock", "refs/heads/.x", "refs/heads/a\x1b[31m", "refs/heads/x:y"]
    (hub.path / "info" / "refs").write_text("".join(f"{head}\t{name}\n" for name in [*names, "refs/heads/main"]))

    class Plain(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        listed = store.list_remote(Remote(f"http://127.0.0.1:{server.server_address[1]}/hub.git"))
    finally:
        server.shutdown()
        server.server_close()
    assert listed.refs == {"refs/heads/main": head}
    assert set(listed.skipped) == set(names)
    assert all(not fetching.valid_name(name) for name in names)


def test_names_are_judged_as_git_does() -> None:
    parts = ["a", "-x", ".a", "a.", "a..b", "a.lock", "a.lock.b", "@", "a@{b", "{", "a b", "a\\b", "a*", "a?", "a[", "a~", "a^", "a:", "",
             "é", "a\x7f", "@{", "lock", ".lock", "a.lock/b", "..", "--upload-pack=x", "$(x)", "'\"", "a/./b", "a\nb", "a\n"]  # fmt: skip
    for part in parts:
        name = f"refs/{part}"
        git = subprocess.run(["git", "check-ref-format", name], capture_output=True).returncode == 0
        assert fetching.valid_name(name) == git, name


def test_refs_named_like_options_are_fetched(hub: Hub, store: Store, tmp_path: Path) -> None:
    head = hub.commit("refs/heads/--upload-pack=touch${IFS}x", {"train.py": b"a = 1\n"})
    hub.point("refs/heads/-x", head)
    hub.point("refs/heads/--exec=x", hub.commit("refs/heads/bad", {".gitmodules": ("120000", hub.blob(b"x"))}))
    wanted = {ref: ref.replace("refs/", "refs/hub/1/") for ref in store.list_remote(hub.remote).refs}
    refused = store.fetch(hub.remote, [HEADS], wanted=wanted)
    assert set(refused) == {"refs/heads/--exec=x", "refs/heads/bad"}
    assert set(store.refs()) == {"refs/hub/1/heads/-x", "refs/hub/1/heads/--upload-pack=touch${IFS}x"}
    assert store.blobs(["refs/hub/1/heads/-x:train.py"])["refs/hub/1/heads/-x:train.py"].size == 6


# -- bad objects ------------------------------------------------------------------------------------------------


def bad_trees(hub: Hub) -> dict[str, str]:
    """Trees that git's own checks refuse, by what is wrong with them."""
    evil = hub.blob(b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n')
    raw = b"100644 .git\0" + bytes.fromhex(hub.blob(b"x"))
    dotgit = hub.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=raw)
    return {
        "gitmodulesSymlink": hub.tree({".gitmodules": ("120000", hub.blob(b"x"))}),
        "gitmodulesUrl": hub.tree({".gitmodules": ("100644", evil)}),
        "hasDotgit": dotgit,
    }


def trace(monkeypatch: pytest.MonkeyPatch, file: Path) -> Path:
    """Have git tell what it starts."""
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(file))
    return file


def started(file: Path) -> list[list[str]]:
    """The argv of every git process that was started, as the trace has it."""
    events = (json.loads(line) for line in file.read_text().splitlines()) if file.exists() else ()
    return [event["argv"] for event in events if event["event"] in ("start", "child_start")]


def fetches(file: Path) -> int:
    count = sum("fetch" in argv and "--stdin" in argv for argv in started(file))
    file.unlink(missing_ok=True)
    return count


@pytest.mark.parametrize("over_http", [False, True])
def test_a_bad_object_costs_only_the_refs_that_hold_it(
    hub: Hub, web: Web, store: Store, over_http: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = web.remote() if over_http else hub.remote
    base = hub.commit("refs/heads/main", {"train.py": b"a = 0\n"})
    good = {f"refs/pull/{n}/head": hub.commit(f"refs/pull/{n}/head", {"train.py": b"a = %d\n" % n}, base) for n in range(1, 21)}
    bad = {f"refs/pull/{30 + n}/head": kind for n, kind in enumerate(bad_trees(hub))}
    for (ref, _), tree in zip(bad.items(), bad_trees(hub).values(), strict=True):
        hub.commit(ref, tree, base)
    wanted = {ref: f"refs/hub/1/pull/{ref.split('/')[2]}" for ref in [*good, *bad]}

    refused = store.fetch(remote, [PULLS], wanted=wanted)
    assert set(refused) == set(bad)
    assert all(kind in refused[ref] for ref, kind in bad.items())
    assert {ref: store.ref_target(wanted[ref]) for ref in good} == good
    assert not any(store.ref_target(wanted[ref]) for ref in bad)

    # They are not asked for again, and said again, until they move.
    events = trace(monkeypatch, tmp_path / "trace")
    good["refs/pull/99/head"] = hub.commit("refs/pull/99/head", {"train.py": b"a = 99\n"}, base)
    wanted["refs/pull/99/head"] = "refs/hub/1/pull/99"
    assert store.fetch(remote, [PULLS], wanted=wanted) == refused
    assert fetches(events) == 1
    assert store.ref_target("refs/hub/1/pull/99") == good["refs/pull/99/head"]
    mended = hub.commit("refs/pull/30/head", {"train.py": b"a = 30\n"}, base)
    hub.git("update-ref", "-d", "refs/pull/31/head")
    assert set(store.fetch(remote, [PULLS], wanted=wanted)) == {"refs/pull/32/head"}
    assert fetches(events) == 1
    assert store.ref_target("refs/hub/1/pull/30") == mended


def test_many_bad_refs_end_in_a_bounded_number_of_tries(
    hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_ATTEMPTS", 12)
    tree = bad_trees(hub)["hasDotgit"]
    refs = [f"refs/pull/{n}/head" for n in range(12)]
    for ref in refs:
        hub.commit(ref, tree, message=ref)
    events = trace(monkeypatch, tmp_path / "trace")
    wanted = {ref: f"refs/hub/1/{ref}" for ref in refs}
    refused = store.fetch(hub.remote, [PULLS], wanted=wanted)
    assert set(refused) == set(refs)
    assert fetches(events) == 13
    left = [ref for ref, why in refused.items() if "too many" in why]
    assert 0 < len(left) < len(refs)
    again = store.fetch(hub.remote, [PULLS], wanted=wanted)  # goes on where it stopped
    assert len([ref for ref, why in again.items() if "too many" in why]) < len(left)


def test_a_name_in_the_way_costs_only_itself(hub: Hub, store: Store) -> None:
    base = hub.commit("refs/heads/exp", {"train.py": b"a = 0\n"})
    hub.point("refs/heads/b", base)
    store.fetch(hub.remote, [HEADS])
    hub.git("update-ref", "-d", "refs/heads/exp")
    hub.point("refs/heads/exp/a", base)
    new = hub.commit("refs/heads/b", {"train.py": b"a = 1\n"}, base)
    wanted = {f"refs/heads/{name}": f"refs/hub/1/heads/{name}" for name in ("exp/a", "b")}
    assert set(store.fetch(hub.remote, [HEADS], wanted=wanted)) == {"refs/heads/exp/a"}
    assert store.ref_target("refs/hub/1/heads/b") == new
    assert store.ref_target("refs/hub/1/heads/exp") == base


def test_a_bad_object_without_a_list_is_an_error(hub: Hub, store: Store) -> None:
    hub.commit("refs/heads/main", bad_trees(hub)["hasDotgit"])
    with pytest.raises(AutoresearchError, match="hasDotgit"):
        store.fetch(hub.remote, [HEADS])


# -- the network ------------------------------------------------------------------------------------------------


def test_a_remote_that_cannot_be_read_is_an_error_with_a_hint(hub: Hub, web: Web, store: Store, tmp_path: Path) -> None:
    cases = {
        Remote(str(tmp_path / "nothing")): ("does not appear to be a git repository", "check the address"),
        Remote("http://127.0.0.1:1/x"): ("connect", "check the network"),
        Remote(f"http://127.0.0.1:{web.port}/nothing.git"): ("404|not found", "check the address"),
        Remote("ssh://127.0.0.1:1/x"): ("ssh|refused", "the network"),
    }
    for remote, (message, hint) in cases.items():
        with pytest.raises(AutoresearchError, match=message) as error:
            store.list_remote(remote)
        assert hint in error.value.hint
        with pytest.raises(AutoresearchError, match=message):
            store.fetch(remote, [HEADS], wanted={"refs/heads/main": "refs/hub/1/heads/main"})


def test_a_token_is_told_to_its_host_alone(hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it in an argv, the store, a trace or a message; nobody else's helper is asked."""
    head = hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    with serving(tmp_path, token=TOKEN) as web:
        marker = tmp_path / "asked"
        helper = f"!f() {{ touch {marker}; }}; f"
        for key in ("credential.helper", f"credential.http://127.0.0.1:{web.port}.helper", "core.askPass"):
            subprocess.run(["git", "config", "--global", key, helper], check=True)
        monkeypatch.setenv("GIT_ASKPASS", f"touch {marker}; false")
        monkeypatch.setenv("GIT_TRACE_CURL", str(tmp_path / "curl"))
        monkeypatch.setenv("GIT_TRACE_REDACT", "0")
        events = trace(monkeypatch, tmp_path / "trace")
        for secret in ("", "wrong-secret-of-mine"):
            with pytest.raises(AutoresearchError) as error:
                store.fetch(web.remote(secret), [HEADS])
            assert "GH_TOKEN" in error.value.hint
            assert not secret or secret not in f"{error.value.message}{error.value.hint}"
        store.fetch(web.remote(TOKEN), [HEADS])
        assert store.list_remote(web.remote(TOKEN)).refs == {"refs/heads/main": head}
    assert store.ref_target("refs/hub/1/heads/main") == head
    assert not marker.exists()
    encoded = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    assert any(encoded in told for _, told in web.requests)
    assert any("git-remote-http" in " ".join(argv) or "remote-http" in argv for argv in started(events))
    files = [events, tmp_path / "curl", *(p for p in store.path.rglob("*") if p.is_file())]
    assert (tmp_path / "curl").stat().st_size
    for file in files:
        assert TOKEN.encode() not in file.read_bytes(), file
        assert encoded.encode() not in file.read_bytes(), file


def test_a_token_does_not_follow_a_redirection(hub: Hub, store: Store, tmp_path: Path) -> None:
    hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    with serving(tmp_path, token=TOKEN) as thief, serving(tmp_path) as web:
        web.elsewhere = f"http://127.0.0.1:{thief.port}"
        with pytest.raises(AutoresearchError):
            store.fetch(web.remote(TOKEN), [HEADS])
        assert thief.requests
        assert all(not told for _, told in thief.requests)


def test_a_token_does_not_follow_insteadof_to_another_host(hub: Hub, store: Store, tmp_path: Path) -> None:
    hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    with serving(tmp_path, token=TOKEN) as mirror:
        rule = f"url.http://127.0.0.1:{mirror.port}/.insteadOf"
        subprocess.run(["git", "config", "--global", rule, "https://github.com/"], check=True)
        with pytest.raises(AutoresearchError):
            store.fetch(Remote("https://github.com/hub.git", TOKEN), [HEADS])
        assert mirror.requests
        assert all(not told for _, told in mirror.requests)


def test_a_token_in_an_address_is_taken_out_of_every_argv(
    hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it stands in a rule of the user's own, which git itself would put into the argv of its transport."""
    hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    with serving(tmp_path, token=TOKEN) as web:
        rule = f"url.http://x-access-token:{TOKEN}@127.0.0.1:{web.port}/.insteadOf"
        subprocess.run(["git", "config", "--global", rule, f"http://127.0.0.1:{web.port}/"], check=True)
        events = trace(monkeypatch, tmp_path / "trace")
        store.fetch(Remote(f"http://127.0.0.1:{web.port}/hub.git"), [HEADS])
    assert store.refs()
    assert TOKEN not in events.read_text()


def test_a_server_that_sends_the_token_back_is_not_quoted(store: Store, tmp_path: Path) -> None:
    with serving(tmp_path, token=TOKEN, echo=f"\x1b[31m denied {TOKEN}") as web:
        with pytest.raises(AutoresearchError) as error:
            store.list_remote(web.remote(TOKEN))
        assert TOKEN not in f"{error.value.message}{error.value.__context__}{error.value.__cause__}"
        assert error.value.message.isprintable()


def children(marker: str) -> list[str]:
    """Processes that name the marker in their argv or environment, this one apart."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if marker.encode() in text and int(entry.name) != os.getpid():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_a_slow_remote_is_given_up_and_nothing_is_left_running(hub: Hub, store: Store, tmp_path: Path) -> None:
    hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    with serving(tmp_path, delay=3) as web:
        began = time.monotonic()
        outcome: list[BaseException] = []

        def visit() -> None:
            try:
                store.fetch(web.remote(TOKEN), [HEADS], timeout=1)
            except AutoresearchError as error:
                outcome.append(error)

        thread = threading.Thread(target=visit)
        thread.start()
        wait_for(lambda: any("remote-http" in line for line in children(str(store.path))))
        seen = "".join(children(str(store.path)))  # every git of this fetch, while it runs
        assert "fetch" in seen
        assert TOKEN not in seen
        thread.join()
        assert time.monotonic() - began < 2.9
        assert "within 1 s" in str(outcome[0])
        assert children(str(store.path)) == []


def test_an_interrupt_ends_git_too(hub: Hub, store: Store, tmp_path: Path) -> None:
    hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    with serving(tmp_path, delay=5) as web:
        program = (
            "import sys; from pathlib import Path; from autoresearch_git.repository import Remote, open_store\n"
            "open_store(Path(sys.argv[1])).fetch(Remote(sys.argv[2]), ['+refs/heads/*:refs/hub/1/*'])"
        )
        child = subprocess.Popen([sys.executable, "-c", program, str(store.path), web.remote().url], stderr=subprocess.PIPE,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))  # fmt: skip
        wait_for(lambda: any("remote-http" in line for line in children(str(store.path))))
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=4)
        assert said.decode().rstrip().endswith("KeyboardInterrupt")
        assert children(str(store.path)) == []


def test_two_fetches_into_one_store_wait_for_each_other(hub: Hub, store: Store, tmp_path: Path) -> None:
    hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    with serving(tmp_path, delay=0.5) as web:
        threads = [threading.Thread(target=store.fetch, args=(web.remote(), [f"+refs/heads/*:refs/hub/{n}/*"])) for n in (1, 2)]
        for thread in threads:
            thread.start()
        with pytest.raises(AutoresearchError, match="another fetch"):
            store.fetch(web.remote(), [HEADS], timeout=0.2)
        for thread in threads:
            thread.join()
    assert sorted(store.refs()) == ["refs/hub/1/main", "refs/hub/2/main"]


def test_ssh_is_told_not_to_ask(hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ssh of the user's own is used, with BatchMode; it stands for a server here."""
    head = hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\nfor last; do :; done\nexec sh -c "$last"\n')
    program.chmod(0o755)
    subprocess.run(["git", "config", "--global", "core.sshCommand", f"{program} -v"], check=True)
    store.fetch(Remote(f"ada@example.org:{hub.path}"), [HEADS])
    assert store.ref_target("refs/hub/1/heads/main") == head
    assert "-v -o BatchMode=yes" in (tmp_path / "told").read_text()
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{program} -4")
    store.fetch(Remote(f"ssh://ada@example.org{hub.path}"), [HEADS])
    assert "-4 -o BatchMode=yes" in (tmp_path / "told").read_text()
