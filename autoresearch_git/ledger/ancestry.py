"""The sessions that a session stands on: its base commit may be the last experiment of an earlier one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from autoresearch_git.experiment import Session
from autoresearch_git.ledger import trailers
from autoresearch_git.repository import Reading

MOST_ANCESTORS = 1_000  # commits below the base that are looked at


@dataclass(frozen=True)
class Ancestor:
    """An earlier session, or a branch of other commits, that the base commit stands on; `tip` is the newest of its commits."""

    name: str
    commits: int
    authors: tuple[str, ...]
    tip: str


def ancestors(repository: Reading, session: Session) -> tuple[Ancestor, ...]:
    """The sessions whose kept commits the base stands on, as far down as every commit is an experiment."""
    found: dict[str, Ancestor] = {}
    for commit in repository.chain(session.base, MOST_ANCESTORS):
        name = "".join(trailers.parse(commit.text).get("Experiment", [])[:1]).rpartition("/")[0]
        if not name:
            break
        before = found.get(name, Ancestor(name, 0, (), commit.sha))
        authors = tuple(dict.fromkeys((*before.authors, commit.author)))
        found[name] = dataclasses.replace(before, commits=before.commits + 1, authors=authors)
    return tuple(found.values())
