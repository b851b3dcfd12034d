"""What a session found, ready to be rendered: everything a paper says, taken from the notebook and the commits alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from autoresearch_git import config
from autoresearch_git.community import changes
from autoresearch_git.community.changes import Change
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Figure, Session
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.ancestry import Ancestor, ancestors
from autoresearch_git.ledger.notebook import Notebook
from autoresearch_git.ledger.session import session_names
from autoresearch_git.publishing import adoption, claims
from autoresearch_git.publishing import results as tally
from autoresearch_git.publishing.claims import Reference, Told, Tried
from autoresearch_git.publishing.results import Result, Results
from autoresearch_git.publishing.shapes import Shape, shapes
from autoresearch_git.publishing.wording import decimals, digits_for
from autoresearch_git.replication import Replication, in_order
from autoresearch_git.repository import Repository

MOST_HOPES = 5
SLACK = 0.05  # share of the budget that a run may train longer or shorter


@dataclass(frozen=True)
class Paper:
    """Everything that the templates may say of a session. `constants` are those that differ between the base and the best, `tried`
    the claims of others that were tried in it, `again` those that were measured again on purpose."""

    session: Session
    identity: str  # the sha of the record that opened the notebook: no other session has it
    results: Results
    shapes: tuple[Shape, ...] = ()
    constants: tuple[Change, ...] = ()
    tried: tuple[Tried, ...] = ()
    again: tuple[Replication, ...] = ()
    references: tuple[Reference, ...] = ()
    ancestors: tuple[Ancestor, ...] = ()
    adopted_from: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    program: str = ""
    adopting: str = ""  # the options of `start` that measure what this session measured, where a clone has no settings
    notes: str = ""
    names: Mapping[str, str] = field(default_factory=dict)  # a session of this repository → what no other session is called
    inherits: bool = False  # its base stands on commits that a clone of where it is published does not bring along

    @property
    def adopted(self) -> Mapping[str, int]:
        """Source → how many of its commits were kept."""
        return Counter(adopted_from.rpartition(" ")[0] for adopted_from in self.adopted_from)

    # -- numbers of the whole session -----------------------------------------------------------------------------

    @property
    def wins(self) -> list[Result]:
        """What was kept, the largest gain first."""
        return sorted(self.results.kept, key=lambda row: -(row.gain or 0.0))

    @property
    def dead_ends(self) -> list[Result]:
        """What is worse than chance explains, the worst first."""
        return sorted(filter(self.results.beyond_noise, self.results.discarded), key=lambda row: row.gain or 0.0)

    @property
    def undecided(self) -> list[Result]:
        """What was discarded and may yet be good: within the noise, the best first."""
        found = [row for row in self.results.discarded if self.results.within_noise(row)]
        return sorted(found, key=lambda row: -(row.gain or 0.0))

    @property
    def unweighed(self) -> list[Result]:
        """What was discarded while nobody measured the noise, the worst first."""
        found = [row for row in self.results.discarded if not self.results.measured and row.gain is not None]
        return sorted(found, key=lambda row: row.gain or 0.0)

    @property
    def unresolved(self) -> list[Result]:
        """What was kept and may yet be no gain: within the noise."""
        return [row for row in self.results.kept if self.results.within_noise(row)]

    @property
    def hopes(self) -> list[Result]:
        """Discards whose first run was better than the incumbent and whose second was not."""
        return [row for row in self.undecided if len(row.experiment.measurements) > 1][:MOST_HOPES]

    @property
    def open_ends(self) -> list[Shape]:
        """Constants whose optimum may lie beyond everything that was tried."""
        return [shape for shape in self.shapes if shape.open_end]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({m.seed for e in self.results.experiments for m in e.measurements}))

    @property
    def runs(self) -> int:
        return sum(len(e.measurements) for e in self.results.experiments)

    @property
    def seconds(self) -> float:
        """Of machine time, as the lab timed every run."""
        return sum(e.seconds for e in self.results.experiments)

    @property
    def trained_for_budget(self) -> bool:
        """Whether every run that was measured says that it trained about as long as the budget asks."""
        runs = [m for e in self.results.experiments for m in e.measurements if m.value is not None]
        told = [m.figures.get("training_seconds") for m in runs]
        budget = self.session.budget
        return bool(told) and all(isinstance(s, (int, float)) and abs(s - budget) <= SLACK * budget for s in told)

    @property
    def days(self) -> tuple[int, int]:
        """Seconds since 1970 of the first and of the last record."""
        times = [e.seconds_since_epoch for e in self.results.experiments]
        return min(times), max(times)

    @property
    def data(self) -> str:
        runs = self.results.baseline.measurements
        return str(runs[0].figures.get("data", "")) if runs else ""

    @property
    def channel(self) -> str:
        """Who reported the number: the harness itself, or the printed summary."""
        runs = self.results.best.measurements
        return runs[-1].channel if runs else ""

    @property
    def researchers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(e.researcher for e in self.results.experiments if e.researcher))

    @property
    def figures(self) -> list[tuple[str, Figure, Figure]]:
        """(name, baseline's, best's) of everything else that their runs reported."""
        first, last = _figures(self.results.baseline), _figures(self.results.best)
        return [(name, first.get(name), last.get(name)) for name in sorted({*first, *last})]

    @property
    def digits(self) -> int:
        """The decimals of the metric's values: with fewer, a gain or the error of one would not show."""
        results = self.results
        gains = (row.delta for row in (results.total, *results.kept))
        return max(decimals([results.baseline.value, results.best.value], gains), digits_for(results.total.error) or 0)


def _figures(experiment: Experiment) -> dict[str, Figure]:
    runs = [m for m in experiment.measurements if m.value is not None]
    return {name: value for name, value in runs[-1].figures.items() if name != "data"} if runs else {}


# -- gathering ----------------------------------------------------------------------------------------------------------


def gather(
    repository: Repository, book: Notebook, claimed: Mapping[str, float | None], notes: str = "", told: Told = claims.unknown
) -> Paper:
    """The paper of a notebook. `claimed` is what the findings that inspired an experiment told of it; `told` gives title, author
    and address of a finding, as far as they are known.

    Raises AutoresearchError where there is no baseline yet.
    """
    session = book.session
    if not book.experiments:
        raise AutoresearchError(f"session {session.name} has no baseline yet, so there is nothing to tell",
                                f"git autoresearch start --resume --tag {session.tag}")  # fmt: skip
    results = tally.of(session, book.experiments)
    moved = _moved(repository, results)
    tried, before = tuple(claims.tried(results, claimed)), ancestors(repository, session)
    again = in_order(book.replications)
    whole = repository.patches([(session.base, results.best.commit)], session.editable)[0]
    return Paper(
        session=session,
        identity=book.opening,
        results=results,
        shapes=tuple(shapes(results, moved)),
        constants=changes.in_patch(whole),
        tried=tried,
        again=again,
        references=claims.references(before, tried, again, told),
        ancestors=before,
        adopted_from=tuple(dict.fromkeys(row.experiment.adopted_from for row in results.kept if row.experiment.adopted_from)),
        read=book.inspiration,
        program=_program(repository, session),
        adopting=adoption.options(session, config.named_at(repository, session.base)),
        notes=notes,
        names=_names(repository, {*(one.of for one in again), *(e.adopted_from.rpartition(" ")[0] for e in book.experiments)}),
    )


def _names(repository: Repository, places: Collection[str]) -> dict[str, str]:
    """Those of the places that are sessions of this repository, by the record that opened them: names are dates."""
    known = {place: name for name in session_names(repository) for place in (name, f"exp/{name}") if place in places}
    return {place: f"{place}@{notebook.read(repository, notebook.NAMESPACE + name).opening}" for place, name in known.items()}


def _moved(repository: Repository, results: Results) -> dict[int, tuple[Change, ...]]:
    """number → the constants that an experiment's own diff changes."""
    tried = [row.experiment for row in results.rows]
    patches = repository.patches([(e.parent, e.commit) for e in tried], results.session.editable)
    return {e.number: changes.in_patch(patch) for e, patch in zip(tried, patches, strict=True)}


def _program(repository: Repository, session: Session) -> str:
    text = repository.read_file(session.base, "program.md")
    return f"sha256:{hashlib.sha256(text).hexdigest()}" if text else ""
