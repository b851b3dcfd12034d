"""The progress picture: what is in it, that nothing in it hides anything else, and that it can be drawn anywhere."""

from __future__ import annotations

import io
import itertools
import os
import pty
import re
import select
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import World, wait_for
from PIL import Image

pytestmark = pytest.mark.usefixtures("warm")

DATA = Path(__file__).parent / "data"
SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
MARKS = ("baseline", "kept", "kept-above", "kept-below", "discarded", "discarded-above", "discarded-below", "crashed")
Box = tuple[float, float, float, float]


def table(rows: Iterable[tuple[str, str, str]], metric: str = "val_bpb") -> str:
    lines = [f"{n:07x}\t{value}\t1.0\t{status}\t{description}" for n, (value, status, description) in enumerate(rows)]
    return "\n".join([f"commit\t{metric}\tmemory_gb\tstatus\tdescription", *lines, ""])


def with_table(world: World, content: str) -> World:
    world.commit({"results.tsv": content})
    return world


@pytest.fixture
def published(empty: World) -> World:
    """The table of karpathy/autoresearch#44 on a branch: 22 kept, 102 discarded, one of them at 3.2, 1 crashed."""
    return with_table(empty, (DATA / "pr44-results.tsv").read_text())


def svg(world: World, *arguments: str, env: dict[str, str] | None = None) -> ET.Element:
    world.ok("plot", "main", "--output", "p.svg", *arguments, env=env)
    return ET.parse(world.root / "p.svg").getroot()


def drawn(root: ET.Element, name: str) -> list[tuple[float, float]]:
    """Where the marks of a kind stand."""
    groups = [group for group in root.iter(f"{SVG}g") if group.get("id") == name]
    return [(float(use.get("x", "nan")), float(use.get("y", "nan"))) for group in groups for use in group.iter(f"{SVG}use")]


def box_of(path: str) -> Box:
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path)]
    xs, ys = numbers[::2], numbers[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def shapes(root: ET.Element, name: str) -> set[str]:
    """The outlines of the marks in a group."""
    outlines = {f"#{path.get('id')}": path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("id")}
    groups = [group for group in root.iter(f"{SVG}g") if group.get("id") == name]
    return {outlines[use.get(HREF, "")] for group in groups for use in group.iter(f"{SVG}use") if use.get(HREF) in outlines}


def labels(root: ET.Element) -> dict[int, Box]:
    """The labels' boxes, by the number of their experiment."""
    found = {}
    for group in root.iter(f"{SVG}g"):
        name = group.get("id", "")
        if name.startswith("label-"):
            (path,) = group.iter(f"{SVG}path")
            found[int(name.removeprefix("label-"))] = box_of(path.get("d", ""))
    return found


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def texts(root: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def test_a_png_to_be_read_at_half_its_size_on_any_background(published: World) -> None:
    assert published.ok("plot", "main", "--output", "out.png") == "out.png\n"
    content = (published.root / "out.png").read_bytes()
    assert len(content) < 100_000
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("PNG", (1400, 850))
        pixels = image.convert("RGBA")
    assert pixels.getpixel((2, 2)) == (255, 255, 255, 255)
    colours = pixels.convert("RGB").getcolors(1 << 20)
    assert colours
    strong = [c for n, c in colours if n > 500 and max(c) - min(c) > 100]
    assert strong
    assert all(c == pytest.approx((0, 114, 178), abs=20) for c in strong), "only what was kept is in a strong colour"


def test_every_experiment_is_a_mark_of_its_kind(published: World) -> None:
    root = svg(published)
    assert {name: len(drawn(root, name)) for name in MARKS} == {
        "baseline": 1, "kept": 22, "kept-above": 0, "kept-below": 0,
        "discarded": 101, "discarded-above": 1, "discarded-below": 0, "crashed": 1,
    }  # fmt: skip
    said = texts(root)
    assert "val_bpb 0.997900 → 0.969686 (−0.028214) in 125 experiments" in said
    assert "val_bpb (lower is better)" in said
    assert {"22 kept", "102 discarded", "1 crashed", "1 off the scale", "best so far", "baseline 0.9979"} <= set(said)
    assert "within the noise" not in said, "a table does not tell the noise"


def test_the_dots_stand_where_their_values_are(published: World) -> None:
    root = svg(published)
    rows = [line.split("\t") for line in (DATA / "pr44-results.tsv").read_text().splitlines()[1:]]
    kept = [(n, float(row[1])) for n, row in enumerate(rows) if row[3] == "keep" and n]
    dots = drawn(root, "kept")
    (n0, v0), (n1, v1) = kept[0], kept[-1]
    (x0, y0), (x1, y1) = dots[0], dots[-1]
    for (number, value), (x, y) in zip(kept, dots, strict=True):
        assert x == pytest.approx(x0 + (number - n0) / (n1 - n0) * (x1 - x0), abs=0.01)
        assert y == pytest.approx(y0 + (value - v0) / (v1 - v0) * (y1 - y0), abs=0.01)
    assert y1 > y0, "lower is better, and further down"
    ((_, wild),) = drawn(root, "discarded-above")
    assert wild < min(y for _, y in dots)
    assert y1 - drawn(root, "baseline")[0][1] > 100, "one value of 3.2 does not flatten the rest"


@pytest.mark.parametrize("name", ["pr44-results", "pr48-loop", "pr48-dojo", "pr442-all", "pr48-results"])
def test_labels_cover_neither_each_other_nor_a_dot_nor_the_frame(empty: World, name: str) -> None:
    root = svg(with_table(empty, (DATA / f"{name}.tsv").read_text()))
    boxes = labels(root)
    assert len(boxes) >= 8
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        assert not overlap(a, b), (one, other)
    for mark in MARKS:
        for x, y in drawn(root, mark):
            assert not any(overlap(box, (x - 1.5, y - 1.5, x + 1.5, y + 1.5)) for box in boxes.values()), mark
    (frame,) = [group for group in root.iter(f"{SVG}g") if group.get("id") == "frame"]
    left, top, right, bottom = box_of(next(iter(frame.iter(f"{SVG}path"))).get("d", ""))
    assert all(left <= a and top <= b and c <= right and d <= bottom for a, b, c, d in boxes.values())


def test_the_largest_gains_and_the_last_are_named(published: World) -> None:
    root = svg(published)
    assert {1, 2, 8, 118} <= set(labels(root))
    said = texts(root)
    assert "halve batch 524K to 262K" in said
    assert "depth 9 aspect_ratio 57" in said
    assert "warmdown 0.7 to 0.75" in said


def test_the_crowded_picture_of_a_thousand_drops_the_smallest(empty: World) -> None:
    rows = [("1.000000", "keep", "baseline")]
    gains = {n: 0.05 if n in (100, 500, 900) else 0.0005 for n in range(1, 1000) if n % 5 == 0}
    best = 1.0
    for n in range(1, 1000):
        best -= gains.get(n, 0.0)
        rows.append((f"{best + (0 if n in gains else 0.004):.6f}", "keep" if n in gains else "discard", f"change number {n}"))
    root = svg(with_table(empty, table(rows)))
    boxes = labels(root)
    assert {100, 500, 900, 995} <= set(boxes)
    assert len(boxes) < len(gains) / 4
    assert len(drawn(root, "kept")) == len(gains)
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes.values(), 2))


def test_a_session_of_ours_shows_its_noise(toy: World) -> None:
    toy.commit({"bench.py": "import os, random\nfrom solver import ALPHA\n"
                            "luck = random.Random(os.environ['AUTORESEARCH_SEED']).uniform(-.05, .05)\n"
                            "print('score:', ALPHA + luck)\n", "solver.py": "ALPHA = 0.010\n"})  # fmt: skip
    toy.ok("start", "--tag", "t", "--experiments", "3", "--seed", "1")
    toy.ok("plot", "--output", "p.svg")
    root = ET.parse(toy.root / "p.svg").getroot()
    assert {"cpu/t", "score (higher is better)", "within the noise"} <= set(texts(root))
    (band,) = [
        box_of(path.get("d", ""))
        for group in root.iter(f"{SVG}g")
        if group.get("id") == "noise"
        for path in group.iter(f"{SVG}path")
    ]
    (best,) = [
        box_of(path.get("d", ""))
        for group in root.iter(f"{SVG}g")
        if group.get("id") == "best"
        for path in group.iter(f"{SVG}path")
    ]
    assert band[1] < best[1] < best[3] < band[3], "chance moves a number either way"
    statuses = [e["status"] for e in toy.experiments()]
    assert len(drawn(root, "kept")) == statuses.count("keep")
    outside = len(drawn(root, "discarded-above")) + len(drawn(root, "discarded-below"))
    assert len(drawn(root, "discarded")) + outside == statuses.count("discard")


def test_higher_is_higher_where_that_is_better(empty: World) -> None:
    rows = [("0.50", "keep", "baseline"), ("0.60", "keep", "wider"), ("0.55", "discard", "deeper"), ("0.70", "keep", "longer"),
            ("0.0", "crash", "too much")]  # fmt: skip
    root = svg(with_table(empty, table(rows, "accuracy")))
    (_, start), kept = drawn(root, "baseline")[0], drawn(root, "kept")
    assert kept[1][1] < kept[0][1] < start
    ((_, crash),) = drawn(root, "crashed")
    assert crash > start, "a crash stands at the worse edge"


@pytest.mark.parametrize(
    ("metric", "wild", "kinds"),
    [("accuracy", ("-3.0",), ["discarded-below"]), ("val_bpb", ("9.0",), ["discarded-above"]),
     ("accuracy", ("-3.0", "9.0"), ["discarded-above", "discarded-below"])],
)  # fmt: skip
def test_the_legend_shows_the_marks_that_are_there(empty: World, metric: str, wild: tuple[str, ...], kinds: list[str]) -> None:
    gain = "0.60" if metric == "accuracy" else "0.40"
    rows = [("0.50", "keep", "baseline"), (gain, "keep", "wider"), *((value, "discard", "what") for value in wild)]
    root = svg(with_table(empty, table(rows, metric)))
    outside = {shape for kind in kinds for shape in shapes(root, kind)}
    others = {shape for kind in ("discarded-above", "discarded-below") for shape in shapes(root, kind)} - outside
    assert len(outside) == len(kinds)
    assert outside <= shapes(root, "legend_1")
    assert not others & shapes(root, "legend_1")
    triangles = {shape for shape in shapes(root, "legend_1") if "C" not in shape}
    assert triangles == outside


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("0.9", "keep", "baseline")], "val_bpb 0.9, the baseline"),
        ([("0.9", "keep", "baseline"), ("0.9", "keep", "the same")], "val_bpb 0.9, no gain in 1 experiment"),
        ([("0.9", "keep", "baseline"), ("1.1", "discard", "worse")], "val_bpb 0.9, no gain in 1 experiment"),
        ([("0.0", "crash", "a"), ("0.0", "crash", "b")], "val_bpb: nothing kept in 2 experiments"),
        ([("3e-9", "keep", "baseline"), ("1e-9", "keep", "less")], "val_bpb 3e−09 → 1e−09 (−2e−09) in 1 experiment"),
        ([("2e15", "keep", "baseline"), ("1e15", "keep", "less")], "val_bpb 2e+15 → 1e+15 (−1e+15) in 1 experiment"),
        ([("5e299", "keep", "baseline"), ("-5e299", "keep", "less"), ("nan", "discard", "what")],
         "val_bpb 5e+299 → −5e+299 (−1e+300) in 2 experiments"),
    ],
)  # fmt: skip
def test_any_table_can_be_drawn(empty: World, rows: list[tuple[str, str, str]], said: str) -> None:
    with_table(empty, table(rows))
    root = svg(empty, env={"PYTHONWARNINGS": "error::UserWarning"})
    assert said in texts(root)
    marks = [xy for name in MARKS for xy in drawn(root, name)]
    assert len(marks) == len(rows)
    assert all(0 <= x <= 504 and 0 <= y <= 306 for x, y in marks)
    assert empty.ok("plot", "main").startswith(said)


def test_strangers_words_are_drawn_as_they_stand(empty: World) -> None:
    words = [r"lr $\frac{1}{0}$ and a_b^c", '<b>&amp; "x" --> ]]>', "增加 batch 到 2^19 🎉", "学习率", "plain \x1b[31mred\x1b[0m"]
    rows = [("1.0", "keep", "baseline"), *((f"{0.9 - n / 10:.1f}", "keep", text) for n, text in enumerate(words))]
    with_table(empty, table(rows))
    ran = empty.run("plot", "main", "--output", "p.svg", env={"PYTHONWARNINGS": "error::UserWarning"})
    assert (ran.code, ran.err) == (0, "")
    said = texts(ET.parse(empty.root / "p.svg").getroot())
    assert {words[0], words[1], "batch 2^19", "experiment 4", "plain red"} <= set(said)


def test_the_same_picture_twice_wherever_it_is_drawn(published: World, tmp_path: Path) -> None:
    """A home that cannot be written to, no display, other settings of matplotlib, other hashes."""
    elsewhere = {"HOME": "/proc/nowhere", "PYTHONHASHSEED": "7", "MPLBACKEND": "tkagg", "TZ": "Asia/Tokyo"}
    (published.root / "matplotlibrc").write_text("font.size: 30\nfigure.facecolor: black\ntext.usetex: True\n")
    (tmp_path / "home" / ".gitconfig").unlink()
    for kind in ("png", "svg"):
        drawings = []
        for env in ({"PYTHONHASHSEED": "1"}, elsewhere):
            ran = published.run("plot", "main", "--output", f"p.{kind}", env=env)
            assert (ran.code, ran.err) == (0, "")
            drawings.append((published.root / f"p.{kind}").read_bytes())
        assert drawings[0] == drawings[1]


def test_letters_fit_a_pipe(published: World) -> None:
    out = published.ok("plot", "main", env={"COLUMNS": "200"})
    lines = out.splitlines()
    assert len(lines) == 16
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in out
    assert lines[0] == "val_bpb 0.997900 → 0.969686 (−0.028214) in 125 experiments"
    assert lines[1] == "main (lower is better)"
    assert lines[-1] == "● 22 kept  · 102 discarded  × 1 crashed  ┄ baseline 0.9979  ▴▾ 1 off the scale"
    assert "○╮┄" in lines[3], "the first gain leaves the baseline"
    assert lines[2].count("×") == lines[2].count("▴") == 1, "no value, and one too bad to show: at the edge"
    best = [line for line in lines if "──" in line and "└" not in line]
    assert best[-1].rstrip().endswith("───"), "the best so far goes on to the end"


def on_a_terminal(world: World, columns: int, env: dict[str, str]) -> str:
    leader, follower = pty.openpty()
    subprocess.run(["stty", "cols", str(columns), "rows", "40"], stdin=follower, check=True)
    process = subprocess.Popen(["git-autoresearch", "plot", "main"], cwd=world.root, stdout=follower, stdin=follower,
                               env={k: v for k, v in {**os.environ, **env}.items() if k not in ("COLUMNS", "LINES")})  # fmt: skip
    os.close(follower)
    seen = b""
    while select.select([leader], [], [], 20)[0]:
        try:
            seen += os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
    assert process.wait() == 0
    os.close(leader)
    return seen.decode()


def test_letters_fit_the_terminal_in_colour(published: World) -> None:
    for columns in (120, 50):
        seen = on_a_terminal(published, columns, {"TERM": "xterm"})
        assert "\x1b[32m" in seen
        assert "\x1b[31m×" in seen
        widths = [len(re.sub(r"\x1b\[\d+m", "", line)) for line in seen.splitlines()]
        assert columns - 2 <= max(widths) <= columns
    assert "\x1b" not in on_a_terminal(published, 80, {"TERM": "xterm", "NO_COLOR": "1"})


def test_other_files_are_refused_by_name(published: World) -> None:
    ran = published.run("plot", "main", "--output", "progress.jpg")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == ["error: a picture is a .png or an .svg, not 'progress.jpg'",
                                    "  try: git autoresearch plot --output progress.png"]  # fmt: skip
    ran = published.run("plot", "main", "--output", "no/such/folder.png")
    assert ran.code == 1
    assert ran.err.startswith("error: cannot write no/such/folder.png: No such file or directory\n")
    assert published.run("plot").err.startswith("error: there is no session in this repository")
    assert published.run("plot", "main", "--output", "BIG.PNG").code == 0


def test_open_hands_the_picture_to_the_desktop(published: World, tmp_path: Path) -> None:
    published.zygote = None  # a fork keeps the folder for temporary files that its parent found
    tools, told = tmp_path / "tools", tmp_path / "told"
    tools.mkdir()
    for name in ("xdg-open", "open"):
        (tools / name).write_text(f'#!/bin/sh\necho "$1" > {told}.part && mv {told}.part {told}\n')
        (tools / name).chmod(0o755)
    env = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "DISPLAY": ":9", "TMPDIR": str(tmp_path)}
    path = Path(published.ok("plot", "main", "--open", env=env).strip())
    wait_for(told.exists)
    assert Path(told.read_text().strip()) == path
    assert path.is_relative_to(tmp_path)
    with Image.open(path) as image:
        assert image.size == (1400, 850)
    ran = published.run("plot", "main", "--open", "--output", "p.svg", env={**env, "DISPLAY": "", "WAYLAND_DISPLAY": ""})
    if os.uname().sysname != "Darwin":
        assert (ran.code, ran.out, ran.err) == (0, "p.svg\n", "nothing here shows pictures; the file is written\n")
