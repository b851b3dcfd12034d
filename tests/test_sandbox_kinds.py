"""Which sandbox a start chooses, what it says, and that what research needs works inside of each kind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import World
from rooms import KINDS, ONCE, PRELUDE, failing_bwrap, make_raid, use

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Measurement
from autoresearch_git.lab import sandbox
from autoresearch_git.lab.harness import read_harness
from autoresearch_git.lab.trial import Lab
from autoresearch_git.ledger.session import LiveSession
from autoresearch_git.repository import open_repository

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no sandbox but on Linux"),
    pytest.mark.usefixtures("warm"),
]

# An older kernel: landlock_create_ruleset is answered with ENOSYS, by a filter that the command is started with.
OLDER_KERNEL = """\
import ctypes, os, struct, sys
rows = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (6, 0, 0, 0x50000 | 38), (6, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in rows))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, struct.pack("@HP", len(rows), ctypes.addressof(code)), 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ONCE.items():
        monkeypatch.setenv(f"AUTORESEARCH_{name.upper()}", value)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    use(request.param, tmp_path, monkeypatch)
    return str(request.param)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """What to put before a command so that no sandbox works for it."""
    monkeypatch.setenv("PATH", failing_bwrap(tmp_path / "no-bwrap", "bwrap: setting up uid map: Permission denied"))
    return (sys.executable, "-c", OLDER_KERNEL)


def _start(world: World, before: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, "git-autoresearch", "start", "--tag", "t", *arguments], cwd=world.root, capture_output=True, text=True
    )


def _sandbox_of(world: World) -> object:
    return world.experiments()[0]["measurements"][0]["sandbox"]


def test_without_any_kind_it_says_so_and_goes_on(toy: World, bare: tuple[str, ...]) -> None:
    done = _start(toy, bare)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "not confined" in line]
    assert said == ["note: runs are not confined, no sandbox works here (bubblewrap: bwrap: setting up uid map: Permission denied; "
                    "landlock: not in this kernel (Linux 5.13 has it)); git autoresearch doctor"]  # fmt: skip
    assert _sandbox_of(toy) == "none"


def test_where_one_is_required_nothing_is_begun_without(toy: World, bare: tuple[str, ...]) -> None:
    done = _start(toy, bare, "--sandbox", "require")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no sandbox works here, and autoresearch.sandbox asks for one: bubblewrap: ")
    assert "user.max_user_namespaces" in done.stderr
    assert toy.git("for-each-ref", "refs/autoresearch") == ""


def test_the_doctor_knows_why_it_is_no_better_kind(toy: World, bare: tuple[str, ...]) -> None:
    def told(*before: str) -> dict[str, object]:
        done = subprocess.run([*before, "git-autoresearch", "doctor", "--json"], cwd=toy.root, capture_output=True, text=True)
        return next(check for check in json.loads(done.stdout) if check["name"] == "sandbox")

    assert "no sandbox works" in str(told(*bare)["fact"])
    here = told()
    assert here["ok"] is False
    assert "bwrap: setting up uid map" in str(here["fact"])


def test_a_start_says_how_it_confines_and_what_it_does_not(toy: World, kind: str) -> None:
    ran = toy.run("start", "--tag", "t")
    assert f"runs are confined by {kind}: no network, no files but their own" in ran.err
    assert _sandbox_of(toy) == kind
    assert "runs are not confined, as autoresearch.sandbox says" in toy.run("start", "--tag", "u", "--sandbox", "off").err


@pytest.mark.parametrize("name", ["sandbox", "sandbox-read"])
def test_a_cloned_file_does_not_open_the_sandbox(toy: World, name: str) -> None:
    toy.commit({".autoresearch.toml": f'{name} = "off"\n'})
    ran = toy.run("start", "--tag", "t")
    assert ran.code == 1
    assert ran.err.startswith(f"error: {name} is not taken from .autoresearch.toml: a cloned file may not say what ")


def test_a_data_set_can_be_read_once_it_is_named(toy: World, kind: str, tmp_path: Path) -> None:
    data = tmp_path / "my data"
    data.mkdir()
    (data / "rows").write_text("7")
    toy.commit({"bench.py": f"rows = open({str(data / 'rows')!r}).read()\nprint('score:', rows)\n"})
    ran = toy.run("start", "--tag", "t")
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith(
        "  try: runs are confined: git config --add autoresearch.sandbox-read PATH, or git config"
    )
    toy.git("config", "--add", "autoresearch.sandbox-read", str(data))
    toy.git("config", "--add", "autoresearch.sandbox-read", str(tmp_path / "gone"))
    ran = toy.run("start", "--tag", "u")
    assert ran.err.splitlines()[-2] == f"error: sandbox-read names {tmp_path / 'gone'}, which is not there"
    (tmp_path / "gone").mkdir()
    toy.ok("start", "--tag", "v")
    assert toy.experiments("cpu/v")[0]["score"] == 7
    toy.git("config", "--add", "autoresearch.sandbox-read", str(tmp_path))
    assert "holds your home folder or this repository" in toy.run("start", "--tag", "w").err


@pytest.mark.parametrize(
    ("said", "named"),
    [("PermissionError: [Errno 13] Permission denied: '/data'", "autoresearch.sandbox-read PATH"),
     ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "autoresearch.sandbox off"),
     ("huggingface_hub.errors.OfflineModeIsEnabled: cannot reach https://huggingface.co", "get_kernel"),
     ("ValueError: loss is nan", "")],
)  # fmt: skip
def test_the_hint_fits_what_was_missed(said: str, named: str) -> None:
    crashed = Measurement(None, 42, {"sandbox": "landlock"}, crash=f"exit code 1: {said}")
    assert (named in sandbox.hint(crashed)) if named else sandbox.hint(crashed) == ""
    assert sandbox.hint(Measurement(None, 42, {"sandbox": "none"}, crash=crashed.crash)) == ""


def test_how_a_run_ended_is_told_as_ever(toy: World, kind: str) -> None:
    for number, (deed, reason) in enumerate([("os.kill(os.getpid(), 9)", "killed by signal 9"), ("sys.exit(3)", "exit code 3"),
                                             ("os.abort()", "killed by signal 6")]):  # fmt: skip
        toy.commit({"bench.py": f"import os, sys\n{deed}\n"})
        ran = toy.run("start", "--tag", f"t{number}")
        assert f"error: the baseline crashed: {reason}" in ran.err


def test_term_is_heard_inside(toy: World, kind: str) -> None:
    """At the timeout a run has the time to end in order."""
    toy.commit({"bench.py": "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('in order', flush=True), sys.exit()))\n"
                            "print('ready', flush=True)\ntime.sleep(60)\n"})  # fmt: skip
    toy.run("start", "--tag", "t", "--budget", "1", "--timeout", "1")
    assert "in order" in (toy.folder() / "logs" / "0000-1.log").read_text()


def test_locks_threads_and_workers_work_inside(toy: World, kind: str) -> None:
    raid = make_raid(toy, kind)
    loot = raid.run("""
        import multiprocessing, subprocess, tempfile, threading
        attempt("lock", lambda: multiprocessing.Lock().acquire())
        attempt("pool", lambda: multiprocessing.get_context("fork").Pool(2).map(abs, [-1, -2]))
        attempt("program", lambda: subprocess.run(["uname"], capture_output=True, text=True).stdout)
        attempt("temporary", lambda: tempfile.NamedTemporaryFile().write(b"x"))
        attempt("here", lambda: open("left", "w").write("x"))
        attempt("output", lambda: open("/dev/stderr", "a").write(""))
        attempt("user", lambda: len(__import__("getpass").getuser()) > 0)
    """, "auto")  # fmt: skip
    assert loot == {"lock": True, "pool": [1, 2], "program": "Linux\n", "temporary": 1, "here": 1, "output": 0, "user": True}


TORCH = """\
import os, torch
x = torch.randn(64, 64, requires_grad=True)
(x @ x).square().mean().backward()
torch.save({"x": x}, "checkpoint.pt")
print("score:", (torch.load("checkpoint.pt")["x"] == x).float().mean().item())
"""


def test_torch_trains_inside(toy: World, kind: str) -> None:
    pytest.importorskip("torch")
    toy.commit({"bench.py": TORCH})
    toy.ok("start", "--tag", "t", "--sandbox", "require")
    assert _sandbox_of(toy) == kind


# -- a stranger's code, as `Lab.measure(foreign=True)` runs it ---------------------------------------------------------


def _lab(world: World, mode: str = "auto", **fields: object) -> tuple[LiveSession, Lab]:
    """The lab of session `t`, as a start makes it."""
    if not world.folder().exists():
        world.ok("start", "--tag", "t")
    repository = open_repository(world.root)
    live = LiveSession.resume(repository, "cpu/t")
    room = sandbox.open_sandbox(repository, mode, (), live.session.run, live.folder, live.worktree.path, ())
    lab = Lab(
        live.session, read_harness(repository, live.session), live.worktree, live.logs, str(live.folder), repository, room, **fields
    )
    return live, lab


def _measure(lab: Lab, body: str, foreign: bool) -> tuple[Measurement, dict[str, object]]:
    text = f"ALPHA, N = 0.3, 5\n{PRELUDE}{textwrap.dedent(body)}\nprint(json.dumps(loot))\n"
    measured = lab.measure("0001-1", lab.session.base, {"solver.py": text}, 42, {}, foreign=foreign)
    shown = [line for line in lab.log_of("0001-1").read_text().splitlines() if line.startswith("{")]
    return measured, json.loads(shown[-1]) if shown else {}


def test_a_stranger_s_code_finds_the_harness_and_nothing_else(toy: World, kind: str) -> None:
    toy.commit({"secret.py": "x = 1\n", "notes.txt": "mine"})
    live, lab = _lab(toy)
    measured, loot = _measure(lab, """
        attempt("here", lambda: sorted(name for name in os.listdir(".") if name != "__pycache__"))
        attempt("place", os.getcwd)
        attempt("cache", lambda: os.makedirs(os.environ["TRITON_CACHE_DIR"]) or open(os.environ["TRITON_CACHE_DIR"] + "/k.so", "w").write("x"))
    """, foreign=True)  # fmt: skip
    assert (measured.value, measured.crash, measured.figures["sandbox"]) == (0.87, "", kind)
    assert (loot["here"], loot["cache"]) == (["bench.py", "solver.py"], 1)
    assert not Path(str(loot["place"])).is_relative_to(live.worktree.path)
    own, loot = _measure(lab, 'attempt("cache", lambda: os.listdir(os.environ["TRITON_CACHE_DIR"]))', foreign=False)
    assert own.value == 0.87
    assert "FileNotFoundError" in str(loot["cache"])
    _, loot = _measure(lab, 'attempt("cache", lambda: os.listdir(os.environ["TRITON_CACHE_DIR"]))', foreign=True)
    assert loot["cache"] == ["k.so"]
    live.close()


def test_a_stranger_s_change_of_the_harness_gives_no_number(toy: World, kind: str) -> None:
    live, lab = _lab(toy)
    measured, _ = _measure(lab, """
        import shutil
        attempt("harness", lambda: open("bench.py", "w").write("print('score: 9')"))
        attempt("wipe", lambda: shutil.rmtree(".", ignore_errors=True))
    """, foreign=True)  # fmt: skip
    assert measured.value is None
    assert measured.crash
    live.close()


def test_off_is_not_for_a_stranger_s_code(toy: World, kind: str) -> None:
    live, lab = _lab(toy, "off")
    assert _measure(lab, "", foreign=True)[0].figures["sandbox"] == kind
    assert _measure(lab, "", foreign=False)[0].figures["sandbox"] == "none"
    live.close()


FOREIGN = """\
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from conftest import World
from test_sandbox_kinds import _lab, _measure
live, lab = _lab(World(Path.cwd()), "off", unsandboxed={unsandboxed})
print(_measure(lab, "", foreign=True)[0].figures["sandbox"])
"""


def test_a_stranger_s_code_is_refused_where_nothing_confines_it(toy: World, bare: tuple[str, ...]) -> None:
    toy.ok("start", "--tag", "t")

    def measured(unsandboxed: bool) -> subprocess.CompletedProcess[str]:
        program = FOREIGN.format(tests=str(Path(__file__).parent), unsandboxed=unsandboxed)
        return subprocess.run([*bare, sys.executable, "-c", program], cwd=toy.root, capture_output=True, text=True)

    refused = measured(False).stderr.splitlines()[-1]
    assert refused.startswith(f"{AutoresearchError.__module__}.AutoresearchError: a stranger's code is not run without a sandbox")
    assert measured(True).stdout == "none\n"


def test_what_a_run_writes_in_all_is_capped(toy: World, kind: str) -> None:
    live, lab = _lab(toy, write_limit=20 << 20)
    measured, _ = _measure(lab, """
        for i in range(200):
            open(f"part{i}", "wb").write(bytes(1 << 20))
            time.sleep(0.03)
    """, foreign=False)  # fmt: skip
    assert measured.crash == "killed after writing 0.0195 GiB"
    assert _measure(lab, 'open("small", "wb").write(bytes(1 << 20))', foreign=False)[0].value == 0.87
    live.close()


# -- uv ----------------------------------------------------------------------------------------------------------------

UV = """\
#!/bin/sh
# What `uv run` does, as far as it matters: makes the environment that UV_PROJECT_ENVIRONMENT names, and runs in it.
place=${UV_PROJECT_ENVIRONMENT:-.venv}
[ -e "$place" ] || "$PYTHON" -m venv --without-pip "$place" || exit 1
shift
case $1 in python) shift ;; esac
exec "$place/bin/python" "$@"
"""


def test_uv_makes_its_environment_outside_and_nothing_is_planted_in_it(
    toy: World, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "uv-bin"
    folder.mkdir()
    (folder / "uv").write_text(UV.replace("$PYTHON", sys.executable))
    (folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    toy.commit({"uv.lock": "", "train.py": "import sys, sysconfig\nfrom solver import ALPHA\nplace = sysconfig.get_path('purelib')\n"
                "try:\n    open(place + '/torch.py', 'w')\n    print('planted')\nexcept OSError as error:\n    print(error)\n"
                "print('environment', sys.prefix)\nprint('score:', ALPHA)\n"})  # fmt: skip
    toy.git("config", "--unset", "autoresearch.run")
    toy.ok("start", "--tag", "t")
    log = (toy.folder() / "logs" / "0000-1.log").read_text()
    assert f"environment {toy.folder() / 'sandbox' / 'venv'}\n" in log
    assert "planted" not in log
    assert list(toy.folder().rglob("torch.py")) == []
    shutil.rmtree(folder)
    assert "cannot be started: No such file or directory: uv" in toy.run("start", "--resume", "--tag", "t").err
