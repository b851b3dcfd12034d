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
from autoresearch_git.repository import EMPTY_TREE, FileChange, Remote, Store, fetching, open_repository, open_store, visits
from autoresearch_git.repository.processes import Scanner

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


def test_a_store_that_cannot_be_written_is_an_error_with_a_hint(hub: Hub, store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AutoresearchError, match="cannot be written: Not a directory") as error:
        open_store(tmp_path / "file" / "store")
    assert error.value.hint
    (store.path / "fetching").mkdir()
    with pytest.raises(AutoresearchError, match="cannot be written: Is a directory"):
        store.fetch(hub.remote, [HEADS])


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
    assert notebook.verify(store, "refs/hub/1/autoresearch/cpu/t", own=False) == []


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
    assert all(not visits.valid_name(name) for name in names)


def test_odd_names_are_told_as_one_line_of_unicode(hub: Hub, store: Store) -> None:
    head = hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    for name in ("a\u2028b", "a\x85b", "\udcff"):
        hub.point(f"refs/heads/{name}", head)
    store.fetch(hub.remote, [HEADS])
    names = {f"refs/hub/1/heads/{name}" for name in ("main", "a\u2028b", "a\x85b", "\\xff")}
    assert store.refs_below("refs/hub/1/") == dict.fromkeys(names, head)
    assert len(store.refs("refs/hub/1/")) == 4
    assert "refs/heads/\\xff" in store.list_remote(hub.remote).skipped


def test_names_are_judged_as_git_does() -> None:
    parts = ["a", "-x", ".a", "a.", "a..b", "a.lock", "a.lock.b", "@", "a@{b", "{", "a b", "a\\b", "a*", "a?", "a[", "a~", "a^", "a:", "",
             "é", "a\x7f", "@{", "lock", ".lock", "a.lock/b", "..", "--upload-pack=x", "$(x)", "'\"", "a/./b", "a\nb", "a\n"]  # fmt: skip
    for part in parts:
        name = f"refs/{part}"
        git = subprocess.run(["git", "check-ref-format", name], capture_output=True).returncode == 0
        assert visits.valid_name(name) == git, name


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


def test_refs_may_also_be_named_one_by_one(hub: Hub, store: Store) -> None:
    base = hub.commit("refs/pull/1/head", {"train.py": b"a = 0\n"})
    hub.commit("refs/pull/2/head", bad_trees(hub)["hasDotgit"], base)
    wanted = {f"refs/pull/{n}/head": f"refs/hub/1/pull/{n}" for n in (1, 2, 3)}  # the third was deleted meanwhile
    for _ in range(2):
        refused = store.fetch(hub.remote, [f"+{ref}:{local}" for ref, local in wanted.items()], wanted=wanted)
        assert set(refused) == {"refs/pull/2/head", "refs/pull/3/head"}
        assert store.refs() == ["refs/hub/1/pull/1"]
    alone = {"refs/pull/2/head": "refs/hub/1/pull/2"}
    assert set(store.fetch(hub.remote, ["+refs/pull/2/head:refs/hub/1/pull/2"], wanted=alone)) == {"refs/pull/2/head"}
    assert store.refs() == ["refs/hub/1/pull/1"]


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
    refusing = "!f() { echo 'ssh: connect to host x port 22: Connection refused' >&2; exit 255; }; f"
    subprocess.run(["git", "config", "--global", "core.sshCommand", refusing.removeprefix("!")], check=True)
    cases = {
        Remote(str(tmp_path / "nothing")): ("does not appear to be a git repository", "check the address"),
        Remote("http://127.0.0.1:1/x"): ("connect", "check the network"),
        Remote(f"http://127.0.0.1:{web.port}/nothing.git"): ("404|not found", "check the address"),
        Remote("ssh://example.org/x"): ("ssh: connect", "check the network"),
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
            "import signal, sys; from pathlib import Path; from autoresearch_git.repository import EMPTY_TREE, FileChange, Remote, open_store\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a test run in the background ignores it
            "open_store(Path(sys.argv[1])).fetch(Remote(sys.argv[2]), ['+refs/heads/*:refs/hub/1/*'])"
        )
        child = subprocess.Popen([sys.executable, "-c", program, str(store.path), web.remote().url], stderr=subprocess.PIPE)
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
        wait_for(lambda: web.requests)
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


def test_a_server_that_talks_without_end_is_not_listened_to(store: Store, tmp_path: Path) -> None:
    flood = f"{sys.executable} -c 'import sys; sys.stderr.write(\"remote: \\x1b[2J\" * {20 * MB // 12}); sys.exit(1)'"
    subprocess.run(["git", "config", "--global", "core.sshCommand", f"f() {{ {flood}; }}; f"], check=True)
    with pytest.raises(AutoresearchError) as error:
        store.list_remote(Remote("ssh://example.org/x"))
    assert len(error.value.message) < 400
    assert error.value.message.isprintable()


# -- what is too large ------------------------------------------------------------------------------------------


def size_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def grow(hub: Hub) -> tuple[str, str, str]:
    """base, a pull request that adds 32 MB of noise and changes train.py, and one on top of it that leaves the noise alone."""
    noise = os.urandom(32 * MB)
    base = hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    big = hub.commit("refs/pull/1/head", {"train.py": b"a = 2\n", "noise.bin": noise}, base, message="big", date=1_760_000_001)
    then = hub.commit("refs/pull/1/head", {"train.py": b"a = 3\n", "noise.bin": noise}, big, message="then", date=1_760_000_002)
    return base, big, then


def test_a_large_blob_is_not_downloaded_and_reading_goes_on(hub: Hub, web: Web, store: Store) -> None:
    hub.git("config", "uploadpack.allowFilter", "true")
    base, big, then = grow(hub)
    config = (store.path / "config").read_bytes()
    assert store.fetch(web.remote(), [PULLS]) == {}
    assert size_of(store.path) < MB
    assert (store.path / "config").read_bytes() == config

    # Again and again, with the blob missing here: nothing new, a change beside it, the blob itself changed and gone.
    requests = len(web.requests)
    assert store.fetch(web.remote(), [PULLS]) == {}
    assert len(web.requests) - requests <= 2
    noise = hub.git("rev-parse", f"{then}:noise.bin")
    beside = hub.commit("refs/pull/1/head", {"train.py": b"a = 4\n", "noise.bin": ("100644", noise)}, then, date=1_760_000_003)
    assert store.fetch(web.remote(), [PULLS]) == {}
    smaller = subprocess.run(["git", "--git-dir", str(hub.path), "cat-file", "blob", noise], capture_output=True).stdout
    shrunk = hub.commit("refs/pull/1/head", {"train.py": b"a = 4\n", "noise.bin": smaller[: MB - 9]}, beside, date=1_760_000_004)
    hub.git("repack", "-adq")
    assert store.fetch(web.remote(), [PULLS]) == {}
    assert size_of(store.path) < 3 * MB
    assert (store.path / "config").read_bytes() == config

    with serving(hub.path.parent / "nowhere") as silent:
        web.root = silent.root  # whoever asked for a missing blob now would get an error
        before = len(web.requests)
        assert list(store.history([shrunk])) == [shrunk, beside, then, big, base]
        assert store.blobs([noise, f"{big}:noise.bin", f"{big}:train.py"]).keys() == {f"{big}:train.py"}
        assert store.read_file(big, "noise.bin") is None
        assert store.read_file(big, "train.py") == b"a = 2\n"
        assert list(store.read_blobs([noise])) == []
        assert set(store.tree(big)) == {"noise.bin", "train.py"}
        assert set(store.changed_files([(base, big)])[0]) == {"noise.bin", "train.py"}
        assert store.changed_paths([(base, big)]) == [{"noise.bin", "train.py"}]
        assert [sha for sha, _ in store.patches([shrunk], [], ["train.py"])] == [beside, then, big, base]
        assert [sha for sha, _ in store.patches([shrunk], [], ["noise.bin"])] == []
        assert [m.text for m in store.messages(beside)] == ["work\n", "big\n", "then\n", "work\n"]
        assert store.missing_objects([shrunk]) == ""
        assert len(web.requests) == before


def test_a_server_that_cannot_filter_is_read_all_the_same(hub: Hub, store: Store) -> None:
    base, _, then = grow(hub)
    config = (store.path / "config").read_bytes()
    for _ in range(2):
        assert store.fetch(hub.remote, [PULLS]) == {}
        assert (store.path / "config").read_bytes() == config
    assert size_of(store.path) > 32 * MB
    assert store.read_file(then, "noise.bin") is None
    assert store.blobs([f"{then}:noise.bin"])[f"{then}:noise.bin"].size == 32 * MB
    assert list(store.read_blobs([hub.git("rev-parse", f"{then}:noise.bin")])) == []
    assert [sha for sha, _ in store.patches([then], [base], ["."])] == [then]


MEASURED = """
import resource, sys
from pathlib import Path
from autoresearch_git.repository import EMPTY_TREE, FileChange, Remote, open_store
store = open_store(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store.fetch(Remote(sys.argv[2]), ["+refs/heads/*:refs/hub/1/*"])
tips = [store.ref_target(ref) for ref in store.refs()]
commits = store.history(tips)
pairs = [(m.parents[0], m.sha) for m in commits.values() if m.parents]
found = [len(store.changed_files(pairs)), len(list(store.patches(tips, [], ["train.py", "noise"]))),
         len(list(store.read_blobs(b for f in store.changed_files(pairs) for b in [c.blob for c in f.values()])))]
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(commits), *found, (after - before) >> 10, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def test_memory_stays_bounded_whatever_a_hub_holds(hub: Hub, web: Web, store: Store, tmp_path: Path) -> None:
    """200 MB that pack into 200 KB, one line of it, sent by a server that cannot filter."""
    with open(tmp_path / "zeros", "wb") as file:
        file.truncate(200 * MB)
    zeros = hub.git("hash-object", "-w", "--no-filters", str(tmp_path / "zeros"))
    base = hub.commit("refs/heads/main", {"train.py": b"a = 1\n"})
    for number in range(3):
        hub.commit(f"refs/heads/{number}", {"train.py": ("100644", zeros), "noise": b"%d\n" % number}, base, message="x" * MB)
    done = subprocess.run([sys.executable, "-c", MEASURED, str(store.path), web.remote().url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    commits, pairs, patches, blobs, ours, gits = map(int, done.stdout.split())
    assert (commits, pairs, patches, blobs) == (4, 3, 1, 3)
    assert ours < 20
    assert gits < 100


def test_a_delta_that_stands_for_too_much_is_refused(hub: Hub, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoresearch_git.repository.store.ALLOC_LIMIT", "4m")
    store = open_store(tmp_path / "store")
    noise = os.urandom(8 * MB)
    small = hub.commit("refs/heads/small", {"train.py": b"a = 1\n"})
    base = hub.commit("refs/heads/large", {"train.py": noise})
    hub.commit("refs/heads/large", {"train.py": noise + b"x"}, base)
    hub.git("repack", "-adfq")
    assert size_of(hub.path) < 9 * MB  # one of the two is a delta
    wanted = {f"refs/heads/{name}": f"refs/hub/1/heads/{name}" for name in ("small", "large")}
    refused = store.fetch(web.remote(), [HEADS], wanted=wanted)
    assert set(refused) == {"refs/heads/large"}
    assert "over limit" in refused["refs/heads/large"]
    assert store.ref_target("refs/hub/1/heads/small") == small


# -- reading in bulk --------------------------------------------------------------------------------------------


@pytest.fixture
def inside(store: Store) -> Hub:
    """The store's own objects, to write what no honest server would send."""
    return Hub(store.path)


def counted(events: Path) -> int:
    """How many git processes were started since the last count."""
    count = sum(1 for line in events.read_text().splitlines() if json.loads(line)["event"] == "start")
    events.unlink()
    return count


def test_history_is_what_git_log_says(inside: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = inside.commit("refs/hub/1/main", {"train.py": b"a = 0\n"}, date=1)
    tips = [
        inside.commit(f"refs/hub/1/{n}", {"train.py": b"a = %d\n" % n}, base, message=f"é {n}\n\nbody", date=n + 2)
        for n in range(50)
    ]
    merge = inside.commit("refs/hub/1/merge", {"train.py": b"a\n"}, *tips[:3], date=99)
    inside.git("tag", "-a", "-m", "x", "v1", tips[7])
    events = trace(monkeypatch, tmp_path / "trace")
    history = store.history([*tips, merge], [base])
    assert counted(events) <= 3
    assert list(history) == [merge, *reversed(tips)]
    assert history[tips[3]].text == "é 3\n\nbody\n"
    assert history[tips[3]].parents == (base,)
    assert history[merge].parents == tuple(tips[:3])
    assert history[merge].tree == inside.git("rev-parse", f"{merge}^{{tree}}")
    assert history[tips[5]].seconds_since_epoch == 7
    assert list(store.history(tips, max_commits=3)) == [*reversed(tips)][:3]
    assert store.history([inside.git("rev-parse", "v1")], [base]).keys() == {tips[7]}
    for nothing in ([], ["0" * 40, "--all", "HEAD", "", history[merge].tree, "refs/hub/1/main"], [base]):
        assert store.history(nothing, [base]) == {}
    assert store.messages_of([tips[1], "0" * 40, "--all"]) == {tips[1]: history[tips[1]]}


def test_hostile_messages_are_read_whole_or_cut(inside: Hub, store: Store) -> None:
    texts = {"a\nb" * 20: True, "\x1b]0;x\x07\u202e": True, "x" * (1 << 20): False, "\n\n\n": True, "": True}
    commits = {inside.commit(f"refs/hub/1/{n}", {"train.py": b"%d" % n}, message=text): text for n, text in enumerate(texts)}
    raw = (
        f"tree {EMPTY_TREE}\nauthor a <a> x\ncommitter a <a> 99999999999999999999 +0000\nencoding utf-9\n\n".encode()
        + b"\xff\xfe\n"
    )
    inside.tree({})
    odd = inside.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=raw)
    history = store.history([*commits, odd])
    assert set(history) == {*commits, odd}
    for sha, text in commits.items():
        assert history[sha].text == text + "\n" if texts[text] else 1 << 17 < len(history[sha].text) <= 1 << 18
    assert history[odd].text == "��\n"


def test_a_broken_history_costs_only_those_who_build_on_it(inside: Hub, store: Store) -> None:
    base = inside.commit("refs/hub/1/main", {"train.py": b"a = 0\n"})
    broken = inside.commit("refs/hub/1/broken", {"train.py": b"a = 9\n"}, "1" * 40)
    tips = [inside.commit(f"refs/hub/1/{n}", {"train.py": b"a = %d\n" % n}, broken if n == 5 else base) for n in range(9)]
    history = store.history([*tips, broken])
    assert {base, *tips[:5], *tips[6:]} <= history.keys()
    assert {sha for sha, _ in store.patches([*tips, broken], [base], ["train.py"])} >= {*tips[1:5], *tips[6:]}


def test_ranks_are_gits_topological_order(inside: Hub, store: Store) -> None:
    base = inside.commit("refs/hub/1/main", {"train.py": b"a = 0\n"})
    left, right = (inside.commit(f"refs/hub/1/{n}", {"train.py": b"%d\n" % n}, base) for n in range(2))
    tip = inside.commit("refs/hub/1/main", {"train.py": b"3\n"}, left, right)
    order = inside.git("rev-list", "--topo-order", tip).splitlines()
    assert store.ranks(tip) == {sha: place for place, sha in enumerate(order)}
    assert store.ranks("0" * 40) == {}
    assert store.ranks("--all") == {}


HOSTILE_PATHS = [
    "-x", "--upload-pack=touch x", "a\nb", "a\n" + "1" * 40 + " " + "2" * 40 + "\n:100644 100644 x", "'\"\\", "\x1b[31m", "a\tb", " ", "é",
    ":(exclude)x", "*", "./x/../y", "$(touch x)", "\u202e",
]  # fmt: skip


def flat(hub: Hub, paths: dict[str, bytes]) -> str:
    """A tree of hostile names, each as one entry, slashes and all."""
    rows = sorted((name.encode("utf-8", "surrogateescape"), hub.blob(content)) for name, content in paths.items())
    raw = b"".join(b"100644 " + name + b"\0" + bytes.fromhex(sha) for name, sha in rows)
    return hub.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=raw)


def test_changed_files_with_hostile_names(inside: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = inside.commit("refs/hub/1/old", flat(inside, dict.fromkeys(HOSTILE_PATHS, b"1\n")))
    new = inside.commit("refs/hub/1/new", flat(inside, dict.fromkeys(HOSTILE_PATHS, b"2\n")))
    events = trace(monkeypatch, tmp_path / "trace")
    changes = store.changed_files([(old, new), (old, old), (new, old), (EMPTY_TREE, new), (old, new)])
    assert counted(events) <= 3
    one, two = inside.blob(b"1\n"), inside.blob(b"2\n")
    assert changes[0] == {path: FileChange("100644", two, "100644", one) for path in HOSTILE_PATHS}
    assert changes[1] == {}
    assert changes[2] == {path: FileChange("100644", one, "100644", two) for path in HOSTILE_PATHS}
    assert changes[3] == {path: FileChange("100644", two, "000000", "0" * 40) for path in HOSTILE_PATHS}
    assert changes[4] == changes[0]
    assert all(files.complete for files in changes)
    assert set(store.tree(new)) == set(HOSTILE_PATHS)
    for path in ("-x", ":(exclude)x", "*"):
        assert set(store.changed_files([(old, new)], [path])[0]) == {path}
        assert [len(patch) > 0 for _, patch in store.patches([new], [], [path])] == [True]
        assert store.read_file(new, path) == b"2\n"
    odd = inside.commit("refs/hub/1/odd", flat(inside, dict.fromkeys(["\udcff", "\udcfe"], b"")))
    assert set(store.changed_files([(EMPTY_TREE, odd)])[0]) == {"\\xff", "\\xfe"}


def test_links_and_submodules_are_seen_as_such_and_never_followed(inside: Hub, store: Store) -> None:
    link, commit = inside.blob(b"../../etc/passwd"), "3" * 40
    old = inside.commit("refs/hub/1/old", {"train.py": b"a = 1\n", "lib": b"x"})
    new = inside.commit("refs/hub/1/new", {"train.py": ("120000", link), "lib": ("160000", commit)}, old)
    changes = store.changed_files([(old, new)])[0]
    assert changes["train.py"].mode == "120000"
    assert changes["train.py"].old_mode == "100644"
    assert (changes["lib"].mode, changes["lib"].blob) == ("160000", commit)
    assert store.read_file(new, "train.py") is None
    assert store.read_file(new, "lib") is None
    assert store.read_file(old, "train.py") == b"a = 1\n"
    assert store.blobs([f"{new}:lib", f"{new}:train.py"])[f"{new}:train.py"].sha == link
    ((sha, patch),) = store.patches([new], [old], ["train.py", "lib"])
    assert sha == new
    assert f"Subproject commit {commit}" in patch


def bomb(hub: Hub) -> str:
    """10^10 files in eleven trees."""
    tree = hub.tree({"x": b"x"})
    for _ in range(10):
        tree = hub.git("mktree", stdin="".join(f"040000 tree {tree}\t{n}\n" for n in range(10)).encode())
    return tree


def test_broken_and_endless_trees_cost_only_themselves(inside: Hub, store: Store) -> None:
    base = inside.tree({"train.py": b"a = 0\n", "lib/x.py": b""})
    lost = inside.git("mktree", "--missing", stdin=f"040000 tree {'4' * 40}\tlib\n".encode())
    bombs = [inside.git("mktree", stdin=f"040000 tree {bomb(inside)}\t{n}\n".encode()) for n in range(3)]
    good = [inside.tree({"train.py": b"a = %d\n" % n, "lib/x.py": b""}) for n in range(1, 8)]
    order = [good[0], lost, good[1], bombs[0], bombs[1], good[2], "5" * 40, "--help", lost, *good[3:], bombs[2]]
    changes = store.changed_files([(base, tree) for tree in order])
    for tree, files in zip(order, changes, strict=True):
        if tree in good:
            assert files.complete
            assert set(files) == {"train.py"}
        else:
            assert not files.complete
            assert len(files) <= 10_000
    with pytest.raises(AutoresearchError, match="missing, broken or too large"):
        store.changed_paths([(base, lost)])
    with pytest.raises(AutoresearchError, match="more than 100,000 files"):
        store.tree(bombs[0])
    head = inside.commit("refs/hub/1/main", base)
    tips = [inside.commit(f"refs/hub/1/{n}", tree, head, date=1_760_000_100 - n) for n, tree in enumerate(order) if len(tree) == 40]
    read = [sha for sha, _ in store.patches(tips, [head], ["train.py"])]
    assert {inside.git("rev-parse", f"{sha}^{{tree}}") for sha in read} >= set(good)
    assert store.missing_objects([tips[1]]) != ""
    assert store.missing_objects([tips[3]]) == ""


def test_patches_show_what_each_commit_changes(inside: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = [inside.commit("refs/hub/1/main", {"train.py": b"a = 0\nb = 1\n", "notes": b"x"})]
    steps: list[Files] = [
        {"train.py": b"a = 1\nb = 1\n", "notes": b"x"},
        {"train.py": b"a = 1\nb = 1\n", "notes": b"y"},
        {"train.py": b"a = 1\nb = \xff\xfe\n", "notes": b"y"},
        {"train.py": b"a = 1\nb = 2\n" + b"c" * (MB // 4 - 100) + b"\n", "notes": b"y"},
        {"train.py": b"\0" * 100, "notes": b"y"},
        {"train.py": b"d" * (MB // 4 + 1), "notes": b"y"},
        {"train.py": b"a = 2\n" + b"".join(b"x = %d\n" % n for n in range(20_000)), "notes": b"y"},
        {"notes": b"y"},
        {"train.py": b"z = 1\n" + b"1" * 40 + b" " + b"2" * 40 + b"\n" + b"-" * 40, "notes": b"y"},
    ]
    for number, files in enumerate(steps):
        commits.append(inside.commit("refs/hub/1/main", files, commits[-1], date=1_760_000_001 + number))
    events = trace(monkeypatch, tmp_path / "trace")
    patches = dict(store.patches([commits[-1]], [commits[0]], ["train.py"], cap=4096))
    assert counted(events) <= 12
    assert list(patches) == [commits[n] for n in (9, 8, 5, 4, 3, 1) if n != 8 or commits[8] in patches]
    body = {n: [line for line in patches[commits[n]].splitlines()[4:] if line[0] in "+-"] for n in (1, 3, 4, 9)}
    assert body[1] == ["-a = 0", "+a = 1"]
    assert body[3] == ["-b = 1", "+b = ��"]
    assert body[4] == ["-b = ��", "+b = 2"]  # and not the line of a megabyte
    assert patches[commits[5]].endswith("Binary files a/train.py and b/train.py differ\n")
    assert f"+{'1' * 40} {'2' * 40}" in body[9]
    assert commits[6] not in patches  # above 256 KiB
    assert commits[7] not in patches
    assert all(len(patch.encode()) <= 3 * 4096 for patch in patches.values())


def test_nothing_that_the_user_configured_runs_on_strangers_objects(
    hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks, filters, diff drivers, textconv, fsmonitor, attributes: each would leave a mark."""
    files: Files = {"train.py": b"a = 1\n", ".gitattributes": b"* diff=mine filter=mine\n"}
    base = hub.commit("refs/heads/main", files)
    head = hub.commit("refs/heads/main", {**files, "train.py": b"a = 2\n", "x.bin": b"\0"}, base)
    marker = tmp_path / "marker"
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\necho "$0 $@" >> {marker}\ncat "$1" 2>/dev/null\n')
    script.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "post-merge", "pre-auto-gc", "update", "post-receive"):
        (hooks / name).symlink_to(script)
    attributes = tmp_path / "attributes"
    attributes.write_text("* diff=mine filter=mine\n")
    for key in ("core.fsmonitor", "diff.external", "diff.mine.textconv", "diff.mine.command", "filter.mine.smudge",
                "filter.mine.clean", "filter.mine.process", "core.pager", "core.editor", "pager.log", "core.alternateRefsCommand",
                "gpg.program", "credential.helper"):  # fmt: skip
        subprocess.run(["git", "config", "--global", key, str(script)], check=True)
    for key, value in (("core.hooksPath", hooks), ("core.attributesFile", attributes), ("log.showSignature", "true"),
                       ("fetch.recurseSubmodules", "true"), ("fetch.prune", "true"), ("gc.auto", "1")):  # fmt: skip
        subprocess.run(["git", "config", "--global", key, str(value)], check=True)
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(script))
    monkeypatch.setenv("GIT_DIFF_OPTS", "--unified=9")
    monkeypatch.setenv("GIT_PAGER", str(script))
    store.fetch(hub.remote, [HEADS])
    assert marker.exists() is False
    ((_, patch),) = store.patches([head], [base], ["train.py"])
    assert patch.endswith("@@ -1 +1 @@\n-a = 1\n+a = 2\n")
    store.changed_files([(base, head)])
    store.history([head])
    store.read_file(head, "train.py")
    store.tree(head)
    store.messages("refs/hub/1/heads/main")
    list(store.read_blobs([store.blobs([f"{head}:train.py"])[f"{head}:train.py"].sha]))
    assert not marker.exists()
    subprocess.run(["git", "--git-dir", str(store.path), "-c", f"core.attributesFile={attributes}", "diff", base, head],
                   capture_output=True)  # fmt: skip
    assert marker.exists()  # the script is able to leave its mark


def test_blobs_are_looked_up_by_any_name_that_git_can_be_asked_for(
    inside: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = inside.commit("refs/hub/1/main", flat(inside, {path: path.encode() for path in HOSTILE_PATHS if "/" not in path}))
    sha = inside.blob(b"a = 1\n")
    names = [sha, "0" * 40, head, *(f"{head}:{path}" for path in HOSTILE_PATHS), "refs/hub/1/main:-x", "--help", "HEAD:x", ":/work",
             f"{head}^{{/work}}", f"{head}:./x", f"{head}:../x", f"{head}:", f"{head}:nothing", "refs/hub/1/none:x", sha]  # fmt: skip
    events = trace(monkeypatch, tmp_path / "trace")
    found = store.blobs(names)
    assert counted(events) == 1
    readable = {f"{head}:{path}" for path in HOSTILE_PATHS if "\n" not in path and "/" not in path}
    assert set(found) == {sha, head, "refs/hub/1/main:-x", *readable}
    assert (found[sha].sha, found[sha].size, found[sha].kind, found[head].kind) == (sha, 6, "blob", "commit")
    assert all(found[name].size == len(name.partition(":")[2].encode()) for name in readable)
    read = dict(store.read_blobs([found[name].sha for name in readable] + ["0" * 40, head, "--help"]))
    assert {name.partition(":")[2].encode() for name in readable} == set(read.values())
    assert list(store.read_blobs([sha, sha], limit=5)) == []
    assert list(store.read_blobs([sha, sha], limit=6)) == [(sha, b"a = 1\n")]


def test_an_object_that_git_dies_of_costs_only_itself(inside: Hub, store: Store) -> None:
    contents = [b"blob %d\n" % n for n in range(9)]
    shas = [inside.blob(content) for content in contents]
    file = store.path / "objects" / shas[4][:2] / shas[4][2:]
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-6])
    read = dict(store.read_blobs(shas))
    assert read == {sha: content for sha, content in zip(shas, contents, strict=True) if sha != shas[4]}
    file.write_bytes(b"nonsense")
    assert set(store.blobs(shas)) == {*shas} - {shas[4]}


def test_parts_of_a_stream_are_cut_and_none_is_lost(tmp_path: Path) -> None:
    parts = [b"", b"a", b"x" * 100_000, b"", b"b" * 65_536, b"end"]
    for last in (b"", b"\0"):
        (tmp_path / "stream").write_bytes(b"\0".join(parts) + last)
        with open(tmp_path / "stream", "rb") as stream:
            assert list(Scanner(stream, 1000).parts(b"\0")) == [part[:1000] for part in parts]
