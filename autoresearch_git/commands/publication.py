"""How the commands reach publishing: the paper of a notebook, where it goes, and what was published before."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.commands import community
from autoresearch_git.community.hubs import Hub, publication_hub
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.lab.process import holds_secret
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.ledger.session import folder_of
from autoresearch_git.noise import measured_noise
from autoresearch_git.plaintext import defuse, one_line
from autoresearch_git.publishing import paper as papers
from autoresearch_git.publishing.charts.progress import Chart
from autoresearch_git.publishing.check import problems_of_notes
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place, branch_named, notebook_beside, remembered
from autoresearch_git.publishing.secrets import find_secret
from autoresearch_git.repository import Repository

NOTES = "notes.md"
PICTURE = "progress.png"
MOST_PROBLEMS = 10  # with the notes that are told


@dataclass(frozen=True)
class Draft:
    """What would be published, from the notebook alone. `head` is the commit that the branch would end in."""

    repository: Repository
    settings: Settings
    book: Notebook
    paper: Paper
    head: str
    templates: Path | None


def gather(repository: Repository, book: Notebook, notes: Path | None = None) -> Paper:
    """The paper of a notebook, with the user's own notes (those of a file, else those of the last time) and what the findings that
    it tried had claimed. A file with nothing in it that shows means that there are none. Raises AutoresearchError where the notes
    are no text."""
    kept = folder(repository, book) / NOTES
    file = notes or (kept if kept.is_file() else None)
    try:
        text = defuse(file.read_text(encoding="utf-8")) if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise AutoresearchError(f"{file} cannot be read: {error}", "save it as UTF-8 text") from error
    claimed = community.claimed(repository, book.experiments)
    return papers.gather(repository, book, claimed, text if text.strip() else "", community.told_of(repository))


def keep_notes(repository: Repository, book: Notebook, text: str) -> None:
    """Keep the user's notes with the session, for the next paper, or forget those of the last time where there are none."""
    file = folder(repository, book) / NOTES
    if text:
        file.write_text(text, encoding="utf-8")
    else:
        file.unlink(missing_ok=True)


def notes_problems(repository: Repository, paper: Paper) -> list[str]:
    """What of the user's notes the session does not say, a line each."""
    found = problems_of_notes(paper, repository.commits_named)
    more = [f"and {len(found) - MOST_PROBLEMS} more"] if len(found) > MOST_PROBLEMS else []
    return [*(f"your notes, line {problem}" for problem in found[:MOST_PROBLEMS]), *more]


def folder(repository: Repository, book: Notebook) -> Path:
    return folder_of(repository, book.session.name)


def picture(book: Notebook, paper: Paper) -> dict[str, bytes]:
    """The progress picture, as a file of the result commit."""
    from autoresearch_git.publishing.charts.picture import picture as draw  # only who draws needs matplotlib

    metric, experiments = book.session.metric, book.experiments
    chart = Chart(paper.session.branch.removeprefix("refs/heads/"), metric, experiments, measured_noise(experiments).floor)
    return {PICTURE: draw(chart)}


def refuse_secrets(repository: Repository, book: Notebook, notes: str, exclude: str) -> None:
    """Raises AutoresearchError where what would be pushed, which cannot be taken back, looks as if it held a token. `exclude` is
    the commit that the target's branch is at, as far as it is known."""
    if found := find_secret(repository, book, exclude):
        commit, where = found
        raise AutoresearchError(f"{commit[:7]} looks as if it held a token ({where}), so nothing is published",
                                f"git show {commit[:7]}, and revoke the token if it is one")  # fmt: skip
    if holds_secret(notes):
        raise AutoresearchError("the notes look as if they held a token, so nothing is published", "take it out, then --notes FILE")


def below_base(repository: Repository, book: Notebook, head: str) -> list[str]:
    """Subjects of the commits that the base stands on and the target's branch does not have; where that branch is not here, of
    those that no remote branch of this repository has."""
    base = book.session.base
    there = repository.commits_between(head, base) if repository.resolve(head) else repository.commits_nowhere(base)
    return [one_line(subject, 60) for _, _, subject in there]


# -- what was published before -----------------------------------------------------------------------------------------


def as_wished(repository: Repository, book: Notebook, place: Place, tag: str, discards: bool | None) -> Place:
    """The place under another tag, and with or without the notebook, where the user says so. Raises AutoresearchError for a tag
    that cannot be."""
    branch = branch_named(repository, book.session, tag) if tag else place.branch
    wanted = place.discards if discards is None else discards
    ref = notebook_beside(book.session, branch) if wanted else ""
    return dataclasses.replace(place, branch=branch, notebook=ref, discards=wanted)


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
