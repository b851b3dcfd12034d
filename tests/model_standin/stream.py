"""An answer as the API sends it: whole, or event by event."""

from __future__ import annotations

import json
from collections.abc import Iterator

from model_standin.answers import Answer, written
from model_standin.requests import Json, Request

PIECE = 24  # characters of a delta


def message(answer: Answer, request: Request, message_id: str) -> Json:
    return {
        **_start(request, message_id),
        "content": answer.content,
        "stop_reason": answer.ends_with,
        "stop_details": answer.stop_details,
        "usage": {**request.usage, "output_tokens": answer.tokens},
    }


def events(answer: Answer, request: Request, message_id: str) -> Iterator[Json]:
    yield {"type": "message_start", "message": _start(request, message_id)}
    for place, block in enumerate(answer.content):
        empty = {"text": "", "thinking": "", "tool_use": {}}[block["type"]]
        name = "input" if block["type"] == "tool_use" else block["type"]
        bare = {key: value for key, value in block.items() if key != "signature"} | {name: empty}
        yield {"type": "content_block_start", "index": place, "content_block": bare}
        if place == 0:
            yield {"type": "ping"}
        for delta in _deltas(answer, place):
            yield {"type": "content_block_delta", "index": place, "delta": delta}
        yield {"type": "content_block_stop", "index": place}
    ending = {"stop_reason": answer.ends_with, "stop_sequence": None, "stop_details": answer.stop_details}
    counted = {name: value for name, value in request.usage.items() if name.endswith("_tokens")}
    yield {"type": "message_delta", "delta": ending, "usage": {**counted, "output_tokens": answer.tokens}}
    yield {"type": "message_stop"}


def encoded(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _start(request: Request, message_id: str) -> Json:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": request.body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**request.usage, "output_tokens": 1},
    }


def _deltas(answer: Answer, place: int) -> Iterator[Json]:
    block, whole = answer.content[place], written(answer, place)
    pieces = [whole[start : start + PIECE] for start in range(0, len(whole), PIECE)]
    if block["type"] == "tool_use":
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces])
        return
    yield from ({"type": f"{block['type']}_delta", block["type"]: piece} for piece in pieces)
    if block["type"] == "thinking":
        yield {"type": "signature_delta", "signature": block["signature"]}
