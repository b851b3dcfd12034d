"""`git autoresearch lineage`: who was adopted from whom."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import click

from autoresearch_git.commands import community
from autoresearch_git.community.lineage import GROWN, REPRODUCED, Edge, Lineage, Node, trace
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.ancestry import ancestors
from autoresearch_git.ledger.session import choose_session, session_names
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import open_repository


@click.command("lineage", epilog="Example:  git autoresearch lineage cpu/nov21 --mermaid")
@click.argument("session", required=False)
@click.option("--mermaid", is_flag=True, help="Print a Mermaid graph, as GitHub draws it.")
@click.option("--json", "as_json", is_flag=True, help="Print nodes and edges as one JSON object.")
def command(session: str | None, mermaid: bool, as_json: bool) -> None:
    """Draw who was adopted from whom, across sessions and hubs.

    Of SESSION: all that it stands on and all that stands on it; else of everything here and everything that was read. It comes
    from the trailers of commits and the records of what was published, and from nothing else.
    """
    repository = open_repository(Path.cwd())
    names = session_names(repository)
    books = [notebook.read(repository, notebook.NAMESPACE + name) for name in names]
    with community.read_library(repository) as library:
        lineage = trace([(book, ancestors(repository, book.session)) for book in books], library.findings())
    if session:
        key = session if session in lineage.nodes else choose_session(repository, session)
        lineage = lineage.around(key)
    else:
        ends = {end for edge in lineage.edges for end in (edge.source, edge.target)}
        lineage = Lineage({key: node for key, node in lineage.nodes.items() if key in ends}, lineage.edges)
    if as_json:
        nodes = [dataclasses.asdict(node) for node in lineage.nodes.values()]
        click.echo(json.dumps({"nodes": nodes, "edges": [dataclasses.asdict(edge) for edge in lineage.edges]}))
        return
    if not lineage.edges:
        raise AutoresearchError("nothing was adopted or reproduced yet", "git autoresearch adopt SOURCE")
    for line in _mermaid(lineage) if mermaid else _tree(lineage):
        click.echo(line)


def _tree(lineage: Lineage) -> Iterator[str]:
    """From those that nobody took from, down to what they stand on; what was told once is not told again."""
    roots = [key for key in lineage.nodes if not lineage.adopters(key)]
    told: set[str] = set()
    for root in (*roots, *lineage.nodes):  # two that took from each other have no root
        if root not in told:
            yield _label(lineage.nodes[root])
            yield from _branches(lineage, root, "", told)


def _branches(lineage: Lineage, key: str, indent: str, told: set[str]) -> Iterator[str]:
    told.add(key)
    edges = lineage.sources(key)
    for edge in edges:
        last, again = edge is edges[-1], edge.source in told
        more = " (see above)" if again and lineage.sources(edge.source) else ""
        yield f"{indent}{'└─' if last else '├─'} {_told(edge)} {_label(lineage.nodes[edge.source])}{more}"
        if not again:
            yield from _branches(lineage, edge.source, indent + ("   " if last else "│  "), told)


def _told(edge: Edge) -> str:
    if edge.kind == REPRODUCED:
        return f"{edge.outcome}:"
    commits = f"{edge.commits} commit{'s' * (edge.commits != 1)}"
    return f"{commits} of" if edge.kind == GROWN else f"{edge.kept} of {commits} from"


def _label(node: Node) -> str:
    values = "" if node.best is None or node.baseline is None else f"  {node.baseline:g} → {node.best:g}"
    return f"{one_line(node.key)}{' (here)' if node.here else ''}{values}"


def _mermaid(lineage: Lineage) -> Iterator[str]:
    number = {key: f"n{i}" for i, key in enumerate(lineage.nodes)}
    yield "graph LR"
    for key, node in lineage.nodes.items():
        yield f'    {number[key]}["{_quoted(_label(node))}"]'
    for edge in lineage.edges:
        arrow = "-.->" if edge.kind == REPRODUCED else "-->"
        text = edge.outcome if edge.kind == REPRODUCED else _told(edge).removesuffix(" of").removesuffix(" from")
        yield f'    {number[edge.source]} {arrow}|"{_quoted(text)}"| {number[edge.target]}'


def _quoted(text: str) -> str:
    """Text that no quote of Mermaid ends."""
    return "".join(c if c.isalnum() or c in " .,:;/@_→()+−-" else f"#{ord(c)};" for c in one_line(text))
