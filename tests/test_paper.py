"""The paper: what it says of a session, how it is held against the commits, and that no text in it does anything."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from author import said
from conftest import SOLVER, World, make_toy, seal
from markdown_it import MarkdownIt
from markdown_it.token import Token
from notebooks import experiment, write_session

from autoresearch_git.community import record
from autoresearch_git.experiment import Status

LONGEST = 65_536  # that GitHub takes, in UTF-16 code units
OURS = re.compile(r"<!-- autoresearch:1\n.*?\n-->|<!-- git-autoresearch session [0-9a-f]{40} -->"
                  r"|<details><summary>[A-Za-z0-9 ]+</summary>|</details>", re.DOTALL)  # fmt: skip


@pytest.fixture
def world(drawn: Path) -> World:
    """The repository of a session of six experiments; it is only looked at."""
    return World(drawn)


@pytest.fixture(scope="module")
def printed(drawn: Path) -> str:
    return World(drawn).ok("paper")


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
    assert "6 experiments on cpu, 300 s each: 2 kept, 4 discarded, 0 crashed" in text
    for heading in ("Highlights", "Top wins", "The shape of each optimum", "Dead ends", "Adopt it", "Setup"):
        assert f"\n## {heading}\n" in text
    for e in world.experiments("t"):
        assert text.count(str(e["commit"])[:7]) >= 1
    assert "| ALPHA | 0.3 | 0.15: −0.112500 · **0.6: +0.090000** · 1.2: −0.360000 |" in text


def test_a_paper_of_ours_holds_against_the_commits(world: World, paper: Path) -> None:
    assert world.ok("paper", "--check", str(paper)) == f"ok: every commit and number of {paper} is in session cpu/t\n"
    paper.write_text(json.loads(world.ok("paper", "--json"))["pull_request"])
    assert world.ok("paper", "--check", str(paper)).startswith("ok: ")
    paper.write_text(paper.read_text().replace("0.990000", "0.999000"))
    told = json.loads(world.run("paper", "--check", str(paper), "--json").out)
    assert (told["session"], told["file"]) == ("cpu/t", str(paper))
    assert any("0.999000 is no number of this session's headline" in problem for problem in told["problems"])


@pytest.mark.parametrize("case", ["number", "sign", "sha", "swapped", "record", "headline", "count", "invented", "constant"])
def test_what_was_changed_is_found_and_said_with_its_line(world: World, paper: Path, case: str) -> None:
    text = paper.read_text()
    first, second = re.findall(r"^\| \d \| keep \|.*`(\w+)` \|$", text, re.MULTILINE)
    before, after, message = {
        "number": ("| +0.090000 | 0.960000 |", "| +0.190000 | 0.960000 |", f"+0.190000 is no number of {first}"),
        "sign": ("| 0.820000 | −0.050000 |", "| 0.820000 | +0.050000 |", "+0.050000 is no number of "),
        "sha": (f"`{first}` | 0.09", "`abcdef1` | 0.09", "abcdef1 is no commit of this repository"),
        "swapped": (f"`{first}` | 0.09", f"`{second}` | 0.09", f"+0.090000 is no number of {second}"),
        "record": ('"keep":2', '"keep":5', "its record says experiments {'keep': 5, 'discard': 4, 'crash': 0}; the session says"),
        "headline": ("score: 0.870000 → 0.990000", "score: 0.870000 → 0.999000", "0.999000 is no number of this session's headline"),
        "count": ("6 experiments on cpu", "60 experiments on cpu", "60 is no number of this session's headline"),
        "invented": ("## Setup", f"## Setup\n\nAnd `{'c0ffee' * 6}1234` gave 0.99.", f"{'c0ffee' * 6}1234 is no commit of this repository"),
        "constant": ("| ALPHA | 0.3 | 0.15: ", "| ALPHA | 0.3 | 0.17: ", "0.17 is not what the session says of ALPHA"),
    }[case]  # fmt: skip
    assert text.count(before) == 1
    paper.write_text(text.replace(before, after))
    ran = world.run("paper", "--check", str(paper))
    assert ran.code == 1
    assert message in ran.out
    if case != "record":
        line = 1 + text.partition(before)[0].count("\n") + (2 if case == "invented" else 0)
        assert f"wrong: line {line}: {message}" in ran.out
    assert said(ran)[0] == f"{paper} does not hold against session cpu/t: {ran.out.count('wrong: ')} problems"


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
        write_session(world, "h", made, texts)
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
                             "Next", "Adopt it", "Setup", "What is here"}  # fmt: skip
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
