"""What a session or a branch says was tried: from its notebook, or else from the results.tsv that it carries."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Metric
from autoresearch_git.ledger import notebook, results_tsv, trailers
from autoresearch_git.ledger.session import choose_session
from autoresearch_git.plaintext import defuse
from autoresearch_git.repository import Repository


@dataclass(frozen=True)
class History:
    """`tsv` is the table as upstream writes it, or as it was committed; `notebook` the ref it was read from, empty where there
    is none."""

    name: str
    metric: Metric
    experiments: tuple[Experiment, ...]
    tsv: str
    source: str
    notebook: str = ""


def read_history(repository: Repository, wanted: str | None) -> History:
    """The history that the user names; the latest session's if they name none. Raises AutoresearchError."""
    try:
        ref = notebook.NAMESPACE + choose_session(repository, wanted)
    except AutoresearchError:
        found = _from_table(repository, wanted) if wanted else None
        if found is None:
            raise
        return found
    book = notebook.read(repository, ref)
    metric = book.session.metric
    tsv = results_tsv.render(metric, book.experiments)
    return History(book.session.name, metric, book.experiments, tsv, f"its notebook {ref}", ref)


def with_rationales(repository: Repository, experiments: Iterable[Experiment]) -> list[Experiment]:
    """The same with why each was tried, which stands in the message of its own commit alone."""
    found = list(experiments)
    messages = repository.messages_of(e.commit for e in found)
    told = (trailers.read_rationale(messages[e.commit].text) if e.commit in messages else "" for e in found)
    return [dataclasses.replace(e, rationale=why) for e, why in zip(found, told, strict=True)]


def _from_table(repository: Repository, revision: str) -> History | None:
    """The results.tsv at a branch (also one that only a remote has) or any other revision."""
    for name in (revision, f"origin/{revision}"):
        if repository.resolve(name) is None:
            continue
        content = repository.read_file(name, "results.tsv")
        if content is None:
            raise AutoresearchError(f"{name} has neither a notebook nor a results.tsv", f"git log --oneline {name}")
        text = content.decode(errors="replace")
        found = [results for results in results_tsv.read(text) if results.rows]
        if not found:
            raise AutoresearchError(f"results.tsv at {name} has no table with a header", f"git show {name}:results.tsv")
        longest = max(found, key=lambda results: len(results.rows))
        metric = Metric(longest.metric or "metric", longest.direction or "min")
        experiments = tuple(results_tsv.experiments(longest))
        return History(name, metric, experiments, defuse(text, len(text)), f"results.tsv at {name}")
    return None
