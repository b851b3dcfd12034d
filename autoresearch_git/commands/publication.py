"""How the commands reach publishing: the paper of a notebook, where it goes, and what was published before."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from autoresearch_git.commands import community
from autoresearch_git.community.hubs import Hub, publication_hub
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger import notebook, results_tsv
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.ledger.session import folder_of
from autoresearch_git.noise import measured_noise
from autoresearch_git.publishing import paper as papers
from autoresearch_git.publishing.paper import Paper, Place
from autoresearch_git.repository import Repository

NOTES = "notes.md"
PICTURE = "progress.png"


def gather(repository: Repository, book: Notebook) -> Paper:
    """The paper of a notebook, with the user's own notes and what the findings that it tried had claimed."""
    file = folder_of(repository, book.session.name) / NOTES
    notes = file.read_text(encoding="utf-8") if file.is_file() else ""
    return papers.gather(repository, book, community.claimed(repository, book.experiments), notes)


def result_files(book: Notebook, title: str) -> dict[str, str | bytes]:
    """What the result commit holds: the table of everything that was tried, and the picture."""
    from autoresearch_git.publishing.charts import Chart, picture  # only who draws needs matplotlib

    metric, experiments = book.session.metric, book.experiments
    chart = Chart(title, metric, experiments, measured_noise(experiments).floor)
    return {"results.tsv": results_tsv.render(metric, experiments), PICTURE: picture(chart)}


def templates(repository: Repository, settings: Settings) -> Path | None:
    """The user's own templates. Raises AutoresearchError where the setting names no folder."""
    if not settings.templates:
        return None
    folder = (repository.root / Path(settings.templates).expanduser()).resolve()
    if not folder.is_dir():
        raise AutoresearchError(f"templates = {settings.templates!r} is no folder", "git config autoresearch.templates <folder>")
    return folder


# -- what was published before -----------------------------------------------------------------------------------------


def _memory(repository: Repository, name: str) -> Path:
    return folder_of(repository, name) / "published.json"


def remembered(repository: Repository, name: str) -> Place | None:
    """Where a session was published, as this repository remembers it. GitHub knows better: it is always asked before a write."""
    try:
        fields: dict[str, Any] = json.loads(_memory(repository, name).read_text(encoding="utf-8"))
        return Place(**fields)
    except (OSError, ValueError, TypeError):
        return None


def remember(repository: Repository, name: str, place: Place) -> None:
    _memory(repository, name).write_text(json.dumps(dataclasses.asdict(place)), encoding="utf-8")


def known_place(repository: Repository, settings: Settings, book: Notebook, hub: Hub | None = None, head: str = "") -> Place:
    """Where the session is, or would be, published, as far as that is known without asking anybody."""
    session = book.session
    before = remembered(repository, session.name)
    head = head or book.result
    if hub is None:
        if before:
            return dataclasses.replace(before, head=head)
        try:
            hub = publication_hub(repository, settings, None)
        except AutoresearchError:
            return Place(branch=session.branch.removeprefix("refs/heads/"), head=head)
    if before and before.target.lower() == hub.owner_name.lower():
        return dataclasses.replace(before, head=head)
    return Place(hub.owner_name, hub.owner_name, hub.web, session.branch.removeprefix("refs/heads/"),
                 notebook.NAMESPACE + session.name, head)  # fmt: skip
