"""What a publication would do: where it goes, what is there already, and what stands in its way. Nothing is written here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from autoresearch_git.community.github import Category, Discussion, PullRequest, Target, Writer
from autoresearch_git.community.hubs import Hub, fork_of
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.publishing.pages import mark
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place
from autoresearch_git.repository import Remote, Repository

CATEGORIES = ("show-and-tell", "general")  # where papers are posted, in order of preference
MAY_PUSH = ("WRITE", "MAINTAIN", "ADMIN")
MAY_LABEL = ("TRIAGE", *MAY_PUSH)
GIT_SECONDS = 60.0  # that the host may take to list its refs


@dataclass(frozen=True)
class Wishes:
    """What the user asked for. `tag` is the name to publish under where it is not the session's own; `fork`: push to the user's
    fork even where they may push to the target; `discards`: push the notebook; `category` is a slug."""

    tag: str = ""
    fork: bool = False
    discards: bool = True
    category: str = ""


@dataclass(frozen=True)
class Plan:
    """`home` is the repository that the branch and the notebook go to, None where it is a fork that does not exist yet.

    `refs` are those two as they stand there. `categories` are where the Discussion may be opened, the first is preferred; none:
    the pull request holds the paper. `notes` are what is not as one would wish, a line each.
    """

    hub: Hub
    home: Hub | None
    target: Target
    place: Place
    refs: dict[str, str]
    pull: PullRequest | None
    discussion: Discussion | None
    categories: tuple[Category, ...]
    notes: tuple[str, ...] = ()

    @property
    def branch(self) -> str:
        return f"refs/heads/{self.place.branch}"

    @property
    def whole(self) -> bool:
        """Whether the pull request holds the paper, as there is no Discussion for it."""
        return not self.categories and self.discussion is None


RemoteOf = Callable[[Hub], Remote]


def look(repository: Repository, writer: Writer, hub: Hub, paper: Paper, book: Notebook, wishes: Wishes, remote: RemoteOf) -> Plan:
    """The plan, after a handful of questions. Raises AutoresearchError for what would stop it half-way."""
    target = writer.look()
    pushes = target.permission in MAY_PUSH and not wishes.fork
    _check(target, writer, pushes)
    hub = hub if hub.owner_name.lower() == target.name.lower() else dataclasses.replace(hub, owner_name=target.name)
    home = hub if pushes else fork_of(hub, target.fork) if target.fork else None
    place = _place(hub, home, target, paper, wishes)
    refs = repository.remote_refs(remote(home), _names(place), GIT_SECONDS) if home else {}
    _check_refs(repository, book, home, place, refs, wishes)
    pulls = writer.find_pulls(home.owner_name.partition("/")[0], place.branch) if home else []
    discussion = writer.find_discussion(target.id, mark(paper.identity)) if target.discussions else None
    categories, notes = _categories(target, wishes.category)
    pull = chosen(pulls, mark(paper.identity))
    place = dataclasses.replace(
        place,
        pull=pull.url if pull else "",
        discussion=discussion.url if discussion else "",
        ordinary=bool(pull and not pull.draft),
    )
    return Plan(hub, home, target, place, refs, pull, discussion, categories if not discussion else (), tuple(notes))


def _check(target: Target, writer: Writer, pushes: bool) -> None:
    where, source = target.name, writer.token_source
    if target.archived:
        raise AutoresearchError(
            f"{where} is archived, so nothing can be published there", "git autoresearch publish --to OWNER/NAME"
        )
    if not target.head:
        raise AutoresearchError(f"{where} has no commits, so there is nothing to open a pull request against",
                                f"push its default branch first: git push {target.url} HEAD:main")  # fmt: skip
    if target.scopes is None and not pushes:
        raise AutoresearchError(f"the token from {source} is a fine-grained one, and those cannot open pull requests in {where}, "
                                "which others own", "gh auth login, or use a classic token with the scope public_repo")  # fmt: skip
    needed = "repo" if target.private else "public_repo"
    if target.scopes is not None and not {"repo", needed} & set(target.scopes):
        raise AutoresearchError(f"the token from {source} lacks the scope {needed}, so it cannot publish to {where}",
                                f"gh auth refresh --scopes {needed}, or use a classic token that has it")  # fmt: skip
    if not pushes and not target.forkable and not target.fork:
        raise AutoresearchError(f"you may not push to {where}, and it cannot be forked", "git autoresearch publish --to OWNER/NAME")


def _place(hub: Hub, home: Hub | None, target: Target, paper: Paper, wishes: Wishes) -> Place:
    session = paper.session
    tag = wishes.tag or session.tag
    where = home or fork_of(hub, f"{target.viewer}/{target.name.partition('/')[2]}")
    return Place(
        target=target.name,
        repository=where.owner_name,
        web=where.web,
        branch=f"{session.branch_prefix}/{session.platform}/{tag}",
        notebook=f"{notebook.NAMESPACE}{session.platform}/{tag}" if wishes.discards else "",
    )


def _names(place: Place) -> list[str]:
    return [f"refs/heads/{place.branch}", *([place.notebook] if place.notebook else [])]


def _check_refs(
    repository: Repository, book: Notebook, home: Hub | None, place: Place, refs: dict[str, str], wishes: Wishes
) -> None:
    """What is there under our names must be an earlier state of this session: another machine's may have the same name."""
    for name, sha in refs.items():
        ours = repository.is_ancestor(sha, book.tip) and not repository.is_ancestor(sha, book.session.base)
        if not ours and home:
            raise AutoresearchError(f"{home.name} has another {name}, which is not this session's ({sha[:7]})",
                                    f"publish it under another name: git autoresearch publish {book.session.name} "
                                    f"--as {wishes.tag or book.session.tag}-2")  # fmt: skip


def chosen(pulls: list[PullRequest], holds: str) -> PullRequest | None:
    """The pull request of this session: the open one of the branch, else the newest that says so."""
    return next((p for p in pulls if p.state == "OPEN"), None) or next((p for p in pulls if holds in p.body), None)


def _categories(target: Target, wanted: str) -> tuple[tuple[Category, ...], list[str]]:
    """Where a Discussion may be opened, and what is to be told of it."""
    if not target.discussions:
        return (), [f"{target.name} has no Discussions, so the paper is the pull request's body"]
    there, mine = ({c.slug: c for c in some} for some in (target.categories, target.assignable))
    found = tuple(mine[slug] for slug in dict.fromkeys(filter(None, (wanted, *CATEGORIES))) if slug in mine)
    notes = []
    if wanted and wanted not in mine:
        why = "lets you open nothing there" if wanted in there else "has no such category"
        notes.append(f"{target.name} {why}: {wanted}" + (f"; the paper goes to {found[0].slug}" if found else ""))
    if not found:
        notes.append(f"{target.name} has no category that you may post a paper in, so it is the pull request's body")
    return found, notes
