"""The records that every room speaks of: frozen, without I/O, and without knowledge of git or processes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

Figure = float | int | str | bool | None
LARGEST_FILE = 256 * 1024  # bytes of an editable file: more than a person reads


class Status(str, enum.Enum):
    """How an experiment ended. Upstream's words, and `baseline` for experiment 0."""

    BASELINE = "baseline"
    KEEP = "keep"
    DISCARD = "discard"
    CRASH = "crash"

    def __str__(self) -> str:
        return self.value

    @property
    def advances(self) -> bool:
        """Whether an experiment of this status becomes the incumbent."""
        return self in (Status.BASELINE, Status.KEEP)


@dataclass(frozen=True)
class Metric:
    """The number being researched: the name a run reports it under, and which way is better (`min` or `max`)."""

    name: str
    direction: str

    def gain(self, candidate: float, incumbent: float) -> float:
        """How much better `candidate` is, in the metric's own unit; negative where it is worse."""
        return incumbent - candidate if self.direction == "min" else candidate - incumbent


@dataclass(frozen=True)
class Author:
    """Whose work a commit is, and when it was made."""

    name: str
    email: str
    seconds_since_epoch: int


@dataclass(frozen=True)
class Spending:
    """What was paid to a model: requests, tokens, and US dollars, None where the price of one is not known. `cached_tokens` are
    those of `input_tokens` that the model's side had kept; `seconds` is the time waited for it."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Spending(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            usd,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True)
class Proposal:
    """What a researcher wants to try: the new text of each editable file it changes, by path in the repository.

    `expected` is what the researcher thinks it will do to the metric. `idea` is the hint of the user that it answers, `program`
    the fingerprint of the program.md that it was made under. `inspired_by` names the finding that it comes from, and its commit,
    where it does. Of a commit that is taken over from elsewhere `adopted_from` names the place and the commit, `author` whose it
    is, and `claimed` what it is said to have changed the metric by; `step` says which of the place's kept commits it is, of how
    many (0 for none of those), and is None where the change starts from another text than the commit did: then what is claimed is
    of another change. `ported` is who wrote the change anew for this text, where it could not be carried over.
    """

    description: str
    files: Mapping[str, str]
    rationale: str = ""
    researcher: str = ""
    expected: str = ""
    idea: str = ""
    program: str = ""
    inspired_by: str = ""
    adopted_from: str = ""
    author: Author | None = None
    claimed: float | None = None
    step: tuple[int, int] | None = None
    ported: str = ""


@dataclass(frozen=True)
class Measurement:
    """What one run gave.

    `value` is the metric, or None where the run crashed; then `crash` says why in one line and `traceback` holds the
    end of its output. `figures` are the other numbers that the run reported (seconds, steps, megabytes). `seed` is what
    the run was given in AUTORESEARCH_SEED. `channel` says who reported the metric: the `harness` itself, or the printed
    `summary`.
    """

    value: float | None
    seed: int
    figures: Mapping[str, Figure] = field(default_factory=dict)
    channel: str = "summary"
    crash: str = ""
    traceback: str = ""

    @property
    def memory_gb(self) -> float:
        """Peak memory in GiB: the device's as the run reported it (`peak_vram_mb`, MiB), or else the process's own."""
        megabytes = self.figures.get("peak_vram_mb") or self.figures.get("peak_rss_mb")
        return float(megabytes) / 1024 if isinstance(megabytes, (int, float)) else 0.0


@dataclass(frozen=True)
class Verdict:
    """The judge's word on an experiment: its status, the number it is remembered by, and why."""

    status: Status
    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Experiment:
    """One change, its measurements and its verdict, as the ledger remembers it.

    `mended` says why earlier texts of the same proposal crashed. `parent` is the incumbent that it was tried on. `commit` and
    `record` are empty until it is recorded.
    """

    number: int
    status: Status
    description: str
    value: float | None
    measurements: tuple[Measurement, ...] = ()
    reason: str = ""
    rationale: str = ""
    researcher: str = ""
    expected: str = ""
    idea: str = ""
    program: str = ""
    spending: Spending = Spending()
    mended: tuple[str, ...] = ()
    inspired_by: str = ""
    adopted_from: str = ""
    claimed: float | None = None
    step: tuple[int, int] | None = None
    ported: str = ""
    harness: str = ""
    platform: Mapping[str, Figure] = field(default_factory=dict)
    parent: str = ""
    commit: str = ""
    record: str = ""
    seconds_since_epoch: int = 0

    @property
    def memory_gb(self) -> float:
        return max((m.memory_gb for m in self.measurements), default=0.0)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all its runs, as the lab timed them."""
        walls = (m.figures.get("wall_seconds") for m in self.measurements)
        return sum(float(s) for s in walls if isinstance(s, (int, float)))


@dataclass(frozen=True)
class Session:
    """One research session: a branch grown from a base commit on one machine, and what was fixed when it began."""

    platform: str
    tag: str
    base: str
    metric: Metric
    run: str
    editable: tuple[str, ...]
    budget: float
    timeout: float
    seed: int = 42
    baseline_runs: int = 2
    judge: str = "confirmed"
    prepare: str = ""
    branch_prefix: str = "exp"
    machine: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.platform}/{self.tag}"

    @property
    def branch(self) -> str:
        return f"refs/heads/{self.branch_prefix}/{self.name}"

    @property
    def notebook(self) -> str:
        return f"refs/autoresearch/{self.name}"
