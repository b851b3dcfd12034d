"""What the API refuses: our reading of its documentation, in its words where we know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_standin.answers import signature
from model_standin.errors import Refused
from model_standin.requests import Json, Request, as_blocks
from model_standin.tokens import LIFETIMES, blocks_of, input_tokens

if TYPE_CHECKING:
    from model_standin.model import Model

MOST_MARKS = 4
FIELDS = {
    "cache_control", "container", "context_management", "diagnostics", "fallbacks", "inference_geo", "max_tokens", "mcp_servers",
    "messages", "metadata", "model", "output_config", "service_tier", "speed", "stop_sequences", "stream", "system", "temperature",
    "thinking", "tool_choice", "tools", "top_k", "top_p",
}  # fmt: skip
# types of tools that the client carries out, and the names that they must have
TOOL_TYPES = {
    "bash_20250124": "bash",
    "memory_20250818": "memory",
    "text_editor_20250124": "str_replace_editor",
    "text_editor_20250429": "str_replace_based_edit_tool",
    "text_editor_20250728": "str_replace_based_edit_tool",
}
BLOCK_TYPES = {"text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result"}


def check(model: Model, request: Request, counting: bool) -> None:
    """Raises Refused where the API would."""
    body = request.body
    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        _need(name in body, f"{name}: Field required")
    if "thread" in body:
        raise Refused(400, "thread: the stand-in keeps no threads, send the whole conversation")
    for name in body:
        _need(name in FIELDS, f"{name}: Extra inputs are not permitted")
    if body["model"] not in model.models:
        raise Refused(404, f"model: {body['model']}")
    if not counting:
        _check_max_tokens(model, body)
    _check_tools(body.get("tools") or [])
    _check_messages(body)
    _check_texts(body)
    _check_turns(request)
    _check_marks(body)
    if not counting and (tokens := input_tokens(body)) > model.context:
        raise Refused(400, too_long(tokens, model.context))


def too_long(tokens: int, most: int) -> str:
    return f"prompt is too long: {tokens} tokens > {most} maximum"


def _need(condition: Any, message: str) -> None:
    if not condition:
        raise Refused(400, message)


def _check_max_tokens(model: Model, body: Json) -> None:
    asked, most = body["max_tokens"], model.most_output
    _need(type(asked) is int, "max_tokens: Input should be a valid integer")
    _need(asked > 0, "max_tokens: Input should be greater than or equal to 1")
    words = f"max_tokens: {asked} > {most}, which is the maximum allowed number of output tokens for {body['model']}"
    _need(asked <= most, words)


def _check_tools(tools: list[Json]) -> None:
    for place, tool in enumerate(tools):
        kind = tool.get("type", "custom")
        if kind == "custom":
            _need(tool.get("name"), f"tools.{place}.custom.name: Field required")
            _need(isinstance(tool.get("input_schema"), dict), f"tools.{place}.custom.input_schema: Field required")
            continue
        known = ", ".join(f"'{name}'" for name in sorted({*TOOL_TYPES, "custom"}))
        words = f"tools.{place}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {known}"
        _need(kind in TOOL_TYPES, words)
        wanted = TOOL_TYPES[kind]
        _need(tool.get("name") == wanted, f"tools.{place}.{kind}.name: Input should be '{wanted}'")
    names = [tool["name"] for tool in tools]
    _need(len(set(names)) == len(names), "tools: Tool names must be unique.")


def _check_messages(body: Json) -> None:
    messages = body["messages"]
    _need(messages, "messages: at least one message is required")
    for place, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        _need(role in ("user", "assistant", "system"), f"messages.{place}.role: Input should be 'user', 'assistant' or 'system'")
        _need(isinstance(content, (str, list)), f"messages.{place}.content: Input should be a valid list")
        _need(content, f"messages.{place}: all messages must have non-empty content")
        for each, block in enumerate(as_blocks(content)):
            kind = block.get("type")
            words = (
                f"messages.{place}.content.{each}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
            )
            _need(kind in BLOCK_TYPES, words)
            genuine = kind != "thinking" or block.get("signature") == signature(block["thinking"])
            _need(genuine, f"messages.{place}.content.{each}: Invalid `signature` in `thinking` block")
    _need(messages[0]["role"] == "user", 'messages: first message must use the "user" role')
    words = "This model does not support assistant message prefill. The conversation must end with a user message."
    _need(messages[-1]["role"] != "assistant", words)


def _check_texts(body: Json) -> None:
    for where, block in blocks_of(body):
        if where == "tools" or block["type"] != "text":
            continue
        place = "system" if where == "system" else "messages"
        _need(block["text"], f"{place}: text content blocks must be non-empty")
        _need(block["text"].strip(), f"{place}: text content blocks must contain non-whitespace text")


def _check_turns(request: Request) -> None:
    """Each call of a tool has its result in the next turn, before anything else; each result has its call."""
    called: list[str] = []
    for place, (role, blocks) in enumerate(request.turns):
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        stray = [name for name in results if name not in called or role != "user"]
        words = (
            f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(stray)}. "
            "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        )
        _need(not stray, words)
        first = {block["tool_use_id"] for block in blocks[: len(called)] if block["type"] == "tool_result"}
        missing = [name for name in called if name not in first]
        words = (
            f"messages.{place - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        )
        _need(not missing, words)
        called = [block["id"] for block in blocks if block["type"] == "tool_use"] if role == "assistant" else []
        _need(not called or request.tools, "Requests which include `tool_use` or `tool_result` blocks must define tools.")


def _check_marks(body: Json) -> None:
    marks = [block["cache_control"] for _, block in blocks_of(body) if block.get("cache_control")]
    marks += [body["cache_control"]] if body.get("cache_control") else []
    _need(len(marks) <= MOST_MARKS, f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
    lives = [mark.get("ttl", "5m") for mark in marks]
    for mark, life in zip(marks, lives, strict=True):
        _need(mark.get("type") == "ephemeral", "cache_control.type: Input should be 'ephemeral'")
        _need(life in LIFETIMES, "cache_control.ttl: Input should be '5m' or '1h'")
    words = "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."
    _need(lives == sorted(lives), words)  # "1h" sorts before "5m"
