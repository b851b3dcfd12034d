"""The researcher that is a person, or an agent that a person watches: it proposes the edit that it was handed, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Proposal
from autoresearch_git.research.researchers import NoProposal, View


@dataclass(frozen=True)
class Edit:
    """New text of editable files, by path in the repository, and what its author says of it."""

    files: Mapping[str, str]
    description: str
    rationale: str = ""
    expected: str = ""

    def proposal(self, program: str) -> Proposal:
        """`program` is the fingerprint of the program.md that it was made under."""
        return Proposal(self.description, self.files, self.rationale, Hand.name, self.expected, program=program)


class Hand:
    """Without an edit only what was under way is measured."""

    name = "hand"
    repairs = False

    def __init__(self, edit: Edit | None = None) -> None:
        self.edit = edit

    def propose(self, view: View) -> Proposal:
        if view.returned:
            raise AutoresearchError(
                f"not measured: {view.returned[-1].reason}",
                "the edit is where it was: mend it, then the same command; --again is for what was tried before",
            )
        if self.edit is None:
            raise NoProposal("the next edit is yours", exhausted=True)
        edit, self.edit = self.edit, None
        return edit.proposal(view.program.fingerprint)
