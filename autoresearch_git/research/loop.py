"""The keep-or-discard loop: propose → screen → measure → judge → record, until a limit.

The four steps are separate functions over the ledger's state, so that they can later run side by side. Nothing that was
paid for is lost: a proposal is saved before its first run and after every run, and is taken up again by a resume.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from autoresearch_git.community.inspiration import NOTHING_READ, Inspiration
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Figure, Measurement, Proposal, Status, Verdict
from autoresearch_git.lab import sandbox
from autoresearch_git.lab.trial import Lab, Progress
from autoresearch_git.ledger.session import Inflight, LiveSession
from autoresearch_git.noise import measured_noise
from autoresearch_git.plaintext import one_line
from autoresearch_git.research import judge as judging
from autoresearch_git.research import screening
from autoresearch_git.research.judge import MeasureAgain
from autoresearch_git.research.researchers import NoProposal, Researcher, View

FAILURES_IN_A_ROW = 3  # crashes or refused proposals after which a researcher is paused
HOUSEKEEPING_EVERY = 50  # experiments


@dataclass(frozen=True)
class Limits:
    """When a start ends: after so many experiments or hours from now; 0 is no limit."""

    experiments: int = 0
    hours: float = 0.0


class Reporter(Protocol):
    """Who is told what happens, as it happens."""

    def running(self, number: int, run: int, description: str, why: str) -> None: ...
    def progress(self, progress: Progress) -> None: ...
    def measured(self, measurement: Measurement) -> None: ...
    def refused(self, proposal: Proposal, reason: str) -> None: ...
    def recorded(self, experiment: Experiment) -> None: ...


@dataclass
class Loop:
    """One start or resume of a session. `stop` is asked before each new experiment; `inspire` once, with the figures of the
    baseline's run, for what the community found."""

    live: LiveSession
    lab: Lab
    researcher: Researcher
    limits: Limits
    report: Reporter
    machine: Mapping[str, Figure]
    inspire: Callable[[Mapping[str, Figure]], Inspiration] = lambda facts: NOTHING_READ
    stop: Callable[[], bool] = lambda: False
    _context: dict[str, str] | None = None
    _inspiration: Inspiration | None = None

    def run(self) -> str:
        """Research until a limit; returns why it ended, in a few words. Raises AutoresearchError where it must pause."""
        started, done, failures = time.monotonic(), 0, 0
        if not self.live.book.experiments:
            self._baseline()
        while True:
            ended = self._ended(done, time.monotonic() - started)
            if ended:
                return ended
            try:
                experiment = self.one_experiment()
            except NoProposal as none:
                if none.exhausted:
                    return str(none)
                failures += 1
                self._pause_after(failures, str(none))
                continue
            done += 1
            if experiment.status is not Status.CRASH:
                failures = 0
            elif not experiment.inspired_by:  # what crashes here and came from elsewhere is not the researcher's fault
                failures += 1
            self._pause_after(failures, experiment.reason)
            if experiment.number % HOUSEKEEPING_EVERY == 0:
                self.live.repository.housekeeping()

    def one_experiment(self) -> Experiment:
        """The experiment under way if there is one, otherwise a new one: through to its record. Raises NoProposal."""
        inflight = self.live.inflight or self.propose()
        verdict, inflight = self.measure(inflight)
        return self.land(inflight, verdict)

    # -- the steps ----------------------------------------------------------------------------------------------

    def propose(self) -> Inflight:
        files = self._editable_files()
        proposal = self.researcher.propose(self._view(files))
        reason = screening.refusal(proposal, files, self.live.session.editable)
        if reason:
            self.report.refused(proposal, reason)
            raise NoProposal(f"the last proposal of {self.researcher.name} was refused: {reason}")
        inflight = Inflight(self.live.next_number, proposal)
        self.live.save_inflight(inflight)
        return inflight

    def measure(self, inflight: Inflight) -> tuple[Verdict, Inflight]:
        """Run until the judge has a verdict."""
        while True:
            ruling = self._rule(inflight)
            if isinstance(ruling, Verdict):
                return ruling, inflight
            run = len(inflight.measurements) + 1
            source = f"  (found in {inflight.proposal.inspired_by})" if inflight.proposal.inspired_by and run == 1 else ""
            self.report.running(inflight.number, run, inflight.proposal.description + source, ruling.reason)
            measurement = self.lab.measure(
                inflight.number, run, self.live.book.head, inflight.proposal.files, ruling.seed,
                self._budget_in_steps(inflight), self.report.progress,
            )  # fmt: skip
            self._check_data(measurement)
            inflight = dataclasses.replace(inflight, measurements=(*inflight.measurements, measurement))
            self.live.save_inflight(inflight)
            self.report.measured(measurement)

    def land(self, inflight: Inflight, verdict: Verdict) -> Experiment:
        """Record the experiment with its verdict."""
        data = next((str(m.figures["data"]) for m in inflight.measurements if "data" in m.figures), "")
        experiment = Experiment(
            number=inflight.number,
            status=verdict.status,
            description=one_line(inflight.proposal.description),
            value=verdict.value,
            measurements=inflight.measurements,
            reason=verdict.reason,
            rationale=inflight.proposal.rationale,
            researcher=inflight.proposal.researcher,
            inspired_by=inflight.proposal.inspired_by,
            harness=self.lab.harness.fingerprint(data or self._data()),
            platform=self.machine,
        )
        recorded = self.live.record(experiment, inflight.proposal)
        self.report.recorded(recorded)
        return recorded

    # -- their parts --------------------------------------------------------------------------------------------

    def _baseline(self) -> None:
        """Experiment 0: the base commit as it is. A baseline that crashes is no base to research on."""
        inflight = self.live.inflight or Inflight(0, Proposal("baseline", {}))
        verdict, inflight = self.measure(inflight)
        if verdict.status is Status.CRASH:
            self.live.drop_inflight()
            log = self.lab.log_of(0, len(inflight.measurements))
            why = sandbox.hint(inflight.measurements[-1])
            raise AutoresearchError(
                f"the baseline crashed: {verdict.reason}",
                f"{why}; see {log}" if why else f"see {log}; then start --resume, or start anew if a commit mends it",
            )
        self.land(inflight, verdict)

    def _rule(self, inflight: Inflight) -> Verdict | MeasureAgain:
        session, book = self.live.session, self.live.book
        incumbent = book.incumbent
        if incumbent is None:
            if not inflight.measurements:
                return MeasureAgain(session.seed, f"baseline run 1 of {session.baseline_runs}")
            return judging.judge_baseline(inflight.measurements, session.baseline_runs)
        if not inflight.measurements:
            return MeasureAgain(judging.first_seed(incumbent), "")
        noise = measured_noise(book.experiments)
        return judging.judge(session.judge, session.metric, incumbent, inflight.measurements, noise)

    def _budget_in_steps(self, inflight: Inflight) -> dict[str, str]:
        """What a harness is told whose budget is a number of steps: as many as the same text had before, or else about as
        many as the incumbent, at the pace that the baseline set. The pace is relative to a fixed piece of work, so a
        machine that is busier now than then does not look like a slower idea."""
        if inflight.measurements:
            planned = _number(inflight.measurements[0], "planned_steps")
            return {} if planned is None else {"AUTORESEARCH_STEPS": f"{planned:.0f}"}
        incumbent = self.live.book.incumbent
        planned = _number(incumbent.measurements[-1], "planned_steps") if incumbent else None
        if planned is None:
            return {}
        first = self.live.book.experiments[0].measurements[0]
        steps, cost = _number(first, "planned_steps"), _number(first, "step_cost")
        pace = {"AUTORESEARCH_PACE": f"{steps:.0f}@{cost!r}"} if steps and cost else {}
        return {"AUTORESEARCH_STEPS": f"~{planned:.0f}", **pace}

    def _data(self) -> str:
        experiments = self.live.book.experiments
        return str(experiments[0].measurements[0].figures.get("data", "")) if experiments else ""

    def _check_data(self, measurement: Measurement) -> None:
        known, now = self._data(), measurement.figures.get("data")
        if known and now is not None and str(now) != known:
            raise AutoresearchError(
                f"the data changed since this session's baseline: {str(now)[:18]}… is not {known[:18]}…",
                "bring the old data back, or begin a new session: git autoresearch start",
            )

    def _editable_files(self) -> dict[str, str]:
        head, repository = self.live.book.head, self.live.repository
        found = ((path, repository.read_file(head, path)) for path in self.live.session.editable)
        return {path: content.decode() for path, content in found if content is not None}

    def _view(self, files: dict[str, str]) -> View:
        book = self.live.book
        if self._context is None:  # the harness does not change in a session
            read = {p: self.live.repository.read_file(book.session.base, p) for p in self.lab.harness.files if p.endswith(".py")}
            self._context = {path: content.decode(errors="replace") for path, content in read.items() if content is not None}
        facts = book.experiments[0].measurements[0].figures
        if self._inspiration is None:
            self._inspiration = self.inspire(facts)
            if self._inspiration.read:
                self.live.record_inspiration(self._inspiration.read)
                book = self.live.book
        noise = measured_noise(book.experiments)
        return View(book.session, book.experiments, files, self._context, facts, noise, self._inspiration)

    def _ended(self, done: int, seconds: float) -> str:
        if self.stop():
            return "stopped as asked"
        if self.limits.experiments and done >= self.limits.experiments:
            return f"{done} experiments done"
        if self.limits.hours and seconds >= self.limits.hours * 3600:
            return f"{self.limits.hours:g} hours are over"
        return ""

    def _pause_after(self, failures: int, reason: str) -> None:
        if failures >= FAILURES_IN_A_ROW:
            raise AutoresearchError(
                f"paused after {failures} failures of {self.researcher.name} in a row, the last: {reason}",
                f"git autoresearch start --resume --tag {self.live.session.tag} goes on",
            )


def _number(measurement: Measurement, figure: str) -> float | None:
    value = measurement.figures.get(figure)
    return float(value) if isinstance(value, (int, float)) else None
