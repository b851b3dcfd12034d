"""One GraphQL request: parsed and validated against GitHub's schema, charged, executed, answered as GitHub words it."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    execute_sync,
    get_operation_ast,
    parse,
    validate,
)

from github_standin.cost import Cost, measure
from github_standin.errors import Refused, Unknown
from github_standin.limits import Window
from github_standin.models import Json, Token, User
from github_standin.resolvers import RESOLVERS

if TYPE_CHECKING:
    from github_standin.hub import GitHub

SCHEMA_FILE = Path(__file__).parent.parent / "data" / "github.graphql"


@functools.cache
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA_FILE.read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=256)
def _read(query: str) -> tuple[DocumentNode | None, tuple[GraphQLError, ...]]:
    try:
        document = parse(query)
    except GraphQLError as error:
        return None, (error,)
    return document, tuple(validate(schema(), document))


@dataclass
class Context:
    """What a resolver knows about the request: who asks, under which address, what it costs."""

    hub: GitHub
    token: Token
    url: str  # http://host:port as the client wrote it
    cost: Cost
    window: Window

    @property
    def viewer(self) -> User:
        return self.token.user


class Call:
    """One request, prepared so that faults can look at its size before it runs."""

    def __init__(self, hub: GitHub, token: Token, url: str, body: bytes, window: Window) -> None:
        self.hub, self.token, self.url, self.window = hub, token, url, window
        self.cost = Cost()
        self.refusal: Json | None = None
        self.variables: dict[str, Any] = {}
        self.document: DocumentNode | None = None
        self.operation: OperationDefinitionNode | None = None
        self._prepare(body)

    def _prepare(self, body: bytes) -> None:
        try:
            sent = json.loads(body)
            query, self.variables = sent["query"], dict(sent.get("variables") or {})
            assert isinstance(query, str)
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
            self.refusal = {"errors": [{"message": "A query attribute must be specified and must be a string."}]}
            return
        self.document, errors = _read(query)
        if errors or self.document is None:
            self.refusal = {"errors": [_plain(error) for error in errors]}
            return
        self.operation = get_operation_ast(self.document, sent.get("operationName"))
        if self.operation is None:
            self.refusal = {"errors": [{"message": "No operation with that name is in the query."}]}
            return
        try:
            self.cost = measure(schema(), self.document, self.operation, self.variables)
        except Refused as refused:
            self.refusal = {"errors": [{"type": refused.kind, "message": refused.message}]}

    @property
    def fields(self) -> str:
        """The names of the outermost fields, `viewer repository`."""
        chosen = self.operation.selection_set.selections if self.operation else ()
        return " ".join(one.name.value for one in chosen if isinstance(one, FieldNode))

    def answer(self) -> tuple[int, Json]:
        """(status, body). The status is 200, whatever GitHub refuses, and 501 where the stand-in has no answer."""
        if self.refusal:
            return 200, self.refusal
        assert self.document is not None
        assert self.operation is not None
        context = Context(self.hub, self.token, self.url, self.cost, self.window)
        name = self.operation.name.value if self.operation.name else None
        result = execute_sync(schema(), self.document, self.hub, context, self.variables, name,
                              field_resolver=resolve, type_resolver=lambda source, *_: source.graphql_type)  # fmt: skip
        if not result.errors:
            return 200, {"data": result.data}
        causes = [error.original_error for error in result.errors]
        errors = [_plain(error) for error in result.errors]
        bugs = [cause for cause in causes if cause and not isinstance(cause, Refused | Unknown | GraphQLError)]
        if bugs:
            raise bugs[0]
        missing = [str(cause) for cause in causes if isinstance(cause, Unknown)]
        return (501, {"message": missing[0], "errors": errors}) if missing else (200, {"data": result.data, "errors": errors})


@functools.cache
def _attribute(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def resolve(source: Any, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
    """A field from its resolver, else from the source by its name; where neither has it, an error and never null."""
    parent, name = info.parent_type.name, info.field_name
    resolver = RESOLVERS.get((parent, name)) or RESOLVERS.get(("*", name))
    if resolver:
        return resolver(source, info.context, **arguments)
    if isinstance(source, dict):
        if name in source:
            return source[name]
    else:
        if not callable(value := getattr(source, _attribute(name), resolve)):
            return value
    raise Unknown(f"the stand-in for GitHub has no data for {parent}.{name}")


def _plain(error: GraphQLError) -> Json:
    found: Json = {"message": error.message}
    if isinstance(error.original_error, Refused):
        found = {"type": error.original_error.kind, "message": error.original_error.message}
    if error.path:
        found["path"] = list(error.path)
    if error.locations:
        found["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    return found
