"""Paragraphs on one line each: GitHub shows a line's end inside a paragraph of a pull request or a Discussion as a new line."""

from __future__ import annotations

import re

_MEANT = re.compile(r"(?: {2}|(?<!\\)(?:\\\\)*\\)$")  # a break that the author asked for
_OF_ITS_OWN = re.compile(r"\[!\w+\]$")  # GitHub's `> [!NOTE]`
_NOTE = re.compile(r"\[\^[^\]\s]+\]:")  # GitHub's footnotes, which CommonMark has for one paragraph


def joined(text: str) -> str:
    """The same Markdown, also where its author wrapped the lines of paragraphs, items and quotations."""
    from markdown_it import MarkdownIt  # only who posts needs it

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable(["inline", "text_join"])
    lines = text.split("\n")
    for token in reversed(parser.parse(text)):  # from the end, as the lines before stay where they are
        parts = token.content.split("\n") if token.type == "inline" else []
        if token.map and len(parts) == token.map[1] - token.map[0] > 1:
            lines[slice(*token.map)] = _join(lines[slice(*token.map)], parts)
    return "\n".join(lines)


def _join(lines: list[str], parts: list[str]) -> list[str]:
    """`parts` are the lines without what marks them as part of a list or a quotation."""
    found = [lines[0]]
    for line, before, part in zip(lines[1:], parts, parts[1:], strict=False):
        if _MEANT.search(found[-1]) or _OF_ITS_OWN.match(before.strip()) or _NOTE.match(part.strip()):
            found.append(line)
        else:
            found[-1] = f"{found[-1].rstrip()} {part.lstrip()}"
    return found
