"""The keep-or-discard loop: propose → screen → measure → judge → record, until a limit.

The four steps are separate functions over the ledger's state, so that they can later run side by side. Nothing that was
paid for is lost: a proposal is saved before its first run and after every run, and is taken up again by a resume.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Figure, Measurement, Proposal, Status, Verdict
from autoresearch_git.lab import sandbox
from autoresearch_git.lab.trial import Lab, Progress
from autoresearch_git.ledger.session import Inflight, LiveSession
from autoresearch_git.noise import measured_noise
from autoresearch_git.plaintext import one_line
from autoresearch_git.research import judge as judging
from autoresearch_git.research import pace
from autoresearch_git.research.asking import Asking, Limits, Listener
from autoresearch_git.research.judge import MeasureAgain
from autoresearch_git.research.researchers import NoProposal
from autoresearch_git.research.simplicity import lines_saved

FAILURES_IN_A_ROW = 3  # crashes or turns without a proposal after which a researcher is paused
HOUSEKEEPING_EVERY = 50  # experiments


class Reporter(Listener, Protocol):
    """Who is told what happens, as it happens."""

    def running(self, number: int, run: int, description: str, why: str) -> None: ...
    def progress(self, progress: Progress) -> None: ...
    def measured(self, measurement: Measurement) -> None: ...
    def recorded(self, experiment: Experiment) -> None: ...


def run_name(number: int, run: int) -> str:
    """What the `run`-th run of an experiment is called in the lab."""
    return f"{number:04d}-{run}"


@dataclass
class Loop:
    """One start or resume of a session."""

    live: LiveSession
    lab: Lab
    asking: Asking
    limits: Limits
    report: Reporter
    machine: Mapping[str, Figure]
    trust: bool = False  # what is proposed is kept without a run

    def run(self) -> str:
        """Research until a limit; returns why it ended, in a few words. Raises AutoresearchError where it must pause."""
        started, done, failures = time.monotonic(), 0, 0
        self.ensure_baseline()
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
            elif not (experiment.inspired_by or experiment.adopted_from):  # what came from elsewhere is not the researcher's fault
                failures += 1
            self._pause_after(failures, experiment.reason)

    def ensure_baseline(self) -> None:
        """Measure experiment 0, the base commit as it is, where that is to be done. If it crashes, it is no base to research on."""
        if not self.live.book.experiments:
            self._baseline()

    def one_experiment(self) -> Experiment:
        """The experiment under way if there is one, otherwise a new one: through to its record. Raises NoProposal."""
        interrupted = self.live.inflight
        inflight = interrupted or self.propose()
        if self.trust and not interrupted:  # what was under way before is nobody's to trust
            return self.land(inflight, Verdict(Status.KEEP, None, "taken on trust, not measured"))
        self._measure_incumbent()
        verdict, inflight = self.measure(inflight)
        while verdict.status is Status.CRASH and (mended := self.mend(inflight)):
            verdict, inflight = self.measure(mended)
        return self.land(inflight, verdict)

    # -- the steps ----------------------------------------------------------------------------------------------

    def propose(self) -> Inflight:
        inflight = Inflight(self.live.next_number, self.asking.proposal())
        self.live.save_inflight(inflight)
        return inflight

    def mend(self, inflight: Inflight) -> Inflight | None:
        """The experiment with another text, where its edit is what crashed and its researcher can mend it."""
        if self._is_foreign(inflight.proposal):
            return None
        mended = self.asking.mended(inflight)
        if mended:
            self.live.save_inflight(mended)
        return mended

    def measure(self, inflight: Inflight) -> tuple[Verdict, Inflight]:
        """Run until the judge has a verdict."""
        while True:
            ruling = self._rule(inflight)
            if isinstance(ruling, Verdict):
                return ruling, inflight
            run = inflight.runs + 1
            source = f"  (found in {inflight.proposal.inspired_by})" if inflight.proposal.inspired_by and run == 1 else ""
            self.report.running(inflight.number, run, inflight.proposal.description + source, ruling.reason)
            measurement = self.lab.measure(
                run_name(inflight.number, run), self.live.book.head, inflight.proposal.files, ruling.seed,
                self._budget_in_steps(inflight), self.report.progress, foreign=self._is_foreign(inflight.proposal),
            )  # fmt: skip
            self.check_data(measurement)
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
            expected=inflight.proposal.expected,
            idea=inflight.proposal.idea,
            program=inflight.proposal.program,
            spending=self.live.spent,
            mended=inflight.mended,
            inspired_by=inflight.proposal.inspired_by,
            adopted_from=inflight.proposal.adopted_from,
            claimed=inflight.proposal.claimed,
            step=inflight.proposal.step,
            ported=inflight.proposal.ported,
            harness=self.lab.harness.fingerprint(data or self._data()),
            platform=self.machine,
        )
        recorded = self.live.record(experiment, inflight.proposal)
        self.report.recorded(recorded)
        if recorded.number and recorded.number % HOUSEKEEPING_EVERY == 0:
            self.live.repository.housekeeping()
        return recorded

    # -- their parts --------------------------------------------------------------------------------------------

    def _baseline(self) -> None:
        inflight = self.live.inflight or Inflight(0, Proposal("baseline", {}))
        verdict, inflight = self.measure(inflight)
        if verdict.status is Status.CRASH:
            self.live.drop_inflight()
            log = self.lab.log_of(run_name(0, len(inflight.measurements)))
            why = sandbox.hint(inflight.measurements[-1])
            raise AutoresearchError(
                f"the baseline crashed: {verdict.reason}",
                f"{why}; see {log}" if why else f"see {log}; then start --resume, or start anew if a commit mends it",
            )
        self.land(inflight, verdict)

    def _measure_incumbent(self) -> None:
        """What was taken on trust is measured before anything is compared with it."""
        incumbent = self.live.book.incumbent
        if incumbent is None or incumbent.value is not None:
            return
        first = self.live.book.experiments[0].measurements[0]
        self.report.running(incumbent.number, 1, incumbent.description, "")
        measurement = self.lab.measure(
            run_name(incumbent.number, 1), incumbent.commit, {}, first.seed, pace.told(None, first, first), self.report.progress,
            foreign=True,
        )  # fmt: skip
        self.check_data(measurement)
        self.report.measured(measurement)
        if measurement.value is None:
            last = next(e for e in reversed(self.live.book.experiments) if e.status.advances and e.value is not None)
            raise AutoresearchError(f"{incumbent.number:04d}, which was taken on trust, crashes here: {measurement.crash}",
                                    f"git autoresearch start --from {last.commit[:10]} begins anew before it")  # fmt: skip
        self.live.record_measurement(incumbent.number, measurement)

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
        simpler = self._simplification(inflight.proposal)
        return judging.judge(session.judge, session.metric, incumbent, inflight.measurements, noise, simpler)

    def _simplification(self, proposal: Proposal) -> judging.Simplification | None:
        lines = lines_saved(self.live.editable_files(), proposal.files)
        kept = [e.value for e in self.live.book.experiments if e.status.advances and e.value is not None]
        best = min if self.live.session.metric.direction == "min" else max
        return judging.Simplification(lines, best(kept)) if lines and kept else None

    def _budget_in_steps(self, inflight: Inflight) -> dict[str, str]:
        incumbent = self.live.book.incumbent
        runs = incumbent.measurements if incumbent else ()
        first = self.live.book.experiments[0].measurements[0] if incumbent else None
        return pace.told(next(iter(inflight.measurements), None), runs[-1] if runs else None, first)

    def _is_foreign(self, proposal: Proposal) -> bool:
        """Whether a stranger wrote some of what is run: of the proposal, or of what it stands on."""
        kept = (e for e in self.live.book.experiments if e.status.advances)
        return bool(proposal.adopted_from) or any(e.adopted_from for e in kept)

    def _data(self) -> str:
        experiments = self.live.book.experiments
        return str(experiments[0].measurements[0].figures.get("data", "")) if experiments else ""

    def check_data(self, measurement: Measurement) -> None:
        """Raises AutoresearchError where a run was of other data than the baseline."""
        known, now = self._data(), measurement.figures.get("data")
        if known and now is not None and str(now) != known:
            raise AutoresearchError(
                f"the data changed since this session's baseline: {str(now)[:18]}… is not {known[:18]}…",
                "bring the old data back, or begin a new session: git autoresearch start",
            )

    def _ended(self, done: int, seconds: float) -> str:
        if self.asking.stop():
            return "stopped as asked"
        if self.limits.experiments and done >= self.limits.experiments:
            return f"{done} experiment{'s' * (done != 1)} done"
        if self.limits.hours and seconds >= self.limits.hours * 3600:
            return f"{self.limits.hours:g} hours are over"
        if (left := self.asking.allowance()) is not None and left <= 0:
            return f"${self.limits.usd:g} are spent"
        return ""

    def _pause_after(self, failures: int, reason: str) -> None:
        if failures >= FAILURES_IN_A_ROW:
            raise AutoresearchError(
                f"paused after {failures} failures of {self.asking.researcher.name} in a row, the last: {reason}",
                f"git autoresearch start --resume --tag {self.live.session.tag} goes on",
            )
