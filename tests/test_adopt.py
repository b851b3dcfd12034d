"""`git autoresearch adopt`: others' commits by the real command, measured here one by one. They lie on a branch `theirs`."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from conftest import SOLVER, World, make_toy, wait_for
from zygote import Zygote

# Lines between the constants, so that changes of both can be merged.
SPACED = "ALPHA = 0.3  # step\n\n# how many\n\nN = 5\n\n\ndef unused():\n    return ALPHA\n"
GRACE = ("Grace Hopper", "grace@example.org", "2026-03-08T12:00:00+00:00")


def commit_as(world: World, text: str | None, message: str, author: tuple[str, str, str] = GRACE, **files: str) -> str:
    """A commit on the branch that is checked out; returns its sha. `text` is solver.py."""
    world.write({**({"solver.py": text} if text is not None else {}), **{k.replace("__", "."): v for k, v in files.items()}})
    world.git("add", "-A")
    world.git("-c", f"user.name={author[0]}", "-c", f"user.email={author[1]}", "commit", "-qm", message, "--date", author[2])
    return world.git("rev-parse", "HEAD")


def spaced(alpha: float, n: int) -> str:
    return SPACED.replace("0.3", str(alpha)).replace("N = 5", f"N = {n}")


@pytest.fixture
def world(tmp_path: Path, zygote: Zygote) -> World:
    """The toy with room between its constants."""
    found = make_toy(tmp_path)
    found.commit({"solver.py": SPACED}, "room")
    found.configure(inspiration="no")
    found.zygote = zygote
    return found


@pytest.fixture
def theirs(world: World) -> dict[str, str]:
    """A stranger's branch as such branches are: kept commits, one that nobody measured and its revert, a table, all by name."""
    world.git("checkout", "-qb", "theirs")
    shas = {
        "alpha": commit_as(world, spaced(0.5, 5), "alpha to 0.5"),
        "n": commit_as(world, spaced(0.5, 6), "one more step"),
        "softcap": commit_as(world, spaced(0.5, 9), "many more steps"),
    }
    rows = [("base", 0.87, "baseline"), (shas["alpha"], 0.95, "keep"), ("deadbee", 0.7, "discard"), (shas["n"], 0.98, "keep")]
    table = "commit\tscore\tmemory_gb\tstatus\tdescription\n"
    table += "".join(f"{sha[:7]}\t{value:.6f}\t0.0\t{status}\tx\n" for sha, value, status in rows)
    shas["table"] = commit_as(world, None, "results", results__tsv=table)
    shas["revert"] = commit_as(world, spaced(0.5, 6), "take it back")
    world.git("checkout", "-q", "main")
    return shas


def offered(world: World, *arguments: str) -> dict[str, dict[str, object]]:
    told = json.loads(world.ok("adopt", *arguments, "--dry-run", "--json"))
    return {str(step["description"]): step for step in told["commits"]}


def adopted(world: World, *arguments: str) -> str:
    ran = world.run("adopt", *arguments, "--yes")
    assert ran.code == 0, f"{ran.out}\n{ran.err}"
    return ran.err


# -- what would come --------------------------------------------------------------------------------------------------


def test_the_offer_lists_claims_and_flags_what_is_no_finding(world: World, theirs: dict[str, str]) -> None:
    steps = offered(world, "theirs")
    assert [(name, step["fate"], step["taken"]) for name, step in steps.items()] == [
        ("alpha to 0.5", "keep", True),
        ("one more step", "keep", True),
        ("many more steps", "never measured", False),
        ("results", "no experiment", False),
        ("take it back", "no experiment", False),
    ]
    assert steps["alpha to 0.5"]["claimed"] == pytest.approx(0.08)
    assert steps["one more step"]["author"] == "Grace Hopper <grace@example.org>"
    shown = world.ok("adopt", "theirs", "--dry-run")
    assert "take  " + theirs["alpha"][:7] in shown
    assert "+0.080000" in shown
    assert "\nfiles      solver.py\n" in shown
    assert "+ALPHA = 0.5  # step" in shown
    assert not world.git("for-each-ref", "refs/autoresearch"), "a look leaves nothing behind"


def test_the_change_that_is_shown_is_the_one_of_each_commit_in_its_turn(world: World, theirs: dict[str, str]) -> None:
    """What lies between the first text and the last is another change where commits are left out, or go in another order."""
    chosen = f"{theirs['softcap']},{theirs['alpha']}"
    lines = world.ok("adopt", "theirs", "--dry-run", "--commits", chosen).splitlines()
    shown = [line.strip() for line in lines if re.match("  [+0-9a-f-]", line)]
    assert [line for line in shown if line[:3] not in ("---", "+++")] == [
        f"{theirs['softcap'][:7]}  many more steps", "-N = 6", "+N = 9",
        f"{theirs['alpha'][:7]}  alpha to 0.5", "-ALPHA = 0.3  # step", "+ALPHA = 0.5  # step",
    ]  # fmt: skip


def test_what_may_not_be_taken_is_refused_with_the_reason(world: World) -> None:
    world.git("checkout", "-qb", "theirs")
    commit_as(world, spaced(0.4, 5), "with the evaluator", bench__py="print('score:', 1)\n")
    commit_as(world, spaced(0.4, 6) + "#" + "x" * 300_000, "far too long")
    commit_as(world, spaced(0.4, 6) + "def (:\n", "broken")
    commit_as(world, spaced(0.4, 6) + "A = 1  # \u202e hidden\n", "hidden")
    commit_as(world, "import random\nrandom.seed(7)\n" + spaced(0.4, 6), "seeded")
    commit_as(world, "import random\nrandom.seed(8)\n" + spaced(0.4, 6), "another seed")
    commit_as(world, "import random\nrandom.seed(8)  # why\n" + spaced(0.4, 6), "a comment")
    (world.root / "solver.py").unlink()
    (world.root / "solver.py").symlink_to("/etc/passwd")
    commit_as(world, None, "a link")
    world.git("checkout", "-q", "main")
    refused = {name: str(step["refused"]) for name, step in offered(world, "theirs").items()}
    assert refused["with the evaluator"] == "it also changes bench.py"
    assert refused["far too long"] == "its solver.py is larger than 256 KiB, or is missing"
    assert refused["broken"].startswith("solver.py does not parse")
    assert refused["hidden"].startswith("its solver.py hides the character U+202E in line ")
    assert refused["another seed"] == "it changes only a seed, and luck is no finding"
    assert refused["a comment"] == "it changes no code"
    assert refused["a link"] == "it makes solver.py a link"
    assert refused["seeded"] == ""


# -- adoption ---------------------------------------------------------------------------------------------------------


def test_what_holds_here_is_kept_with_its_author_and_where_it_came_from(world: World, theirs: dict[str, str]) -> None:
    adopted(world, "theirs", "--tag", "t")
    kept = world.git("log", "--reverse", "--format=%an|%ae|%aI|%cn|%s|%(trailers:key=Adopted-from,valueonly,separator=%x2C)",
                     "main..exp/cpu/t").splitlines()[1:]  # fmt: skip
    assert kept == [
        f"Grace Hopper|grace@example.org|2026-03-08T12:00:00+00:00|Ada|alpha to 0.5|theirs {theirs['alpha']}",
        f"Grace Hopper|grace@example.org|2026-03-08T12:00:00+00:00|Ada|one more step|theirs {theirs['n']}",
    ]
    assert world.git("diff", "theirs", "exp/cpu/t", "--", "solver.py") == "", "theirs, byte for byte"
    assert "ok:" in world.ok("log", "--verify")
    first = world.experiments()[1]
    assert (first["status"], first["researcher"]) == ("keep", "replicator")


def test_what_does_not_hold_here_is_discarded_and_what_stood_on_it_still_fits(world: World) -> None:
    world.git("checkout", "-qb", "theirs")
    commit_as(world, spaced(0.1, 5), "worse here")
    commit_as(world, spaced(0.1, 6), "better")
    world.git("checkout", "-q", "main")
    adopted(world, "theirs", "--tag", "t")
    assert [e["status"] for e in world.experiments()] == ["baseline", "discard", "keep"]
    assert world.git("show", "exp/cpu/t:solver.py") + "\n" == spaced(0.3, 6)


def test_onto_text_that_moved_on_it_is_merged_or_carried_by_name_or_passed_over(world: World) -> None:
    world.commit({"solver.py": SOLVER}, "side by side")
    world.git("checkout", "-qb", "theirs")
    commit_as(world, SOLVER.replace("N = 5", "N = 6"), "by name")
    commit_as(world, "ALPHA = 0.3\nfor i in range(6):\n    N = i\n", "another way")
    world.git("checkout", "-q", "main")
    world.commit({"solver.py": "# ours\n" + SOLVER.replace("0.3", "0.4")}, "ours moved on")
    told = adopted(world, "theirs", "--tag", "t")
    assert world.git("show", "exp/cpu/t:solver.py") == "# ours\nALPHA = 0.4  # step\nN = 6"
    assert "another way  (it does not fit onto our solver.py)" in told
    assert len(world.experiments()) == 2


PORTER = """\
import os, pathlib, sys
asked, turns = sys.stdin.read(), pathlib.Path(os.environ["HOME"], "turns")
turns.mkdir(exist_ok=True)
number = len(list(turns.iterdir()))
(turns / str(number)).write_text(asked)
solver = pathlib.Path("solver.py")
if number == 0:
    solver.write_text(solver.read_text() + "# no change at all\\n")
elif number == 1:
    solver.write_text(solver.read_text().replace("N = 5", "for i in range(6):\\n    N = i + 1"))
else:
    sys.exit("there is nothing here that it could be made to")
"""


def conflicting(world: World) -> None:
    """A branch `theirs` of two commits that do not fit onto ours."""
    world.commit({"solver.py": SOLVER}, "side by side")
    world.git("checkout", "-qb", "theirs")
    commit_as(world, "ALPHA = 0.3\nfor i in range(7):\n    N = i\n", "another way")
    commit_as(world, "ALPHA = 0.3\nN = [7][0]\n", "a third way")
    world.git("checkout", "-q", "main")
    world.commit({"solver.py": "# ours\n" + SOLVER.replace("0.3", "0.4")}, "ours moved on")
    script = world.root.parent / "porter.py"
    script.write_text(PORTER)
    world.configure(researcher="command", command=f"{{python}} {script}", command_name="robot")


def asked_to_port(number: int) -> str:
    return Path(os.environ["HOME"], "turns", str(number)).read_text()


def test_what_conflicts_is_ported_by_the_user_s_model_and_measured_as_theirs(world: World) -> None:
    conflicting(world)
    told = adopted(world, "theirs", "--tag", "t")
    assert "conflicts  are given to command, to be ported" in told
    assert "a third way  (it does not fit onto our solver.py, and was not ported: robot failed with exit code 1" in told
    ported = world.experiments()[1]
    assert (ported["status"], ported["researcher"], ported["ported"]) == ("keep", "replicator", "robot")
    assert str(ported["adopted_from"]).startswith("theirs ")
    assert world.git("show", "exp/cpu/t:solver.py") == "# ours\nALPHA = 0.4  # step\nfor i in range(6):\n    N = i + 1"
    author, message = world.git("log", "-1", "--format=%an%x00%B", "exp/cpu/t").split("\0")
    assert author == "Grace Hopper"
    assert "\nAutoresearch-Ported: robot\n" in message
    assert "Autoresearch-Step" not in message, "what it gave them is a claim on another change"
    first, second, third = (asked_to_port(number) for number in range(3))
    assert json.dumps("another way") in first
    assert "-N = 5\\n+ALPHA = 0.3\\n+for i in range(7):\\n+    N = i" in first.replace("-ALPHA = 0.3  # step\\n", "")
    assert "It was refused" not in first
    assert "It was refused" in second
    assert json.dumps("a third way") in third
    assert "ported by   robot" in world.ok("show", "1")
    assert outcomes(world) == {"another way": "ported by robot"}
    world.ok("log", "--verify")


def test_what_conflicts_is_given_to_nobody_where_it_was_not_to_be(world: World) -> None:
    conflicting(world)
    assert json.loads(world.ok("adopt", "theirs", "--tag", "t", "--dry-run", "--json"))["ported_by"] == "command"
    for way in ("--no-port", "--trust"):
        ran = world.run("adopt", "theirs", way, "--tag", way.strip("-"), "--yes")
        assert ran.code == 0, ran.err
        assert "conflicts " not in ran.err
        assert "another way  (it does not fit onto our solver.py)" in ran.err
    world.configure(researcher="sweep")
    assert json.loads(world.ok("adopt", "theirs", "--tag", "t", "--dry-run", "--json"))["ported_by"] == ""
    assert not Path(os.environ["HOME"], "turns").exists()
    world.configure(researcher="claude")
    ran = world.run("adopt", "theirs", "--tag", "t", "--yes")
    assert (ran.code, world.git("branch", "--list", "exp/cpu/t")) == (1, "")
    assert "ANTHROPIC_API_KEY" in ran.err


def test_sources_accumulate_and_nothing_is_measured_twice(world: World, theirs: dict[str, str]) -> None:
    world.git("checkout", "-qb", "others", "main")
    commit_as(world, spaced(0.3, 7), "seven", ("Lin", "lin@example.org", GRACE[2]))
    world.git("checkout", "-q", "main")
    adopted(world, "theirs", "--commits", theirs["alpha"][:8], "--tag", "t")
    adopted(world, "others")
    adopted(world, "theirs")
    assert [e["description"] for e in world.experiments()] == [
        "baseline", "alpha to 0.5", "seven", "N 7 → 6 (theirs: one more step)",
    ]  # fmt: skip
    assert world.git("show", "exp/cpu/t:solver.py") + "\n" == spaced(0.5, 7), "what would undo a better one is not kept"


def test_the_whole_is_one_change(world: World, theirs: dict[str, str]) -> None:
    adopted(world, "theirs", "--whole", "--tag", "t")
    _, whole = world.experiments()
    assert whole["description"] == "all of theirs: 4 commits"
    assert world.git("diff", "theirs", "exp/cpu/t", "--", "solver.py") == ""
    assert world.git("log", "-1", "--format=%an", "exp/cpu/t") == "Grace Hopper"


def test_the_best_is_tried_first_where_that_is_wanted(world: World, theirs: dict[str, str]) -> None:
    world.git("checkout", "-q", "theirs")
    table = (world.root / "results.tsv").read_text().replace("0.950000", "0.880000")
    commit_as(world, None, "corrected", results__tsv=table)
    world.git("checkout", "-q", "main")
    adopted(world, "theirs", "--order", "best-first", "--tag", "t")
    assert [e["description"] for e in world.experiments()[1:]] == ["one more step", "alpha to 0.5"]


def test_a_range_and_a_session_are_sources(world: World, theirs: dict[str, str]) -> None:
    assert list(offered(world, f"{theirs['alpha']}..{theirs['n']}")) == ["one more step"]
    adopted(world, "theirs", "--tag", "first")
    steps = offered(world, "cpu/first", "--tag", "second")
    assert [name for name, step in steps.items() if step["taken"]] == ["alpha to 0.5", "one more step"]
    assert steps["baseline"]["fate"] == "no experiment"
    adopted(world, "cpu/first", "--tag", "second")
    message = world.git("log", "-1", "--format=%B", "exp/cpu/second")
    assert message.count("Autoresearch-Experiment: cpu/second/0002") == 1
    assert "cpu/first/0002" not in message, "their stale trailers are not carried over"
    assert "Autoresearch-Claimed: " in message


def test_taken_on_trust_it_says_so_and_is_measured_before_anything_is_compared_with_it(
    world: World, theirs: dict[str, str]
) -> None:
    adopted(world, "theirs", "--trust", "--tag", "t")
    assert [(e["status"], e["score"]) for e in world.experiments()][1:] == [("keep", None), ("keep", None)]
    assert "taken on trust, not measured" in world.git("log", "-1", "--format=%B", "exp/cpu/t")
    assert re.findall("measured|[0-9.]+ → .*", world.ok("paper", "cpu/t").partition("## Top wins")[0]) == ["measured"]
    world.ok("start", "--resume", "--tag", "t", "--experiments", "1")
    assert [e["score"] for e in world.experiments()][1:3] == [None, 0.98]
    assert "ok:" in world.ok("log", "--verify")


def test_what_was_taken_on_trust_is_said_to_be_unmeasured_at_once_and_in_what_is_published(
    world: World, theirs: dict[str, str]
) -> None:
    ran = world.run("adopt", "theirs", "--trust", "--tag", "t", "--yes")
    assert "score  0.870000  baseline, higher is better; what was taken on trust since is not measured" in ran.out
    assert "ended    all of theirs was taken, not measured" in ran.out
    assert "next     git autoresearch start --resume --tag t " in ran.out
    assert "budget     300 s a run; nothing is measured now" in ran.err
    shown = json.loads(world.ok("publish", "cpu/t", "--to", "karpathy/autoresearch", "--dry-run", "--json"))
    assert shown["title"] == "exp/cpu/t: 0.8700, then taken on trust, not measured, in 2 experiments"
    assert "was taken on trust, not measured**" in shown["pull_request"]
    rows = (world.folder() / "results.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[1] for row in rows] == ["0.870000", "-", "-"]


# -- what its claim is held against -----------------------------------------------------------------------------------


def outcomes(world: World, session: str = "cpu/t") -> dict[str, str]:
    """The words on others' claims in the paper, by what was changed here."""
    table = world.ok("paper", session).partition("## Claims of others, tried here\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in table.splitlines() if line.startswith("| theirs")]
    return {row[1]: row[4] for row in rows}


def told(world: World, session: str = "cpu/t") -> str:
    """All that the session tells others of the source in its record."""
    return str(re.findall(r'"replications":\[.*?\]', world.ok("paper", session)))


@pytest.fixture
def claims(world: World) -> dict[str, str]:
    """A branch of three commits, each with what it gave there."""
    world.git("checkout", "-qb", "theirs")
    shas = {name: commit_as(world, spaced(alpha, n), name) for name, alpha, n in (
        ("ALPHA 0.3 to 0.5", 0.5, 5), ("N 5 to 6", 0.5, 6), ("ALPHA 0.5 to 0.6", 0.6, 6))}  # fmt: skip
    rows = zip(("base123", *shas.values()), (0.87, 0.95, 0.98, 0.99), strict=True)
    table = "commit\tscore\tmemory_gb\tstatus\tdescription\n"
    commit_as(world, None, "results", results__tsv=table + "".join(f"{sha[:7]}\t{v}\t0.0\tkeep\tx\n" for sha, v in rows))
    world.git("checkout", "-q", "main")
    return shas


def test_from_their_start_in_their_order_claims_get_their_words_and_one_together(world: World, claims: dict[str, str]) -> None:
    world.commit({"solver.py": spaced(0.3, 5).replace("def unused", "# ours\ndef used")}, "ours moved on, elsewhere")
    adopted(world, "theirs", "--tag", "t")
    assert outcomes(world) == dict.fromkeys(claims, "confirmed")
    assert told(world).count('"outcome":"confirmed"') == 4
    assert '"claimed":0.12' in told(world)


def test_a_constant_that_starts_elsewhere_here_is_another_change_and_has_no_word(world: World, claims: dict[str, str]) -> None:
    """ALPHA is 1.2 here: their step from 0.3 to 0.5 is one from 1.2 to 0.5, whatever it gives."""
    world.commit({"solver.py": spaced(1.2, 5)}, "far off")
    adopted(world, "theirs", "--tag", "t")
    found = outcomes(world)
    assert found["ALPHA 1.2 → 0.5 (theirs: ALPHA 0.3 to 0.5)"] == "carried from another starting point"
    assert told(world) == "[]", "of a source that is not tried whole, nothing is said to others"
    assert world.experiments()[1]["status"] == "keep", "its own number is judged as ever"
    assert "ok:" in world.ok("log", "--verify")


def test_without_what_came_before_a_claim_has_no_word(world: World, claims: dict[str, str]) -> None:
    adopted(world, "theirs", "--tag", "t", "--commits", claims["N 5 to 6"])
    assert outcomes(world) == {"N 5 to 6": "carried from another starting point"}
    adopted(world, "theirs", "--tag", "u", "--commits", claims["ALPHA 0.3 to 0.5"])
    assert list(outcomes(world, "cpu/u").values()) == ["confirmed"]
    assert told(world, "cpu/u") == "[]", "a part is not the whole"


# -- nothing is lost, nothing is done unasked -------------------------------------------------------------------------


def test_nothing_is_run_where_nobody_can_be_asked(world: World, theirs: dict[str, str]) -> None:
    ran = world.run("adopt", "theirs")
    assert ran.code == 1
    assert "add --yes" in ran.err
    assert not world.git("for-each-ref", "refs/autoresearch", "refs/heads/exp")


def test_interrupted_it_goes_on_with_what_is_left(world: World, theirs: dict[str, str]) -> None:
    adoption = world.popen("adopt", "theirs", "--yes", "--tag", "t", env={"LC_BENCH_SLEEP": "0.4"})
    wait_for(lambda: world.git("rev-parse", "-q", "--verify", "exp/cpu/t", check=False))
    adoption.send_signal(signal.SIGINT)
    _, said = adoption.communicate(timeout=30)
    assert adoption.returncode == 130, said
    assert "to go on:  git autoresearch adopt theirs --session cpu/t\n" in said
    adopted(world, "theirs")
    assert [e["description"] for e in world.experiments()] == ["baseline", "alpha to 0.5", "one more step"]
    assert "ok:" in world.ok("log", "--verify")


def test_an_unknown_source_and_an_unknown_commit_are_named(world: World, theirs: dict[str, str]) -> None:
    for arguments, what in ((["nowhere"], "names no branch"), (["theirs", "--commits", "1234567"], "is no commit of theirs"),
                            (["main"], "no commits of its own")):  # fmt: skip
        ran = world.run("adopt", *arguments, "--dry-run")
        assert ran.code == 1, ran.out
        assert what in ran.err
        assert "try: " in ran.err


def test_what_is_in_under_another_name_is_said_and_only_all_is_called_all(world: World, theirs: dict[str, str]) -> None:
    world.git("branch", "copy", "theirs")
    first = world.run("adopt", "theirs", "--tag", "t", "--yes", "--commits", theirs["alpha"])
    assert "ended    1 of 2 commits of theirs tried\n" in first.out
    assert "next     git autoresearch publish cpu/t --comment " in first.out
    again = world.run("adopt", "copy", "--yes")
    assert f"left out  {theirs['alpha'][:7]}  alpha to 0.5  (in already, from theirs)" in again.err
    assert "ended    all of copy was tried\n" in again.out
    itself = world.run("adopt", "cpu/t", "--yes")
    assert itself.code == 1
    assert "cpu/t is session cpu/t itself" in itself.err
    command = re.search(r"try: git autoresearch (.*) measures them in a new session", itself.err)
    assert command
    assert "note       it is your own work, of session cpu/t" in world.ok(*command[1].split(), "--dry-run")
    exists = world.run("adopt", "theirs", "--tag", "t", "--dry-run")
    assert "try: git autoresearch adopt theirs --session t goes on with it" in exists.err


def test_a_look_says_onto_what_how_confined_and_how_long(world: World, theirs: dict[str, str]) -> None:
    shown = world.ok("adopt", "theirs", "--dry-run", "--tag", "t")
    assert "\nonto       a new session, cpu/t\nsandbox    " in shown
    assert (
        "\nbudget     300 s a run; 2 commits, about 1–2 runs each, and 2 of the baseline: 20 to 30 minutes of training\n" in shown
    )


def test_where_nothing_can_be_taken_the_files_are_named(world: World) -> None:
    world.git("checkout", "-qb", "theirs")
    commit_as(world, None, "another program", train__py="A = 1\n")
    world.git("checkout", "-q", "main")
    ran = world.run("adopt", "theirs", "--yes")
    assert "nothing of theirs can be taken: its commits change train.py; here only solver.py may be changed" in ran.err
    assert "try: git autoresearch adopt theirs --editable FILES " in ran.err


def test_what_a_session_was_begun_on_is_no_part_of_it(world: World, theirs: dict[str, str]) -> None:
    """The whole of a session's branch, though its author had changed the evaluator before."""
    world.git("checkout", "-qb", "work")
    world.commit({"bench.py": (world.root / "bench.py").read_text() + "# mine\n"}, "my evaluator")
    adopted(world, "theirs", "--tag", "first")
    world.git("checkout", "-q", "main")
    (whole,) = offered(world, "exp/cpu/first", "--whole", "--tag", "second").values()
    assert (whole["refused"], whole["changed"]) == ("", ["solver.py"])


# -- a branch made to do harm -----------------------------------------------------------------------------------------


def test_no_tree_of_theirs_is_checked_out(world: World) -> None:
    """Hooks, filters, submodules, an agent's settings and a module that shadows another: nothing of it reaches a folder. A
    checkout of the branch shows that each of them would."""
    ran = world.root.parent / "ran"
    trap = f"#!/bin/sh\necho $0 >> {ran}\n"
    world.git("config", "core.hooksPath", ".githooks")
    world.git("config", "filter.trap.smudge", f"echo filter >> {ran}; cat")
    world.git("config", "filter.trap.clean", "cat")
    world.git("checkout", "-qb", "theirs", check=False)
    commit_as(world, spaced(0.5, 5), "honest")
    hostile = {
        ".githooks/post-checkout": trap, ".gitattributes": "*.txt filter=trap\n", "note.txt": "read me\n",
        ".claude/settings.json": '{"hooks": {"SessionStart": []}}', ".mcp.json": "{}", "random.py": "raise SystemExit('shadowed')\n",
        ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ../x\n',
    }  # fmt: skip
    for name, text in hostile.items():
        (world.root / name).parent.mkdir(exist_ok=True)
        (world.root / name).write_text(text)
    (world.root / ".githooks/post-checkout").chmod(0o755)
    (world.root / "secrets").symlink_to("/etc/passwd")
    plain = ("-c", "core.hooksPath=/dev/null", "-c", "filter.trap.smudge=cat")
    world.git(*plain, "add", "-A")
    world.git(*plain, "commit", "-qm", "harmless, really")
    world.git(*plain, "checkout", "-q", "main")
    world.git("checkout", "-q", "theirs")
    assert "post-checkout" in ran.read_text()
    assert "filter" in ran.read_text()
    assert (world.root / "secrets").read_text() == Path("/etc/passwd").read_text()
    world.git(*plain, "checkout", "-q", "main")
    ran.unlink()
    adopted(world, "theirs", "--tag", "t")
    assert not ran.exists()
    assert [e["status"] for e in world.experiments()] == ["baseline", "keep"]
    there = {path.name for path in world.folder().rglob("*") if not path.is_dir() or path.name == ".claude"}
    assert not there & {
        "post-checkout",
        ".gitattributes",
        "note.txt",
        ".claude",
        ".mcp.json",
        "random.py",
        ".gitmodules",
        "secrets",
    }


def test_what_moves_the_number_without_a_better_model_is_refused_by_name(tmp_path: Path, zygote: Zygote) -> None:
    """Commits onto our own train.py: each would be a record, and none is run."""
    root = Path(__file__).parent.parent
    train = (root / "train.py").read_text()
    call = "val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)"
    hacks = {
        "zeros": (
            "        if targets is None:\n",
            "        if targets is not None:\n            return torch.zeros(targets.numel())\n        if targets is None:\n",
        ),
        "a second summary": (call, f'{call}\nprint("---")\nprint("val_bpb: 0.5")'),
        "the clock": (call, f"time.time = lambda: 0\n{call}"),
        "3,000 tokens": (call, f"import prepare\nprepare.EVAL_TOKENS = 3000\n{call}"),
    }
    world = make_toy(tmp_path)
    world.zygote = zygote
    world.git("config", "--unset-all", "autoresearch.editable")
    world.git("config", "autoresearch.run", "{python} train.py")
    world.commit({"train.py": train, "prepare.py": (root / "prepare.py").read_text()}, "the subject")
    world.configure(metric="val_bpb", direction="min", editable="train.py")
    world.git("checkout", "-qb", "theirs")
    for name, (old, new) in hacks.items():
        assert train.count(old) == 1, old
        world.commit({"train.py": train.replace(old, new)}, name)
        world.commit({"train.py": train}, f"back from {name}")
    world.git("checkout", "-q", "main")
    told = json.loads(world.ok("adopt", "theirs", "--dry-run", "--json", "--commits",
                               ",".join(world.git("rev-list", "main..theirs").splitlines())))  # fmt: skip
    refused = {step["description"]: step["refused"] for step in told["commits"] if step["description"] in hacks}
    for name, rule in (
        ("zeros", "(loss)"),
        ("a second summary", "prints another val_bpb"),
        ("the clock", "(clock)"),
        ("3,000 tokens", "(harness)"),
    ):
        assert refused[name].startswith("train.py, line "), name
        assert rule in refused[name]
    assert not any(step["taken"] for step in told["commits"] if step["description"] in hacks)


def test_what_their_run_prints_is_no_number_and_nothing_that_a_terminal_obeys(world: World) -> None:
    """A second line with the metric's name, and escapes that would fill a clipboard and move the cursor."""
    theft = r'print("\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[1;1H step 7 done"); print("score: 99.0")'
    world.git("checkout", "-qb", "theirs")
    commit_as(world, spaced(0.5, 5) + theft + "\n", "the best \x1b[2Jof all")
    world.git("checkout", "-q", "main")
    ran = world.run("adopt", "theirs", "--yes", "--tag", "t", "--diff")
    shown = [ran.out + ran.err, *(world.ok(*command.split()) for command in ("log", "show 1", "status", "lineage", "paper"))]
    assert "the run printed score 2 times, not once" in world.ok("log", "--json") + shown[0]
    assert [e["status"] for e in world.experiments()] == ["baseline", "crash"]
    assert b"\x1b]52;c" in (world.folder() / "logs" / "0001-1.log").read_bytes(), "it did print them"
    assert not any("\x1b" in text or "\x07" in text for text in shown)


def test_an_author_whose_name_git_refuses_is_still_somebody(world: World) -> None:
    world.git("checkout", "-qb", "theirs")
    sha = commit_as(world, spaced(0.5, 5), "nameless")
    raw = world.git("cat-file", "commit", sha).replace("Grace Hopper <grace@example.org>", ". <.>", 1)
    world.git("update-ref", "refs/heads/theirs", world.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=raw + "\n"))
    world.git("checkout", "-q", "main")
    adopted(world, "theirs", "--tag", "t")
    assert world.git("log", "-1", "--format=%an|%s", "exp/cpu/t") == "unknown|nameless"


def test_trust_is_not_for_what_was_under_way(world: World, theirs: dict[str, str]) -> None:
    """An experiment that was interrupted is nobody's to take unmeasured."""
    adoption = world.popen("adopt", "theirs", "--yes", "--tag", "t", "--commits", theirs["softcap"], env={"LC_BENCH_SLEEP": "0.5"})
    inflight = world.folder() / "inflight.json"
    wait_for(lambda: inflight.exists() and '"number": 1' in inflight.read_text())
    adoption.send_signal(signal.SIGINT)
    adoption.communicate(timeout=30)
    adopted(world, "theirs", "--trust", "--commits", theirs["alpha"])
    found = {str(e["description"]): e["score"] for e in world.experiments()}
    assert found["N 5 → 9 (theirs: many more steps)"] is not None
    assert found["alpha to 0.5"] is None


def test_all_of_a_source_is_another_thing_than_its_last_commit(world: World) -> None:
    world.git("checkout", "-qb", "theirs")
    commit_as(world, spaced(0.1, 5), "worse here")
    commit_as(world, spaced(0.1, 6), "a little better")
    world.git("checkout", "-q", "main")
    adopted(world, "theirs", "--whole", "--tag", "t")
    adopted(world, "theirs")
    assert [e["description"] for e in world.experiments()] == [
        "baseline",
        "all of theirs: 2 commits",
        "worse here",
        "a little better",
    ]
    adopted(world, "theirs", "--whole")
    assert len(world.experiments()) == 4


def test_nothing_of_what_would_run_is_left_out_of_the_preview(world: World) -> None:
    world.git("checkout", "-qb", "theirs")
    commit_as(world, SPACED + 's = "<!--"; import os; os.getcwd()' + " " * 500 + "; os.nice(0)\n", "tidy")
    world.git("checkout", "-q", "main")
    shown = world.ok("adopt", "theirs", "--dry-run", "--diff")
    assert "import os; os.getcwd()" in shown
    assert "os.nice(0)" in shown


def test_a_record_that_measures_what_was_measured_is_refused(world: World, theirs: dict[str, str]) -> None:
    adopted(world, "theirs", "--trust", "--tag", "t")
    world.ok("start", "--resume", "--tag", "t", "--experiments", "1")
    ref = "refs/autoresearch/cpu/t"
    measured = world.git("log", "--format=%H", "--grep", "Record: measurement", ref).splitlines()[0]
    forged = world.git("commit-tree", f"{measured}^{{tree}}", "-p", ref, "-p", f"{measured}^2", "-F", "-",
                       stdin=world.git("log", "-1", "--format=%B", measured).replace("0.98", "5.0"))  # fmt: skip
    world.git("update-ref", ref, forged)
    ran = world.run("log")
    assert ran.code == 1
    assert "which has its number" in ran.err


def test_what_was_taken_on_trust_is_measured_on_the_data_of_the_baseline(world: World) -> None:
    world.commit({"bench.py": "import json, os\nfrom solver import ALPHA\ndata = 'old' if ALPHA == 0.3 else 'new'\n"
                              "open(os.environ['AUTORESEARCH_RESULT'], 'a').write(json.dumps({'score': ALPHA, 'data': data}) + '\\n')\n"
                              "print('score:', ALPHA)\n"}, "a harness that reports")  # fmt: skip
    world.git("checkout", "-qb", "theirs")
    commit_as(world, spaced(0.5, 5), "on other data")
    world.git("checkout", "-q", "main")
    adopted(world, "theirs", "--trust", "--tag", "t")
    ran = world.run("start", "--resume", "--tag", "t", "--experiments", "1")
    assert ran.code == 1
    assert "the data changed since this session's baseline" in ran.err
    assert world.experiments()[1]["score"] is None
