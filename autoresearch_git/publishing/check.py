"""Hold a paper against the commits: every commit that it names exists, every number in it is the session's.

The paper is rendered anew, and a line that is one of ours is right; one that differs from ours in its numbers or commits alone
is wrong. In any other line, the user's notes among them, a number is looked for where it belongs. In a row or a sentence that
names an experiment's commit it must be a number of that experiment; in the row of a constant or a figure, of that one; anywhere
else one of the session's headline: baseline, best, what was kept, counts, noise, budget, configuration. It matches where the
recorded number rounds to it. Pure but for the commits, which the caller looks up.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from autoresearch_git.community import record
from autoresearch_git.community.record import Estimate, Record
from autoresearch_git.experiment import Metric
from autoresearch_git.publishing import pages, wording
from autoresearch_git.publishing.known import TOKEN, Known
from autoresearch_git.publishing.pages import record_of
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place, notebook_beside
from autoresearch_git.publishing.results import Result

_SHA = re.compile(
    r"(?<![\w/:.-])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{7,40}(?![\w-])|(?<=`)[0-9]{7,40}(?=`)|(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])"
)
_NO_NUMBERS = re.compile(  # addresses and link targets, digests; of spans of code a commit, a command, a ref or path, a file
    r"https?://\S+|\]\([^)]*\)|sha256:[0-9a-f]+"
    r"|`(?:[0-9a-f]{7,64}|(?:git|gh|python3?|uv|pip) [^`]*|(?=[^`\s]*[A-Za-z])[^`\s]*/[^`\s]*|[\w-]+\.[A-Za-z]\w*)`"
)
_COMMAND = re.compile(r"\s*(?:\$ |(?:git|gh|cd|python3?|uv|pip) )")
_LIST_NUMBER = re.compile(r"^\s*\d+[.)]\s")
_ADDRESS = re.compile(r"\]\([^)]*\)|https?://\S+")
# What may differ between two lines that say the same of different things: commits and digests, and numbers anywhere.
_VARIES = re.compile(
    r"sha256:[0-9a-f]+|(?<![\w.])[0-9a-f]{7,40}(?![\w.])|[+−-]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:e[+−-]?\d+(?!\w))?"
)
_ESCAPED = re.compile(r"\\([\\`*\[\]|~$<>_#+=.)-])")


Exists = Callable[[Iterable[str]], set[str]]  # those of some (short) shas that are commits here


def problems(paper: Paper, text: str, exists: Exists) -> list[str]:
    """What does not hold, a line each; empty where everything does."""
    ours = _Ours(_ours(paper, text))
    found = (*_sha_problems(paper, text, ours, exists), *_number_problems(paper, text, ours))
    return [*_record_problems(paper, text), *(f"line {place}: {wrong}" for place, wrong in found)]


def problems_of_notes(paper: Paper, exists: Exists) -> list[str]:
    """The same of the user's own words before they are posted, each beginning with its line there and a colon."""
    ours = _Ours("")
    found = (*_sha_problems(paper, paper.notes, ours, exists), *_number_problems(paper, paper.notes, ours))
    return [f"{place}: {wrong}" for place, wrong in found]


def _sha_problems(paper: Paper, text: str, ours: _Ours, exists: Exists) -> Iterator[tuple[int, str]]:
    elsewhere = _elsewhere(paper)
    shas: dict[str, int] = {}  # with the line that names it first
    for place, line in enumerate(text.split("\n"), start=1):
        for match in _SHA.finditer(line if line not in ours else ""):
            if match[0] not in elsewhere:
                shas.setdefault(match[0], place)
    there = exists(shas)
    yield from ((place, f"{sha} is no commit of this repository") for sha, place in shas.items() if sha not in there)


def _elsewhere(paper: Paper) -> set[str]:
    """Commits of others that the session's own record names: they need not be here."""
    sources = (*(tried.finding for tried in paper.tried), *paper.adopted_from, *(one.commit for one in paper.again))
    return {match[0] for source in sources for match in _SHA.finditer(source)}


# -- lines of ours ------------------------------------------------------------------------------------------------------


class _Ours:
    """The lines that a paper of this session has, to tell a line that is one of them from one that nearly is."""

    def __init__(self, text: str) -> None:
        self._alike: dict[str, list[list[str]]] = {}  # the line without what varies → what stands there
        for line in text.split("\n"):
            shape, values = _shape(line)
            if values:
                self._alike.setdefault(shape, []).append(values)

    def __contains__(self, line: str) -> bool:
        shape, values = _shape(line)
        return values in self._alike.get(shape, ())

    def differs(self, line: str) -> list[tuple[str, str]]:
        """(what it says, what the session says) where the line is one of ours but for numbers and commits; empty elsewhere.

        Of several that are alike the nearest counts."""
        shape, values = _shape(line)
        told = [[(a, b) for a, b in zip(values, mine, strict=True) if a != b] for mine in self._alike.get(shape, ())]
        return min(told, key=len, default=[])


def _shape(line: str) -> tuple[str, list[str]]:
    line = _ADDRESS.sub("", line).strip()
    return _VARIES.sub("#", line), _VARIES.findall(line)


def _ours(paper: Paper, text: str) -> str:
    """Every line that both bodies may have, as they would be rendered for the place that the text's record names; but for the
    user's notes, which nobody but they wrote."""
    paper = dataclasses.replace(paper, notes="")
    try:
        told = record.read(text) or Record()
    except record.BrokenRecordError:
        told = Record()
    place = _place(paper, told)
    page = pages.render(paper, place)
    return "\n".join((page.paper, page.pull, pages.complete(paper, place)))


def _place(paper: Paper, told: Record) -> Place:
    """Where a body was posted, by its record. Without the notebook it names no commit of what was not kept."""
    web = f"https://github.com/{told.repository}" if told.repository else ""
    kept_back = any(not claim.commit for claim in told.findings)
    beside = "" if kept_back else notebook_beside(paper.session, told.branch)
    return Place(told.repository, told.repository, web, told.branch, beside, told.head)


# -- the record ---------------------------------------------------------------------------------------------------------


def _record_problems(paper: Paper, text: str) -> Iterator[str]:
    try:
        told = record.read(text)
    except record.BrokenRecordError as error:
        yield str(error)
        return
    if told is None:
        yield "it does not begin with a record"
        return
    written = record.write(record_of(paper, _place(paper, told), 10**9))
    ours = record.read(written)  # as a reader has it: on one line, and cut to size
    assert ours is not None
    for name in (f.name for f in dataclasses.fields(Record)):
        if name not in ("findings", "replications") and getattr(told, name) != getattr(ours, name):
            yield f"its record says {name} {_in_words(getattr(told, name))}; the session says {_in_words(getattr(ours, name))}"
    known = {(claim.commit, claim.description): claim for claim in ours.findings}
    for claim in told.findings:
        if claim != known.get((claim.commit, claim.description)):
            what = claim.commit[:7] or claim.description
            yield f"its record says {_in_words(claim.delta)} ({claim.status}) of {what}; the session says otherwise"


def _in_words(value: object) -> str:
    """A field of a record as a reader has it: its words and numbers."""
    if isinstance(value, Estimate):
        parts = [str(value.mean), *(f"{name} {known}" for name, known in (("sd", value.sd), ("n", value.n)) if known is not None)]
    elif isinstance(value, Metric):
        parts = [value.name, value.direction]
    elif isinstance(value, Mapping):
        parts = [f"{name} {known}" for name, known in value.items()]
    else:
        parts = [str(part) for part in (value if isinstance(value, tuple) else (value,)) if part is not None]
    return ", ".join(parts)[:120] or "nothing"


# -- the numbers --------------------------------------------------------------------------------------------------------


def _number_problems(paper: Paper, text: str, ours: _Ours) -> Iterator[tuple[int, str]]:
    rows = {row.experiment.commit: row for row in paper.results.rows}
    headline, named = _headline(paper), _named_rows(paper)
    for place, line in prose(text):
        if line in ours:
            continue
        if differs := ours.differs(line):
            says = " and ".join(f"{mine} where it says {theirs}" for theirs, mine in differs)
            yield place, f"the session has {says}"
            continue
        commits = {sha for match in _SHA.finditer(line) for sha in rows if sha.startswith(match[0])}
        first_cell = _plain(line.strip().strip("|").partition("|")[0]).strip() if line.lstrip().startswith("|") else ""
        if commits:
            known = Known().add(*(value for sha in commits for value in _of_experiment(paper, rows[sha])))
            wrong = f"is no number of {', '.join(sorted(sha[:7] for sha in commits))}"
        elif first_cell in named:
            known, wrong = named[first_cell], f"is not what the session says of {first_cell}"
        else:
            known, wrong = headline, "is no number of this session's headline"
        yield from ((place, f"{token} {wrong}") for token in tokens(line) if not known.explains(token))


def prose(text: str) -> Iterator[tuple[int, str]]:
    """(line number, line) of what is no comment and, where it is indented or fenced as code is, no command."""
    blank = re.sub(r"<!--.*?-->", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)
    fenced = False
    for number, line in enumerate(blank.split("\n"), start=1):
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        command = (fenced or line.startswith(("    ", "\t"))) and _COMMAND.match(line)
        if line.strip() and not fence and not command:
            yield number, line


def tokens(line: str) -> list[str]:
    return [match[1] for match in TOKEN.finditer(_plain(_NO_NUMBERS.sub(" ", _LIST_NUMBER.sub("", line))).replace("`", " "))]


def _plain(line: str) -> str:
    """The line without what Markdown hides: marks of bold text, and the backslash before a sign that is meant."""
    return _ESCAPED.sub(r"\1", re.sub(r"(?<!\\)\*\*", "", line))


def _headline(paper: Paper) -> Known:
    """What a sentence may say without naming a commit."""
    session, results = paper.session, paper.results
    kept = (value for row in results.kept for value in _of_experiment(paper, row))
    counts = (
        results.rows,
        results.kept,
        results.discarded,
        results.crashed,
        paper.undecided,
        paper.dead_ends,
        paper.unweighed,
        paper.tried,
        paper.again,
        paper.read,
    )
    known = Known().add(*_of_experiment(paper, Result(results.baseline)), results.total.delta, results.total.error, *kept)
    known.add(*(len(rows) for rows in counts), results.noise.sd, results.noise.floor, results.noise.degrees)
    known.add(
        session.budget,
        session.timeout,
        paper.seconds,
        paper.seconds / 60,
        paper.seconds / 3600,
        paper.runs,
        *paper.seeds,
        *map(wording.day, paper.days),
    )
    known.add(
        *(ancestor.commits for ancestor in paper.ancestors), *paper.adopted_from, session.name, session.run, *session.editable
    )
    known.add(*(number for one in paper.again for number in (one.claimed, one.measured, one.error, len(one.tip))))
    known.add(*(text for one in paper.again for text in (one.of, one.description)), *paper.adopted.values())
    known.add(*(text for one in paper.references for text in (one.key, one.title, one.how)))
    known.add(session.metric.name, *paper.researchers)
    known.add(*(word for ancestor in paper.ancestors for word in (ancestor.name, *ancestor.authors)))
    known.add(*(str(value) for value in results.baseline.platform.values()), *paper.read)
    return known.add(*(text for change in paper.constants for text in (change.old, change.new)))


def _named_rows(paper: Paper) -> Mapping[str, Known]:
    """What a table's row may say of a constant, of a figure of the runs, or of the machine, by its first cell."""
    named: dict[str, Known] = {}
    for shape in paper.shapes:
        known = named.setdefault(shape.name, Known()).add(shape.start, shape.end)
        for probe in shape.probes:
            known.add(probe.value, probe.result.delta, probe.result.error)
    for change in paper.constants:
        named.setdefault(change.name, Known()).add(change.old, change.new)
    for name, before, after in paper.figures:
        named.setdefault(name, Known()).add(before, after, str(before), str(after))
    for name, value in paper.results.baseline.platform.items():
        named.setdefault(name, Known()).add(value, str(value))
    return named


def _of_experiment(paper: Paper, row: Result) -> Iterator[object]:
    """Every number of one experiment: its own, its runs', and those of its description."""
    experiment = row.experiment
    yield from (experiment.number, experiment.value, row.delta, row.error, experiment.memory_gb, len(experiment.measurements))
    yield from (experiment.description, experiment.reason, experiment.inspired_by)
    yield from (tried.claimed for tried in paper.tried if tried.result is row)
    for run in experiment.measurements:
        yield from (run.value, run.seed, *run.figures.values())
