"""`git autoresearch try`: measure an edit of one's own, and keep it if it is better."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from autoresearch_git.commands import hand_console, running
from autoresearch_git.config import load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Session
from autoresearch_git.lab.harness import python_texts, read_harness
from autoresearch_git.ledger import edits
from autoresearch_git.ledger.session import LiveSession
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Repository, open_repository
from autoresearch_git.research import screening
from autoresearch_git.research.researchers.hand import Edit, Hand

_EXAMPLES = """Examples:

\b
  git autoresearch try -m 'MATRIX_LR 0.04 → 0.05'      the edit that lies in the session's worktree
  git autoresearch try -m 'gated MLP' --file train.py  the edit that lies in your checkout, or anywhere
  git autoresearch try                                 go on with what ^C or a kill has interrupted
"""


@dataclass(frozen=True)
class Typed:
    """What the user typed of their edit; no `message` where only what was interrupted is to go on."""

    message: str | None
    paths: tuple[Path, ...]
    why: str
    expected: str
    again: bool

    def command(self, session: Session) -> str:
        """The same command in a session that has begun."""
        words = ["git", "autoresearch", "try", "--session", session.name]
        words += ["-m", self.message] if self.message else []
        words += [word for path in self.paths for word in ("--file", str(path))]
        words += ["--why", self.why] if self.why else []
        words += ["--expected", self.expected] if self.expected else []
        return shlex.join(words + ["--again"] * self.again)

    def edit(self, files: dict[str, str]) -> Edit:
        assert self.message
        return Edit(files, self.message, self.why, self.expected)


@click.command("try", epilog=_EXAMPLES)
@click.option("-m", "--message", metavar="TEXT", help="What the edit changes, in one line.")
@click.option("--file", "paths", multiple=True, metavar="PATH", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="An edited copy of an editable file; if not given, the session's worktree is looked at.")  # fmt: skip
@click.option("--why", default="", metavar="TEXT", help="Why it should help.")
@click.option("--expected", default="", metavar="TEXT", help="What it should do to the metric.")
@click.option("--again", is_flag=True, help="Measure it even where the same change was tried before.")
@click.option("--session", "onto", metavar="NAME", help="The session to go on with; the latest if not given.")
@click.option("--tag", help="Begin a new session of that name.")
@click.option("--from", "base", metavar="REV", help="Begin a new session from this commit; HEAD if not given.")
@running.session_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(
    message: str | None, paths: tuple[Path, ...], why: str, expected: str, again: bool, onto: str | None, tag: str | None,
    base: str | None, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Measure one edit of yours, judge and record it like any experiment, and print the result in a few lines.

    The edit lies in the session's worktree (`git autoresearch status --path` says where), or in a copy that --file names: a
    file of the same name, or of any name where only one file is editable. What is refused is left as it is, with the reason.
    Afterwards the worktree holds the incumbent again. Where there is no session, one begins, with its baseline.
    """
    typed = Typed(message, paths, why, expected, again)
    if message is None and typed != Typed(None, (), "", "", False):
        raise click.UsageError("-m says what the edit changes; without it, what was interrupted goes on")
    if message is not None and not one_line(message):
        raise click.UsageError("-m says what the edit changes, in a few words")
    repository = open_repository(Path.cwd())
    settings = load_settings(repository, given)
    session, begun = running.session_for(repository, settings, onto, tag, base, given)
    if not begun:
        _check_first(repository, session, typed)
    with running.foreground(begun, typed.command(session)) as here:
        in_worktree = message is not None and not paths
        live = here.live = (
            LiveSession.resume(repository, session.name, edited=in_worktree) if begun else LiveSession.create(repository, session)
        )
        hand = Hand(_edit(live, typed))
        with running.loop_of(here, hand, settings, not begun) as (loop, _):
            loop.asking.again = again
            loop.ensure_baseline()
            if live.inflight is None:
                loop.propose()
            here.again = f"git autoresearch try --session {live.session.name}"  # what is under way is saved
            experiment = loop.one_experiment()
        hand_console.result(live, experiment, as_json, onto or "")


def _check_first(repository: Repository, session: Session, typed: Typed) -> None:
    """Nothing is begun, and no baseline paid for, for an edit that is not there or would be refused."""
    if not typed.paths:
        raise AutoresearchError("it would be a new session, whose worktree holds no edit yet",
                                "git autoresearch start --researcher hand, or name an edited copy: --file PATH")  # fmt: skip
    found = ((path, repository.read_file(session.base, path)) for path in session.editable)
    before = {path: content.decode() for path, content in found if content is not None}
    harness = python_texts(repository, session, read_harness(repository, session))
    proposal = typed.edit(_copies(typed.paths, session.editable)).proposal("")
    if refused := screening.refusal(proposal, before, session.editable, harness):
        raise AutoresearchError(f"not measured: {refused}", "mend it, then the same command; no session was begun")


def _edit(live: LiveSession, typed: Typed) -> Edit | None:
    """What is to be tried; None where only what was interrupted goes on. Raises AutoresearchError where there is nothing to do, or
    something else to do first."""
    under_way = live.inflight if live.book.experiments else None
    if typed.message is None:
        if under_way is None:
            raise AutoresearchError(
                f"nothing is under way in session {live.session.name}", "git autoresearch try -m 'what you changed'"
            )
        return None
    if under_way:
        raise AutoresearchError(f"{under_way.number:04d} is still under way: {one_line(under_way.proposal.description)}",
                                f"git autoresearch try --session {live.session.name} goes on with it; then yours")  # fmt: skip
    return typed.edit(_copies(typed.paths, live.session.editable) if typed.paths else _in_worktree(live))


def _in_worktree(live: LiveSession) -> dict[str, str]:
    """The files that the user has edited in the session's worktree."""
    place, session = live.worktree.path, live.session
    harness = read_harness(live.repository, session)
    blobs = live.worktree.blobs(sorted(harness.files))
    for path, blob in sorted(harness.files.items()):
        if blobs.get(path) != blob:
            raise AutoresearchError(f"{path} is changed in the worktree, and no experiment may change it",
                                    shlex.join(["git", "-C", str(place), "checkout", "--", path]))  # fmt: skip
    changed = live.untried()
    if not changed:
        raise AutoresearchError(
            "nothing is edited in the session's worktree",
            f"edit {place / session.editable[0]}, then the same command; or name an edited copy: --file PATH",
        )
    return {path: _text(place / path, content) for path, content in edits.files(place, changed).items()}


def _copies(paths: Sequence[Path], editable: Sequence[str]) -> dict[str, str]:
    """The texts that --file names, by the editable file that each is a copy of."""
    return {_copied(path, editable): _text(path, path.read_bytes()) for path in paths}


def _copied(path: Path, editable: Sequence[str]) -> str:
    if len(editable) == 1:
        return editable[0]
    parts = path.resolve().parts
    same = [name for name in editable if Path(name).name == path.name]
    below = [name for name in same if parts[-len(Path(name).parts) :] == Path(name).parts]
    if len(same) == 1 or len(below) == 1:
        return (below or same)[0]
    raise AutoresearchError(f"{path} is called like no one editable file", f"call it like one of: {', '.join(editable)}")


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise AutoresearchError(f"{path} is no UTF-8 text", f"save {path} as UTF-8, then the same command") from error
