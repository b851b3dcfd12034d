"""What a source offers to take over: its commits one by one, with author, claim and text, and which of them may not be taken.

Everything is read from objects at a pinned commit: no tree of a stranger is checked out, no file of theirs is run. A commit
may be taken if it changes editable files alone, and those are plain text of a size that a person can read.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoresearch_git.community.branches import Branch, BranchCommit
from autoresearch_git.community.evidence import EvidenceReader
from autoresearch_git.community.findings import Claim, Finding, read_findings
from autoresearch_git.community.reports import Report
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import LARGEST_FILE, Author, Metric, Status
from autoresearch_git.lab.harness import is_prose
from autoresearch_git.plaintext import is_hidden, one_line
from autoresearch_git.repository import ChangedFiles, FileChange, Store

_CRUD = " .,:;<>\"\\'"  # git takes it off both ends of a name, and refuses what is nothing else
MOST_STEPS = 1_000


@dataclass(frozen=True)
class Source:
    """Where commits are taken from. `key` is how findings name it (`owner/name#44`, `owner/name@exp/H100/mar8`), or what the
    user called it; `head` and `base` are commits in the store: what lies after `base` is offered. `below` is where its hub's refs
    lie in the store, empty for what only this repository has; `report` is what the library knows of it. `note` says what the user
    might take it for and is not, or empty."""

    key: str
    head: str
    base: str
    report: Report
    below: str = ""
    note: str = ""


class Fate(str, enum.Enum):
    """What became of a commit where it was made."""

    KEPT = "keep"  # measured there and kept; or never told, but still on the branch
    DISCARDED = "discard"
    UNMEASURED = "never measured"  # though others of the branch were
    UNDONE = "taken back"  # by a later commit
    NO_EXPERIMENT = "no experiment"  # it changes no editable file, or takes another commit back


@dataclass(frozen=True)
class Step:
    """One commit of a source. `before` and `after` are the texts of the editable files that it changes, at its parent and at
    itself; a file that is new has no text before. `beside` are those that it leaves alone. `base` is where the step begins if it is
    not a commit but all of a source. `refused` says why it may not be taken, and is empty where it may."""

    sha: str
    description: str
    author: Author
    fate: Fate
    claim: Claim | None = None
    changed: tuple[str, ...] = ()
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    refused: str = ""

    @property
    def label(self) -> str:
        """What tells it from every other step: its commit, or where it begins and ends."""
        return f"{self.base}..{self.sha}" if self.base else self.sha

    @property
    def claimed(self) -> float | None:
        """What it is said to have changed the metric by, as `value after − value before`."""
        return self.claim.delta if self.claim else None

    @property
    def takes(self) -> bool:
        """Whether it is taken unless the user says otherwise."""
        return self.fate is Fate.KEPT and not self.refused


@dataclass(frozen=True)
class Offer:
    """A source's commits, the oldest first, `whole` as one step from the base to the head, and what its finding says of them."""

    source: Source
    metric: Metric
    steps: tuple[Step, ...]
    whole: Step
    finding: Finding | None = None

    @property
    def kept(self) -> list[Step]:
        """The steps that were kept there, also those that may not be taken."""
        return [step for step in self.steps if step.fate is Fate.KEPT]

    @property
    def start(self) -> dict[str, str]:
        """The editable files that its steps change, as they were before the first of them."""
        return {path: text for step in reversed(self.steps) for path, text in step.before.items()}

    def place(self, step: Step) -> tuple[int, int]:
        """Which of its kept steps that is, from 1, and of how many; 0 for one that was not kept. `whole` is the one of one."""
        if step.label == self.whole.label:
            return 1, 1
        labels = [kept.label for kept in self.kept]
        return labels.index(step.label) + 1 if step.label in labels else 0, len(labels)

    def named(self, word: str) -> Step:
        """The step that a (short) sha names. Raises AutoresearchError where not exactly one does."""
        found = [step for step in self.steps if len(word) >= 4 and step.sha.startswith(word.lower())]
        if len(found) != 1:
            what = "more than one commit" if found else "no commit"
            raise AutoresearchError(f"{one_line(word, 60)!r} is {what} of {self.source.key}", "--dry-run lists them")
        return found[0]


def read_offer(store: Store, reader: EvidenceReader, source: Source) -> Offer:
    """What the source offers. Raises AutoresearchError where there is nothing after its base."""
    report = dataclasses.replace(source.report, head=source.head)
    evidence = reader.read(source.below, [report], source.base)[0]
    began = _began(store, evidence.branch)
    if began and began != source.base:  # what its author had on top of the trunk is no part of the session
        source = dataclasses.replace(source, base=began)
        evidence = reader.read(source.below, [report], began)[0]
    branch = evidence.branch
    if branch is None or not branch.commits:
        raise AutoresearchError(f"{source.key} has no commits of its own after {source.base[:10] or 'the beginning'}",
                                "name what is wanted as a range: git autoresearch adopt BASE..TIP")  # fmt: skip
    found = [f for f in read_findings(evidence, reader.wanted) if f.metric.name == reader.wanted.name]
    finding = found[0] if found else None
    claims = {claim.sha: claim for claim in finding.claims if claim.sha} if finding else {}
    steps = _steps(store, branch, claims, reader.editable)
    return Offer(source, reader.wanted, steps, _whole(store, source, branch, steps, finding, reader.editable), finding)


def _began(store: Store, branch: Branch | None) -> str:
    """The commit that a session's branch grew from: the parent of its first baseline; empty where there is no baseline."""
    commits = branch.commits if branch else ()
    first = next((c.sha for c in commits if c.own and c.told and c.told.status is Status.BASELINE), None)
    return next(iter(store.messages_of([first])[first].parents), "") if first else ""


def _steps(store: Store, branch: Branch, claims: Mapping[str, Claim], editable: Sequence[str]) -> tuple[Step, ...]:
    own = [c for c in branch.commits if c.own][-MOST_STEPS:]
    messages = store.messages_of(c.sha for c in own)
    authors = store.authors(messages)
    pairs = [(messages[c.sha].parents[0] if messages[c.sha].parents else "", c.sha) for c in own]
    changes = store.changed_files(pairs)
    texts = _Texts(store, changes, editable)
    return tuple(
        Step(
            sha=commit.sha,
            description=one_line(commit.subject),
            author=_plain(authors.get(commit.sha)),
            fate=_fate(commit, claims.get(commit.sha), bool(claims)),
            claim=claims.get(commit.sha),
            beside=_beside(store, commit.sha, files, editable),
            **texts.sides(files),
        )
        for commit, files in zip(own, changes, strict=True)
    )


def _beside(store: Store, commit: str, files: ChangedFiles, editable: Sequence[str]) -> dict[str, str]:
    """The editable files that a commit leaves alone, as they are there."""
    others = {path: store.read_file(commit, path, LARGEST_FILE) for path in editable if path not in files and len(editable) > 1}
    return {path: content.decode(errors="replace") for path, content in others.items() if content is not None}


def _whole(
    store: Store, source: Source, branch: Branch, steps: Sequence[Step], finding: Finding | None, editable: Sequence[str]
) -> Step:
    """Everything from the base to the head, by the author of most of it."""
    authors = [step.author for step in steps if step.after]
    names = [(author.name, author.email) for author in authors]
    most = max(authors, key=lambda author: names.count((author.name, author.email)), default=_plain(None))
    files = ChangedFiles(branch.changed)
    return Step(
        sha=source.head,
        description=f"all of {source.key}: {len(authors)} commit{'s' * (len(authors) != 1)}",
        author=dataclasses.replace(most, seconds_since_epoch=max((a.seconds_since_epoch for a in authors), default=0)),
        fate=Fate.KEPT,
        claim=Claim("", "keep", finding.best, _claimed(steps, finding), finding.source) if finding else None,
        beside=_beside(store, source.head, files, editable),
        base=branch.base or source.base,
        **_Texts(store, [files], editable).sides(files),
    )


def _fate(commit: BranchCommit, claim: Claim | None, measured: bool) -> Fate:
    if not commit.tries or (claim and claim.status == "baseline"):
        return Fate.NO_EXPERIMENT
    if commit.undone:
        return Fate.UNMEASURED if measured and not claim else Fate.UNDONE
    if claim is None:
        return Fate.UNMEASURED if measured else Fate.KEPT
    return Fate.KEPT if claim.status == "keep" else Fate.DISCARDED


def _plain(author: Author | None) -> Author:
    """An author that git takes and that no terminal obeys."""
    given = author or Author("", "", 0)
    name, email = (
        one_line(text, 400).translate({ord(c): None for c in "<>"})[:100].strip(_CRUD) for text in (given.name, given.email)
    )
    return Author(name or "unknown", email or "unknown@localhost", max(0, given.seconds_since_epoch))


def _claimed(steps: Sequence[Step], finding: Finding) -> float | None:
    """What the kept steps are said to have changed together: of a part of a branch, not what its whole table says."""
    kept = [step.claimed for step in steps if step.fate is Fate.KEPT]
    if finding and finding.delta is not None and len(kept) == finding.counts.get("keep"):
        return finding.delta  # its own total: of the steps each is rounded
    return math.fsum(change or 0.0 for change in kept) if kept and None not in kept else None


# -- what may not be taken --------------------------------------------------------------------------------------------


class _Texts:
    """The texts of editable files that commits speak of, and why one of them may not be taken."""

    def __init__(self, store: Store, commits: Sequence[ChangedFiles], editable: Sequence[str]) -> None:
        self._editable = editable
        changes = [change for files in commits for path, change in files.items() if path in editable]
        self._found = dict(store.read_blobs((blob for change in changes for blob in (change.blob, change.old_blob)), LARGEST_FILE))

    def sides(self, files: ChangedFiles) -> dict[str, Any]:
        """The fields of a step that its changed files tell."""
        edited = {path: files[path] for path in self._editable if path in files}
        return {
            "changed": tuple(sorted(files)),
            "before": {path: self.text(change.old_blob) for path, change in edited.items() if change.old_mode != "000000"},
            "after": {path: self.text(change.blob) for path, change in edited.items()},
            "refused": _refusal(files, edited, self),
        }

    def text(self, blob: str) -> str:
        return self._found.get(blob, b"").decode(errors="replace")

    def problem(self, change: FileChange) -> str:
        """Why what a file becomes cannot be taken; hidden characters that were there before are nobody's trick."""
        if change.blob not in self._found:
            return f"is larger than {LARGEST_FILE >> 10} KiB, or is missing"
        try:
            text = self._found[change.blob].decode()
        except UnicodeDecodeError:
            return "is no UTF-8 text"
        if "\0" in text or text.startswith("\ufeff"):
            return "holds a NUL byte or a byte order mark"
        known = set(self.text(change.old_blob).replace("\r\n", "\n").split("\n"))
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
            hidden = next((c for c in line if c != "\t" and is_hidden(c)), "")
            if hidden and line not in known:
                return f"hides the character U+{ord(hidden):04X} in line {number}"
        return ""


def _refusal(files: ChangedFiles, edited: Mapping[str, FileChange], texts: _Texts) -> str:
    others = [path for path in sorted(files) if path not in edited and not is_prose(path)]
    if not edited:
        return "it changes no editable file"
    if others or not files.complete:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        return f"it also changes {', '.join(one_line(path, 60) for path in others[:3])}{more}" if others else "it changes too much"
    for path, change in edited.items():
        if change.mode == "000000":
            return f"it deletes {path}"
        if not change.mode.startswith("100"):
            return f"it makes {path} a {'link' if change.mode == '120000' else 'directory or submodule'}"
        if problem := texts.problem(change):
            return f"its {path} {problem}"
    return ""
