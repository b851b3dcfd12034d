"""The registry of GraphQL resolvers, and pages in the order that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from github_standin.errors import Unknown
from github_standin.models import Json
from github_standin.pagination import connection

Resolver = Callable[..., Any]
RESOLVERS: dict[tuple[str, str], Resolver] = {}


def field(*places: str) -> Callable[[Resolver], Resolver]:
    """Register a resolver `(source, context, **arguments)` for `Type.field`; `*.field` is for every type."""

    def register(resolver: Resolver) -> Resolver:
        for place in places:
            parent, _, name = place.partition(".")
            RESOLVERS[parent, name] = resolver
        return resolver

    return register


_MOMENT: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "UPDATED_AT": attrgetter("updated_at", "database_id"),
    "CREATED_AT": attrgetter("created_at", "database_id"),
    "COMMENTS": lambda item: (len(item.comments), item.database_id),
    "NAME": lambda item: (item.name,),
}


def page(items: Iterable[Any], arguments: dict[str, Any]) -> Json:
    """In the order that was asked for, which is that of creation where none was."""
    order = arguments.get("orderBy") or {"field": "CREATED_AT", "direction": "ASC"}
    if order["field"] not in _MOMENT:
        raise Unknown(f"the stand-in for GitHub does not order by {order['field']}")
    return connection(list(items), _MOMENT[order["field"]], arguments, order["direction"] == "DESC")


def in_order(items: Iterable[Any], arguments: dict[str, Any]) -> Json:
    """Things without a time of their own, as they stand."""
    rows = list(enumerate(items))
    found = connection(rows, lambda row: (row[0],), arguments)
    return {**found, "nodes": [item for _, item in found["nodes"]], "edges": [{**e, "node": e["node"][1]} for e in found["edges"]]}
