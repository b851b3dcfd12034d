"""Text from outside made safe to show: in a terminal, in a commit message, in a prompt, in a post.

What is removed can only deceive: escape sequences, control and invisible characters, text direction, comments. What is left
still says whatever its author wrote; it is data wherever it goes.
"""

from __future__ import annotations

import re
import unicodedata

# ECMA-48: CSI … final byte, OSC and the other string sequences up to their end, two-character escapes; and their 8-bit forms.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_ROUNDS = 4
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# Letters by category that show as nothing, and the selectors that change how the letter before them looks.
_INVISIBLE = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0000-\U000e0fff]")
_PILED_MARKS = re.compile(r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{2})"
                          r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")  # fmt: skip


def defuse(text: str, limit: int = 1 << 16) -> str:
    """Text of several lines without anything that a terminal obeys or a reader cannot see; at most `limit` characters."""
    text = _ESCAPE.sub("", text[: 4 * limit]).replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs", "Cn"))
    text = _PILED_MARKS.sub(r"\1", _INVISIBLE.sub("", text))
    for _ in range(_ROUNDS):  # a comment may hide in the pieces that another one leaves
        shorter = _COMMENT.sub("", text)
        if shorter == text:
            break
        text = shorter
    else:
        text = text.replace("<!--", "")
    return unicodedata.normalize("NFC", text)[:limit]


def is_hidden(character: str) -> bool:
    """Whether a character shows as nothing, or moves what stands beside it."""
    return unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") or bool(_INVISIBLE.match(character))


def one_line(text: str, limit: int = 200) -> str:
    """`defuse`d text on one line, cut with an ellipsis."""
    words = " ".join(defuse(text[: 64 * limit]).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


# What GitHub makes of a word by itself: a mention, a reference to an issue (and with a verb before it, its end), an address.
_AUTOLINK = re.compile(r"@[\w-]|#\d|\bGH-\d|://|\bwww\.|\w@\w", re.IGNORECASE)
_MARKUP = re.compile(r"[\\`*\[\]|~$<>]|(?<![^\W_])_|_(?![^\W_])")  # of underscores those that are not inside a word
_AT_THE_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[#+=-]))")


def inert(text: str, limit: int = 200) -> str:
    """One line of Markdown that shows the text as it is: nobody is mentioned by it, nothing referred to, linked or closed."""
    line = " ".join(_inert_word(word) for word in one_line(text, limit).split(" "))
    return _AT_THE_START.sub(lambda match: match[0] + "\\", line)


def _inert_word(word: str) -> str:
    if _AUTOLINK.search(word):
        return code(word, len(word))
    return _MARKUP.sub(lambda match: "\\" + match[0], word.replace("&", "&amp;"))


def code(text: str, limit: int = 200) -> str:
    """A span of code in a cell of a table that shows the text, and that the text cannot leave; empty where it is."""
    line = one_line(text, limit).replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line else ""
