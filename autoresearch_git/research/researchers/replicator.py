"""The researcher of adoption: it proposes what others committed, one commit at a time, carried onto the incumbent.

It invents nothing. What does not fit here is given to a researcher who reads, if there is one, to be ported; what still does not,
or may not run, is passed over with the reason; what fits is measured and judged like any proposal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autoresearch_git.community.inspiration import NOTHING_READ
from autoresearch_git.community.offers import Offer, Step
from autoresearch_git.experiment import Experiment, Proposal
from autoresearch_git.research import screening
from autoresearch_git.research.carrying import CannotCarryError, ConflictError, Merge, carry, holds, moves
from autoresearch_git.research.duplicates import patch_of
from autoresearch_git.research.researchers import NoProposal, Port, Researcher, Returned, View

LONGEST_PATCH = 40_000  # characters of a change that is ported
MOST_PORTS = 2  # of one change, where the first is refused


@dataclass
class Replicator:
    """Proposes `steps` of an offer, in order, leaving out what the session has tried before. `tell` hears of what is passed over:
    the step, and why. `done` is what becomes of them: tried, or taken unmeasured. `porter` makes a change that conflicts here."""

    offer: Offer
    steps: Sequence[Step]
    merge: Merge
    tell: Callable[[Step, str], None]
    done: str = "tried"
    porter: Researcher | None = None
    name: str = "replicator"
    repairs: bool = False
    _at: int = field(default=0, init=False)

    def propose(self, view: View) -> Proposal:
        tried = {e.adopted_from.rpartition(" ")[2]: e for e in view.experiments if e.adopted_from}
        while self._at < len(self.steps) and not view.turn.stopping():
            step = self.steps[self._at]
            self._at += 1
            if step.label in tried:
                self._tell_of_another_source(step, tried[step.label])
                continue
            try:
                return self._proposal(step, view)
            except CannotCarryError as reason:
                self.tell(step, str(reason))
        raise NoProposal(self._ended(tried), exhausted=True)

    def _ended(self, tried: Mapping[str, Experiment]) -> str:
        """How much of the source was tried, under whatever name."""
        key, whole = self.offer.source.key, self.offer.whole.label
        wanted = {step.label for step in (*self.offer.kept, *self.steps)} - {whole}
        found = [label for label in wanted if label in tried]
        if whole in tried or len(found) == len(wanted):
            return f"all of {key} was {self.done}"
        return f"{len(found)} of {len(wanted)} commit{'s' * (len(wanted) != 1)} of {key} {self.done}"

    def _tell_of_another_source(self, step: Step, before: Experiment) -> None:
        source = before.adopted_from.rpartition(" ")[0]
        if source != self.offer.source.key:
            self.tell(step, f"{'in already' if before.status.advances else f'tried before: {before.status}'}, from {source}")

    def _proposal(self, step: Step, view: View) -> Proposal:
        """The step as it can be made here. Raises CannotCarryError."""
        try:
            return self._carried(step, view)
        except ConflictError as conflict:
            return self._ported(step, view, str(conflict))

    def _carried(self, step: Step, view: View) -> Proposal:
        carried = carry(step.before, step.after, view.files, self.merge)
        from_its_start = carried.theirs and self._stands_on_what_it_did(step, view)
        proposal = self._of(step, view, carried.files)
        if from_its_start:
            proposal = dataclasses.replace(proposal, step=self.offer.place(step))
        if refused := screening.refusal(proposal, view.files, view.session.editable, view.context):
            raise CannotCarryError(refused)
        return proposal

    def _ported(self, step: Step, view: View, conflict: str) -> Proposal:
        """The step as the porter makes it here. Raises CannotCarryError."""
        patch = patch_of(step.before, step.after, context=3)
        if self.porter is None or len(patch) > LONGEST_PATCH:
            raise CannotCarryError(conflict if self.porter is None else f"{conflict}, and it is too long to be ported")
        task = dataclasses.replace(view, ideas=(), inspiration=NOTHING_READ, port=Port(step.description, patch, conflict))
        for _ in range(MOST_PORTS):
            try:
                made = self.porter.propose(task)
            except NoProposal as none:
                if none.exhausted:  # nor will it port another
                    self.porter = None
                raise CannotCarryError(f"{conflict}, and was not ported: {none}") from none
            proposal = dataclasses.replace(
                self._of(step, view, made.files), rationale=made.rationale, program=made.program, ported=made.researcher
            )
            refused = screening.refusal(proposal, view.files, view.session.editable, view.context)
            if not refused:
                return proposal
            task = dataclasses.replace(task, returned=(*task.returned, Returned(proposal, refused)))
        raise CannotCarryError(f"{conflict}, and as {self.porter.name} ported it it was refused: {refused}")

    def _of(self, step: Step, view: View, files: Mapping[str, str]) -> Proposal:
        return Proposal(
            description=_description(step, view.files, files),
            files=files,
            researcher=self.name,
            adopted_from=f"{self.offer.source.key} {step.label}",
            author=step.author,
            claimed=step.claimed,
        )

    def _stands_on_what_it_did(self, step: Step, view: View) -> bool:
        """Whether what the source did before the step is in ours: what it was measured on is a part of what it claims."""
        return bool(step.base) or holds(self.offer.start, {**step.beside, **step.before}, view.files, self.merge)


def _description(step: Step, ours: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Theirs; where it moves constants from other values here, what it does here, with theirs after it."""
    here = moves(ours, files)
    if not here or here == moves(step.before, step.after):
        return step.description
    return f"{', '.join(here)} (theirs: {step.description})"
