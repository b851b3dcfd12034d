"""A stand-in for Anthropic's Messages API on 127.0.0.1, for real clients: the `anthropic` SDK, Claude Code, whatever speaks HTTP.

What a test against it proves:

- The wire. Whole answers and streams, event by event, with the headers, the error bodies and the usage that the SDK reads; what
  breaks on a line breaks here: a reset, a cut stream, a silence, a body that is no JSON.
- The rules that a client can break: the key, the model, the order of messages and tool results, marks of the cache, the context.

What it cannot prove: that the API behaves so, nor what a model would answer. Error texts and limits are our reading of Anthropic's
documentation; a token is four characters; it keeps no threads, files, containers or batches, and has no tools of its own.

    with Model(Scripted([("ALPHA", "0.3", "0.6")])) as model:
        Anthropic(base_url=model.url, api_key=model.key)
        model.fail("429", times=2, after=3, retry_after=1)
        model.fail("401", times=math.inf, after=10)
        model.fail("refusal", when=lambda request: "stranger" in request.text)
        model.fail_at(4, "cut")

    Model(["Hello.", [tool_use("submit", description="…")]])  # canned answers, in this order
"""

from model_standin.answers import Answer, text, thinking, tool_use
from model_standin.model import Model, Player
from model_standin.requests import Request
from model_standin.scripted import CLAUDE_CODE, SDK, Dialect, Scripted, Step

__all__ = [
    "CLAUDE_CODE", "SDK", "Answer", "Dialect", "Model", "Player", "Request", "Scripted", "Step", "text", "thinking", "tool_use",
]  # fmt: skip
