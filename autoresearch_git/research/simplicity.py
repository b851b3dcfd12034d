"""How much code a change takes away, by what Python reads of it: comments, empty lines and layout are none."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Mapping

_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def lines_saved(before: Mapping[str, str], after: Mapping[str, str]) -> int:
    """How many lines of code fewer the files in `after` have; 0 where they have no fewer, or only pack them closer."""
    if not all(path.endswith(".py") for path in after):
        return 0
    try:
        sizes = [(_size(before.get(path, "")), _size(text)) for path, text in after.items()]
    except (tokenize.TokenError, SyntaxError):
        return 0
    lines = sum(old[0] - new[0] for old, new in sizes)
    tokens = sum(old[1] - new[1] for old, new in sizes)
    return lines if lines > 0 and tokens > 0 else 0


def _size(text: str) -> tuple[int, int]:
    """(lines, tokens) of code."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in _LAYOUT]
    return len({token.start[0] for token in tokens}), len(tokens)
