"""Claude as a researcher: whom it asks, in what order, and what it does where a model will not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Proposal
from autoresearch_git.research.digest import MOST_TOKENS
from autoresearch_git.research.researchers import NoProposal, View
from autoresearch_git.research.researchers.claude.api import Api, Rejected
from autoresearch_git.research.researchers.claude.conversation import Asked, Conversation, Refused, Spare
from autoresearch_git.research.researchers.claude.journal import Journal
from autoresearch_git.research.researchers.claude.prices import price_of
from autoresearch_git.research.researchers.prompting import prompt
from autoresearch_git.research.researchers.sweep import Sweep


@dataclass(frozen=True)
class _Way:
    """One way to ask: whom, and whether strangers' words and all of the digest are in it."""

    whom: Asked
    community: bool = True
    whole: bool = True


class Claude:
    """The models of `settings`: one that is asked, and one for what that refuses."""

    repairs = True

    def __init__(self, settings: Settings, templates: Path | None) -> None:
        self.name = settings.model
        self._templates = templates
        self._whom = _asked(settings, settings.model)
        other = settings.fallback_model
        self._instead = _asked(settings, other) if other and other != settings.model else None
        self._api = Api(settings.stream)

    def propose(self, view: View) -> Proposal:
        journal = Journal(view.turn.log)
        spare = Spare()
        way: _Way | None = _Way(self._whom)
        while way:
            most = MOST_TOKENS if way.whole else MOST_TOKENS // 3
            asked = prompt(view, self._templates, community=way.community, most_tokens=most)
            try:
                return Conversation(self._api, way.whom, view, asked, journal, spare).proposal()
            except Refused as refusal:
                way = self._after_refusal(view, way, str(refusal), journal)
            except Rejected as no:
                if not way.whole:
                    hint = f"see {view.turn.log}; try a shorter program.md, another --model or --effort"
                    raise AutoresearchError(f"{way.whom.model} does not take the request: {no}", hint) from no
                view.turn.say(f"      {way.whom.model} does not take the request ({no}); again with less of the past")
                way = dataclasses.replace(way, community=False, whole=False)
        return self._swept(view, journal)

    # -- its parts ----------------------------------------------------------------------------------------------

    def _after_refusal(self, view: View, way: _Way, reason: str, journal: Journal) -> _Way | None:
        """The next way to ask: without strangers' words, where there are any, then the other model; None after the last."""
        if way.community and view.inspiration.digest:
            then, to = "again without the words of others", dataclasses.replace(way, community=False)
        elif self._instead and way.whom != self._instead:
            then, to = f"{self._instead.model} is asked", dataclasses.replace(way, whom=self._instead, community=False)
        elif view.port:
            raise NoProposal(f"{way.whom.model} refused: {reason}")
        else:
            then, to = "the sweep proposes this one", None
        view.turn.say(f"      {way.whom.model} refused ({reason}); {then}")
        journal.note("refusal", model=way.whom.model, reason=reason, then=then)
        return to

    def _swept(self, view: View, journal: Journal) -> Proposal:
        try:
            proposal = Sweep().propose(view)
        except NoProposal as none:  # not exhausted: the model may take the next turn
            raise NoProposal(f"{self.name} refused, and the sweep has nothing: {none}") from none
        journal.note("sweep", description=proposal.description)
        return proposal


def _asked(settings: Settings, model: str) -> Asked:
    price = price_of(model, settings.price)
    if settings.max_cost and price is None:
        raise AutoresearchError(
            f"max-cost is ${settings.max_cost:g}, and what {model} costs is not known",
            "git config autoresearch.price IN/OUT, in US dollars for a million tokens",
        )
    return Asked(model, settings.effort, price)
