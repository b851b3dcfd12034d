"""Bring the library up to date with one hub: what its API lists, what git carries, and the findings in both.

Every page is kept as soon as it was read, so a sync that breaks, waits too long or is interrupted goes on where it was. The
newest come first: a sync with nothing new asks once. Git is asked what the hub has (`ls-remote`), and fetched from at most
once, into a private bare store that nothing is ever checked out of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autoresearch_git.community import findings
from autoresearch_git.community.evidence import EvidenceReader
from autoresearch_git.community.findings import Evidence, Finding
from autoresearch_git.community.github import LARGEST_PAGE, Cursor, LimitReachedError, Page, Reader
from autoresearch_git.community.hubs import Hub
from autoresearch_git.community.library import Library
from autoresearch_git.community.reports import Report
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Metric
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Remote, Store

FIRST_LOOK = 30  # reports asked for where mostly nothing is new
CHUNK = 250  # reports parsed in one transaction


@dataclass
class Outcome:
    """What one sync did. `problems` are what could not be read, a line each; `parent` is what the hub was forked from.
    `answered`: by its API or by git, it said something. `findings` are those in the reports that were read; `others` are the
    reports that do not tell of our own sessions."""

    hub: str
    answered: bool = False
    reports: int = 0
    findings: int = 0
    others: int = 0
    others_findings: int = 0
    calls: int = 0
    points: int = 0
    parent: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass
class Syncer:
    """Syncs hubs into one library and store. `tell` hears of progress; `wanted` is the metric looked for first; `editable` are
    the files whose changes are ideas; `own` are the commits and records of our sessions, which are nobody else's findings."""

    library: Library
    store: Store
    tell: Callable[[str], None]
    wanted: Metric
    editable: Sequence[str]
    own: frozenset[str] = frozenset()
    git_seconds: float = 600.0

    def __post_init__(self) -> None:
        self._evidence = EvidenceReader(self.store, self.wanted, self.editable, self.tell)

    def sync(self, hub: Hub, reader: Reader | None, secret: str = "") -> Outcome:
        """Read everything that is new. What fails is told in the outcome; only ^C and bugs are raised."""
        done = Outcome(hub.name)
        if reader:
            try:
                self._read_pages(hub, reader, done)
                done.answered = True
            except AutoresearchError as error:
                done.problems.append(f"{error.message} — {error.hint}" if error.hint else error.message)
            done.calls, done.points = reader.calls, reader.points
        try:
            self._read_git(hub, secret, done)
            done.answered = True
        except AutoresearchError as error:
            done.problems.append(error.message)
        self._parse(hub, done)
        return done

    # -- the API ------------------------------------------------------------------------------------------------

    def _read_pages(self, hub: Hub, reader: Reader, done: Outcome) -> None:
        """Newest first, down to what is known. An interrupted reading left its cursors: it is ended first."""
        state = self.library.hub_state(hub.name)
        if state.get("open"):
            try:
                self._walk(hub, reader, done, Cursor(**state["open"]), state.get("newest", ""))
            except LimitReachedError:
                raise
            except AutoresearchError as error:  # a cursor that is not taken any more must not block the hub for ever
                self.tell(f"{hub.name}: {error.message}; beginning with the newest again")
                with self.library.transaction():
                    self.library.put_hub_state(hub.name, {**self.library.hub_state(hub.name), "open": None, "watermark": ""})
        self._walk(hub, reader, done, Cursor(), "")

    def _walk(self, hub: Hub, reader: Reader, done: Outcome, cursor: Cursor, newest: str) -> None:
        known = self.library.hub_state(hub.name).get("watermark", "")
        goes_on = bool(newest)
        size = FIRST_LOOK if known and not goes_on else LARGEST_PAGE
        while not cursor.done:
            page = reader.page(cursor, size)
            size = LARGEST_PAGE
            done.parent = page.parent
            newest = max([newest, *(r.updated for r in page.reports)])
            cursor = _stopped_at(page, cursor, known)
            with self.library.transaction():
                changed = self.library.put_reports(page.reports)
                if known and not changed and not goes_on:  # what has changed stands before what has not
                    cursor = dataclasses.replace(cursor, pulls_done=True, discussions_done=True)
                state = self.library.hub_state(hub.name)
                state.update({"parent": page.parent, "newest": newest, "open": None if cursor.done else dataclasses.asdict(cursor)})
                if cursor.done:
                    state["watermark"] = max(known, newest)
                self.library.put_hub_state(hub.name, state)
            done.reports += changed
            if not cursor.done:
                self.tell(f"{hub.name}: {self.library.count_reports()} reports read")

    # -- git ----------------------------------------------------------------------------------------------------

    def _read_git(self, hub: Hub, secret: str, done: Outcome) -> None:
        remote = Remote(hub.url, secret)
        patterns = (*(left for left, _ in _places(hub)), "refs/heads/*")
        there = self.store.list_remote(remote, *patterns, timeout=min(60.0, self.git_seconds))
        default = there.default_branch
        places = [*_places(hub), *([(f"refs/heads/{default}", f"{hub.below}heads/{default}")] if default else [])]
        wanted = {ref: local for ref in there.refs if (local := _local(ref, places))}
        here = self.store.refs_below(hub.below)
        new = {ref: local for ref, local in wanted.items() if here.get(local) != there.refs[ref]}
        if new:
            self.tell(f"{hub.name}: fetching {len(new)} branch{'es' * (len(new) != 1)}")
            refused = self.store.fetch(remote, [f"+{left}:{right}" for left, right in places], timeout=self.git_seconds, wanted=new)
            done.problems += [f"{ref} was not taken: {why}" for ref, why in sorted(refused.items())[:20]]
        state = self.library.hub_state(hub.name)
        state["default"] = f"{hub.below}heads/{default}" if default else ""
        with self.library.transaction():
            self.library.put_hub_state(hub.name, state)
            done.reports += self._put_refs(hub, set(wanted.values()))

    def _put_refs(self, hub: Hub, there: set[str]) -> int:
        """Reports for what git alone tells: heads of pull requests that the API did not list, branches and notebooks. A branch
        or notebook that is not `there` any more, or is told by a pull request now, is no report of its own."""
        below = hub.below
        refs = {name: sha for name, sha in self.store.refs_below(below).items() if name in there}
        found: list[Report] = []
        listed = self.library.report_heads(hub.name, "pull")
        names = {sha: name.removeprefix(f"{below}heads/") for name, sha in refs.items() if name.startswith(f"{below}heads/")}
        pulls = {name.removeprefix(f"{below}pull/"): sha for name, sha in refs.items() if name.startswith(f"{below}pull/")}
        for number, sha in pulls.items():
            if number.isdigit() and listed.get(number) != sha:
                unknown = Report(hub.name, "pull", number, branch=one_line(names.get(sha, "")))
                before = self.library.report(f"{hub.name}#{number}") or unknown
                found.append(dataclasses.replace(before, head=sha))
        taken = set(pulls.values()) | set(listed.values())
        default = self.library.hub_state(hub.name).get("default", "")
        sessions = tuple(
            "/" + name.removeprefix(f"{below}autoresearch/") for name in refs if name.startswith(f"{below}autoresearch/")
        )
        for name, sha in refs.items():
            if name.startswith(f"{below}heads/") and sha not in taken and name != default and not name.endswith(sessions):
                branch = name.removeprefix(f"{below}heads/")
                found.append(Report(hub.name, "branch", one_line(branch), branch=one_line(branch), head=sha))
            elif name.startswith(f"{below}autoresearch/"):
                session = name.removeprefix(f"{below}autoresearch/")
                if sha not in self.own:
                    found.append(Report(hub.name, "notebook", one_line(session), head=sha))
        for kind in ("branch", "notebook"):
            still = {report.name for report in found if report.kind == kind}
            for name in set(self.library.report_heads(hub.name, kind)) - still:
                self.library.drop_report(f"{hub.name}@{name}")
        return self.library.put_reports(found)

    # -- findings -----------------------------------------------------------------------------------------------

    def _parse(self, hub: Hub, done: Outcome) -> None:
        """Make findings of every report that is new or has changed. Those of a paper are its pull request's, and count once."""
        default = self.store.resolve(self.library.hub_state(hub.name).get("default") or "refs/none") or ""
        found: dict[str, tuple[int, bool]] = {}  # report → how many findings, and whether it is one of others
        while reports := self.library.unparsed(hub.name, CHUNK):
            made = [(one, self._findings(one)) for one in self._evidence_of_each(hub, reports, default)]
            with self.library.transaction():
                for one, findings in made:
                    self._keep(hub, one, findings)
                    found[one.report.key] = len(findings), not self._is_own(one.report, findings)
            if len(reports) == CHUNK:
                self.tell(f"{hub.name}: {len(found)} reports understood")
        told = self.library.reports_with_findings(hub.name)
        done.findings = sum(number for key, (number, _) in found.items() if key in told)
        done.others = sum(others for _, others in found.values())
        done.others_findings = sum(number for key, (number, others) in found.items() if others and key in told)

    def _is_own(self, report: Report, found: Sequence[Finding]) -> bool:
        """Whether a report tells of a session of ours; what has no head is known by its record."""
        return (report.head or (found[0].record.head if found else "")) in self.own

    def _evidence_of_each(self, hub: Hub, reports: Sequence[Report], default: str) -> list[Evidence]:
        """What git says of the reports; where one of them cannot be read so, the others still are."""
        try:
            return self._evidence.read(hub.below, reports, default)
        except AutoresearchError as error:
            if len(reports) == 1:
                self.tell(f"{reports[0].key}: {error.message}")
                return [Evidence(reports[0])]
            half = len(reports) // 2
            parts = (reports[:half], reports[half:])
            return [evidence for part in parts for evidence in self._evidence_of_each(hub, part, default)]

    def _keep(self, hub: Hub, evidence: Evidence, found: Sequence[Finding]) -> None:
        self.library.put_findings(evidence.report, found)
        for session in {finding.record.identity for finding in found} - {""}:
            self.library.drop_twins(hub.name, session)
        if evidence.notebook and evidence.report.kind == "pull":  # the pull request tells the same session, and more
            self.library.drop_findings(f"{hub.name}@{evidence.notebook.session.name}")

    def _findings(self, evidence: Evidence) -> list[Finding]:
        """What one report says. A report that breaks its reader costs only itself."""
        try:
            return findings.read_findings(evidence, self.wanted)
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError) as error:
            self.tell(f"{evidence.report.key} could not be read: {one_line(repr(error), 120)}")
            return []


def _stopped_at(page: Page, before: Cursor, known: str) -> Cursor:
    """The next cursor, with each connection done where its page reached what is known already. What changed at the very second
    of the watermark is read twice rather than not."""

    def reached(kind: str) -> bool:
        updated = [r.updated for r in page.reports if r.kind == kind]
        return bool(known) and bool(updated) and min(updated) < known

    return dataclasses.replace(
        page.next,
        pulls_done=before.pulls_done or page.next.pulls_done or reached("pull"),
        discussions_done=before.discussions_done or page.next.discussions_done or reached("discussion"),
    )


def _places(hub: Hub) -> list[tuple[str, str]]:
    """(pattern at the hub, place in the store) of what is fetched."""
    below = hub.below
    return [
        ("refs/pull/*/head", f"{below}pull/*"),
        ("refs/heads/exp/*", f"{below}heads/exp/*"),
        ("refs/heads/autoresearch/*", f"{below}heads/autoresearch/*"),
        ("refs/autoresearch/*", f"{below}autoresearch/*"),
    ]


def _local(ref: str, places: Sequence[tuple[str, str]]) -> str:
    for left, right in places:
        start, _, end = left.partition("*")
        if "*" in left and ref.startswith(start) and ref.endswith(end) and len(ref) > len(start) + len(end):
            return right.replace("*", ref[len(start) : len(ref) - len(end)])
        if ref == left:
            return right
    return ""
