"""What users copy to a hub and fill in by hand: the workflow's steps are run as written, the templates read as GitHub posts them."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import BENCH, SOLVER, World
from github_standin import GitHub
from github_standin.repository import CATEGORIES, Repository

from autoresearch_git.community.github import LABEL
from autoresearch_git.publishing import plan

FOLDER = Path(__file__).parent.parent / ".github"
WORKFLOW = FOLDER / "examples" / "autoresearch.yml"
SETTINGS = 'metric = "score"\ndirection = "max"\nrun = "{python} bench.py"\neditable = "solver.py"\n'
PREPARE = "TIME_BUDGET = 300\n\n\ndef evaluate_bpb():\n    return 1.0\n"


def _workflow() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def _run_step(job: str, name: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A step of the workflow as the runner runs it: its script in a file, by the shell that it names."""
    told = _workflow()["jobs"][job]
    step = next(step for step in told["steps"] if step.get("name") == name)
    script = folder.parent / "script"
    script.write_text(step["run"])
    shell = [sys.executable] if step.get("shell") == "python" else ["bash", "-e"]
    given = {**told.get("env", {}), **step.get("env", {})}
    return subprocess.run([*shell, str(script)], cwd=folder, capture_output=True, text=True, env={**os.environ, **given, **env})


# -- the check that keeps sessions from being merged ------------------------------------------------------------------

RECORD = '<!-- autoresearch:1\n{"session":"H100/mar8"}\n-->\nprose'


def _gate(tmp_path: Path, ref: str, body: str | None, labels: tuple[str, ...] = ()) -> tuple[int, str]:
    folder = tmp_path / "runner"
    folder.mkdir(exist_ok=True)
    url = "https://github.com/ada/hub/pull/7"
    pull = {"head": {"ref": ref}, "body": body, "labels": [{"name": name} for name in labels], "html_url": url}
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": pull}))
    done = _run_step("may-be-merged", "Research sessions are adopted", folder, GITHUB_EVENT_PATH=str(event))
    assert done.stderr == ""
    assert list(folder.iterdir()) == []
    return done.returncode, done.stdout


def test_a_session_may_not_be_merged_and_the_check_says_what_to_do(tmp_path: Path) -> None:
    code, said = _gate(tmp_path, "exp/H100/mar8", RECORD)
    assert code == 1
    assert said.startswith("::error::Not meant to be merged: adopt it.")
    assert "To take them up: git autoresearch adopt https://github.com/ada/hub/pull/7" in said
    assert _gate(tmp_path, "exp/H100/mar8", "by hand", labels=("help wanted", LABEL))[0] == 1
    assert _gate(tmp_path, "exp/H100/mar8", "\n\n" + RECORD.replace(":1", ":2"))[0] == 1


@pytest.mark.parametrize(
    ("ref", "body", "labels"),
    [
        ("feature/faster", RECORD, (LABEL,)),
        ("my-exp/H100/mar8", RECORD, ()),
        ("exp/notes", RECORD, (LABEL,)),
        ("exp/H100/mar8", None, ()),
        ("exp/H100/mar8", f"see this example:\n\n{RECORD}", ("help wanted",)),
    ],
)
def test_everything_else_may_be_merged(tmp_path: Path, ref: str, body: str | None, labels: tuple[str, ...]) -> None:
    assert _gate(tmp_path, ref, body, labels) == (0, "This is no research session.\n")


@pytest.mark.parametrize(
    "text", ["$(touch x)", "`touch x`", '"; open("x", "w"); "', "'''\nopen('x', 'w')\n'''", "::add-mask::a\n::error::b", "\u202e\x1b[2J", "é" * 70_000]
)  # fmt: skip
def test_what_strangers_write_is_only_compared(tmp_path: Path, text: str) -> None:
    """Nothing of it is run, printed, or too long; and none of it talks the check out of its verdict."""
    assert _gate(tmp_path, f"exp/{text[:99]}", text, (text,)) == (0, "This is no research session.\n")
    code, said = _gate(tmp_path, f"exp/H100/{text[:99].splitlines()[0]}", RECORD + text)
    assert (code, said.count("\n"), said.count("::")) == (1, 1, 2)


# -- the workflow as a whole ------------------------------------------------------------------------------------------


def test_the_workflow_asks_for_no_right_that_it_does_not_need() -> None:
    told = _workflow()
    assert "pull_request_target" not in WORKFLOW.read_text()
    assert told["permissions"] == {}
    assert {name: job.get("permissions", {}) for name, job in told["jobs"].items()} == {
        "may-be-merged": {},
        "read": {"contents": "read", "discussions": "read", "pull-requests": "read"},
        "write": {"contents": "write"},
    }
    assert not any("pip" in step.get("run", "") or "autoresearch" in step.get("run", "") for step in told["jobs"]["write"]["steps"])


def test_nothing_of_an_event_is_part_of_a_script_and_actions_are_pinned() -> None:
    steps = [step for job in _workflow()["jobs"].values() for step in job["steps"]]
    assert not any("${{" in step.get("run", "") for step in steps)
    assert {found for step in steps for found in re.findall(r"\$\{\{.*?\}\}", json.dumps(step))} == {
        "${{ github.token }}",
        "${{ runner.temp }}",
    }
    used = [step["uses"] for step in steps if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in used)


# -- the leaderboard --------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A hub whose settings everybody gets with the clone, and its owner ada; ben may only fork it."""
    github.user("ada", token="t-ada")
    github.user("ben", token="t-ben")
    repository = github.repository("ada/hub", discussions=True)
    files = {"solver.py": SOLVER, "bench.py": BENCH, ".autoresearch.toml": SETTINGS, ".gitignore": "__pycache__/\n"}
    repository.commit(files, message="base")
    monkeypatch.setenv("GITHUB_API_URL", github.api_url)
    return repository


def _clone(github: GitHub, folder: Path, token: str = "") -> World:
    """A clone; with a token as actions/checkout leaves it in the configuration."""
    subprocess.run(["git", "clone", "-q", f"{github.url}/ada/hub.git", str(folder)], check=True)
    world = World(folder)
    if token:
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        world.git("config", f"http.{github.url}/.extraheader", f"AUTHORIZATION: basic {basic}")
    return world


def _publish(world: World, who: str, platform: str, tag: str, experiments: int, budget: str = "300") -> dict[str, Any]:
    session = ("--tag", tag, "--budget", budget, "--experiments", str(experiments), "--no-inspiration")
    world.configure(platform=platform)
    world.ok("start", *session)
    return json.loads(world.ok("publish", f"{platform}/{tag}", "--yes", "--json", env={"GH_ENTERPRISE_TOKEN": f"t-{who}"}))


def _refresh(github: GitHub, folder: Path) -> str:
    """What one scheduled run does, in a fresh checkout of each job; the leaderboard that it has made."""
    reader = _clone(github, folder / "read")
    done = _run_step("read", "Rank what was measured alike", reader.root, GH_ENTERPRISE_TOKEN="t-ada", GITHUB_TOKEN="")
    assert done.returncode == 0, done.stderr
    made = (reader.root / "LEADERBOARD.md").read_text()
    done = _commit(github, folder, {"LEADERBOARD.md": made})
    assert done.returncode == 0, done.stderr
    return made


def _commit(github: GitHub, folder: Path, artifact: dict[str, str | Path]) -> subprocess.CompletedProcess[str]:
    """What the job that may write does with an artifact, unpacked where it says; a path in it is a link."""
    writer = _clone(github, folder / "write", token="t-ada")
    steps = _workflow()["jobs"]["write"]["steps"]
    [place] = [step["with"].get("path", ".") for step in steps if "download-artifact" in step.get("uses", "")]
    into = writer.root / place.replace("${{ runner.temp }}", str(folder / "temp"))
    for name, content in artifact.items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            (into / name).symlink_to(content)
        else:
            (into / name).write_text(content)
            (into / name).chmod(0o755)
    step = "Commit the leaderboard where it has changed"
    return _run_step("write", step, writer.root, RUNNER_TEMP=str(folder / "temp"))


def _tables(text: str) -> dict[str, list[list[str]]]:
    """heading → the rows of its table, as cells."""
    found = {}
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        rows = [line for line in part.splitlines() if line.startswith("|")][2:]
        found[part.partition("\n")[0]] = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return found


def _branch(hub: Repository) -> str:
    return hub.refs("refs/heads/leaderboard").get("refs/heads/leaderboard", "")


def test_a_scheduled_run_ranks_what_was_published_and_the_next_changes_nothing(
    github: GitHub, hub: Repository, tmp_path: Path
) -> None:
    ada, ben = _clone(github, tmp_path / "ada"), _clone(github, tmp_path / "ben")
    short = _publish(ada, "ada", "H100", "short", 1)
    longer = _publish(ben, "ben", "H100", "longer", 5)
    _publish(ben, "ben", "A100", "longer", 1, budget="60")
    hub.pull("main", "exp/H100/none: 0.5 → 0.9777 in 3 experiments", author="eve", head_name="exp/H100/none")
    hub.commit({"LEADERBOARD.md": "# Ours\n\nbefore\n\n<!-- leaderboard:begin -->\nold\n<!-- leaderboard:end -->\n\nafter\n"})
    told = _refresh(github, tmp_path / "1")
    assert told.startswith("# Ours\n\nbefore\n\n<!-- leaderboard:begin -->\n\n###")
    assert told.endswith("<!-- leaderboard:end -->\n\nafter\n")
    tables = _tables(told)
    assert list(tables) == ["A100, 60 s", "H100, 300 s"]
    first, second = tables["H100, 300 s"]
    assert (first[0], first[6], second[0], second[6]) == ("1", "ben", "2", "ada")
    assert float(first[1]) > float(second[1])  # the score is to be raised
    assert (first[4], second[4]) == ("5", "1")
    assert [row[6] for row in tables["A100, 60 s"]] == ["ben"]
    for row, published in ((first, longer), (second, short)):
        number = published["pull_request"].rpartition("/")[2]
        assert row[7] == f"[#{number}]({published['pull_request']}), [paper]({published['discussion']})"
        assert row[8] == f"[`{published['commit'][:7]}`]({github.url}/ada/hub/commit/{published['commit']})"
    assert "1 finding stands in none" in told  # eve's title alone
    assert "0.9777" not in told
    made = _branch(hub)
    assert made
    assert _refresh(github, tmp_path / "2") == told
    assert _branch(hub) == made
    ran = ada.run("publish", "H100/short", "--unpublish", "--yes", env={"GH_ENTERPRISE_TOKEN": "t-ada"})
    assert ran.code == 0, ran.err
    assert "whoever posted it took it back" in ben.run("findings", "--sync", "--all", env={"GH_ENTERPRISE_TOKEN": "t-ben"}).out
    assert [row[6] for row in _tables(_refresh(github, tmp_path / "3"))["H100, 300 s"]] == ["ben"]
    log = subprocess.run(["git", "log", "--format=%an %P", "leaderboard"], cwd=hub.git_dir, capture_output=True, text=True).stdout
    assert log == f"github-actions[bot] {made}\ngithub-actions[bot] \n"


def test_of_an_artifact_one_file_is_taken_and_nothing_is_run(github: GitHub, hub: Repository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = f"#!/bin/sh\ntouch {ran}\n"
    forged: dict[str, str | Path] = {
        ".git/hooks/pre-push": program, ".git/hooks/reference-transaction": program, "evil": program,
        ".git/config": f"[core]\n\tfsmonitor = {tmp_path}/1/temp/leaderboard/evil\n\tsshCommand = {program!r}\n",
        ".gitattributes": "* filter=evil\n", "train.py": "stolen = 1\n",
    }  # fmt: skip
    done = _commit(github, tmp_path / "1", {**forged, "LEADERBOARD.md": "board\r\n"})
    assert done.returncode == 0, done.stderr
    assert not ran.exists()
    rows = subprocess.run(["git", "ls-tree", "-r", "leaderboard"], cwd=hub.git_dir, capture_output=True, text=True).stdout
    assert re.fullmatch(r"100644 blob [0-9a-f]{40}\tLEADERBOARD.md\n", rows)
    before = _branch(hub)
    secret = tmp_path / "secret"
    secret.write_text("of the runner\n")
    bad: list[dict[str, str | Path]] = [{"LEADERBOARD.md": secret}, {"LEADERBOARD.md": "x" * (1 << 20) + "\n"},
                                        {"LEADERBOARD.md/x": "a folder"}, {"other.md": "x"}]  # fmt: skip
    for n, artifact in enumerate(bad):
        done = _commit(github, tmp_path / f"bad{n}", artifact)
        assert (done.returncode, done.stdout.startswith("::error::")) == (1, True), done.stderr
    assert _branch(hub) == before


def _told(session: str, best: float, **more: object) -> str:
    fields = {"session": session, "branch": f"exp/{session}", "metric": {"name": "score", "direction": "max"},
              "baseline": {"mean": 0.5, "sd": 0.01, "n": 2}, "best": {"mean": best}, "budget_seconds": 300,
              "experiments": {"keep": 1}, "repository": "ada/hub"}  # fmt: skip
    return f"<!-- autoresearch:1\n{json.dumps({**fields, **more})}\n-->\n"


def _by_hand(hub: Repository, tag: str, best: float, title: str = "t", files: dict[str, str] | None = None, **more: Any) -> None:
    """A pull request with a record, as another program may have written it."""
    author = more.pop("author", "eve")
    name = f"exp/H100/{tag}"
    hub.commit({"solver.py": f"{SOLVER}# {tag}\n", **(files or {})}, branch=name, message=tag)
    hub.pull(name, title, _told(f"H100/{tag}", best, **more), author=author)


def _board(github: GitHub, folder: Path) -> str:
    return _clone(github, folder).ok("findings", "--sync", "leaderboard", env={"GH_ENTERPRISE_TOKEN": "t-ada"})


HOSTILE = "<!-- leaderboard:end --> @ada closes #1 | [x](http://evil.example) ![y](z) <script> `|` \u202e\x1b[2J **1**"


def test_what_strangers_call_their_work_is_shown_and_does_nothing(github: GitHub, hub: Repository, tmp_path: Path) -> None:
    from markdown_it import MarkdownIt

    _by_hand(hub, "a", 0.9, HOSTILE)
    _by_hand(hub, "b", 0.8, "fine")
    told = _board(github, tmp_path / "clone")
    first, second = _tables(told)["H100, 300 s"]
    assert (len(first), len(second)) == (10, 10)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(told)
    assert page.count("<tr>") == 3
    assert set(re.findall(r'href="([^"]*)"', page)) == {
        *(f"{github.url}/ada/hub/pull/{n}" for n in (1, 2)), *(f"{github.url}/ada/hub/commit/{hub.pulls[n].head_ref_oid}" for n in (1, 2)),
    }  # fmt: skip
    assert not re.search(r"<(img|script|strong)|<!--|[\u202e\x1b]", page)
    assert "<code>@ada</code> closes <code>#1</code>" in page  # in code GitHub mentions and closes nothing


def test_numbers_that_were_not_measured_alike_never_share_a_table(github: GitHub, hub: Repository, tmp_path: Path) -> None:
    _by_hand(hub, "same", 0.7)
    _by_hand(hub, "too", 0.6, author="ben")
    _by_hand(hub, "data", 0.99, data="sha256:other")
    _by_hand(hub, "hours", 0.99, budget_seconds=3600)
    _by_hand(hub, "easier", 1.0, files={"bench.py": BENCH + "# easier\n"})
    _by_hand(hub, "loss", 0.1, metric={"name": "loss", "direction": "min"})
    _by_hand(hub, "unknown", 0.99, budget_seconds=None)
    hub.discussion("paper of a stranger", _told("H100/same", 0.7), author="mallory")
    told = _board(github, tmp_path / "clone")
    shown = [(heading, [row[1] for row in rows]) for heading, rows in _tables(told).items() if heading != "H100, 300 s"]
    assert shown == [("H100, 3600 s", ["0.990000"])]
    parts = told.split("### ")
    assert ["data not told" in part for part in parts if part.startswith("H100, 300 s")] == [True, False]
    assert [re.findall(r"^\| (\d+) \| ([\d.]+)", part, re.MULTILINE) for part in parts if part.startswith("H100, 300 s")] == [
        [("1", "0.700000"), ("2", "0.600000")], [("1", "0.990000")]]  # fmt: skip
    assert "4 findings stand in none" in told
    assert "mallory" not in told
    assert "paper" not in told


def test_the_leaderboard_is_written_where_the_file_says_or_not_at_all(github: GitHub, hub: Repository, tmp_path: Path) -> None:
    world = _clone(github, tmp_path / "clone")
    ran = world.run("findings", "leaderboard")
    assert (ran.code, "nothing was read yet" in ran.err) == (1, True)
    world.ok("findings", "--sync", env={"GH_ENTERPRISE_TOKEN": "t-ada"})
    assert "Nothing can be ranked yet." in world.ok("findings", "leaderboard")
    for text in ("mine\n", "<!-- leaderboard:end -->\n<!-- leaderboard:begin -->\n", "<!-- leaderboard:begin -->\n", "\xff"):
        (world.root / "L.md").write_bytes(text.encode("latin-1"))
        ran = world.run("findings", "leaderboard", "L.md")
        assert (ran.code, ran.err.count("\n")) == (1, 2), ran.err
        assert (world.root / "L.md").read_bytes() == text.encode("latin-1")
    ran = world.run("findings", "leaderboard", "missing/L.md")
    assert (ran.code, ran.err) == (1, "error: cannot write missing/L.md: No such file or directory\n  try: name another file\n")
    lines = b"one\r\n<!-- leaderboard:begin --><!-- leaderboard:end -->\r\ntwo"
    (world.root / "L.md").write_bytes(lines)
    world.ok("findings", "leaderboard", "L.md")
    written = (world.root / "L.md").read_bytes()
    assert written.startswith(b"one\r\n<!-- leaderboard:begin -->\n")
    assert written.endswith(b"<!-- leaderboard:end -->\r\ntwo")
    assert "L.md is as it was" in world.run("findings", "leaderboard", "L.md").err
    assert (world.root / "L.md").read_bytes() == written


# -- findings by hand -------------------------------------------------------------------------------------------------

FORM = FOLDER / "DISCUSSION_TEMPLATE" / "show-and-tell.yml"
TABLE = (
    "commit\tval_bpb\tmemory_gb\tstatus\tdescription\nbaseline\t0.997900\t44.0\tkeep\tbaseline\n"
    "1111111\t0.986041\t44.0\tkeep\thalve total batch\n2222222\t0.991000\t44.0\tdiscard\tmatrix LR 0.045\n"
)


def _posted(answers: dict[str, str]) -> str:
    """The body that GitHub makes of the form: a heading for each field, what is rendered in a code block."""
    parts = []
    for field in yaml.safe_load(FORM.read_text())["body"]:
        if field["type"] != "markdown":
            told = field["attributes"]
            text = answers.get(field["id"], told.get("value", "")).rstrip() or "_No response_"
            fenced = f"```{told['render']}\n{text}\n```" if "render" in told else text
            parts.append(f"### {told['label']}\n\n{fenced}")
    return "\n\n".join(parts)


@pytest.fixture
def upstream(github: GitHub, empty: World, monkeypatch: pytest.MonkeyPatch) -> Repository:
    github.user("ada", token="t-ada")
    repository = github.repository("ada/research", discussions=True)
    repository.commit({"train.py": "LR = 1\n", "prepare.py": PREPARE}, message="base")
    empty.git("remote", "add", "origin", f"{github.url}/ada/research.git")
    empty.git("pull", "-q", "origin", "main")
    monkeypatch.setenv("GITHUB_API_URL", github.api_url)
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", "t-ada")
    return repository


def _findings(world: World) -> dict[str, dict[str, Any]]:
    world.ok("findings", "--sync")
    return {f["finding"]: f for f in json.loads(world.ok("findings", "--all", "--json"))}


def test_the_form_is_one_that_github_takes() -> None:
    told = yaml.safe_load(FORM.read_text())
    assert set(told) <= {"title", "labels", "body"}
    assert FORM.stem in {slug for _, slug, *_ in CATEGORIES} & set(plan.CATEGORIES)
    fields = [field for field in told["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    for part in ("id", "label"):
        names = [field["id"] if part == "id" else field["attributes"]["label"] for field in fields]
        assert len(set(names)) == len(names)
    assert all(set(field) == {"type", "id", "attributes", "validations"} for field in fields)
    for field in fields:
        assert set(field["attributes"]) <= {"label", "description", "placeholder", "value", "render"}


def test_templates_lead_to_what_is_read(upstream: Repository, empty: World) -> None:
    """Both filled in as they ask for it; and as they come, they claim nothing."""
    form, template = yaml.safe_load(FORM.read_text()), (FOLDER / "PULL_REQUEST_TEMPLATE" / "findings.md").read_text()
    code = (FOLDER / "PULL_REQUEST_TEMPLATE.md").read_text()
    setup = form["body"][2]["attributes"]["value"].replace("- GPU:", "- GPU: NVIDIA H100 80GB HBM3")
    upstream.discussion("exp/H100/mar8: 0.9979 → 0.9860 in 2 experiments", _posted({"results": TABLE, "setup": setup}))
    upstream.discussion("my findings", _posted({"results": TABLE, "setup": setup}))
    head = upstream.commit({"train.py": "LR = 2\n"}, branch="run", message="double the rate")
    filled = template.replace("|  |  |  | baseline |", f"| {upstream.base_oid('main')[:7]} | 0.9979 | 44.0 | baseline |")
    filled = filled.replace("|  |  |  | keep |  |", f"| {head[:7]} | 0.9860 | 44.0 | keep | double the rate |")
    upstream.pull("run", "a session", filled.replace("- GPU:", "- GPU: RTX 4090"))
    assert (filled.count(" 0.9979 "), filled.count(" 0.9860 ")) == (2, 1)  # the first also in the example of its title
    upstream.discussion(form["title"], _posted({}))
    for body in (template, code):
        upstream.pull(upstream.commit({"README.md": body}, branch="code", message="docs"), "Say more", body)
    found = _findings(empty)
    assert {key: (f["platform"], f["baseline"], f["best"], f["source"]) for key, f in found.items()} == {
        "ada/research#1": ("H100", 0.9979, 0.986041, "text"),
        "ada/research#2": ("H100", 0.9979, 0.986041, "text"),
        "ada/research#3": ("RTX4090", 0.9979, 0.986, "text"),
    }
    assert found["ada/research#1"]["experiments"] == {"keep": 1, "discard": 1, "crash": 0, "other": 0}
    claims = {c["description"]: c for c in json.loads(empty.ok("findings", "show", "3", "--json"))[0]["claims"]}
    assert claims["double the rate"]["sha"] == head
    for body in (template, FORM.read_text(), code):
        assert "git autoresearch publish" in body
