"""A session's append-only chain of records, `refs/autoresearch/<platform>/<tag>`.

The first record opens the session and has no parent. Every later one has the record before it as first parent and the
experiment's commit as second; its message repeats the experiment's trailers, so that one `git log --first-parent` reads
everything, however long the session is.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Session
from autoresearch_git.ledger import trailers
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import CommitMessage, Reading, RefChange, Repository

NAMESPACE = "refs/autoresearch/"


@dataclass(frozen=True)
class Notebook:
    """What a notebook said when it was read. `tip` is the newest record; `inspiration` names the findings that the session had
    read when it was last begun or taken up."""

    session: Session
    experiments: tuple[Experiment, ...]
    tip: str
    inspiration: tuple[str, ...] = ()

    @property
    def incumbent(self) -> Experiment | None:
        """The best kept experiment so far, which the next one must beat."""
        return next((e for e in reversed(self.experiments) if e.status.advances), None)

    @property
    def head(self) -> str:
        """The commit that the next experiment is tried on."""
        return self.incumbent.commit if self.incumbent else self.session.base


def opening(repository: Repository, session: Session) -> RefChange:
    """Make the record that opens the session. The returned change creates the notebook, and fails where it exists."""
    record = repository.commit_tree(f"{session.base}^{{tree}}", [], trailers.session_message(session))
    return RefChange(session.notebook, record, None)


def append(repository: Repository, book: Notebook, experiment: Experiment, tree: str) -> tuple[Experiment, list[RefChange]]:
    """Make the experiment's commit and its record; nothing is recorded before the returned changes are made, together."""
    session = book.session
    commit = repository.commit_tree(tree, [book.head], trailers.experiment_message(session, experiment))
    record = repository.commit_tree(tree, [book.tip, commit], trailers.record_message(session, experiment))
    changes = [RefChange(session.notebook, record, book.tip)]
    if experiment.status.advances:
        changes.append(RefChange(session.branch, commit, book.incumbent.commit if book.incumbent else None))
    return dataclasses.replace(experiment, commit=commit, record=record, parent=book.head), changes


def append_inspiration(repository: Repository, book: Notebook, findings: Sequence[str]) -> RefChange:
    """Make the record of which findings the session has read; the returned change appends it."""
    record = repository.commit_tree(f"{book.head}^{{tree}}", [book.tip], trailers.inspiration_message(findings))
    return RefChange(book.session.notebook, record, book.tip)


def read(repository: Reading, ref: str) -> Notebook:
    """The whole notebook, in one git process. Raises AutoresearchError where the chain is not one of ours."""
    records = repository.messages(ref)
    try:
        session = trailers.read_session(records[0].text)
        read_before = [found for record in records[1:] if (found := trailers.read_inspiration(record.text))]
        return Notebook(session, tuple(_experiments(session, records[1:])), records[-1].sha, *read_before[-1:])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise AutoresearchError(
            f"{ref} is not a notebook that this version reads: {one_line(repr(error))}", f"git log {ref}"
        ) from error


def _experiments(session: Session, records: list[CommitMessage]) -> list[Experiment]:
    experiments = []
    head = session.base
    for record in records:
        if trailers.parse(record.text).get("Record") != ["experiment"]:
            continue  # a later fact about an experiment, which is read where it is needed
        experiment = dataclasses.replace(
            trailers.read_experiment(record.text),
            parent=head,
            commit=record.parents[1],
            record=record.sha,
            seconds_since_epoch=record.seconds_since_epoch,
        )
        experiments.append(experiment)
        if experiment.status.advances:
            head = experiment.commit
    return experiments


def verify(repository: Reading, ref: str) -> list[str]:
    """Walk the chain and say everything that does not hold; an empty list proves it whole.

    Checked: every object is there; records follow each other; each carries the experiment it names, with the same
    trailers and tree, made on the incumbent of its time; only editable files changed; the branch is the kept chain.
    """
    session = read(repository, ref).session
    missing = repository.missing_objects([ref])
    if missing:
        return [missing]
    records = repository.messages(ref)
    kept = [r for r in records[1:] if "experiment" in trailers.parse(r.text).get("Record", [])]
    commits = repository.messages_of([*(r.parents[1] for r in kept if len(r.parents) == 2), session.base])
    problems = [f"record {r.sha[:10]} does not follow {before.sha[:10]}"
                for before, r in itertools.pairwise(records) if r.parents[:1] != (before.sha,)]  # fmt: skip
    head = session.base
    changes: list[tuple[str, str]] = []
    for number, record in enumerate(kept):
        problems += _record_problems(number, record, commits, head)
        commit = commits.get(record.parents[1]) if len(record.parents) == 2 else None
        if commit is None:
            continue
        changes.append((commits[head].tree if head in commits else commit.tree, commit.tree))
        if trailers.read_experiment(record.text).status.advances:
            head = commit.sha
    for number, paths in enumerate(repository.changed_paths(changes)):
        if not paths <= set(session.editable):
            problems.append(f"{number:04d} changes {', '.join(sorted(paths - set(session.editable)))}")
    tip = repository.ref_target(session.branch)
    if tip != (head if kept else None):
        problems.append(f"{session.branch} is at {(tip or 'nothing')[:10]}, the last kept experiment is {head[:10]}")
    return problems


def _record_problems(number: int, record: CommitMessage, commits: dict[str, CommitMessage], head: str) -> list[str]:
    name = f"{number:04d} (record {record.sha[:10]})"
    commit = commits.get(record.parents[1]) if len(record.parents) == 2 else None
    if commit is None:
        return [f"{name} has no experiment commit"]
    said, own = trailers.parse(record.text), trailers.parse(commit.text)
    problems = []
    if {k: v for k, v in said.items() if k != "Record"} != own:
        problems.append(f"{name} and its commit {commit.sha[:10]} say different things")
    if int(said["Experiment"][0].rpartition("/")[2]) != number:
        problems.append(f"{name} says that it is {said['Experiment'][0]}")
    if commit.parents != (head,):
        problems.append(f"{name}: commit {commit.sha[:10]} was not made on the incumbent {head[:10]}")
    if commit.tree != record.tree:
        problems.append(f"{name} and its commit {commit.sha[:10]} hold different files")
    return problems
