"""A session's append-only chain of records, `refs/autoresearch/<platform>/<tag>`.

The first record opens the session and has no parent. Every later one has the record before it as first parent and the
experiment's commit as second; its message repeats the experiment's trailers, so that one `git log --first-parent` reads
everything, however long the session is. A publication's record has the result commit as second parent.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Author, Experiment, Figure, Session
from autoresearch_git.ledger import trailers
from autoresearch_git.plaintext import one_line
from autoresearch_git.replication import Replication
from autoresearch_git.repository import CommitMessage, Reading, RefChange, Repository

NAMESPACE = "refs/autoresearch/"
RESULT_FILES = ("results.tsv", "progress.png")  # all that a result commit changes


@dataclass(frozen=True)
class Notebook:
    """What a notebook said when it was read. `tip` is the newest record; `inspiration` names the findings that the session had
    read when it was last begun or taken up; `tips` are all commits that the branch has ended in, in order; `opening` is the
    first record, which no other session has; `replications` are others' claims that were measured again on purpose."""

    session: Session
    experiments: tuple[Experiment, ...]
    tip: str
    inspiration: tuple[str, ...] = ()
    tips: tuple[str, ...] = ()
    opening: str = ""
    replications: tuple[Replication, ...] = ()

    @property
    def tried(self) -> int:
        """Experiments besides the baseline."""
        return max(0, len(self.experiments) - 1)

    @property
    def branch_tip(self) -> str:
        """Where the branch ends: at the result commit, or else at the incumbent; empty before the baseline."""
        return self.tips[-1] if self.tips else ""

    @property
    def result(self) -> str:
        """The result commit that the branch ends in; empty where it ends in an experiment."""
        return self.branch_tip if self.branch_tip != (self.incumbent.commit if self.incumbent else "") else ""

    @property
    def incumbent(self) -> Experiment | None:
        """The best kept experiment so far, which the next one must beat."""
        return next((e for e in reversed(self.experiments) if e.status.advances), None)

    @property
    def head(self) -> str:
        """The commit that the next experiment is tried on."""
        return self.incumbent.commit if self.incumbent else self.session.base

    def with_experiment(self, recorded: Experiment) -> Notebook:
        """The notebook after an experiment was recorded."""
        tips = (*self.tips, recorded.commit) if recorded.status.advances else self.tips
        return dataclasses.replace(self, experiments=(*self.experiments, recorded), tip=recorded.record, tips=tips)


def opening(repository: Repository, session: Session) -> RefChange:
    """Make the record that opens the session. The returned change creates the notebook, and fails where it exists."""
    record = repository.commit_tree(f"{session.base}^{{tree}}", [], trailers.session_message(session))
    return RefChange(session.notebook, record, None)


def append(
    repository: Repository, book: Notebook, experiment: Experiment, tree: str, author: Author | None = None
) -> tuple[Experiment, list[RefChange]]:
    """Make the experiment's commit, by its `author` where that is not the user, and its record; nothing is recorded before the
    returned changes are made, together."""
    session = book.session
    commit = repository.commit_tree(tree, [book.head], trailers.experiment_message(session, experiment), author=author)
    record = repository.commit_tree(tree, [book.tip, commit], trailers.record_message(session, experiment))
    changes = [RefChange(session.notebook, record, book.tip)]
    if experiment.status.advances:
        changes.append(RefChange(session.branch, commit, book.branch_tip or None))
    return dataclasses.replace(experiment, commit=commit, record=record, parent=book.head), changes


def append_measurement(repository: Repository, book: Notebook, experiment: Experiment) -> RefChange:
    """Make the record of what an experiment gave that was taken on trust."""
    message = trailers.measurement_message(book.session, experiment)
    record = repository.commit_tree(f"{experiment.commit}^{{tree}}", [book.tip, experiment.commit], message)
    return RefChange(book.session.notebook, record, book.tip)


def append_inspiration(repository: Repository, book: Notebook, findings: Sequence[str]) -> RefChange:
    """Make the record of which findings the session has read; the returned change appends it."""
    record = repository.commit_tree(f"{book.head}^{{tree}}", [book.tip], trailers.inspiration_message(findings))
    return RefChange(book.session.notebook, record, book.tip)


def append_replication(
    repository: Repository,
    book: Notebook,
    replication: Replication,
    tree: str,
    author: Author,
    harness: str,
    platform: Mapping[str, Figure],
) -> RefChange:
    """Make the commit of what was measured, by its author, on the session's base, and the record of what came out."""
    message = trailers.replication_message(book.session, replication, harness, platform)
    commit = repository.commit_tree(tree, [book.session.base], message, author=author)
    return RefChange(book.session.notebook, repository.commit_tree(tree, [book.tip, commit], message), book.tip)


def append_result(repository: Repository, book: Notebook, commit: str) -> list[RefChange]:
    """Make the record of a result commit; the returned changes append it and let the branch end there, together."""
    session = book.session
    record = repository.commit_tree(f"{commit}^{{tree}}", [book.tip, commit], trailers.publication_message(book.tried))
    return [RefChange(session.notebook, record, book.tip), RefChange(session.branch, commit, book.branch_tip or None)]


def read(repository: Reading, ref: str) -> Notebook:
    """The whole notebook, in one git process; its session is named by the ref. Raises AutoresearchError where the chain is not
    one of ours."""
    records = repository.messages(ref)
    try:
        session = _named(trailers.read_session(records[0].text), ref)
        read_before = [found for record in records[1:] if (found := trailers.read_inspiration(record.text))]
        experiments = tuple(_experiments(session, records[1:]))
        return Notebook(
            session,
            experiments,
            tip=records[-1].sha,
            inspiration=read_before[-1] if read_before else (),
            tips=tuple(_tips(records[1:], experiments)),
            opening=records[0].sha,
            replications=tuple(_replications(session, records[1:])),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise AutoresearchError(
            f"{ref} is not a notebook that this version reads: {one_line(repr(error))}", f"git log {ref}"
        ) from error


def _named(session: Session, ref: str) -> Session:
    """The session by the tag that its notebook lies under: whoever published or fetched it may have had another of the name that
    it began with. On what it ran is no name, and stays."""
    name = ref.partition("/autoresearch/")[2]
    tag = name.removeprefix(f"{session.platform}/")
    return session if tag == name else dataclasses.replace(session, tag=tag)


def _experiments(session: Session, records: list[CommitMessage]) -> list[Experiment]:
    experiments: list[Experiment] = []
    head = session.base
    for record in records:
        kind = trailers.parse(record.text).get("Record")
        if kind == ["measurement"]:
            number, value, runs = trailers.read_measurement(record.text)
            if number not in range(len(experiments)) or not _waits(experiments[number]) or not math.isfinite(value):
                raise ValueError(f"record {record.sha[:10]} measures {number:04d}, which has its number or none to come")
            experiments[number] = dataclasses.replace(experiments[number], value=value, measurements=runs)
        if kind != ["experiment"]:
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


def _waits(experiment: Experiment) -> bool:
    """Whether it was taken on trust, and nobody has measured it."""
    return experiment.status.advances and experiment.value is None


def _replications(session: Session, records: list[CommitMessage]) -> Iterator[Replication]:
    for record in records:
        if "Record: replication" in record.text and (found := trailers.read_replication(session.metric.name, record.text)):
            yield found


def _tips(records: list[CommitMessage], experiments: Sequence[Experiment]) -> Iterator[str]:
    """The commits that the branch has ended in: those that were kept, and the results that were published."""
    kept = {e.record for e in experiments if e.status.advances}
    for record in records:
        published = "Record: publication" in record.text and trailers.parse(record.text)["Record"] == ["publication"]
        if published or record.sha in kept:
            yield record.parents[1]


def verify(repository: Reading, ref: str, own: bool = True) -> list[str]:
    """Walk the chain and say everything that does not hold; an empty list proves it whole.

    `own`: its branch must be here too. Whoever fetched the notebook alone has none, and then none is asked for.

    Checked: every object is there; records follow each other; each carries the experiment it names, with the same
    trailers and tree, made on the incumbent of its time; only editable files changed; results were published on the
    incumbent and change nothing else; the branch is the kept chain, with the results on top if they are the latest.
    """
    session = read(repository, ref).session
    missing = repository.missing_objects([ref])
    if missing:
        return [missing]
    records = repository.messages(ref)
    problems = [f"record {r.sha[:10]} does not follow {before.sha[:10]}"
                for before, r in itertools.pairwise(records) if r.parents[:1] != (before.sha,)]  # fmt: skip
    commits = repository.messages_of([*(r.parents[1] for r in records if len(r.parents) == 2), session.base])
    walk = _Walk(session, commits, session.base)
    for record in records[1:]:
        walk.step(record)
    problems += walk.problems
    for (name, allowed), paths in zip(walk.allowed, repository.changed_paths(walk.changes), strict=True):
        if not paths <= set(allowed):
            problems.append(f"{name} changes {', '.join(sorted(paths - set(allowed)))}")
    tip = repository.ref_target(session.branch) or ""
    if tip != walk.tip and (tip or own):
        wanted = f"its notebook ends at {walk.tip[:10]}" if walk.tip else "nothing was kept yet"
        problems.append(f"{session.branch} is at {tip[:10] or 'nothing'}, {wanted}")
    return problems


@dataclass
class _Walk:
    """What a walk along the records knows: the incumbent (`head`) and where the branch ends (`tip`), as of the last step."""

    session: Session
    commits: dict[str, CommitMessage]
    head: str
    tip: str = ""
    number: int = 0
    problems: list[str] = field(default_factory=list)
    changes: list[tuple[str, str]] = field(default_factory=list)  # (tree before, tree after) of each commit
    allowed: list[tuple[str, Sequence[str]]] = field(default_factory=list)  # its name, and the files that it may change

    def step(self, record: CommitMessage) -> None:
        kinds = trailers.parse(record.text).get("Record", [])
        commit = self.commits.get(record.parents[1]) if len(record.parents) == 2 else None
        if "experiment" in kinds:
            self.problems += _record_problems(self.number, record, commit, self.head)
            self._follow(f"{self.number:04d}", commit, self.session.editable)
            if commit and trailers.read_experiment(record.text).status.advances:
                self.head = self.tip = commit.sha
            self.number += 1
        elif "publication" in kinds:
            self.problems += _result_problems(record, commit, self.head if self.number else "")
            self._follow(f"the result commit of record {record.sha[:10]}", commit, RESULT_FILES)
            self.tip = commit.sha if commit else self.tip
        elif "measurement" in kinds:
            name = f"measurement (record {record.sha[:10]})"
            self.problems += _place_problems(name, record, commit, "") if commit else [f"{name} has no commit"]
        elif "replication" in kinds:
            name = f"replication (record {record.sha[:10]})"
            self.problems += _replication_problems(name, record, commit, self.session.base)
            self._follow(name, commit, self.session.editable, self.session.base)

    def _follow(self, name: str, commit: CommitMessage | None, allowed: Sequence[str], parent: str = "") -> None:
        before = self.commits.get(parent or self.head)
        if commit:
            self.changes.append((before.tree if before else commit.tree, commit.tree))
            self.allowed.append((name, allowed))


def _record_problems(number: int, record: CommitMessage, commit: CommitMessage | None, head: str) -> list[str]:
    name = f"{number:04d} (record {record.sha[:10]})"
    if commit is None:
        return [f"{name} has no experiment commit"]
    said, own = trailers.parse(record.text), trailers.parse(commit.text)
    problems = []
    if {k: v for k, v in said.items() if k != "Record"} != own:
        problems.append(f"{name} and its commit {commit.sha[:10]} say different things")
    if int(said["Experiment"][0].rpartition("/")[2]) != number:
        problems.append(f"{name} says that it is {said['Experiment'][0]}")
    return problems + _place_problems(name, record, commit, head)


def _result_problems(record: CommitMessage, commit: CommitMessage | None, head: str) -> list[str]:
    name = f"publication (record {record.sha[:10]})"
    if commit is None or not head:
        return [f"{name} has no {'result commit' if head else 'experiment before it'}"]
    return _place_problems(name, record, commit, head)


def _replication_problems(name: str, record: CommitMessage, commit: CommitMessage | None, base: str) -> list[str]:
    if commit is None:
        return [f"{name} has no commit"]
    differ = trailers.parse(record.text) != trailers.parse(commit.text)
    said = [f"{name} and its commit {commit.sha[:10]} say different things"] if differ else []
    return said + _place_problems(name, record, commit, base)


def _place_problems(name: str, record: CommitMessage, commit: CommitMessage, head: str) -> list[str]:
    problems = []
    if head and commit.parents != (head,):
        problems.append(f"{name}: commit {commit.sha[:10]} was not made on the incumbent {head[:10]}")
    if commit.tree != record.tree:
        problems.append(f"{name} and its commit {commit.sha[:10]} hold different files")
    return problems
