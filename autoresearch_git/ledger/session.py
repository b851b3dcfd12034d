"""One research session on disk and in git: its branch, notebook, worktree, folder and lock.

A session lives in `<git-common-dir>/autoresearch/<platform>/<tag>/`: `worktree/` (linked, detached), `logs/`, `lock`,
`results.tsv`, and what no notebook knows yet: `inflight.json`, the experiment that is being measured, `spending.json`, what it has
cost, and `ideas/`, the user's hints. All but these can be deleted and is made again from the notebook.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Author, Experiment, Figure, Measurement, Proposal, Session, Spending
from autoresearch_git.ledger import edits, ideas, notebook, purse, results_tsv
from autoresearch_git.ledger.branch import check_branch, clear_stale_locks
from autoresearch_git.ledger.lock import acquire, holder
from autoresearch_git.ledger.written import write_whole
from autoresearch_git.plaintext import one_line
from autoresearch_git.replication import Replication
from autoresearch_git.repository import Repository, Worktree


@dataclass(frozen=True)
class Inflight:
    """The experiment under way: measured so far, not yet judged. `mended` are the crashes of texts that the proposal had before."""

    number: int
    proposal: Proposal
    measurements: tuple[Measurement, ...] = ()
    mended: tuple[str, ...] = ()

    @property
    def runs(self) -> int:
        """How many runs it has had, of whatever text."""
        return len(self.mended) + len(self.measurements)


class MissingSubjectError(AutoresearchError):
    """The commit that a session would begin from lacks a file that experiments change."""


def folder_of(repository: Repository, name: str) -> Path:
    return repository.common_dir / "autoresearch" / name


def begun_here(repository: Repository, name: str) -> bool:
    """Whether the session was begun or taken up in this repository: then it has logs. A lock alone is no sign of it."""
    return (folder_of(repository, name) / "logs").is_dir()


def session_names(repository: Repository) -> list[str]:
    """Sessions of this repository by their notebooks, the one that was written last first."""
    return [ref.removeprefix(notebook.NAMESPACE) for ref in repository.refs(notebook.NAMESPACE)]


def free_tag(repository: Repository, platform: str, branch_prefix: str) -> str:
    """Today as upstream writes it (`nov21`), with a number where that is taken."""
    day = f"{time.strftime('%b').lower()}{time.localtime().tm_mday}"
    for number in range(1, 10_000):
        tag = day if number == 1 else f"{day}-{number}"
        refs = (f"{notebook.NAMESPACE}{platform}/{tag}", f"refs/heads/{branch_prefix}/{platform}/{tag}")
        if not any(repository.ref_target(ref) for ref in refs):
            return tag
    raise AutoresearchError("no free tag for today", "git autoresearch start --tag NAME")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back ^C and termination until the block has ended; the git processes it starts hold them back too."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_session(repository: Repository, session: Session) -> None:
    """Everything that can be wrong with a new session before it is made. Raises AutoresearchError."""
    _check_subject(repository, session)
    _check_name(repository, session)


def _check_name(repository: Repository, session: Session) -> None:
    if not (repository.valid_ref(session.branch) and repository.valid_ref(session.notebook)):
        raise AutoresearchError(f"{session.name!r} cannot be a branch name", "git autoresearch start --tag nov21")
    for ref in (session.branch, session.notebook):  # git cannot have both `exp` and `exp/cpu/nov21`
        for above in ref.split("/")[2:-1]:
            parent = ref.partition(f"/{above}/")[0] + f"/{above}"
            if repository.ref_target(parent):
                raise AutoresearchError(f"{parent} is in the way of {ref}", "git config autoresearch.branch-prefix <another>")
        below = repository.refs(ref + "/")
        if below:
            raise AutoresearchError(f"{below[0]} is in the way of {ref}", "git autoresearch start --tag <another name>")
    if repository.ref_target(session.notebook):
        raise AutoresearchError(f"session {session.name} exists already",
                                f"git autoresearch start --resume --tag {session.tag}, or choose another --tag")  # fmt: skip
    if repository.ref_target(session.branch):
        raise AutoresearchError(f"branch {session.branch.removeprefix('refs/heads/')} exists already",
                                "git autoresearch start --tag <another name>")  # fmt: skip


def _check_subject(repository: Repository, session: Session) -> None:
    """The files that experiments change must be there, and be files: a link would let a change land elsewhere."""
    tree = repository.tree(session.base)
    for path in session.editable:
        mode = tree.get(path, ("", ""))[0]
        if not mode:
            raise MissingSubjectError(
                f"{path}, which experiments would change, is not in commit {session.base[:7]}",
                "git autoresearch init writes one; git config autoresearch.editable names another",
            )
        if not mode.startswith("100"):
            raise AutoresearchError(f"{path} is no regular file", "git config autoresearch.editable <a regular file>")
        try:
            text = (repository.read_file(session.base, path) or b"").decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text or text.startswith("\ufeff"):
            raise AutoresearchError(f"{path} is not UTF-8 text without a byte order mark", f"save {path} as UTF-8, then commit")


class LiveSession:
    """A session that this process holds the lock of. Make one with `create` or `resume`; close it when done."""

    def __init__(self, repository: Repository, name: str, lock: IO[str], edited: bool = False) -> None:
        self.repository = repository
        self.folder = folder_of(repository, name)
        self._lock = lock
        self.book = notebook.read(repository, notebook.NAMESPACE + name)
        self.began_with = len(self.book.experiments)  # when this process took it up
        self.worktree = self._open_worktree()
        self._refuse_edits(edited)
        self._rebuild_views()

    @classmethod
    def create(cls, repository: Repository, session: Session) -> LiveSession:
        """Begin a session: its lock, the record that opens its notebook, its worktree at the base commit."""
        check_session(repository, session)
        lock = acquire(folder_of(repository, session.name), session.name)
        try:
            _check_name(repository, session)
            (folder_of(repository, session.name) / "logs").mkdir(exist_ok=True)  # before the notebook: from now on it is ours
            repository.update_refs([notebook.opening(repository, session)], f"session {session.name}")
            return cls(repository, session.name, lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def resume(cls, repository: Repository, name: str, trust: bool = False, edited: bool = False) -> LiveSession:
        """Take up a session again, from whatever state it was left in. `edited`: the user's edit in its worktree is what is tried
        next; else one that lies there is not overwritten but refused.

        A notebook alone may be a stranger's, and resuming it runs the command that it names: one that was not begun here is
        only taken up with `trust`.
        """
        session = own_session(repository, name)
        if not trust and not begun_here(repository, name):
            raise AutoresearchError(f"session {name} was not begun here, so it may be somebody else's; it would run: {session.run}",
                                    f"if that is fine: git autoresearch start --resume --tag {session.tag} --trust")  # fmt: skip
        lock = acquire(folder_of(repository, name), name)
        try:
            clear_stale_locks(repository, session)
            live = cls(repository, name, lock, edited)
            check_branch(repository, live.book)
            return live
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        self._lock.close()

    @property
    def session(self) -> Session:
        return self.book.session

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def next_number(self) -> int:
        return len(self.book.experiments)

    def editable_files(self) -> dict[str, str]:
        """The incumbent's text of each file that an experiment may change, by path."""
        found = ((path, self.repository.read_file(self.book.head, path)) for path in self.session.editable)
        return {path: content.decode() for path, content in found if content is not None}

    def _open_worktree(self) -> Worktree:
        path = self.folder / "worktree"
        self.logs.mkdir(exist_ok=True)
        worktree = self.repository.open_worktree(path)
        if worktree is None:  # new, damaged, or left behind by a copy or a move of the repository
            left = edits.files(path, self.session.editable)
            shutil.rmtree(path, ignore_errors=True)
            self.repository.add_worktree(path, self.book.head)
            worktree = self.repository.open_worktree(path)
            assert worktree is not None
            for name, content in left.items():
                (path / name).write_bytes(content)
        worktree.clear_stale_locks()
        return worktree

    def untried(self) -> list[str]:
        """Editable files in the worktree that hold an edit of the user's which no experiment has tried."""
        proposed = self.inflight.proposal.files if self.inflight else {}
        return edits.untried(self.repository, self.worktree, self.session.editable, self.book.head, proposed)

    def _refuse_edits(self, edited: bool) -> None:
        """An edit may lie in the worktree only where it is what is tried next: nothing else is to be measured before it."""
        paths = self.untried()
        is_next = bool(self.book.experiments) and self.inflight is None
        if paths and not (edited and is_next):
            raise edits.refusal(self.session.name, self.worktree.path, paths, is_next)

    def _rebuild_views(self) -> None:
        write_whole(self.folder / "results.tsv", results_tsv.render(self.session.metric, self.book.experiments))

    # -- the experiment under way -------------------------------------------------------------------------------

    @property
    def inflight(self) -> Inflight | None:
        return read_inflight(self.folder, self.next_number)

    def save_inflight(self, inflight: Inflight) -> None:
        write_whole(self.folder / "inflight.json", json.dumps(dataclasses.asdict(inflight)))

    def drop_inflight(self) -> None:
        (self.folder / "inflight.json").unlink(missing_ok=True)

    @property
    def spent(self) -> Spending:
        """What the experiment under way has cost so far."""
        return purse.spent(self.folder, self.next_number)

    def spend(self, more: Spending) -> None:
        """Remember at once what was paid for."""
        purse.spend(self.folder, self.next_number, more)

    @property
    def ideas(self) -> tuple[str, ...]:
        """The user's hints that nothing has answered yet."""
        return tuple(idea.text for idea in ideas.waiting(self.folder))

    def _drop_idea(self, text: str) -> None:
        answered = next((idea for idea in ideas.waiting(self.folder) if idea.text == text), None)
        if answered:
            ideas.drop(self.folder, answered.name)

    def record(self, experiment: Experiment, proposal: Proposal) -> Experiment:
        """Remember an experiment: its commit, its record and the branch move in one transaction, or nothing does."""
        head = self.book.head
        tree = self.repository.tree_with(head, proposal.files)
        with uninterrupted():
            recorded, changes = notebook.append(self.repository, self.book, experiment, tree, proposal.author)
            self.repository.update_refs(changes, f"{experiment.number:04d} {experiment.status}")
            self.book = self.book.with_experiment(recorded)
            self.drop_inflight()
            purse.settle(self.folder)
            self._drop_idea(recorded.idea)
            with open(self.folder / "results.tsv", "a", encoding="utf-8", newline="") as table:
                table.write(results_tsv.row(recorded))
        return recorded

    def record_measurement(self, number: int, measurement: Measurement) -> None:
        """Remember what an experiment gave that was taken on trust."""
        before = self.book.experiments
        measured = dataclasses.replace(before[number], value=measurement.value, measurements=(measurement,))
        with uninterrupted():
            change = notebook.append_measurement(self.repository, self.book, measured)
            self.repository.update_refs([change], f"{number:04d} measured")
            self.book = dataclasses.replace(
                self.book, tip=change.new, experiments=(*before[:number], measured, *before[number + 1 :])
            )
            self._rebuild_views()

    def record_replication(
        self, replication: Replication, files: Mapping[str, str], author: Author, harness: str, platform: Mapping[str, Figure]
    ) -> None:
        """Remember what became of a claim, with the `files` that were measured on top of the session's base."""
        tree = self.repository.tree_with(self.session.base, files)
        with uninterrupted():
            change = notebook.append_replication(self.repository, self.book, replication, tree, author, harness, platform)
            self.repository.update_refs([change], f"replication {replication.outcome}")
            self.book = dataclasses.replace(self.book, tip=change.new, replications=(*self.book.replications, replication))

    def record_inspiration(self, findings: Sequence[str]) -> None:
        """Remember which findings were read, where that is not what the notebook says already."""
        if tuple(findings) == self.book.inspiration:
            return
        with uninterrupted():
            change = notebook.append_inspiration(self.repository, self.book, findings)
            self.repository.update_refs([change], "inspiration")
            self.book = dataclasses.replace(self.book, tip=change.new, inspiration=tuple(findings))


def read_inflight(folder: Path, number: int) -> Inflight | None:
    """The experiment under way in a session's folder, if it is `number`; an older one was recorded before a crash."""
    try:
        fields: dict[str, Any] = json.loads((folder / "inflight.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    measurements = tuple(Measurement(**m) for m in fields["measurements"])
    proposal = fields["proposal"]
    author = Author(**proposal["author"]) if proposal.get("author") else None
    step = tuple(proposal["step"]) if proposal.get("step") else None
    mended = tuple(fields.get("mended", ()))
    inflight = Inflight(fields["number"], Proposal(**{**proposal, "author": author, "step": step}), measurements, mended)
    return inflight if inflight.number == number else None


def own_session(repository: Repository, name: str) -> Session:
    """The session that a notebook describes, if it may be worked on: it lies under its own hardware class, its files lie in the
    repository, and its branch can be one."""
    ref = notebook.NAMESPACE + name
    session = notebook.read(repository, ref).session
    if session.name != name:
        raise AutoresearchError(f"the notebook {ref} is of a session on {one_line(session.platform, 40)}",
                                f"git fetch . {ref}:{notebook.NAMESPACE}<its platform>/<tag>")  # fmt: skip
    plain = all(not p.startswith(("/", "-")) and ".." not in Path(p).parts for p in session.editable)
    if not plain or not repository.valid_ref(session.branch):
        raise AutoresearchError(f"the notebook {ref} describes no session that can be worked on", f"git log {ref}")
    return session


def choose_session(repository: Repository, wanted: str | None) -> str:
    """The name (`<platform>/<tag>`) of the session that the user means: by name, tag or branch.

    If they name none: the one that runs, else the latest that was made here, else the latest.
    """
    names = session_names(repository)
    if not names:
        raise AutoresearchError("there is no session in this repository", "git autoresearch start")
    if not wanted:
        running = (n for n in names if holder(folder_of(repository, n)))
        here = (n for n in names if begun_here(repository, n))
        return next(running, None) or next(here, names[0])
    word = re.sub(r"^(refs/heads/|refs/autoresearch/)", "", wanted)
    matches = [name for name in names if name == word or name.endswith("/" + word) or word.endswith("/" + name)]
    if not matches:
        raise AutoresearchError(f"there is no session {wanted!r}", f"sessions here: {', '.join(names[:8])}")
    return matches[0]
