"""The words of an idea, as a search wants them: what says nothing left out, what is written short spelled out."""

from __future__ import annotations

import re

# What people in the field write short; searched as what it means.
GLOSSARY = {
    "lr": "learning rate", "wd": "weight decay", "ve": "value embedding", "emb": "embedding", "bs": "batch size",
    "attn": "attention", "init": "initialization", "wte": "token embedding", "gqa": "grouped query attention",
    "mqa": "multi query attention", "rope": "rotary position", "swa": "sliding window attention",
    "ema": "exponential moving average", "moe": "mixture of experts", "mlp": "feed forward", "ln": "layer norm",
    "qk": "query key", "kv": "key value",
}  # fmt: skip
_SAY_NOTHING = {
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "instead", "into", "is", "it", "no", "not", "of", "on",
    "or", "than", "that", "the", "to", "with",
}  # fmt: skip


def telling_words(text: str) -> list[str]:
    """The words of a text that say what it is about, in lower case."""
    return [word for word in re.findall(r"\w+", text.lower()) if word not in _SAY_NOTHING]


def spelled_out(text: str) -> str:
    """The text, and after it what its short words mean."""
    short = (word.lower() for word in re.findall(r"[A-Za-z]+", text))
    return " ".join([text, *(GLOSSARY[word] for word in short if word in GLOSSARY)])


def query_term(word: str) -> str:
    """A word of a full-text query, or what it means; quoted, so that nothing in it is an operator."""
    meaning = GLOSSARY.get(word.lower())
    return f'("{word}" OR "{meaning}")' if meaning else f'"{word}"'
