"""Where a session is published, and how this repository remembers it: a view, as GitHub is asked before every write."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Session
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.session import folder_of
from autoresearch_git.repository import Repository


@dataclass(frozen=True)
class Place:
    """Where a session is, or is to be, published. Empty where it is not, or not known yet.

    `web` is the page of the repository that holds the branch and the notebook, `head` the commit that the branch ends in,
    `pull` and `discussion` the pages of the pull request and the Discussion. `ordinary`: the pull request is no draft.
    `withdrawn`: both are closed by whoever posted them. `discards`: the user wants the notebook to be pushed.
    """

    target: str = ""  # owner/name
    repository: str = ""  # owner/name of `web`
    web: str = ""
    branch: str = ""
    notebook: str = ""
    head: str = ""
    pull: str = ""
    discussion: str = ""
    ordinary: bool = False
    withdrawn: bool = False
    discards: bool = True

    @property
    def notebook_elsewhere(self) -> str:
        """The ref that others are told to fetch the notebook as: names are dates, so they may well have that one themselves."""
        platform, _, tag = self.notebook.removeprefix(notebook.NAMESPACE).partition("/")
        owner = self.repository.partition("/")[0]
        return f"{notebook.NAMESPACE}{platform}/{owner}-{tag}" if owner else self.notebook

    @property
    def holds_all(self) -> bool:
        """Whether others can fetch what was not kept, too: that lies in the notebook alone."""
        return bool(self.notebook or not self.web)


def branch_named(repository: Repository, session: Session, tag: str) -> str:
    """The branch that a session is published as under a tag. Raises AutoresearchError for a tag that cannot be."""
    branch = f"{session.branch_prefix}/{session.platform}/{tag}"
    if not repository.valid_ref(f"refs/heads/{branch}"):
        raise AutoresearchError(f"{tag!r} cannot be part of a branch's name", f"git autoresearch publish --as {session.tag}-2")
    return branch


def as_published(session: Session, branch: str) -> Session:
    """The session by the name that it is published under, which its branch has; by its own where there is no branch yet."""
    folder = f"{session.branch_prefix}/{session.platform}/"
    tag = branch.removeprefix(folder)
    return session if tag in ("", branch) else dataclasses.replace(session, tag=tag)


def notebook_beside(session: Session, branch: str) -> str:
    """The ref that the notebook is published as, by the branch's name."""
    return as_published(session, branch).notebook


def _memory(repository: Repository, session: str) -> Path:
    return folder_of(repository, session) / "published.json"


def remembered(repository: Repository, session: str) -> Place | None:
    """Where a session was published from here; None where it was not, or where that was forgotten."""
    try:
        fields: dict[str, Any] = json.loads(_memory(repository, session).read_text(encoding="utf-8"))
        return Place(**fields)
    except (OSError, ValueError, TypeError):
        return None


def remember(repository: Repository, session: str, place: Place) -> None:
    _memory(repository, session).write_text(json.dumps(dataclasses.asdict(place)), encoding="utf-8")
