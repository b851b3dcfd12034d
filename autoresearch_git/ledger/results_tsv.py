"""Upstream's results table, read and written.

Five tab-separated columns: `commit val_bpb memory_gb status description`, the second named after the metric. Six decimals
for the metric, one for the memory; a crash has `0.000000` and `0.0`; the baseline's status is `keep`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autoresearch_git.experiment import Experiment, Metric, Status
from autoresearch_git.plaintext import one_line


@dataclass(frozen=True)
class Table:
    """A table as it was read: its cells are kept as they stand, so that writing it again loses nothing."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def render(self) -> str:
        return "".join("\t".join(row) + "\n" for row in (self.columns, *self.rows))


def header(metric: Metric) -> str:
    return f"commit\t{metric.name}\tmemory_gb\tstatus\tdescription\n"


def row(experiment: Experiment) -> str:
    crashed = experiment.value is None or experiment.status is Status.CRASH
    value = 0.0 if crashed or experiment.value is None else experiment.value
    memory = 0.0 if crashed else experiment.memory_gb
    status = Status.KEEP if experiment.status is Status.BASELINE else experiment.status
    return f"{experiment.commit[:7]}\t{value:.6f}\t{memory:.1f}\t{status}\t{one_line(experiment.description)}\n"


def render(metric: Metric, experiments: Iterable[Experiment]) -> str:
    return header(metric) + "".join(map(row, experiments))


def parse(text: str) -> Table:
    """A table with upstream's columns (a metric of any name in the second place). Raises ValueError where it is none."""
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    table = [tuple(line.split("\t")) for line in lines]
    if not table or len(table[0]) != 5 or (table[0][0], *table[0][2:]) != ("commit", "memory_gb", "status", "description"):
        raise ValueError("a header of upstream's five columns is missing")
    for number, cells in enumerate(table[1:], start=2):
        if len(cells) != 5:
            raise ValueError(f"line {number} has {len(cells)} columns, not 5")
        float(cells[1])
        float(cells[2])
        Status(cells[3])
    return Table(table[0], tuple(table[1:]))


def experiments(table: Table) -> list[Experiment]:
    """The rows as experiments, numbered from the baseline (0); a row whose commit is a word keeps that word."""
    found = []
    for number, (commit, value, _memory, word, description) in enumerate(table.rows):
        status = Status(word)
        if number == 0 and status is Status.KEEP:
            status = Status.BASELINE
        metric = None if status is Status.CRASH else float(value)
        found.append(Experiment(number, status, description, metric, commit=commit))
    return found
