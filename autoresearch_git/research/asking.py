"""How a researcher is asked: what it is shown, what of its proposals is returned to it with the reason, and what that may cost."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from autoresearch_git.community.inspiration import NOTHING_READ, Inspiration
from autoresearch_git.experiment import Figure, Proposal
from autoresearch_git.lab.harness import Harness, python_texts
from autoresearch_git.ledger.session import Inflight, LiveSession
from autoresearch_git.noise import measured_noise
from autoresearch_git.plaintext import one_line
from autoresearch_git.research import repair, screening
from autoresearch_git.research.duplicates import Tried
from autoresearch_git.research.program import Program, read_program
from autoresearch_git.research.researchers import NoProposal, Researcher, Returned, Turn, View

MOST_RETURNS = 3  # proposals that are returned to a researcher in one turn


@dataclass(frozen=True)
class Limits:
    """When a start ends: after so many experiments or hours, or before more than so many US dollars are spent, from now; 0 is no
    limit."""

    experiments: int = 0
    hours: float = 0.0
    usd: float = 0.0


class Listener(Protocol):
    """Who is told what becomes of proposals."""

    def refused(self, proposal: Proposal, reason: str) -> None: ...
    def repairing(self, proposal: Proposal, reason: str) -> None: ...
    def say(self, text: str) -> None: ...


@dataclass
class Asking:
    """One researcher in one start of a session. `stop` is asked while it waits; `inspire` is called once, with the figures of the
    baseline's run, for what the community found; `again`: what was tried before may be proposed again."""

    live: LiveSession
    harness: Harness
    researcher: Researcher
    limits: Limits
    report: Listener
    stop: Callable[[], bool] = lambda: False
    inspire: Callable[[Mapping[str, Figure]], Inspiration] = lambda facts: NOTHING_READ
    again: bool = False
    started: float = field(default_factory=time.monotonic)

    def proposal(self) -> Proposal:
        """A proposal that may run. Raises NoProposal."""
        return self._ask(())

    def mended(self, inflight: Inflight) -> Inflight | None:
        """The experiment with another text, where its edit is what crashed and its researcher can mend it."""
        last, proposal = inflight.measurements[-1], inflight.proposal
        able = self.researcher.repairs and proposal.researcher == self.researcher.name
        if not able or len(inflight.mended) >= repair.MOST_REPAIRS or not repair.mendable(last, self.live.session.editable):
            return None
        self.report.repairing(proposal, last.crash)
        try:
            again = self._ask((Returned(proposal, last.crash, repair.shown(last)),))
        except NoProposal as none:
            self.report.say(f"      not mended: {one_line(str(none))}")
            return None
        return Inflight(inflight.number, again, (), (*inflight.mended, last.crash))

    def allowance(self) -> float | None:
        """US dollars that may still be spent; None without a limit. What has no price counts as nothing."""
        if not self.limits.usd:
            return None
        recorded = (e.spending.usd or 0.0 for e in self.live.book.experiments[self.live.began_with :])
        return self.limits.usd - math.fsum(recorded) - (self.live.spent.usd or 0.0)

    # -- its parts ----------------------------------------------------------------------------------------------

    def _ask(self, returned: tuple[Returned, ...]) -> Proposal:
        """What may not run, or need not, is returned to the researcher with the reason, a few times."""
        files = self.live.editable_files()
        for _ in range(MOST_RETURNS + 1):
            view = self._view(files, returned)
            try:
                proposal = self.researcher.propose(view)
            except NoProposal as none:
                last = f"; refused before: {returned[-1].reason}" if returned else ""
                raise NoProposal(f"{none}{last}", exhausted=none.exhausted) from none
            reason = self._refusal(proposal, view)
            if not reason:
                return proposal
            self.report.refused(proposal, reason)
            returned = (*returned, Returned(proposal, reason))
        raise NoProposal(f"the last proposal of {self.researcher.name} was refused: {reason}")

    def _refusal(self, proposal: Proposal, view: View) -> str:
        reason = screening.refusal(proposal, view.files, view.session.editable, view.context)
        if reason or self.again or proposal.adopted_from:
            return reason
        return self._tried.refusal(proposal, view, self.live.book.head)

    @functools.cached_property
    def _tried(self) -> Tried:
        return Tried(self.live.repository, self.live.session.editable)

    @functools.cached_property
    def _context(self) -> dict[str, str]:
        """The harness's Python files, which do not change in a session."""
        return python_texts(self.live.repository, self.live.session, self.harness)

    @functools.cached_property
    def _program(self) -> Program:
        return read_program(self.live.repository, self.live.session)

    @functools.cached_property
    def _inspiration(self) -> Inspiration:
        found = self.inspire(self.live.book.experiments[0].measurements[0].figures)
        if found.read:
            self.live.record_inspiration(found.read)
        return found

    def _view(self, files: Mapping[str, str], returned: tuple[Returned, ...]) -> View:
        inspiration, book = self._inspiration, self.live.book  # in this order: the first may add a record
        deadline = self.started + self.limits.hours * 3600 if self.limits.hours else math.inf
        log = self.live.logs / f"{self.live.next_number:04d}-proposal.log"
        return View(
            session=book.session,
            experiments=book.experiments,
            files=files,
            context=self._context,
            facts=book.experiments[0].measurements[0].figures,
            noise=measured_noise(book.experiments),
            turn=Turn(log, self.report.say, self.live.spend, self.allowance, deadline, self.stop),
            inspiration=inspiration,
            program=self._program,
            ideas=self.live.ideas,
            returned=returned,
        )
