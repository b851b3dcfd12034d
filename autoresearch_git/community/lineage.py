"""Who was adopted from whom: sessions, here and published, and what went from one to another.

Read from the notebooks of this repository and from the records of what others published, and from nothing else. A session of
this repository that was published is one with its report.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from autoresearch_git.community.findings import Finding
from autoresearch_git.community.record import Record
from autoresearch_git.ledger.ancestry import Ancestor
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.plaintext import one_line
from autoresearch_git.replication import in_order

_IDENTITY = re.compile(r"[0-9a-f]{40}")
ADOPTED, GROWN, REPRODUCED = "adopted", "grown from", "reproduced"


@dataclass(frozen=True)
class Node:
    """A session, or whatever else commits came from. `key` is a session's name here, else the finding's key; `baseline` and
    `best` are its metric's values where they are known."""

    key: str
    title: str = ""
    url: str = ""
    here: bool = False
    baseline: float | None = None
    best: float | None = None


@dataclass(frozen=True)
class Edge:
    """What the session `target` has of `source`: `commits` that it took up, of which it kept `kept`; or what became of the
    source's claim where it was measured again."""

    source: str
    target: str
    kind: str
    commits: int = 0
    kept: int = 0
    outcome: str = ""


@dataclass(frozen=True)
class Lineage:
    nodes: Mapping[str, Node] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()

    def sources(self, key: str) -> list[Edge]:
        """What a session took from others."""
        return [edge for edge in self.edges if edge.target == key]

    def adopters(self, key: str) -> list[Edge]:
        """Who took from a session."""
        return [edge for edge in self.edges if edge.source == key]

    def around(self, key: str) -> Lineage:
        """The part that is connected with one session: all that it stands on, and all that stands on it."""
        found = {key} | self._reached(key, up=True) | self._reached(key, up=False)
        edges = tuple(edge for edge in self.edges if edge.source in found and edge.target in found)
        return Lineage({name: node for name, node in self.nodes.items() if name in found}, edges)

    def _reached(self, key: str, up: bool) -> set[str]:
        found: set[str] = set()
        queue = [key]
        while queue:
            one = queue.pop()
            ends = [e.source for e in self.sources(one)] if up else [e.target for e in self.adopters(one)]
            queue += [end for end in ends if end not in found]
            found.update(ends)
        return found


def trace(books: Iterable[tuple[Notebook, Sequence[Ancestor]]], findings: Iterable[Finding]) -> Lineage:
    """The lineage of the sessions of this repository, each with the sessions that its base stands on, and of what was published."""
    names = _Names()
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    own, reports = list(books), list(findings)
    for book, _ in own:
        nodes[book.session.name] = _own_node(book)
        names.learn(book.session.name, book.session.branch.removeprefix("refs/heads/"), book.opening, book.branch_tip)
    for finding in reports:
        key = names.of(finding.record.identity, finding.report.head) or finding.report.key
        own_node = nodes.get(key)
        title, url = one_line(finding.report.title or finding.about), finding.report.url
        if own_node and own_node.here:  # what it says of itself here is not for a report to change
            nodes[key] = replace(own_node, title=title, url=url)
        else:
            nodes[key] = Node(key, title, url, baseline=finding.baseline, best=finding.best)
        branch = f"{finding.report.hub}@{finding.report.branch}" if finding.report.branch else ""
        names.learn(key, finding.report.key, finding.record.identity, finding.report.head, branch)
    for book, ancestors in own:
        edges += _own_edges(book, ancestors, names)
    for finding in reports:
        target = names.of(finding.report.key) or finding.report.key
        if not nodes[target].here:
            edges += _told_edges(finding.record, target, names)
    for edge in edges:
        nodes.setdefault(edge.source, Node(edge.source))
    return Lineage(nodes, tuple(edge for edge in edges if edge.source != edge.target))


class _Names:
    """One name for each session, whatever a trailer or a record calls it."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def learn(self, key: str, *others: str) -> None:
        for name in (key, *others):
            if name:
                self._known.setdefault(name, key)

    def of(self, *names: str) -> str:
        return next((self._known[name] for name in names if name and name in self._known), "")

    def told(self, place: str, by: str) -> str:
        """The name of what a stranger's record calls so. Sessions are called by their dates: one that it does not identify is the
        stranger's own, whatever is called so here."""
        name, _, identity = place.rpartition("@")
        if _IDENTITY.fullmatch(identity):
            return self.of(identity) or f"{name} of {by}"
        return (self.of(place) or place) if "#" in place or "@" in place else f"{place} of {by}"


def _own_node(book: Notebook) -> Node:
    first = book.experiments[0].value if book.experiments else None
    best = book.incumbent.value if book.incumbent else None
    return Node(book.session.name, here=True, baseline=first, best=best)


def _own_edges(book: Notebook, ancestors: Sequence[Ancestor], names: _Names) -> list[Edge]:
    name = book.session.name
    tried = Counter(_place(e.adopted_from) for e in book.experiments if e.adopted_from)
    kept = Counter(_place(e.adopted_from) for e in book.experiments if e.adopted_from and e.status.advances)
    return [
        *(Edge(names.of(place) or place, name, ADOPTED, count, kept[place]) for place, count in tried.items()),
        *(Edge(names.of(a.name) or a.name, name, GROWN, a.commits, a.commits) for a in ancestors),
        *(Edge(names.of(r.of) or r.of, name, REPRODUCED, outcome=r.word) for r in in_order(book.replications) if r.whole),
    ]


def _told_edges(record: Record, target: str, names: _Names) -> list[Edge]:
    kept = Counter(_place(text) for text in record.adopted_from)
    again = [r for r in record.replications if not any(r.commit and r.commit in text for text in record.adopted_from)]
    return [
        *(Edge(names.told(place, target), target, ADOPTED, count, count) for place, count in kept.items()),
        *(Edge(names.told(r.of, target), target, REPRODUCED, outcome=r.outcome) for r in again),
    ]


def _place(adopted_from: str) -> str:
    """The source of a trailer `owner/name#44 <sha>`."""
    return adopted_from.rpartition(" ")[0] or adopted_from
