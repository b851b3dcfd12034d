"""Upstream's results table, written; and any file of that kind, read.

Written: five tab-separated columns, `commit val_bpb memory_gb status description`, the second named after the metric. Six
decimals for the metric, one for the memory; a crash has `0.000000` and `0.0`; the baseline's status is `keep`. What was taken on
trust has `-`, which no reader takes for a number (upstream's own notebook neither).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from autoresearch_git.experiment import Experiment, Metric, Status
from autoresearch_git.ledger import tables
from autoresearch_git.ledger.tables import Results
from autoresearch_git.plaintext import one_line

_LONGEST_CELL = 2_000
_LONGEST_LINE = 20_000  # characters


def header(metric: Metric) -> str:
    return f"commit\t{metric.name}\tmemory_gb\tstatus\tdescription\n"


def row(experiment: Experiment) -> str:
    crashed = experiment.status is Status.CRASH
    unmeasured = experiment.value is None and experiment.status.advances
    value = "-" if unmeasured else f"{0.0 if crashed or experiment.value is None else experiment.value:.6f}"
    memory = 0.0 if crashed else experiment.memory_gb
    status = Status.KEEP if experiment.status is Status.BASELINE else experiment.status
    return f"{experiment.commit[:7]}\t{value}\t{memory:.1f}\t{status}\t{one_line(experiment.description)}\n"


def render(metric: Metric, experiments: Iterable[Experiment]) -> str:
    return header(metric) + "".join(map(row, experiments))


def read(text: str, wanted: str = "val_bpb") -> list[Results]:
    """The tables in a file, or pasted into a text: of any columns, with or without a byte order mark, tabs or what became
    of them, quotes, a newline in the last cell, a header in the middle. Empty where there is none."""
    return tables.read(_cells(text), wanted)


def _cells(text: str) -> Iterator[tuple[int, Sequence[str]]]:
    """(line, cells). Lines are split as the header above them is: by tabs, commas, or runs of spaces."""
    split: Callable[[str, int], list[str]] = _by_tabs
    width = 0
    before: tuple[int, list[str]] | None = None
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        line = raw[:_LONGEST_LINE]
        found = next((s for s, least in _SPLITS if tables.is_header(s(line, 0), least)), None)
        if found:
            split, width = found, len(found(line, 0))
        cells = split(line, width)
        goes_on = (
            before and not found and split is not _by_spaces and len(cells) == 1 and len(before[1]) >= width > 1 and line.strip()
        )
        if before and goes_on:  # a newline in the last cell
            before[1][-1] = f"{before[1][-1]} {line}"[:_LONGEST_CELL]
            continue
        if before:
            yield before
        before = (number, cells) if line.strip() else None  # what follows a blank line is no part of the row above
    if before:
        yield before


def _by_tabs(line: str, _width: int) -> list[str]:
    return _unquoted(line, "\t") if '"' in line else line.split("\t")


def _by_commas(line: str, _width: int) -> list[str]:
    return _unquoted(line, ",")


def _by_spaces(line: str, width: int) -> list[str]:
    """Tabs that became spaces: the header's words are its columns, and the last one takes the rest of the line."""
    return line.split(None, max(0, width - 1)) if width else line.split()


_SPLITS = ((_by_tabs, 2), (_by_commas, 3), (_by_spaces, 3))


def _unquoted(line: str, delimiter: str) -> list[str]:
    if not re.search(rf'(^|{delimiter})"', line) or line.count('"') % 2:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return line.split(delimiter)


def experiments(results: Results) -> list[Experiment]:
    """The rows as experiments, numbered from 0; a row whose commit is a word keeps that word."""
    known = {status.value: status for status in Status}
    found = []
    for number, r in enumerate(results.rows):
        status = known.get(r.status, Status.DISCARD)
        reason = "" if r.status else f"its status says {r.said!r}"
        found.append(Experiment(number, status, r.description, r.value, reason=reason, commit=r.commit))
    return found
