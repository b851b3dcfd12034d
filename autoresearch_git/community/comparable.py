"""May this number stand beside mine? A verdict on a finding, with its reasons.

Five minutes on another device, with another evaluator, on other data or for another metric are another number. What cannot
be told counts against a comparison: a ranking that guesses is worse than a short one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from autoresearch_git.community.branches import remembered
from autoresearch_git.community.findings import Finding
from autoresearch_git.community.record import Replication
from autoresearch_git.experiment import Metric

# Evaluators that give the same number: blobs of karpathy/autoresearch's prepare.py at 8a5c486, 777e443 and 09ebea4, which
# differ in the number of download workers and one assert. Earlier ones are not in it: baa6515 has another validation shard,
# dd95c16 takes its constants from another file.
EQUIVALENT = (
    frozenset(
        {
            "62d63ce26863bdf306652acc68401a5cbd479da0",
            "62607b9af9024c2af7625b743d65b57fe86fc676",
            "06bea9165abd3ae94ea82dd733997aec7928f40c",
        }
    ),
)


OWN = "yours"
MOST_NAMED = 3  # files in one reason
SELF_REPORTED, REPRODUCED, CONTRADICTED = "self-reported", "reproduced", "contradicted"


@dataclass(frozen=True)
class Here:
    """What a number of this repository on this machine means. `files` are path → blob of its harness, without lock files;
    `data` is empty where no session has run here; `own` are the commits of its sessions."""

    metric: Metric
    platform: str
    budget: float
    files: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    own: frozenset[str] = frozenset()

    def owns(self, finding: Finding) -> bool:
        """Whether it tells of a session of this repository: nobody is inspired by themselves. A record can be copied, a head
        cannot, so a record's word counts only for what has no head."""
        return (finding.report.head or finding.record.head) in self.own


@dataclass(frozen=True)
class Reason:
    """One aspect: `ok` is None where it cannot be told, which counts as no."""

    aspect: str
    ok: bool | None
    text: str


@dataclass(frozen=True)
class Comparability:
    reasons: tuple[Reason, ...]
    evidence: str  # self-reported, reproduced ×N, contradicted; the last two also `at an earlier state`, or after `yours`

    @property
    def comparable(self) -> bool:
        return all(reason.ok for reason in self.reasons)

    @property
    def sound(self) -> bool:
        """Whether its differences mean something, though its absolute numbers may not stand beside ours: same metric, own
        evaluator untouched, nothing impossible, not contradicted."""
        return all(r.ok is not False for r in self.reasons if r.aspect in ("metric", "own evaluator", "values", "evidence"))

    @property
    def proven(self) -> bool:
        """Sound, and of a commit whose evaluator was looked at: good enough to be tried without anybody's judgement."""
        return self.sound and all(r.ok for r in self.reasons if r.aspect in ("own evaluator", "evidence", "values"))

    @property
    def why_not(self) -> str:
        return "; ".join(reason.text for reason in self.reasons if not reason.ok)


def compare(finding: Finding, here: Here, replications: Iterable[Replication] = ()) -> Comparability:
    """The verdict on a finding for this place. `replications` are those that others published of it."""
    word = evidence_of(finding, replications)
    reasons = (
        _metric(finding, here),
        _untouched(finding, here),
        _evaluator(finding, here),
        _data(finding, here),
        _budget(finding, here),
        _hardware(finding, here),
        Reason("values", not finding.doubts, "; ".join(finding.doubts) or "its values are possible"),
        _repeated(word),
        _result(finding),
    )
    own = f"{OWN}, {word.outcome} ×{word.times}{word.when}" if word.times else OWN
    return Comparability(reasons, own if here.owns(finding) else str(word))


@dataclass(frozen=True)
class Word:
    """What others say together of a claim that they measured again; `times` is how many, and `earlier` of what it was before."""

    outcome: str = SELF_REPORTED
    times: int = 0
    earlier: bool = False

    def __str__(self) -> str:
        return f"{self.outcome}{f' ×{self.times}' if self.outcome == REPRODUCED else ''}{self.when}"

    @property
    def when(self) -> str:
        return " at an earlier state" if self.earlier else ""


def evidence_of(finding: Finding, replications: Iterable[Replication]) -> Word:
    """The evidence level that replications by others give a finding. Those of another training time say nothing of its number.
    Those of a state that it has left speak of that one alone; but what was contradicted is not mended by one more commit."""
    counted = [r for r in replications if not other_budget(finding.budget, r.budget_seconds)]
    for earlier in (False, True):
        outcomes = [r.outcome for r in counted if is_current(finding, r) is not earlier]
        confirmed, contradicted = outcomes.count("confirmed"), outcomes.count(CONTRADICTED)
        if contradicted and contradicted >= confirmed:
            return Word(CONTRADICTED, contradicted, earlier)
        if confirmed:
            return Word(REPRODUCED, confirmed, earlier)
    return Word()


def is_current(finding: Finding, replication: Replication) -> bool:
    """Whether a replication measured what the finding claims now, and not what its branch was before."""
    return not (finding.states and replication.commit) or replication.commit in finding.states


def other_budget(theirs: float | None, ours: float | None) -> str:
    """Why two training times give numbers that may not stand beside each other; empty where they may, or nobody knows."""
    if theirs is None or ours is None or theirs == ours:
        return ""
    return f"its runs train {theirs:g} s, ours {ours:g} s: another number"


def _repeated(word: Word) -> Reason:
    if word.outcome == CONTRADICTED:
        return Reason("evidence", False, f"others could not repeat {'an earlier state of ' if word.earlier else ''}it")
    return Reason("evidence", True, "nobody contradicts it")


def _result(finding: Finding) -> Reason:
    if finding.best is None:
        return Reason("result", False, "it gives no number")
    if finding.withdrawn:
        return Reason("result", False, "whoever posted it took it back")
    told = finding.source != "title"
    return Reason("result", told, "it has a result" if told else "nothing but a title or a sentence says its result")


def _metric(finding: Finding, here: Here) -> Reason:
    same = finding.metric == here.metric
    told = f"{finding.metric.name} ({finding.metric.direction})"
    return Reason(
        "metric",
        same,
        f"the metric is {told}" if same else f"its metric is {told}, ours {here.metric.name} ({here.metric.direction})",
    )


def _untouched(finding: Finding, here: Here) -> Reason:
    if not finding.files or finding.metric.name != here.metric.name:
        return Reason("own evaluator", None, "there is no evaluator of its that could be looked at")
    found = touched(finding, here)
    return Reason(
        "own evaluator",
        not found,
        f"it changes {_some(found)}, which measures" if found else "its evaluator is untouched",
    )


def touched(finding: Finding, here: Here) -> list[str]:
    """The files that measure here and that its branch has changed into others than ours: it may have brought ours along."""
    changed = (path for path in finding.changed if path in here.files)
    return [path for path in changed if not _same_blob(here.files[path], finding.files.get(path, ""))]


def _evaluator(finding: Finding, here: Here) -> Reason:
    if finding.metric.name != here.metric.name:
        return Reason("evaluator", None, f"what measures its {finding.metric.name} is unknown")
    if not here.files:
        return Reason("evaluator", None, f"this repository has no file that measures {here.metric.name}")
    if not finding.files:  # a fingerprint that a record claims is no proof
        return Reason("evaluator", None, "its evaluator is unknown")
    known = remembered(here.files, finding.files)
    other = [path for path in known if not _same_blob(here.files[path], finding.files.get(path, ""))]
    if not known:
        return Reason("evaluator", None, f"nothing of what measures {here.metric.name} here can be looked at there")
    if other:
        return Reason("evaluator", False, f"it does not have our {_some(other)}")
    return Reason("evaluator", True, f"it has our {_some(known)}, or one that measures the same")


def _some(paths: Sequence[str]) -> str:
    """Three of the paths, and how many more there are."""
    rest = len(paths) - MOST_NAMED
    return ", ".join(paths[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _same_blob(one: str, other: str) -> bool:
    return measures_as(one) == measures_as(other)


def measures_as(blob: str) -> str:
    """One blob for all evaluators that give the same number."""
    return next((min(group) for group in EQUIVALENT if blob in group), blob)


def _data(finding: Finding, here: Here) -> Reason:
    told = finding.record.data
    if told and here.data:
        return Reason(
            "data", told == here.data, "the same data and tokenizer" if told == here.data else "its data or tokenizer is another"
        )
    if told:
        return Reason("data", None, "which data is used here is not known before a session has run")
    same = _evaluator(finding, here).ok
    return Reason("data", same or None, "the data of the same evaluator" if same else "its data is unknown")


def _budget(finding: Finding, here: Here) -> Reason:
    if finding.budget is None:
        return Reason("budget", None, "it does not say how long a run trained")
    same = finding.budget == here.budget
    return Reason("budget", same, f"its runs train {finding.budget:g} s" + ("" if same else f", ours {here.budget:g} s"))


def _hardware(finding: Finding, here: Here) -> Reason:
    if not finding.platform:
        return Reason("hardware", None, "it does not say on what hardware")
    same = finding.platform.upper() == here.platform.upper()
    return Reason("hardware", same, f"it ran on {finding.platform}" + ("" if same else f", we are on {here.platform}"))
