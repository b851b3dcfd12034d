"""HTTP: who asks, what for, and every answer through one place."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loopback import QuietHandler

from model_standin import errors, faults, stream
from model_standin.errors import Refused
from model_standin.faults import Fault
from model_standin.requests import Json, Request

if TYPE_CHECKING:
    from model_standin.model import Model

SECRET = {"authorization", "x-api-key", "cookie", "proxy-authorization"}


class Handler(QuietHandler):
    numbers = itertools.count(1)
    model: Model
    seen: Request
    number: int
    fault: Fault | None  # what is to go wrong on the line

    # -- one request --------------------------------------------------------------------------------------------

    def answer_request(self) -> None:
        place, self.number, self.fault = urlsplit(self.path), next(self.numbers), None
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen = Request(self.command, place.path, place.query, {n: v for n, v in headers.items() if n not in SECRET})
        self._identify(headers)
        raw = self.rfile.read(int(headers.get("content-length", 0)))
        try:
            self._answer(raw)
        except Refused as no:
            self.refuse(no.status, no.message)
        except ConnectionError:
            raise
        except Exception as bug:
            self.model.bugs.append(bug)
            self.refuse(400, f"the stand-in for the Messages API has a bug: {bug!r}")  # no client repeats a 400

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer_request

    def _identify(self, headers: dict[str, str]) -> None:
        """How a key was sent, and whether it is ours."""
        scheme, _, value = headers.get("authorization", "").partition(" ")
        sent = {"x-api-key": headers.get("x-api-key", ""), "bearer": value if scheme.lower() == "bearer" else ""}
        for how, key in sent.items():
            if key:
                self.seen.key_sent, self.seen.key_accepted = how, key == self.model.key
                return

    def _answer(self, raw: bytes) -> None:
        try:
            body = json.loads(raw) if raw else {}
        except ValueError as error:
            raise Refused(400, f"The request body is not valid JSON: {error}") from error
        self.seen.body = body if isinstance(body, dict) else {}
        planned = self.model.faults.arrive(self.seen)
        self.fault = planned if planned and planned.kind not in faults.OF_THE_MODEL else None
        if self.fault and self.fault.kind not in faults.ON_THE_WAY:
            return self._break()
        if not self.seen.key_accepted:
            raise Refused(401, f"invalid {self.seen.key_sent} key" if self.seen.key_sent else "x-api-key header is required")
        if "anthropic-version" not in self.seen.headers:
            raise Refused(400, "anthropic-version: header is required")
        return self._route(planned)

    def _route(self, planned: Fault | None) -> None:
        asked = f"{self.seen.method} {self.seen.path}"
        if asked == "POST /v1/messages":
            return self._answer_message(planned)
        if asked == "POST /v1/messages/count_tokens":
            return self.send(200, self.model.count(self.seen))
        if asked == "GET /v1/models":
            return self.send(200, self.model.catalogue())
        if asked.startswith("GET /v1/models/"):
            return self.send(200, self.model.catalogue(asked.removeprefix("GET /v1/models/")))
        raise Refused(404, "Not found")

    def _answer_message(self, planned: Fault | None) -> None:
        answer, message_id = self.model.answer(self.seen, planned), f"msg_{self.number:024d}"
        if self.seen.streamed:
            return self._stream(list(stream.events(answer, self.seen, message_id)))
        if self.fault and self.fault.kind == "overloaded":
            return self._break()
        if self.fault and self.fault.kind == "stall":
            self.model.closing.wait(self.fault.seconds)
        return self.send(200, stream.message(answer, self.seen, message_id))

    def _break(self) -> None:
        """What a fault gives that is no answer of the model."""
        assert self.fault
        if self.fault.kind in faults.UNANSWERED:
            self.note(0)
            if self.fault.kind == "silent":
                self.model.closing.wait(self.fault.seconds)
                return self.hang_up()
            return self.reset()
        if self.fault.kind == "garbage":
            return self.send(200, faults.GARBAGE)
        if self.fault.kind == "html":
            return self.send(200, faults.PORTAL, {"content-type": "text/html"})
        return self.refuse(*faults.refusal(self.fault, self.seen, self.model.context))

    # -- answers ------------------------------------------------------------------------------------------------

    def refuse(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        self.send(status, errors.body(status, message, self._request_id), headers or {})

    @property
    def _request_id(self) -> str:
        return f"req_{self.number:024d}"

    def send(self, status: int, content: bytes | Json, headers: dict[str, str] | None = None) -> None:
        """The only way out for an answer that is no stream."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        breaks = self.fault is not None and self.fault.kind in ("cut", "torn")
        self.note(status)
        self._begin(status, {"content-type": "application/json", **(headers or {}), "content-length": str(len(raw))})
        if self.command != "HEAD":
            self.wfile.write(raw[: len(raw) // 2] if breaks else raw)
        self.wfile.flush()
        if breaks:
            self.hang_up()

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"request-id": self._request_id, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _stream(self, events: list[Json]) -> None:
        kind = self.fault.kind if self.fault else ""
        self.note(200)
        self._begin(200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache",
                          "transfer-encoding": "chunked"})  # fmt: skip
        for event in self._until(events, _middle(events) if self.fault else len(events)):
            self._chunk(stream.encoded(event))
        if kind == "torn":
            return self.hang_up()
        return self._chunk(b"")

    def _until(self, events: list[Json], middle: int) -> Iterator[Json]:
        """The events with what goes wrong in their middle."""
        yield from events[:middle]
        if not self.fault:
            return
        if self.fault.kind == "overloaded":
            yield errors.body(529, faults.MESSAGES["529"], self._request_id)
        if self.fault.kind == "stall":
            self.model.closing.wait(self.fault.seconds)
            yield from events[middle:]

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def note(self, status: int) -> None:
        """Remember the request, before the client can know that it was answered."""
        self.seen.status = status
        self.seen.fault = self.fault.kind if self.fault else self.seen.fault
        self.model.requests.append(self.seen)


def _middle(events: list[Json]) -> int:
    """The place behind half of the deltas, and at least one."""
    deltas = [place for place, event in enumerate(events) if event["type"] == "content_block_delta"]
    return deltas[(len(deltas) - 1) // 2] + 1 if deltas else 1
