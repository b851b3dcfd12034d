"""Research by hand: an edit of one's own is tried, is never lost, and what the human says to a session is heard."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from conftest import SOLVER, World, marked_processes, wait_for

from autoresearch_git.community.changes import of_names

pytestmark = pytest.mark.usefixtures("warm")

SLOW = {"LC_BENCH_SLEEP": "5"}
BETTER, WORSE = SOLVER.replace("0.3", "0.5"), SOLVER.replace("0.3", "0.1")


@pytest.fixture
def begun(toy: World) -> Path:
    """The worktree of a session that waits for edits: only its baseline was measured."""
    toy.configure(inspiration="no", baseline_runs="1")
    out = toy.ok("start", "--researcher", "hand", "--tag", "t")
    worktree = toy.folder() / "worktree"
    assert out.splitlines()[-2:] == [
        f"worktree {worktree}",
        f"next     edit {worktree}/solver.py, then: git autoresearch try -m 'what you changed'",
    ]
    assert [e["status"] for e in toy.experiments()] == ["baseline"]
    return worktree


def test_what_is_better_is_kept_and_said_in_a_few_lines(toy: World, begun: Path) -> None:
    (begun / "solver.py").write_text(BETTER)
    lines = toy.ok("try", "-m", "ALPHA up", "--why", "0.6 is\nthe middle", "--expected", "0.08 better").splitlines()
    kept = toy.experiments()[1]
    assert len(lines) <= 10
    assert lines[0] == "0001 keep  ALPHA up"
    assert "0.950000  (+0.080000)" in lines[1]
    assert f"commit     {kept['commit']}" in lines
    assert "incumbent  0001  0.950000  ALPHA up" in lines
    assert toy.git("show", "exp/cpu/t:solver.py") == BETTER.strip()
    assert (kept["researcher"], kept["rationale"], kept["expected"]) == ("hand", "0.6 is\nthe middle", "0.08 better")
    assert (begun / "solver.py").read_text() == BETTER
    shown = toy.ok("show", "1")
    assert "rationale   0.6 is the middle\n" in shown
    assert "expected    0.08 better\n" in shown


def test_what_is_worse_is_recorded_and_the_worktree_holds_the_incumbent_again(toy: World, begun: Path) -> None:
    (begun / "solver.py").write_text(WORSE)
    told = json.loads(toy.ok("try", "-m", "ALPHA down", "--json"))
    assert (told["status"], told["score"], told["best"], told["session"]) == ("discard", 0.71, 0.87, "cpu/t")
    assert told["change"] == pytest.approx(-0.16)
    assert (begun / "solver.py").read_text() == SOLVER
    (begun / "solver.py").write_text(WORSE)
    ran = toy.run("try", "-m", "ALPHA down, in other words")
    assert (ran.code, ran.err.splitlines()[-2]) == (1, "error: not measured: 0001 was the same change: discard, 0.16 worse")
    assert toy.ok("try", "-m", "once more", "--again").startswith("0002 discard  once more\n")
    (begun / "solver.py").write_text("raise SystemExit('no')\n")
    assert "log        git autoresearch show 3 --session cpu/t" in toy.ok("try", "-m", "broken").splitlines()
    assert (begun / "solver.py").read_text() == SOLVER


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"solver.py": "ALPHA = (\n"}, "error: not measured: solver.py does not parse: "),
        ({"solver.py": SOLVER + "# a comment\n"}, "error: not measured: it changes no code"),
        ({"bench.py": "print('score: 9')\n", "solver.py": BETTER}, "error: bench.py is changed in the worktree, and no experiment"),
        ({}, "error: nothing is edited in the session's worktree"),
    ],
)
def test_what_is_refused_stays_where_it_is(toy: World, begun: Path, edit: dict[str, str], said: str) -> None:
    for name, text in edit.items():
        (begun / name).write_text(text)
    ran = toy.run("try", "-m", "x")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-2].startswith(said)
    assert all((begun / name).read_text() == text for name, text in edit.items())
    assert len(toy.experiments()) == 1


def test_a_file_of_the_checkout_begins_a_session_and_is_left_alone(toy: World) -> None:
    toy.configure(inspiration="no")
    toy.write({"solver.py": SOLVER + "# nothing\n"})
    ran = toy.run("try", "-m", "x", "--file", "solver.py", "--tag", "t")
    assert ran.err.splitlines()[0] == "error: not measured: it changes no code"
    assert toy.ok("status").startswith("no session yet"), "nothing is begun, nor a baseline paid for, in vain"
    assert toy.run("try", "-m", "x").err.startswith("error: it would be a new session, whose worktree holds no edit yet\n")
    toy.write({"mine.py": BETTER})
    assert toy.ok("try", "-m", "mine", "--file", "mine.py", "--tag", "t").startswith("0001 keep  mine\n")
    assert [(e["status"], e["score"]) for e in toy.experiments()] == [("baseline", 0.87), ("keep", 0.95)]
    assert (toy.root / "solver.py").read_text() == SOLVER + "# nothing\n"
    assert (toy.root / "mine.py").read_text() == BETTER


def test_of_several_editable_files_a_copy_is_known_by_its_name(toy: World, tmp_path: Path) -> None:
    toy.configure(inspiration="no", baseline_runs="1", editable="solver.py a/x.py b/x.py")
    toy.commit({"a/x.py": "A = 1\n", "b/x.py": "B = 1\n"})
    for name, text in {"solver.py": BETTER, "b/x.py": "B = 2\n", "x.py": "B = 3\n"}.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(text)
    ran = toy.run("try", "-m", "x", "--file", str(tmp_path / "mine" / "x.py"), "--tag", "t")
    assert (ran.code, ran.err.splitlines()[1]) == (1, "  try: call it like one of: solver.py, a/x.py, b/x.py")
    both = [word for name in ("solver.py", "b/x.py") for word in ("--file", str(tmp_path / "mine" / name))]
    toy.ok("try", "-m", "two files", *both, "--tag", "t")
    changed = toy.git("diff", "--name-only", "main", "exp/cpu/t").split()
    assert changed == ["b/x.py", "solver.py"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_what_was_interrupted_goes_on_and_keeps_what_was_edited_meanwhile(toy: World, begun: Path, how: signal.Signals) -> None:
    (begun / "solver.py").write_text(BETTER)
    process = toy.popen("try", "-m", "ALPHA up", env=SLOW)
    wait_for(lambda: marked_processes(toy.folder()) and (toy.folder() / "inflight.json").exists())
    os.killpg(process.pid, how)
    _, err = process.communicate()
    wait_for(lambda: marked_processes(toy.folder()) == [])
    if how is signal.SIGINT:
        assert err.splitlines()[-1] == "to go on:  git autoresearch try --session cpu/t"
    assert toy.run("try", "-m", "another").err.startswith("error: 0001 is still under way: ALPHA up\n")
    (begun / "solver.py").write_text(WORSE)
    ran = toy.run("try")
    assert (ran.code, ran.err.splitlines()[1]) == (1, f"  try: mv {begun}/solver.py untried-solver.py")
    shutil.move(begun / "solver.py", toy.root / "untried-solver.py")
    assert toy.ok("try").startswith("0001 keep  ALPHA up\n")
    assert toy.ok("try", "-m", "ALPHA down", "--file", "untried-solver.py").startswith("0002 discard  ALPHA down\n")
    assert toy.run("try").err.splitlines()[0] == "error: nothing is under way in session cpu/t"


def test_a_baseline_that_was_interrupted_is_measured_before_the_edit(toy: World) -> None:
    toy.configure(inspiration="no", baseline_runs="1")
    toy.write({"mine.py": BETTER})
    process = toy.popen("try", "-m", "it's up", "--file", "mine.py", "--tag", "t", env=SLOW)
    wait_for(lambda: marked_processes(toy.folder()))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    command = err.splitlines()[-1]
    assert command == """to go on:  git autoresearch try --session cpu/t -m 'it'"'"'s up' --file mine.py"""
    toy.ok("try", "--session", "cpu/t", "-m", "it's up", "--file", "mine.py")
    assert [(e["status"], e["description"]) for e in toy.experiments()] == [("baseline", "baseline"), ("keep", "it's up")]


@pytest.mark.parametrize("damage", ["", "moved"])
def test_an_edit_that_was_not_tried_is_not_overwritten(toy: World, begun: Path, tmp_path: Path, damage: str) -> None:
    (begun / "solver.py").write_text(BETTER)
    toy.write({"mine.py": WORSE})
    if damage:
        toy.root.rename(tmp_path / "elsewhere")
        toy.root = tmp_path / "elsewhere"
        begun = toy.folder() / "worktree"
    for command in (["start", "--resume", "--experiments", "1"], ["try", "-m", "x", "--file", "mine.py"]):
        ran = toy.run(*command)
        assert (ran.code, ran.err.splitlines()) == (1, [
            "error: the worktree of cpu/t holds an edit that was not tried: solver.py",
            "  try: git autoresearch try --session cpu/t -m 'what it changes', or put it away: "
            f"mv {begun}/solver.py untried-solver.py",
        ])  # fmt: skip
        assert (begun / "solver.py").read_text() == BETTER
    assert toy.ok("try", "-m", "ALPHA up").startswith("0001 keep")
    toy.ok("start", "--resume", "--experiments", "1")
    assert len(toy.experiments()) == 3


def test_what_is_edited_while_a_run_is_under_way_is_set_aside(toy: World, begun: Path) -> None:
    (begun / "solver.py").write_text(BETTER)
    process = toy.popen("try", "-m", "ALPHA up", env={"LC_BENCH_SLEEP": "2"})
    wait_for(lambda: marked_processes(toy.folder()) and (toy.folder() / "logs" / "0001-1.log").exists())
    (begun / "solver.py").write_text(WORSE)
    out, _ = process.communicate()
    assert out.startswith("0001 crash  ALPHA up\n")
    assert "the run changed solver.py" in out
    assert (toy.folder() / "logs" / "0001-1.solver.py").read_text() == WORSE
    assert (begun / "solver.py").read_text() == SOLVER


def test_what_a_run_makes_of_its_own_file_is_nobodys_edit(toy: World) -> None:
    toy.configure(inspiration="no", baseline_runs="1")
    toy.commit({"bench.py": "import time\nfrom solver import ALPHA\nif ALPHA != 0.3:\n"
                            "    open('solver.py', 'a').write('N = 6\\n')\n    time.sleep(3)\nprint('score: 1')\n"})  # fmt: skip
    toy.write({"mine.py": BETTER})
    process = toy.popen("try", "-m", "ALPHA up", "--file", "mine.py", "--tag", "t")
    changed = toy.folder() / "worktree" / "solver.py"
    wait_for(lambda: changed.exists() and changed.read_text() == BETTER + "N = 6\n")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert changed.read_text() == BETTER + "N = 6\n"
    assert "why        the run changed solver.py" in toy.ok("try")
    assert changed.read_text() == SOLVER


# -- what the human says ------------------------------------------------------------------------------------------------


def test_the_sweep_takes_a_hint_that_names_a_constant_and_leaves_sentences(toy: World, begun: Path) -> None:
    unread = toy.run("idea", "try", "a", "longer", "warm-down")
    assert (unread.code, unread.out) == (0, "cpu/t: 1  try a longer warm-down\n")
    assert "the sweep only reads constants with a value" in unread.err
    assert "claude or command reads sentences" in unread.err
    assert toy.run("idea", "alpha 0.3 to 0.55").err == ""
    assert "    2 ideas waiting: git autoresearch idea --list --session cpu/t" in toy.ok("status").splitlines()
    ran = toy.run("start", "--resume", "--experiments", "2")
    assert ran.err.count("waiting   try a longer warm-down: the sweep only reads constants") == 1
    first, second = toy.experiments()[1:]
    assert (first["description"], first["idea"], first["status"]) == ("ALPHA 0.3 → 0.55", "alpha 0.3 to 0.55", "keep")
    assert second["idea"] == ""
    assert "idea        alpha 0.3 to 0.55\n" in toy.ok("show", "1")
    assert json.loads(toy.ok("idea", "--list", "--json")) == ["try a longer warm-down"]


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("DEPTH 6", "6"),
        ("set depth to 6, it is shallow", "6"),
        ("raise DEPTH from 4 to 6.", "6"),
        ("DEPTH 4 → 6", "6"),
        ("Depth = 2^3", "2^3"),
        ("DEPTH_X 6, X_DEPTH 6, DEPTH of six", ""),
    ],
)
def test_a_constant_is_found_in_a_sentence(sentence: str, value: str) -> None:
    assert of_names(sentence, ["DEPTH"]) == ({"DEPTH": value} if value else {})


def test_a_hint_that_cannot_be_had_waits_and_stops_nobody(toy: World, begun: Path) -> None:
    toy.commit({"solver.py": SOLVER + "assert N < 9\n"})
    toy.ok("start", "--experiments", "1", "--tag", "u")
    for text in ("N = 5", "N 12", "ALPHA 'x'"):
        toy.ok("idea", text, "--session", "u")
    ran = toy.run("start", "--resume", "--tag", "u", "--experiments", "1")
    assert ran.code == 0
    assert "waiting   N 12: an assert of the file does not allow it" in ran.err
    assert toy.ok("idea", "--drop", "2", "--session", "u") == "dropped  N 12\n"
    gone = toy.run("idea", "--drop", "9")
    assert (gone.code, gone.err) == (1, "error: there is no idea 9\n  try: git autoresearch idea --list\n")


def test_a_hint_reaches_a_session_that_runs(toy: World, begun: Path) -> None:
    process = toy.popen("start", "--resume", "--experiments", "2", env={"LC_BENCH_SLEEP": "1.5"})
    wait_for(lambda: marked_processes(toy.folder()))
    assert toy.ok("idea", "N", "=", "7") == "cpu/t: 1  N = 7\n"
    process.communicate()
    assert toy.experiments()[2]["idea"] == "N = 7"
    assert toy.run("idea", "--list").err == "no idea waits\n"


def test_a_plateau_is_seen(toy: World) -> None:
    toy.configure(inspiration="no", baseline_runs="1")
    toy.commit({"solver.py": "ALPHA = 0.6\nN = 7\n"})  # there is nothing better
    ran = toy.run("start", "--tag", "t", "--experiments", "10")
    assert ran.err.count("plateau   no gain in the last 10 experiments") == 1
    assert "    no gain in the last 10 experiments" in toy.ok("status").splitlines()
    assert "plateau  no gain in the last 10 experiments" in ran.out
