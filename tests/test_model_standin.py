"""The stand-in for the Messages API, driven by the real SDK over loopback."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from model_standin import CLAUDE_CODE, Answer, Model, Request, Scripted, text, thinking, tool_use

TRAIN = '# toy\nALPHA = 0.3  # step\nN: int = 5\nM = 5\nP = "SSL"\n'
STEPS = [("ALPHA", "0.3", "0.6"), ("P", '"SSL"', '"SL"'), ("N", "5", "7")]
MODEL = "claude-opus-5-5"
SUBMIT = {"name": "submit", "input_schema": {"type": "object"}}
TOOLS: list[Any] = [{"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}, SUBMIT]
MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def client(model: Model, **options: Any) -> Anthropic:
    return Anthropic(**{"base_url": model.url, "api_key": model.key, "max_retries": 0, "timeout": 10, **options})


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def ask(sdk: Anthropic, streamed: bool = False, **given: Any) -> Any:
    """One answer, however it comes."""
    asked = {"model": MODEL, "max_tokens": 1000, "messages": [said("user", "Hello.")], **given}
    if not streamed:
        return sdk.messages.create(**asked)
    with sdk.messages.stream(**asked) as stream:
        return stream.get_final_message()


def prompt(digest: str = "{}", files: str = f"`train.py`:\n\n```\n{TRAIN}```\n") -> str:
    return f"One idea, such as `ALPHA 0.3 → 0.6`.\n\n# The incumbent's files\n\n{files}\n# This session so far\n{digest}\n"


def research(sdk: Anthropic, words: str, source: str = TRAIN, streamed: bool = False, **given: Any) -> tuple[str, Any, list[str]]:
    """A turn of a researcher whose tools are ours: (the file after it, what was submitted, the errors that its calls met)."""
    messages, submitted, errors = [said("user", words)], None, []
    while True:
        answer = ask(sdk, streamed, messages=messages, tools=TOOLS, **given)
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return source, submitted, errors
        results = []
        for call in calls:
            wrong, shown = "", source
            if call.name == "submit":
                submitted = call.input
            elif call.input.get("path") != "train.py":
                wrong = f"no file {call.input.get('path')}"
            elif call.input["command"] == "str_replace":
                times = source.count(call.input["old_str"])
                wrong = "" if times == 1 else f"found {times} times"
                source = source if wrong else source.replace(call.input["old_str"], call.input["new_str"])
            errors += [wrong] if wrong else []
            results.append({"type": "tool_result", "tool_use_id": call.id, "content": wrong or shown, "is_error": bool(wrong)})
        messages += [said("assistant", [block.to_dict() for block in answer.content]), said("user", results)]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_researcher_reads_edits_and_submits_what_was_not_tried(streamed: bool) -> None:
    with Model(Scripted(STEPS)) as model, client(model) as sdk:
        source, submitted, errors = research(sdk, prompt(), streamed=streamed, thinking={"type": "adaptive"})
        assert (source, errors) == (TRAIN.replace("0.3", "0.6"), [])
        assert submitted["description"] == "ALPHA 0.3 → 0.6"
        assert sorted(submitted) == ["description", "expected", "rationale"]
        assert [request.streamed for request in model.asked] == [streamed] * 4  # a look, an edit, the proposal, the end
        tried = json.dumps({"recent": [{"what": "ALPHA 0.3 → 0.6"}, {"what": 'P "SSL" → "SL"'}]}, ensure_ascii=False)
        source, submitted, _ = research(sdk, prompt(tried), streamed=streamed)
        assert (source, submitted["description"]) == (TRAIN.replace("int = 5", "int = 7"), "N 5 → 7")
        assert research(sdk, prompt(tried + "N 5 → 7"), streamed=streamed)[:2] == (TRAIN, None)
        assert research(sdk, prompt(files=""), streamed=streamed)[0] == TRAIN.replace("0.3", "0.6")  # from what `view` shows


@pytest.mark.parametrize(("kind", "error"), [("edit-absent", "found 0 times"), ("edit-twice", "found 4 times"),
                                             ("edit-elsewhere", "no file ../prepare.py"),
                                             ("bad-types", "no file None")])  # fmt: skip
def test_a_researcher_that_errs_does_it_again_and_right(kind: str, error: str) -> None:
    with Model(Scripted(STEPS)) as model, client(model) as sdk:
        model.fail(kind, path="../prepare.py")
        source, submitted, errors = research(sdk, prompt())
        assert (source, bool(submitted), errors) == (TRAIN.replace("0.3", "0.6"), True, [error])
        assert [request.fault for request in model.asked].count(kind) == 1


def test_claude_code_is_answered_with_its_own_tools() -> None:
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("Read", "Edit")]
    messages = [said("user", prompt(files=""))]
    inputs = []
    with Model(Scripted(STEPS, CLAUDE_CODE)) as model:
        for result in ("1\t# toy\n2\tALPHA = 0.3  # step\n", "done", None):
            body = {"model": MODEL, "max_tokens": 99, "messages": messages, "tools": tools}
            answer = raw(model, body, **{"x-api-key": model.key})
            call = answer["content"][-1]
            if result is None:
                assert (answer["stop_reason"], call["text"]) == ("end_turn", "ALPHA 0.3 → 0.6")
                break
            inputs.append((call["name"], call["input"]))
            messages += [said("assistant", answer["content"])]
            messages += [said("user", [{"type": "tool_result", "tool_use_id": call["id"], "content": result}])]
    edit = {"file_path": "train.py", "old_string": "ALPHA = 0.3  # step", "new_string": "ALPHA = 0.6  # step"}
    assert inputs == [("Read", {"file_path": "train.py"}), ("Edit", edit)]


def raw(model: Model, body: Any, **headers: str) -> Any:
    """What the API says to a client that is not the SDK."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{model.url}/v1/messages?beta=true", content, {"anthropic-version": "2023-06-01", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


def test_the_events_of_a_stream_are_those_of_the_api() -> None:
    answer = [thinking("Hm."), text("I look at what is there."), tool_use("submit", description="one", n=[1, 2])]
    asked = {"model": MODEL, "max_tokens": 99, "messages": [said("user", "Hi.")], "tools": TOOLS}
    with Model([answer]) as model, client(model) as sdk, sdk.messages.stream(**asked) as stream:
        wire = b"".join(stream.response.iter_bytes()).decode()
    events = [json.loads(line[6:]) for line in wire.splitlines() if line.startswith("data: ")]
    assert [line[7:] for line in wire.splitlines() if line.startswith("event: ")] == [event["type"] for event in events]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    seen = [event["type"] for n, event in enumerate(events) if n == 0 or event["type"] != events[n - 1]["type"]]
    assert seen == ["message_start", block[0], "ping", *block[1:], *block * 2, "message_delta", "message_stop"]
    pieces = [event["delta"]["partial_json"] for event in events if event.get("delta", {}).get("type") == "input_json_delta"]
    assert len(pieces) > 2
    assert json.loads("".join(pieces)) == {"description": "one", "n": [1, 2]}
    assert events[0]["message"]["stop_reason"] is None
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_marked_prefix_is_read_from_the_cache_until_it_expires() -> None:
    def system(first: str, mark: dict[str, Any]) -> list[Any]:
        return [{**text(first), **mark}, text("Today is another day.")]

    def paid(usage: Any) -> tuple[int, int]:
        return usage.cache_creation_input_tokens, usage.cache_read_input_tokens

    with Model(["Yes."] * 9, least_cached=50) as model, client(model) as sdk:
        usage = ask(sdk, system=system("rule " * 100, MARK)).usage
        written = usage.cache_creation_input_tokens
        assert paid(usage) == (written, 0)
        assert 100 <= written <= 150
        counted = sdk.messages.count_tokens(model=MODEL, system=system("rule " * 100, MARK), messages=[said("user", "Hello.")])
        assert counted.input_tokens == written + usage.input_tokens
        assert paid(ask(sdk, True, system=system("rule " * 100, MARK)).usage) == (0, written)
        assert paid(ask(sdk, system=system("law " * 100, MARK)).usage)[1] == 0  # another text
        assert paid(ask(sdk, system=system("short", MARK)).usage) == (0, 0)
        model.later(301)
        assert paid(ask(sdk, system=system("rule " * 100, HOUR)).usage) == (written, 0)
        model.later(3000)
        longer = [said("user", "Hello."), said("assistant", "Yes."), said("user", [{**text("And?"), **MARK}])]
        created, read = paid(ask(sdk, system=system("rule " * 100, HOUR), messages=longer).usage)
        assert (created > 0, read) == (True, written)


CALL = tool_use("submit")
RESULT = {"type": "tool_result", "tool_use_id": CALL["id"], "content": "ok"}
USER = said("user", "Hello.")
TWO = [said("user", [{**text("a"), **MARK}, {**text("b"), **HOUR}])]


@pytest.mark.parametrize(("given", "words"), [
    ({"messages": []}, "at least one message"),
    ({"messages": [said("assistant", "Hi."), USER]}, 'first message must use the "user" role'),
    ({"messages": [USER, said("assistant", "Hi")]}, "must end with a user message"),
    ({"messages": [said("user", [text("")])]}, "must be non-empty"),
    ({"messages": [said("user", "  ")]}, "non-whitespace"),
    ({"system": [text("")]}, "system: text content blocks must be non-empty"),
    ({"messages": [USER, said("user", [RESULT])], "tools": TOOLS}, "unexpected `tool_use_id`"),
    ({"messages": [USER, said("assistant", [CALL]), USER], "tools": TOOLS}, "without `tool_result` blocks immediately after"),
    ({"messages": [USER, said("assistant", [CALL]), said("user", [text("Well:"), RESULT])], "tools": TOOLS}, "immediately after"),
    ({"messages": [USER, said("assistant", [CALL]), said("user", [RESULT])]}, "must define tools"),
    ({"messages": [USER, said("assistant", [{**thinking("Hm."), "thinking": "Ha."}]), USER]}, "Invalid `signature`"),
    ({"tools": [{"type": "text_editor_20990101", "name": "x"}]}, "Input tag 'text_editor_20990101'"),
    ({"tools": [{"name": "x"}]}, "input_schema: Field required"),
    ({"tools": [SUBMIT, SUBMIT]}, "unique"),
    ({"system": [{**text("a"), **MARK}] * 5}, "A maximum of 4 blocks with cache_control may be provided. Found 5."),
    ({"messages": TWO}, "must not come after"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 21_000, "messages": [said("user", "x" * 900)]}, "prompt is too long: 228 tokens > 200 maximum"),
    ({"extra_body": {"thread": {}}}, "thread"),
    ({"extra_body": {"colour": 1}}, "colour: Extra inputs are not permitted"),
])  # fmt: skip
def test_what_breaks_a_rule_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    with Model([], context=200) as model, client(model) as sdk:
        for streamed in (False, True):
            with pytest.raises(anthropic.BadRequestError) as refused:
                ask(sdk, streamed, **given)
            assert refused.value.type == "invalid_request_error"
            assert words in str(refused.value)


def test_a_request_without_a_limit_and_a_body_without_json_are_refused() -> None:
    with Model([]) as model:
        body = {"model": MODEL, "messages": [USER]}
        assert raw(model, body, **{"x-api-key": model.key})["error"]["message"] == "max_tokens: Field required"
        assert "not valid JSON" in raw(model, b"{", **{"x-api-key": model.key})["error"]["message"]


def test_keys_and_models_that_it_does_not_know_are_refused_and_no_key_is_kept() -> None:
    with Model(["Yes."]) as model, client(model) as sdk:
        assert ask(sdk).content[0].text == "Yes."
        with client(model, api_key="stolen") as thief, pytest.raises(anthropic.AuthenticationError):
            ask(thief)
        body = {"model": MODEL, "max_tokens": 9, "messages": [USER]}
        assert raw(model, body, **{"x-api-key": "stolen"})["error"]["type"] == "authentication_error"
        assert raw(model, body)["error"]["message"] == "x-api-key header is required"
        with pytest.raises(anthropic.NotFoundError):
            ask(sdk, model="claude-2")
        sent = [(request.key_sent, request.key_accepted, request.status) for request in model.requests]
        assert sent == [
            ("bearer", True, 200),
            ("bearer", False, 401),
            ("x-api-key", False, 401),
            (None, False, 401),
            ("bearer", True, 404),
        ]
        kept = str([request.headers for request in model.requests])
        assert model.key not in kept
        assert "stolen" not in kept
        assert [each.id for each in sdk.models.list()] == list(model.models)
        assert sdk.models.retrieve(MODEL).max_input_tokens == model.context


@pytest.mark.parametrize(("kind", "error"), [
    ("401", anthropic.AuthenticationError), ("402", anthropic.PaymentRequiredError), ("403", anthropic.PermissionDeniedError),
    ("404", anthropic.NotFoundError), ("413", anthropic.APIStatusError), ("429", anthropic.RateLimitError),
    ("500", anthropic.InternalServerError), ("529", anthropic.InternalServerError), ("credit", anthropic.BadRequestError),
    ("too-long", anthropic.BadRequestError), ("hangup", anthropic.APIConnectionError), ("silent", anthropic.APITimeoutError),
    ("garbage", json.JSONDecodeError),
])  # fmt: skip
def test_what_fails_before_an_answer_fails_once(kind: str, error: type[Exception]) -> None:
    with Model(["Yes."]) as model, client(model, timeout=0.2 if kind == "silent" else 10) as sdk:
        model.fail(kind, retry_after=7)
        with pytest.raises(error) as raised:
            ask(sdk)
        if isinstance(raised.value, anthropic.APIStatusError):
            assert raised.value.response.headers["retry-after"] == "7"
            assert raised.value.request_id
        assert ask(sdk).content[0].text == "Yes."
        assert [request.fault for request in model.asked] == [kind, None]


def test_what_fails_on_the_way_back() -> None:
    words = "It was a long story, told in many more than two deltas. " * 3
    with Model([words] * 9) as model, client(model) as sdk:
        model.fail("cut")
        cut = ask(sdk, streamed=True)  # the SDK raises nothing
        assert cut.stop_reason is None
        assert words.startswith(cut.content[0].text)
        assert 0 < len(cut.content[0].text) < len(words)
        model.fail("torn")
        with pytest.raises(Exception, match="incomplete chunked read"):
            ask(sdk, streamed=True)
        model.fail("overloaded")
        with pytest.raises(anthropic.APIStatusError) as raised:
            ask(sdk, streamed=True)
        assert (raised.value.status_code, raised.value.type) == (200, "overloaded_error")
        model.fail("stall", seconds=0.3)
        assert ask(sdk, streamed=True).content[0].text == words
        model.fail("stall", seconds=9)
        with client(model, timeout=0.2) as hasty, pytest.raises(Exception, match="timed out"):
            ask(hasty, streamed=True)
        for kind, error in (("cut", anthropic.APIConnectionError), ("overloaded", anthropic.InternalServerError)):
            model.fail(kind)
            with pytest.raises(error):
                ask(sdk)
        model.fail("html")
        assert "Sign in" in ask(sdk)  # the SDK hands on what it cannot read


@pytest.mark.parametrize("streamed", [False, True])
def test_what_a_model_does_wrong(streamed: bool) -> None:
    given = {"description": "one", "rationale": "because " * 20}
    with Model([[text("So:"), tool_use("submit", **given)]] * 9) as model, client(model) as sdk:

        def wrong(kind: str, **options: Any) -> Any:
            model.fail(kind, **options)
            return ask(sdk, streamed, tools=TOOLS)

        refused = wrong("refusal", category="cyber")
        assert (refused.stop_reason, refused.content, refused.stop_details.category) == ("refusal", [], "cyber")
        assert (wrong("empty").stop_reason, model.asked[-1].answer) == ("end_turn", Answer([]))
        half = wrong("max-tokens")
        assert half.stop_reason == "max_tokens"
        assert half.content[1].input["description"] == "one"
        assert half.content[1].input.get("rationale") != given["rationale"]
        assert wrong("context").stop_reason == "model_context_window_exceeded"
        assert wrong("bad-types").content[1].input == {"description": ["one", {"value": "one"}]}
        if streamed:
            with pytest.raises(ValueError, match="Unable to parse tool parameter JSON"):
                wrong("bad-json")
        else:
            assert isinstance(wrong("bad-json").content[1].input, str)
        short = ask(sdk, streamed, tools=TOOLS, max_tokens=5)
        assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 5)


def test_a_fault_strikes_where_it_is_told_to() -> None:
    def statuses(times: int, words: str = "Hello.") -> list[int]:
        for _ in range(times):
            with_key = {"x-api-key": model.key}
            raw(model, {"model": MODEL, "max_tokens": 9, "messages": [said("user", words)]}, **with_key)
        return [request.status for request in model.asked[-times:]]

    with Model(["Yes."] * 20) as model:
        model.fail("429", times=2, after=1)
        model.fail_at(3, "529")
        assert statuses(5) == [200, 429, 429, 529, 200]
        model.fail("500", when=lambda request: "stranger" in request.text)
        assert statuses(1) + statuses(1, "a stranger") + statuses(1, "a stranger") == [200, 500, 200]
        model.fail("401", times=math.inf, after=1)
        assert statuses(4) == [200, 401, 401, 401]


def test_a_mistake_of_the_test_does_not_pass() -> None:
    def answer(request: Request) -> Answer:
        raise LookupError("no answer")

    with (
        pytest.raises(RuntimeError) as raised,
        Model(answer) as model,
        client(model) as sdk,
        pytest.raises(anthropic.BadRequestError),
    ):
        ask(sdk)
    assert isinstance(raised.value.__cause__, LookupError)
    with pytest.raises(ValueError, match="no fault"), Model([]) as model:
        model.fail("4O4")
