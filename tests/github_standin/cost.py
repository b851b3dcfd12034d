"""What GitHub would charge for a query, and whether it would run it at all: worked out before execution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    value_from_ast_untyped,
)

from github_standin.errors import Refused

MAX_PAGE = 100
MAX_NODES = 500_000


@dataclass
class Cost:
    """`requests`: how often connections are asked for; `nodes`: how many items they could give; `page`: the outermost size."""

    requests: int = 0
    nodes: int = 0
    page: int = 0
    path: list[str] = field(default_factory=list)

    @property
    def points(self) -> int:
        return max(1, int(self.requests / 100 + 0.5))


def measure(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: dict[str, Any]) -> Cost:
    """Raises Refused for a page without size or over 100, and for more than 500,000 nodes."""
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    defaults = {
        v.variable.name.value: value_from_ast_untyped(v.default_value)
        for v in operation.variable_definitions or ()
        if v.default_value
    }
    cost = Cost()
    root = schema.mutation_type if operation.operation.value == "mutation" else schema.query_type
    _Walk(schema, fragments, {**defaults, **variables}, cost).selection(operation.selection_set, root, 1, True)
    if cost.nodes > MAX_NODES:
        message = f"This query requests up to {cost.nodes:,} possible nodes which exceeds the maximum limit of {MAX_NODES:,}."
        raise Refused(200, message, "MAX_NODE_LIMIT_EXCEEDED")
    return cost


@dataclass
class _Walk:
    schema: GraphQLSchema
    fragments: dict[str, FragmentDefinitionNode]
    variables: dict[str, Any]
    cost: Cost

    def selection(self, chosen: SelectionSetNode | None, parent: Any, times: int, outermost: bool) -> None:
        for node in chosen.selections if chosen else ():
            if isinstance(node, FieldNode):
                self._field(node, parent, times, outermost)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                inner = self.schema.type_map[condition.name.value] if condition else parent
                self.selection(node.selection_set, inner, times, outermost)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self.fragments[node.name.value]
                inner = self.schema.type_map[fragment.type_condition.name.value]
                self.selection(fragment.selection_set, inner, times, outermost)

    def _field(self, node: FieldNode, parent: Any, times: int, outermost: bool) -> None:
        name = node.name.value
        if name.startswith("__") or not hasattr(parent, "fields"):
            return
        defined = parent.fields[name]
        inner = get_named_type(defined.type)
        if isinstance(inner, GraphQLObjectType) and inner.name.endswith("Connection"):
            size = self._size(node, name)
            self.cost.requests += times
            self.cost.nodes += times * size
            self.cost.page = max(self.cost.page, size) if outermost else self.cost.page
            times, outermost = times * size, False
        self.selection(node.selection_set, inner, times, outermost)

    def _size(self, node: FieldNode, name: str) -> int:
        given = {a.name.value: value_from_ast_untyped(a.value, self.variables) for a in node.arguments or ()}
        sizes = {word: given[word] for word in ("first", "last") if isinstance(given.get(word), int)}
        if not sizes:
            message = f"You must provide a `first` or `last` value to properly paginate the `{name}` connection."
            raise Refused(200, message, "MISSING_PAGINATION_BOUNDARIES")
        for word, size in sizes.items():
            if size < 1:
                message = f"`{word}` on the `{name}` connection cannot be less than one."
                raise Refused(200, message, "INVALID_PAGINATION_BOUNDARIES")
            if size > MAX_PAGE:
                message = f"Requesting {size} records on the `{name}` connection exceeds the `{word}` limit of {MAX_PAGE} records."
                raise Refused(200, message, "EXCESSIVE_PAGINATION")
        if len(sizes) == 2:
            message = f"Passing both `first` and `last` to paginate the `{name}` connection is not supported."
            raise Refused(200, message, "INVALID_PAGINATION_BOUNDARIES")
        return int(max(sizes.values()))
