"""What a publication would do: where it goes, what is there already, and what stands in its way. Nothing is written here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoresearch_git.community import record
from autoresearch_git.community.github import Category, Discussion, PullRequest, Target, Writer
from autoresearch_git.community.hubs import Hub, fork_of, spelled
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.publishing.hosted import GIT_SECONDS
from autoresearch_git.publishing.pages import mark
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place, branch_named, notebook_beside
from autoresearch_git.repository import Remote, Repository

CATEGORIES = ("show-and-tell", "general")  # where papers are posted, in order of preference
MAY_PUSH = ("WRITE", "MAINTAIN", "ADMIN")
MAY_LABEL = ("TRIAGE", *MAY_PUSH)


@dataclass(frozen=True)
class Wishes:
    """What the user asked for. `tag` is the name to publish under, empty where they named none; `fork`: push to the user's fork
    even where they may push to the target; `discards`: push the notebook, None where they said nothing; `category` is a slug.
    `before` is where the session was published from here."""

    tag: str = ""
    fork: bool = False
    discards: bool | None = None
    category: str = ""
    before: Place | None = None


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
    hub = spelled(hub, target.name)
    pushes = target.permission in MAY_PUSH and not wishes.fork
    _check(target, writer, pushes)
    _check_history(repository, target, book)
    holds = mark(paper.identity)
    discussion = writer.find_discussion(target.id, holds) if target.discussions else None
    branch = _branch(repository, paper, wishes, discussion)
    pulls = [p for owner in _owners(target, wishes) for p in writer.find_pulls(owner, branch)]
    pull = chosen(pulls, holds, target)
    discussion = discussion or _linked(writer, target, pull, holds)
    home = _home(hub, target, pushes, pull, wishes)
    place = _place(hub, home, target, paper, wishes, branch)
    refs, left = _refs(repository, book, home, place, remote)
    check_refs(repository, book, home, place, refs)
    categories, notes = _categories(target, wishes.category)
    notes += left
    notes += _notes(target, pull, holds, (home == hub) != pushes)
    place = dataclasses.replace(
        place,
        pull=pull.url if pull else "",
        discussion=discussion.url if discussion else "",
        ordinary=bool(pull and not pull.draft),
    )
    return Plan(hub, home, target, place, refs, pull, discussion, categories if not discussion else (), tuple(notes))


def _branch(repository: Repository, paper: Paper, wishes: Wishes, discussion: Discussion | None) -> str:
    """The name to publish under: as wished, else as before, by what is posted or by what is remembered here.

    Raises AutoresearchError for one that cannot be, or where the session is published under another one.
    """
    session = paper.session
    folder = f"{session.branch_prefix}/{session.platform}/"
    posted = _told_branch(discussion)
    known = posted or (wishes.before.branch if wishes.before else "")
    tag = wishes.tag or (known.removeprefix(folder) if known.startswith(folder) else session.tag)
    branch = branch_named(repository, session, tag)
    if discussion and posted and posted != branch:
        raise AutoresearchError(f"session {session.name} is published as {posted} already: {discussion.url}",
                                "leave out --as, and it is brought up to date there")  # fmt: skip
    return branch


def _told_branch(discussion: Discussion | None) -> str:
    try:
        told = record.read(discussion.body) if discussion else None
    except record.BrokenRecordError:
        return ""
    return told.branch if told else ""


def _linked(writer: Writer, target: Target, pull: PullRequest | None, holds: str) -> Discussion | None:
    """The Discussion that the session's pull request names: another account of the user's may have posted it."""
    numbers = re.findall(rf"{re.escape(target.url)}/discussions/(\d{{1,9}})\b", pull.body) if pull and holds in pull.body else []
    found = writer.find_discussion_numbered(int(numbers[0])) if numbers and target.discussions else None
    if found is None or holds not in found.body:
        return None
    if not found.editable:
        raise AutoresearchError(f"{found.url} was posted by {found.author}, and this token may not change it",
                                f"publish with the token of {found.author}")  # fmt: skip
    return found


def _owners(target: Target, wishes: Wishes) -> list[str]:
    """Whose branches may have a pull request of the session: an earlier one may have come from a fork, or from the repository
    itself, where rights or wishes were others."""
    before = wishes.before.repository if wishes.before and wishes.before.target.lower() == target.name.lower() else ""
    places = (target.name, target.viewer, before)
    owners = {place.partition("/")[0].lower(): place.partition("/")[0] for place in places if place}
    return list(owners.values())


def _home(hub: Hub, target: Target, pushes: bool, pull: PullRequest | None, wishes: Wishes) -> Hub | None:
    """Where the branch goes: where the open pull request of the session comes from, else as rights and wishes are; None for a
    fork that is not there."""
    before = wishes.before.repository if wishes.before else ""
    known = {name.partition("/")[0].lower(): fork_of(hub, name) for name in (before, target.fork) if name}
    known[target.name.partition("/")[0].lower()] = hub
    owner = pull.head_name.partition(":")[0].lower() if pull and pull.state == "OPEN" else ""
    if owner in known:
        return known[owner]
    return hub if pushes else fork_of(hub, target.fork) if target.fork else None


def _notes(target: Target, pull: PullRequest | None, holds: str, elsewhere: bool) -> list[str]:
    notes = []
    if pull and holds not in pull.body:
        notes.append(f"{pull.url} was not opened by this tool; its title and text will be replaced")
    if pull and pull.state == "OPEN" and elsewhere:
        notes.append(f"its pull request comes from {pull.head_name}, so that is where it is pushed to")
    if target.parent:
        notes.append(f"{target.name} is a fork; to publish to what it was made from: --to {target.parent}")
    return notes


def _check(target: Target, writer: Writer, pushes: bool) -> None:
    where, source = target.name, writer.token_source
    if target.archived:
        raise AutoresearchError(
            f"{where} is archived, so nothing can be published there", "git autoresearch publish --to OWNER/NAME"
        )
    if not target.head:
        raise AutoresearchError(f"{where} has no commits, so there is nothing to open a pull request against",
                                f"push its default branch first: git push {target.url} HEAD:main")  # fmt: skip
    if target.fine_grained and not pushes:
        raise AutoresearchError(f"the token from {source} is a fine-grained one, and those cannot open pull requests in {where}, "
                                "which others own", "gh auth login, or use a classic token with the scope public_repo")  # fmt: skip
    needed = "repo" if target.private else "public_repo"
    if target.scopes is not None and not {"repo", needed} & set(target.scopes):
        raise AutoresearchError(f"the token from {source} lacks the scope {needed}, so it cannot publish to {where}",
                                f"gh auth refresh --scopes {needed}, or use a classic token that has it")  # fmt: skip
    if not pushes and not target.forkable and not target.fork:
        raise AutoresearchError(f"you may not push to {where}, and it cannot be forked", "git autoresearch publish --to OWNER/NAME")


def _check_history(repository: Repository, target: Target, book: Notebook) -> None:
    """Raises AutoresearchError where nothing joins the session to the target; what is not here cannot be told."""
    if repository.resolve(target.head) and not repository.are_related(target.head, book.session.base):
        raise AutoresearchError(f"session {book.session.name} and {target.name} have no history in common",
                                "publish it where its base comes from: git autoresearch publish --to OWNER/NAME")  # fmt: skip


def _place(hub: Hub, home: Hub | None, target: Target, paper: Paper, wishes: Wishes, branch: str) -> Place:
    session = paper.session
    where = home or fork_of(hub, f"{target.viewer}/{target.name.partition('/')[2]}")
    before = wishes.before.discards if wishes.before else True
    discards = before if wishes.discards is None else wishes.discards
    book = notebook_beside(session, branch) if discards else ""
    return Place(target.name, where.owner_name, where.web, branch, book, discards=discards)


def _refs(
    repository: Repository, book: Notebook, home: Hub | None, place: Place, remote: RemoteOf
) -> tuple[dict[str, str], list[str]]:
    """Our refs as they stand there; and what is to be told of a notebook that is there and not wanted any more."""
    beside = notebook_beside(book.session, place.branch)
    there = repository.remote_refs(remote(home), [*names(place)[:1], beside], GIT_SECONDS) if home else {}
    refs = {name: sha for name, sha in there.items() if name in names(place)}
    if not home or beside in refs or not repository.is_ancestor(there.get(beside, ""), book.tip):
        return refs, []
    return refs, [f"{beside}, with what was discarded, stays at {home.name} from an earlier publication; to remove it: "
                  f"git push {home.url} --delete {beside}"]  # fmt: skip


def names(place: Place) -> list[str]:
    """The refs that are pushed."""
    return [f"refs/heads/{place.branch}", *([place.notebook] if place.notebook else [])]


def check_refs(repository: Repository, book: Notebook, home: Hub | None, place: Place, refs: dict[str, str]) -> None:
    """What is there under our names must be an earlier state of this session: another machine's may have the same name.
    Raises AutoresearchError."""
    for name, sha in refs.items():
        ours = repository.is_ancestor(sha, book.tip) and not repository.is_ancestor(sha, book.session.base)
        if not ours and home:
            other = f"git autoresearch publish {book.session.name} --as {place.branch.rpartition('/')[2]}-2"
            raise AutoresearchError(f"{home.name} has another {name} ({sha[:7]}): another session's, or this one's from elsewhere",
                                    f"if it is another session's: {other}")  # fmt: skip


def chosen(pulls: Sequence[PullRequest], holds: str, target: Target) -> PullRequest | None:
    """The pull request of this session: an open one that says so, else an open one of the user's into the default branch, else the
    newest that says so."""
    ours = sorted((p for p in pulls if holds in p.body), key=lambda p: (p.state == "OPEN", p.number), reverse=True)
    if ours and ours[0].state == "OPEN":
        return ours[0]
    plain = [p for p in pulls if p.state == "OPEN" and p.base == target.default_branch and p.author == target.viewer]
    return plain[0] if plain else ours[0] if ours else None


def _categories(target: Target, wanted: str) -> tuple[tuple[Category, ...], list[str]]:
    """Where a Discussion may be opened, and what is to be told of it."""
    if not target.discussions:
        why = f"does not let this token read its Discussions ({target.discussions_refused})" if target.discussions_refused else ""
        return (), [f"{target.name} {why or 'has no Discussions'}, so the paper is the pull request's body"]
    there, mine = ({c.slug: c for c in some} for some in (target.categories, target.assignable))
    found = tuple(mine[slug] for slug in dict.fromkeys(filter(None, (wanted, *CATEGORIES))) if slug in mine)
    notes = []
    if wanted and wanted not in mine:
        why = "lets you open nothing there" if wanted in there else "has no such category"
        notes.append(f"{target.name} {why}: {wanted}" + (f"; the paper goes to {found[0].slug}" if found else ""))
    if not found:
        notes.append(f"{target.name} has no category that you may post a paper in, so it is the pull request's body")
    return found, notes
