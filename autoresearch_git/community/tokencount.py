"""How many tokens a text is, at most: counted with tiktoken and a small vocabulary of our own, so that nothing is fetched.

A model's vocabulary is much larger and takes fewer tokens for the same text. `docs/vocabulary.py` writes the file.
"""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import Any

_PATTERN = r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"""


@functools.lru_cache(maxsize=1)
def _encoding() -> Any:
    import tiktoken  # only who counts needs it

    lines = Path(__file__).with_name("vocabulary.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, _, rank in (line.partition(b" ") for line in lines)}
    return tiktoken.Encoding("autoresearch", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})


def count_tokens(text: str) -> int:
    """An upper bound of the tokens of a text."""
    return len(_encoding().encode_ordinary(text))
