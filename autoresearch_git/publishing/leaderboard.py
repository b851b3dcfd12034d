"""A leaderboard as Markdown, and its place in a file whose other lines are the owner's."""

from __future__ import annotations

import re
from collections.abc import Callable

from autoresearch_git import rendering
from autoresearch_git.community.leaderboard import Leaderboard
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Metric
from autoresearch_git.plaintext import inert
from autoresearch_git.publishing import wording

BEGIN, END = "<!-- leaderboard:begin -->", "<!-- leaderboard:end -->"
EMPTY = f"# Leaderboard\n\n{BEGIN}\n{END}\n"  # a file that does not exist yet
_PAGE = re.compile(r"(https?://[\w.:-]+/[\w.-]+/[\w.-]+)/(?:pull|discussions)/\d+")


def render(board: Leaderboard, metric: Metric) -> str:
    """The tables. The same findings give the same text."""
    filters: dict[str, Callable[..., object]] = {
        "inert": inert, "figure": wording.figure, "change": wording.change, "count": wording.count,
        "noise": _noise, "link": _link, "commit": _commit,
    }  # fmt: skip
    return rendering.render("leaderboard.md.j2", None, filters, board=board, metric=metric)


def put(text: str, table: str) -> str:
    """A file's text with the table between its two marks, and every other line as it was.

    Raises AutoresearchError where it has not both marks, once each and in this order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise AutoresearchError("the file does not say where the leaderboard goes", f"write these two lines there: {BEGIN} {END}")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}{END}{rest.partition(END)[2]}"


def _noise(sd: float | None) -> str:
    return "–" if sd is None else f"{sd:.2g}"


def _link(url: str, text: str) -> str:
    """A link to a page of GitHub's; anything else that a server called an address is no link."""
    return f"[{text}]({url})" if _PAGE.fullmatch(url) else text


def _commit(sha: str, url: str) -> str:
    """The exact commit, in the repository that the page of its report belongs to."""
    page = _PAGE.fullmatch(url)
    return f"[`{sha[:7]}`]({page[1]}/commit/{sha})" if page else f"`{sha}`"
