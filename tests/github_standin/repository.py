"""One repository of the stand-in: how a test fills it, and what the API asks of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from github_standin import filling, git
from github_standin.models import LEVELS, Category, ChangedFile, Comment, Discussion, Label, Pull, Review, Token, User

if TYPE_CHECKING:
    from github_standin.hub import GitHub

CATEGORIES = (
    # name, slug, emoji, answerable, for announcements
    ("Announcements", "announcements", ":mega:", False, True),
    ("General", "general", ":speech_balloon:", False, False),
    ("Ideas", "ideas", ":bulb:", False, False),
    ("Polls", "polls", ":ballot_box:", False, False),
    ("Q&A", "q-a", ":pray:", True, False),
    ("Show and tell", "show-and-tell", ":raised_hands:", False, False),
)

# (author, body), or only the body
Words = str | tuple[str, str]


class Repository:
    graphql_type: ClassVar[str] = "Repository"

    def __init__(self, hub: GitHub, owner: User, name: str, *, private: bool, discussions: bool, parent: Repository | None,
                 default_branch: str = "main") -> None:  # fmt: skip
        self.hub, self.owner, self.name, self.parent, self.default_branch = hub, owner, name, parent, default_branch
        self.is_private, self.has_discussions_enabled = private, discussions
        self.forking_allowed, self.is_archived, self.drafts_allowed = True, False, True
        self.id, self.database_id = hub.new_id("R", self)
        self.created_at = self.updated_at = self.pushed_at = hub.now()
        self.fork_latency = 0  # requests for a new fork, by REST or git, that are answered with 404 before it is there
        self.unready = 0
        self.description: str | None = None
        self.permissions: dict[str, str] = {}  # login → level, besides the owner
        self.pulls: dict[int, Pull] = {}
        self.discussions: dict[int, Discussion] = {}
        self.labels: dict[str, Label] = {}
        self.last_number = 0
        self.git_dir: Path = hub.folder / owner.login / f"{name}.git"
        git.make_bare(self.git_dir, default_branch, parent.git_dir if parent else None)
        self.categories = [self._category(*row) for row in CATEGORIES]

    def __repr__(self) -> str:
        return f"<{self.name_with_owner}>"

    @property
    def name_with_owner(self) -> str:
        return f"{self.owner.login}/{self.name}"

    @property
    def is_fork(self) -> bool:
        return self.parent is not None

    def _category(self, name: str, slug: str, emoji: str, answerable: bool, announcement: bool) -> Category:
        now = self.created_at
        category = Category("", self, name, slug, emoji, None, answerable, now, now, announcement)
        category.id, _ = self.hub.new_id("DIC", category)
        return category

    # -- rights -------------------------------------------------------------------------------------------------

    def allow(self, login: str, level: str) -> None:
        """Give a user `read`, `triage`, `write`, `maintain` or `admin`."""
        if level not in LEVELS:
            raise ValueError(f"{level!r} is none of {', '.join(LEVELS)}")
        self.permissions[self.hub.person(login).login] = level

    def level(self, user: User | None) -> str:
        if user is self.owner:
            return "admin"
        return self.permissions.get(user.login if user else "", "none" if self.is_private else "read")

    def may(self, token: Token | None, level: str) -> bool:
        """Whether a request with this token may do what takes `level`."""
        have = self.level(token.user if token else None)
        if token and token.fine_grained and self.owner is not token.user:
            have = min(have, "none" if self.is_private else "read", key=LEVELS.index)
        return LEVELS.index(have) >= LEVELS.index(level)

    def refuse_push(self, pattern: str, message: str) -> None:
        """Refuse each pushed ref whose full name matches, with a message; the other refs of the push are taken. In a pattern
        `*` stands for anything, slashes too."""
        git.add_update_rule(self.git_dir, pattern, git.refusing(message))

    def protect(self, pattern: str) -> None:
        """Let refs whose full name matches only go forward, and never away."""
        git.add_update_rule(self.git_dir, pattern, git.FORWARD_ONLY)

    def is_there(self, token: Token | None) -> bool:
        """Whether who asks for it now finds it. A new fork may not be, for as many questions with a token as its latency."""
        if self.unready == 0:
            return True
        self.unready -= token is not None
        return False

    # -- filling ------------------------------------------------------------------------------------------------

    def commit(self, files: Mapping[str, git.Content], branch: str = "main", parent: str | None = None,
               message: str = "change", author: str = "Ada") -> str:  # fmt: skip
        """Commit on a branch; its sha. `parent` defaults to the branch, then the default branch; "" for none.

        A file is text or bytes, None to delete it, or (mode, content): ("120000", target), ("160000", commit).
        """
        ref = f"refs/heads/{branch}"
        if parent is None:
            known = git.refs(self.git_dir, "refs/heads")
            parent = known.get(ref) or known.get(f"refs/heads/{self.default_branch}", "")
        rows = [git.file_command(path, content) for path, content in files.items()]
        stream = git.commit_command(ref, 1, message, self.hub.seconds(), parent, rows, author)
        if not parent:
            stream = f"reset {ref}\n\n".encode() + stream
        return git.fast_import(self.git_dir, stream, 1)[0]

    def import_from(
        self, path: Path | str, refspecs: Sequence[str] = ("+refs/heads/*:refs/heads/*", "+refs/pull/*:refs/pull/*")
    ) -> None:
        """Take the refs of a repository on this machine, pull-request heads too."""
        git.run(self.git_dir, "fetch", "--quiet", "--no-tags", str(path), *refspecs)

    def pull(self, head: str, title: str, body: str = "", *, author: str = "someone", state: str = "OPEN", draft: bool = False,
             created: str | None = None, updated: str | None = None, comments: Iterable[Words] = (),
             reviews: Iterable[tuple[str, str, str]] = (), labels: Iterable[str] = (), number: int | None = None,
             head_name: str | None = None, head_repository: Repository | None = None, base: str | None = None) -> Pull:  # fmt: skip
        """A pull request as if somebody had made it; no rule is asked. It creates refs/pull/N/head.

        `head` is a branch (of `head_repository`, else of this one) or any revision that is here. `reviews` are
        (author, state, body).
        """
        source = head_repository or self
        sha = git.resolve(source.git_dir, f"refs/heads/{head}") or git.resolve(source.git_dir, head)
        if sha is None:
            raise ValueError(f"{source.name_with_owner} has no {head}")
        self.hub.observe(created, updated)
        base_name = base or self.default_branch
        pull = self.add_pull(title, body, self.hub.person(author), source, head_name or head, sha, base_name, draft, number)
        pull.state, pull.created_at = state, created or pull.created_at
        pull.updated_at = updated or pull.created_at
        pull.closed_at = None if state == "OPEN" else pull.updated_at
        pull.merged_at = pull.updated_at if state == "MERGED" else None
        pull.comments = [self._words(pull, words) for words in comments]
        pull.labels = [self.labels.get(name) or self.label(name) for name in labels]
        for login, verdict, text in reviews:
            review = Review("", 0, pull, self.hub.person(login), text, verdict, pull.created_at, pull.created_at)
            review.id, review.database_id = self.hub.new_id("PRR", review)
            pull.reviews.append(review)
        self.hub.observe(pull.updated_at)
        return pull

    def discussion(self, title: str, body: str, author: str = "someone", category: str = "show-and-tell", *,
                   comments: Iterable[Words] = (), created: str | None = None, updated: str | None = None,
                   labels: Iterable[str] = (), number: int | None = None) -> Discussion:  # fmt: skip
        """A Discussion as if somebody had opened it. `category` is a slug."""
        self.has_discussions_enabled = True
        self.hub.observe(created, updated)
        slot = next(c for c in self.categories if c.slug == category)
        discussion = self.add_discussion(title, body, self.hub.person(author), slot, number)
        discussion.created_at = created or discussion.created_at
        discussion.updated_at = updated or discussion.created_at
        discussion.comments = [self._words(discussion, words) for words in comments]
        discussion.labels = [self.labels.get(name) or self.label(name) for name in labels]
        self.hub.observe(discussion.updated_at)
        return discussion

    def label(self, name: str, color: str = "ededed", description: str | None = None) -> Label:
        now = self.hub.now()
        label = Label("", 0, self, name, color, description, now, now)
        label.id, label.database_id = self.hub.new_id("LA", label)
        self.labels[name] = label
        return label

    def fill(self, pulls: int = 1000, discussions: int = 1000) -> None:
        """Many pull requests and Discussions, the same ones every time, in a few git processes."""
        filling.fill(self, pulls, discussions)

    def _words(self, subject: Pull | Discussion, words: Words) -> Comment:
        author, body = words if isinstance(words, tuple) else ("someone", words)
        return self.add_comment(subject, self.hub.person(author), body, append=False)

    # -- what both the filling and the API do -------------------------------------------------------------------

    def next_number(self, wanted: int | None = None) -> int:
        """Pull requests and Discussions count together, as on GitHub."""
        number = wanted or self.last_number + 1
        if number in self.pulls or number in self.discussions:
            raise ValueError(f"{self.name_with_owner} already has a #{number}")
        self.last_number = max(self.last_number, number)
        return number

    def add_pull(self, title: str, body: str, author: User | None, source: Repository, name: str, sha: str, base: str,
                 draft: bool, number: int | None = None, write_ref: bool = True) -> Pull:  # fmt: skip
        now = self.hub.now()
        number = self.next_number(number)
        base_sha = self.base_oid(base) if write_ref else ""
        pull = Pull("", 0, self, number, title, body, author, "OPEN", draft, now, now, source, source.owner.login, name, sha,
                    base, base_sha)  # fmt: skip
        pull.id, pull.database_id = self.hub.new_id("PR", pull)
        self.pulls[number] = pull
        if write_ref:
            self.move_head(pull, sha)
        return pull

    def base_oid(self, branch: str) -> str:
        sha = git.resolve(self.git_dir, f"refs/heads/{branch}")
        if sha is None:
            raise ValueError(f"{self.name_with_owner} has no branch {branch}; commit to it first")
        return sha

    def move_head(self, pull: Pull, sha: str) -> None:
        """Let refs/pull/N/head be the commit, fetched from the fork where it lies there."""
        if pull.head_repository:
            self.take(pull.head_repository, sha)
        git.run(self.git_dir, "update-ref", f"refs/pull/{pull.number}/head", sha)
        pull.head_ref_oid, pull.known_files = sha, None

    def take(self, source: Repository, sha: str) -> None:
        """Have the commit here, as all forks on GitHub share their objects."""
        if git.resolve(self.git_dir, sha) is None:
            git.run(self.git_dir, "fetch", "--quiet", "--no-tags", str(source.git_dir), sha)

    def add_discussion(
        self, title: str, body: str, author: User | None, category: Category, number: int | None = None
    ) -> Discussion:
        now = self.hub.now()
        discussion = Discussion("", 0, self, self.next_number(number), title, body, author, category, now, now)
        discussion.id, discussion.database_id = self.hub.new_id("D", discussion)
        self.discussions[discussion.number] = discussion
        return discussion

    def add_comment(self, subject: Pull | Discussion, author: User | None, body: str, reply_to: Comment | None = None,
                    append: bool = True) -> Comment:  # fmt: skip
        now = self.hub.now()
        comment = Comment("", 0, subject, author, body, now, now, reply_to)
        comment.id, comment.database_id = self.hub.new_id("IC" if isinstance(subject, Pull) else "DC", comment)
        if append:
            (reply_to.replies if reply_to else subject.comments).append(comment)
            subject.updated_at = now
        return comment

    def files(self, pull: Pull) -> tuple[ChangedFile, ...]:
        if pull.known_files is None:
            pull.known_files = git.changed_files(self.git_dir, pull.base_ref_oid, pull.head_ref_oid)
        return pull.known_files

    def refs(self, *prefixes: str) -> dict[str, str]:
        return git.refs(self.git_dir, *prefixes)


def valid_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9._-]+", name) is not None and not name.endswith(".git")
