"""Push, pull request, Discussion, cross-links: each step looks first, writes once, and can be done again after anything.

A write whose answer is lost is never sent again blindly: what is there is looked at, now and by the next run. What was done is
told even where a later step fails.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from autoresearch_git.community import record
from autoresearch_git.community.github import LABEL, Category, Discussion, PullRequest, RefusedError, Writer
from autoresearch_git.community.hubs import Hub, fork_of
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.publishing import hosted, outlook, pages
from autoresearch_git.publishing.once import LOOKS, once
from autoresearch_git.publishing.outlook import says, unlabelled, withdrawn
from autoresearch_git.publishing.pages import Pages, mark
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place
from autoresearch_git.publishing.plan import Plan, RemoteOf, check_refs, chosen, names
from autoresearch_git.repository import PushRefusedError, Repository

PASSING = ("denied", "stale")  # refusals of a push that say nothing of the ref: it may well be taken the next time
WITHDRAWAL = "> **Withdrawn** by whoever posted it. The commits and the numbers below are as they were."
LABEL_COLOUR, LABEL_MEANING = "5319e7", "a research session's exact commits: adopt it, do not merge it"
T = TypeVar("T")


@dataclass(frozen=True)
class Published:
    """Where it is now, and what this run has done, a line each; nothing where everything was in place. `comments` are the addresses
    of those on sources."""

    place: Place
    done: tuple[str, ...]
    notes: tuple[str, ...]
    comments: tuple[str, ...] = ()


@dataclass
class Publisher:
    """Carries out one plan.

    `head` is the commit that the branch ends in, or will when it is published. `remote` makes a repository's address for git,
    with the secret that goes with it. `done` grows as things are done; read it also after an error.
    """

    repository: Repository
    writer: Writer
    plan: Plan
    paper: Paper
    book: Notebook
    remote: RemoteOf
    head: str
    templates: Path | None = None
    tell: Callable[[str], None] = lambda text: None
    done: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self.place = dataclasses.replace(self.plan.place, head=self.head)
        self.pull, self.discussion = self.plan.pull, self.plan.discussion
        self.categories = list(self.plan.categories)
        self.notes += self.plan.notes

    def changes(self) -> list[str]:
        """What `publish` would change of what is there, a few words each."""
        return list(outlook.changes(self.plan, self.pages(), self.head, self.book.tip, self.head != self.book.result))

    def publish(self) -> Published:
        """All steps in order. Raises AutoresearchError; what was done until then is in `done`, and `place` is where it went."""
        home = self.plan.home or self._fork()
        self._reopen()
        self._push(home)
        self._reopen()  # a branch that was gone is there again
        if self._closed and not withdrawn(self._closed):
            then = "" if self._closed.state == "MERGED" else "; reopen it there, and it follows"
            self.notes.append(f"{self.place.pull} was {self._closed.state.lower()} there, so it stays as it is{then}")
        else:
            self._open_pull()
        self._open_discussion()
        self._bring_up_to_date()
        if not self._closed:
            self._label()
            self._verify()
        return Published(self.place, tuple(self.done), tuple(self.notes))

    def withdraw(self) -> Published:
        """Close both, with a note at the top of each, which is all that changes of them; the branch and the notebook stay."""
        pull, discussion = self.pull, self.discussion
        if pull and pull.state == "OPEN":
            self._edit_pull(pull, pull.title, self._with_note(pull.body))
            self._on_pull(lambda: self.writer.set_pull_open(pull.number, False), lambda p: p.state != "OPEN", "closed")
        if discussion and not discussion.closed:
            self._edit_discussion(discussion, discussion.title, self._with_note(discussion.body))
            self._on_discussion(lambda: self.writer.close_discussion(discussion.id), lambda d: d.closed, "closed")
        there = self.plan.refs.get(self.plan.branch, "")
        self.place = dataclasses.replace(self.place, withdrawn=True, head=there)
        return Published(self.place, tuple(self.done), tuple(self.notes))

    def _with_note(self, body: str) -> str:
        if record.WITHDRAWN in body:
            return body
        note, said = f"{record.WITHDRAWN}\n\n{WITHDRAWAL}", mark(self.paper.identity)
        return body.replace(said, f"{said}\n{note}", 1) if said in body else f"{body}\n\n{note}"

    @property
    def _closed(self) -> PullRequest | None:
        """The pull request where somebody closed or merged it: that is theirs to undo, and its head does not follow the branch."""
        return self.pull if self.pull and self.pull.state != "OPEN" else None

    # -- git --------------------------------------------------------------------------------------------------------

    def _fork(self) -> Hub:
        self.tell(f"making your fork of {self.plan.target.name}")
        name = self._once(self.writer.make_fork, lambda: self.writer.look().fork or None)
        home = fork_of(self.plan.hub, name)
        self.place = dataclasses.replace(self.place, repository=home.owner_name, web=home.web)
        refs = hosted.refs_of_new(self.repository, self.remote(home), names(self.place), self.sleep)
        check_refs(self.repository, self.book, home, self.place, refs)  # GitHub may answer with a fork that was there
        self.plan = dataclasses.replace(self.plan, home=home, refs=refs)
        self.done.append(f"made the fork {home.web}")
        return home

    def _push(self, home: Hub) -> None:
        """The branch, then the notebook, each from where it stands there."""
        remote, tip = self.remote(home), self.head
        commits = len(self.paper.results.kept) + 2
        self._move(
            home,
            self.plan.branch,
            tip,
            f"pushed {self.place.branch}, {commits} commit{'s' * (commits != 1)} from its base, to {home.name}",
        )
        if not self.place.notebook:
            return
        try:
            self._move(home, self.place.notebook, self.book.tip, f"pushed {self.place.notebook} to {home.name}")
        except PushRefusedError as error:
            if error.reason in PASSING:
                raise
            self.place = dataclasses.replace(self.place, notebook="")
            self.notes.append(f"{remote.url} does not take the notebook, so the discards are in results.tsv alone: {error}")

    def _move(self, home: Hub, ref: str, sha: str, done: str) -> None:
        before = self.plan.refs.get(ref, "")
        if before == sha:
            return
        self.tell(f"pushing {ref} to {home.name}")
        hosted.move(self.repository, self.remote(home), ref, sha, before)
        self.done.append(done)

    def _verify(self) -> None:
        """The pull request must hold exactly the branch's commits, in order. Raises AutoresearchError where it does not."""
        assert self.pull
        own, branch = hosted.expected(self.repository, self.book, self.head, self.pull, self.plan.target)
        for pause in (*LOOKS, 4.0, None):  # GitHub follows a push after an instant
            there = self.writer.commits_of(self.pull.number)
            if hosted.holds(there, own, branch):
                return
            if pause is not None:
                self.sleep(pause)
        ends = there[-1][:7] if there else "nothing"
        raise AutoresearchError(
            f"{self.place.pull} does not hold the commits of {self.place.branch}: it has {len(there)}, the last is {ends}",
            f"look at {self.place.pull}/commits, and run the command again",
        )

    # -- pull request and Discussion --------------------------------------------------------------------------------

    def _reopen(self) -> None:
        """What was withdrawn by us and is published again. Before the push: a branch that was moved keeps its request closed."""
        pull, discussion = self._closed, self.discussion
        if pull and withdrawn(pull):
            with contextlib.suppress(RefusedError):
                self._on_pull(lambda: self.writer.set_pull_open(pull.number, True), lambda p: p.state == "OPEN", "reopened")
        if discussion and withdrawn(discussion):
            self._on_discussion(lambda: self.writer.reopen_discussion(discussion.id), lambda d: not d.closed, "reopened")

    def _open_pull(self) -> None:
        if self.pull is None or self._closed:  # what was withdrawn and cannot be reopened is followed by another one
            self.tell(f"opening a pull request in {self.plan.target.name}")
            try:
                self._create_pull(draft=True)
            except RefusedError as error:
                if error.reason != "drafts":
                    raise
                self.place = dataclasses.replace(self.place, ordinary=True)
                self._create_pull(draft=False)
        assert self.pull
        self.place = dataclasses.replace(self.place, pull=self.pull.url, ordinary=not self.pull.draft)

    def _create_pull(self, draft: bool) -> None:
        wanted, base = self.pages(), self.plan.target.default_branch
        there = self._find_pull()
        if there and there.state == "OPEN":  # since we looked first, somebody may have been here
            self.pull = there
            return
        self._on_pull(
            lambda: self.writer.create_pull(wanted.title, wanted.pull, self._head, base, draft),
            lambda p: p.state == "OPEN",
            "opened",
        )

    @property
    def _head(self) -> str:
        """The branch as a pull request names it: `owner:branch` where it lies in a fork."""
        here = self.place.repository.lower() == self.plan.target.name.lower()
        return self.place.branch if here else f"{self.place.repository.partition('/')[0]}:{self.place.branch}"

    def _open_discussion(self) -> None:
        """In the first category that lets us; where none does, the pull request will hold the paper."""
        while self.discussion is None and self.categories:
            try:
                self._post_in(self.categories[0])
            except RefusedError as error:
                self.categories.pop(0)
                self.notes.append(f"{error}" + ("" if self.categories else "; the paper is the pull request's body"))
        if self.discussion:
            self.place = dataclasses.replace(self.place, discussion=self.discussion.url)

    def _post_in(self, category: Category) -> None:
        wanted, target = self.pages(), self.plan.target
        self.discussion = self._find_discussion()
        if self.discussion:
            return
        self.tell(f"posting the paper in {target.name}, {category.name}")
        self._on_discussion(
            lambda: self.writer.create_discussion(target.id, category.id, wanted.title, wanted.paper), lambda d: True, "posted"
        )

    def _bring_up_to_date(self) -> None:
        """Edit what does not say what it should, with the links that are known by now."""
        wanted = self.pages()
        if self.discussion:
            self._edit_discussion(self.discussion, wanted.title, wanted.paper)
        if self.pull and self.pull.state == "OPEN":
            self._edit_pull(self.pull, wanted.title, wanted.pull)

    def _edit_pull(self, pull: PullRequest, title: str, body: str) -> None:
        if not says(pull, title, body):
            self._on_pull(lambda: self.writer.edit_pull(pull.number, title, body), lambda p: says(p, title, body), "updated")

    def _edit_discussion(self, there: Discussion, title: str, body: str) -> None:
        if not says(there, title, body):
            self._on_discussion(
                lambda: self.writer.edit_discussion(there.id, title, body), lambda d: says(d, title, body), "updated"
            )

    def _label(self) -> None:
        """The label, where the viewer may set it. Nothing else depends on it, so a refusal is only told."""
        target = self.plan.target
        bare = unlabelled(target, (self.pull, self.discussion))
        if not bare:
            return
        try:
            new = functools.partial(self.writer.create_label, LABEL, LABEL_COLOUR, LABEL_MEANING)
            label = target.label or self._once(new, lambda: self.writer.look().label or None)
            for item in bare:
                self._once(functools.partial(self._add_label, item, label), functools.partial(self._has_label, item))
        except RefusedError as error:
            self.notes.append(str(error))

    def _add_label(self, item: PullRequest | Discussion, label: str) -> bool:
        self.writer.label(item.id, label)
        return True

    def _has_label(self, item: PullRequest | Discussion) -> bool | None:
        there = self._find_pull() if isinstance(item, PullRequest) else self._find_discussion()
        return True if there is not None and LABEL in there.labels else None

    # -- writing once -----------------------------------------------------------------------------------------------

    def pages(self) -> Pages:
        return pages.render(self.paper, self.place, self.templates, whole=self.discussion is None and not self.categories)

    def _on_pull(self, write: Callable[[], PullRequest], holds: Callable[[PullRequest], bool], done: str) -> None:
        self.pull = self._once(write, lambda: _that(self._find_pull(), holds))
        self._note_done(done, self.pull.url)

    def _on_discussion(self, write: Callable[[], Discussion], holds: Callable[[Discussion], bool], done: str) -> None:
        self.discussion = self._once(write, lambda: _that(self._find_discussion(), holds))
        self._note_done(done, self.discussion.url)

    def _note_done(self, what: str, url: str) -> None:
        if f"opened {url}" not in self.done and f"posted {url}" not in self.done:  # completing what is new is no update
            self.done.append(f"{what} {url}")

    def _find_pull(self) -> PullRequest | None:
        owner = self.place.repository.partition("/")[0]
        return chosen(self.writer.find_pulls(owner, self.place.branch), mark(self.paper.identity), self.plan.target)

    def _find_discussion(self) -> Discussion | None:
        if self.discussion:
            return self.writer.find_discussion_numbered(self.discussion.number)
        return self.writer.find_discussion(self.plan.target.id, mark(self.paper.identity))

    def _once(self, write: Callable[[], T], find: Callable[[], T | None]) -> T:
        return once(write, find, self.sleep)


def _that(item: T | None, holds: Callable[[T], bool]) -> T | None:
    return item if item is not None and holds(item) else None
