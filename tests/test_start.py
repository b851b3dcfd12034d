"""The main job, driven as a user drives it: sessions, their branch, their notebook, their table."""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest
from conftest import World


def test_a_session_finds_a_better_score_and_says_so(toy: World) -> None:
    out = toy.ok("start", "--tag", "t", "--experiments", "10")
    experiments = toy.experiments()
    assert [e["number"] for e in experiments] == list(range(11))
    assert experiments[0]["status"] == "baseline"
    assert experiments[0]["score"] == 0.87
    best = max(e["score"] for e in experiments if e["status"] in ("baseline", "keep"))
    assert best > 0.9
    assert f"score  0.870000 → {best:.6f}" in out
    assert "branch   exp/cpu/t" in out
    assert "git autoresearch log cpu/t" in out


def test_the_branch_is_the_kept_chain_and_the_notebook_is_everything(toy: World) -> None:
    base = toy.git("rev-parse", "HEAD")
    toy.ok("start", "--tag", "t", "--experiments", "8")
    experiments = toy.experiments()
    kept = [e["commit"] for e in experiments if e["status"] in ("baseline", "keep")]
    assert toy.git("rev-list", "--reverse", f"{base}..exp/cpu/t").split() == kept
    assert toy.git("rev-parse", f"{kept[0]}^{{tree}}") == toy.git("rev-parse", f"{base}^{{tree}}")
    subjects = toy.git("log", "--first-parent", "--reverse", "--format=%s", "refs/autoresearch/cpu/t").splitlines()
    assert subjects[0].startswith("session cpu/t: score (max)")
    assert subjects[1:] == [f"{e['number']:04d} {e['status']}: {e['description']}" for e in experiments]
    parents = {e["commit"]: toy.git("rev-parse", f"{e['commit']}^") for e in experiments}
    incumbent = base
    for e in experiments:
        assert parents[e["commit"]] == incumbent == e["parent"]
        incumbent = e["commit"] if e["status"] in ("baseline", "keep") else incumbent


def test_trailers_are_read_by_git_itself(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "2")
    text = toy.git("log", "--format=%(trailers)", "exp/cpu/t", "^main")
    assert re.search(r"^Autoresearch-Experiment: cpu/t/0000$", text, re.M)
    assert re.search(r"^Autoresearch-Status: baseline$", text, re.M)
    assert re.search(r"^Autoresearch-Metric: score 0.87$", text, re.M)
    assert re.search(r"^Autoresearch-Harness: sha256:[0-9a-f]{64}$", text, re.M)
    assert re.search(r"^Autoresearch-Researcher: sweep$", text, re.M) or toy.git("rev-list", "--count", "main..exp/cpu/t") == "1"
    measurement = json.loads(re.findall(r"^Autoresearch-Measurement: (.*)$", text, re.M)[0])
    assert measurement["score"] == 0.87 or measurement["score"] > 0.87
    assert list(measurement) == sorted(measurement)


def test_the_table_is_rebuilt_byte_for_byte(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "5")
    table = toy.folder() / "results.tsv"
    live = table.read_bytes()
    assert live.startswith(b"commit\tscore\tmemory_gb\tstatus\tdescription\n")
    assert toy.ok("log", "--tsv").encode() == live
    rows = [line.split("\t") for line in live.decode().splitlines()[1:]]
    assert rows[0][1:4] == ["0.870000", "0.0", "keep"]
    assert all(re.fullmatch(r"[0-9a-f]{7}", row[0]) for row in rows)
    table.unlink()
    toy.ok("start", "--resume", "--experiments", "1")
    assert table.read_bytes().startswith(live)
    assert toy.ok("log", "--tsv").encode() == table.read_bytes()


def test_the_folder_can_be_deleted_and_the_session_goes_on(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "3")
    shutil.rmtree(toy.folder())
    ran = toy.run("start", "--resume", "--experiments", "2")
    assert ran.code == 1
    assert "it would run: {python} bench.py" in ran.err
    toy.ok("start", "--resume", "--experiments", "2", "--trust")
    assert len(toy.experiments()) == 6
    assert toy.ok("log", "--verify").startswith("ok: 6 experiments")


def test_no_value_is_tried_twice(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "14")
    toy.ok("start", "--resume", "--experiments", "6")
    tried = [re.sub(r" .* → ", "=", str(e["description"])) for e in toy.experiments()[1:]]
    assert len(set(tried)) == len(tried)


def test_dry_run_shows_the_plan_and_leaves_nothing(toy: World) -> None:
    before = toy.git("for-each-ref")
    out = toy.ok("start", "--tag", "t", "--dry-run", "--experiments", "5")
    assert "exp/cpu/t" in out
    assert "bench.py" in out
    assert "5 experiments" in out
    assert toy.git("for-each-ref") == before
    assert not (toy.root / ".git" / "autoresearch").exists()


def test_json_is_one_object_on_stdout(toy: World) -> None:
    result = json.loads(toy.ok("start", "--tag", "t", "--experiments", "3", "--json"))
    assert result["session"] == "cpu/t"
    assert result["baseline"] == 0.87
    assert sum(result["experiments"].values()) == 3
    assert result["best_commit"] == toy.git("rev-parse", "exp/cpu/t")


def test_start_from_another_revision(toy: World) -> None:
    old = toy.git("rev-parse", "HEAD")
    toy.commit({"solver.py": "ALPHA = 0.55\nN = 7\n"}, "better already")
    toy.ok("start", "--tag", "t", "--from", old, "--experiments", "1")
    assert toy.experiments()[0]["score"] == 0.87


def test_tags_of_one_day_are_numbered(toy: World) -> None:
    first = json.loads(toy.ok("start", "--experiments", "1", "--json"))["session"]
    second = json.loads(toy.ok("start", "--experiments", "1", "--json"))["session"]
    assert re.fullmatch(r"cpu/[a-z]{3}\d{1,2}", first)
    assert second == first + "-2"


def test_hours_end_a_session(toy: World) -> None:
    out = toy.ok("start", "--tag", "t", "--hours", "0.0003")
    assert "0.0003 hours are over" in out
    assert len(toy.experiments()) >= 2


def test_a_noisy_gain_is_measured_again_and_the_second_number_is_kept(toy: World) -> None:
    toy.commit({"bench.py": "import os, random\nfrom solver import ALPHA\n"
                            "luck = random.Random(os.environ['AUTORESEARCH_SEED']).uniform(-.05, .05)\n"
                            "print('score:', ALPHA + luck)\n", "solver.py": "ALPHA = 0.010\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "3", "--seed", "1")
    confirmed = [e for e in toy.experiments()[1:] if len(e["measurements"]) == 2]
    assert confirmed, "a gain far below the noise must be confirmed"
    for e in confirmed:
        first, second = e["measurements"]
        assert second["seed"] == first["seed"] + 1
        assert e["score"] == second["score"]


def test_strict_keeps_what_is_better_at_once(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "6", "--judge", "strict", "--baseline-runs", "1")
    experiments = toy.experiments()
    assert all(len(e["measurements"]) == 1 for e in experiments)
    incumbent = experiments[0]["score"]
    for e in experiments[1:]:
        assert (e["status"] == "keep") == (e["score"] > incumbent)
        incumbent = max(incumbent, e["score"])


def test_three_crashes_in_a_row_pause_and_can_be_resumed(toy: World) -> None:
    toy.commit({"bench.py": "from solver import ALPHA, N\nassert (ALPHA, N) == (0.3, 5), 'broken'\nprint('score: 1')\n"})
    ran = toy.run("start", "--tag", "t", "--experiments", "9")
    assert ran.code == 1
    assert "paused after 3 failures of sweep in a row" in ran.err
    assert "AssertionError: broken" in ran.err
    assert "start --resume --tag t" in ran.err
    experiments = toy.experiments()
    assert [e["status"] for e in experiments] == ["baseline", "crash", "crash", "crash"]
    assert "0.000000\t0.0\tcrash" in toy.ok("log", "--tsv")
    body = toy.git("log", "-1", "--format=%B", str(experiments[3]["commit"]))
    assert "Traceback (most recent call last):" in body
    assert toy.ok("log", "--verify").startswith("ok")


def test_a_baseline_that_crashes_is_no_baseline(toy: World) -> None:
    toy.commit({"bench.py": "raise RuntimeError('no data')\n"})
    ran = toy.run("start", "--tag", "t", "--experiments", "1")
    assert ran.code == 1
    assert "the baseline crashed: exit code 1: RuntimeError: no data" in ran.err
    assert "0000-1.log" in ran.err
    assert toy.experiments() == []
    assert toy.git("rev-parse", "--verify", "-q", "exp/cpu/t", check=False) == ""


def test_show_tells_one_experiment_whole(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "2")
    experiment = toy.experiments()[1]
    out = toy.ok("show", "1")
    assert f"0001 {experiment['status']}  {experiment['description']}" in out
    assert str(experiment["commit"]) in out
    assert "+++ b/solver.py" in out
    assert "  score: " in out
    fields = json.loads(toy.ok("show", "1", "--json"))
    assert fields["commit"] == experiment["commit"]
    assert "solver.py" in fields["diff"]
    ran = toy.run("show", "7")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: session cpu/t has no experiment 7; its last is 2")


def test_status_lists_sessions(toy: World) -> None:
    assert "no session yet" in toy.ok("status")
    toy.ok("start", "--tag", "t", "--experiments", "2")
    assert re.search(r"^cpu/t +score 0\.870000 → 0\.\d{6}  2 experiments, \d kept  stopped, 0 min ago$", toy.ok("status"), re.M)
    assert toy.ok("status", "--path").strip() == str(toy.folder() / "worktree")
    assert json.loads(toy.ok("status", "--json"))[0]["running"] == ""


def test_graph_shows_every_experiment(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "4")
    graph = toy.ok("log", "--graph")
    for e in toy.experiments():
        assert f"{str(e['commit'])[:7]} {e['status']} score " in graph


@pytest.mark.parametrize("run", ["sh bench.sh", "echo start; cat out.txt", '{python} -c \'print("---"); print("score: 0.5")\''])
def test_any_command_can_be_researched(toy: World, run: str) -> None:
    toy.commit({"bench.sh": "echo score: 0.5\n", "out.txt": "noise\nscore:   5e-1\n"})
    toy.configure(run=run)
    toy.ok("start", "--tag", "t", "--experiments", "1")
    assert [e["score"] for e in toy.experiments()] == [0.5, 0.5]


def test_the_worktree_is_clean_for_every_run(toy: World) -> None:
    toy.commit({"bench.py": "import os\nassert not os.path.exists('left'), 'an earlier run is visible'\n"
                            "open('left', 'w').close()\nfrom solver import ALPHA\nprint('score:', ALPHA)\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "2")
    assert all(e["status"] != "crash" for e in toy.experiments())


def test_a_run_that_rewrites_the_harness_is_a_crash(toy: World) -> None:
    toy.configure(sandbox="off")  # which would not let it
    toy.commit({"bench.py": "import helper\nfrom solver import ALPHA\nif ALPHA != 0.3:\n    open('helper.py', 'w').write('cheat = 1')\n"
                            "print('score:', ALPHA)\n", "helper.py": "cheat = 0\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "2")
    crashes = [e for e in toy.experiments() if e["status"] == "crash"]
    assert crashes
    assert {e["reason"] for e in crashes} == {"the run changed helper.py"}


def test_the_words_that_run_are_the_words_that_are_shown(toy: World) -> None:
    toy.configure(prepare="{python} -c pass")
    ran = toy.run("start", "--tag", "t", "--experiments", "1")
    assert f"\npreparing  {sys.executable} -c pass\n" in ran.err
