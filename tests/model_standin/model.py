"""The whole stand-in: who answers, its key, its limits, its clock, its server, and what it saw."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from loopback import Server

from model_standin import rules
from model_standin.answers import Answer, cut, text
from model_standin.errors import Refused
from model_standin.faults import OF_THE_MODEL, Fault, Faults, changed
from model_standin.requests import Json, Request
from model_standin.server import Handler
from model_standin.tokens import Cache, input_tokens

Player = Callable[[Request], Answer]
Canned = Answer | str | list[Json]

MODELS = ("claude-opus-5-5", "claude-opus-4-8", "claude-sonnet-5-5", "claude-sonnet-4-6", "claude-haiku-5-5", "claude-haiku-4-5")


class Model:
    """The Messages API on a free port of 127.0.0.1, from construction to `close()`.

    `player` answers: a function, or a list of canned answers. `context` is what a prompt may have, `most_output` what an answer
    may, and `least_cached` what a prefix must have to be cached, all in tokens.
    """

    def __init__(self, player: Player | Sequence[Canned], *, key: str = "a-key-of-the-stand-in", models: Sequence[str] = MODELS,
                 context: int = 200_000, most_output: int = 128_000, least_cached: int = 1024) -> None:  # fmt: skip
        self.player = player if callable(player) else in_turn(player)
        self.key, self.models, self.context, self.most_output = key, tuple(models), context, most_output
        self.faults, self.cache = Faults(), Cache(least_cached)
        self.requests: list[Request] = []
        self.bugs: list[Exception] = []
        self.closing = threading.Event()  # ends what is silent
        self._lock = threading.Lock()  # one answer at a time is made
        self._ahead = 0.0
        self._server = Server(Handler, model=self)

    def close(self) -> None:
        """End the server. Raises RuntimeError where the stand-in itself failed at a request: no test may pass on that."""
        self.closing.set()
        self._server.close()
        if self.bugs:
            raise RuntimeError(f"{len(self.bugs)} requests hit a bug of the stand-in") from self.bugs[0]

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        """For ANTHROPIC_BASE_URL."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def asked(self) -> list[Request]:
        """The requests for an answer of the model, in the order in which they were answered."""
        return [request for request in self.requests if request.asks_model]

    def later(self, seconds: float) -> None:
        """Move the clock by which the cache expires."""
        self._ahead += seconds

    # -- what goes wrong ----------------------------------------------------------------------------------------

    def fail(self, kind: str, **options: Any) -> None:
        """Something goes wrong with the next request for an answer: a kind of faults.KINDS, with

        times=1         how often (math.inf: from then on)
        after=0         how many such requests pass before
        when=…          which requests: a function of Request; it may name other paths than /v1/messages
        seconds=1       of "stall" and "silent"
        retry_after=…   of "429" and "529" (and any other error)
        path=…          of "edit-elsewhere"
        category=…      of "refusal"
        """
        self.faults.add(Fault(kind, **options))

    def fail_at(self, n: int, kind: str, **options: Any) -> None:
        """The same for the n-th request for an answer from now on, the first being 0."""
        self.faults.plan(n, Fault(kind, **options))

    # -- answers ------------------------------------------------------------------------------------------------

    def answer(self, request: Request, planned: Fault | None) -> Answer:
        """Raises Refused where the request breaks a rule."""
        with self._lock:
            rules.check(self, request, counting=False)
            request.usage = self.cache.usage(request, time.monotonic() + self._ahead)
            found = self.player(request)
            wrong = planned if planned and planned.kind in OF_THE_MODEL else self.faults.answered(request, found)
            if wrong:
                request.fault = wrong.kind
                found = changed(wrong, request, found)
            most = request.body["max_tokens"]
            request.answer = cut(found, most) if found.tokens > most else found
            return request.answer

    def count(self, request: Request) -> Json:
        rules.check(self, request, counting=True)
        return {"input_tokens": input_tokens(request.body)}

    def catalogue(self, name: str = "") -> Json:
        """The models, or one of them."""
        rows = [
            {"type": "model", "id": each, "display_name": each.replace("-", " ").title(), "created_at": "2026-01-01T00:00:00Z",
             "lifecycle": "active", "max_input_tokens": self.context, "max_tokens": self.most_output}
            for each in self.models
            if name in ("", each)
        ]  # fmt: skip
        if not rows:
            raise Refused(404, f"model: {name}")
        return rows[0] if name else {"data": rows, "has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}


def in_turn(answers: Sequence[Canned]) -> Player:
    """A player of canned answers: texts, lists of blocks or whole answers. More requests than answers are a test's mistake."""
    places = itertools.count()

    def play(request: Request) -> Answer:
        place = next(places)
        if place == len(answers):
            raise IndexError(f"there is a request after the last of {len(answers)} canned answers")
        one = answers[place]
        found = Answer([text(one)]) if isinstance(one, str) else Answer(one) if isinstance(one, list) else one
        return replace(found, content=list(found.content))

    return play
