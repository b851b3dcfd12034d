"""What can go wrong while a session runs: kills, ^C, locks, disks, and the user's own repository in any state."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import World, marked_processes, wait_for

pytestmark = pytest.mark.usefixtures("warm")

SLOW = {"LC_BENCH_SLEEP": "60"}


def _fingerprint(root: Path) -> dict[str, str]:
    """Every file of the checkout and the user's own part of .git, by content."""
    found = {}
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).parts
        ours = inside[:2] in ((".git", "autoresearch"), (".git", "worktrees"), (".git", "objects"), (".git", "logs"))
        refs = inside[:3] in ((".git", "refs", "autoresearch"), (".git", "refs", "heads"))
        if path.is_file() and not ours and not refs:
            found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest() + oct(path.stat().st_mode)
    return found


def _consistent(toy: World, count: int) -> None:
    """The record is whole, nothing is doubled, nothing runs any more."""
    assert toy.ok("log", "--verify").startswith(f"ok: {count} experiments")
    experiments = toy.experiments()
    assert [e["number"] for e in experiments] == list(range(count))
    assert len({e["commit"] for e in experiments}) == count
    assert toy.ok("log", "--tsv").encode() == (toy.folder() / "results.tsv").read_bytes()
    assert toy.git("fsck", "--connectivity-only", "--no-dangling") == ""
    assert marked_processes(toy.folder()) == []


def test_sigkill_at_many_moments_loses_and_doubles_nothing(toy: World) -> None:
    toy.configure(baseline_runs="1")
    toy.commit({"solver.py": "ALPHA = 0.3\nN = 5\n" + "".join(f"UNUSED_{c} = 1.5\n" for c in "ABCDEF")})
    moments = random.Random(7)
    process = toy.popen("start", "--tag", "t", "--experiments", "100", env={"LC_BENCH_SLEEP": "0.05"})
    wait_for(lambda: toy.git("rev-parse", "--verify", "-q", "refs/autoresearch/cpu/t", check=False))
    seen: list[str] = []

    def more_than(experiments: int) -> bool:
        """Whether more are recorded; the notebook has one record besides."""
        return int(toy.git("rev-list", "--first-parent", "--count", "refs/autoresearch/cpu/t")) > experiments + 1

    for kill in range(16):
        if kill % 4 == 3:  # however slow the machine is, some research is done between the kills
            wait_for(functools.partial(more_than, len(seen)), 60)
        time.sleep(moments.choice([moments.uniform(0.0, 0.5), moments.uniform(0.5, 1.5)]))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        wait_for(lambda: marked_processes(toy.folder()) == [])
        commits = [str(e["commit"]) for e in toy.experiments()]
        assert commits[: len(seen)] == seen, "an experiment that was recorded is gone"
        seen = commits
        process = toy.popen("start", "--resume", "--tag", "t", "--experiments", "100", env={"LC_BENCH_SLEEP": "0.05"})
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: marked_processes(toy.folder()) == [])
    before = len(toy.experiments())
    assert before > 3, "the kills left no time for research"
    toy.ok("start", "--resume", "--experiments", "1")
    _consistent(toy, before + 1)


def test_a_run_that_was_paid_for_is_not_paid_again(toy: World) -> None:
    """Killed between the first and the second run of an experiment: the first one's number is still used."""
    toy.configure(sandbox="off")  # the runs count themselves in HOME
    toy.commit({"bench.py": "import os, pathlib, time\nfrom solver import ALPHA\n"
                            "seed = int(os.environ['AUTORESEARCH_SEED'])\n"
                            "calls = pathlib.Path(os.environ['HOME'], 'calls')\n"
                            "calls.open('a').write(f'{ALPHA} {seed}\\n')\n"
                            "time.sleep(60 if calls.with_name('slow').exists() and seed == 43 and ALPHA != 0.3 else 0)\n"
                            "print('score:', ALPHA + .1 * (seed % 2))\n"})  # fmt: skip
    home = Path(os.environ["HOME"])
    (home / "slow").touch()
    process = toy.popen("start", "--tag", "t", "--experiments", "20")
    wait_for(
        lambda: (
            (home / "calls").exists()
            and any(line.endswith(" 43") and not line.startswith("0.3 ") for line in (home / "calls").read_text().splitlines())
        )
    )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    inflight = json.loads((toy.folder() / "inflight.json").read_text())
    assert len(inflight["measurements"]) == 1
    (home / "slow").unlink()
    (home / "calls").unlink()
    toy.ok("start", "--resume", "--experiments", "1")
    assert [line.split()[1] for line in (home / "calls").read_text().splitlines()] == ["43"]
    assert len(toy.experiments()[-1]["measurements"]) == 2


def test_interrupt_stops_the_run_and_says_how_to_go_on(toy: World) -> None:
    process = toy.popen("start", "--tag", "t", "--experiments", "5", env=SLOW)
    wait_for(lambda: marked_processes(toy.folder()))
    time.sleep(0.5)
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert err.splitlines()[-1] == "to go on:  git autoresearch start --resume --tag t --experiments 5"
    assert marked_processes(toy.folder()) == []
    assert toy.experiments() == []
    toy.ok("start", "--resume", "--experiments", "2")
    assert all(e["status"] != "crash" for e in toy.experiments())
    _consistent(toy, 3)


def test_stop_ends_a_session_from_another_terminal(toy: World) -> None:
    process = toy.popen("start", "--tag", "t", env=SLOW)
    wait_for(lambda: marked_processes(toy.folder()))
    assert "running" in toy.ok("status")
    assert toy.ok("stop").startswith("session cpu/t stopped")
    assert process.wait(timeout=20) == 130
    process.communicate()
    ran = toy.run("stop")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: session cpu/t is not running")


def test_stop_after_the_experiment_lets_it_finish(toy: World) -> None:
    process = toy.popen("start", "--tag", "t", env={"LC_BENCH_SLEEP": "2"})
    wait_for(lambda: (toy.folder() / "inflight.json").exists() and len(toy.experiments()) >= 1)
    recorded = len(toy.experiments())
    toy.ok("stop", "--after-experiment")
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stopped as asked" in out
    _consistent(toy, recorded + 1)


def test_a_second_start_says_who_holds_the_lock_and_a_dead_holder_does_not(toy: World) -> None:
    process = toy.popen("start", "--tag", "t", env=SLOW)
    wait_for(lambda: marked_processes(toy.folder()))
    ran = toy.run("start", "--resume", "--tag", "t")
    assert ran.code == 1
    assert f"session cpu/t is being worked on by process {process.pid} on " in ran.err
    assert "git autoresearch stop cpu/t" in ran.err
    process.send_signal(signal.SIGKILL)
    process.communicate()
    toy.ok("start", "--resume", "--tag", "t", "--experiments", "1")
    _consistent(toy, 2)


@pytest.mark.parametrize("detach", ["", "os.setsid()"])
def test_no_orphan_survives(toy: World, detach: str) -> None:
    """A child that leaves the process group, and its parent, dies with the run all the same."""
    name = f"orphan_{os.getpid()}_{len(detach)}.py"
    toy.configure(run="{python} " + name)
    toy.commit({name: f"import os, sys, time\nif os.fork() == 0:\n    {detach or 'pass'}\n    if os.fork() == 0:\n"
                            "        os.environ.clear(); time.sleep(300)\n    os._exit(0)\ntime.sleep(.2)\nprint('score: 1')\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "1")
    assert [p.name for p in Path("/proc").glob("[0-9]*") if name.encode() in _cmdline(p)] == []


def _cmdline(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_the_timeout_kills_what_ignores_term(toy: World) -> None:
    toy.commit({"bench.py": "import signal, time\nfrom solver import ALPHA\nprint('started', flush=True)\n"
                            "if ALPHA != 0.3:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    time.sleep(300)\n"
                            "print('score: 1')\n"})  # fmt: skip
    toy.commit({"solver.py": "ALPHA = 0.3\n"})
    started = time.monotonic()
    toy.ok("start", "--tag", "t", "--experiments", "1", "--budget", "1", "--timeout", "1")
    assert time.monotonic() - started < 25
    assert toy.experiments()[1]["status"] == "crash"
    assert toy.experiments()[1]["reason"] == "killed after 1 s, the timeout"
    assert marked_processes(toy.folder()) == []


def test_the_checkout_is_bit_for_bit_the_same(toy: World) -> None:
    """Staged, unstaged and untracked work, a rebase in progress, and hooks that would betray that they ran."""
    trap = toy.root / "hook-ran"
    hooks = toy.root / "hooks"
    hooks.mkdir()
    names = [
        "post-checkout",
        "pre-commit",
        "commit-msg",
        "post-commit",
        "reference-transaction",
        "pre-auto-gc",
        "post-index-change",
    ]
    toy.commit({"solver.py": "ALPHA = 0.4\nN = 5\n"}, "second")
    toy.git("checkout", "-q", "-b", "topic", "HEAD~1")
    toy.commit({"solver.py": "ALPHA = 0.5\nN = 5\n"}, "conflicting")
    toy.git("rebase", "main", check=False)
    assert (toy.root / ".git" / "rebase-merge").exists()
    toy.write({"staged.txt": "s\n", "untracked.txt": "u\n", "README.md": "changed\n"})
    toy.git("add", "staged.txt")
    for name in names:
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> '{trap}'\n")
        (hooks / name).chmod(0o755)
    toy.git("config", "core.hooksPath", "hooks")
    before, status = _fingerprint(toy.root), toy.git("--no-optional-locks", "status", "--porcelain=v2")
    toy.ok("start", "--tag", "t", "--experiments", "3")
    assert _fingerprint(toy.root) == before
    assert toy.git("--no-optional-locks", "status", "--porcelain=v2") == status
    assert not trap.exists()
    assert toy.git("stash", "list") == ""


def test_a_detached_head_and_a_subfolder_are_fine(toy: World) -> None:
    toy.git("checkout", "-q", "--detach")
    (toy.root / "deep").mkdir()
    ran = toy.run("start", "--tag", "t", "--experiments", "1", cwd=toy.root / "deep")
    assert ran.code == 0
    _consistent(toy, 2)


def test_a_bare_repository_and_a_shallow_clone_work(toy: World, tmp_path: Path) -> None:
    toy.commit({".autoresearch.toml": 'metric = "score"\ndirection = "max"\nrun = "{python} bench.py"\neditable = ["solver.py"]\n'})
    for flags in (["--bare"], ["--depth", "1"]):
        clone = tmp_path / f"clone{flags[0]}"
        toy.git("clone", "-q", *flags, f"file://{toy.root}", str(clone))
        world = World(clone)
        assert "4 experiments" not in world.ok("start", "--tag", "t", "--experiments", "2")
        assert world.ok("log", "--verify").startswith("ok: 3 experiments")


def test_a_linked_worktree_of_the_user_shares_the_sessions(toy: World, tmp_path: Path) -> None:
    toy.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    linked = World(tmp_path / "linked")
    linked.ok("start", "--tag", "t", "--experiments", "1")
    _consistent(toy, 2)


def test_without_an_identity_commits_are_ours_and_it_says_so(toy: World) -> None:
    Path(os.environ["HOME"], ".gitconfig").write_text("")
    ran = toy.run("start", "--tag", "t", "--experiments", "1")
    assert ran.code == 0
    assert "note: no git identity is configured" in ran.err
    assert toy.git("log", "-1", "--format=%an", "exp/cpu/t") == "git-autoresearch"


def test_git_environment_of_a_caller_does_not_lead_astray(toy: World, tmp_path: Path) -> None:
    """A hook, or `git --git-dir`, exports GIT_DIR and GIT_INDEX_FILE; the session must not write through them."""
    index = tmp_path / "their-index"
    ran = toy.run("start", "--tag", "t", "--experiments", "1",
                  env={"GIT_DIR": str(toy.root / ".git"), "GIT_INDEX_FILE": str(index), "GIT_PREFIX": "x/"})  # fmt: skip
    assert ran.code == 0, ran.err
    assert not index.exists()
    _consistent(toy, 2)


def test_no_commits_yet(empty: World) -> None:
    ran = empty.run("start")
    assert (ran.code, ran.err) == (
        1,
        "error: this repository has no commits yet\n  try: git add -A && git commit -m 'first commit'\n",
    )


def test_missing_train_py(empty: World) -> None:
    sha = empty.commit({"README.md": "x\n"})
    ran = empty.run("start", "--tag", "t")
    assert ran.code == 1
    assert ran.err.startswith(
        f"error: train.py, which experiments would change, is not in commit {sha[:7]}\n  try: git autoresearch init"
    )
    assert empty.git("for-each-ref", "refs/autoresearch") == ""


def test_an_editable_link_is_refused(toy: World) -> None:
    (toy.root / "solver.py").unlink()
    (toy.root / "solver.py").symlink_to("/etc/passwd")
    toy.git("add", "solver.py")
    toy.git("commit", "-qm", "a link")
    ran = toy.run("start", "--tag", "t")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: solver.py is no regular file")


def test_a_taken_branch_or_session_names_the_way_out(toy: World) -> None:
    toy.git("branch", "exp/cpu/t")
    ran = toy.run("start", "--tag", "t")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: branch exp/cpu/t exists already")
    toy.git("branch", "-D", "exp/cpu/t")
    toy.ok("start", "--tag", "t", "--experiments", "1")
    ran = toy.run("start", "--tag", "t")
    assert ran.err.splitlines() == ["error: session cpu/t exists already",
                                    "  try: git autoresearch start --resume --tag t, or choose another --tag"]  # fmt: skip


def test_a_branch_that_somebody_moved_stops_the_session_and_is_told(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "2")
    tip = toy.git("rev-parse", "exp/cpu/t")
    toy.git("update-ref", "refs/heads/exp/cpu/t", "main")
    ran = toy.run("start", "--resume")
    assert ran.code == 1
    assert "exp/cpu/t is at" in ran.err
    toy.git(*ran.err.splitlines()[1].removeprefix("  try: git ").removesuffix(" puts it back").split())
    assert toy.git("rev-parse", "exp/cpu/t") == tip
    toy.ok("start", "--resume", "--experiments", "1")


def test_uncommitted_changes_to_the_editable_file_are_pointed_out(toy: World) -> None:
    toy.write({"solver.py": "ALPHA = 0.5\nN = 5\n"})
    ran = toy.run("start", "--tag", "t", "--experiments", "1")
    assert "note: your uncommitted changes to solver.py are not part of it" in ran.err
    assert toy.experiments()[0]["score"] == 0.87


def test_a_command_that_is_not_there(toy: World) -> None:
    toy.configure(run="no-such-program --fast")
    ran = toy.run("start", "--tag", "t")
    assert ran.code == 1
    assert ran.err.splitlines()[-2:] == ["error: the command cannot be started: No such file or directory: no-such-program",
                                         "  try: git autoresearch config"]  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a disk")
def test_a_read_only_repository(toy: World, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        world = World(disk / "repo")
        toy.git("clone", "-q", str(toy.root), str(world.root))
        world.configure(metric="score", direction="max", run="{python} bench.py", editable="solver.py")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ran = world.run("start", "--tag", "t")
        assert ran.code == 1
        assert ran.err.splitlines()[-2].startswith("error: the session's folder cannot be written: Read-only file system")
    finally:
        subprocess.run(["umount", "-l", str(disk)])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_loses_nothing(toy: World, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        world = World(disk / "repo")
        toy.git("clone", "-q", str(toy.root), str(world.root))
        world.configure(metric="score", direction="max", run="{python} bench.py", editable="solver.py")
        world.ok("start", "--tag", "t", "--experiments", "2")
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(b"x" * 4096)
        ran = world.run("start", "--resume", "--experiments", "3")
        assert ran.code == 1, ran.err
        assert "No space left" in ran.err or "no space left" in ran.err
        filler.unlink()
        world.ok("start", "--resume", "--experiments", "1")
        assert world.ok("log", "--verify").startswith("ok: 4 experiments")
    finally:
        subprocess.run(["umount", "-l", str(disk)])


def test_a_branch_in_the_way_is_found_before_the_baseline(toy: World) -> None:
    toy.git("branch", "exp")
    ran = toy.run("start", "--tag", "t")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: refs/heads/exp is in the way of refs/heads/exp/cpu/t")
    toy.configure(branch_prefix="autoresearch")
    toy.ok("start", "--tag", "t", "--experiments", "1")
    assert toy.git("rev-parse", "--verify", "-q", "autoresearch/cpu/t")


def test_looking_at_a_session_never_keeps_it_from_starting(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "1")
    watcher = subprocess.Popen(["sh", "-c", "while :; do flock -s -n lock true; sleep 0.003; done"], cwd=toy.folder())
    try:
        for _ in range(3):
            toy.ok("start", "--resume", "--experiments", "1")
    finally:
        watcher.kill()
        watcher.wait()


WIPES_ITSELF = (
    "import os, shutil\nfrom solver import ALPHA\nprint('score:', ALPHA)\n"
    "if ALPHA != 0.3:\n    for name in os.listdir('.'):\n"
    "        shutil.rmtree(name) if os.path.isdir(name) else os.remove(name)\n"
)


def test_a_run_that_deletes_its_worktree_harms_nobody(toy: World, tmp_path: Path) -> None:
    """In a submodule core.worktree is set: git, left to discover, would take the user's checkout for the session's."""
    subprocess.run(["git", "config", "--global", "autoresearch.sandbox", "off"], check=True)  # which would not let it
    toy.commit({"bench.py": WIPES_ITSELF})
    above = World(tmp_path / "above")
    above.root.mkdir()
    above.git("init", "-q")
    above.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(toy.root), "sub")
    sub = World(above.root / "sub")
    sub.configure(metric="score", direction="max", run="{python} bench.py", editable="solver.py")
    sub.write({"notes.txt": "mine\n", "README.md": "changed\n"})
    status = sub.git("status", "--porcelain=v2", "--branch")
    sub.ok("start", "--tag", "t", "--experiments", "3")
    assert sub.git("status", "--porcelain=v2", "--branch") == status
    assert (sub.root / "notes.txt").read_text() == "mine\n"
    assert sub.experiments()[1]["reason"].startswith("the run changed bench.py")


def test_a_run_cannot_hide_a_changed_harness_from_later_runs(toy: World) -> None:
    toy.configure(sandbox="off")
    toy.commit({"bench.py": "import subprocess, sys\nfrom solver import ALPHA\nprint('score:', ALPHA)\nif ALPHA != 0.3:\n"
                            "    subprocess.run(['git', 'update-index', '--skip-worktree', 'bench.py'])\n"
                            "    open('bench.py', 'w').write('print(\"score: 99\")')\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "4")
    assert not any(e["score"] == 99 for e in toy.experiments())
    assert any(e["reason"] == "the run changed bench.py" for e in toy.experiments())


def test_a_branch_left_one_keep_behind_is_moved_on(toy: World) -> None:
    """git renames the refs of a transaction one after the other; a power cut may come between."""
    toy.ok("start", "--tag", "t", "--experiments", "8")
    kept = [e["commit"] for e in toy.experiments() if e["status"] in ("baseline", "keep")]
    toy.git("update-ref", "refs/heads/exp/cpu/t", str(kept[-2]))
    toy.ok("start", "--resume", "--experiments", "1")
    assert toy.ok("log", "--verify").startswith("ok")


def test_a_moved_a_copied_and_a_damaged_repository_resume(toy: World, tmp_path: Path) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "1")
    shutil.copytree(toy.root, tmp_path / "copy", symlinks=True)
    copy = World(tmp_path / "copy")
    copy.ok("start", "--resume", "--experiments", "1")
    assert (len(copy.experiments()), len(toy.experiments())) == (3, 2)
    (toy.folder() / "worktree" / ".git").unlink()
    toy.ok("start", "--resume", "--experiments", "1")
    toy.root.rename(tmp_path / "moved")
    moved = World(tmp_path / "moved")
    moved.ok("start", "--resume", "--experiments", "1")
    assert moved.ok("log", "--verify").startswith("ok: 4 experiments")


def test_a_fetched_notebook_is_not_run_unasked(toy: World, tmp_path: Path) -> None:
    subprocess.run(["git", "config", "--global", "autoresearch.sandbox", "off"], check=True)  # which would hide HOME
    evil = World(tmp_path / "evil")
    toy.git("clone", "-q", str(toy.root), str(evil.root))
    evil.configure(metric="score", direction="max", run="touch $HOME/pwned; echo score: 1", editable="solver.py")
    evil.ok("start", "--tag", "theirs", "--experiments", "1")
    (Path(os.environ["HOME"]) / "pwned").unlink()
    toy.git("fetch", "-q", str(evil.root), "refs/autoresearch/*:refs/autoresearch/*")
    ran = toy.run("start", "--resume")
    assert ran.code == 1
    assert "it would run: touch $HOME/pwned" in ran.err
    toy.ok("start", "--tag", "mine", "--experiments", "1")
    toy.ok("start", "--resume", "--experiments", "1")
    assert not (Path(os.environ["HOME"]) / "pwned").exists()


def test_a_branch_that_the_user_looks_at_is_not_moved(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "1")
    toy.git("checkout", "-q", "exp/cpu/t")
    ran = toy.run("start", "--resume")
    assert ran.code == 1
    assert ran.err.splitlines()[0] == f"error: branch exp/cpu/t is checked out at {toy.root}; it would move under your feet"
    toy.git(*ran.err.splitlines()[1].removeprefix("  try: git ").split())
    toy.ok("start", "--resume", "--experiments", "1")


def test_interrupt_while_a_run_is_being_killed_is_heard(toy: World) -> None:
    toy.commit({"bench.py": "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(300)\n"})
    process = toy.popen("start", "--tag", "t", "--experiments", "5", "--budget", "1", "--timeout", "1")
    wait_for(lambda: marked_processes(toy.folder()))
    time.sleep(2.5)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "to go on:" in err
    assert marked_processes(toy.folder()) == []


def test_an_editable_file_that_is_no_utf8_is_named_before_anything_runs(toy: World) -> None:
    (toy.root / "solver.py").write_bytes(b"# caf\xe9\nALPHA = 0.3\n")
    toy.git("commit", "-qam", "latin-1")
    ran = toy.run("start", "--tag", "t")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: solver.py is not UTF-8 text without a byte order mark")


def test_a_sparse_checkout_does_not_make_the_session_sparse(toy: World) -> None:
    toy.commit(
        {"deep/helper.py": "K = 1\n", "bench.py": "import sys\nsys.path.insert(0, 'deep')\nimport helper\nprint('score: 1')\n"}
    )
    toy.git("sparse-checkout", "set", "nothing")
    toy.ok("start", "--tag", "t", "--experiments", "1")


def test_a_token_in_the_command_is_refused_as_it_would_be_recorded(toy: World) -> None:
    toy.configure(run="HF_TOKEN=hf_" + "a" * 30 + " {python} bench.py")
    ran = toy.run("start", "--tag", "t")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: run holds what looks like a token, and would be recorded")
    assert "hf_aaa" not in ran.err
