"""The researcher of adoption: it proposes what others committed, one commit at a time, carried onto the incumbent.

It invents nothing. What does not fit here, or may not run, is passed over with the reason; what fits is measured and judged
like any proposal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autoresearch_git.community.offers import Step
from autoresearch_git.experiment import Proposal
from autoresearch_git.research import screening
from autoresearch_git.research.carrying import CannotCarryError, Merge, carry
from autoresearch_git.research.researchers import NoProposal, View


@dataclass
class Replicator:
    """Proposes `steps` of the source `key`, in order, leaving out what the session has tried before. `tell` hears of what is
    passed over: the step, and why."""

    key: str
    steps: Sequence[Step]
    merge: Merge
    tell: Callable[[Step, str], None]
    name: str = "replicator"
    repairs: bool = False
    _at: int = field(default=0, init=False)

    def propose(self, view: View) -> Proposal:
        tried = {experiment.adopted_from.rpartition(" ")[2] for experiment in view.experiments if experiment.adopted_from}
        while self._at < len(self.steps):
            step = self.steps[self._at]
            self._at += 1
            if step.label in tried:
                continue
            try:
                return self._proposal(step, view)
            except CannotCarryError as reason:
                self.tell(step, str(reason))
        raise NoProposal(f"all of {self.key} was tried", exhausted=True)

    def _proposal(self, step: Step, view: View) -> Proposal:
        proposal = Proposal(
            description=step.description,
            files=carry(step.before, step.after, view.files, self.merge),
            researcher=self.name,
            adopted_from=f"{self.key} {step.label}",
            author=step.author,
            claimed=step.claimed,
        )
        if refused := screening.refusal(proposal, view.files, view.session.editable, view.context):
            raise CannotCarryError(refused)
        return proposal
