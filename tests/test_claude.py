"""Claude as a researcher: whole sessions of the real command and the real SDK against a stand-in for the Messages API."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BENCH, Ran, World, wait_for
from model_standin import Answer, Model, Request, Scripted, text, tool_use

from autoresearch_git.ledger import ideas

KEY = "sk-ant-" + "Qz7" * 12
EDITOR = "str_replace_based_edit_tool"
GOOD = [("ALPHA", "0.3", "0.4"), ("ALPHA", "0.4", "0.5"), ("N", "5", "6"), ("ALPHA", "0.5", "0.6"), ("N", "6", "7")]
BAD = [("ALPHA", "0.6", f"{a}") for a in (0.1, 0.2, 0.7, 0.8, 0.9, 1.0, 1.1)] + [
    ("N", "7", f"{n}") for n in (1, 2, 3, 4, 8, 9, 10, 11)
]
NIGHT = len(GOOD) + len(BAD)

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def toy(toy: World) -> World:
    toy.configure(researcher="claude", inspiration="no", baseline_runs="1", sandbox="off")
    return toy


@pytest.fixture
def model() -> Iterator[Model]:
    with Model(Scripted(GOOD + BAD, looks=False), key=KEY) as found:
        yield found


def start(world: World, model: Model, *options: str, env: dict[str, str] | None = None) -> Ran:
    return world.run("start", *options, env={"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": model.key, **(env or {})})


def records(world: World) -> list[dict[str, Any]]:
    """What the notebook says of each experiment, by the names of its trailers."""
    told = world.git(
        "log", "--first-parent", "--reverse", "--format=%(trailers:unfold,separator=%x1f)%x1e", "refs/autoresearch/cpu/t"
    )
    rows = [dict(line.partition(": ")[::2] for line in row.strip().split("\x1f") if line) for row in told.split("\x1e")]
    return [
        {name.removeprefix("Autoresearch-"): json.loads(value) if value.startswith("{") else value for name, value in row.items()}
        for row in rows
        if "Autoresearch-Experiment" in row
    ]


def journal(world: World, *numbers: int) -> list[dict[str, Any]]:
    """What the logs of turns say."""
    wanted = {f"{n:04d}-proposal.log" for n in numbers}
    paths = sorted((world.folder() / "logs").glob("*-proposal.log"))
    return [json.loads(line) for path in paths if not numbers or path.name in wanted for line in path.read_text().splitlines()]


def asked_with(request: Request) -> int:
    return sum(request.usage[name] for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"))


def results(request: Request) -> list[str]:
    """What tools gave back last."""
    return [block["content"] for block in request.turns[-1][1] if block["type"] == "tool_result"]


def test_a_night_with_everything_that_goes_wrong(toy: World, model: Model) -> None:
    toy.commit({"bench.py": BENCH + "print(dict(os.environ))\n"}, "a run that shows its environment")
    model.fail("429", after=2, retry_after=1)
    model.fail("529", after=5)
    model.fail("cut", after=8)
    model.fail("refusal", after=11)
    model.fail("edit-absent", after=7)
    model.fail("edit-elsewhere", after=8, path="bench.py")
    model.fail("bad-json", after=19)
    model.fail("empty", after=22)
    model.fail("torn", after=24)
    model.fail("overloaded", after=26)
    model.fail("401", after=31)
    first = start(toy, model, "--tag", "t", "--experiments", str(NIGHT))
    assert first.code == 1
    assert first.err.splitlines()[-2:] == [
        "error: the model's API: 401 invalid x-api-key",
        "  try: export ANTHROPIC_API_KEY=… again, from where it came; then git autoresearch start --resume",
    ]
    done = len(records(toy)) - 1
    assert 5 < done < NIGHT
    second = start(toy, model, "--resume", "--experiments", str(NIGHT - done))
    assert second.code == 0, second.err

    told = records(toy)
    assert [row["Experiment"] for row in told] == [f"cpu/t/{n:04d}" for n in range(NIGHT + 1)]
    assert [row["Status"] for row in told].count("keep") == len(GOOD)
    assert toy.git("show", "exp/cpu/t:solver.py") == "ALPHA = 0.6  # step\nN = 7"
    assert [row["Researcher"] for row in told[1:]].count("claude-opus-4-8") == 1, "who was asked what the other refused"
    assert {row["Researcher"] for row in told[1:]} == {"claude-opus-5-5", "claude-opus-4-8"}

    answered = [request for request in model.asked if request.status == 200]
    spent = [row["Spending"] for row in told[1:]]
    assert sum(s["requests"] for s in spent) == len(answered), "nothing is paid twice, and nothing lost"
    assert sum(s["input_tokens"] for s in spent) == sum(map(asked_with, answered))
    assert sum(s["cached_tokens"] for s in spent) == sum(r.usage["cache_read_input_tokens"] for r in answered) > 0
    assert all(s["usd"] > 0 for s in spent)

    lines = journal(toy)
    waits = " ".join(line["reason"] for line in lines if line["what"] == "wait")
    for reason in ("429", "529", "broke off", "Overloaded"):
        assert reason in waits
    stops = " ".join(line["stop"] for line in lines if line["what"] == "request")
    assert "no JSON" in stops
    assert [line["then"] for line in lines if line["what"] == "refusal"] == ["claude-opus-4-8 is asked"]
    wrong = " ".join(line["result"] for line in lines if line["what"] == "tool" and line["result"] != "ok")
    assert "old_str does not occur in solver.py" in wrong
    assert "bench.py is the harness's, and may only be viewed" in wrong
    assert "again in 1 s" in first.err

    texts = [path.read_text() for path in toy.folder().rglob("*") if path.is_file() and ".git" not in path.name]
    messages = toy.git("log", "--all", "--format=%B")
    assert "'HOME'" in "".join(texts), "the runs did show their environment"
    for what in (*texts, messages, first.out, first.err, second.out, second.err):
        assert KEY not in what
        assert "'ANTHROPIC_" not in what


def test_what_a_model_does_wrong_it_is_told(toy: World, model: Model) -> None:
    model.fail("bad-types")
    model.fail("edit-twice", after=1)
    model.fail("max-tokens", after=6)
    assert start(toy, model, "--tag", "t", "--experiments", "3").code == 0
    assert [row["Status"] for row in records(toy)] == ["baseline", "keep", "keep", "keep"]
    said = [result for request in model.asked for result in results(request)]
    assert "path must be a text" in said or "command must be one of" in " ".join(said)
    assert any("times in solver.py; take in lines around it" in result for result in said)
    assert any("Be brief" in request.prompt for request in model.asked)


def test_strangers_words_are_left_out_after_a_refusal(toy: World, model: Model, researched: Path) -> None:
    """Then the other model is asked, and then the sweep proposes."""
    toy.configure(inspiration="yes", hub=str(researched))
    others = "# What others found"

    def ask(refusals: int) -> list[Request]:
        before = len(model.asked)
        model.fail("refusal", times=refusals)
        ran = start(toy, model, *(["--tag", "t"] if not before else ["--resume"]), "--experiments", "1")
        assert ran.code == 0, ran.err
        return model.asked[before:]

    once, twice, thrice = ask(1), ask(2), ask(3)
    for requests in (once, twice, thrice):
        assert [others in request.prompt for request in requests[:2]] == [True, False]
        assert not any(others in request.prompt for request in requests[1:])
    assert {r.body["model"] for r in once} == {"claude-opus-5-5"}
    assert {r.body["model"] for r in twice[2:]} == {r.body["model"] for r in thrice[2:]} == {"claude-opus-4-8"}
    assert [row["Researcher"] for row in records(toy)[1:]] == ["claude-opus-5-5", "claude-opus-4-8", "sweep"]
    assert [line["then"] for line in journal(toy, 3) if line["what"] == "refusal"] == [
        "again without the words of others", "claude-opus-4-8 is asked", "the sweep proposes this one"]  # fmt: skip
    assert records(toy)[3]["Spending"]["requests"] == 3, "refusals are paid, too"


def test_a_model_ports_what_conflicts_or_nobody_does(toy: World, model: Model) -> None:
    """The sweep, which proposes what both models refuse, would propose something else."""
    toy.git("checkout", "-qb", "theirs")
    toy.commit({"solver.py": "ALPHA = 0.3\nfor i in range(7):\n    N = i\n"}, "another way")
    toy.commit({"solver.py": "ALPHA = 0.3\nN = [6][0]\n"}, "a third way")
    toy.git("checkout", "-q", "main")
    toy.commit({"solver.py": "# ours\nALPHA = 0.3  # one step\nN = 5\n"}, "ours moved on")
    model.fail("refusal", times=2)
    key = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": model.key}
    ran = toy.run("adopt", "theirs", "--tag", "t", "--yes", env=key)
    assert ran.code == 0, ran.err
    assert "another way  (it does not fit onto our solver.py, and was not ported: claude-opus-4-8 refused: " in ran.err
    assert [request.body["model"] for request in model.asked[:2]] == ["claude-opus-5-5", "claude-opus-4-8"]
    assert all('"another way"' in request.prompt for request in model.asked[:2])
    (ported,) = records(toy)[1:]
    assert (ported["Researcher"], ported["Ported"], ported["Spending"]["requests"]) == (
        "replicator",
        "claude-opus-5-5",
        len(model.asked),
    )
    assert '"a third way"' in model.asked[-1].prompt


def test_a_crash_is_mended_and_the_users_idea_comes_first(toy: World) -> None:
    def edit(old: str, new: str) -> list[dict[str, Any]]:
        return [tool_use(EDITOR, command="str_replace", path="solver.py", old_str=old, new_str=new)]

    def submit(what: str) -> list[dict[str, Any]]:
        return [tool_use("submit", description=what, rationale="because\n\x1b[2J", expected="+0.1")]

    answers = [
        edit("N = 5", "N = 6 // 0"), submit("N 5 → 6"), [*edit("N = 5", "N = 6"), *submit("N 5 → 6, this time whole")],
        [*edit("ALPHA = 0.3", "ALPHA = 0.35"), *submit("a little")],
    ]  # fmt: skip
    with Model(answers, key=KEY) as model:
        assert start(toy, model, "--tag", "t", "--experiments", "1").code == 0
        mended = records(toy)[1]
        assert (mended["Status"], mended["Mended"]) == (
            "keep",
            "exit code 1: ZeroDivisionError: integer division or modulo by zero",
        )
        assert mended["Spending"]["requests"] == 3
        again = model.asked[2].prompt
        assert "It crashed" in again
        assert 'File \\"solver.py\\", line 2' in again

        ideas.queue(toy.folder(), "try a smaller ALPHA")
        assert start(toy, model, "--resume", "--experiments", "1").code == 0
        assert '"try a smaller ALPHA"' in model.asked[3].prompt
    told = records(toy)[2]
    assert (told["Idea"], told["Expected"], told["Researcher"]) == ("try a smaller ALPHA", "+0.1", "claude-opus-5-5")
    assert told["Program"].startswith("sha256:")
    assert not ideas.waiting(toy.folder())
    assert "because\n" in toy.git("log", "-1", "--format=%b", "exp/cpu/t")
    assert "\x1b" not in toy.git("log", "-2", "--format=%B", "exp/cpu/t")


def test_the_cost_is_never_passed(toy: World, model: Model) -> None:
    plain, limit = model.player, 0.25

    def wordy(request: Request) -> Answer:
        """Answers of 1,800 tokens, which cost $0.036."""
        answer = plain(request)
        return Answer([text("word " * 1440), *answer.content], answer.stop_reason)

    model.player = wordy
    ran = start(toy, model, "--tag", "t", "--max-cost", str(limit))
    assert ran.code == 0
    assert "ended    $0." in ran.out
    assert "are left, and another request to claude-opus-5-5 may cost more" in ran.out
    output = sum(request.answer.tokens for request in model.asked if request.answer)
    paid = (
        json.loads((toy.folder() / "spending.json").read_text())["spending"]["usd"]
        if (toy.folder() / "spending.json").exists()
        else 0
    )
    total = paid + sum(row["Spending"]["usd"] for row in records(toy)[1:])
    assert 0.4 * limit < output * 20 / 1e6 < total < limit
    room = [request.body["max_tokens"] for request in model.asked]
    assert room == sorted(room, reverse=True)
    assert 2_000 <= room[-1] < room[0], "an answer may be as long as what is left can pay"


def test_a_price_that_nobody_knows(toy: World) -> None:
    with Model(Scripted(GOOD, looks=False), key=KEY, models=["house"]) as model:
        house = ["--tag", "t", "--model", "house", "--experiments", "1"]
        toy.configure(fallback_model="")
        ran = start(toy, model, *house, "--max-cost", "5")
        assert (ran.code, ran.err) == (1, "error: max-cost is $5, and what house costs is not known\n"
                                          "  try: git config autoresearch.price IN/OUT, in US dollars for a million tokens\n")  # fmt: skip
        assert not toy.folder().exists()
        assert start(toy, model, *house).code == 0
        toy.configure(price="1/10")
        assert start(toy, model, "--resume", "--model", "house", "--experiments", "1", "--max-cost", "5").code == 0
    unknown, known = (row["Spending"] for row in records(toy)[1:])
    assert unknown["usd"] is None
    assert known["usd"] > 10 * known["output_tokens"] / 1e6


def test_without_streams_and_with_effort(toy: World, model: Model) -> None:
    """A gateway's pages and half answers are waited out."""
    toy.configure(stream="no")
    for kind in ("garbage", "html", "bad-json"):
        model.fail(kind)
    ran = start(toy, model, "--tag", "t", "--experiments", "1", "--effort", "low", "--model", "claude-sonnet-5-5")
    assert ran.code == 0, ran.err
    assert not any(request.streamed for request in model.asked)
    last = model.asked[-1].body
    assert (last["thinking"], last["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})
    assert records(toy)[1]["Researcher"] == "claude-sonnet-5-5"
    assert "sent what is no JSON" in ran.err


def test_marks_of_the_cache(toy: World, model: Model) -> None:
    """The rules and the files are kept for an hour, as an experiment takes longer than five minutes; nothing else is asked for."""
    assert start(toy, model, "--tag", "t", "--experiments", "2").code == 0
    for request in model.asked:
        assert request.streamed
        assert not {"thinking", "output_config", "tool_choice"} & set(request.body)
        blocks = [*request.body["system"], *(block for message in request.body["messages"] for block in message["content"])]
        kept = [block["cache_control"].get("ttl", "5m") for block in blocks if "cache_control" in block]
        assert kept == ["1h", "1h", "5m"]
        assert "cache_control" in blocks[-1]
    model.later(1800)
    assert start(toy, model, "--resume", "--experiments", "1").code == 0
    assert model.asked[4].usage["cache_read_input_tokens"] > 1000, "half an hour later the rules are still there"


def test_a_request_that_is_not_accepted_is_made_once_more_with_less(toy: World, model: Model, researched: Path) -> None:
    toy.configure(inspiration="yes", hub=str(researched))
    model.fail("too-long")
    assert start(toy, model, "--tag", "t", "--experiments", "1").code == 0
    assert ["# What others found" in request.prompt for request in model.asked[:2]] == [True, False]
    model.fail("context")
    model.fail("credit", after=1)
    ran = start(toy, model, "--resume", "--experiments", "1")
    assert ran.code == 1
    assert "error: claude-opus-5-5 does not take the request: 400 Your credit balance is too low" in ran.err
    assert start(toy, model, "--resume", "--experiments", "1").code == 0, "the session can be resumed"


def test_turns_without_a_proposal_pause_the_session(toy: World) -> None:
    submits = [tool_use("submit", description="nothing", rationale="", expected="")]
    long_call = Answer([text("x" * 40_000)], "max_tokens")
    with Model(["words", "words", submits, submits, long_call, long_call, long_call], key=KEY) as model:
        ran = start(toy, model, "--tag", "t")
        asked = model.asked
    assert ran.code == 1
    assert "error: paused after 3 failures of claude-opus-5-5 in a row, the last: claude-opus-5-5 was cut off 3 times" in ran.err
    assert len(asked) == 7
    assert "Nothing is submitted yet" in asked[1].prompt
    assert results(asked[3]) == [f"Nothing is submitted yet. Make an edit with {EDITOR}, then call submit."]


def test_the_editor(toy: World) -> None:
    """All of its commands, right and wrong, on copies: the submitted text is what they add up to."""

    def call(command: str, **given: Any) -> list[dict[str, Any]]:
        return [tool_use(EDITOR, command=command, **given)]

    steps: list[tuple[list[dict[str, Any]], str]] = [
        (call("view", path="."), "solver.py (may be changed)\nbench.py\nprogram.md"),
        (call("view", path="./solver.py", view_range=[2, -1]), "     2\tN = 5"),
        (call("view", path="bench.py", view_range=["a", 2]), "view_range must be two numbers"),
        (call("view", path="/etc/passwd"), "there is no /etc/passwd here"),
        (call("view", path="../README.md"), "there is no ../README.md here"),
        (call("create", path="new.py", file_text="x"), "new.py is no file that an experiment may change; change solver.py"),
        (call("create", path="program.md", file_text="x"), "program.md is the harness's, and may only be viewed"),
        (call("str_replace", path="solver.py", old_str="", new_str="x"), "old_str is empty"),
        (call("insert", path="solver.py", insert_line=9, insert_text="x"), "insert_line must be a number from 0 to 2"),
        (call("undo_edit", path="solver.py"), "command must be one of view, create, str_replace, insert"),
        ([tool_use("bash", command="rm -rf /")], f"there are two tools here: {EDITOR} and submit"),
        (call("create", path="solver.py", file_text="ALPHA = 0.3\nN = 5\n"), "solver.py has the new text, 2 lines"),
        (call("insert", path="solver.py", insert_line=1, insert_text="BETA = 1"), "inserted in solver.py after line 1"),
        (call("str_replace", path="solver.py", old_str="N = 5", new_str="N = 6"), "replaced in solver.py, line 3"),
    ]  # fmt: skip
    failing = call("str_replace", path="solver.py", old_str="absent", new_str="")
    submit = tool_use("submit", description="more\nlines", rationale="r", expected="e")
    half = len(steps) - 3
    answers: list[Any] = [
        [block for blocks, _ in steps[:half] for block in blocks],
        [b for blocks, _ in steps[half:] for b in blocks],
    ]
    with Model([*answers, [*failing, submit], [submit]], key=KEY) as model:
        assert start(toy, model, "--tag", "t", "--experiments", "1").code == 0
        given = [*results(model.asked[1]), *results(model.asked[2])]
        assert "not submitted, as a call before it failed" in results(model.asked[3])[1]
    for said, (_, expected) in zip(given, steps, strict=True):
        assert said.startswith(expected)
    assert toy.git("show", "exp/cpu/t:solver.py") == "ALPHA = 0.3\nBETA = 1\nN = 6"
    assert records(toy)[1]["Status"] == "keep"
    assert toy.git("status", "--porcelain") == "", "the checkout is not touched"


def test_waiting_ends_in_time(toy: World, model: Model) -> None:
    """With the start's own hours; and where the model's side names a time beyond all patience."""
    model.fail("429", retry_after=600)
    ran = start(toy, model, "--tag", "t", "--hours", "0.01")
    assert ran.code == 0
    assert "429" in ran.err
    assert "ended    the time of this start is over" in ran.out
    model.fail("429", retry_after=90_000)
    ran = start(toy, model, "--resume", "--experiments", "1")
    assert ran.code == 1
    assert "error: the model is to be asked again in 25.0 h only: the model's API: 429" in ran.err


def test_an_interrupted_answer_leaves_the_session_whole(toy: World, model: Model) -> None:
    model.fail("stall", after=3, seconds=60)
    environment = {**os.environ, "ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": KEY}
    assert toy.zygote
    call = toy.zygote.call(toy.root, environment, "start", "--tag", "t", "--experiments", "2")
    wait_for(lambda: model.faults.arrived == 4)
    os.kill(call.pid, signal.SIGINT)
    ran = call.wait()
    assert ran.code == 130
    assert "to go on:  git autoresearch start --resume --tag t --experiments 1" in ran.err
    model.closing.set()
    paid = json.loads((toy.folder() / "spending.json").read_text())["spending"]["requests"]
    assert paid == 1, "what was paid for the second one stays in mind"
    assert start(toy, model, "--resume", "--experiments", "1").code == 0
    assert records(toy)[2]["Spending"]["requests"] == 3


@pytest.mark.parametrize(
    ("prepare", "env", "message", "hint"),
    [
        (lambda toy: None, {"ANTHROPIC_API_KEY": ""}, "there are no credentials for the model's API",
         "export ANTHROPIC_API_KEY=…, or run: ant auth login; or --researcher sweep, which needs no key"),
        (lambda toy: None, {"ANTHROPIC_API_KEY": f"{KEY}\n{KEY}"},
         "the key for the model's API has a character that no key has, such as a line break",
         "export ANTHROPIC_API_KEY=… again, from where it came; then git autoresearch start --resume"),
        (lambda toy: toy.write({".env": f"ANTHROPIC_API_KEY={KEY}\n"}), {"ANTHROPIC_API_KEY": ""},
         "there are no credentials for the model's API",
         "export ANTHROPIC_API_KEY=…, or run: ant auth login; or --researcher sweep, which needs no key"),
        (lambda toy: toy.write({".autoresearch.toml": 'model = "claude-fable-5-1"\n'}), {},
         "model is not taken from .autoresearch.toml: a cloned file may not say what is spent in your name",
         "take it out there, then: git config autoresearch.model <value>"),
        (lambda toy: toy.write({".autoresearch.toml": 'researcher = "claude"\n'}), {},
         "researcher is not taken from .autoresearch.toml: a cloned file may not say what is spent in your name",
         "take it out there, then: git config autoresearch.researcher <value>"),
        (lambda toy: toy.configure(price="cheap"), {}, "price = 'cheap' (git config --local (.git/config)) is not two prices such as 3/15",
         "git config autoresearch.price <value>"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_before_anything_begins(
    toy: World, model: Model, prepare: Callable[[World], None], env: dict[str, str], message: str, hint: str
) -> None:
    prepare(toy)
    ran = start(toy, model, "--tag", "t", env=env)
    assert (ran.code, ran.err.splitlines()) == (1, [f"error: {message}", f"  try: {hint}"])
    assert not toy.folder().exists()
    assert not model.requests
