"""What there is to believe a report by: its branch, the tables and notes at its head, its notebook. Read from the store, for
any number of reports in a handful of git processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoresearch_git import constants
from autoresearch_git.community import record
from autoresearch_git.community.branches import Branch, read_branches
from autoresearch_git.community.findings import Evidence
from autoresearch_git.community.reports import Report
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Metric
from autoresearch_git.ledger import notebook, results_tsv
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.ledger.tables import Results
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Store

LARGEST_TABLE = 1 << 20  # bytes of a results file
LARGEST_NOTE = 1 << 16  # of a text beside it


@dataclass(frozen=True)
class EvidenceReader:
    """Reads the evidence for reports of any hub. `tell` hears of notebooks that cannot be read; `wanted` is the metric looked for
    first; `editable` are the files whose changes are ideas."""

    store: Store
    wanted: Metric
    editable: Sequence[str]
    tell: Callable[[str], None]

    def read(self, below: str, reports: Sequence[Report], default: str) -> list[Evidence]:
        """The evidence for each report. `below` is where its hub's refs lie in the store, `default` the tip of the hub's default
        branch, or empty."""
        refs = self.store.refs_below(below)
        books = {r.key: book for r in reports if (book := self._notebook(below, r, refs))}
        heads = {r.key: books[r.key].head if r.kind == "notebook" and r.key in books else r.head for r in reports}
        there = self.store.blobs(sha for sha in heads.values() if sha)
        heads = {key: sha for key, sha in heads.items() if sha in there and there[sha].kind == "commit"}
        branches = read_branches(self.store, heads.values(), default, self.editable)
        files = self._texts(branches.values(), ".tsv", LARGEST_TABLE)
        tables = {head: self._results(texts) for head, texts in files.items()}
        notes = self._texts(branches.values(), ".md", LARGEST_NOTE)
        budgets = self._budgets(branches.values())
        missing = self._missing(tables)
        found = []
        for report in reports:
            branch = branches.get(heads.get(report.key, ""))
            results = tables.get(branch.head, {}) if branch else {}
            budget = budgets.get(branch.files.get("prepare.py", "")) if branch else None
            prose = notes.get(branch.head, {}) if branch else {}
            found.append(Evidence(report, branch, results, books.get(report.key), prose, budget, missing))
        return found

    def _notebook(self, below: str, report: Report, refs: Mapping[str, str]) -> Notebook | None:
        """The notebook that a report is, or that its record names: then only if the report is about the session's own commits."""
        name = report.name if report.kind == "notebook" else _session_of(report)
        ref = f"{below}autoresearch/{name}"
        if ref not in refs:
            return None
        try:
            book = notebook.read(self.store, ref)
        except AutoresearchError as error:
            self.tell(f"{report.key}: {error.message}")
            return None
        branch = f"{below}heads/{book.session.branch.removeprefix('refs/heads/')}"
        own = report.kind == "notebook" or report.head in (refs.get(branch), *book.tips)
        return book if own else None

    def _texts(self, branches: Iterable[Branch], suffix: str, largest: int) -> dict[str, dict[str, str]]:
        """head → path → text of the files of a kind that each branch has brought or changed."""
        wanted = [
            (branch.head, path, change.blob)
            for branch in branches
            for path, change in branch.changed.items()
            if path.endswith(suffix) and change.mode.startswith("100")
        ]
        texts = {sha: raw.decode(errors="replace") for sha, raw in self.store.read_blobs((b for _, _, b in wanted), largest)}
        found: dict[str, dict[str, str]] = {}
        for head, path, blob in wanted:
            if blob in texts:
                found.setdefault(head, {})[one_line(path)] = texts[blob]
        return found

    def _budgets(self, branches: Iterable[Branch]) -> dict[str, float]:
        """blob of prepare.py → the TIME_BUDGET in it, in seconds."""
        blobs = {blob for branch in branches if (blob := branch.files.get("prepare.py"))}
        found = {}
        for sha, raw in self.store.read_blobs(blobs, 256 * 1024):
            try:
                value = constants.read(raw.decode(errors="replace"), {}).names.get("TIME_BUDGET")
            except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
                continue
            if isinstance(value, (int, float)):
                found[sha] = float(value)
        return found

    def _results(self, texts: Mapping[str, str]) -> dict[str, Sequence[Results]]:
        return {path: results_tsv.read(text, self.wanted.name) for path, text in texts.items()}

    def _missing(self, tables: Mapping[str, Mapping[str, Sequence[Results]]]) -> frozenset[str]:
        """The shas in the tables that the hub has no object of."""
        everything = (results for by_path in tables.values() for found in by_path.values() for results in found)
        named = {row.sha for results in everything for row in results.rows if row.sha}
        return frozenset(named - set(self.store.blobs(named)))


def _session_of(report: Report) -> str:
    try:
        told = record.read(report.body)
    except record.BrokenRecordError:
        return ""
    return told.session if told and re.fullmatch(r"[\w.+-]+(/[\w.+-]+)+", told.session) else ""
