"""Connections: pages of a list, by cursors that name a position and not an item.

A cursor is the sort key of the last item seen. An item that moves to the front while somebody reads is therefore missed
or seen twice exactly where GitHub's readers would miss it or see it twice.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

from github_standin.errors import Refused

Key = Callable[[Any], tuple[Any, ...]]
Rows = list[tuple[tuple[Any, ...], int]]  # (sort key, place)


def encode(key: Sequence[Any]) -> str:
    return base64.b64encode(b"cursor:v2:" + json.dumps(list(key)).encode()).decode()


def decode(cursor: str) -> tuple[Any, ...]:
    try:
        raw = base64.b64decode(cursor, validate=True)
        assert raw.startswith(b"cursor:v2:")
        return tuple(json.loads(raw.removeprefix(b"cursor:v2:")))
    except (ValueError, AssertionError) as error:
        message = f"`{cursor}` does not appear to be a valid cursor."
        raise Refused(200, message, "INVALID_CURSOR_ARGUMENTS") from error


def connection(items: Sequence[Any], key: Key, arguments: dict[str, Any], descending: bool = False) -> dict[str, Any]:
    """One page of `items` as a GraphQL connection; `arguments` are first, after, last, before."""
    rows = list(zip(map(key, items), itertools.count(), strict=False))
    try:
        rest = _beyond(rows, arguments.get("after"), descending)
        start_cut = len(rest) < len(rows)
        within = _beyond(rest, arguments.get("before"), not descending)
        end_cut = len(within) < len(rest)
    except TypeError as error:  # a cursor of another connection
        raise Refused(200, "The cursor does not belong to this connection.", "INVALID_CURSOR_ARGUMENTS") from error
    size = arguments["first"] if arguments.get("first") is not None else arguments["last"]
    backwards = arguments.get("first") is None
    nearest = heapq.nlargest if descending != backwards else heapq.nsmallest  # sorting everything for each page takes seconds
    shown = nearest(size, within)
    left = len(within) > len(shown)
    ordered = shown[::-1] if backwards else shown
    edges = [{"cursor": encode(k), "node": items[place]} for k, place in ordered]
    return {
        "nodes": [edge["node"] for edge in edges],
        "edges": edges,
        "totalCount": len(items),
        "pageInfo": {
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
            "hasNextPage": end_cut or (left and not backwards),
            "hasPreviousPage": start_cut or (left and backwards),
        },
    }


def _beyond(rows: Rows, cursor: str | None, descending: bool) -> Rows:
    """The rows after the cursor's position, where one walks up or, descending, down."""
    if cursor is None:
        return rows
    position = decode(cursor)
    return [row for row in rows if row[0] < position] if descending else [row for row in rows if row[0] > position]
