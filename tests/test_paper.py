"""The paper: what it says of a session, how it is held against the commits, and that no text in it does anything."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from author import Author, said
from conftest import SCRIPTS, SOLVER, World, make_toy, seal
from markdown_it import MarkdownIt
from markdown_it.token import Token
from notebooks import experiment, write_session
from zygote import Zygote

from autoresearch_git.community import prose, record
from autoresearch_git.experiment import Status

pytestmark = pytest.mark.usefixtures("warm")

LONGEST = 65_536  # that GitHub takes, in UTF-16 code units
OURS = re.compile(r"<!-- autoresearch:1\n.*?\n-->|<!-- git-autoresearch session [0-9a-f]{40} -->"
                  r"|<details><summary>[A-Za-z0-9 ]+</summary>|</details>", re.DOTALL)  # fmt: skip


@pytest.fixture
def world(drawn: Path, zygote: Zygote) -> World:
    """The repository of a session of six experiments; it is only looked at."""
    return World(drawn, zygote)


@pytest.fixture(scope="module")
def printed(drawn: Path, zygote: Zygote) -> str:
    return World(drawn, zygote).ok("paper")


@pytest.fixture
def paper(printed: str, tmp_path: Path) -> Path:
    """A file with its paper."""
    (tmp_path / "p.md").write_text(printed)
    return tmp_path / "p.md"


# -- said and checked -------------------------------------------------------------------------------------------


def test_the_paper_is_the_same_wherever_it_is_asked_for(world: World, paper: Path) -> None:
    text, other = paper.read_text(), paper.with_name("other.md")
    assert world.ok("paper", "--output", str(other)) == f"{other}\n"
    assert other.read_text() == text
    told = json.loads(world.ok("paper", "t", "--json"))
    assert sorted(told) == ["paper", "pull_request", "title"]
    assert (told["title"], told["paper"]) == ("exp/cpu/t: 0.8700 → 0.9900 in 6 experiments", text)
    assert "**score: 0.870000 → 0.990000** (+0.120000; higher is better)" in text
    assert "6 experiments on cpu with a budget of 300 s a run: 2 kept, 4 discarded, 0 crashed" in text
    for heading in ("Highlights", "Top wins", "The shape of each optimum", "Dead ends", "Adopt it", "Setup"):
        assert f"\n## {heading}\n" in text
    for e in world.experiments("t"):
        assert text.count(str(e["commit"])[:7]) >= 1
    assert "| ALPHA | 0.3 | 0.15: −0.112500 · **0.6: +0.090000** |\n| ALPHA | 0.6 | 1.2: −0.360000 |\n" in text


def test_what_an_author_adds_holds_where_its_numbers_do(world: World, paper: Path) -> None:
    added = """## Setup

Run with `git clone --depth 1337 https://example.org/x` and `python -m bench 1337`, from `main` (`exp/cpu/t-1337`, `run4711.log`):

    git log -n 1337

1. It went from `0.87` to `score 0.99` in 6 experiments of 300 s.
    - Two of them were kept.
"""
    paper.write_text(paper.read_text().replace("## Setup\n", added))
    assert world.ok("paper", "--check", str(paper)).startswith("ok: ")


def test_a_paper_of_ours_holds_against_the_commits(world: World, paper: Path) -> None:
    assert world.ok("paper", "--check", str(paper)) == f"ok: every commit and number of {paper} is in session cpu/t\n"
    paper.write_text(json.loads(world.ok("paper", "--json"))["pull_request"])
    assert world.ok("paper", "--check", str(paper)).startswith("ok: ")
    paper.write_text(paper.read_text().replace("0.990000", "0.999000"))
    told = json.loads(world.run("paper", "--check", str(paper), "--json").out)
    assert (told["session"], told["file"]) == ("cpu/t", str(paper))
    assert any("the session has 0.990000 where it says 0.999000" in problem for problem in told["problems"])


@pytest.mark.parametrize("case", ["number", "sign", "sha", "swapped", "record", "estimate", "metric", "unsaid", "headline", "count", "invented", "constant",
                                  "kept", "ends", "span", "indented", "fenced", "digest"])  # fmt: skip
def test_what_was_changed_is_found_and_said_with_its_line(world: World, paper: Path, case: str) -> None:
    text = paper.read_text()
    first, second = re.findall(r"^\| \d \| keep \|.*`(\w+)` \|$", text, re.MULTILINE)
    before, after, message = {
        "number": ("| +0.090000 | 0.960000 |", "| +0.190000 | 0.960000 |", "the session has +0.090000 where it says +0.190000"),
        "sign": ("| 0.820000 | −0.050000 |", "| 0.820000 | +0.050000 |", "the session has −0.050000 where it says +0.050000"),
        "sha": (f"`{first}` | 0.09", "`abcdef1` | 0.09", "abcdef1 is no commit of this repository"),
        "swapped": (f"`{first}` | 0.09", f"`{second}` | 0.09", f"the session has {first} where it says {second}"),
        "record": ('"keep":2', '"keep":5', "its record says experiments keep 5, discard 4, crash 0; the session says keep 2, discard 4, crash 0"),
        "estimate": ('"best":{"mean":0.99', '"best":{"mean":0.999', "its record says best 0.999, sd 0.0, n 1; the session says 0.99, sd 0.0, n 1"),
        "metric": ('"direction":"max"', '"direction":"min"', "its record says metric score, min; the session says score, max"),
        "unsaid": ('"seeds":[42,43],', "", "its record says seeds nothing; the session says 42, 43"),
        "headline": ("score: 0.870000 → 0.990000", "score: 0.870000 → 0.999000", "the session has 0.990000 where it says 0.999000"),
        "count": ("6 experiments on cpu", "60 experiments on cpu", "the session has 6 where it says 60"),
        "invented": ("## Setup", f"## Setup\n\nAnd `{'c0ffee' * 6}1234` gave 0.99.", f"{'c0ffee' * 6}1234 is no commit of this repository"),
        "constant": ("| ALPHA | 0.3 | 0.15: ", "| ALPHA | 0.3 | 0.17: ", "the session has 0.15 where it says 0.17"),
        "kept": ("2 kept, 4 discarded", "4 kept, 2 discarded", "the session has 2 where it says 4 and 4 where it says 2"),
        "ends": ("0.870000 → 0.990000", "0.990000 → 0.870000", "the session has 0.870000 where it says 0.990000 and 0.990000"),
        "span": ("## Setup", "## Setup\n\nIt gave `score 0.9987` in train.py.", "0.9987 is no number of this session's headline"),
        "indented": ("## Setup", "## Setup\n\n    score: 0.9987", "0.9987 is no number of this session's headline"),
        "fenced": ("## Setup", "## Setup\n\n```\nscore: 0.9987", "0.9987 is no number of this session's headline"),
        "digest": ("| harness | `sha256:", "| harness | `sha256:0", "the session has sha256:"),
    }[case]  # fmt: skip
    assert text.count(before) == 1
    paper.write_text(text.replace(before, after))
    ran = world.run("paper", "--check", str(paper))
    assert ran.code == 1
    assert message in ran.out
    if "its record says" not in message:
        line = 1 + text.partition(before)[0].count("\n") + after.count("\n")
        assert f"wrong: line {line}: {message}" in ran.out
    told = ran.out.count("wrong: ")
    assert said(ran)[0] == f"{paper} does not hold against session cpu/t: {told} problem" + "s" * (told != 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--check", "missing.md"), "missing.md cannot be read: "),
        (("--output", "missing/p.md"), "cannot write missing/p.md: "),
        (("nothing",), "there is no session 'nothing'"),
    ],
)
def test_a_file_that_cannot_be_had_is_one_line(world: World, arguments: tuple[str, ...], message: str) -> None:
    ran = world.run("paper", *arguments)
    assert ran.code == 1
    assert said(ran)[0].startswith(message)


# -- sessions of every kind -----------------------------------------------------------------------------------------


def session_of(world: World, first: float, *others: tuple[Status, float | None], spread: float | None = 0.0) -> dict[str, str]:
    """The paper of a session of these values, and that it holds; `spread` is that of the baseline's two runs, if it had two."""
    base = experiment(0, Status.BASELINE, "baseline", first)
    runs = [dataclasses.replace(base.measurements[0], value=first - (spread or 0) / 2),
            dataclasses.replace(base.measurements[1], value=first + (spread or 0) / 2)]  # fmt: skip
    made = [dataclasses.replace(base, measurements=tuple(runs[: 1 if spread is None else 2]))]
    made += [experiment(n, s, f"change {'abcdefgh'[n]}", v, "", f"eve/r#{n}") for n, (s, v) in enumerate(others, start=1)]
    write_session(world, "s", made, [SOLVER.replace("5", str(5 + n)) for n in range(len(made))])
    told: dict[str, str] = json.loads(world.ok("paper", "--json"))
    for body in ("paper", "pull_request"):
        (world.root / "p.md").write_text(told[body])
        world.ok("paper", "--check", "p.md")
    return told


def outcomes(paper: str) -> list[str]:
    """What became of each claim, in order."""
    part = paper.partition("## Claims of others, tried here\n")[2].partition("\n## ")[0]
    return re.findall(r"\| ([a-z ]+) \| `[0-9a-f]{7}` \|$", part, re.MULTILINE)


@pytest.mark.parametrize(
    ("first", "last", "spread", "title", "highlight"),
    [
        (0.00006, 0.00014, 0.0, "0.000060 → 0.000140", "0.000060 → 0.000140** (+0.000080;"),
        (0.00006, 0.0003, 0.0, "0.000060 → 0.000300", "0.000060 → 0.000300** (+0.000240;"),
        (9999.5, 12344.5, 0.0, "9999.5000 → 12344.5000", "9999.5 → 12344.5** (+2345.00;"),
        (0.9, 0.90000025, 0.0, "0.90000000 → 0.90000025", "0.90000000 → 0.90000025** (+0.00000025;"),
        (1000, 2234.5, 3.2, "1000.0000 → 2234.5000", "1000.00 → 2234.50** (+1234 ± 17;"),
        (0.5, 0.500012, 4e-7, "0.500000 → 0.500012", "0.5000000 → 0.5000120** (+0.0000120 ± 0.0000022;"),
        (0.87, 0.99, 0.001, "0.8700 → 0.9900", "0.870000 → 0.990000** (+0.1200 ± 0.0055;"),
    ],
)  # fmt: skip
def test_no_two_numbers_are_written_alike(toy: World, first: float, last: float, spread: float, title: str, highlight: str) -> None:
    told = session_of(toy, first, (Status.KEEP, last), spread=spread)
    assert told["title"] == f"exp/cpu/s: {title} in 1 experiment"
    for body in ("paper", "pull_request"):
        assert f"\n- **score: {highlight}" in told[body]
    read = prose.headline(told["title"])
    assert read
    assert (read.before, read.after, read.experiments) == pytest.approx((first, last, 1))


def test_numbers_of_any_size_are_written(toy: World) -> None:
    told = session_of(toy, 1e15, (Status.KEEP, 2e15))
    assert told["title"] == "exp/cpu/s: 1e+15 → 2e+15 in 1 experiment"


def test_what_a_plus_minus_holds_is_within_the_noise_and_nothing_else(toy: World) -> None:
    """One difference of two runs gives one degree of freedom: its t of 6.314 makes 0.01 of the baseline's spread a long way."""
    tried = ((Status.DISCARD, 0.55), (Status.KEEP, 0.5448), (Status.DISCARD, 0.5), (Status.KEEP, 0.65), (Status.DISCARD, 0.4))
    told = session_of(toy, 0.5, *tried, spread=0.01)
    assert told["title"] == "exp/cpu/s: 0.5000 → 0.6500 in 5 experiments"
    paper = told["paper"]
    rows = re.findall(r"^\| ([+−]\S+) ± (\S+) \|(?: 0\.\S+ \|)? change (\w) ", paper, re.MULTILINE)
    widths = {name: (float(delta.replace("−", "-")), float(width)) for delta, width, name in rows}
    assert widths == {"b": (0.050, 0.055), "c": (0.045, 0.055), "d": (-0.045, 0.063), "e": (0.105, 0.063), "f": (-0.250, 0.063)}
    noise = paper.partition("lay within the noise")[2].partition("\n## ")[0]
    assert "| change b |" in noise
    assert "| change d |" in noise
    assert "| change f |" in paper.partition("## Dead ends\n")[2].partition("lay within")[0]
    wins = paper.partition("## Top wins\n")[2].partition("\n## ")[0]
    doubted = {
        name: "not resolved: 0 lies within its ±" in line
        for line in wins.splitlines()
        for name in re.findall(r"change (\w) ", line)
    }
    assert doubted == {"e": False, "c": True}
    for body in (paper, told["pull_request"]):
        assert len(re.findall(r"± is half the width of a 90 % interval \(Student's t, 1 degree of freedom\)", body)) == 1
        assert "1 of the 2 kept gains is not resolved on its own: 0 lies within its ±." in body
        assert "The best of 5 was picked after looking, so expect less of its gain when it is measured again." in body


def test_a_gain_that_is_not_resolved_is_said_to_be_none_wherever_it_is_told(toy: World) -> None:
    told = session_of(toy, 0.5, (Status.KEEP, 0.5448), spread=0.01)
    assert told["title"] == "exp/cpu/s: 0.5000 → 0.5448 in 1 experiment, within the noise"
    for body in (told["paper"], told["pull_request"]):
        assert "(+0.045 ± 0.055, not resolved: 0 lies within; higher is better)" in body
        assert "was picked after looking" not in body  # of one there is no choice


def test_without_measured_noise_nothing_is_called_noise_or_confirmed(toy: World) -> None:
    discards = ((Status.DISCARD, 0.4), (Status.DISCARD, 0.59), (Status.DISCARD, 0.61))
    paper = session_of(toy, 0.5, (Status.KEEP, 0.6), *discards, spread=None)["paper"]
    assert outcomes(paper) == [
        "held in one run", "not resolved", "not resolved", "not resolved"]  # fmt: skip
    assert "within the noise" not in paper
    part = paper.partition("## Discarded, with the noise not measured\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| (\S+) \| change (\w)", part, re.MULTILINE) == [
        ("−0.200000", "c"), ("−0.010000", "d"), ("+0.010000", "e")]  # fmt: skip
    assert "## Dead ends" not in paper


def test_with_measured_noise_a_claim_is_confirmed_or_contradicted_beyond_it(toy: World) -> None:
    tried = ((Status.KEEP, 0.7), (Status.KEEP, 0.7001), (Status.DISCARD, 0.7), (Status.DISCARD, 0.3))
    paper = session_of(toy, 0.5, *tried, spread=0.01)["paper"]
    assert outcomes(paper) == [
        "confirmed", "held in one run", "not resolved", "contradicted"]  # fmt: skip
    assert "a gain within the noise, as it was known then, was kept only if a second seed showed it too" in paper


@pytest.mark.parametrize(
    ("others", "title", "text"),
    [
        ((), "no experiment beyond the baseline yet", "the baseline (higher is better): no experiment beyond it yet"),
        (((Status.DISCARD, 0.4),), "nothing kept in 1 experiment", "the baseline (higher is better): nothing was kept"),
    ],
)
def test_a_session_without_a_gain_says_so(toy: World, others: tuple[tuple[Status, float], ...], title: str, text: str) -> None:
    told = session_of(toy, 0.5, *others)
    assert told["title"] == f"exp/cpu/s: {title}"
    for body in ("paper", "pull_request"):
        assert f"- **score: 0.500000**, {text}" in told[body]
        assert "+0.000000" not in told[body]
        assert " 0 experiments" not in told[body]


@pytest.mark.parametrize(
    ("trained", "told"),
    [
        ((300.2, 299.1, 301), "2 experiments on cpu, 300 s of training each"),
        ((300.2, 299.1, 4), "2 experiments on cpu with a budget of 300 s a run"),
        ((300.2, 299.1, None), "2 experiments on cpu with a budget of 300 s a run"),
    ],
)
def test_each_is_said_to_have_trained_for_the_budget_only_where_it_did(
    toy: World, trained: tuple[float | None, ...], told: str
) -> None:
    made = [
        experiment(0, Status.BASELINE, "baseline", 0.5),
        experiment(1, Status.KEEP, "a", 0.6),
        experiment(2, Status.CRASH, "b", None),
    ]
    runs = [m for e in made for m in e.measurements]
    figures = iter([{**m.figures, "training_seconds": s} if s else m.figures for m, s in zip(runs, (*trained, None), strict=True)])
    made = [
        dataclasses.replace(e, measurements=tuple(dataclasses.replace(m, figures=next(figures)) for m in e.measurements))
        for e in made
    ]
    write_session(toy, "n", made)
    for body in ("paper", "pull_request"):
        text = json.loads(toy.ok("paper", "--json"))[body]
        assert told in text
        (toy.root / "p.md").write_text(text)
        assert toy.ok("paper", "--check", "p.md").startswith("ok: ")


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ((), "- Every experiment is a commit in one ref:"),
        (((Status.KEEP, 0.6),), "- Every experiment is a commit in one ref:"),
        (((Status.DISCARD, 0.4),), "- Every experiment, also the discarded one, is a commit in one ref:"),
        (((Status.DISCARD, 0.4), (Status.DISCARD, 0.3), (Status.CRASH, None)),
         "- Every experiment, also the 2 discarded and the crashed one, is a commit in one ref:"),
        (((Status.CRASH, None), (Status.CRASH, None)), "- Every experiment, also the 2 crashed ones, is a commit in one ref:"),
    ],
)  # fmt: skip
def test_what_is_in_the_notebook_is_said_with_what_there_is(
    toy: World, others: tuple[tuple[Status, float | None], ...], text: str
) -> None:
    toy.git("remote", "add", "origin", "https://github.com/ada/toy.git")
    assert text in session_of(toy, 0.5, *others)["pull_request"]


def test_what_is_to_be_measured_again_can_be_fetched(toy: World) -> None:
    toy.git("remote", "add", "origin", "https://github.com/ada/toy.git")
    again = experiment(1, Status.DISCARD, "a", 0.5)
    twice = (*again.measurements, dataclasses.replace(again.measurements[0], seed=43, value=0.5001))
    write_session(toy, "n", [experiment(0, Status.BASELINE, "baseline", 0.5), dataclasses.replace(again, measurements=twice)])
    for choice, asked in (("--with-discards", 1), ("--without-discards", 0)):
        paper = json.loads(toy.ok("publish", "--dry-run", "--json", choice))["discussion"]
        assert paper.count("was better on one seed and not on another: measure it again") == asked


def test_names_with_numbers_are_no_numbers(toy: World) -> None:
    made = [
        experiment(0, Status.BASELINE, "baseline", 0.5),
        experiment(1, Status.KEEP, "a", 0.6),
        experiment(2, Status.KEEP, "b", 0.7),
    ]
    names = ("sweep", "claude-opus-5-5", "gpt-4o-2024-08-06")
    cpu = {"cpu": "Intel(R)  Xeon(R) CPU   @ 2.20GHz", "cores": 2}
    made = [dataclasses.replace(e, researcher=name, platform=cpu) for e, name in zip(made, names, strict=True)]
    write_session(
        toy, "n", made, [SOLVER.replace("5", str(5 + n)) for n in range(3)], "accuracy_of_the_777_held_out_examples_at_step_953"
    )
    for body in json.loads(toy.ok("paper", "--json")).values():
        if "## " in body:
            (toy.root / "p.md").write_text(body.replace("## Adopt it", "By claude-opus-5-5 and gpt-4o-2024-08-06.\n\n## Adopt it"))
            assert toy.ok("paper", "--check", "p.md").startswith("ok: ")


def test_the_title_has_the_name_that_it_is_published_under(ada: Author) -> None:
    ada.publish("--as", "other")
    assert ada.pull.title == ada.discussion.title == "exp/cpu/other: 0.8700 → 0.9900 in 6 experiments"
    (ada.world.root / "p.md").write_text(ada.discussion.body)
    assert ada.world.ok("paper", "--check", "p.md").startswith("ok: ")


# -- adopted ------------------------------------------------------------------------------------------------------


def adopted(world: World, folder: Path, body: str) -> dict[str, str]:
    """What the line of a body would do in a fresh clone without settings, by the first word of each line that says so."""
    subprocess.run(["git", "clone", "-q", str(world.root), str(folder)], check=True)
    subprocess.run(["git", "config", "--global", f"url.{world.root}.insteadOf", "https://github.com/ada/toy.git"], check=True)
    (line,) = re.findall(r"^ +(git fetch .+ && git autoresearch start .+)$", body, re.MULTILINE)
    ran = subprocess.run(["bash", "-c", f"{line} --dry-run"], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return dict(row.split(None, 1) for row in ran.stdout.splitlines())


def test_the_line_that_adopts_carries_whatever_the_session_was_run_with(toy: World, tmp_path: Path) -> None:
    toy.git("remote", "add", "origin", "https://github.com/ada/toy.git")
    toy.commit({"it's \\ one.py": "X = 1\n", "two.py": "Y = 2\n"})
    run = """NAME="it's $PWD" {python} bench.py --name 'a  b'"""
    toy.git("config", "autoresearch.editable", "solver.py\nit's \\ one.py\n")
    times = ("--budget", "1.5m", "--timeout", "777")
    toy.ok("start", "--tag", "t", "--experiments", "1", "--run", run, "--prepare", "echo 'it is'", *times)
    told = adopted(toy, tmp_path / "clone", json.loads(toy.ok("publish", "--dry-run", "--json"))["pull_request"])
    assert (told["metric"], told["editable"]) == ("score (max)", "solver.py it's \\ one.py")
    words = shlex.split(told["run"])
    assert words[:2] == ["/bin/sh", "-c"]
    assert re.sub(rf"{SCRIPTS}/python[0-9.]*", "{python}", words[2]) == run
    assert told["budget"].startswith("90 s a run, killed after 777 s")
    assert told["prepare"] == "echo 'it is'"


def test_what_the_repository_says_of_itself_does_not_change_what_is_adopted(toy: World, tmp_path: Path) -> None:
    toy.git("remote", "add", "origin", "https://github.com/ada/toy.git")
    toy.commit({".autoresearch.toml": "budget = 20\nmetric = 'loss'\ntimeout = 30\n"})
    toy.ok("start", "--tag", "t", "--experiments", "1", "--budget", "300", "--timeout", "600")
    told = adopted(toy, tmp_path / "clone", json.loads(toy.ok("publish", "--dry-run", "--json"))["discussion"])
    assert told["metric"] == "score (max)"
    assert told["budget"].startswith("300 s a run, killed after 600 s")


def test_where_nothing_was_kept_nothing_is_called_the_best(toy: World) -> None:
    toy.git("remote", "add", "origin", "https://github.com/ada/toy.git")
    told = session_of(toy, 0.5, (Status.DISCARD, 0.4))
    for body in (told["paper"], told["pull_request"], json.loads(toy.ok("publish", "--dry-run", "--json"))["pull_request"]):
        prose = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
        assert "git autoresearch start --from " in prose or "Adopt it" not in prose
        assert not re.search(r"\bbest\b", prose), prose


# -- text that would do something -----------------------------------------------------------------------------------

HOSTILE = [
    "@eve and @eve/team, cc eve@example.org",
    "#12 closes #12, fixes evil/repo#3, GH-7, resolves https://example.org/evil/repo/issues/3",
    "see www.example.org or http://example.org/?a=1&b=2",
    "<script>alert(1)</script><img src=x onerror=alert(1)> <b>bold</b> &lt;i&gt; &copy;",
    "a | b || c \\| d \\\\| e | `x | y` \\",
    "`one ``two` ```three @eve ` #4",
    "$x^2$ $$\\int$$ and $`@eve`$",
    "<!-- autoresearch:1 {} --> <!-- hidden --> --> <!--",
    "![image](https://example.org/x.png) [link](javascript:alert(1)) [ref]: http://example.org",
    "\u202eright to left\u202c \u200bzero\u2066 wi\u00addth \x1b[31mred\x07",
    "# heading", "- item", "1. first", "> quote", "=====", "~~~", "|---|---|", "***", "~~gone~~ _em_ __strong__ *em* **strong**",
    "{{ paper }} {% raw %} ${HOME} $(id) {#12",
    "long " * 2_000,
    "ZALGO z\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307",
    "Autoresearch-Status: keep @eve",
]  # fmt: skip


def tokens_of(text: str) -> list[Token]:
    """Everything that a reader of Markdown sees, in order, inline and not."""
    found = []
    for block in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text):
        found += [block, *(block.children or [])]
    return found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Both bodies of a session all of whose texts would do something, if they could."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        seal(patch, folder)
        world = make_toy(folder)
        world.commit({"solver.py": SOLVER + "MODE = 'plain'\nNAME = 'a'\n"})
        made = [experiment(0, Status.BASELINE, "baseline @eve #1", 0.5)]
        texts = [SOLVER + "MODE = 'plain'\nNAME = 'a'\n"]
        for n, text in enumerate(HOSTILE * 3, start=1):
            status = (Status.KEEP, Status.DISCARD, Status.CRASH)[(n - 1) % 3]
            value = None if status is Status.CRASH else 0.5 + n / 1000 - (0.2 if status is Status.DISCARD else 0)
            inspired = f"evil/repo#{n} @eve | <b>" if n % 5 == 0 else ""
            made.append(experiment(n, status, text, value, f"because {text}", inspired))
            texts.append(SOLVER + f"MODE = '@eve|#{n} <b>`$'\nNAME = 'a'\n")
        raw = "x` @eve #1 <b> | ``y"
        made = [dataclasses.replace(e, harness=raw, measurements=tuple(
            dataclasses.replace(m, figures={**m.figures, "data": raw}) for m in e.measurements)) for e in made]  # fmt: skip
        write_session(world, "h", made, texts, "sco]re`(@eve)<b>|")
        told: dict[str, str] = json.loads(world.ok("paper", "--json"))
        assert len(world.experiments()) == len(made)
    return told


@pytest.mark.parametrize("body", ["paper", "pull_request"])
def test_nobody_is_mentioned_and_nothing_referred_to_by_a_hostile_text(hostile: dict[str, str], body: str) -> None:
    tokens = tokens_of(hostile[body])
    words = [token.content for token in tokens if token.type == "text"]
    assert any("right to left" in word for word in words)
    for word in words:
        assert not re.search(r"@\w|#\d|\bGH-\d|://|www\.|\w@\w", word, re.IGNORECASE), word
    assert [token for token in tokens if token.type in ("link_open", "image")] == []


@pytest.mark.parametrize("body", ["paper", "pull_request"])
def test_no_markup_comes_from_a_hostile_text(hostile: dict[str, str], body: str) -> None:
    text, tokens = hostile[body], tokens_of(hostile[body])
    html = "\n".join(token.content for token in tokens if token.type in ("html_block", "html_inline"))
    assert OURS.sub("", html).strip() == ""
    headings = [after.content for token, after in itertools.pairwise(tokens) if token.type == "heading_open"]
    assert set(headings) <= {"Highlights", "Top wins", "The shape of each optimum", "Claims of others, tried here", "Dead ends",
                             "Next", "References", "Adopt it", "Setup", "What is here"}  # fmt: skip
    first = [token for token in tokens if token.content.startswith("*This is an automated report: ")]
    emphasised = [token for token in tokens if token.type == "inline" and any(c.type == "em_open" for c in token.children or [])]
    assert emphasised == first
    assert not any(token.type in ("s_open", "fence", "hr", "ordered_list_open") for token in tokens)
    outside = re.sub(r"(?<!\\)`[^`\n]*`", "", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
    assert not re.search(r"(?<!\\)\$", outside)  # no formula
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\u00ad\x00-\x08\x1b]", text)
    assert len(text.encode("utf-16-le")) // 2 <= LONGEST


@pytest.mark.parametrize("body", ["paper", "pull_request"])
def test_rows_of_hostile_texts_stay_rows(hostile: dict[str, str], body: str) -> None:
    lines, tables = hostile[body].splitlines(), 0
    for above, line in itertools.pairwise(lines):
        if not (above.startswith("|") and line.startswith("|")):
            continue
        tables += re.fullmatch(r"[|:-]+", line) is not None
        assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", above)), line
    assert tables >= (1 if body == "pull_request" else 6)
    rows = [line for line in lines if re.match(r"\| \d+ \| (keep|discard|crash) \|", line)]
    assert len(rows) == (3 * len(HOSTILE) if body == "paper" else 0)
    assert all(re.search(r"\| `[0-9a-f]{7}` \|$", row) for row in rows)


def test_the_record_of_a_hostile_session_is_whole(hostile: dict[str, str]) -> None:
    for body in ("paper", "pull_request"):
        told = record.read(hostile[body])
        assert told
        assert sum(told.experiments.values()) == 3 * len(HOSTILE)
        assert told.findings
        assert hostile[body].count("<!-- autoresearch:1") == 1
        assert all("\u202e" not in claim.description and "\x1b" not in claim.description for claim in told.findings)


# -- as GitHub shows it -------------------------------------------------------------------------------------------


def test_no_paragraph_goes_over_several_lines_which_github_would_break(world: World, hostile: dict[str, str]) -> None:
    bodies = [
        json.loads(world.ok("paper", "--json")),
        hostile,
        json.loads(world.ok("publish", "--dry-run", "--json", "--to", "o/n")),
    ]
    texts = [told[name] for told in bodies for name in ("paper", "discussion", "pull_request") if name in told]
    assert len(texts) == 6
    for text in texts:
        wrapped = [t for t in tokens_of(text) if t.type == "inline" and t.map and t.map[1] - t.map[0] > 1]
        assert [t.content for t in wrapped] == []


def test_notes_that_are_wrapped_are_shown_as_they_were_meant(world: World, tmp_path: Path) -> None:
    notes = ["A paragraph that goes on", "over two lines.", "", "- an item", "  that does, too", "  1. and one", "     inside it", "",
             "> quoted, and", "> on another", "line", "", "```", "def f():", "    return 1", "```", "", "| a | b |", "|---|---|",
             "| c | d |", "", "A break that is meant  ", "stays, and\\", "this one, too.", "", "    code", "    too", "",
             "> [!NOTE]", "> GitHub's own", "> kind of box", "", "A note[^a] and[^b].", "", "[^a]: One note", "with a second line.",
             "[^b]: Two."]  # fmt: skip
    (tmp_path / "notes.md").write_text("\n".join(notes))
    told = json.loads(world.ok("publish", "--dry-run", "--json", "--to", "o/n", "--notes", str(tmp_path / "notes.md")))
    shown = told["discussion"].partition("## Notes\n\n")[2].partition("\n\n## Top wins")[0]
    assert shown.splitlines() == [
        "A paragraph that goes on over two lines.", "", "- an item that does, too", "  1. and one inside it", "",
        "> quoted, and on another line", "", "```", "def f():", "    return 1", "```", "", "| a | b |", "|---|---|",
        "| c | d |", "", "A break that is meant  ", "stays, and\\", "this one, too.", "", "    code", "    too", "",
        "> [!NOTE]", "> GitHub's own kind of box", "", "A note[^a] and[^b].", "", "[^a]: One note with a second line.", "[^b]: Two."]  # fmt: skip


# -- templates --------------------------------------------------------------------------------------------------


@pytest.fixture
def templated(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own templates."""
    folder = tmp_path / "templates"
    folder.mkdir()
    monkeypatch.setenv("AUTORESEARCH_TEMPLATES", str(folder))
    return folder


def test_one_block_of_a_template_can_be_ones_own(world: World, templated: Path) -> None:
    (templated / "paper.md.j2").write_text(
        '{% extends "packaged/paper.md.j2" %}\n{% block highlights %}\nKept: {{ paper.results.kept | length }}.\n\n{% endblock %}\n'
    )
    told = json.loads(world.ok("paper", "--json"))
    assert "\nKept: 2.\n" in told["paper"]
    assert "## Highlights" not in told["paper"]
    assert "\n## Setup\n" in told["paper"]
    assert told["paper"].startswith("<!-- autoresearch:1\n")
    assert "Not meant to be merged" in told["pull_request"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("fine\n{% block %}\n", ", line 2 cannot be rendered: "),
        ("fine\n\n{{ paper.nothing }}\n", ", line 3 cannot be rendered: "),
        ("{{ ''.__class__.__mro__ }}\n", ", line 1 cannot be rendered: access to attribute '__class__' of 'str' object is unsafe."),
        ("{% include '/etc/passwd' %}\n", ", line 1 cannot be rendered: "),
        ("fine\n{{ 1 / 0 }}\n", ", line 2 cannot be rendered: division by zero"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_one_line(world: World, templated: Path, template: str, message: str) -> None:
    file = templated / "paper.md.j2"
    file.write_text(template)
    ran = world.run("paper")
    assert ran.code == 1, ran.err
    assert said(ran)[0].startswith(f"{file}{message}")
    assert said(ran)[1] == "mend it, or go without: git config --unset autoresearch.templates"


def test_a_cloned_file_may_not_say_what_is_posted_in_the_users_name(toy: World) -> None:
    toy.ok("start", "--tag", "t", "--experiments", "1")
    toy.write({".autoresearch.toml": 'templates = "templates"\n', "templates/paper.md.j2": "buy this"})
    ran = toy.run("paper")
    assert ran.code == 1
    assert said(ran) == ("templates is not taken from .autoresearch.toml: a cloned file may not say what is posted in your name",
                         "take it out there, then: git config autoresearch.templates <value>")  # fmt: skip


# -- long sessions ----------------------------------------------------------------------------------------------


def test_seven_hundred_experiments_fit_and_lose_only_what_was_not_kept(toy: World) -> None:
    toy.git("remote", "add", "origin", "https://github.com/ada/toy.git")
    made = [experiment(0, Status.BASELINE, "baseline", 0.5)]
    for n in range(1, 701):
        status = Status.KEEP if n % 10 == 0 else Status.CRASH if n % 35 == 1 else Status.DISCARD
        value = None if status is Status.CRASH else 0.5 + n / 10_000 - (0.01 if status is Status.DISCARD else 0)
        made.append(experiment(n, status, f"warm up for {n} steps, then decay to {n} % — ünïcödé 𝛼 {'and more ' * 9}", value,
                               "0.001 better, above the noise of 0"))  # fmt: skip
    write_session(toy, "long", made, [SOLVER.replace("5", str(5 + n)) for n in range(701)])
    told = json.loads(toy.ok("publish", "--dry-run", "--json"))
    paper = told["discussion"]
    for body in (paper, told["pull_request"]):
        assert len(body.encode("utf-16-le")) // 2 < LONGEST
    assert len(paper.encode("utf-16-le")) // 2 > 0.98 * LONGEST  # as much as there is room for
    for body in (paper, told["pull_request"]):
        assert record.read(body) is not None
    for text in ("## Highlights", "## Top wins", "## The shape of each optimum", "## Dead ends", "## Adopt it", "## Setup",
                 "700 experiments on cpu", "Crashed:"):  # fmt: skip
        assert text in paper
    log = paper.partition("<details><summary>")[2].rpartition("<details><summary>")[2]
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", log, re.MULTILINE)
    shown = {int(number) for number, _ in rows}
    assert {n for n in range(1, 701) if n % 10 == 0} <= shown
    assert 70 < len(shown) < 700
    (link,) = re.findall(r"^The other experiments are in \[results\.tsv\]\((.+)\)\.$", paper, re.MULTILINE)
    assert link == f"https://github.com/ada/toy/blob/{told['commit']}/results.tsv"
    assert toy.git("show", f"{told['commit']}:results.tsv").count("\n") == 701
