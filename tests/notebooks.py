"""Sessions written straight into a repository: what no sweep would propose, and more experiments than a test can run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from conftest import SOLVER, World

from autoresearch_git.experiment import Experiment, Measurement, Metric, Session, Status
from autoresearch_git.ledger import result, trailers
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.repository import Repository


def experiment(
    number: int, status: Status, description: str, value: float | None, reason: str = "", inspired_by: str = ""
) -> Experiment:
    """An experiment as it was measured here; the baseline twice, so that the noise is known."""
    figures = {"wall_seconds": 1.5, "num_steps": 953}
    values = (value - 0.0001, value + 0.0001) if number == 0 and value else (value,)
    runs = tuple(Measurement(v, 42 + n, figures, crash="" if v is not None else "exit 1") for n, v in enumerate(values))
    return Experiment(number, status, description, value, runs, reason, researcher="sweep", inspired_by=inspired_by,
                      harness="sha256:" + "0" * 64, platform={"cpu": "toy", "cores": 2})  # fmt: skip


def write_session(
    world: World, tag: str, experiments: Sequence[Experiment], texts: Sequence[str] = (), metric: str = "score"
) -> None:
    """A notebook and its branch, as `start` would have written them, and as if it had been begun here. `texts` are solver.py in
    each experiment. A description stands as it is, however long: whoever wrote the notebook need not have used our program."""
    base = world.git("rev-parse", "HEAD")
    session = Session("cpu", tag, base, Metric(metric, "max"), "{python} bench.py", ("solver.py",), 300, 600)
    files = world.git("ls-tree", "-r", base).splitlines()
    plain = "".join("M {0} {2} {3}\n".format(*row.split()) for row in files)
    stream: list[str] = []

    def commit(mark: int, message: str, parents: list[str], tree: str) -> None:
        size = len(message.encode())
        stream.append(f"commit refs/scratch\nmark :{mark}\ncommitter Ada <ada@example.org> {1_772_000_000 + mark} +0000\n")
        stream.append(f"data {size}\n{message}\n" + "".join(f"{w} {p}\n" for w, p in zip(("from", "merge"), parents, strict=False)))
        stream.append(f"deleteall\n{tree}\n")

    commit(1, trailers.session_message(session), [], plain)
    stream[0] = "reset refs/scratch\n" + stream[0]
    tip, head = ":1", base
    for e, text in zip(experiments, texts or [SOLVER] * len(experiments), strict=True):
        raw = text.encode()
        tree = plain + f"M 100644 inline solver.py\ndata {len(raw)}\n{text}\n"
        mark = 2 * e.number + 2
        for n, message, parents in ((mark, trailers.experiment_message(session, e), [head]),
                                    (mark + 1, trailers.record_message(session, e), [tip, f":{mark}"])):  # fmt: skip
            subject, _, rest = message.partition("\n")
            said = subject.partition(": ")[0] + ": " if n != mark else ""
            commit(n, f"{said}{e.description}\n{rest}", parents, tree)
        tip, head = f":{mark + 1}", f":{mark}" if e.status.advances else head
    stream.append(f"reset {session.notebook}\nfrom {tip}\n\nreset {session.branch}\nfrom {head}\n\n")
    done = subprocess.run(
        ["git", "fast-import", "--quiet", "--force"], cwd=world.root, input="".join(stream).encode(), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    world.git("update-ref", "-d", "refs/scratch")
    (world.folder(session.name) / "logs").mkdir(parents=True)


def publish_result(repository: Repository, name: str, make: Callable[[Notebook], result.Files], mine: bool = False) -> Notebook:
    """What `publish` does to a session before it asks anybody: its branch ends in a commit of its results. `make` gives the files
    beside the table, where something is new."""
    with result.held(repository, name, mine) as book:
        if result.is_published(repository, book):
            return book
        return result.land(repository, book, result.result_commit(repository, book, make(book)))
