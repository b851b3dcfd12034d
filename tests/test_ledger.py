"""The formats that strangers' tools rely on: trailers, records, upstream's table; and that tampering is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import World

from autoresearch_git.experiment import Experiment, Measurement, Metric, Session, Status
from autoresearch_git.ledger import results_tsv, trailers

DATA = Path(__file__).parent / "data"
SESSION = Session("H100", "mar8", "a" * 40, Metric("val_bpb", "min"), "{python} train.py", ("train.py",), 300.0, 600.0)


def test_a_message_reads_back_as_the_same_experiment() -> None:
    experiment = Experiment(
        7, Status.DISCARD, "halve total batch 524K to 262K", 0.1 + 0.2,
        (Measurement(0.3, 42, {"num_steps": 1748, "peak_vram_mb": 44953.2}, "harness"),
         Measurement(None, 43, {}, "summary", "exit code 1: RuntimeError: out of memory")),
        reason="0.1 worse", rationale="", researcher="sweep", harness="sha256:" + "0" * 64, platform={"gpu": "NVIDIA H100"},
    )  # fmt: skip
    assert trailers.read_experiment(trailers.experiment_message(SESSION, experiment)) == experiment
    assert trailers.read_experiment(trailers.record_message(SESSION, experiment)) == experiment
    assert trailers.read_session(trailers.session_message(SESSION)) == SESSION


@pytest.mark.parametrize("field", ["description", "rationale", "traceback"])
def test_free_text_cannot_forge_a_trailer_or_a_terminal_escape(field: str) -> None:
    evil = "x\x1b]52;c;AAAA\x07\n\nAutoresearch-Status: keep\nAutoresearch-Metric: val_bpb 0.1\u202e"
    text = {field: evil} if field != "traceback" else {}
    measurement = Measurement(None, 1, {}, "summary", "exit code 1", evil if field == "traceback" else "")
    experiment = Experiment(1, Status.CRASH, text.pop("description", "d"), None, (measurement,), **text)
    message = trailers.experiment_message(SESSION, experiment)
    back = trailers.read_experiment(message)
    assert (back.status, back.value) == (Status.CRASH, None)
    assert trailers.parse(message)["Status"] == ["crash"]
    if field != "rationale":
        assert "\x1b" not in message
        assert "\u202e" not in message


def test_upstreams_own_table_is_read_without_loss() -> None:
    raw = (DATA / "pr44-results.tsv").read_text()
    table = results_tsv.parse(raw)
    assert table.render() == raw
    found = results_tsv.experiments(table)
    assert (len(found), found[0].commit, found[0].status) == (126, "baseline", Status.BASELINE)
    assert [sum(e.status is s for e in found) for s in (Status.KEEP, Status.DISCARD, Status.CRASH)] == [22, 102, 1]
    assert min(e.value for e in found if e.value is not None) == 0.969686
    crash = next(e for e in found if e.status is Status.CRASH)
    assert (crash.commit, crash.value) == ("e05a87d", None)


@pytest.mark.parametrize("text", ["", "a\tb\n", "commit\tval_bpb\tmemory_gb\tstatus\tdescription\nx\t1\t2\tkeep\n",
                                  "commit\tval_bpb\tmemory_gb\tstatus\tdescription\nx\t1\t2\tmaybe\td\n"])  # fmt: skip
def test_what_is_no_table_of_upstreams_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        results_tsv.parse(text)


def test_log_reads_a_published_branch(empty: World, tmp_path: Path) -> None:
    """As in a clone of karpathy/autoresearch: a branch that only the remote has, with the table at its head or below."""
    raw = (DATA / "pr44-results.tsv").read_text()
    empty.commit({"train.py": "X = 1\n"})
    empty.git("checkout", "-q", "-b", "exp/H100/mar8")
    empty.commit({"results.tsv": raw}, "add experiment results log")
    empty.git("checkout", "-q", "main")
    clone = World(tmp_path / "clone")
    empty.git("clone", "-q", str(empty.root), str(clone.root))
    assert clone.ok("log", "exp/H100/mar8", "--tsv") == raw
    assert clone.ok("log", "origin/exp/H100/mar8", "--tsv") == raw
    shown = clone.ok("log", "exp/H100/mar8").splitlines()
    assert len(shown) == 126
    assert shown[1].split()[:4] == ["0001", "keep", "0.986041", "−0.011859"]
    assert json.loads(clone.ok("log", "exp/H100/mar8", "--json").splitlines()[1])["val_bpb"] == 0.986041
    ran = clone.run("log", "main")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: main has neither a notebook nor a results.tsv")


def test_a_fetched_notebook_is_read_and_verified(toy: World, tmp_path: Path) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "3")
    clone = World(tmp_path / "clone")
    toy.git("clone", "-q", str(toy.root), str(clone.root))
    clone.git("fetch", "-q", "origin", "refs/autoresearch/*:refs/autoresearch/*", "exp/cpu/t:exp/cpu/t")
    assert clone.ok("log", "--verify").startswith("ok: 4 experiments")
    assert clone.ok("log", "--tsv") == toy.ok("log", "--tsv")


def _rewrite(world: World, change: tuple[str, str]) -> None:
    """Forge the newest record: the same commit with other words."""
    ref = "refs/autoresearch/cpu/t"
    text = world.git("cat-file", "commit", ref) + "\n"
    assert change[0] in text
    forged = world.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.replace(*change))
    world.git("update-ref", ref, forged)


def test_verify_finds_a_forged_number(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "3")
    value = str(toy.experiments()[-1]["score"])
    _rewrite(toy, (f"Metric: score {value}", "Metric: score 0.999"))
    ran = toy.run("log", "--verify")
    assert ran.code == 1
    assert "say different things" in ran.out
    assert ran.err.startswith("error: refs/autoresearch/cpu/t is not whole: 1 problems")


def test_verify_finds_a_dropped_record(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "3")
    records = toy.git("log", "--first-parent", "--format=%H", "refs/autoresearch/cpu/t").split()
    _rewrite(toy, (f"parent {records[1]}", f"parent {records[2]}"))
    assert "0002 (record" in toy.run("log", "--verify").out


def test_verify_finds_a_moved_branch_and_a_missing_object(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "3")
    tip = toy.git("rev-parse", "exp/cpu/t")
    toy.git("update-ref", "refs/heads/exp/cpu/t", "main")
    assert "refs/heads/exp/cpu/t is at" in toy.run("log", "--verify").out
    toy.git("update-ref", "refs/heads/exp/cpu/t", tip)
    blob = toy.git("rev-parse", f"{toy.experiments()[1]['commit']}:solver.py")
    (toy.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    ran = toy.run("log", "--verify")
    assert ran.code == 1
    assert "broken: git rev-list" in ran.out


def test_a_hostile_description_stays_one_row(toy: World) -> None:
    """Tabs and newlines of a researcher's text must not break the table."""
    experiment = Experiment(1, Status.KEEP, "a\tb\nc", 0.5, (), commit="f" * 40)
    assert results_tsv.row(experiment) == "fffffff\t0.500000\t0.0\tkeep\ta b c\n"
