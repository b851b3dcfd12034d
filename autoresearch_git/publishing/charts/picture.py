"""The progress picture of a session, as PNG or SVG: the only importer of matplotlib, so import this only where it is drawn.

It is 1400 pixels wide and meant to be read at 700. The same chart gives the same bytes: nothing of the reader's matplotlib
settings, of the time or of the display comes in, and those settings are as they were afterwards.
"""

from __future__ import annotations

import io
import itertools
import logging
import math
from collections.abc import Sequence
from typing import Any

# Where there is no home to write to, matplotlib says so at length and works all the same.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

import matplotlib
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from PIL import Image, ImageColor

from autoresearch_git.publishing.charts.captions import better, figures, headline, numbers_along, short, ticks
from autoresearch_git.publishing.charts.placement import Box, Label, Placed, Plane, Point
from autoresearch_git.publishing.charts.progress import Chart, Dot, Progress, View, progress, view

WIDTH, HEIGHT, DPI = 504.0, 306.0, 200  # points, points, pixels an inch: 1400 × 850
_RIGHT, _TOP, _BOTTOM = 10.0, 60.0, 32.0  # points around the axes; the left depends on the numbers there
_MOST_LABELS = 24
_SURE = 3  # the largest gains that get a label whatever it takes, and the last
_LENGTHS = (34, 20)  # characters of a label, and of one that finds no room
_ROOM = 0.25  # kept free beyond the best for labels

# Of Okabe and Ito's palette, which no colour blindness confuses.
_PAPER, _INK, _FAINT = "#ffffff", "#24292f", "#6e7781"
_KEPT, _CRASH, _DISCARD, _BAND, _GRID = "#0072b2", "#d55e00", "#b9c0c8", "#dcebf5", "#eef0f2"
_STEPS = 16  # between a colour and the paper, for smooth edges
_LABEL, _SMALL, _LARGE = 7.2, 8.0, 11.5  # points
_BEHIND = 3.0  # points free behind a label, so that two in a row do not read as one


def picture(chart: Chart, kind: str = "png") -> bytes:
    """The chart as a file of `kind`, png or svg."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.hashsalt": "autoresearch", "svg.fonttype": "none", "text.parse_math": False})
        figure = _figure(chart)
        file = io.BytesIO()
        if kind == "svg":
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": headline(progress(chart))})
            return file.getvalue()
        figure.savefig(file, format="png", metadata={"Software": None})
    return _palette(file)


def _palette(file: io.BytesIO) -> bytes:
    """The same picture with the chart's colours and their steps towards the paper: a third of the bytes."""
    colours = [ImageColor.getrgb(colour)[:3] for colour in (_INK, _FAINT, _KEPT, _CRASH, _DISCARD, _BAND, _GRID)]
    steps = {tuple(round(255 + (c - 255) * n / _STEPS) for c in colour) for colour in colours for n in range(1, _STEPS + 1)}
    palette = Image.new("P", (1, 1))
    palette.putpalette([255] * 3 + [c for step in sorted(steps) if min(step) < 244 or step == colours[-1] for c in step])
    small = io.BytesIO()
    picture = Image.open(file).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    picture.save(small, "PNG", optimize=True, dpi=(DPI, DPI))
    return small.getvalue()


def _figure(chart: Chart) -> Figure:
    shown = progress(chart)
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=DPI, facecolor=_PAPER)
    pen = _Pen(figure)
    sheet = _Sheet(figure, pen, shown, view(shown, _ROOM if shown.kept else 0.0))
    sheet.scales()
    sheet.titles(chart.title)
    sheet.experiments()
    sheet.edges()
    sheet.legend()
    sheet.labels()
    return figure


class _Pen:
    """Measures text as it will be drawn, in points."""

    def __init__(self, figure: Figure) -> None:
        self._renderer: Any = RendererAgg(*figure.bbox.size, figure.dpi)  # type: ignore[no-untyped-call]
        self._font = get_font(findfont(FontProperties()))

    def width(self, text: str, size: float, weight: str = "normal") -> float:
        font = FontProperties(size=size, weight=weight)
        return float(self._renderer.get_text_width_height_descent(text, font, ismath=False)[0]) * 72 / DPI

    def right_end(self, artist: Artist) -> float:
        return float(artist.get_window_extent(self._renderer).x1) * 72 / DPI

    def drawable(self, text: str) -> str:
        """The text without the letters that the font lacks."""
        return " ".join("".join(c for c in text if c == " " or self._font.get_char_index(ord(c))).split())

    def fit(self, text: str, size: float, room: float, weight: str = "normal") -> str:
        text = self.drawable(text)
        if self.width(text, size, weight) <= room:
            return text
        while text and self.width(text + "…", size, weight) > room:
            text = text[:-1]
        return text.rstrip() + "…"


_Handle = Line2D | Patch | tuple[Line2D, ...]  # what a legend shows beside a text


def _mark(marker: str, size: float, colour: str) -> Line2D:
    wide = 1.2 if marker == "x" else 0
    return Line2D([], [], linestyle="", marker=marker, markersize=size, color=colour, markeredgewidth=wide)


class _Sheet:
    """The picture being drawn. Values are drawn as heights from 0 to 1: matplotlib has no opinion on numbers of any size."""

    def __init__(self, figure: Figure, pen: _Pen, shown: Progress, seen: View) -> None:
        self.figure, self.pen, self.shown, self.seen = figure, pen, shown, seen
        self.values = ticks(seen.low, seen.high, 6) if shown.dots else []
        self.names = figures(self.values)
        left = 26 + max((pen.width(name, _SMALL) for name in self.names), default=0)
        self.frame = Box(left, _BOTTOM, WIDTH - _RIGHT, HEIGHT - _TOP)
        width, height = self.frame.right - left, self.frame.top - _BOTTOM
        self.axes = figure.add_axes((left / WIDTH, _BOTTOM / HEIGHT, width / WIDTH, height / HEIGHT), facecolor=_PAPER)
        beside = max(0.5, 0.015 * shown.last)
        self.first, self.last = -beside, shown.last + beside
        self.at_edges: list[Point] = []
        self.size = 5.5 if shown.tried <= 150 else 4.5 if shown.tried <= 400 else 3.5  # points across a kept dot

    def point(self, number: float, height: float) -> Point:
        across = (number - self.first) / (self.last - self.first)
        left, bottom = self.frame.left, self.frame.bottom
        return left + across * (self.frame.right - left), bottom + height * (self.frame.top - bottom)

    def place_of(self, dot: Dot) -> Point:
        return self.point(dot.number, self.seen.height(dot.value))

    def scales(self) -> None:
        axes = self.axes
        axes.patch.set_gid("frame")
        axes.set(xlim=(self.first, self.last), ylim=(0, 1))
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set(color=_FAINT, linewidth=0.8)
        axes.set_yticks([self.seen.height(value) for value in self.values], self.names)
        along = numbers_along(self.shown.last, 10)
        axes.set_xticks(along, [str(number) for number in along])
        axes.tick_params(labelsize=_SMALL, labelcolor=_INK, color=_FAINT, width=0.8, length=3)
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_xlabel("experiment", fontsize=_SMALL, color=_INK, labelpad=3)
        name = self.pen.fit(self.shown.metric.name, _SMALL, 120)
        self.figure.text(9 / WIDTH, (self.frame.bottom + self.frame.top) / 2 / HEIGHT, f"{name} ({better(self.shown.metric)})",
                         rotation=90, ha="center", va="center", fontsize=_SMALL, color=_INK)  # fmt: skip

    def titles(self, title: str) -> None:
        room = WIDTH - 2 * _RIGHT
        about = self.pen.fit(headline(self.shown), _LARGE, room, "bold")
        below = self.pen.fit(title, _SMALL, room)
        self.figure.text(_RIGHT / WIDTH, 1 - 9 / HEIGHT, about, fontsize=_LARGE, weight="bold", color=_INK, va="top")
        self.figure.text(_RIGHT / WIDTH, 1 - 26 / HEIGHT, below, fontsize=_SMALL, color=_FAINT, va="top")

    def experiments(self) -> None:
        """The dots, the running best with its band of noise, and the baseline."""
        best = self.shown.best
        if best:
            numbers = [*(dot.number for dot in best), self.last]
            heights = [self.seen.height(dot.value) for dot in (*best, best[-1])]
            if self.has_band:
                low, high = (
                    [self.seen.height(dot.value + way * self.shown.noise_floor) for dot in (*best, best[-1])] for way in (-1, 1)
                )
                self.axes.fill_between(numbers, low, high, step="post", color=_BAND, linewidth=0, zorder=1, gid="noise")
            self.axes.step(numbers, heights, where="post", color=_KEPT, linewidth=1.4, zorder=4, gid="best")
        self.dots("discarded", self.shown.discarded, self.size * 0.75, _DISCARD, 3)
        self.dots("kept", self.shown.kept, self.size, _KEPT, 5)
        if self.shown.baseline:
            self.dots("baseline", (self.shown.baseline,), self.size, _PAPER, 5, edge=_KEPT)
            self.axes.axhline(self.seen.height(self.shown.baseline.value), color=_FAINT, linewidth=0.7, dashes=(5, 3), zorder=2)

    @property
    def has_band(self) -> bool:
        return 0 < self.shown.noise_floor < math.inf

    def dots(self, name: str, dots: Sequence[Dot], size: float, colour: str, order: int, edge: str = "") -> None:
        inside = [dot for dot in dots if self.seen.shows(dot.value)]
        self.axes.plot([dot.number for dot in inside], [self.seen.height(dot.value) for dot in inside], "o", markersize=size,
                       markerfacecolor=colour, markeredgecolor=edge or _PAPER, markeredgewidth=1.1 if edge else 0.5,
                       zorder=order, clip_on=False, gid=name)  # fmt: skip

    def edges(self) -> None:
        """What has no value, and what lies outside the view, small at the edge."""
        worse, lift = (1.0, -1) if self.shown.metric.direction == "min" else (0.0, 1)
        self.marks("crashed", self.shown.crashed, worse + 0.022 * lift, "x", _CRASH)
        for name, dots, colour in (("kept", self.shown.kept, _KEPT), ("discarded", self.shown.discarded, _FAINT)):
            above = [dot.number for dot in dots if dot.value > self.seen.high]
            below = [dot.number for dot in dots if dot.value < self.seen.low]
            self.marks(f"{name}-above", above, 0.98, "^", colour)
            self.marks(f"{name}-below", below, 0.02, "v", colour)

    def marks(self, name: str, numbers: Sequence[int], height: float, marker: str, colour: str) -> None:
        self.at_edges += [self.point(number, height) for number in numbers]
        self.axes.plot(numbers, [height] * len(numbers), marker, markersize=4.2, markeredgewidth=1.2 if marker == "x" else 0,
                       markeredgecolor=colour, markerfacecolor=colour, zorder=5, clip_on=False, gid=name)  # fmt: skip

    def legend(self) -> None:
        """Above the plot, where it covers nothing; in smaller letters where it has much to say."""
        entries = self._entries()
        marks: list[Any] = [mark for mark, _ in entries]  # matplotlib's types know no tuple of marks
        for size in (_SMALL, _SMALL * 0.92, _SMALL * 0.84, _SMALL * 0.76):
            self.figure.legends.clear()
            legend = self.figure.legend(
                marks, [text for _, text in entries], loc="upper left", ncols=len(entries), frameon=False,
                bbox_to_anchor=(_RIGHT / WIDTH, 1 - 41 / HEIGHT), fontsize=size, labelcolor=_INK, borderpad=0, borderaxespad=0,
                handletextpad=0.5, columnspacing=1.2, handlelength=1.4,
                handler_map={tuple: HandlerTuple(ndivide=None, pad=0.2)})  # fmt: skip
            if self.pen.right_end(legend) <= WIDTH - _RIGHT:
                break

    def _entries(self) -> list[tuple[_Handle, str]]:
        shown, outside = self.shown, self.shown.outside(self.seen)
        entries: list[tuple[_Handle, str]] = [
            (_mark("o", 5.5, _KEPT), f"{len(shown.kept)} kept"),
            (_mark("o", 5.5, _DISCARD), f"{len(shown.discarded)} discarded"),
        ]
        if shown.crashed:
            entries.append((_mark("x", 4.2, _CRASH), f"{len(shown.crashed)} crashed"))
        if outside:
            ways = {
                "^": any(dot.value > self.seen.high for dot in shown.dots),
                "v": any(dot.value < self.seen.low for dot in shown.dots),
            }
            marks = tuple(_mark(marker, 4.2, _FAINT) for marker, there in ways.items() if there)
            entries.append((marks, f"{outside} off the scale"))
        if shown.best:
            entries.append((Line2D([], [], color=_KEPT, linewidth=1.4), "best so far"))
        if shown.baseline:
            line = Line2D([], [], color=_FAINT, linewidth=0.7, dashes=(5, 3))
            entries.append((line, f"baseline {figures([shown.baseline.value])[0]}"))
        if self.has_band:
            entries.append((Patch(facecolor=_BAND, linewidth=0), "within the noise"))
        return entries

    def labels(self) -> None:
        for placed in self.placed():
            box, (x, y) = placed.box, (placed.box.left / WIDTH, placed.box.bottom / HEIGHT)
            if placed.leader:
                (x0, y0), (x1, y1) = placed.leader
                self.figure.add_artist(Line2D((x0 / WIDTH, x1 / WIDTH), (y0 / HEIGHT, y1 / HEIGHT), color=_FAINT, linewidth=0.6))
            self.figure.add_artist(Rectangle((x, y), (box.right - box.left) / WIDTH, (box.top - box.bottom) / HEIGHT,
                                             fill=False, linewidth=0, transform=self.figure.transFigure,
                                             gid=f"label-{placed.label.key}"))  # fmt: skip
            self.figure.text(x, y + _LABEL * 0.25 / HEIGHT, placed.label.text, fontsize=_LABEL, color=_INK, va="baseline")

    def placed(self) -> list[Placed]:
        shown, gains = self.shown, self.shown.gains()
        kept = [dot for dot in shown.kept if self.seen.shows(dot.value)]
        dots = [self.place_of(dot) for dot in shown.dots if self.seen.shows(dot.value)] + self.at_edges
        best = [self.place_of(dot) for dot in shown.best]
        line = [corner for a, b in itertools.pairwise(best) for corner in (a, (b[0], a[1]))]
        line += [best[-1], (self.frame.right, best[-1][1])] if best else []
        level = self.place_of(shown.baseline)[1] if shown.baseline else -math.inf
        side = -1 if shown.metric.direction == "min" else 1
        plane = Plane(self.frame.grown(-2), sorted(dots), sorted(map(self.place_of, kept)), line, level, self.size / 2, side)
        largest = sorted((dot for dot in kept if gains[dot.number] > 0), key=lambda dot: -gains[dot.number])[:_MOST_LABELS]
        sure = {dot.number for dot in (*largest[:_SURE], *kept[-1:])}
        wanted = sorted(dict.fromkeys([*largest, *kept[-1:]]), key=lambda dot: (dot.number not in sure, -gains[dot.number]))
        for dot in wanted:
            self._place(plane, dot, dot.number in sure)
        return plane.placed

    def _place(self, plane: Plane, dot: Dot, sure: bool) -> None:
        tries = [(length, anywhere) for anywhere in ((False, True) if sure else (False,)) for length in _LENGTHS]
        for length, anywhere in tries:
            text = self.pen.drawable(short(dot.description, length)) or f"experiment {dot.number}"
            label = Label(dot.number, text, self.place_of(dot), self.pen.width(text, _LABEL) + _BEHIND, _LABEL * 1.2)
            if plane.place(label, anywhere) or plane.make_room(label):
                return
