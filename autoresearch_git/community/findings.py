"""Reports become findings: what is claimed, on what evidence, and what does not add up.

Sources are believed in this order: a notebook or a record block; a results table at the head; the trailers of its commits;
tables and logs in the description and the author's comments; a title such as `0.9979 → 0.9697 in 125 experiments`; the
subjects of commits. The first that has results gives the claims, the others are held against it. Every claim keeps where it
was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from autoresearch_git.community import changes, prose, record
from autoresearch_git.community.branches import Branch, BranchCommit
from autoresearch_git.community.changes import Change
from autoresearch_git.community.platforms import platform_of
from autoresearch_git.community.plausible import doubts
from autoresearch_git.community.record import ClaimedChange, Record
from autoresearch_git.community.reports import Report
from autoresearch_git.experiment import Metric
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.ledger.tables import Results, Row, way
from autoresearch_git.plaintext import defuse, one_line

SOURCES = ("notebook", "record", "table", "trailers", "text", "title", "commits")  # the most trusted first
MOST_FINDINGS = 8  # of one report
MOST_CHANGED = 300  # files of one branch that are named
DIFFERENCE = 0.005  # relative, from which on two results of one report are not the same
LEAST_WORDS = 8  # characters of a description that a commit is known by
LEAST_COMMITS = 3  # that change an editable file, for a branch without a number to be a research run


@dataclass(frozen=True)
class Claim:
    """One thing that was tried. `delta` is the metric's change against the best that was kept before it (or what the author
    says it is, where that cannot be told); `commit` is as written, `sha` the full one where it exists on the branch."""

    description: str
    status: str
    value: float | None
    delta: float | None
    source: str
    commit: str = ""
    sha: str = ""
    changes: tuple[Change, ...] = ()
    lines: tuple[str, ...] = ()

    @property
    def identity(self) -> object:
        """What tells it apart from every other claim: several reports may tell of the same commit."""
        return self.sha or (self.commit, self.description, self.value)


@dataclass(frozen=True)
class Finding:
    """What one report claims of one metric. `name` tells apart the tables of one report; it is empty for the first.
    `about` is the subject of its last commit, `states` the commits that hold what the head would run: the last one that changes an
    editable file, and those after it; empty where that is not known. `withdrawn`: whoever posted it took it back."""

    report: Report
    source: str
    metric: Metric
    name: str = ""
    platform: str = ""
    platform_source: str = ""
    baseline: float | None = None
    best: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    problems: tuple[str, ...] = ()
    base: str = ""
    commits: int = 0
    changed: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    about: str = ""
    budget: float | None = None
    doubts: tuple[str, ...] = ()
    withdrawn: bool = False
    states: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.report.key}/{self.name}" if self.name else self.report.key

    @property
    def delta(self) -> float | None:
        return None if self.best is None or self.baseline is None else self.best - self.baseline

    @property
    def experiments(self) -> int:
        """How many were tried besides the baseline."""
        return sum(n for status, n in self.counts.items() if status != "baseline")


@dataclass(frozen=True)
class Evidence:
    """Everything that was fetched for a report. `tables` are the results in files at its head, by path, and `missing` the
    (short) shas in them that the hub has no commit of; `notes` are the texts that its branch has brought, by path.
    `time_budget` is the constant of its prepare.py, in seconds."""

    report: Report
    branch: Branch | None = None
    tables: Mapping[str, Sequence[Results]] = field(default_factory=dict)
    notebook: Notebook | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    time_budget: float | None = None
    missing: frozenset[str] = frozenset()


def read_findings(evidence: Evidence, wanted: Metric) -> list[Finding]:
    """The findings of one report: one for each table that is no part of another, at least one for a research run."""
    report, branch = evidence.report, evidence.branch
    problems: list[str] = []
    told = Record()
    try:
        told = record.read(report.body) or told
    except record.BrokenRecordError as error:
        problems.append(f"{error}; the text was read instead")
    sources = list(_sources(evidence, told, wanted))
    if not sources:
        headline = prose.headline(report.title) or prose.headline(report.body)
        sources = [("title", "", _of_headline(headline, wanted))] if headline else list(_of_commits(branch, wanted))
    best = min((SOURCES.index(kind) for kind, _, _ in sources), default=None)
    chosen = _without_parts([s for s in sources if SOURCES.index(s[0]) == best], wanted)[:MOST_FINDINGS]
    others = [s for s in sources if SOURCES.index(s[0]) > (best or 0)]
    return [_finding(evidence, told, source, i > 0, others, wanted, [] if i else problems) for i, source in enumerate(chosen)]


# -- sources ----------------------------------------------------------------------------------------------------------

Source = tuple[str, str, Results]  # (one of SOURCES, where exactly, what it says)


def _sources(evidence: Evidence, told: Record, wanted: Metric) -> Iterable[Source]:
    if evidence.notebook:
        yield "notebook", evidence.notebook.session.notebook, _of_notebook(evidence.notebook)
    if told.metric and (told.findings or told.best):
        yield "record", "record", _of_record(told, told.metric, [t for tables in evidence.tables.values() for t in tables])
    for path, found_there in sorted(evidence.tables.items()):
        for i, results in enumerate(found_there):
            if results.rows:
                yield "table", path if i == 0 else f"{path} (table {i + 1})", results
    yield from _of_trailers(evidence.branch, wanted)
    report = evidence.report
    texts = [
        ("the description", report.body),
        *((f"comment {i} by {c.author}", c.body) for i, c in enumerate(report.comments, start=1) if c.author == report.author),
    ]
    for where, text in texts:
        for found in prose.pasted(text, wanted.name):
            if any(row.value is not None or row.delta is not None for row in found.results.rows):
                yield "text", f"{found.where} of {where}", found.results


def _of_notebook(book: Notebook) -> Results:
    metric = book.session.metric
    rows = tuple(
        Row(e.number, e.commit, e.value, str(e.status), e.description, str(e.status), e.memory_gb) for e in book.experiments
    )
    return Results(metric.name, metric.direction, rows)


def _of_trailers(branch: Branch | None, wanted: Metric) -> Iterator[Source]:
    """What the commits of a session of this program say of themselves."""
    told = [(c, c.told) for c in branch.commits if c.own and c.told and c.told.value is not None] if branch else []
    metric = told[0][0].metric if told else ""
    rows = tuple(
        Row(0, c.sha, e.value, str(e.status), e.description, str(e.status), e.memory_gb) for c, e in told if c.metric == metric
    )
    if rows:
        direction = wanted.direction if metric == wanted.name else way(metric)
        yield "trailers", "the commits' trailers", Results(metric, direction, rows)


def _of_record(told: Record, metric: Metric, tables: Sequence[Results]) -> Results:
    """What a record claims. It names as many changes as it has room for, without their values; a table with as many rows as it
    says that there were experiments, all of its changes among them, names them all, each with its value."""
    known = {claim.commit[:7]: claim for claim in told.findings if claim.commit}
    whole = sum(told.experiments.values())
    for table in tables:
        shas = {row.sha[:7] for row in table.rows}
        if table.metric == metric.name and whole and len(table.rows) == whole + 1 and shas >= known.keys():
            return Results(
                metric.name, metric.direction, tuple(_completed(row, known.get(row.sha[:7]), told) for row in table.rows)
            )
    named = [Row(i + 1, c.commit, None, c.status, c.description, c.status, delta=c.delta) for i, c in enumerate(told.findings)]
    first = [Row(0, "", told.baseline.mean, "baseline", "baseline")] if told.baseline else []
    return Results(metric.name, metric.direction, (*first, *named))


def _completed(row: Row, claim: ClaimedChange | None, told: Record) -> Row:
    """A row of a table with what the record knows better: whole shas, and numbers that are not rounded."""
    if row.status == "baseline" and told.baseline:
        return replace(row, value=told.baseline.mean)
    return replace(row, commit=claim.commit, delta=claim.delta) if claim else row


def _of_headline(headline: prose.Headline, wanted: Metric) -> Results:
    name = headline.metric or wanted.name
    way = wanted.direction if name == wanted.name else ("min" if headline.after < headline.before else "max")
    rows = (Row(0, "", headline.before, "baseline", ""), Row(0, "", headline.after, "keep", ""))
    return Results(name, way, rows)


def _of_commits(branch: Branch | None, wanted: Metric) -> Iterable[Source]:
    """Commits alone: what is still on the branch was kept, what was reverted was not; there is no number."""
    tried = [c for c in branch.commits if c.tries] if branch else []
    if len(tried) < LEAST_COMMITS:
        return
    rows = tuple(Row(0, c.sha, None, "discard" if c.undone else "keep", c.subject) for c in tried)
    yield "commits", "the commits", Results(wanted.name, wanted.direction, rows)


def _without_parts(sources: list[Source], wanted: Metric) -> list[Source]:
    """The tables that are no part of another one: the wanted metric first, then the longest."""
    ranked = sorted(sources, key=lambda s: (s[2].metric != wanted.name, -len(s[2].rows)))
    kept: list[Source] = []
    for source in ranked:
        names = {row.commit for row in source[2].rows if row.sha and row.status != "baseline"}
        whole = (k for k in kept if k[2].metric == source[2].metric)
        if not names or not any(
            names <= {row.commit for row in k[2].rows} and len(source[2].rows) <= len(k[2].rows) for k in whole
        ):
            kept.append(source)
    return kept


# -- one finding ------------------------------------------------------------------------------------------------------


def _finding(
    evidence: Evidence, told: Record, source: Source, named: bool, others: Sequence[Source], wanted: Metric, problems: Sequence[str]
) -> Finding:
    """What one source claims; `others` are less trusted ones, which it is held against."""
    report, branch = evidence.report, evidence.branch
    kind, where, results = source
    metric = _metric(results, wanted)
    claims = tuple(_claims(results, metric, branch, where)) if kind != "title" else ()
    baseline, _, kept = _values(results, metric)
    best = _best(kind, results, metric, told)
    platform, platform_source, doubt = _platform(evidence, told, claims)
    doubted = [*doubts(metric, baseline, best, kept), *doubt, *_disagreements(best, others, metric, told, report)]
    notes = [
        *problems,
        *results.problems[:5],
        *_orphans(results, branch, evidence.missing, claims, metric),
        *_title_differs(report, metric, best),
        *_unmeasured(kind, told),
    ]
    return Finding(
        report=report,
        source=kind,
        metric=metric,
        name=where if named else "",
        platform=platform,
        platform_source=platform_source,
        baseline=baseline,
        best=best,
        counts=_counts(kind, claims, told, report),
        claims=claims,
        problems=tuple(one_line(p) for p in notes),
        base=(branch.base if branch else "") or told.base,
        commits=sum(c.own for c in branch.commits) if branch else 0,
        changed=tuple(sorted(branch.changed))[:MOST_CHANGED] if branch else (),
        files=_files(branch) if branch else {},
        record=told,
        about=next((c.subject for c in reversed(branch.commits) if c.own), "") if branch else "",
        budget=_budget(evidence, told),
        doubts=tuple(one_line(d) for d in doubted),
        withdrawn=record.WITHDRAWN in report.body,
        states=_states(branch) if branch else (),
    )


def _states(branch: Branch) -> tuple[str, ...]:
    """The commits whose editable files are those of the head, as far as the branch itself tells."""
    own = [commit for commit in branch.commits if commit.own]
    last = max((place for place, commit in enumerate(own) if commit.edits), default=None)
    return () if last is None else (*(commit.sha for commit in own[last:]), branch.head)


def _files(branch: Branch) -> dict[str, str]:
    """path → blob of what may measure at its head, and of what it has changed, wherever that lies; empty where not all can be
    told."""
    changed = ((path, branch.changed[path]) for path in sorted(branch.changed)[:MOST_CHANGED])
    brought = {path: change.blob for path, change in changed if change.mode.startswith("100")}
    return {**branch.files, **brought} if branch.files else {}


def _metric(results: Results, wanted: Metric) -> Metric:
    """The metric of a source: the wanted one as it is wanted, another one as its name or its rows tell."""
    if results.metric == wanted.name:
        return wanted
    return Metric(results.metric or "not told", results.direction or "min")


def _values(results: Results, metric: Metric) -> tuple[float | None, float | None, list[float]]:
    """(the baseline's value, the best that was kept, all that were kept in order)."""
    kept = [row.value for row in results.rows if row.status in ("baseline", "keep") and row.value is not None]
    baseline = next((row.value for row in results.rows if row.status == "baseline"), None)
    return baseline, (min if metric.direction == "min" else max)(kept, default=None), kept


def _best(kind: str, results: Results, metric: Metric, told: Record) -> float | None:
    """The result that a source claims; a record says it apart from its changes, which have no values."""
    return told.best.mean if kind == "record" and told.best else _values(results, metric)[1]


def _counts(kind: str, claims: Sequence[Claim], told: Record, report: Report) -> dict[str, int]:
    if kind == "title":
        headline = prose.headline(report.title) or prose.headline(report.body)
        return {"other": headline.experiments or 0} if headline else {}
    counts = {s: sum(c.status == s for c in claims) for s in ("baseline", "keep", "discard", "crash")}
    counts["other"] = len(claims) - sum(counts.values())
    if kind == "record" and told.experiments:
        counts = {**dict.fromkeys(counts, 0), **told.experiments, "baseline": counts["baseline"]}
    return counts


def _disagreements(best: float | None, others: Sequence[Source], metric: Metric, told: Record, report: Report) -> Iterator[str]:
    """Where a report contradicts itself: its less trusted sources say another result, or its record another commit."""
    for kind, where, results in others:
        value = _best(kind, results, metric, told) if results.metric == metric.name else None
        if best is not None and value is not None and abs(value - best) > DIFFERENCE * max(abs(best), abs(value)):
            yield f"it says {best:g} and, in {where}, {value:g}"
    if told.head and report.head and told.head != report.head:
        yield f"its record speaks of {told.head[:7]}, its head is {report.head[:7]}"


def _title_differs(report: Report, metric: Metric, best: float | None) -> Iterator[str]:
    headline = prose.headline(report.title)
    if headline and headline.metric in ("", metric.name) and best is not None and not _rounds_to(best, headline.after):
        yield f"its title says {headline.after:g}, its results say {best:g}"


def _unmeasured(kind: str, told: Record) -> Iterator[str]:
    """A record names no best where what was kept last has no number."""
    if kind == "record" and told.best is None and told.experiments.get("keep"):
        yield "what it kept last was taken on trust, not measured"


def _claims(results: Results, metric: Metric, branch: Branch | None, where: str) -> Iterator[Claim]:
    """The rows as claims, each against the best that was kept before it."""
    incumbent: float | None = None
    for row in results.rows:
        commit = _commit_of(row, branch)
        delta = row.delta
        if delta is None and row.value is not None and incumbent is not None and row.status != "baseline":
            delta = row.value - incumbent
        words = changes.in_words(row.description) or (changes.in_words(commit.subject) if commit else ())
        yield Claim(
            description=row.description or (commit.subject if commit else ""),
            status=row.status,
            value=row.value,
            delta=delta,
            source=f"{where}, line {row.line}" if row.line else where,
            commit=row.commit,
            sha=commit.sha if commit else (branch.base if branch and row.status == "baseline" and not row.sha else ""),
            changes=(commit.changes if commit else ()) or words,
            lines=tuple(sorted(commit.lines)) if commit else (),
        )
        if row.value is not None and row.status in ("baseline", "keep"):
            incumbent = row.value if incumbent is None or metric.gain(row.value, incumbent) > 0 else incumbent


def _kept_though_worse(claim: Claim, metric: Metric) -> bool:
    return claim.status == "keep" and claim.value is not None and claim.delta is not None and metric.gain(claim.delta, 0.0) < 0


def _commit_of(row: Row, branch: Branch | None) -> BranchCommit | None:
    """The commit of a row: by its sha, or where it has none by the one subject that holds its description."""
    if branch is None or row.sha or row.commit:
        return branch.find(row.sha) if branch and row.sha else None
    words = " ".join(row.description.lower().split())
    found = [c for c in branch.commits if c.tries and len(words) >= LEAST_WORDS and words in c.subject.lower()]
    return found[0] if len(found) == 1 else None


def _orphans(
    results: Results, branch: Branch | None, missing: frozenset[str], claims: Sequence[Claim], metric: Metric
) -> Iterable[str]:
    """What rows and commits do not have in common."""
    named = [row for row in results.rows if row.commit]
    words = [row.commit for row in named if not row.sha and row.status != "baseline"]
    if words:
        yield f"{len(words)} of {len(named)} rows name no commit but a word ({_some(words)})"
    if branch is None:
        return
    lost = [row.commit for row in named if row.sha and row.commit in missing]
    if lost:
        yield f"{len(lost)} of {len(named)} commits cannot be found anywhere in the hub ({_some(lost)})"
    measured = {c.sha for row in results.rows if (c := _commit_of(row, branch))}
    left = [c for c in branch.commits if c.tries and c.sha not in measured] if measured else []
    if len(left) == 1:
        yield f"commit {left[0].sha[:7]} ({left[0].subject}) is on the branch, but no row measures it"
    elif left:
        yield f"{len(left)} commits are on the branch, but no row measures them ({_some([c.sha[:7] for c in left])})"
    worse = [row for row, claim in zip(results.rows, claims, strict=False) if _kept_though_worse(claim, metric)]
    if worse:
        kept = sum(claim.status == "keep" for claim in claims)
        lines = _some([f"line {row.line}" for row in worse])
        yield f"{len(worse)} of {kept} kept rows are worse than the best before them ({lines})"


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:3]) + (", …" if len(words) > 3 else "")


def _rounds_to(value: float, told: float) -> bool:
    digits = len(f"{told:g}".partition(".")[2])
    return abs(value - told) <= float(10**-digits)


def _budget(evidence: Evidence, told: Record) -> float | None:
    if evidence.notebook:
        return evidence.notebook.session.budget
    return told.budget_seconds if told.budget_seconds is not None else evidence.time_budget


def _platform(evidence: Evidence, told: Record, claims: Sequence[Claim]) -> tuple[str, str, list[str]]:
    """(the hardware class, where it was read, what contradicts it)."""
    report = evidence.report
    if evidence.notebook:
        return one_line(evidence.notebook.session.platform, 40), "its notebook", []
    if told.session.count("/") == 1:
        claimed = told.session.partition("/")[0]
        named = platform_of([("", report.branch)])[0]
        other = named and named.upper() != claimed.upper()
        return claimed, "its record", [f"its record says {claimed}, its branch {named}"] if other else []
    commits = [c for c in evidence.branch.commits if c.own] if evidence.branch else []
    found = platform_of(
        [
            ("its branch's name", report.branch),
            ("its name", report.name if report.kind in ("branch", "notebook") else ""),
            ("its title", report.title),
            ("its description", defuse(report.body, 20_000)),  # without comments: a template's example is nobody's platform
            ("its rows", "\n".join(claim.description for claim in claims)),
            *((f"commit {c.sha[:7]}", f"{c.subject}\n{c.body}") for c in commits),
        ],
        evidence.notes.items(),
    )
    return (*found, [])
