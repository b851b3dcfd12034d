"""The results of a session on top of its branch: published, dropped by the next keep, and never lost or doubled."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import World, marked_processes, wait_for
from notebooks import publish_result

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.ledger.result import result_commit
from autoresearch_git.repository import open_repository

pytestmark = pytest.mark.usefixtures("warm")

BRANCH, NOTEBOOK = "refs/heads/exp/cpu/t", "refs/autoresearch/cpu/t"
AT_ONCE = {"AUTORESEARCH_HOURS": "0.0000000001"}  # a start that ends before its next experiment
PICTURE = b"\x89PNG\r\n\x1a\n\0\xff"


def publish(world: World, mine: bool = False) -> Notebook:
    return publish_result(open_repository(world.root), "cpu/t", lambda book: {"progress.png": PICTURE}, mine)


def snapshot(folder: Path) -> dict[str, str]:
    """Every file that is the user's: the checkout, the index, the settings, the stash; by its hash."""
    ours = (".git/autoresearch", ".git/worktrees", ".git/objects", ".git/logs", ".git/refs/autoresearch", ".git/refs/heads/exp")
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    return {name: hashlib.sha256(p.read_bytes()).hexdigest() for name, p in found.items() if not name.startswith(ours)}


@pytest.fixture
def session(toy: World) -> World:
    """A session of three experiments, the last of which was kept."""
    toy.commit({".gitignore": "__pycache__/\nresults.tsv\n"})
    toy.ok("start", "--tag", "t", "--experiments", "3")
    return toy


def test_the_results_lie_on_the_branch_and_the_notebook_says_so(session: World, tmp_path: Path) -> None:
    trap = tmp_path / "hook-ran"
    (tmp_path / "hooks").mkdir()
    for name in ("reference-transaction", "post-index-change", "pre-commit", "post-commit"):
        (tmp_path / "hooks" / name).write_text(f"#!/bin/sh\ntouch '{trap}'\n")
        (tmp_path / "hooks" / name).chmod(0o755)
    session.git("config", "core.hooksPath", str(tmp_path / "hooks"))
    session.git("config", "commit.gpgSign", "true")
    session.write({"README.md": "staged\n", "results.tsv": "my own notes\n"})
    session.git("-c", "core.hooksPath=/dev/null", "add", "README.md")
    before, kept = snapshot(session.root), session.git("rev-parse", "exp/cpu/t")
    book = publish(session)
    assert snapshot(session.root) == before
    assert not trap.exists()
    tip = session.git("rev-parse", "exp/cpu/t")
    assert book.result == tip
    assert session.git("rev-list", "--parents", "-1", tip).split() == [tip, kept]
    assert session.git("diff", "--name-only", kept, tip).split() == ["progress.png", "results.tsv"]
    assert session.git("show", f"{tip}:results.tsv") + "\n" == session.ok("log", "--tsv")
    assert subprocess.run(["git", "show", f"{tip}:progress.png"], cwd=session.root, capture_output=True).stdout == PICTURE
    assert session.git("log", "-1", "--format=%s", tip).startswith("results: score 0.870000 → 0.")
    assert session.git("log", "-1", "--format=%s%n%(trailers)", NOTEBOOK).splitlines() == [
        "publication: results of 3 experiments", "Autoresearch-Record: publication",
    ]  # fmt: skip
    assert session.git("rev-parse", f"{NOTEBOOK}^2") == tip
    assert session.ok("log", "--verify").startswith("ok: 4 experiments")
    assert len(session.experiments()) == 4


def test_publishing_again_does_nothing_until_there_is_something_new(session: World) -> None:
    book = publish(session)
    session.git("checkout", "-q", "exp/cpu/t")  # nothing moves under the user's feet

    def never(_: Notebook) -> dict[str, bytes]:
        raise AssertionError("the picture is not needed")

    assert publish_result(open_repository(session.root), "cpu/t", never) == book
    session.git("checkout", "-q", "main")
    time.sleep(1.1)
    repository = open_repository(session.root)
    assert result_commit(repository, book, {"progress.png": PICTURE}) == book.result  # the same results, the same commit
    with pytest.raises(ValueError, match=r"solver\.py"):
        result_commit(repository, book, {"solver.py": "ALPHA = 1\n"})


def test_the_next_keep_takes_the_place_of_the_results(session: World) -> None:
    """It is made on the incumbent; the results that it drops stay in the notebook, which is published once more."""
    kept = session.git("rev-parse", "exp/cpu/t")
    first = publish(session)
    session.ok("start", "--resume", "--experiments", "7")
    later = [str(e["commit"]) for e in session.experiments()[4:] if e["status"] == "keep"]
    assert later
    assert session.git("rev-list", "--reverse", f"{kept}..exp/cpu/t").split() == later
    assert first.result in session.git("rev-list", NOTEBOOK).split()
    assert session.ok("log", "--verify").startswith("ok: 11 experiments")
    second = publish(session)
    assert session.git("rev-parse", "exp/cpu/t^") == later[-1]
    assert session.git("show", f"{second.result}:results.tsv") + "\n" == session.ok("log", "--tsv")
    assert session.ok("log", "--verify").startswith("ok: 11 experiments")
    assert session.git("fsck", "--connectivity-only", "--no-dangling") == ""


def test_after_discards_alone_the_results_are_replaced(session: World) -> None:
    session.commit({"bench.py": "print('score:', 0)\n"})
    session.ok("start", "--tag", "u", "--experiments", "1")
    repository = open_repository(session.root)
    first = publish_result(repository, "cpu/u", lambda book: {})
    session.ok("start", "--resume", "--tag", "u", "--experiments", "1")
    assert session.git("rev-parse", "exp/cpu/u") == first.result
    assert session.ok("log", "u", "--verify").startswith("ok: 3 experiments")
    second = publish_result(repository, "cpu/u", lambda book: {})
    assert session.git("rev-parse", "exp/cpu/u") == second.result != first.result
    assert session.git("rev-parse", f"{first.result}^") == session.git("rev-parse", f"{second.result}^")
    assert session.ok("log", "u", "--verify").startswith("ok: 3 experiments")


def test_a_branch_that_was_left_one_step_behind_is_moved_on(session: World) -> None:
    """git was killed after it had moved the notebook, and before the branch: with a publication, and with a keep after it."""
    kept = session.git("rev-parse", "exp/cpu/t")
    result = publish(session).result
    lock = session.root / ".git" / f"{BRANCH}.lock"
    for behind in (["update-ref", BRANCH, kept], ["update-ref", "-d", BRANCH]):
        session.git(*behind)
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
        assert publish(session).result == result
        assert session.git("rev-parse", "exp/cpu/t") == result
    session.git("update-ref", BRANCH, kept)
    session.ok("start", "--resume", env=AT_ONCE)
    assert session.git("rev-parse", "exp/cpu/t") == result
    while session.git("rev-parse", "exp/cpu/t") == result:
        session.ok("start", "--resume", "--experiments", "1")
    then = session.git("rev-parse", "exp/cpu/t")
    session.git("update-ref", BRANCH, result)
    session.ok("start", "--resume", env=AT_ONCE)
    assert session.git("rev-parse", "exp/cpu/t") == then == session.experiments()[-1]["commit"]
    assert session.ok("log", "--verify").startswith("ok: ")


def test_kills_while_publishing_lose_and_double_nothing(session: World) -> None:
    program = (f"import os, sys; from pathlib import Path; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
               "from notebooks import publish_result\n"
               "from autoresearch_git.repository import open_repository\n"
               "publish_result(open_repository(Path('.')), 'cpu/t', lambda book: {'progress.png': os.urandom(9)})\n")  # fmt: skip
    moments = random.Random(11)
    before = session.git("rev-parse", NOTEBOOK, "exp/cpu/t").split()
    for _ in range(6):
        for ref, sha in zip((NOTEBOOK, BRANCH), before, strict=True):
            session.git("update-ref", ref, sha)
        process = subprocess.Popen([sys.executable, "-c", program], cwd=session.root, start_new_session=True)
        time.sleep(moments.uniform(0.25, 0.6))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        session.ok("start", "--resume", env=AT_ONCE)
        assert session.ok("log", "--verify").startswith("ok: 4 experiments")
    publish(session)
    assert session.git("show", "exp/cpu/t:results.tsv") + "\n" == session.ok("log", "--tsv")
    assert session.git("log", "--format=%s", "--first-parent", NOTEBOOK).count("publication: ") == 1


# -- when nothing is published ----------------------------------------------------------------------------------


def refused(world: World, mine: bool = False) -> tuple[str, str]:
    """What is said where nothing may be published, and that nothing was."""
    before = world.git("for-each-ref")
    with pytest.raises(AutoresearchError) as error:
        publish(world, mine)
    assert world.git("for-each-ref") == before
    return error.value.message, error.value.hint


def test_a_branch_that_somebody_moved_or_works_on_is_left_alone(session: World) -> None:
    tip = session.git("rev-parse", "exp/cpu/t")
    session.git("update-ref", BRANCH, "main")
    message, hint = refused(session)
    assert message.startswith("exp/cpu/t is at ")
    session.git(*hint.removeprefix("git ").removesuffix(" puts it back").split())
    assert session.git("rev-parse", "exp/cpu/t") == tip
    session.git("checkout", "-q", "exp/cpu/t")
    assert refused(session)[0].startswith("branch exp/cpu/t is checked out at ")


def test_a_session_that_runs_is_not_published(session: World) -> None:
    process = session.popen("start", "--resume", "--experiments", "1", env={"LC_BENCH_SLEEP": "60"})
    wait_for(lambda: marked_processes(session.folder()))
    message, hint = refused(session)
    assert message.startswith(f"session cpu/t is being worked on by process {process.pid} on ")
    assert hint == "git autoresearch stop cpu/t, publish, then git autoresearch start --resume"
    session.ok("stop")
    process.communicate(timeout=20)
    publish(session)


def test_a_baseline_alone_has_results_and_less_has_none(toy: World) -> None:
    (toy.root / "bench.py").rename(toy.root / "later")
    toy.commit({"bench.py": "raise SystemExit('no data')\n"})
    toy.run("start", "--tag", "t")
    message, hint = refused(toy)
    assert message == "session cpu/t has no baseline yet, so it has no results"
    assert hint == "git autoresearch start --resume --tag t"
    toy.git("update-ref", "-d", NOTEBOOK)
    toy.commit({"bench.py": (toy.root / "later").read_text()})
    toy.ok("start", "--tag", "t", env=AT_ONCE)
    publish(toy)
    assert len(toy.git("show", "exp/cpu/t:results.tsv").splitlines()) == 2
    assert toy.git("log", "-1", "--format=%s", "exp/cpu/t") == "results: score 0.870000 → 0.870000 in 0 experiments"
    assert toy.ok("log", "--verify").startswith("ok: 1 experiments")


def test_a_session_of_somebody_else_is_published_only_if_it_is_said_to_be_mine(session: World, tmp_path: Path) -> None:
    """Nor does that make its command one that may be run here."""
    other = World(tmp_path / "other", session.zygote)
    session.git("clone", "-q", str(session.root), str(other.root))
    other.git("fetch", "-q", "origin", "refs/autoresearch/*:refs/autoresearch/*")
    message, hint = refused(other)
    assert message == "session cpu/t was not begun here, so it may be somebody else's"
    assert "--mine" in hint
    assert not (other.root / ".git" / "autoresearch").exists()
    publish(other, mine=True)
    assert other.ok("log", "--verify").startswith("ok: 4 experiments")
    assert "was not begun here" in other.run("start", "--resume", "--tag", "t").err
    shutil.rmtree(other.folder())
    other.ok("start", "--resume", "--tag", "t", "--trust", env=AT_ONCE)
    publish(other)


def test_a_notebook_moves_the_branch_of_its_own_name_alone(session: World) -> None:
    """A stranger's notebook could have begun under any name of ours."""
    ours = session.git("rev-parse", "exp/cpu/t")
    session.git("update-ref", "refs/autoresearch/cpu/t2", NOTEBOOK)
    result = publish_result(open_repository(session.root), "cpu/t2", lambda book: {}, mine=True).result
    assert (session.git("rev-parse", "exp/cpu/t2"), session.git("rev-parse", "exp/cpu/t")) == (result, ours)


def test_a_notebook_of_other_hardware_publishes_nothing(session: World) -> None:
    session.git("update-ref", "refs/autoresearch/H100/t", NOTEBOOK)
    with pytest.raises(AutoresearchError, match="refs/autoresearch/H100/t is of a session on cpu"):
        publish_result(open_repository(session.root), "H100/t", lambda book: {}, mine=True)


# -- verify -----------------------------------------------------------------------------------------------------


def forge(world: World, tree: str, parent: str, record_tree: str = "") -> None:
    """Publish a commit of one's own making, as only a hand that knows git could."""
    commit = world.git("commit-tree", tree, "-p", parent, "-m", "results")
    record = world.git("commit-tree", record_tree or tree, "-p", NOTEBOOK, "-p", commit,
                       "-m", "publication: results of 3 experiments\n\nAutoresearch-Record: publication")  # fmt: skip
    world.git("update-ref", NOTEBOOK, record)
    world.git("update-ref", BRANCH, commit)


@pytest.mark.parametrize("case", ["other files", "another parent", "another tree"])
def test_verify_finds_a_publication_that_is_none(session: World, case: str) -> None:
    kept = session.git("rev-parse", "exp/cpu/t")
    tree, base = f"{kept}^{{tree}}", session.git("rev-parse", "main")
    if case == "other files":
        forge(session, session.git("rev-parse", "main^{tree}"), kept)
        told = " changes solver.py"
    elif case == "another parent":
        forge(session, tree, base)
        told = f"was not made on the incumbent {kept[:10]}"
    else:
        forge(session, tree, kept, "main^{tree}")
        told = "hold different files"
    ran = session.run("log", "--verify")
    assert ran.code == 1
    (line,) = ran.out.splitlines()
    assert line.startswith("broken: ")
    assert line.endswith(told)
    assert ran.err.startswith(f"error: {NOTEBOOK} is not whole: 1 problems")


def test_verify_finds_a_branch_without_its_results(session: World) -> None:
    kept, result = session.git("rev-parse", "exp/cpu/t"), publish(session).result
    session.git("update-ref", BRANCH, kept)
    assert session.run("log", "--verify").out == f"broken: {BRANCH} is at {kept[:10]}, its notebook ends at {result[:10]}\n"
    assert json.loads(session.ok("status", "--json"))[0]["best_commit"] == kept
