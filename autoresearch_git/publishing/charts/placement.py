"""Where labels go in a picture, so that none covers a dot, a line, the frame or another label. Geometry only.

Labels are placed one after the other, the most important first: of the places around a label's dot the nearest that is free,
with a leader from the dot where it is not beside it. What finds no place is left out.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]

_GAP = 2.5  # between a label and anything else; lengths are in the caller's unit (points)
_BESIDE = 9.0  # a label nearer than this needs no leader
_ACROSS = (0.0, 7.0, 16.0, 28.0, 44.0, 64.0, 90.0, 120.0)
_ROWS = 24  # how many steps above and below the dot are tried
_NEIGHBOURS = 6  # how many labels are asked to make room for another one
_FAR = 110.0  # a label that costs more is left out, unless it must be there
# What a place costs besides its distance: on the side of the discarded, or where the leader crosses something.
_WRONG_SIDE = 36.0
_CROSSING = 60.0  # the line of the best
_PASSING = 8.0  # a dot


@dataclass(frozen=True)
class Box:
    left: float
    bottom: float
    right: float
    top: float

    def grown(self, by: float) -> Box:
        return Box(self.left - by, self.bottom - by, self.right + by, self.top + by)

    def holds(self, point: Point) -> bool:
        return self.left < point[0] < self.right and self.bottom < point[1] < self.top

    def overlaps(self, other: Box) -> bool:
        return self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top

    def inside(self, other: Box) -> bool:
        return self.left >= other.left and self.right <= other.right and self.bottom >= other.bottom and self.top <= other.top

    def nearest(self, point: Point) -> Point:
        return min(max(point[0], self.left), self.right), min(max(point[1], self.bottom), self.top)

    def meets(self, start: Point, end: Point) -> bool:
        """Whether a straight line touches the box (Liang and Barsky)."""
        enter, leave = 0.0, 1.0
        for a, b, low, high in ((start[0], end[0], self.left, self.right), (start[1], end[1], self.bottom, self.top)):
            if a == b:
                if not low <= a <= high:
                    return False
                continue
            first, second = sorted(((low - a) / (b - a), (high - a) / (b - a)))
            enter, leave = max(enter, first), min(leave, second)
        return enter <= leave


@dataclass(frozen=True)
class Label:
    """A text of a size, for the dot at `point`."""

    key: int
    text: str
    point: Point
    width: float
    height: float


@dataclass(frozen=True)
class Placed:
    """A label in its box. `leader` runs from the dot to the box; None where it stands beside its dot."""

    label: Label
    box: Box
    leader: tuple[Point, Point] | None


@dataclass
class Plane:
    """What is drawn already. `dots` and `kept` are sorted; `line` is the running best as a polyline from left to right,
    `level` the height of the baseline; `side` is +1 where better is up."""

    frame: Box
    dots: Sequence[Point]
    kept: Sequence[Point]
    line: Sequence[Point]
    level: float
    radius: float
    side: int
    placed: list[Placed] = field(default_factory=list)

    def make_room(self, label: Label) -> bool:
        """Put the label where one near it stands, if that one finds another place."""
        before = list(self.placed)
        for other in sorted(before, key=lambda placed: abs(placed.label.point[0] - label.point[0]))[:_NEIGHBOURS]:
            self.placed.remove(other)
            if self.place(label) and self.place(other.label):
                return True
            self.placed[:] = before
        return False

    def place(self, label: Label, anywhere: bool = False) -> bool:
        """Put the label at the best free place, if there is one. `anywhere`: however far, and over discarded experiments."""
        places = [(self._cost(label.point, box), False, n, box) for n, box in enumerate(self._around(label))]
        heapq.heapify(places)
        while places:
            cost, weighed, n, box = heapq.heappop(places)
            if cost > _FAR and not anywhere:
                return False
            leader = _leader(label.point, box, self.radius)
            if weighed:
                self.placed.append(Placed(label, box, leader))
                return True
            if self._free(box, self.kept if anywhere else self.dots) and self._clear(leader, box, label.point):
                heapq.heappush(places, (cost + self._crossed(label.point, box), True, n, box))
        return False

    def _around(self, label: Label) -> Iterator[Box]:
        (x, y), width, height = label.point, label.width, label.height
        lefts = [x - width / 2, *(x + self.radius + d for d in _ACROSS), *(x - self.radius - d - width for d in _ACROSS)]
        for row in range(-_ROWS, _ROWS + 1):
            bottom = y - height / 2 + row * height * 0.6
            for left in lefts:
                box = Box(left, bottom, left + width, bottom + height)
                if box.inside(self.frame) and not box.grown(self.radius).holds(label.point):
                    yield box

    def _cost(self, point: Point, box: Box) -> float:
        wrong = (box.bottom + box.top) * self.side < 2 * point[1] * self.side
        return math.dist(point, box.nearest(point)) + _WRONG_SIDE * wrong

    def _crossed(self, point: Point, box: Box) -> float:
        """What it costs that the way from the dot to the box crosses the line, runs along it, or passes over other dots."""
        end = box.nearest(point)
        along = end[0] - point[0] > _BESIDE and abs(end[1] - point[1]) < 0.2 * (end[0] - point[0])
        lines = sum(_cross(point, end, a, b) for a, b in self._segments(point[0], end[0]) if point not in (a, b))
        near = self.radius + 0.5
        dots = sum(_distance(dot, point, end) < near for dot in _between(self.dots, point[0] - near, end[0] + near) if dot != point)
        return _CROSSING * (lines + 2 * along) + _PASSING * dots

    def _segments(self, *across: float) -> Iterator[tuple[Point, Point]]:
        """The parts of the line that touch a range of x."""
        first = max(0, bisect.bisect_left(self.line, (min(across),)) - 1)
        last = bisect.bisect_right(self.line, (max(across), math.inf))
        return itertools.pairwise(self.line[first : last + 1])

    def _free(self, box: Box, dots: Sequence[Point]) -> bool:
        wide = box.grown(_GAP)
        if any(wide.overlaps(p.box) or (p.leader and wide.meets(*p.leader)) for p in self.placed):
            return False
        if self._on_line(wide) or wide.bottom < self.level < wide.top:
            return False
        around = box.grown(_GAP + self.radius)
        return not any(around.holds(dot) for dot in _between(dots, around.left, around.right))

    def _on_line(self, box: Box) -> bool:
        """Whether the line runs through the box: it never turns back, so its heights at both sides tell."""
        if not self.line or box.right < self.line[0][0]:
            return False
        sides = (max(x, self.line[0][0]) for x in (box.left, box.right))
        heights = [self.line[bisect.bisect_right(self.line, (x, math.inf)) - 1][1] for x in sides]
        return min(heights) <= box.top and max(heights) >= box.bottom

    def _clear(self, leader: tuple[Point, Point] | None, box: Box, point: Point) -> bool:
        """Whether the leader keeps clear of other labels, other leaders, and dots that it could seem to belong to."""
        start, end = leader or (point, box.nearest(point))
        for other in self.placed:
            if other.box.grown(1).meets(start, end) or (other.leader and _cross(start, end, *other.leader)):
                return False
        near = self.radius + 1
        return not any(
            dot != point and _distance(dot, start, end) < near for dot in _between(self.kept, start[0] - near, end[0] + near)
        )


def _between(points: Sequence[Point], *across: float) -> Sequence[Point]:
    """Of sorted points those in a range of x."""
    return points[bisect.bisect_left(points, (min(across),)) : bisect.bisect_right(points, (max(across), math.inf))]


def _leader(point: Point, box: Box, radius: float) -> tuple[Point, Point] | None:
    end = box.nearest(point)
    length = math.dist(point, end)
    if length < _BESIDE:
        return None
    share = (radius + 1) / length
    return (point[0] + (end[0] - point[0]) * share, point[1] + (end[1] - point[1]) * share), end


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _distance(point: Point, start: Point, end: Point) -> float:
    """From a point to a straight line between two others."""
    length = math.dist(start, end)
    if not length:
        return math.dist(point, start)
    along = ((point[0] - start[0]) * (end[0] - start[0]) + (point[1] - start[1]) * (end[1] - start[1])) / length**2
    share = min(1.0, max(0.0, along))
    return math.dist(point, (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
