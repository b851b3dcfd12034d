"""The progress picture in letters, for a terminal or a pipe."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from autoresearch_git.plaintext import one_line
from autoresearch_git.publishing.charts.captions import better, figures, headline, numbers_along, ticks
from autoresearch_git.publishing.charts.progress import Chart, Dot, Progress, progress, view

_AROUND = 5  # lines that are not the plot: two of title, the axis and its numbers, the legend
_LEAST_WIDTH, _LEAST_HEIGHT = 30, 10
_KEPT, _BASELINE, _DISCARD, _CRASH, _LEVEL = "●○·×┄"
_COLOURS = {_CRASH: "31", **dict.fromkeys(f"{_DISCARD}{_LEVEL}▴▾", "90"), **dict.fromkeys(f"{_KEPT}{_BASELINE}─│╭╮╯╰", "32")}


def terminal(chart: Chart, width: int = 80, height: int = 16, colour: bool = False) -> str:
    """The chart in `height` lines of at most `width` letters."""
    shown = progress(chart)
    width, height = max(width, _LEAST_WIDTH), max(height, _LEAST_HEIGHT)
    plot = _Plot(shown, width, height - _AROUND)
    plot.draw()
    title = f"{one_line(chart.title, max(8, width - 19))} ({better(chart.metric)})"
    lines = [one_line(headline(shown), width), title, *plot.lines(colour), *plot.axis(), _legend(shown, width)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _legend(shown: Progress, width: int) -> str:
    """What the letters mean, as far as there is room."""
    parts = [f"{_KEPT} {len(shown.kept)} kept", f"{_DISCARD} {len(shown.discarded)} discarded"]
    parts += [f"{_CRASH} {len(shown.crashed)} crashed"] if shown.crashed else []
    parts += [f"{_LEVEL} baseline {figures([shown.baseline.value])[0]}"] if shown.baseline else []
    outside = shown.outside(view(shown))
    parts += [f"▴▾ {outside} off the scale"] if outside else []
    lengths = itertools.accumulate(len(part) + 2 for part in parts)
    return "  ".join(part for part, length in zip(parts, lengths, strict=True) if length - 2 <= width)


class _Plot:
    """Cells by row and column; the highest values are in row 0."""

    def __init__(self, shown: Progress, width: int, rows: int) -> None:
        self.shown, self.rows, self.seen = shown, rows, view(shown)
        values = ticks(self.seen.low, self.seen.high, max(2, rows // 2)) if shown.dots else []
        self.names = {self.row(value): name for value, name in zip(values, figures(values), strict=True)}
        self.margin = max(map(len, self.names.values()), default=0)
        self.columns = width - self.margin - 2
        self.cells = [[" "] * self.columns for _ in range(rows)]

    def row(self, value: float) -> int:
        return min(self.rows - 1, max(0, round((1 - self.seen.height(value)) * (self.rows - 1))))

    def column(self, number: int) -> int:
        return round(number / max(1, self.shown.last) * (self.columns - 1))

    def draw(self) -> None:
        """What matters most is drawn last, for several experiments may share a cell."""
        shown = self.shown
        if shown.baseline:
            self.cells[self.row(shown.baseline.value)] = [_LEVEL] * self.columns
        self._dots(shown.discarded, _DISCARD)
        self._running_best()
        for number in shown.crashed:
            self.cells[0 if shown.metric.direction == "min" else -1][self.column(number)] = _CRASH
        self._dots(shown.kept, _KEPT)
        self._dots([shown.baseline] if shown.baseline else [], _BASELINE)

    def _dots(self, dots: Iterable[Dot], letter: str) -> None:
        for dot in dots:
            outside = "▴" if dot.value > self.seen.high else "▾"
            self.cells[self.row(dot.value)][self.column(dot.number)] = letter if self.seen.shows(dot.value) else outside

    def _running_best(self) -> None:
        corners = [(self.column(dot.number), self.row(dot.value)) for dot in self.shown.best]
        for (left, row), (right, _) in itertools.pairwise([*corners, (self.columns, 0)]):
            self.cells[row][left:right] = "─" * (right - left)
        for (_, before), (column, row) in itertools.pairwise(corners):
            if row != before:
                for between in range(min(row, before) + 1, max(row, before)):
                    self.cells[between][column] = "│"
                self.cells[before][column] = "╮" if row > before else "╯"

    def lines(self, colour: bool) -> list[str]:
        drawn = []
        for row, cells in enumerate(self.cells):
            name = self.names.get(row, "")
            drawn.append(f"{name:>{self.margin}} {'┤' if name else '│'}" + (_coloured(cells) if colour else "".join(cells)))
        return drawn

    def axis(self) -> list[str]:
        """The line below the plot, and the experiments' numbers below that."""
        numbers = [" "] * self.columns
        marks = ["─"] * self.columns
        for number in numbers_along(self.shown.last, self.columns // 8):
            column, name = self.column(number), str(number)
            if column + len(name) <= self.columns:
                marks[column] = "┬"
                numbers[column : column + len(name)] = name
        indent = " " * (self.margin + 1)
        return [f"{indent}└{''.join(marks)}", f"{indent} {''.join(numbers)}"]


def _coloured(cells: list[str]) -> str:
    groups = itertools.groupby(cells, key=lambda letter: _COLOURS.get(letter, ""))
    return "".join(f"\x1b[{code}m{''.join(run)}\x1b[0m" if code else "".join(run) for code, run in groups)
