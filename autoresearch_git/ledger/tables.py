"""Any table of results: what its columns are, what its cells say, whoever wrote it and however.

Upstream's five columns are the rule and the exception: tables in the wild have other columns, other names, other metrics,
words for commits, percent signs, a second header half-way. Every row is kept; what a cell does not say is None.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from autoresearch_git.plaintext import one_line

_ROLES = {
    "commit": "commit sha hash rev revision commit_hash commit_sha git_sha git_commit commit_id short_sha",
    "status": "status verdict outcome decision kept kept? state",
    "description": "description desc experiment change changes what notes note idea config configuration hypothesis summary insight"
    " details technique improvement finding what_changed what_was_tried modification",
    "memory": "memory_gb mem_gb vram_gb peak_memory_gb peak_vram_gb peak_vram_mb peak_memory_mb memory vram peak_memory peak_vram",
    "delta": "delta δ change_in_metric diff difference vs_baseline",
    "gain": "gain improvement_abs",
    "seed": "seed",
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names.split()}
# Numbers that a run has besides the one that is researched.
_ANCILLARY = re.compile(
    r"^#$|^(n|no|num|id|idx|index|run|exp|row|rank|date|time|timestamp|day|trial|round|iter\w*)$"
    r"|(^|_)(steps?|params?|seconds|secs|minutes|min|hours|tokens|tok|mfu|util|pct|ms|seed|cost|usd|epochs?|trades|layers|depth|watts?"
    r"|lr|wd|batch|dim|width|heads?|dropout|momentum|rate_limit)(_|$)"
    r"|^(n|num|total|max|old|new)_|_(before|gb|mb)$"
)
_STATUS = {
    "baseline": "baseline base reference",
    "keep": "keep kept keeps accepted accept adopted adopt adopted-win win won early-win best new-best improved improvement"
    " success successful merged yes true ✅ ✓ committed",
    "discard": "discard discarded discards rejected reject revert reverted reverting worse neutral regressed regression regress no "
    "false ❌ ✗ dropped drop failed fail no-improvement",
    "crash": "crash crashed oom nan error errored timeout infra-fail killed diverged",
}
_STATUS_OF = {word: status for status, words in _STATUS.items() for word in words.split()}
_LOWER = "bpb loss nll ce perplexity ppl rmse mse mae mape error err wer cer latency seconds time ms cost size bytes memory"
_HIGHER = (
    "acc accuracy score psnr ssim f1 auc bleu rouge reward return win rate sharpe throughput performance precision recall map r2"
    " elo speed accessibility fps iou dice"
)
_WAY_OF = {**dict.fromkeys(_LOWER.split(), "min"), **dict.fromkeys(_HIGHER.split(), "max")}
_NUMBER = re.compile(r"[~≈]?([+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?)(%?)", re.IGNORECASE)
_SHA = re.compile(r"[0-9a-f]{6,40}")
MOST_ROWS = 20_000
MOST_COLUMNS = 64


@dataclass(frozen=True)
class Row:
    """One row. `commit` and `said` (its status) are as written; `status` is baseline, keep, discard, crash, or empty where
    the word means none of them. `value` is None for a crash and for what is no number. `delta` is what the row itself says."""

    line: int
    commit: str
    value: float | None
    status: str
    description: str
    said: str = ""
    memory_gb: float | None = None
    delta: float | None = None
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def sha(self) -> str:
        """The commit cell where it can be a sha at all: `baseline`, `001` and `e2f3g4h` cannot."""
        return self.commit if _SHA.fullmatch(self.commit) else ""


@dataclass(frozen=True)
class Results:
    """A table as read. `direction` is `min`, `max`, or empty where neither its name nor its kept rows tell."""

    metric: str
    direction: str
    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()


def number(cell: str) -> tuple[float | None, bool]:
    """(the number that a cell is, or None; whether it is a percentage). `~`, `**`, thousands and the true minus are read."""
    text = re.sub(r"[*`_\s]+", "", cell[:80]).replace("−", "-").replace("–", "-")
    text = re.sub(r"(±|\+/-|\().*$", "", text) if re.match(r"[~≈+-]?[\d.]", text) else text  # 0.986 ± 0.0003 (best)
    text = re.sub(r"^0,(?=\d+%?$)", "0.", text)  # the comma of other languages
    match = _NUMBER.fullmatch(text)
    if not match:
        return None, False
    value = float(match[1].replace(",", ""))
    return (value, bool(match[2])) if abs(value) < 1e300 else (None, False)


def way(metric: str) -> str:
    """Which way a metric of this name is better, as far as its name tells: a word for what is bad decides (`error_rate`)."""
    ways = {_WAY_OF[w] for w in re.split(r"[^a-z0-9]+", metric.lower()) if w in _WAY_OF}
    return "min" if "min" in ways else "max" if ways else ""


def status_of(cell: str) -> str:
    """Upstream's word for what a status cell says; empty where it says something else."""
    words = re.findall(r"[a-z]+(?:-[a-z]+)*|[✅✓❌✗]", cell[:80].lower().replace("_", "-"))
    found = [_STATUS_OF[w] for w in words if w in _STATUS_OF]
    if "not" in words and "crash" not in found:
        return "discard"
    for status in ("crash", "discard", "keep"):  # `kept → reverted`: what was taken back was not kept
        if status in found:
            return status
    return "baseline" if found and words[0] in _STATUS_OF else ""


def _name(cell: str) -> str:
    return re.sub(r"[^a-zδ0-9#?]+", "_", cell.strip().lower().replace("Δ", "δ")).strip("_")


def is_header(cells: Sequence[str], least: int = 2) -> bool:
    """Whether a row names columns: at least two that are known (`least`: or more, where the cells may be words of a sentence),
    one of which says what was tried or what came of it."""
    roles = [_ROLE_OF.get(_name(cell)) for cell in cells]
    known = {role for role in roles if role}
    values = sum(number(cell)[0] is not None for cell in cells)
    strange = any(_SHA.fullmatch(cell.strip()) or cell.strip().lower() in ("nan", "inf", "-") for cell in cells)
    if values or strange or not known & {"status", "description", "commit"}:
        return False
    return len(known) >= least or (least <= 2 and any(way(cell) for cell in cells))


@dataclass
class _Columns:
    """Where a header puts things."""

    names: list[str]
    roles: dict[str, int]
    metric: int | None

    @classmethod
    def of(cls, header: Sequence[str], sample: Sequence[Sequence[str]], wanted: str) -> _Columns:
        names = [_name(cell) for cell in header]
        roles: dict[str, int] = {}
        for index, name in enumerate(names):
            if name in _ROLE_OF:
                roles.setdefault(_ROLE_OF[name], index)
        telling = [i for i, name in enumerate(names) if _ROLE_OF.get(name) == "description"]
        if len(telling) > 1:  # `Change | Technique`: the one that says most
            roles["description"] = max(telling, key=lambda i: _words(sample, i))
        free = [i for i, name in enumerate(names) if name and name not in _ROLE_OF and not _ANCILLARY.search(name)]
        numeric = [i for i in free if _mostly_numbers(sample, i)]
        named = [i for i in free if names[i] == _name(wanted)]
        return cls(names, roles, next(iter([*named, *numeric]), None))

    def cell(self, cells: Sequence[str], role: str) -> str:
        index = self.roles.get(role)
        return cells[index].strip() if index is not None and index < len(cells) else ""


def _mostly_numbers(rows: Sequence[Sequence[str]], column: int) -> bool:
    cells = [row[column].strip() for row in rows if column < len(row) and row[column].strip() not in ("", "-", "—")]
    return bool(cells) and 2 * sum(number(cell)[0] is not None for cell in cells) >= len(cells)


def _words(rows: Sequence[Sequence[str]], column: int) -> int:
    return sum(len(row[column]) for row in rows if column < len(row) and number(row[column])[0] is None)


def read(lines: Iterable[tuple[int, Sequence[str]]], wanted: str = "val_bpb") -> list[Results]:
    """The tables in rows of cells, each with its line number: a new one begins at every header that names other columns.

    `wanted` is the metric that is looked for first; otherwise the first column of numbers that is not about something else.
    Rows before any header are not read. At most MOST_ROWS rows are.
    """
    sections: list[tuple[Sequence[str], list[tuple[int, Sequence[str]]]]] = []
    for line, every in itertools.islice(lines, MOST_ROWS):
        cells = every[:MOST_COLUMNS]
        if is_header(cells):
            if not sections or [_name(c) for c in sections[-1][0]] != [_name(c) for c in cells]:
                sections.append((cells, []))
        elif sections:
            sections[-1][1].append((line, cells))
    return [_section(header, rows, wanted) for header, rows in sections]


def _section(header: Sequence[str], rows: list[tuple[int, Sequence[str]]], wanted: str) -> Results:
    columns = _Columns.of(header, [cells for _, cells in rows], wanted)
    metric = one_line(columns.names[columns.metric], 40) if columns.metric is not None else ""
    found, problems = [], []
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"line {line} has {len(cells)} columns, not {len(header)}")
        found.append(_row(line, cells, columns))
    direction = way(metric) or _trend(found)
    if "gain" in columns.roles:  # what is better, not what is higher
        sign = 1 if direction == "max" else -1
        found = [dataclasses.replace(r, delta=sign * g) if (g := _gain(r, columns)) is not None else r for r in found]
    return Results(metric, direction, tuple(_with_baseline(found)), tuple(problems))


def _gain(row: Row, columns: _Columns) -> float | None:
    return row.figures.get(columns.names[columns.roles["gain"]])


def _row(line: int, cells: Sequence[str], columns: _Columns) -> Row:
    said = columns.cell(cells, "status")
    status = status_of(said)
    value = number(cells[columns.metric])[0] if columns.metric is not None and columns.metric < len(cells) else None
    memory = number(columns.cell(cells, "memory"))[0]
    if memory is not None and columns.names[columns.roles["memory"]].endswith("mb"):
        memory /= 1024
    others = {
        one_line(name, 40): read
        for i, name in enumerate(columns.names[: len(cells)])
        if i != columns.metric
        and (i not in columns.roles.values() or i == columns.roles.get("gain"))
        and (read := number(cells[i])[0]) is not None
    }
    return Row(
        line=line,
        commit=one_line(columns.cell(cells, "commit").strip("`*[]"), 40),
        value=None if status == "crash" or value is None else value,
        status=status,
        description=one_line(columns.cell(cells, "description"), 300),
        said=one_line(said, 40),
        memory_gb=memory,
        delta=_absolute(columns.cell(cells, "delta")),
        figures=others,
    )


def _absolute(cell: str) -> float | None:
    """A difference in the metric's own unit; a percentage is none."""
    value, percent = number(cell)
    return None if percent else value


def _with_baseline(rows: list[Row]) -> list[Row]:
    """The first row is the baseline where it says so in any cell, or was kept: nothing was there to be better than."""
    if not rows or any(row.status == "baseline" for row in rows):
        return rows
    first = rows[0]
    says_so = re.match(r"baseline|reference", first.description, re.IGNORECASE) or status_of(first.commit) == "baseline"
    if first.value is not None and (first.status == "keep" or (says_so and first.status in ("", "discard"))):
        rows[0] = Row(**{**first.__dict__, "status": "baseline"})
    return rows


def _trend(rows: Sequence[Row]) -> str:
    """Which way the kept values go: a loop keeps what is better."""
    kept = [row.value for row in rows if row.status in ("baseline", "keep") and row.value is not None]
    steps = [(b > a) - (b < a) for a, b in itertools.pairwise(kept)]
    return "" if sum(steps) == 0 else ("max" if sum(steps) > 0 else "min")
