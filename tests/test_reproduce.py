"""`git autoresearch reproduce`: a claim measured again by the real command, and the words for what came out."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import World, make_toy, wait_for
from zygote import Zygote

from autoresearch_git.experiment import Metric
from autoresearch_git.replication import Outcome, weigh

# A score that a seed moves by up to 0.004 either way.
NOISY = """\
import os, time
from solver import ALPHA, N
seed = int(os.environ["AUTORESEARCH_SEED"])
time.sleep(float(os.environ.get("LC_BENCH_SLEEP", "0")))
luck = ((seed * 2654435761) % 1000 - 500) / 125_000
print("score:", round(1 - (ALPHA - 0.6) ** 2 - 0.01 * (N - 7) ** 2 + luck, 6))
"""


@pytest.fixture
def world(tmp_path: Path, zygote: Zygote) -> World:
    found = make_toy(tmp_path)
    found.commit({"bench.py": NOISY}, "noise")
    found.configure(inspiration="no")
    found.zygote = zygote
    return found


def claim(world: World, before: float, *kept: tuple[str, str, float]) -> dict[str, str]:
    """A branch `theirs` with a table that claims a value for each commit: (description, solver.py, value)."""
    world.git("checkout", "-qb", "theirs")
    rows = [f"{world.git('rev-parse', '--short', 'HEAD')}\t{before}\t0.0\tbaseline\tbaseline"]
    shas = {}
    for description, text, value in kept:
        shas[description] = world.commit({"solver.py": text}, description)
        rows.append(f"{shas[description][:7]}\t{value}\t0.0\tkeep\t{description}")
    world.commit({"results.tsv": "commit\tscore\tmemory_gb\tstatus\tdescription\n" + "\n".join(rows) + "\n"}, "results")
    world.git("checkout", "-q", "main")
    return shas


def solver(alpha: float = 0.3, n: int = 5) -> str:
    return f"ALPHA = {alpha}  # step\nN = {n}\n"


def reproduced(world: World, *arguments: str) -> list[dict[str, Any]]:
    ran = world.run("reproduce", "theirs", "--yes", "--json", *arguments)
    assert ran.code == 0, f"{ran.out}\n{ran.err}"
    found: list[dict[str, Any]] = json.loads(ran.out)
    return found


def test_every_word_for_what_came_out(world: World) -> None:
    claim(world, 0.87, ("holds", solver(alpha=0.4), 0.92), ("worse here", solver(alpha=0.4, n=3), 0.94),
          ("nothing", solver(alpha=0.4, n=3) + "X = 1\n", 0.99))  # fmt: skip
    found = reproduced(world, "--tag", "r", "--each")
    assert [(r["description"], r["outcome"]) for r in found[1:]] == [
        ("holds", "confirmed"), ("worse here", "contradicted"), ("nothing", "not reproduced")]  # fmt: skip
    assert found[0]["whole"]
    assert found[0]["outcome"] == "contradicted"
    holds = found[1]
    assert holds["claimed"] == pytest.approx(0.05)
    assert holds["measured"] == pytest.approx(0.05, abs=1e-6), "the same seeds: luck is in both"
    assert [run["seed"] for run in holds["base"]] == [run["seed"] for run in holds["tip"]] == [42, 43, 44]
    assert "ok:" in world.ok("log", "--verify")


@pytest.mark.parametrize(
    ("claimed", "measured", "error", "outcome"),
    [
        (0.1, 0.03, 0.02, Outcome.CONFIRMED),
        (0.1, 0.03, 0.2, Outcome.NOT_RESOLVED),
        (0.1, 0.01, 0.02, Outcome.NOT_REPRODUCED),
        (None, 0.01, 0.02, Outcome.NOT_RESOLVED),
        (0.1, -0.03, 0.02, Outcome.CONTRADICTED),
        (0.1, 0.3, math.inf, Outcome.NOT_RESOLVED),
    ],
)
def test_a_claim_is_held_against_nothing_and_against_itself(
    claimed: float | None, measured: float, error: float, outcome: Outcome
) -> None:
    assert weigh(Metric("score", "max"), claimed, measured, error) is outcome
    assert weigh(Metric("loss", "min"), None if claimed is None else -claimed, -measured, error) is outcome


def test_what_is_known_already_is_not_run_again(world: World) -> None:
    """The baseline's runs are those of what the source began with, and each commit's parent is the commit before it."""
    claim(world, 0.87, ("one", solver(alpha=0.4), 0.92), ("two", solver(alpha=0.5), 0.95))
    reproduced(world, "--tag", "r", "--each")
    logs = sorted(path.name for path in (world.folder("cpu/r") / "logs").glob("*.log"))
    assert len([name for name in logs if name.startswith("0000-")]) == 3
    assert len([name for name in logs if name.startswith("replication-")]) == 6, "two texts that were new, three seeds"


def test_interrupted_it_goes_on_with_the_runs_that_are_left(world: World) -> None:
    claim(world, 0.87, ("one", solver(alpha=0.4), 0.92))
    folder = world.folder("cpu/r")
    again = world.popen("reproduce", "theirs", "--yes", "--tag", "r", env={"LC_BENCH_SLEEP": "0.3"})
    wait_for((folder / "replication.json").exists)
    again.send_signal(signal.SIGINT)
    _, said = again.communicate(timeout=30)
    assert again.returncode == 130, said
    assert "to go on:  git autoresearch reproduce theirs --session cpu/r --runs 3\n" in said
    before = {path: path.stat().st_mtime_ns for path in (folder / "logs").glob("replication-*.log")}
    (found,) = reproduced(world)
    assert found["outcome"] == "confirmed"
    whole = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert whole, "a run that had ended was not repeated"
    assert not (folder / "replication.json").exists()


def test_a_tip_that_crashes_is_recorded_and_claims_nothing(world: World) -> None:
    claim(world, 0.87, ("broken here", solver() + "raise RuntimeError('not here')\n", 0.92))
    (found,) = reproduced(world, "--tag", "r")
    assert (found["outcome"], found["measured"]) == ("crashed", None)
    assert len(found["tip"]) == 1, "the other seeds were not tried"
    assert "crashed" in world.ok("paper", "cpu/r")


def test_ones_own_session_is_measured_again(world: World) -> None:
    world.ok("start", "--tag", "mine", "--experiments", "4")
    ran = world.run("reproduce", "cpu/mine", "--yes", "--runs", "2")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("confirmed       cpu/mine ")
    assert "claimed +" in ran.out
    assert world.git("log", "-1", "--format=%s", "refs/autoresearch/cpu/mine").startswith("confirmed: cpu/mine")


def test_a_changed_record_is_found(world: World) -> None:
    claim(world, 0.87, ("one", solver(alpha=0.4), 0.92))
    reproduced(world, "--tag", "r")
    ref = "refs/autoresearch/cpu/r"
    tip = world.git("rev-parse", ref)
    message = world.git("log", "-1", "--format=%B", ref)
    parents = world.git("log", "-1", "--format=%P", ref).split()
    forged = world.git("commit-tree", f"{parents[1]}^{{tree}}", "-p", parents[0], "-p", world.git("rev-parse", "main"), "-F", "-",
                       stdin=message)  # fmt: skip
    world.git("update-ref", ref, forged, tip)
    ran = world.run("log", "--verify")
    assert ran.code == 1
    assert "replication (record " in ran.out + ran.err
    flattered = message.replace('"outcome":"confirmed"', '"outcome":"contradicted"')
    assert flattered != message
    forged = world.git("commit-tree", f"{tip}^{{tree}}", "-p", parents[0], "-p", parents[1], "-F", "-", stdin=flattered)
    world.git("update-ref", ref, forged)
    assert f"its commit {parents[1][:10]} say different things" in world.run("log", "--verify").out


def test_lineage_tells_what_stands_on_what(world: World) -> None:
    claim(world, 0.87, ("one", solver(alpha=0.4), 0.92))
    world.ok("adopt", "theirs", "--yes", "--tag", "first")
    world.ok("adopt", "cpu/first", "--yes", "--tag", "second")
    reproduced(world, "--tag", "r")
    first = [float(str(e["score"])) for e in world.experiments("first")]
    assert world.ok("lineage", "second").splitlines()[1:] == [
        f"└─ 1 of 1 commit from cpu/first (here)  {first[0]:g} → {first[1]:g}",
        "   └─ 1 of 1 commit from theirs",
    ]
    told = json.loads(world.ok("lineage", "--json"))
    assert {(e["source"], e["target"], e["kind"]) for e in told["edges"]} == {
        ("theirs", "cpu/first", "adopted"), ("cpu/first", "cpu/second", "adopted"), ("theirs", "cpu/r", "reproduced")}  # fmt: skip
    assert world.ok("lineage", "--mermaid").startswith("graph LR\n    n0[")


def test_the_files_that_a_commit_leaves_alone_are_those_it_was_made_beside(world: World) -> None:
    """Of several editable files each commit changes one: it is measured with the other as it was there."""
    world.commit({"solver.py": "from more import N\nALPHA = 0.3\n", "more.py": "N = 5\n"}, "two files")
    world.configure(editable="solver.py more.py")
    world.git("checkout", "-qb", "theirs")
    world.commit({"more.py": "N = 7\n"}, "first the one")
    world.commit({"solver.py": "from more import N\nALPHA = 0.6\n"}, "then the other")
    world.git("checkout", "-q", "main")
    found = reproduced(world, "--tag", "r", "--each")
    values = {r["description"]: [run["value"] for run in r["base"]] for r in found}
    assert values["then the other"][0] == pytest.approx(values["first the one"][0] + 0.04)
    assert found[0]["measured"] == pytest.approx(0.13)


def test_no_run_counts_twice(world: World) -> None:
    """The baseline's runs are those of what the source began with: their deviation is pooled once."""
    claim(world, 0.87, ("one", solver(alpha=0.4), 0.92))
    (found,) = reproduced(world, "--tag", "r", "--runs", "2")
    groups = [[run["value"] for run in found[arm]] for arm in ("base", "tip")]
    sd = math.sqrt(sum((values[0] - values[1]) ** 2 / 2 for values in groups) / 2)
    assert found["error"] == pytest.approx(2.920 * sd)  # t of two degrees, √(1/2 + 1/2) = 1


def test_the_same_seeds_are_not_measured_twice_and_more_of_them_are_added(world: World) -> None:
    claim(world, 0.87, ("one", solver(alpha=0.4), 0.92))
    (first,) = reproduced(world, "--tag", "r", "--runs", "2")
    tip = world.git("rev-parse", "refs/autoresearch/cpu/r")
    ran = world.run("reproduce", "theirs", "--yes", "--runs", "2", "--json")
    assert (ran.code, json.loads(ran.out)) == (0, [first])
    assert "these seeds were measured; --runs 5 adds three" in ran.err
    assert world.git("rev-parse", "refs/autoresearch/cpu/r") == tip, "nothing is recorded again"
    logs = len(list((world.folder("cpu/r") / "logs").iterdir()))
    (more,) = reproduced(world, "--runs", "3")
    assert [run["seed"] for run in more["tip"]] == [42, 43, 44]
    assert len(list((world.folder("cpu/r") / "logs").iterdir())) == logs + 2, "two texts with one new seed"
    for command in (["log"], ["status"], ["show", "0"]):
        told = [line for line in world.ok(*command).splitlines() if "again" in line]
        assert "claimed +0.050000, here +0.05" in told[-1], command
        assert [line.partition("(")[2].partition(")")[0] for line in told] == ["2 runs each", "3 runs each"]
    paper = world.ok("paper", "cpu/r")
    told = [line.split(" | ")[4:] for line in paper.splitlines() if line.startswith("| theirs ")]
    assert told == [["2", "confirmed |"], ["3", "confirmed |"]], "what each number of runs gave"


def test_what_cannot_be_measured_is_left_out_and_the_rest_is_measured(world: World) -> None:
    world.git("checkout", "-qb", "theirs")
    world.commit({"solver.py": solver(alpha=0.4)}, "good")
    world.commit({"solver.py": solver(alpha=0.5), "bench.py": NOISY + "\n"}, "with the evaluator")
    world.git("checkout", "-q", "main")
    alone = world.run("reproduce", "theirs", "--yes", "--tag", "r")
    assert "cannot be measured: it also changes bench.py" in alone.err
    ran = world.run("reproduce", "theirs", "--yes", "--tag", "r", "--runs", "2", "--each", "--json")
    assert ran.code == 0, ran.err
    assert [r["description"] for r in json.loads(ran.out)] == ["good"]
    left = [line for line in ran.err.splitlines() if line.startswith("left out")]
    assert [line.partition("(")[2] for line in left] == ["it also changes bench.py)"] * 2


def test_a_claim_of_another_budget_is_another_number(world: World) -> None:
    world.ok("start", "--tag", "mine", "--experiments", "4", "--budget", "5")
    ran = world.run("reproduce", "cpu/mine", "--yes", "--tag", "r", "--runs", "2", "--budget", "3")
    assert ran.code == 0, ran.err
    assert "warning    its runs train 5 s, ours 3 s: another number" in ran.err
    assert "runs       at most 6 runs, 3 s of training each: about 18 s; seeds 42, 43\n" in ran.err
    assert "(2 runs each; its runs train 5 s, ours 3 s: another number)" in ran.out
    assert "| confirmed at 3 s a run, not 5 s |" in world.ok("paper", "cpu/r")
    same = world.run("reproduce", "cpu/mine", "--yes", "--tag", "s", "--runs", "1", "--budget", "5")
    assert "another number" not in same.out + same.err
