"""What a description or a comment claims in words: tables, pasted results, logs, and `A → B in N experiments`."""

from __future__ import annotations

import dataclasses
import html
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autoresearch_git.community.reports import LONGEST_BODY
from autoresearch_git.ledger import results_tsv, tables
from autoresearch_git.ledger.tables import Results, Row
from autoresearch_git.plaintext import defuse, one_line

_VALUE = r"(\d{1,6}\.\d{1,12}|\.\d{1,12}) ?%?"
_ARROW = r"(?:→|⟶|➜|⇒|->|=>|-->|\bto\b)"
_HEADLINE = re.compile(rf"(?<![\w.]){_VALUE} ?{_ARROW} ?{_VALUE}(?![\w])", re.IGNORECASE)
_COUNT = re.compile(
    r"\b(?:in|over|after|across|from)\s+[~≈*_]*(\d{1,6})[*_+]*\s+(?:\w+\s+)?(?:experiments?|runs?|trials?|exps?)\b", re.IGNORECASE
)
_METRIC = re.compile(r"\b(val[_ ](?:bpb|loss|rmse|psnr|acc\w*|score)|bpb|perplexity|rmse|psnr|accuracy)\b", re.IGNORECASE)
_LOG_LINE = re.compile(r"^\s*([A-Za-z_][\w./%-]{1,39})\s*[:=]\s*([+-]?[\d.,]+(?:e[+-]?\d+)?)\s*%?\s*$")
_HTML_REPORT = re.compile(r"<(?:!DOCTYPE|html|table|h1)\b", re.IGNORECASE)
_FIRST = re.compile(r"^(?:starting|start|baseline|initial|before)_")
_LAST = re.compile(r"^(?:final|best|ending|after)_")
LEAST_LOG_LINES = 3


@dataclass(frozen=True)
class Headline:
    """`before → after`, of the metric if the text names one (else empty), after `experiments` if it says so."""

    before: float
    after: float
    metric: str
    experiments: int | None


@dataclass(frozen=True)
class Pasted:
    """Results found in a text, and where: `table 2`, `table at line 7`, `log at line 30`."""

    where: str
    results: Results


def headline(text: str) -> Headline | None:
    """The first `A → B` of a line that names its metric, or how many experiments it took: any other is of something else."""
    for raw in defuse(text, 20_000).splitlines():
        line = re.sub(r"[*_`\s]+", " ", raw.replace("val_bpb", "val bpb"))[:400]
        match, count, metric = _HEADLINE.search(line), _COUNT.search(line), _METRIC.search(line)
        if match and (count or metric):
            before, after = float(match[1]), float(match[2])
            if after > 0 and before > 0 and 0.05 < after / before < 20:
                name = metric[1].lower().replace(" ", "_") if metric else ""
                return Headline(before, after, "val_bpb" if name == "bpb" else name, int(count[1]) if count else None)
    return None


def pasted(text: str, wanted: str = "val_bpb") -> Iterator[Pasted]:
    """Every table and log in a text: Markdown's, a results file pasted as it is, `key: value` lines of a run."""
    text = text[:LONGEST_BODY]
    if _HTML_REPORT.search(text[:5_000]):
        text = _without_tags(text)
    plain = defuse(text, LONGEST_BODY)
    found = 0
    for number, rows in enumerate(_markdown_tables(plain), start=1):
        for results in _table(rows, wanted):
            found += 1
            yield Pasted(f"table {number}", results)
    for results in results_tsv.read(_without_pipes(plain), wanted):
        told = tuple(row for row in results.rows if _says_something(row))
        if told:
            found += 1
            yield Pasted(f"table at line {told[0].line - 1}", dataclasses.replace(results, rows=told))
    yield from _logs(plain)


def _says_something(row: Row) -> bool:
    """Whether a line is a row at all: a file ends where its table does, a text goes on."""
    return bool(row.sha or row.said) or row.value is not None or row.delta is not None


def _without_tags(text: str) -> str:
    """An exported HTML page as text: a row a line, a cell a column."""
    text = re.sub(r"</t[dh]>\s*<t[dh][^>]{0,4000}>", "\t", text)
    text = re.sub(r"</?(?:tr|p|div|h\d|li|br|table)\b[^>]{0,4000}>", "\n", text, flags=re.IGNORECASE)
    return html.unescape(re.sub(r"<[^<>]{0,4000}>", "", text))


def _without_pipes(text: str) -> str:
    """The text with the rows of Markdown tables emptied: they are read as such."""
    return "\n".join("" if line.lstrip(" >").startswith("|") else line for line in text.splitlines())


def _markdown_tables(text: str) -> Iterator[list[tuple[int, list[str]]]]:
    """The rows of each table, as GitHub would show them; in quotes and lists, too."""
    from markdown_it import MarkdownIt  # only a sync needs it

    parser = MarkdownIt("commonmark", {"maxNesting": 20}).enable("table")
    parser.core.ruler.disable(["inline", "text_join"])
    rows: list[tuple[int, list[str]]] = []
    for token in parser.parse(text):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append((token.map[0] + 1 if token.map else 0, []))
        elif token.type == "inline" and rows and token.level >= 4:
            rows[-1][1].append(token.content)
        elif token.type == "table_close":
            yield rows
            rows = []


def _table(rows: Sequence[tuple[int, list[str]]], wanted: str) -> list[Results]:
    if rows and len(rows[0][1]) == 2 and not tables.is_header(rows[0][1]):  # Metric | Value
        figures = {cells[0]: cells[1] for _, cells in rows if len(cells) == 2}
        return [r for r in [_run(figures, rows[0][0])] if r]
    return [r for r in tables.read(rows, wanted) if r.rows]


def _logs(text: str) -> Iterator[Pasted]:
    """Runs of `key: value` lines, as a run prints its summary."""
    lines = [(i, _LOG_LINE.match(line) if len(line) < 120 else None) for i, line in enumerate(text.splitlines(), start=1)]
    for told, group in itertools.groupby(lines, key=lambda pair: pair[1] is not None):
        block = [(i, match) for i, match in group if match]
        if told and len(block) >= LEAST_LOG_LINES:
            results = _run({match[1]: match[2] for _, match in block}, block[0][0])
            if results:
                yield Pasted(f"log at line {block[0][0]}", results)


def _run(figures: dict[str, str], line: int) -> Results | None:
    """One run told as names and numbers: a table of one row, if one of the names is a metric's."""
    numbers = {
        one_line(k, 40).lower().replace(" ", "_"): v for k, text in figures.items() if (v := tables.number(text)[0]) is not None
    }
    metric = next((k for k in numbers if tables.way(k) and re.search(r"val|test|eval|score|bpb", k)), None)
    if metric is None:
        return None
    memory = numbers.get("peak_vram_mb")
    name = _LAST.sub("", _FIRST.sub("", metric))
    rows = [
        Row(line, "", v, status, "", memory_gb=memory / 1024 if memory else None)
        for status, prefix in (("baseline", _FIRST), ("", re.compile("")), ("keep", _LAST))
        for k, v in numbers.items()
        if prefix.sub("", k) == name and (k == name) == (status == "")
    ]
    return Results(name, tables.way(name), tuple(rows))
