"""Where a claim stands: what a session says of one source of others' commits, in a comment below it. Pure, but for the template.

The comment begins with a record block, which the next reader's program counts, and a mark by which the next run finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git import rendering
from autoresearch_git.community import record
from autoresearch_git.community.record import Record
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Measurement
from autoresearch_git.publishing import claims, paragraphs, wording
from autoresearch_git.publishing.claims import Tried
from autoresearch_git.publishing.pages import FILTERS, LONGEST_BODY, length
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place, as_published
from autoresearch_git.replication import Outcome, Replication

TEMPLATE = "comment.md.j2"
MOST_TOLD = 20  # replications in the record, and rows of the table: the last ones, as a reader takes the last word
MEANINGS = {
    Outcome.CONFIRMED: "it is better here, and not by chance",
    Outcome.NOT_RESOLVED: "both nothing and what was claimed are still possible; more runs would tell",
    Outcome.NOT_REPRODUCED: "what was claimed is ruled out here; that it does nothing is not",
    Outcome.CONTRADICTED: "it is worse here, and not by chance",
}


@dataclass(frozen=True)
class Row:
    """One thing that was measured of a source. `runs` says how many, `sandbox` what held them, empty where they do not tell."""

    what: str
    commit: str
    claimed: float | None
    measured: float | None
    error: float | None
    outcome: str
    runs: str
    sandbox: str


@dataclass(frozen=True)
class Standing:
    """Where the claim of one source stands. `word` is the last one on it, `told` what the record says, `rows` everything that was
    measured of it, `hardware` what on."""

    key: str
    word: Replication
    told: tuple[record.Replication, ...]
    rows: tuple[Row, ...]
    hardware: str

    @property
    def meaning(self) -> str:
        return MEANINGS[self.word.outcome]

    @property
    def line(self) -> str:
        """It in a few words."""
        word = self.word
        claimed = "nothing known was claimed" if word.claimed is None else f"claimed {wording.change(word.claimed)}"
        here = "its runs crashed" if word.measured is None else f"here {wording.plus_minus(word.measured, word.error)}"
        return f"{word.word}: {claimed}, {here} on {self.hardware}"


def standings(paper: Paper) -> list[Standing]:
    """Those of every source whose commits were all adopted and measured, or that was measured again, in order."""
    told: dict[str, list[record.Replication]] = {}
    for replication in claims.replications(paper.results, paper.tried, paper.again):
        told.setdefault(replication.of, []).append(replication)
    adopted = claims.by_source(paper.tried)
    return [_standing(paper, key, several, adopted.get(key, [])) for key, several in told.items()]


def _standing(paper: Paper, key: str, told: Sequence[record.Replication], adopted: Sequence[Tried]) -> Standing:
    summed = claims.together(paper.results, key, adopted)
    again = sorted((replication for replication in paper.again if replication.of == key), key=lambda one: one.whole)
    word = next((one for one in reversed(again) if one.outcome is not Outcome.CRASHED), summed)
    assert word
    rows = [*_adopted(adopted, summed), *map(_repeated, again)]
    return Standing(key, word, tuple(told), tuple(rows), _hardware(paper, paper.results.baseline))


def _adopted(adopted: Sequence[Tried], summed: Replication | None) -> Iterator[Row]:
    """The commits, then what they came to together; of one commit that alone, as it is the word that counts."""
    for one in adopted:
        experiment, result = one.result.experiment, one.result
        sha = claims.adopted(experiment.adopted_from)[1]
        outcome = str(summed.outcome) if summed and len(adopted) == 1 and summed.measured is not None else one.outcome
        yield Row(experiment.description, sha, one.claimed, result.delta, result.error, outcome,
                  wording.count(len(experiment.measurements), "run"), _sandbox(experiment.measurements))  # fmt: skip
    if summed and len(adopted) > 1:
        yield Row("together", "", summed.claimed, summed.measured, summed.error, str(summed.outcome), "", "")


def _repeated(one: Replication) -> Row:
    what = "all of it" if one.whole else one.description
    runs = f"{wording.count(len(one.tip), 'run')}, {len(one.base)} without it"
    return Row(what, one.commit, one.claimed, one.measured, one.error, one.word, runs, _sandbox((*one.base, *one.tip)))


def _sandbox(runs: Sequence[Measurement]) -> str:
    """What held the runs, as the lab noted it."""
    found = (run.figures.get("sandbox") for run in runs)
    return ", ".join(dict.fromkeys(wording.plain(kind) for kind in found if kind is not None))


def _hardware(paper: Paper, experiment: Experiment) -> str:
    """`H100 (NVIDIA H100 80GB HBM3)`."""
    named = experiment.platform.get("gpu") or experiment.platform.get("cpu")
    return f"{paper.session.platform} ({named})" if named else paper.session.platform


def unspoken(paper: Paper) -> list[str]:
    """The sources of which something was measured, and nothing can be said of what they claim."""
    told = {standing.key for standing in standings(paper)}
    return [key for key in claims.by_source(paper.tried) if key not in told]


# -- as it is posted ----------------------------------------------------------------------------------------------------


def mark(key: str, identity: str) -> str:
    """What the comment of a session on a source holds, and no other comment does."""
    return f"<!-- git-autoresearch comment {key} {identity} -->"


def render(standing: Standing, paper: Paper, place: Place, templates: Path | None) -> str:
    """The comment. Raises AutoresearchError where the user's own template cannot be rendered, or is too long."""
    head = f"{record.write(_record(standing, paper, place))}\n{mark(standing.key, paper.identity)}\n"
    values = {"standing": standing, "paper": paper, "place": place, "rows": standing.rows[-MOST_TOLD:]}
    body = head + paragraphs.joined(rendering.render(TEMPLATE, templates, FILTERS, **values))
    if length(body) > LONGEST_BODY:
        raise AutoresearchError(f"{TEMPLATE} gives {length(body):,} characters; GitHub takes {LONGEST_BODY:,}",
                                "shorten your template")  # fmt: skip
    return body


def _record(standing: Standing, paper: Paper, place: Place) -> Record:
    session = paper.session
    facts = {name: str(value) for name, value in paper.results.baseline.platform.items() if name in ("gpu", "cpu")}
    return Record(
        session=as_published(session, place.branch).name,
        identity=paper.identity,
        metric=session.metric,
        platform={"name": session.platform, **facts},
        replications=standing.told[-MOST_TOLD:],
    )
