"""What the tool itself costs: seconds per experiment outside the run, with an empty and a long notebook, and `-h`.

    python bench/loop_overhead.py [--records 10000] [--experiments 20] [--json]

A session is driven with a command that only prints its metric. Its overhead is the wall time of the session's
experiments less that of the bare command, each measured in the same minute on the same machine. The long notebook is
made with `git fast-import` and holds the messages that a session writes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from autoresearch_git.experiment import Experiment, Measurement, Metric, Session, Status
from autoresearch_git.ledger import notebook, trailers
from autoresearch_git.repository import open_repository

COMMAND = "/bin/echo score: 1"
CONSTANTS = "".join(f"C{i} = 1.5\n" for i in range(400))


def git(root: Path, *arguments: str, stdin: bytes | None = None) -> str:
    return subprocess.run(["git", *arguments], cwd=root, input=stdin, capture_output=True, check=True).stdout.decode().strip()


def make_repository(root: Path) -> None:
    root.mkdir()
    git(root, "init", "-q")
    (root / "solver.py").write_text(CONSTANTS)
    git(root, "add", "solver.py")
    git(root, "-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "base")
    for name, value in (("metric", "score"), ("run", COMMAND), ("editable", "solver.py"), ("judge", "strict")):
        git(root, "config", f"autoresearch.{name}", value)


def fill_notebook(root: Path, records: int) -> None:
    """A session with `records` experiments, one in ten kept, as `start` would have written it."""
    base = git(root, "rev-parse", "HEAD")
    session = Session("cpu", "bench", base, Metric("score", "min"), COMMAND, ("solver.py",), 300, 600, judge="strict")
    out: list[bytes] = []
    who = "b <b@b> 1700000000 +0000"

    def commit(mark: int, message: str, first: str, second: str, ref: str) -> None:
        text = message.encode()
        out.append(f"commit {ref}\nmark :{mark}\ncommitter {who}\ndata {len(text)}\n".encode() + text + b"\n")
        out.append(
            "".join(f"{word} {commitish}\n" for word, commitish in (("from", first), ("merge", second)) if commitish).encode()
        )

    scratch, book = "refs/bench/experiment", session.notebook
    commit(1, trailers.session_message(session), "", "", book)
    out.append(f"M 100644 {git(root, 'rev-parse', 'HEAD:solver.py')} solver.py\n".encode())
    tip, head = ":1", base
    for number in range(records):
        status = Status.BASELINE if number == 0 else Status.KEEP if number % 10 == 0 else Status.DISCARD
        value = 2.0 - number * 1e-5
        experiment = Experiment(
            number, status, f"C{number % 400} {1.5 + number / 1e4:.4f} → {1.6 + number / 1e4:.4f}", value,
            (Measurement(value, 42, {"num_steps": 953.0, "training_seconds": 300.1, "wall_seconds": 325.9}),),
            "0.01 worse", "", "sweep", harness="sha256:" + "0" * 64, platform={"cpu": "bench", "cores": 2},
        )  # fmt: skip
        commit(2 * number + 2, trailers.experiment_message(session, experiment), head, "", scratch)
        commit(2 * number + 3, trailers.record_message(session, experiment), tip, f":{2 * number + 2}", book)
        tip = f":{2 * number + 3}"
        head = f":{2 * number + 2}" if status.advances else head
    out.append(f"reset {session.branch}\nfrom {head}\n\n".encode())
    git(root, "fast-import", "--quiet", stdin=b"".join(out))


def session_seconds(root: Path, experiments: int, *options: str) -> float:
    """Wall seconds of one start or resume with so many experiments."""
    started = time.monotonic()
    subprocess.run(["git-autoresearch", "start", "--tag", "bench", "--experiments", str(experiments), *options],
                   cwd=root, capture_output=True, check=True)  # fmt: skip
    return time.monotonic() - started


def per_experiment(root: Path, experiments: int, *options: str) -> float:
    """Seconds that one more experiment takes: the difference of a long and a short session, so start-up cancels."""
    short = session_seconds(root, 1, *options)
    long = session_seconds(root, 1 + experiments, "--resume")
    return (long - short) / experiments


def command_seconds(runs: int) -> float:
    times = []
    for _ in range(runs):
        started = time.monotonic()
        subprocess.run(COMMAND.split(), capture_output=True, check=True)
        times.append(time.monotonic() - started)
    return statistics.median(times)


def help_cpu_ms(runs: int) -> float:
    times = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(["git-autoresearch", "-h"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    return statistics.median(times)


def read_ms(root: Path) -> float:
    repository = open_repository(root)
    started = time.monotonic()
    notebook.read(repository, "refs/autoresearch/cpu/bench")
    return (time.monotonic() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--experiments", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name in [n for n in os.environ if re.match(r"AUTORESEARCH_|GIT_", n)]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        fresh, full = Path(folder, "fresh"), Path(folder, "full")
        make_repository(fresh)
        make_repository(full)
        fill_notebook(full, options.records)
        bare = command_seconds(20)
        result = {
            "experiments": options.experiments,
            "records": options.records,
            "overhead_seconds_empty": round(per_experiment(fresh, options.experiments) - bare, 4),
            "overhead_seconds_full": round(per_experiment(full, options.experiments, "--resume", "--trust") - bare, 4),
            "read_ms_full": round(read_ms(full), 1),
            "help_cpu_ms": round(help_cpu_ms(10), 1),
        }
    if options.json:
        print(json.dumps(result))
        return
    print(f"overhead {result['overhead_seconds_empty']:.3f} s per experiment with an empty notebook, "
          f"{result['overhead_seconds_full']:.3f} s with {options.records} records "
          f"(read in {result['read_ms_full']:.0f} ms); -h takes {result['help_cpu_ms']:.0f} ms of CPU")  # fmt: skip


if __name__ == "__main__":
    main()
