"""What goes wrong on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from model_standin.answers import Answer, cut
from model_standin.requests import Json, Request, old_name
from model_standin.rules import too_long
from model_standin.scripted import files_shown

# kind → what the client gets
KINDS = {
    # nobody is asked
    "400": "a 400",
    "401": "a 401",
    "402": "a 402",
    "403": "a 403",
    "404": "a 404 for the model",
    "413": "a 413",
    "429": "a 429, with retry-after where retry_after is given",
    "500": "a 500",
    "504": "a 504",
    "529": "a 529, with retry-after where retry_after is given",
    "credit": "a 400 that says that the credit balance is too low",
    "too-long": "a 400 that says that the prompt is too long",
    "garbage": "a 200 whose body is called JSON and is none",
    "html": "a 200 with a page of HTML, as of a captive portal",
    "hangup": "a connection reset (RST) without any answer",
    "silent": "no answer, and the end of the connection after `seconds`",
    # on the way back
    "cut": "a stream that ends as if it were whole, in the middle of its deltas; else the connection closes in the body",
    "torn": "the connection closes in the middle of the deltas, or of the body",
    "overloaded": "a stream with an event `error`, overloaded_error, in the middle of its deltas; else a 529",
    "stall": "a silence of `seconds` in the middle of the deltas, or before the answer, which then comes",
    # of the model
    "refusal": "stop_reason refusal without content; `category` as given",
    "max-tokens": "the first half of the answer, stop_reason max_tokens",
    "context": "the first half of the answer, stop_reason model_context_window_exceeded",
    "empty": "end_turn without content",
    # of the model, in the next answer that calls a tool
    "bad-json": "the tool's input is no JSON; not streamed, it is a string",
    "bad-types": "every value of the tool's input is of another type, and one is missing",
    # of the model, in the next answer that edits a file
    "edit-absent": "the text to replace does not occur in the file",
    "edit-twice": "the text to replace occurs in the file more than once",
    "edit-elsewhere": "the edit is of another file: `path`",
}
UNANSWERED = {"hangup", "silent"}
ON_THE_WAY = {"cut", "torn", "overloaded", "stall"}
CALLS = {"bad-json", "bad-types"}
EDITS = {"edit-absent", "edit-twice", "edit-elsewhere"}
OF_THE_MODEL = {"refusal", "max-tokens", "context", "empty"} | CALLS | EDITS

MESSAGES = {
    "400": "invalid request",
    "401": "invalid x-api-key",
    "402": "There is an issue with your billing or payment information.",
    "403": "Your API key does not have permission to use the specified resource.",
    "413": "Request exceeds the maximum size",
    "429": "This request would exceed your organization's rate limit of 50 requests per minute.",
    "500": "Internal server error",
    "504": "Request timed out",
    "529": "Overloaded",
    "credit": "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits.",
}
GARBAGE = b'{"id": "msg_0", "type": "message", "content": [{"ty'
PORTAL = b"<html><head><title>Sign in</title></head><body><h1>Welcome to the guests' network</h1></body></html>\n"


@dataclass
class Fault:
    kind: str
    times: float = 1
    after: float = 0
    when: Callable[[Request], bool] = lambda request: request.asks_model
    seconds: float = 1.0
    retry_after: float | None = None
    path: str = "prepare.py"
    category: str | None = "frontier_llm"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}")

    def due(self, request: Request) -> bool:
        """Whether it strikes now. Each that it may strike counts."""
        if not self.when(request):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        return self.times > 0

    def fits(self, answer: Answer) -> bool:
        if self.kind in EDITS:
            return any(_edits(block) for block in answer.content)
        return self.kind not in CALLS or any(block["type"] == "tool_use" for block in answer.content)


class Faults:
    def __init__(self) -> None:
        self.arrived = 0  # requests for an answer of the model
        self._queue: list[Fault] = []
        self._planned: dict[int, Fault] = {}
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._queue.append(fault)

    def plan(self, n: int, fault: Fault) -> None:
        """For the n-th request for an answer from now on."""
        with self._lock:
            self._planned[self.arrived + n] = fault

    def arrive(self, request: Request) -> Fault | None:
        """What is to go wrong with a new request, whatever its answer is, or what was planned for it."""
        with self._lock:
            planned = self._planned.pop(self.arrived, None) if request.asks_model else None
            self.arrived += request.asks_model
            return planned or self._take(request, [fault for fault in self._queue if fault.kind not in OF_THE_MODEL])

    def answered(self, request: Request, answer: Answer) -> Fault | None:
        """What is to go wrong with this answer."""
        with self._lock:
            return self._take(request, [fault for fault in self._queue if fault.kind in OF_THE_MODEL and fault.fits(answer)])

    def _take(self, request: Request, faults: list[Fault]) -> Fault | None:
        due = [fault for fault in faults if fault.due(request)]  # each counts the request, the first of them strikes
        if not due:
            return None
        due[0].times -= 1
        return due[0]


def refusal(fault: Fault, request: Request, longest: int) -> tuple[int, str, dict[str, str]]:
    """(status, message, headers) of a fault that is an error."""
    headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    if fault.kind == "too-long":
        return 400, too_long(longest + 1, longest), headers
    if fault.kind == "404":
        return 404, f"model: {request.body.get('model')}", headers
    if fault.kind == "overloaded":
        return 529, MESSAGES["529"], headers
    return 400 if fault.kind == "credit" else int(fault.kind), MESSAGES[fault.kind], headers


# -- of the model -------------------------------------------------------------------------------------------------------


def changed(fault: Fault, request: Request, answer: Answer) -> Answer:
    """The answer with what is wrong with it. Raises ValueError where it has nothing that could be."""
    if not fault.fits(answer):
        raise ValueError(f"the answer has nothing for the fault {fault.kind!r}")
    if fault.kind == "refusal":
        return Answer([], "refusal", {"type": "refusal", "category": fault.category, "explanation": None})
    if fault.kind == "empty":
        return Answer([])
    if fault.kind == "max-tokens":
        return cut(answer, max(1, answer.tokens // 2))
    if fault.kind == "context":
        return replace(cut(answer, max(1, answer.tokens // 2)), stop_reason="model_context_window_exceeded")
    if fault.kind in CALLS:
        return _other_input(fault, answer)
    edited = [_other_edit(fault, request, block) if _edits(block) else block for block in answer.content]
    return replace(answer, content=edited)


def _other_input(fault: Fault, answer: Answer) -> Answer:
    place, block = next((n, block) for n, block in enumerate(answer.content) if block["type"] == "tool_use")
    content = list(answer.content)
    if fault.kind == "bad-json":
        raw = json.dumps(block["input"]).replace(": ", " = ", 1)
        content[place] = {**block, "input": raw}
        return replace(answer, content=content, raw={place: raw})
    given = {name: _of_another_type(value) for name, value in list(block["input"].items())[:-1]}
    content[place] = {**block, "input": given}
    return replace(answer, content=content)


def _of_another_type(value: Any) -> Any:
    return [value, {"value": value}] if isinstance(value, str) else str(value)


def _edits(block: Json) -> bool:
    return block["type"] == "tool_use" and bool(old_name(block["input"]))


def _other_edit(fault: Fault, request: Request, block: Json) -> Json:
    given, old = block["input"], old_name(block["input"])
    if fault.kind == "edit-elsewhere":
        name = next(name for name in ("path", "file_path") if name in given)
        return {**block, "input": {**given, name: fault.path}}
    if fault.kind == "edit-absent":
        return {**block, "input": {**given, old: given[old] + "  # as it never was"}}
    whole = "\n".join(files_shown(request).values())
    return {**block, "input": {**given, old: _twice(whole, given[old])}}


def _twice(whole: str, part: str) -> str:
    """The longest piece of the part that the whole has twice."""
    sizes = range(len(part) - 1, 0, -1)
    pieces = (part[start : start + size] for size in sizes for start in range(len(part) - size + 1))
    return next(piece for piece in pieces if whole.count(piece) > 1)
