"""The formats that strangers' tools rely on: trailers, records, upstream's table; and that tampering is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import World

from autoresearch_git.experiment import Experiment, Measurement, Metric, Session, Status
from autoresearch_git.ledger import results_tsv, tables, trailers

pytestmark = pytest.mark.usefixtures("warm")

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


# What each file says was counted by hand and written into tests/data/README.md before a program read it.
TABLES = {
    # file: metric, way, rows, baseline, (kept besides it, discarded, crashed), best
    "pr44-results.tsv": ("val_bpb", "min", 126, 0.9979, (22, 102, 1), 0.969686),
    "pr158-results.tsv": ("val_bpb", "min", 11, 0.99035, (3, 5, 2), 0.989406),
    "pr48-results.tsv": ("val_bpb", "min", 22, 2.013867, (21, 0, 0), 1.479792),
    "pr48-loop.tsv": ("val_bpb", "min", 71, 2.013867, (21, 49, 0), 1.479792),
    "pr48-dojo.tsv": ("robustness_gap", "max", 28, 1.104683, (24, 3, 0), 2.157905),
    "pr245-results.tsv": ("score", "max", 18, None, (2, 16, 0), 1.4031),
    "pr442-all.tsv": ("val_loss", "min", 55, 3.747, (44, 10, 0), 2.489148),
}


def _said(text: str) -> tuple[object, ...]:
    """What the tables in a text say, in the columns of TABLES; with a second header, of all of them together."""
    found = results_tsv.read(text)
    rows = [row for results in found for row in results.rows]
    kept = [row.value for row in rows if row.status in ("baseline", "keep") and row.value is not None]
    counts = tuple(sum(row.status == status for row in rows) for status in ("keep", "discard", "crash"))
    baseline = next((row.value for row in rows if row.status == "baseline"), None)
    best = (max if found[0].direction == "max" else min)(kept)
    return found[0].metric, found[0].direction, len(rows), baseline, counts, best


def _without_column(text: str, name: str) -> str:
    rows = [line.split("\t") for line in text.splitlines()]
    index = rows[0].index(name)
    return "".join("\t".join(row[:index] + row[index + 1 :]) + "\n" for row in rows)


VARIATIONS = {
    "as it is": lambda text: text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "no newline at the end": lambda text: text.rstrip("\n"),
    "blank lines": lambda text: text.replace("\n", "\n\n"),
    "header again": lambda text: "".join(line + (text.splitlines(True)[0] if i == 3 else "") for i, line in enumerate(text.splitlines(True))),
    "header in capitals": lambda text: text.replace("commit\t", "Commit\t", 1).replace("\tstatus\t", "\tStatus\t", 1),
    "quoted cells": lambda text: "".join("\t".join('"' + cell.replace('"', '""') + '"' for cell in line.split("\t")) + "\n" for line in text.splitlines()),
    "status in capitals": lambda text: text.replace("\tkeep\t", "\tKEEP \t").replace("\tdiscard\t", "\tDiscarded\t"),
    "no commit column": lambda text: _without_column(text, "commit"),
    "bold numbers": lambda text: "".join(line if not i else "\t".join(f"**{c}**" if j == 1 else c for j, c in enumerate(line.split("\t"))) for i, line in enumerate(text.splitlines(True))),
    "pasted into a text": lambda text: f"My results:\n\n```\n{text}```\nThanks!\n",
}  # fmt: skip


@pytest.mark.parametrize("variation", VARIATIONS)
@pytest.mark.parametrize("name", TABLES)
def test_tables_from_the_wild_are_read(name: str, variation: str) -> None:
    assert _said(VARIATIONS[variation]((DATA / name).read_text())) == TABLES[name]


def test_what_cells_say_is_kept() -> None:
    (results,) = results_tsv.read((DATA / "pr44-results.tsv").read_text())
    first, crash = results.rows[0], next(row for row in results.rows if row.status == "crash")
    assert (first.commit, first.sha, first.memory_gb) == ("baseline", "", 44.0)
    assert (crash.commit, crash.sha, crash.value) == ("e05a87d", "e05a87d", None)
    (invented,) = results_tsv.read((DATA / "pr442-all.tsv").read_text())
    assert sum(not row.sha for row in invented.rows) == 26  # v3_c1 … v5_c10 name no commit


@pytest.mark.parametrize(("cell", "value"), [("68.6%", 68.6), ("~1.72", 1.72), ("−0.0119", -0.0119), ("**0.98**", 0.98), ("25,169.98", 25169.98),
                                             ("1e-3", 0.001), ("e021644", None), ("1.79F", None), ("", None), ("-", None), ("nan", None),
                                             ("58.4%,sharpe=0.1", None), ("1e999", None), ("0.9860 ± 0.0003", 0.986), ("**0.986** (best)", 0.986),
                                             ("0,981", 0.981)])  # fmt: skip
def test_a_cell_is_a_number_or_it_is_not(cell: str, value: float | None) -> None:
    assert tables.number(cell)[0] == value


@pytest.mark.parametrize(("cell", "status"), [("keep", "keep"), ("KEPT ✅", "keep"), ("not kept", "discard"), ("kept=false", "discard"),
                                              ("not an improvement", "discard"), ("kept → reverted", "discard"), ("OOM crash", "crash"),
                                              ("baseline", "baseline"), ("below baseline", ""), ("pending", "")])  # fmt: skip
def test_a_status_says_what_it_says(cell: str, status: str) -> None:
    assert tables.status_of(cell) == status


@pytest.mark.parametrize(("metric", "way"), [("val_bpb", "min"), ("error_rate", "min"), ("perplexity_score", "min"), ("time_to_accuracy", "min"),
                                             ("win_rate", "max"), ("val_psnr", "max"), ("gap", "")])  # fmt: skip
def test_a_metrics_name_says_which_way_is_better(metric: str, way: str) -> None:
    assert tables.way(metric) == way


def test_differences_are_in_the_metrics_own_unit() -> None:
    rows = [
        ("delta", "-0.0119", -0.0119),
        ("delta", "-1.2%", None),
        ("gain", "0.0119", -0.0119),
        ("improvement_abs", "-0.01", 0.01),
    ]
    for column, cell, delta in rows:
        text = f"commit\tval_bpb\t{column}\tstatus\tdescription\nabcdef1\t0.9\t{cell}\tkeep\tx\nabcdef2\t0.8\t{cell}\tkeep\ty\n"
        assert results_tsv.read(text)[0].rows[1].delta == delta, (column, cell)


def test_a_table_with_another_header_in_the_middle_is_two_tables() -> None:
    text = "commit\tval_bpb\tstatus\tdescription\nabcdef1\t1.5\tkeep\tbaseline\ncommit\tscore\tval_bpb\tstatus\tdescription\nabcdef2\t7\t1.4\tkeep\twider\n"
    assert [(r.metric, [row.value for row in r.rows]) for r in results_tsv.read(text)] == [("val_bpb", [1.5]), ("val_bpb", [1.4])]


def test_a_newline_in_the_last_cell_does_not_make_a_row() -> None:
    text = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\nabcdef1\t1.5\t2.0\tkeep\tfirst line\nsecond line\nabcdef2\t1.4\t2.0\tkeep\tb\n"
    assert [row.description for row in results_tsv.read(text)[0].rows] == ["first line second line", "b"]


def test_tabs_that_became_spaces() -> None:
    text = "commit val_bpb memory_gb status description\na1b2c3d 1.80 3.9 keep baseline\nb1b2c3d 0.000000 0.0 crash batch 4 to 8 (OOM)\n"
    rows = results_tsv.read(text)[0].rows
    assert [(row.value, row.status, row.description) for row in rows] == [
        (1.8, "baseline", "baseline"),
        (None, "crash", "batch 4 to 8 (OOM)"),
    ]


@pytest.mark.parametrize("text", ["", "a\tb\n", "no table here, keep the status quo\n", "\t" * 100_000, "a,b,c\n" * 1000])
def test_what_is_no_table_gives_none(text: str) -> None:
    assert [results for results in results_tsv.read(text) if results.rows] == []


def test_a_bomb_of_a_table_stays_small() -> None:
    wide = (
        "commit\tval_bpb\tstatus\tdescription" + "\tx" * 200_000 + "\n" + ("a" * 7 + "\t1.0\tkeep\td" + "\ty" * 200_000 + "\n") * 3
    )
    long = "commit\tval_bpb\tstatus\tdescription\n" + "abcdef1\t1.0\tkeep\td\n" * 100_000
    assert len(results_tsv.read(wide)[0].rows[0].figures) == 0
    assert len(results_tsv.read(long)[0].rows) == tables.MOST_ROWS - 1


def test_log_reads_a_published_branch(empty: World, tmp_path: Path) -> None:
    """As in a clone of karpathy/autoresearch: a branch that only the remote has, with the table at its head or below."""
    raw = (DATA / "pr44-results.tsv").read_text()
    empty.commit({"train.py": "X = 1\n"})
    empty.git("checkout", "-q", "-b", "exp/H100/mar8")
    empty.commit({"results.tsv": raw}, "add experiment results log")
    empty.git("checkout", "-q", "main")
    clone = World(tmp_path / "clone", empty.zygote)
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
    clone = World(tmp_path / "clone", toy.zygote)
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
