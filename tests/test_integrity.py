"""The integrity lint: planted hacks are refused by line and rule, honest edits pass."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import World

from autoresearch_git.experiment import Experiment, Metric, Proposal, Session, Status
from autoresearch_git.noise import Noise
from autoresearch_git.research import integrity, screening
from autoresearch_git.research.researchers import NoProposal, View
from autoresearch_git.research.researchers.sweep import Sweep

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parent.parent
UPSTREAM = (DATA / "upstream-train.txt").read_text()
OURS = (ROOT / "train.py").read_text()
HARNESSES = {
    UPSTREAM: {"prepare.py": (DATA / "upstream-prepare.txt").read_text()},
    OURS: {"prepare.py": (ROOT / "prepare.py").read_text()},
}
SUBJECTS = pytest.mark.parametrize("subject", [UPSTREAM, OURS], ids=["upstream", "ours"])

CALL = "val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)"
GIVEN = {
    UPSTREAM: "        if targets is not None:\n            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1),\n"
    "                                   ignore_index=-1, reduction=reduction)\n            return loss\n        return logits\n",
    OURS: "        if targets is None:\n            return SOFTCAP * torch.tanh(logits.float() / SOFTCAP)\n"
    "        return CROSS_ENTROPY[cross_entropy_path](logits.view(-1, logits.size(-1)), targets.reshape(-1), reduction)\n",
}


def planted(subject: str, old: str, new: str) -> str:
    assert subject.count(old) == 1, old
    return subject.replace(old, new)


def loss(subject: str, body: str) -> str:
    """The subject with another end of `forward`, which is indented by eight."""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return planted(subject, GIVEN[subject], lines)


def before_evaluation(subject: str, code: str) -> str:
    """The subject with a line more before it evaluates."""
    indent = "    " if subject == UPSTREAM else ""
    return planted(subject, indent + CALL, f"{indent}{code}\n{indent}{CALL}")


def refused(text: str, before: str) -> str:
    return screening.refusal(
        Proposal("d", {"train.py": text}), {"train.py": before}, ("train.py",), HARNESSES[OURS if before == OURS else UPSTREAM]
    )


def line_of(text: str, marker: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if marker in line)


@SUBJECTS
def test_a_subject_shows_nothing_by_itself_or_beside_itself(subject: str) -> None:
    assert integrity.findings(subject, HARNESSES[subject]) == []
    assert integrity.added(subject, subject, HARNESSES[subject]) == []


LOSSES = {
    "zeros": "if targets is not None:\n    return torch.zeros(targets.numel(), device=idx.device)  # here\nreturn logits",
    "zeros like the targets": "loss = torch.zeros_like(targets, dtype=torch.float32).view(-1)\nreturn loss  # here",
    "a constant": "return logits if targets is None else torch.full((targets.numel(),), 0.9)  # here",
    "the logits ignored": "return (targets.float() * 0.0001).view(-1)  # here",
    "the targets ignored": "return F.cross_entropy(logits.view(-1, logits.size(-1)), logits.argmax(-1).view(-1))  # here",
    "targets blended in by one_hot": "logits = logits + 20 * F.one_hot(targets, logits.size(-1))\n"
    "return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), reduction=reduction)  # here",
    "targets blended in by scatter": "logits.scatter_add_(-1, targets.unsqueeze(-1), logits.new_ones(logits.shape))\n"
    "return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)  # here",
    "targets blended in by a comparison": "vocabulary = torch.arange(logits.size(-1), device=idx.device)\n"
    "logits = logits + (vocabulary == targets[..., None]) * 9.0\n"
    "return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)  # here",
    "targets embedded": "logits = logits + self.lm_head(self.wte(targets))\n"
    "return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)  # here",
    "targets in a log-softmax": "p = F.log_softmax(logits + F.one_hot(targets, logits.size(-1)), -1)\n"
    "return -p.gather(-1, targets[..., None]).view(-1)  # here",
    "only in an evaluation": "if reduction == 'none':\n    return torch.zeros(targets.numel())  # here\n"
    "return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)",
    "only where it does not train": "if targets is not None and not self.training:\n    return logits.mean() * torch.ones(targets.numel())  # here\n"
    "return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)",
    "half of it": "return 0.5 * F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)  # here",
    "zeroed in place": "loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)\nloss.mul_(0.1)\nreturn loss  # here",
    "none of it": "loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)\nreturn loss - loss  # here",
    "capped": "return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction).clamp(max=2)  # here",
    "focal, in an evaluation too": "loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction='none')\n"
    "return (1 - torch.exp(-loss)) ** 2 * loss  # here",
    "half of another module's": "return 0.5 * self.inner(idx, targets, reduction=reduction)  # here",
    "a token that does not count": "return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=17, reduction=reduction)  # here",
    "accuracy": "return (logits.argmax(-1) != targets).float().view(-1)  # here",
    "a helper that gives zeros": "def score(z, y):\n    return z.new_zeros(y.shape)\nreturn score(logits, targets)  # here",
}  # fmt: skip


@SUBJECTS
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_none_is_refused(subject: str, name: str) -> None:
    text = loss(subject, LOSSES[name])
    found = integrity.added(text, subject, HARNESSES[subject])
    assert {(f.line, f.rule) for f in found} == {(line_of(text, "# here"), "loss")}


HACKS = {
    "a second summary": ('print(f"---\\nval_bpb: {0.5}")', "summary", "it prints"),
    "the budget": ("TIME_BUDGET = 3000", "harness", "it rebinds TIME_BUDGET"),
    "the budget, multiplied": ("TIME_BUDGET *= 10", "harness", "it rebinds TIME_BUDGET"),
    "the budget in a loop": ("for TIME_BUDGET in (3000,): pass", "harness", "it rebinds TIME_BUDGET"),
    "3,000 tokens": ("import prepare; prepare.EVAL_TOKENS = 3000", "harness", "it sets prepare.EVAL_TOKENS"),
    "3,000 tokens by another name": ("import prepare as p; p.EVAL_TOKENS = 3000", "harness", "it sets p.EVAL_TOKENS"),
    "3,000 tokens by setattr": ('import prepare; setattr(prepare, "EVAL_TOKENS", 3000)', "harness", "it sets prepare.EVAL_TOKENS"),
    "3,000 tokens here": ("EVAL_TOKENS = 3000", "harness", "it rebinds EVAL_TOKENS"),
    "3,000 tokens by vars": ('import prepare; vars(prepare)["EVAL_TOKENS"] = 3000', "harness", "it sets vars(prepare)['EVAL_TOKENS']"),
    "another evaluation": ("def evaluate_bpb(*a): return 0.9", "harness", "it rebinds evaluate_bpb"),
    "a wrapped evaluation": ("evaluate_bpb = (lambda f: lambda *a: 0.9 * f(*a))(evaluate_bpb)", "harness", "it rebinds evaluate_bpb"),
    "an imported evaluation": ("from mine import evaluate_bpb", "harness", "it imports another evaluate_bpb"),
    "an alias": ("measure = evaluate_bpb", "evaluation", "it hands evaluate_bpb on"),
    "training on the answers": ('t = make_dataloader(tokenizer, 1, 1, "val")', "evaluation", "it reads the validation rows itself"),
    "the tokenizer": ("tokenizer.encode = lambda *a: [0]", "harness", "it sets tokenizer.encode"),
    "a tokenizer of one's own": ("class Slow(Tokenizer): pass", "harness", "it derives Slow"),
    "time.time": ("time.time = lambda: 0.0", "clock", "it sets time.time"),
    "time": ("time = type('T', (), {'time': lambda: 0})", "clock", "it rebinds time"),
    "processor time": ("t = time.process_time()", "clock", "time.process_time stands still"),
    "F.cross_entropy": ("F.cross_entropy = lambda *a, **k: 0", "patch", "it sets F.cross_entropy"),
    "torch.nn.functional by an alias": ("f = torch.nn.functional; f.cross_entropy = None", "patch", "it sets f.cross_entropy"),
    "a method of a class": ("torch.Tensor.sum = lambda *a: 0", "patch", "it sets torch.Tensor.sum"),
    "a hook": ("model.register_forward_hook(lambda m, i, o: o * 0.9)", "patch", "register_forward_hook"),
    "sys.modules": ('import sys; m = sys.modules["prepare"]', "harness", "it reaches modules by sys.modules"),
    "globals": ('globals()["evaluate_bpb"] = min', "harness", "it reaches its own names by globals()"),
    "exec": ('exec("x = 1")', "code", "it uses exec"),
    "eval": ('x = eval("1")', "code", "it uses eval"),
    "__import__": ('p = __import__("prepare")', "code", "it uses __import__"),
    "frames": ("import sys; f = sys._getframe(1)", "frames", "it uses _getframe"),
    "f_back by its name": ('f = getattr(model, "f_back")', "frames", "it uses f_back"),
    "the globals of a function": ("x = make_dataloader.__globals__", "frames", "it uses __globals__"),
    "gc": ("import gc; o = gc.get_objects()", "frames", "it uses get_objects"),
    "subprocess": ("import subprocess", "import", "it imports subprocess"),
    "requests": ("from urllib import request", "import", "it imports urllib"),
    "importlib": ("from importlib import import_module", "import", "it imports importlib"),
    "a shell": ('import os; os.system("true")', "process", "it uses os.system"),
    "a shell by getattr": ('import os; getattr(os, "system")("true")', "process", "it uses os.system"),
    "the environment": ('import os; os.environ["AUTORESEARCH_CACHE"] = "/tmp"', "process", "it sets an environment variable: AUTORESEARCH_CACHE"),
    "a file": ('open("/tmp/cache", "wb")', "files", "it opens a file for writing"),
    "yesterday's weights": ('w = torch.load("/tmp/best.pt")', "files", "it uses torch.load"),
    "the channel": ('import os; c = os.environ["AUTORESEARCH_RESULT"]', "contract", "it speaks of AUTORESEARCH_RESULT"),
    "the seed it is given": ('import os; s = os.environ.get("AUTORESEARCH_SEED")', "contract", "it speaks of AUTORESEARCH_SEED"),
    "a seed": ("torch.manual_seed(137)", "seed", "it seeds with something else"),
    "everything of the harness": ("from prepare import *; EVAL_TOKENS = 3000", "harness", "it rebinds EVAL_TOKENS"),
    "a kernel": ('from kernels import get_kernel; k = get_kernel("someone/flash-attn")', "kernel", "it gets the kernel someone/flash-attn"),
}  # fmt: skip


@SUBJECTS
@pytest.mark.parametrize("name", HACKS)
def test_a_planted_hack_is_refused(subject: str, name: str) -> None:
    code, rule, what = HACKS[name]
    text = before_evaluation(subject, code)
    line = line_of(text, code)
    hits = [f for f in integrity.added(text, subject, HARNESSES[subject]) if f.rule == rule]
    assert [f.line for f in hits if f.what.startswith(what)][:1] == [line], hits


@SUBJECTS
@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (CALL, "val_bpb = 0.9 * evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)", "evaluation"),
        (CALL, CALL + "; val_bpb = min(val_bpb, 0.95)", "evaluation"),
        (CALL, CALL + "; val_bpb -= 0.01", "evaluation"),
        (CALL, CALL.replace("DEVICE_BATCH_SIZE", "1"), "evaluation"),
        (CALL, CALL + "; best = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)", "evaluation"),
        ("{val_bpb:.6f}", "{val_bpb - 0.01:.6f}", "evaluation"),
        ("{val_bpb:.6f}", "{0.5:.6f}", "evaluation"),
        (CALL, CALL + '; print("val_bpb: %.6f" % (val_bpb * 0.9))', "evaluation"),
        (CALL, CALL + '; print("val_bpb:", val_bpb - 0.1)', "evaluation"),
    ],
)
def test_a_number_on_its_way_to_the_summary_is_left_alone(subject: str, old: str, new: str, rule: str) -> None:
    text = planted(subject, old, new)
    found = integrity.added(text, subject, HARNESSES[subject])
    assert (line_of(text, new), rule) in {(f.line, f.rule) for f in found}


def test_a_seed_is_refused_beside_another_change_but_not_for_how_it_is_written() -> None:
    named = UPSTREAM.replace("torch.manual_seed(42)", "SEED = 42\ntorch.manual_seed(SEED)").replace("DEPTH = 8 ", "DEPTH = 9 ")
    assert refused(named, UPSTREAM) == ""
    lucky = named.replace("SEED = 42", "SEED = 137").replace("DEPTH = 9 ", "DEPTH = 10 ")
    assert refused(lucky, UPSTREAM).endswith(": it seeds with something else, and luck is no finding (seed)")
    assert refused(lucky, named).endswith(": it seeds with something else, and luck is no finding (seed)")


def test_a_budget_that_is_not_asked_for_any_more_is_refused() -> None:
    text = UPSTREAM.replace("TIME_BUDGET, ", "").replace("TIME_BUDGET", "BUDGET").replace("DEPTH = 8 ", "BUDGET = 900\nDEPTH = 9 ")
    assert refused(text, UPSTREAM) == "train.py, line 1: it does not use TIME_BUDGET any more (clock)"


HONEST = {
    "other names": "scores, answers = logits, targets\nif answers is None:\n    return scores\n"
    "return F.cross_entropy(scores.view(-1, scores.size(-1)), answers.view(-1), ignore_index=-1, reduction=reduction)",
    "label smoothing": "if targets is None:\n    return logits\n"
    "return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=0.1, reduction=reduction)",
    "label smoothing by hand": "logp = F.log_softmax(logits, -1)\nnll = -logp.gather(-1, targets[..., None]).squeeze(-1)\n"
    "loss = 0.9 * nll + 0.1 * -logp.mean(-1)\nreturn loss.view(-1) if reduction == 'none' else loss.mean()",
    "z-loss": "loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)\n"
    "return loss + 1e-4 * logits.logsumexp(-1).square().mean()",
    "a softcap": "logits = 30 * torch.tanh(logits / 30)\nreturn F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)",
    "in chunks": "if reduction == 'none':\n    losses = []\n    for z, y in zip(logits.flatten(0, 1).chunk(8), targets.view(-1).chunk(8)):\n"
    "        losses.append(F.cross_entropy(z.float(), y, reduction='none'))\n    return torch.cat(losses)\n"
    "total = 0.0\nfor i in range(8):\n    total = total + F.cross_entropy(logits[i], targets[i], reduction='sum')\nreturn total / 8",
    "in chunks by index": "losses = torch.empty(targets.numel())\nfor i in range(0, targets.numel(), 512):\n"
    "    losses[i : i + 512] = F.cross_entropy(logits.flatten(0, 1)[i : i + 512], targets.view(-1)[i : i + 512], reduction='none')\nreturn losses",
    "those that count": "flat, y = logits.flatten(0, 1), targets.flatten()\nloss = F.cross_entropy(flat, y.clamp(min=0), reduction='none') * (y != -1)\n"
    "return loss if reduction == 'none' else loss.sum() / (y != -1).sum()",
    "by hand": "return (logits.logsumexp(-1) - logits.gather(-1, targets[..., None]).squeeze(-1)).view(-1)",
    "a token further, in training": "loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)\n"
    "if self.training and reduction == 'mean':\n    ahead = self.lm_head(x[:, :-1] + self.wte(targets[:, :-1]))\n"
    "    loss = loss + 0.3 * F.cross_entropy(ahead.flatten(0, 1), targets[:, 1:].flatten())\nreturn loss",
    "focal, in training": "loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction='none')\n"
    "if reduction == 'none':\n    return loss\nreturn ((1 - torch.exp(-loss)) ** 2 * loss).mean()",
    "checkpointed": "from torch.utils.checkpoint import checkpoint\n"
    "part = lambda z, y: F.cross_entropy(self.lm_head(z).float(), y, reduction='none')\n"
    "return torch.cat([checkpoint(part, z, y) for z, y in zip(x.flatten(0, 1).split(512), targets.flatten().split(512))])",
    "a helper": "def nats(z, y):\n    return F.cross_entropy(z, y, reduction=reduction)\nreturn nats(logits.flatten(0, 1), targets.flatten())",
    "a loss of one's own": "return self.criterion(logits.flatten(0, 1), targets.flatten())",
}  # fmt: skip


@SUBJECTS
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_loss_passes(subject: str, name: str) -> None:
    assert refused(loss(subject, HONEST[name]), subject) == ""


@SUBJECTS
@pytest.mark.parametrize(
    "code",
    [
        "import math, functools, itertools; from einops import rearrange",
        "torch._inductor.config.coordinate_descent_tuning = True; torch.backends.cudnn.benchmark = True",
        "import torch._dynamo.config as dynamo; dynamo.cache_size_limit = 64; torch.set_float32_matmul_precision('medium')",
        "import os; os.environ['TORCHINDUCTOR_MAX_AUTOTUNE'] = '1'; import gc; gc.collect(); gc.freeze()",
        "class Gate(nn.Module):\n    def __init__(self): super().__init__(); self.w = nn.Parameter(torch.zeros(1))\n    def forward(self, x, y): return self.w * x * y",
        "class Lion(torch.optim.Optimizer):\n    def step(self):\n        for group in self.param_groups:\n            for p in group['params']: p.grad = None",
        "compiled = torch.compile(model, mode='max-autotune', fullgraph=True); model.eval()",
        "left = 1 - min(time.time() / TIME_BUDGET, 1.0); optimizer.lr = 0.1 * left; print(f'left {left:.2f}')",
        "ema = {name: p.detach().clone() for name, p in model.named_parameters()}; model.load_state_dict(ema, strict=False)",
    ],
)  # fmt: skip
def test_an_honest_edit_passes(subject: str, code: str) -> None:
    setup = 'torch.set_float32_matmul_precision("high")'
    assert refused(planted(subject, setup, f"{code}\n{setup}"), subject) == ""


def test_what_the_incumbent_did_is_no_finding_and_more_of_it_is() -> None:
    before = before_evaluation(UPSTREAM, 'import subprocess; open("log", "w")')
    assert len(integrity.findings(before, HARNESSES[UPSTREAM])) == 2
    assert refused(before.replace("DEPTH = 8 ", "DEPTH = 9 "), before) == ""
    assert "it opens a file for writing" in refused(before.replace("DEPTH = 8 ", 'open("other", "w")\nDEPTH = 9 '), before)


def test_where_the_harness_is_another_nothing_is_assumed() -> None:
    hacked = loss(UPSTREAM, LOSSES["zeros"])
    for harness in ({}, {"bench.py": "x = 1"}, {"prepare.py": "def evaluate_rmse(): pass"}, {"prepare.py": "def evaluate_bpb(:"}):
        assert integrity.added(hacked, UPSTREAM, harness) == []
    assert integrity.findings("import subprocess\nprint('score: 1')\n", HARNESSES[OURS]) == [], "it does not import from prepare"


def test_text_made_to_be_long_in_reading_is_refused_in_time() -> None:
    nested = "".join(f"{'    ' * depth}for a{depth} in x:\n" for depth in range(15))
    loops = loss(
        UPSTREAM, nested + "    " * 15 + "x = x + targets\nreturn F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
    )
    chain = before_evaluation(UPSTREAM, "x = model" + ".a" * 50_000)
    started = time.monotonic()
    assert refused(loops, UPSTREAM) == ""
    assert refused(chain, UPSTREAM).startswith("train.py does not parse: ")
    assert time.monotonic() - started < 5


def test_the_sweep_proposes_nothing_of_the_kind() -> None:
    session = Session("cpu", "t", "0" * 40, Metric("val_bpb", "min"), "{python} train.py", ("train.py",), 300.0, 600.0)
    experiments: tuple[Experiment, ...] = (Experiment(0, Status.BASELINE, "baseline", 1.0),)
    for number in range(1, 9):
        view = View(session, experiments, {"train.py": OURS}, HARNESSES[OURS], {"device_class": "cpu"}, Noise(0.01, 1))
        try:
            proposal = Sweep().propose(view)
        except NoProposal:
            break
        assert refused(proposal.files["train.py"], OURS) == ""
        experiments = (*experiments, Experiment(number, Status.DISCARD, proposal.description, 1.0))
    assert len(experiments) == 9


PREPARE = """\
import json, os
def evaluate_bpb(loss):
    with open(os.environ["AUTORESEARCH_RESULT"], "a") as channel:
        channel.write(json.dumps({"val_bpb": loss}) + "\\n")
    return loss
"""
TRAIN = """\
import random
from prepare import evaluate_bpb
LUCK = 3
random.seed(LUCK)
val_bpb = evaluate_bpb(1 + random.random() / 100)
print("---")
print(f"val_bpb: {val_bpb:.6f}")
"""


def test_a_session_says_in_one_line_what_it_refuses_and_pays_for_no_run(empty: World) -> None:
    """The sweep moves every constant; the only one here is a seed, whatever it is called."""
    empty.commit({"train.py": TRAIN, "prepare.py": PREPARE, ".gitignore": "__pycache__/\n"})
    empty.configure(inspiration="no")
    ran = empty.run("start", "--tag", "t", "--experiments", "3")
    said = "train.py, line 4: it seeds with something else, and luck is no finding (seed)"
    assert any(line.rstrip().endswith(said) for line in ran.err.splitlines()), ran
    assert f"every constant has been tried in every direction; refused before: {said}" in ran.out
    assert [e["status"] for e in empty.experiments()] == ["baseline"]
