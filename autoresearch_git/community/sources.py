"""What a user names to take commits from, found and fetched: a number, an address, a branch, a range, or a session's name.

What comes from a hub goes into the store of strangers' objects; what lies in this repository is read where it is. A word that
could be several things is the first of these: an address, a number, a range, a branch or session here, `owner:branch`,
`remote/branch`, what the library knows by that name, any other revision.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NoReturn

from autoresearch_git.community import record
from autoresearch_git.community.hubs import Hub, beside, hub_at
from autoresearch_git.community.library import Library
from autoresearch_git.community.offers import Source
from autoresearch_git.community.record import Record
from autoresearch_git.community.reports import Report
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.session import session_names
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Remote, Repository, Store

FETCH_SECONDS = 600.0
_PAGE = re.compile(r"(https?://[^?#\s]+?)(?:\.git)?/(pull|issues|discussions|tree)/([^?#\s]+?)/?(?:[?#]\S*)?")
_NUMBERED = re.compile(r"(?:([\w.-]+/[\w.-]+))?#(\d{1,9})|(\d{1,6})")
_OWNED = re.compile(r"([A-Za-z0-9_][\w-]*):([^:\s]+)")


@dataclass
class Sources:
    """Finds sources for one repository. `onto` is the commit that the session which takes them grew from; `secret` gives the token
    for a hub, or an empty text; `tell` hears of what could not be fetched and is taken as it was."""

    repository: Repository
    settings: Settings
    library: Library
    store: Store
    onto: str
    hubs: Sequence[Hub]
    secret: Callable[[Hub], str]
    tell: Callable[[str], None]
    fetched: str = ""  # what git fetches the source by: its address and ref

    def find(self, word: str) -> Source:
        """The source that `word` names. Raises AutoresearchError where there is none, or it cannot be fetched."""
        for reading in (self._page, self._number, self._range, self._here, self._owned, self._remote, self._told, self._revision):
            if found := reading(word.strip()):
                return found
        raise AutoresearchError(f"{one_line(word, 80)!r} names no branch, pull request, session or range that is known here",
                                "git autoresearch findings --sync, then findings --all lists what there is")  # fmt: skip

    # -- at a hub -----------------------------------------------------------------------------------------------

    def _page(self, word: str) -> Source | None:
        match = _PAGE.fullmatch(word)
        if not match:
            return None
        known = next((hub for hub in self.hubs if hub.web and hub.web.lower() == match[1].lower()), None)
        hub = known or hub_at(self.repository, self.settings, match[1])
        if match[2] == "tree":
            return self._branch(hub, match[3])
        number = match[3].partition("/")[0]
        return self._numbered(hub, number) if number.isdigit() else None

    def _number(self, word: str) -> Source | None:
        match = _NUMBERED.fullmatch(word)
        if not match or (match[3] and self.repository.ref_target(f"refs/heads/{word}")):
            return None
        number = match[2] or match[3]
        named = [hub for hub in self.hubs if match[1] in (None, hub.name, hub.owner_name)]
        if match[1] and not named:
            named = [hub_at(self.repository, self.settings, match[1])]
        if not named:
            raise AutoresearchError("there is no hub to look for a number at", "git config autoresearch.hub owner/name")
        known = [hub for hub in named if self.library.report(f"{hub.name}#{number}")]
        for hub in known or named:
            try:
                return self._numbered(hub, number)
            except _NothingThereError as error:
                missing = error
        raise missing

    def _numbered(self, hub: Hub, number: str) -> Source:
        """A pull request, or a Discussion by the commits that its record names."""
        report = self.library.report(f"{hub.name}#{number}") or Report(hub.name, "pull", number)
        if report.kind == "discussion":
            return self._of_paper(hub, report)
        below = hub.below
        head, default = self._fetched(hub, f"refs/pull/{number}/head", f"{below}pull/{number}")
        told = _record_of(report)
        base = told.base if told.base and self.store.is_ancestor(told.base, head) else default
        return Source(report.key, head, base, report, below)

    def _of_paper(self, hub: Hub, report: Report) -> Source:
        told = _record_of(report)
        twins = self.library.findings("session = ? AND hub = ?", (told.identity, hub.name)) if told.identity else []
        pull = next((f.report for f in twins if f.report.kind == "pull" and f.report.author == report.author), None)
        if pull:
            return self._numbered(hub, pull.name)
        if not (told.branch and told.head):
            raise AutoresearchError(f"{report.key} is a Discussion whose text names no commits",
                                    f"open {report.url or 'it'} and name its branch or pull request")  # fmt: skip
        home = beside(hub, told.repository) if told.repository else hub
        source = self._branch(home, told.branch)
        owner = home.owner_name.partition("/")[0]
        if not self.store.is_ancestor(told.head, source.head):
            raise AutoresearchError(f"{report.key} speaks of {told.head[:10]}, which is not on {told.branch} any more",
                                    f"git autoresearch adopt {shlex.quote(owner + ':' + told.branch)}")  # fmt: skip
        base = told.base if told.base and self.store.is_ancestor(told.base, told.head) else source.base
        return Source(report.key, told.head, base, report, source.below)

    def _owned(self, word: str) -> Source | None:
        """`owner:branch`, in the owner's fork of a hub."""
        match = _OWNED.fullmatch(word)
        hosted = [hub for hub in self.hubs if hub.owner_name] if match else []
        missing: AutoresearchError | None = None
        for hub in hosted if match else []:
            assert match
            try:
                return self._branch(beside(hub, f"{match[1]}/{hub.owner_name.partition('/')[2]}"), match[2])
            except AutoresearchError as error:
                missing = error
        if missing:
            raise missing
        return None

    def _remote(self, word: str) -> Source | None:
        """`remote/branch` that was not fetched yet."""
        for name, url in self.repository.remote_urls().items():
            if word.startswith(f"{name}/"):
                return self._branch(hub_at(self.repository, self.settings, url), word.removeprefix(f"{name}/"))
        return None

    def _told(self, word: str) -> Source | None:
        named = self.library.named(word) if _NUMBERED.fullmatch(word) else []
        reports = {f.report.key: f.report for f in named or self.library.of_session(word) or self.library.named(word)}
        if len(reports) > 1:
            _refuse_several(word, [_called(report) for report in reports.values()], min(reports))
        for report in reports.values():
            hub = next((hub for hub in self.hubs if hub.name == report.hub), None)
            if hub and report.kind in ("pull", "discussion"):
                return self._numbered(hub, report.name)
            if hub and report.kind == "branch":
                return self._branch(hub, report.branch)
            if hub:
                return self._notebook(hub, report)
        return None

    def _notebook(self, hub: Hub, report: Report) -> Source:
        below = hub.below
        self._fetched(hub, f"{notebook.NAMESPACE}{report.name}", f"{below}autoresearch/{report.name}")
        book = notebook.read(self.store, f"{below}autoresearch/{report.name}")
        return Source(report.key, book.head, book.session.base, report, below)

    def _branch(self, hub: Hub, branch: str) -> Source:
        below = hub.below
        head, default = self._fetched(hub, f"refs/heads/{branch}", f"{below}heads/{branch}")
        if pull := self._pull_with(head):
            told = _record_of(pull)
            base = told.base if told.base and self.store.is_ancestor(told.base, head) else default
            return Source(pull.key, head, base, pull, below)
        report = self.library.report(f"{hub.name}@{branch}") or Report(
            hub.name, "branch", one_line(branch), branch=one_line(branch)
        )
        return Source(f"{_label(hub)}@{one_line(branch)}", head, default, report, below)

    def _pull_with(self, head: str) -> Report | None:
        """The one pull request that ends in a commit: a claim has one name, by whatever its commits were found."""
        keys = {f.report.key for f in self.library.findings() if f.report.kind == "pull" and f.report.head == head}
        return self.library.report(keys.pop()) if len(keys) == 1 else None

    def _fetched(self, hub: Hub, ref: str, local: str) -> tuple[str, str]:
        """(the commit that `ref` of the hub stands at, the tip of the hub's default branch), both in the store now. Without a
        network what was fetched before is taken, and said."""
        if not self.repository.valid_ref(ref):
            raise AutoresearchError(f"{one_line(ref, 80)!r} cannot be the name of a branch", "check how it is written")
        below = hub.below
        try:
            remote = Remote(hub.url, self.secret(hub))
            there = self.store.list_remote(remote, ref, "refs/heads/*")
            if ref not in there.refs:
                raise _NothingThereError(f"{hub.name} has no {ref.removeprefix('refs/heads/').removeprefix('refs/')}",
                                         "git autoresearch findings --sync, then findings --all lists what there is")  # fmt: skip
            main = there.default_branch
            wanted = {ref: local, **({f"refs/heads/{main}": f"{below}heads/{main}"} if main else {})}
            refused = self.store.fetch(remote, [f"+{r}:{to}" for r, to in wanted.items()], FETCH_SECONDS, wanted)
            self.fetched = f"{shlex.quote(hub.url)} {shlex.quote(ref.removeprefix('refs/heads/'))}"
            if ref in refused:
                raise AutoresearchError(f"{ref} of {hub.name} was not taken: {refused[ref]}", "it cannot be adopted")
            default = self.store.resolve(f"{below}heads/{main}") if main else ""
        except _NothingThereError:
            raise
        except AutoresearchError as error:
            if self.store.resolve(local) is None:
                raise
            self.tell(f"note: {error.message}; {ref.removeprefix('refs/')} is taken as it was fetched before")
            known = (self.library.hub_state(hub.name).get("default"), f"{below}heads/main", f"{below}heads/master")
            default = next((tip for name in known if name and (tip := self.store.resolve(name))), "")
        return self.store.resolve(local) or "", default or ""

    # -- in this repository -------------------------------------------------------------------------------------

    def _range(self, word: str) -> Source | None:
        base, dots, head = word.partition("..")
        if not dots or not base or head.startswith("."):
            return None
        ends = [self.repository.resolve(base), self.repository.resolve(head or "HEAD")]
        if None in ends:
            raise AutoresearchError(f"{one_line(word, 80)!r} is no range of commits here", "git log --oneline --all")
        return self._own(one_line(word, 80), ends[1] or "", ends[0] or "")

    def _here(self, word: str) -> Source | None:
        """A branch of this repository, one that a remote was fetched into, or a session."""
        if found := self.repository.resolve(f"refs/heads/{word}"):
            others = self._of_others(word)
            note = "your own branch here" + (f"; not {_listed(others)}" if others else "")
            return dataclasses.replace(self._own(word, found, self._trunk(found, ())), note=note)
        if found := self.repository.resolve(f"refs/remotes/{word}"):
            name = max((n for n in self.repository.remote_urls() if word.startswith(f"{n}/")), key=len, default="")
            branch = word.removeprefix(f"{name}/")
            trunks = tuple(f"refs/remotes/{name}/{tip}" for tip in ("HEAD", "main", "master"))
            hub = hub_at(self.repository, self.settings, self.repository.remote_urls()[name]) if name else None
            return self._own(f"{_label(hub)}@{branch}" if hub else word, found, self._trunk(found, trunks))
        if word in session_names(self.repository):
            book = notebook.read(self.repository, notebook.NAMESPACE + word)
            branch = book.session.branch.removeprefix("refs/heads/")
            if others := self._of_others(word):
                _refuse_several(word, [f"your own session (name it {branch})", *others], branch)
            return dataclasses.replace(self._own(word, book.head, book.session.base), note="a session here")
        return None

    def _of_others(self, word: str) -> list[str]:
        """What others have published under the name of a session or branch that is here, too."""
        branch = self.repository.resolve(f"refs/heads/{word}")
        name = next((n for n in session_names(self.repository) if word in (n, f"exp/{n}")), "")
        book = notebook.read(self.repository, notebook.NAMESPACE + name) if name else None
        own = {branch, *((book.opening, book.tip, *book.tips) if book else ())}
        reports = {f.report.key: f for f in self.library.of_session(word)}
        return [_called(f.report) for f in reports.values() if not own & {f.record.identity, f.report.head}]

    def _revision(self, word: str) -> Source | None:
        found = self.repository.resolve(word)
        return self._own(one_line(word, 80), found, self._trunk(found, ())) if found else None

    def _own(self, key: str, head: str, base: str) -> Source:
        branch = key.rpartition("@")[2]
        return Source(key, head, base, Report("", "branch", branch, branch=branch, head=head))

    def _trunk(self, head: str, refs: tuple[str, ...]) -> str:
        """What a branch is held against: the first of some tips that is not on the branch itself, and has to do with it. Nothing is
        its own where the session stands on all of it."""
        if self.repository.is_ancestor(head, self.onto):
            return head
        for ref in (*refs, "refs/remotes/origin/HEAD", "refs/heads/main", "refs/heads/master", self.onto):
            tip = self.repository.resolve(ref)
            if tip and not self.repository.is_ancestor(head, tip) and self.repository.are_related(head, tip):
                return tip
        return ""


def _called(report: Report) -> str:
    return f"{report.key} by {report.author}" if report.author else report.key


def _listed(words: Sequence[str]) -> str:
    return one_line(", ".join(words[:4]) + (", …" if len(words) > 4 else ""), 200)


def _refuse_several(word: str, meant: Sequence[str], one: str) -> NoReturn:
    raise AutoresearchError(f"{one_line(word, 80)} names {_listed(meant)}", f"say which: git autoresearch adopt {shlex.quote(one)}")


class _NothingThereError(AutoresearchError):
    """The hub was reached, and has nothing of that name."""


def _label(hub: Hub) -> str:
    """How findings name a hub; of a path or an address that is no GitHub's the last part: a trailer is public, a path is not."""
    return hub.name if hub.api else PurePosixPath(hub.url.rstrip("/")).name.removesuffix(".git")


def _record_of(report: Report) -> Record:
    try:
        return record.read(report.body) or Record()
    except record.BrokenRecordError:
        return Record()
