"""Who decides and who proposes: the judge, the noise, the screen, and the sweep over constants."""

from __future__ import annotations

import math

import pytest

from autoresearch_git import constants
from autoresearch_git.experiment import Experiment, Measurement, Metric, Proposal, Session, Status, Verdict
from autoresearch_git.noise import Noise, measured_noise
from autoresearch_git.research import screening
from autoresearch_git.research.judge import MeasureAgain, first_seed, judge, judge_baseline
from autoresearch_git.research.researchers import NoProposal, View
from autoresearch_git.research.researchers.sweep import Sweep

BPB = Metric("val_bpb", "min")


def _runs(*pairs: tuple[int, float | None]) -> tuple[Measurement, ...]:
    return tuple(Measurement(value, seed, crash="" if value is not None else "out of memory") for seed, value in pairs)


BASELINE = Experiment(0, Status.BASELINE, "baseline", 1.0, _runs((42, 1.01), (43, 0.99)))


FLOOR = "0.033"  # 2.353 * sqrt(2) * 0.01, of three degrees of freedom


@pytest.mark.parametrize(
    ("rule", "runs", "expected"),
    [
        ("confirmed", [(42, None)], Verdict(Status.CRASH, None, "out of memory")),
        ("confirmed", [(42, 1.02)], Verdict(Status.DISCARD, 1.02, "0.02 worse")),
        ("confirmed", [(42, 1.0)], Verdict(Status.DISCARD, 1.0, "no better")),
        ("confirmed", [(42, 0.90)], Verdict(Status.KEEP, 0.90, f"0.1 better, above the noise of {FLOOR}")),
        ("confirmed", [(42, 0.99)], MeasureAgain(43, f"0.01 better; the noise is {FLOOR}")),
        ("confirmed", [(42, 0.97), (43, 0.98)], Verdict(Status.KEEP, 0.98, "0.02 better on seed 43, the confirming run")),
        ("confirmed", [(42, 0.97), (43, 1.005)], Verdict(Status.DISCARD, 1.005, "0.005 worse on seed 43, the second run")),
        ("confirmed", [(42, 0.97), (43, None)], Verdict(Status.CRASH, None, "out of memory")),
        ("strict", [(42, 0.999)], Verdict(Status.KEEP, 0.999, "0.001 better")),
        ("strict", [(42, 1.0)], Verdict(Status.DISCARD, 1.0, "no better")),
    ],
)
def test_verdicts(rule: str, runs: list[tuple[int, float | None]], expected: Verdict | MeasureAgain) -> None:
    """Against a baseline of 1.0, the mean of 1.01 and 0.99."""
    assert judge(rule, BPB, BASELINE, _runs(*runs), Noise(0.01, 3)) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0.0, "implausible: a val_bpb of 0 is no number of bits"),
        (-37.8, "implausible: a val_bpb of -37.8 is no number of bits"),
        (0.62, "implausible: one change is said to take val_bpb from 1 to 0.62"),
    ],
)
@pytest.mark.parametrize("rule", ["confirmed", "strict"])
def test_a_number_that_no_change_can_give_is_discarded(rule: str, value: float, reason: str) -> None:
    runs = _runs((42, value))
    assert judge(rule, BPB, BASELINE, runs, Noise(0.01, 3)) == Verdict(Status.DISCARD, value, reason)
    assert judge("strict", Metric("loss", "min"), BASELINE, runs, Noise(0, 1)).status is Status.KEEP, "of a loss nothing is known"


def test_a_large_gain_far_from_what_is_possible_is_believed() -> None:
    weak = Experiment(0, Status.BASELINE, "baseline", 2.6, _runs((42, 2.6), (43, 2.6)))
    assert judge("strict", BPB, weak, _runs((42, 1.9)), Noise(0, 1)).status is Status.KEEP


def test_a_maximised_metric_is_judged_the_other_way() -> None:
    assert judge("strict", Metric("score", "max"), BASELINE, _runs((42, 1.02)), Noise(0, 1)).status is Status.KEEP
    assert judge("strict", Metric("score", "max"), BASELINE, _runs((42, 0.5)), Noise(0, 1)).status is Status.DISCARD


def test_while_the_noise_is_unknown_every_gain_is_confirmed() -> None:
    assert isinstance(judge("confirmed", BPB, BASELINE, _runs((42, 0.91)), measured_noise([])), MeasureAgain)


def test_the_next_candidate_is_tried_with_the_seed_that_gave_the_incumbent_its_number() -> None:
    confirmed = Experiment(1, Status.KEEP, "x", 0.98, _runs((42, 0.97), (43, 0.98)))
    assert (first_seed(BASELINE), first_seed(confirmed)) == (42, 43)
    assert judge("strict", BPB, confirmed, _runs((43, 0.979)), Noise(0, 1)).status is Status.KEEP


def test_the_baseline_is_the_mean_of_its_runs() -> None:
    assert judge_baseline(_runs((42, 1.0)), 2) == MeasureAgain(43, "baseline run 2 of 2")
    assert judge_baseline(_runs((42, 1.0), (43, 1.5)), 2) == Verdict(Status.BASELINE, 1.25, "mean of 2 runs")
    assert judge_baseline(_runs((42, 1.0), (43, None)), 3).status is Status.CRASH


def test_noise_is_pooled_over_everything_measured_twice() -> None:
    others = [
        Experiment(1, Status.KEEP, "x", 1.0, _runs((42, 2.0), (43, 2.2), (44, 2.4))),
        Experiment(2, Status.KEEP, "y", 1.0, _runs((42, 9.0))),
    ]
    noise = measured_noise([BASELINE, *others])
    assert noise.degrees == 3
    assert math.isclose(noise.sd, math.sqrt((0.0002 + 0.08) / 3))
    assert math.isclose(noise.floor, 2.353 * math.sqrt(2) * noise.sd)
    assert measured_noise([]).floor == math.inf


BEFORE = {"train.py": "import torch\nLR = 0.1\nSEED = 42\ntorch.manual_seed(42)\n"}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"train.py": BEFORE["train.py"].replace("0.1", "0.2")}, ""),
        (
            {"train.py": BEFORE["train.py"].replace("0.1", "0.2"), "prepare.py": "x"},
            "it changes prepare.py, which no experiment may",
        ),
        ({"../x": "y"}, "it changes ../x, which no experiment may"),
        ({"train.py": BEFORE["train.py"]}, "it changes nothing"),
        ({"train.py": BEFORE["train.py"] + "# a comment\n"}, "it changes no code"),
        (
            {"train.py": BEFORE["train.py"].replace("manual_seed(42)", "manual_seed(137)")},
            "it changes only a seed, and luck is no finding",
        ),
        (
            {"train.py": BEFORE["train.py"].replace("SEED = 42", "SEED = 1")},
            "it changes only a seed, and luck is no finding",
        ),
        ({"train.py": BEFORE["train.py"].replace("42", "7").replace("0.1", "0.3")}, ""),
        ({"train.py": "LR = (\n"}, "train.py does not parse: '(' was never closed (<unknown>, line 1)"),
        ({"train.py": "x = '" + "a" * 300_000 + "'"}, "train.py is larger than 256 KiB or no text"),
    ],
)
def test_what_is_refused_before_it_costs_a_run(files: dict[str, str], reason: str) -> None:
    assert screening.refusal(Proposal("d", files), BEFORE, ("train.py",), {}) == reason


TRAIN = '''\
from prepare import MAX_SEQ_LEN, DEVICE_CLASS

# Hyperparameters — edit these directly
WINDOW_PATTERN = "SSSL" # sliding window
TOTAL_BATCH_SIZE = 2**19 # ~524K tokens
MATRIX_LR = 0.04        # é: bytes are not characters
ADAM_BETAS = (0.8, 0.95)
WARMUP_RATIO = 0.0
DEPTH = 8
DEVICE_BATCH_SIZE = 128
if DEVICE_CLASS == "cpu":
    TOTAL_BATCH_SIZE = 2**11
    DEVICE_BATCH_SIZE = 8
elif DEVICE_CLASS == "mps":
    DEPTH = 4
tokens_per_fwdbwd = DEVICE_BATCH_SIZE * MAX_SEQ_LEN
assert TOTAL_BATCH_SIZE % tokens_per_fwdbwd == 0
'''  # fmt: skip
PREPARE = 'import torch\nSIZES = {"cpu": (256, 9), "h100": (2048, 8)}\nDEVICE_CLASS = detect()\nMAX_SEQ_LEN, OTHER = SIZES[DEVICE_CLASS]\n'


def test_constants_in_force_depend_on_the_device() -> None:
    cpu = constants.read(TRAIN, {"DEVICE_CLASS": "cpu"}, {"prepare": PREPARE})
    gpu = constants.read(TRAIN, {"DEVICE_CLASS": "h100"}, {"prepare": PREPARE})
    unknown = constants.read(TRAIN, {}, {})
    assert (cpu.constants["TOTAL_BATCH_SIZE"].value, gpu.constants["TOTAL_BATCH_SIZE"].value) == (2**11, 2**19)
    assert (cpu.names["tokens_per_fwdbwd"], gpu.names["tokens_per_fwdbwd"]) == (2048, 262144)
    assert cpu.violations == gpu.violations == []
    assert "TOTAL_BATCH_SIZE" not in unknown.constants, "which of two values is in force must not be guessed"
    assert unknown.constants["MATRIX_LR"].value == 0.04


def test_an_edit_changes_the_value_and_no_other_byte() -> None:
    reading = constants.read(TRAIN, {"DEVICE_CLASS": "cpu"}, {"prepare": PREPARE})
    after = constants.replace(TRAIN, reading.constants, {"MATRIX_LR": "0.06", "TOTAL_BATCH_SIZE": "2**12"})
    assert after == TRAIN.replace("0.04 ", "0.06 ").replace("2**11", "2**12")


def test_asserts_of_the_file_are_evaluated() -> None:
    broken = TRAIN.replace("2**11", "2**10")
    assert constants.read(broken, {"DEVICE_CLASS": "cpu"}, {"prepare": PREPARE}).violations == [
        "TOTAL_BATCH_SIZE % tokens_per_fwdbwd == 0"
    ]
    raising = "A = 3\nif A % 2:\n    raise SystemExit('odd')\n"
    assert constants.read(raising, {}).violations == ["not (A % 2)"]


SESSION = Session("cpu", "t", "0" * 40, BPB, "{python} train.py", ("train.py",), 300.0, 600.0)


def _view(text: str, experiments: tuple[Experiment, ...]) -> View:
    return View(SESSION, experiments, {"train.py": text}, {"prepare.py": PREPARE}, {"device_class": "cpu"}, Noise(0.01, 1))


def _sweep_until_exhausted(keeps: set[str]) -> list[Proposal]:
    text, experiments, proposals = TRAIN, (BASELINE,), []
    while len(proposals) < 500:
        try:
            proposal = Sweep().propose(_view(text, experiments))
        except NoProposal as none:
            assert none.exhausted
            return proposals
        status = Status.KEEP if proposal.description in keeps else Status.DISCARD
        text = proposal.files["train.py"] if status is Status.KEEP else text
        proposals.append(proposal)
        experiments = (*experiments, Experiment(len(experiments), status, proposal.description, 1.0))
    raise AssertionError("the sweep never ends")


def test_the_sweep_respects_the_files_own_asserts_and_never_repeats() -> None:
    proposals = _sweep_until_exhausted(set())
    assert len(proposals) > 15
    texts = [p.files["train.py"] for p in proposals]
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert constants.read(text, {"DEVICE_CLASS": "cpu"}, {"prepare": PREPARE}).violations == []
        assert screening.refusal(Proposal("", {"train.py": text}), {"train.py": TRAIN}, ("train.py",), {}) == ""
    assert any(p.description == "TOTAL_BATCH_SIZE 2**11 → 2**10, DEVICE_BATCH_SIZE 8 → 4" for p in proposals)
    changed = {p.description.split()[0] for p in proposals}
    assert changed == {"WINDOW_PATTERN", "TOTAL_BATCH_SIZE", "MATRIX_LR", "ADAM_BETAS", "WARMUP_RATIO", "DEPTH"}


def test_the_sweep_goes_on_where_it_won() -> None:
    first = Sweep().propose(_view(TRAIN, (BASELINE,)))
    won = Experiment(1, Status.KEEP, first.description, 0.9)
    second = Sweep().propose(_view(first.files["train.py"], (BASELINE, won)))
    name, _, change = first.description.partition(" ")
    assert second.description.startswith(f"{name} {change.partition(' → ')[2].partition(',')[0]} → ")


def test_the_sweep_says_when_it_cannot_help() -> None:
    with pytest.raises(NoProposal, match="every constant has been tried"):
        Sweep().propose(_view("x = 1\n", (BASELINE,)))


def test_a_value_that_could_not_be_read_back_is_left_alone() -> None:
    """A description is one line: a value over several lines, or a very long one, would be forgotten and tried again."""
    text = "BETAS = (\n    0.8,  # first\n    0.95,\n)\nLONG = (" + ", ".join(["1.0"] * 40) + ")\nLR = 0.1\n"
    first = Sweep().propose(_view(text, (BASELINE,)))
    assert first.description.startswith("LR ")
    odd = Experiment(1, Status.DISCARD, "BETAS ( 0.8, # first → (0.9", 1.0)
    assert Sweep().propose(_view(text, (BASELINE, odd))).description.startswith("LR ")


def test_a_negative_whole_number_moves_around_itself() -> None:
    moves = {Sweep().propose(_view("OFFSET = -3\n", (BASELINE,))).description}
    assert moves <= {"OFFSET -3 → -2", "OFFSET -3 → -4"}
