"""Is the sweep as good as Optuna's TPE? Both research the same hidden surfaces, under the same judge and noise.

    python bench/sweep.py [--surfaces 40] [--json]        (needs the `bench` extra: optuna)

A surface gives each constant of train.py's CPU block an optimum some way from its default, a weight, and a few
interactions; a run returns the loss plus noise of the size measured at a 20 s budget (sd 0.006 bits per byte). What counts
is the true loss of the incumbent after so many experiments, as a share of the gain that was to be had.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoresearch_git import constants
from autoresearch_git.experiment import Experiment, Measurement, Metric, Session, Status, Verdict
from autoresearch_git.noise import measured_noise
from autoresearch_git.research.judge import first_seed, judge, judge_baseline
from autoresearch_git.research.researchers import NoProposal, View
from autoresearch_git.research.researchers.sweep import Sweep

TOP = Path(__file__).parent.parent
FACTS = {"DEVICE_CLASS": "cpu"}
MODULES = {"prepare": "MAX_SEQ_LEN = 256\n"}
NAMES = ("TOTAL_BATCH_SIZE", "MATRIX_LR", "EMBEDDING_LR", "UNEMBEDDING_LR", "SCALAR_LR", "WEIGHT_DECAY", "WARMDOWN_RATIO",
         "FINAL_LR_FRAC", "WARMUP_RATIO", "MOMENTUM", "SOFTCAP", "ROPE_BASE", "DEPTH")  # fmt: skip
BUDGETS = (6, 25, 100)
NOISE = 0.006
BPB = Metric("val_bpb", "min")


def coordinate(name: str, value: float) -> float:
    """A constant on the scale on which its effect is about symmetric."""
    if name == "MOMENTUM":
        return -math.log(max(1e-4, 1 - value))
    if "RATIO" in name or "FRAC" in name:
        return value / 0.3
    return math.log(value) / math.log(2) if name in ("TOTAL_BATCH_SIZE", "DEPTH") else math.log(value)


class Surface:
    """A hidden loss over the constants; deterministic in its seed."""

    def __init__(self, defaults: dict[str, float], seed: int) -> None:
        draw = random.Random(seed)
        self.names = list(defaults)
        self.optimum = {n: coordinate(n, v) + draw.gauss(0, 0.7) for n, v in defaults.items()}
        self.weight = {n: 0.02 * draw.lognormvariate(0, 0.8) for n in defaults}
        self.pairs = [(*draw.sample(self.names, 2), draw.gauss(0, 0.006)) for _ in range(6)]

    def loss(self, values: dict[str, float]) -> float:
        x = {n: max(-3.0, min(3.0, coordinate(n, values[n]) - self.optimum[n])) for n in self.names}
        return 2.0 + sum(self.weight[n] * x[n] ** 2 for n in self.names) + sum(w * x[a] * x[b] for a, b, w in self.pairs)


def run(surface: Surface, values: dict[str, float], seed: int, luck: random.Random) -> Measurement:
    return Measurement(surface.loss(values) + luck.gauss(0, NOISE), seed)


Propose = Callable[[tuple[Experiment, ...], str], "tuple[str, str] | None"]


def research(surface: Surface, text: str, propose: Propose, luck: random.Random) -> list[float]:
    """The incumbent's true loss after 0, 1, 2 … experiments."""
    read = lambda t: {n: float(c.value) for n, c in constants.read(t, FACTS, MODULES).constants.items() if n in NAMES}  # noqa: E731
    runs = [run(surface, read(text), 42, luck), run(surface, read(text), 43, luck)]
    verdict = judge_baseline(runs, 2)
    assert isinstance(verdict, Verdict)
    experiments = (Experiment(0, Status.BASELINE, "baseline", verdict.value, tuple(runs)),)
    incumbent, losses = experiments[0], [surface.loss(read(text))]
    while len(losses) <= max(BUDGETS):
        proposal = propose(experiments, text)
        if proposal is None:
            losses.append(losses[-1])
            continue
        description, changed = proposal
        runs = [run(surface, read(changed), first_seed(incumbent), luck)]
        ruling = judge("confirmed", BPB, incumbent, runs, measured_noise(experiments))
        while not isinstance(ruling, Verdict):
            runs.append(run(surface, read(changed), ruling.seed, luck))
            ruling = judge("confirmed", BPB, incumbent, runs, measured_noise(experiments))
        done = Experiment(len(experiments), ruling.status, description, ruling.value, tuple(runs))
        experiments = (*experiments, done)
        if ruling.status is Status.KEEP:
            incumbent, text = done, changed
        losses.append(surface.loss(read(text)))
    return losses


def sweep(seed: int) -> Propose:
    session = Session("cpu", "bench", "0" * 40, BPB, "", ("train.py",), 20, 600, seed=seed)

    def propose(experiments: tuple[Experiment, ...], text: str) -> tuple[str, str] | None:
        view = View(
            session,
            experiments,
            {"train.py": text},
            {"prepare.py": MODULES["prepare"]},
            {"device_class": "cpu"},
            measured_noise(()),
        )
        try:
            proposal = Sweep().propose(view)
        except NoProposal:
            return None
        return proposal.description, proposal.files["train.py"]

    return propose


def tpe(seed: int, defaults: dict[str, float]) -> Propose:
    """Optuna's TPE by ask and tell, told the baseline first; its space reaches a factor of four (or the whole ratio)."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    study.enqueue_trial({n: math.log2(v) if n == "TOTAL_BATCH_SIZE" else v for n, v in defaults.items()})
    pending: list[Any] = []

    def suggest(trial: Any, name: str, value: float) -> float:
        if name == "TOTAL_BATCH_SIZE":
            return float(2 ** trial.suggest_int(name, 9, 15))
        if name == "DEPTH":
            return float(trial.suggest_int(name, 1, 6))
        if name == "MOMENTUM":
            return float(trial.suggest_float(name, 0.8, 0.995))
        if "RATIO" in name or "FRAC" in name:
            return float(trial.suggest_float(name, 0.0, 1.0))
        return float(trial.suggest_float(name, value / 4, value * 4, log=True))

    def propose(experiments: tuple[Experiment, ...], text: str) -> tuple[str, str] | None:
        if not pending:
            first = study.ask()
            for name, value in defaults.items():
                suggest(first, name, value)
            pending.append(first)
        study.tell(pending.pop(), experiments[-1].value)
        trial = study.ask()
        pending.append(trial)
        reading = constants.read(text, FACTS, MODULES)
        sources = {}
        for name, value in defaults.items():
            chosen = suggest(trial, name, value)
            sources[name] = str(int(chosen)) if isinstance(reading.constants[name].value, int) else repr(chosen)
        return f"trial {trial.number}", constants.replace(text, reading.constants, sources)

    return propose


def share(losses: list[float], at: int, best: float) -> float:
    """The part of the possible gain that was had after `at` experiments."""
    return (losses[0] - losses[at]) / (losses[0] - best)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surfaces", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    text = (TOP / "train.py").read_text()
    found = constants.read(text, FACTS, MODULES).constants
    defaults = {n: max(float(found[n].value), 1e-9) for n in NAMES if n in found}
    shares: dict[str, dict[int, list[float]]] = {"sweep": {b: [] for b in BUDGETS}, "tpe": {b: [] for b in BUDGETS}}
    for seed in range(options.surfaces):
        surface = Surface(defaults, seed)
        for name, researcher in (("sweep", sweep(seed)), ("tpe", tpe(seed, defaults))):
            losses = research(surface, text, researcher, random.Random(seed))
            for budget in BUDGETS:
                shares[name][budget].append(share(losses, budget, 2.0))
    result = {
        "surfaces": options.surfaces,
        **{f"{name}_share_at_{b}": round(statistics.mean(v), 3) for name, by in shares.items() for b, v in by.items()},
    }
    if options.json:
        print(json.dumps(result))
        return
    print("share of the possible gain had: " + "; ".join(
        f"after {b} experiments sweep {result[f'sweep_share_at_{b}']:.2f}, TPE {result[f'tpe_share_at_{b}']:.2f}" for b in BUDGETS))  # fmt: skip


if __name__ == "__main__":
    main()
