"""Hostile programs: each gets what it wants without a sandbox, and nothing of it within, whichever kind confines it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import World, make_toy, seal, wait_for
from rooms import KINDS, Raid, make_raid, site_packages, use
from zygote import Zygote

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no sandbox but on Linux")


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """The command with what a start imports."""
    folder = tmp_path_factory.mktemp("starter")
    with pytest.MonkeyPatch.context() as patch:
        seal(patch, folder)
        found = Zygote(make_toy(folder).root, "start", "--dry-run")
    yield found
    found.close()


@pytest.fixture(params=KINDS)
def raid(request: pytest.FixtureRequest, toy: World, starter: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Raid:
    use(request.param, tmp_path, monkeypatch)
    toy.zygote = starter
    return make_raid(toy, request.param)


def test_a_key_in_the_home_folder_is_not_read(raid: Raid) -> None:
    key = Path(os.environ["HOME"], ".ssh", "id_ed25519")
    key.parent.mkdir()
    key.write_text("PRIVATE KEY")
    free, bound = raid.both(f"""
        attempt("key", lambda: open({str(key)!r}).read())
        attempt("repository", lambda: open({str(raid.world.root / "README.md")!r}).read())
        attempt("listing", lambda: sorted(os.listdir({str(key.parents[1])!r})))
    """)
    assert free == {"key": "PRIVATE KEY", "repository": "toy\n", "listing": [".gitconfig", ".ssh"]}
    assert not any("PRIVATE" in str(v) or "toy" in str(v) or ".ssh'" in str(v) for v in bound.values()), bound


def test_nobody_s_environment_is_read(raid: Raid) -> None:
    raid.world.zygote = None  # a fork keeps the environment that its parent began with
    body = """
        def seen():
            found = []
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    found.append(open(f"/proc/{pid}/environ").read())
                except OSError:
                    pass
            return "".join(found)
        attempt("others", lambda: "ghp_planted" in seen())
        attempt("own", lambda: [name for name in os.environ if name in ("DATABASE", "GITHUB_TOKEN", "PYTHONPATH")])
        attempt("told", lambda: [os.environ[name] for name in ("OMP_NUM_THREADS", "TERM", "LC_BENCH")])
        attempt("home", lambda: os.environ["HOME"])
    """
    env = {"GITHUB_TOKEN": "ghp_planted", "DATABASE": "internal", "OMP_NUM_THREADS": "1", "TERM": "xterm", "LC_BENCH": "x"}
    free, bound = raid.run(body, "off", env=env), raid.run(body, "auto", env=env)
    assert free["others"] is True
    assert "DATABASE" in str(free["own"])
    assert (bound["others"], bound["own"], bound["told"]) == (False, [], ["1", "dumb", "x"])
    assert bound["home"] != os.environ["HOME"]


def test_no_server_is_reached(raid: Raid) -> None:
    heard: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        path = Path(os.environ["HOME"], "agent.sock")
        local.bind(str(path))
        for listener in (server, local):
            listener.listen()
            threading.Thread(target=_note, args=(listener, heard), daemon=True).start()
        free, bound = raid.both(f"""
            import socket
            attempt("network", lambda: socket.create_connection({server.getsockname()!r}, timeout=2).send(b"network"))
            attempt("local", lambda: (s := socket.socket(socket.AF_UNIX), s.connect({str(path)!r}), s.send(b"local"))[2])
            attempt("virtual", lambda: socket.socket(40, socket.SOCK_STREAM).fileno() > 0)
            attempt("pair", lambda: len(socket.socketpair()))
        """)
        assert (free["network"], free["local"], free["pair"]) == (7, 5, 2)
        wait_for(lambda: len(heard) == 2)
    assert sorted(heard) == ["local", "network"]
    assert all("Error" in str(bound[way]) for way in ("network", "local", "virtual")), bound
    assert bound["pair"] == 2


def _note(listener: socket.socket, heard: list[str]) -> None:
    try:
        while True:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(16).decode())
    except OSError:
        return


DAEMON = """
    name = "daemon_{number}"
    parent = os.getppid()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            import signal
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execve("/bin/sleep", [name, "60"], {{}})
        os._exit(0)
    time.sleep(0.2)
    print(json.dumps(loot), flush=True)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{{pid}}/cmdline", "rb").read()
            if b"supervisor.py" in words and b"{ours}" in words:  # others may watch runs of their own
                os.kill(int(pid), 9)
        except OSError as error:
            loot[pid] = str(error)
"""


def _running(name: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(name.encode()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_no_daemon_outlives_its_run_by_killing_who_watches_it(raid: Raid) -> None:
    raid.run(DAEMON.format(number=f"{os.getpid()}free", ours=raid.world.root), "off")
    survivors = _running(f"daemon_{os.getpid()}free")
    assert survivors
    for pid in survivors:
        os.kill(pid, 9)
    raid.run(DAEMON.format(number=f"{os.getpid()}bound", ours=raid.world.root), "auto")
    assert _running(f"daemon_{os.getpid()}bound") == []
    assert raid.world.experiments("cpu/auto2")[0]["score"] == 1


def test_the_lab_is_not_killed_and_not_traced(raid: Raid) -> None:
    victim = subprocess.Popen(["sleep", "60"])
    free, bound = raid.both(f"""
        import ctypes, resource
        libc = ctypes.CDLL(None, use_errno=True)
        def trace(pid):
            if libc.ptrace(16, pid, 0, 0):
                return os.strerror(ctypes.get_errno())
            os.waitpid(pid, 0)
            return libc.ptrace(17, pid, 0, 0)
        attempt("trace", lambda: trace({victim.pid}))
        attempt("limit", lambda: resource.prlimit({victim.pid}, resource.RLIMIT_CORE, (0, 0)))
        attempt("kill", lambda: os.kill({victim.pid}, 10 if {victim.pid} == 0 else 0))
    """)
    victim.kill()
    victim.wait()
    assert (free["trace"], free["kill"]) == (0, None)
    assert not isinstance(free["limit"], str)
    assert all(isinstance(bound[deed], str) for deed in ("trace", "limit", "kill")), bound


def test_one_file_does_not_fill_the_disk(raid: Raid) -> None:
    free, bound = raid.both("""
        attempt("sparse", lambda: open("big", "wb").truncate(9 << 30))
        attempt("core", lambda: __import__("resource").getrlimit(4)[1])
    """)
    assert free["sparse"] == 9 << 30
    assert "File too large" in str(bound["sparse"])
    assert bound["core"] == 0


def test_the_data_is_not_poisoned(raid: Raid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pickled = tmp_path / "data" / "tokenizer.pkl"
    pickled.parent.mkdir()
    monkeypatch.setenv("AUTORESEARCH_CACHE", str(pickled.parent))
    body = """
        place = os.environ["AUTORESEARCH_CACHE"] + "/tokenizer.pkl"
        attempt("read", lambda: open(place).read())
        attempt("upstream", lambda: open(os.path.expanduser("~/.cache/autoresearch/tokenizer.pkl")).read())
        attempt("write", lambda: open(place, "w").write("evil"))
        attempt("replace", lambda: os.replace(os.environ.get("TMPDIR", "/tmp"), place))
    """
    pickled.write_text("good")
    bound = raid.run(body, "auto")
    assert (bound["read"], bound["upstream"]) == ("good", "good")
    assert pickled.read_text() == "good"
    raid.run(body, "off")
    assert pickled.read_text() == "evil"


def test_nothing_is_planted_for_the_next_run(raid: Raid, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    raid.world.configure(run=f"{environment}/bin/python solver.py")
    packages = site_packages(environment)
    body = f"""
        for place in (".", os.environ["HOME"], {str(packages)!r}, {os.environ["HOME"]!r}):
            attempt(place, lambda: open(place + "/planted.py", "w").write("x = 1"))
        try:
            from planted import x
        except ImportError:
            x = 0
        loot["imported"], loot["python"] = x, sys.prefix
    """
    bound = raid.run(body, "auto")
    assert bound["python"] == str(environment)
    assert "Error" in str(bound[str(packages)])
    assert not (packages / "planted.py").exists()
    after = raid.run("""
        import importlib.util
        loot["planted"] = [p for p in (*sys.path, ".", os.environ["HOME"]) if os.path.exists(p + "/planted.py")]
    """, "auto")  # fmt: skip
    assert after["planted"] == []
    raid.run(body, "off")
    assert (packages / "planted.py").exists()


def test_a_run_that_locks_its_folders_does_not_stop_the_next(raid: Raid) -> None:
    raid.run("""
        os.makedirs("tmp/deep", exist_ok=True)
        for place in (os.environ["HOME"], os.environ["TMPDIR"], os.path.dirname(os.environ["HOME"])):
            attempt(place, lambda: os.chmod(place, 0))
    """, "auto")  # fmt: skip
    again = raid.run("""
        attempt("home", lambda: open(os.environ["HOME"] + "/x", "w").write("x"))
    """, "auto")  # fmt: skip
    assert again["home"] == 1


def test_a_hook_is_not_left_in_the_user_s_repository(raid: Raid) -> None:
    hook = raid.world.root / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    body = f"""
        attempt("hook", lambda: open({str(hook)!r}, "w").write("#!/bin/sh\\n"))
        attempt("source", lambda: open({str(raid.world.root / "bench.py")!r}, "a").write("evil"))
        attempt("pointer", lambda: open(".git", "w").write("gitdir: /evil"))
    """
    bound = raid.run(body, "auto")
    assert not hook.exists()
    assert "evil" not in (raid.world.root / "bench.py").read_text()
    assert raid.kind == "landlock" or "Error" in str(bound["pointer"])
    raid.run(body, "off")
    assert hook.exists()


def test_a_changed_harness_gives_no_number(raid: Raid) -> None:
    raid.world.configure(run="{python} bench.py")
    raid.world.commit({"bench.py": "from solver import ALPHA\nprint('score:', ALPHA)\n"})
    free, bound = raid.both("""
        attempt("write", lambda: open("bench.py", "a").write("# evil"))
        attempt("replace", lambda: os.rename("solver.py", "bench.py"))
    """)
    assert free["write"] == 6
    assert raid.world.run("log", "cpu/off1").out == ""  # a baseline that crashed
    assert raid.kind == "landlock" or ("Error" in str(bound["write"]) and "Error" in str(bound["replace"]))


def test_a_channel_that_is_a_pipe_or_a_link_is_none(raid: Raid) -> None:
    secret = Path(os.environ["HOME"], "secret")
    secret.write_text('{"score": 77}\n')
    for deed in ("os.mkfifo(place)", f"os.symlink({str(secret)!r}, place)"):
        raid.run(f"""
            place = os.environ["AUTORESEARCH_RESULT"]
            attempt("made", lambda: {deed})
        """, "auto")  # fmt: skip
    for number in (1, 2):
        measured = raid.world.experiments(f"cpu/auto{number}")[0]
        assert (measured["score"], measured["measurements"][0]["channel"]) == (1, "summary")


def test_what_it_prints_is_data(raid: Raid) -> None:
    body = """
        print("\\x1b]0;owned\\x07\\x1b[2J")
        print("sandbox: bubblewrap or so")
    """
    raid.run(body, "auto")
    shown = raid.world.ok("show", "0")
    assert "\x1b" not in shown
    assert f"sandbox {raid.kind}" in shown


def test_no_wall_is_opened_from_inside(raid: Raid) -> None:
    """Name spaces, mounts, other processes' memory, kernel rings: the calls that take sandboxes apart."""
    bound = raid.run("""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        def call(*numbers):
            return os.strerror(ctypes.get_errno()) if libc.syscall(*numbers) < 0 else "done"
        x86 = os.uname().machine == "x86_64"
        calls = {"unshare": (272 if x86 else 97, 0x10000000), "mount": (165 if x86 else 40, 0, 0, 0, 0, 0),
                 "io_uring": (425, 1, 0), "keyctl": (250 if x86 else 219, 0, -3, 0), "bpf": (321 if x86 else 280, 0, 0, 0),
                 "clone": (56 if x86 else 220, 0x10000000, 0, 0, 0, 0), "read": (310 if x86 else 270, 1, 0, 0, 0, 0, 0)}
        for name, numbers in calls.items():
            attempt(name, lambda: call(*numbers))
        attempt("root", lambda: open("/root/.profile").read())
        attempt("device", lambda: os.mknod("disk", 0o60600, os.makedev(8, 0)))
        def writable(path):  # opened alone: as root this would be the machine's own
            os.close(os.open(path, os.O_WRONLY))
        attempt("kernel", lambda: writable("/proc/sys/kernel/core_pattern"))
        attempt("trigger", lambda: writable("/proc/sysrq-trigger"))
        attempt("self", lambda: writable(f"/proc/self/task/{os.getpid()}/comm"))
    """, "auto")  # fmt: skip
    calls = [bound[name] for name in ("unshare", "mount", "io_uring", "keyctl", "bpf", "clone", "read")]
    assert calls == ["Operation not permitted"] * 7
    assert all("Error" in str(bound[name]) for name in ("root", "device", "kernel", "trigger")), bound
    assert bound["self"] is None  # CUDA names its threads
