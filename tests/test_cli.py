"""The command line: help that is instant and complete, exit codes, and two lines for every mistake."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import World

from autoresearch_git.cli import COMMANDS

pytestmark = pytest.mark.usefixtures("warm")

HEAVY = {"git", "github", "anthropic", "torch", "jinja2", "rich", "psutil", "tiktoken", "pyarrow", "numpy"}
NAMES = [name for section in COMMANDS.values() for name in section]


@pytest.mark.parametrize("arguments", [["-h"], ["--version"], []])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """Instant by construction: what costs time is not imported. A clock would only measure the machine."""
    code = f"import sys; from autoresearch_git.cli import run; run({arguments!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    loaded = set(done.stderr.split())
    assert "autoresearch_git.cli" in loaded
    assert loaded & HEAVY == set()
    assert not any(
        name.startswith("autoresearch_git.") and name not in ("autoresearch_git.cli", "autoresearch_git.errors") for name in loaded
    )


def test_who_asks_no_model_does_not_wait_for_its_library(toy: World) -> None:
    code = "import sys; from autoresearch_git.cli import run; run(['start', '--dry-run']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=toy.root)
    assert "researcher sweep" in done.stdout
    assert "autoresearch_git.research.researchers.sweep" in done.stderr.split()
    assert "anthropic" not in done.stderr.split()


def test_help_groups_the_commands_and_shows_examples(empty: World) -> None:
    out = empty.ok("-h")
    for section, commands in COMMANDS.items():
        assert f"\n{section}:\n" in out
        for name, line in commands.items():
            assert f"  {name} " in out
            assert line in out
    assert "git autoresearch start --experiments 6" in out


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(name: str, empty: World) -> None:
    out = empty.ok(name, "-h")
    assert f"Usage: git autoresearch {name}" in out
    assert re.search(rf"Examples?:\s+git (autoresearch {name}|config)", out)


@pytest.mark.parametrize(
    ("arguments", "code", "first", "hint"),
    [
        (["nonsense"], 2, "error: No such command 'nonsense'.", "git autoresearch -h"),
        (["start", "--xyz"], 2, "error: No such option '--xyz'.", "git autoresearch start -h"),
        (["start", "--tag"], 2, "error: Option '--tag' requires an argument.", "git autoresearch start -h"),
        (["findings", "search", "--limit"], 2, "error: Option '--limit' requires an argument.", "git autoresearch findings search -h"),
        (["show", "x"], 2, "error: Invalid value for 'NUMBER': 'x' is not a valid integer.", "git autoresearch show -h"),
        (["log", "--tsv", "--json"], 2, "error: choose one of --json, --tsv, --graph and --verify", "git autoresearch log -h"),
        (["log"], 1, "error: there is no session in this repository", "git autoresearch start"),
        (["start", "--budget", "soon"], 1, "error: budget = 'soon' (--budget) is not a positive time such as 300, 90s, 5m or 1.5h",
         "git config autoresearch.budget <value>"),
        (["start", "--resume", "--budget", "9"], 1, "error: a session's budget was fixed when it began",
         "leave it out, or begin a new session with another --tag"),
        (["start", "--researcher", "x"], 1, "error: there is no researcher 'x'", "--researcher takes: sweep, claude, command, hand"),
        (["start", "--tag", "a..b"], 1, "error: 'cpu/a..b' cannot be a branch name", "git autoresearch start --tag nov21"),
        (["start", "--from", "gone"], 1, "error: there is no commit 'gone'", "git log --oneline --all"),
    ],
)  # fmt: skip
def test_a_mistake_gets_two_lines(toy: World, arguments: list[str], code: int, first: str, hint: str) -> None:
    ran = toy.run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.splitlines() == [first, f"  try: {hint}"]


def test_outside_a_repository(tmp_path: Path, empty: World) -> None:
    ran = empty.run("start", cwd=tmp_path)
    assert ran.code == 1
    assert ran.err.splitlines() == [
        f"error: {tmp_path} is not in a git repository",
        "  try: cd into one, or make one: git init",
    ]


def test_a_bug_of_ours_is_3_with_a_log(tmp_path: Path) -> None:
    code = ("import sys, click, autoresearch_git.commands.status as s; from autoresearch_git import cli\n"
            "s.command = click.Command('status', callback=lambda: 1 / 0)\nsys.exit(cli.run(['status']))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    log = Path(done.stderr.splitlines()[0].rpartition(": ")[2])
    assert log.is_relative_to(os.environ["HOME"])
    assert "ZeroDivisionError: division by zero" in log.read_text()


def test_a_closed_pipe_is_no_error(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "3")
    done = subprocess.run("git autoresearch log --json | head -c 5", shell=True, cwd=toy.root, capture_output=True, text=True)
    assert done.stderr == ""


def test_bash_completes_commands(empty: World) -> None:
    env = {"COMP_WORDS": "git-autoresearch st", "COMP_CWORD": "1", "_GIT_AUTORESEARCH_COMPLETE": "bash_complete"}
    done = subprocess.run(["git-autoresearch"], capture_output=True, text=True, env={**os.environ, **env})
    assert done.stdout.split() == ["plain,start", "plain,stop", "plain,status"]


def test_init_writes_and_never_overwrites(empty: World) -> None:
    out = empty.ok("init")
    assert out.splitlines() == ["wrote .autoresearch.toml", "wrote train.py", "wrote prepare.py", "wrote program.md"]
    top = Path(__file__).parent.parent
    assert (empty.root / "train.py").read_bytes() == (top / "train.py").read_bytes()
    assert 'prepare = "{python} prepare.py"' in (empty.root / ".autoresearch.toml").read_text()
    (empty.root / "train.py").write_text("mine")
    (empty.root / "prepare.py").unlink()
    ran = empty.run("init")
    assert (ran.code, ran.err.splitlines()[0]) == (
        1,
        "error: .autoresearch.toml, train.py, program.md exists already; nothing was written",
    )
    assert (empty.root / "train.py").read_text() == "mine"
    assert not (empty.root / "prepare.py").exists()


def test_init_for_any_metric_is_enough_to_start(empty: World) -> None:
    empty.commit({"bench.py": "from solver import X\nprint('score:', X)\n", "solver.py": "X = 1.0\n"})
    empty.ok("init", "--run", "{python} bench.py", "--metric", "score", "--direction", "max", "--editable", "solver.py")
    empty.ok("start", "--tag", "t", "--experiments", "2")
    assert empty.experiments()[0]["score"] == 1.0


def test_doctor_says_what_is_missing(toy: World) -> None:
    out = toy.ok("doctor")
    assert out.startswith("ok   git ")
    toy.configure(run="no-such-program x")
    ran = toy.run("doctor")
    assert ran.code == 1
    assert "fix  run       no-such-program is not on PATH" in ran.out
    assert "→ git config autoresearch.run '<command>'" in ran.out
    assert ran.err.splitlines()[0] == "error: not ready: run"


def test_doctor_never_prints_a_token(toy: World) -> None:
    ran = toy.run("doctor", env={"ANTHROPIC_API_KEY": "sk-ant-" + "s" * 36})
    assert "ANTHROPIC_API_KEY is set" in ran.out
    assert "ssss" not in ran.out + ran.err
