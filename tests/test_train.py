"""train.py, run as the tool runs it; and its model and optimiser against plain references."""

import ast
import functools
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("rustbpe")
import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent.parent
TRAIN_PY = (HERE / "train.py").read_text()
UPSTREAM_SUMMARY = [
    "val_bpb", "training_seconds", "total_seconds", "peak_vram_mb", "mfu_percent", "total_tokens_M", "num_steps",
    "num_params_M", "depth",
]  # fmt: skip
UPSTREAM_CONSTANTS = {
    "ASPECT_RATIO", "HEAD_DIM", "WINDOW_PATTERN", "TOTAL_BATCH_SIZE", "EMBEDDING_LR", "UNEMBEDDING_LR", "MATRIX_LR",
    "SCALAR_LR", "WEIGHT_DECAY", "ADAM_BETAS", "WARMUP_RATIO", "WARMDOWN_RATIO", "FINAL_LR_FRAC", "DEPTH",
    "DEVICE_BATCH_SIZE",
}  # fmt: skip


# ---------------------------------------------------------------------------
# Whole runs
# ---------------------------------------------------------------------------


def environment(cache, **settings):
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    fixed = {"HOME": str(cache), "AUTORESEARCH_CACHE": str(cache), "AUTORESEARCH_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    return kept | fixed | {"PYTHONDONTWRITEBYTECODE": "1"} | settings


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    subprocess.run([sys.executable, HERE / "prepare.py"], env=environment(cache), check=True, stdout=subprocess.DEVNULL)
    return cache


class Train:
    """A folder with prepare.py and train.py, the latter perhaps edited, and what came out of running it."""

    def __init__(self, folder, cache, edits=(), **settings):
        shutil.copy(HERE / "prepare.py", folder)
        text = TRAIN_PY
        for old, new in edits:
            text, count = re.subn(old, new, text, flags=re.MULTILINE)
            assert count == 1, f"{old!r} matches {count} times"
        (folder / "train.py").write_text(text)
        self.channel = folder / "result.jsonl"
        run = subprocess.run(
            [sys.executable, "train.py"],
            cwd=folder,
            env=environment(cache, AUTORESEARCH_RESULT=str(self.channel), **settings),
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.rc, self.stdout, self.stderr = run.returncode, run.stdout, run.stderr

    @property
    def summary(self):
        assert self.rc == 0, self.stderr
        assert self.stdout.count("\n---\n") == 1
        return dict(re.split(r":\s+", line, maxsplit=1) for line in self.stdout.split("\n---\n")[1].splitlines())

    @property
    def result(self):
        (line,) = self.channel.read_text().splitlines()
        return json.loads(line)

    def assert_refused(self, *words):
        """A user's error: exit code 1, one line of error and one of advice, no summary, nothing in the channel."""
        assert self.rc == 1
        lines = self.stderr.strip().splitlines()
        assert len(lines) == 2, self.stderr
        assert lines[0].startswith("error: ")
        for word in words:
            assert word in self.stderr
        assert "---" not in self.stdout
        assert not self.channel.exists()


def cpu(name, value):
    """An edit of one constant of the cpu block."""
    return rf"(?<=^    ){name} = \S+(?=.*\n(?:    .*\n|\n)*elif DEVICE_CLASS == \"mps\")", f"{name} = {value}"


# Half a second then buys a few more steps than the clock needs to plan, and the evaluation takes no longer than that.
SMALL = [cpu("TOTAL_BATCH_SIZE", "2**11"), cpu("ASPECT_RATIO", "16"), cpu("HEAD_DIM", "16")]


@pytest.fixture(scope="session")
def first_run(cache, tmp_path_factory):
    """A run whose number of steps is planned by the clock."""
    return Train(tmp_path_factory.mktemp("run"), cache, SMALL, AUTORESEARCH_BUDGET="0.5")


def test_a_run_prints_upstreams_summary_and_fills_the_channel(first_run):
    summary, result = first_run.summary, first_run.result
    assert list(summary)[: len(UPSTREAM_SUMMARY)] == UPSTREAM_SUMMARY
    assert summary["val_bpb"] == f"{result['val_bpb']:.6f}"
    assert 1 < result["val_bpb"] < 4
    assert summary["num_steps"] == str(result["num_steps"]) == str(result["planned_steps"])
    assert summary["training_seconds"] == f"{result['training_seconds']:.1f}"
    assert float(summary["total_seconds"]) > result["training_seconds"]
    assert summary["total_tokens_M"] == f"{result['num_steps'] * 2048 / 1e6:.1f}"
    assert summary["mfu_percent"] == "0.00"  # no peak is known, so none is claimed
    assert float(summary["peak_vram_mb"]) > 100
    assert (summary["depth"], summary["seed"], summary["device_class"]) == ("2", "42", "cpu")
    assert (summary["attention"], summary["cross_entropy"]) == ("sdpa within 256", "eager")
    phases = [float(summary[f"{name}_seconds"]) for name in ("import", "data", "model", "compile", "warmup", "train", "eval")]
    assert sum(phases) == pytest.approx(float(summary["total_seconds"]), abs=0.1)
    assert phases[5] == pytest.approx(result["training_seconds"], rel=0.2, abs=0.5)  # all training is timed, and nothing else
    assert (result["budget_seconds"], result["seed"], result["eval_tokens"]) == (0.5, 42, 65536)
    assert result["training_seconds"] == pytest.approx(result["num_steps"] * result["step_seconds"], rel=1)
    assert re.fullmatch("sha256:[0-9a-f]{64}", result["data"])


def test_progress_lines_read_like_upstreams(first_run):
    number = r"[\d.,]+"
    line = (
        rf"step \d{{5}} \({number}%\) \| loss: {number} \| lrm: {number} \| dt: {number}ms \| tok/sec: {number}"
        rf" \| mfu: {number}% \| epoch: \d+ \| remaining: {number}s *"
    )
    steps = [part for part in re.split(r"[\r\n]", first_run.stdout) if part.startswith("step ")]
    assert len(steps) == first_run.result["num_steps"]
    assert all(re.fullmatch(line, step) for step in steps)
    assert steps[0].startswith("step 00000 (0.0%)")


def test_the_same_steps_and_seed_agree_to_the_last_bit(first_run, cache, tmp_path):
    """Also across budgets: this one would have bought more steps."""
    steps = str(first_run.result["num_steps"])
    again = Train(tmp_path, cache, SMALL, AUTORESEARCH_BUDGET="60", AUTORESEARCH_STEPS=steps)
    assert again.result["val_bpb"] == first_run.result["val_bpb"]
    losses = [re.findall(r"loss: ([\d.]+)", run.stdout) for run in (first_run, again)]
    assert losses[0] == losses[1]


def test_warming_up_teaches_nothing(first_run, cache, tmp_path):
    steps = str(first_run.result["num_steps"])
    edits = [*SMALL, (r"^warm_up\(\)$", 'end_phase("compile"), end_phase("warmup")')]
    cold = Train(tmp_path, cache, edits, AUTORESEARCH_STEPS=steps)
    assert cold.result["val_bpb"] == first_run.result["val_bpb"]


def test_another_seed_is_another_number(first_run, cache, tmp_path):
    steps = str(first_run.result["num_steps"])
    other = Train(tmp_path, cache, SMALL, AUTORESEARCH_BUDGET="0.5", AUTORESEARCH_STEPS=steps, AUTORESEARCH_SEED="43")
    assert other.result["seed"] == 43
    assert 1e-6 < abs(other.result["val_bpb"] - first_run.result["val_bpb"]) < 0.5


# ---------------------------------------------------------------------------
# Runs that fail
# ---------------------------------------------------------------------------


def test_missing_data_names_the_command(tmp_path):
    (tmp_path / "empty").mkdir()
    run = Train(tmp_path, tmp_path / "empty")
    run.assert_refused("no data is prepared", str(tmp_path / "empty"))
    assert run.stderr.splitlines()[1] == "run: python prepare.py"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TOTAL_BATCH_SIZE", "2**12 + 1", "TOTAL_BATCH_SIZE must be a multiple of DEVICE_BATCH_SIZE * MAX_SEQ_LEN"),
        ("DEVICE_BATCH_SIZE", "0", "DEVICE_BATCH_SIZE must be at least 1"),
        ("HEAD_DIM", "31", "HEAD_DIM must be even"),
        ("WINDOW_PATTERN", '"SX"', "WINDOW_PATTERN must be made of S and L"),
        ("VE_GATE_CHANNELS", "129", "VE_GATE_CHANNELS must be at most 128"),
    ],
)
def test_impossible_constants_are_one_line(cache, tmp_path, name, value, words):
    Train(tmp_path, cache, [cpu(name, value)]).assert_refused(words, "train.py")


def test_an_exploding_loss_is_no_result(cache, tmp_path):
    run = Train(tmp_path, cache, [cpu("MATRIX_LR", "1e38")], AUTORESEARCH_STEPS="9")
    run.assert_refused("the loss is nan at step", "learning rate")
    assert run.stdout.endswith("\nFAIL\n")


def test_out_of_memory_names_the_constant_to_lower(cache, tmp_path):
    raising = 'raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB")'
    first_line = r"(?<=        )x = norm\(self\.wte\(idx\)\)"
    run = Train(tmp_path, cache, [(first_line, raising)])
    run.assert_refused("out of memory with DEVICE_BATCH_SIZE = 8", "set DEVICE_BATCH_SIZE = 4")
    (tmp_path / "single").mkdir()
    run = Train(tmp_path / "single", cache, [(first_line, raising), cpu("DEVICE_BATCH_SIZE", "1")])
    run.assert_refused("out of memory with DEVICE_BATCH_SIZE = 1", "set DEPTH = 1")


def test_a_bug_keeps_its_traceback(cache, tmp_path):
    run = Train(tmp_path, cache, [(r"(?<=        )x = norm\(self\.wte\(idx\)\)", "idx.nonsense")])
    assert run.rc == 1
    assert run.stderr.startswith("Traceback")
    assert "nonsense" in run.stderr


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ATTN", "fa3", "unset it, or choose one of: sdpa, mask, fa2, fa4"),
        ("ATTN", "fa2", "no attention works on this device: fa2 failed"),  # needs a GPU
        ("DTYPE", "float16", "choose one of: bfloat16, float32"),
    ],
)
def test_a_path_that_does_not_run_here_is_refused(cache, tmp_path, name, value, words):
    Train(tmp_path, cache, **{name: value}).assert_refused(words, name)


def test_paths_can_be_forced(cache, tmp_path):
    window = cpu("WINDOW_PATTERN", '"SL"')
    settings = {"DTYPE": "bfloat16", "AUTORESEARCH_STEPS": "3"}
    run = Train(tmp_path, cache, [*SMALL, window], ATTN="sdpa", **settings)
    assert run.summary["attention"] == "mask within 128, sdpa within 256"  # SDPA has no window
    assert "bfloat16" in run.stdout
    (tmp_path / "mask").mkdir()
    other = Train(tmp_path / "mask", cache, [*SMALL, window], ATTN="mask", **settings)
    assert other.summary["attention"] == "mask within 128, mask within 256"
    assert other.result["val_bpb"] == pytest.approx(run.result["val_bpb"], abs=0.01)


def test_a_gpu_class_without_a_gpu(cache, tmp_path):
    Train(tmp_path, cache, AUTORESEARCH_DEVICE="h100").assert_refused("torch sees no GPU", "AUTORESEARCH_DEVICE")


# ---------------------------------------------------------------------------
# The constants, as a tool reads them
# ---------------------------------------------------------------------------


def literals(statements):
    """{name: value} of plain assignments; anything but literals and arithmetic on them raises."""
    found = {}
    for statement in statements:
        if isinstance(statement, ast.Assign):
            (target,) = statement.targets
            source = ast.unparse(statement.value)
            assert re.fullmatch(r"""[-\d.e*+/ ]+|'[A-Z]*'|\([-\d., e]+\)""", source), source
            assert target.id not in found, f"{target.id} twice in one block"
            found[target.id] = eval(source)
    return found


def constant_blocks():
    tree = ast.parse(TRAIN_PY)
    chain = next(node for node in tree.body if isinstance(node, ast.If) and "DEVICE_CLASS" in ast.unparse(node.test))
    imports = [i for i, node in enumerate(tree.body) if isinstance(node, ast.Import | ast.ImportFrom)]
    blocks = {"h100": tree.body[imports[-1] + 1 : tree.body.index(chain)]}
    while chain:
        blocks[chain.test.comparators[0].value] = chain.body
        chain = chain.orelse[0] if chain.orelse else None
    return blocks


def test_each_device_class_has_one_block_of_literals():
    blocks = constant_blocks()
    assert list(blocks) == ["h100", "cpu", "mps", "16gb", "24gb"]
    default = literals(blocks["h100"])
    assert set(default) >= UPSTREAM_CONSTANTS
    assert (default["TOTAL_BATCH_SIZE"], default["DEPTH"]) == (2**18, 9)
    context = {"h100": 2048, "24gb": 2048, "16gb": 2048, "mps": 512, "cpu": 256}
    for name, statements in blocks.items():
        block = literals(statements)
        assert set(block) <= set(default)
        values = default | block
        assert values["TOTAL_BATCH_SIZE"] % (values["DEVICE_BATCH_SIZE"] * context[name]) == 0
    assert set(literals(blocks["cpu"])) == set(default)  # all that is worth tuning stands in the active block


def test_each_constant_has_its_own_line_and_comment():
    lines = TRAIN_PY.splitlines()
    for statements in constant_blocks().values():
        for statement in statements:
            if isinstance(statement, ast.Assign):
                assert statement.lineno == statement.end_lineno
                assert re.search(r"\S\s*# \w", lines[statement.lineno - 1])


# ---------------------------------------------------------------------------
# Model and optimiser, on their own
# ---------------------------------------------------------------------------


@pytest.fixture
def part(monkeypatch, cache, tmp_path):
    """A function that imports train.py up to its setup, with constants replaced."""

    def load(seed=42, **constants):
        text = TRAIN_PY[: TRAIN_PY.index("# Setup\n")]
        for name, value in constants.items():
            old, new = cpu(name, repr(value))
            text, count = re.subn(old, new, text, flags=re.MULTILINE)
            assert count == 1, name
        for name in list(os.environ):
            if name.startswith("AUTORESEARCH_") or name in ("ATTN", "DTYPE", "TRITON_INTERPRET"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("AUTORESEARCH_DEVICE", "cpu")
        monkeypatch.setenv("AUTORESEARCH_SEED", str(seed))
        monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
        monkeypatch.delitem(sys.modules, "prepare", raising=False)
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back what train.py replaces
        path = tmp_path / f"part{len(list(tmp_path.iterdir()))}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("part_of_train", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.delitem(sys.modules, "prepare")
        module.attention_paths = {module.window_of(i): module.pick_attention(module.window_of(i)) for i in range(module.DEPTH)}
        module.cross_entropy_path = "eager"
        return module

    return load


@pytest.mark.parametrize("shape", [(3, 128, 128), (2, 512, 128), (2, 128, 512), (1, 2, 32)])
def test_orthogonalize_against_the_singular_value_decomposition(part, shape):
    g = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    o = part().orthogonalize(g * 1e-4)  # the scale of a gradient does not matter
    u, _, vt = torch.linalg.svd(g.double(), full_matrices=False)
    values = torch.linalg.svdvals(o.double())
    assert o.shape == g.shape
    assert values.max() < 1.2
    assert values.median() > 0.8
    assert (values > 0.7).float().mean() > 0.97  # a direction that g hardly has may lag behind
    nearest = u @ vt
    cosine = (o * nearest).sum() / (o.norm() * nearest.norm())
    assert cosine > 0.99


def test_muon_update_against_a_plain_reference(part):
    names = part()
    torch.manual_seed(0)
    for rows, columns in ((6, 4), (4, 6), (5, 5)):
        p, momentum_buffer = torch.randn(2, rows, columns), torch.zeros(2, rows, columns)
        tall = rows >= columns
        second_moment = torch.zeros(2, rows, 1) if tall else torch.zeros(2, 1, columns)
        expected, buffers, moments = p.clone(), momentum_buffer.clone(), second_moment.clone()
        for _ in range(3):
            g = torch.randn(2, rows, columns)
            names.muon_update(p, g, momentum_buffer, second_moment, 0.9, 0.1, 0.5, 0.95)
            for i in range(2):  # one matrix at a time, line by line
                buffers[i] = 0.9 * buffers[i] + 0.1 * g[i]
                o = names.orthogonalize((0.1 * g[i] + 0.9 * buffers[i])[None])[0]
                lines = o.clone()
                for k in range(rows if tall else columns):
                    at = (i, k, 0) if tall else (i, 0, k)
                    line = o[k] if tall else o[:, k]
                    moments[at] = 0.95 * moments[at] + 0.05 * (line**2).mean()
                    (lines[k] if tall else lines[:, k]).div_(moments[at].sqrt())
                lines *= o.norm() / lines.norm()
                shrink = ((lines > 0) & (expected[i] > 0)) | ((lines < 0) & (expected[i] < 0))
                expected[i] -= 0.1 * lines + 0.1 * 0.5 * expected[i] * shrink
            torch.testing.assert_close(p, expected, rtol=1e-4, atol=1e-5)


def test_adamw_update_against_torch(part):
    names = part()
    torch.manual_seed(0)
    params = [torch.randn(7, 5), torch.randn(())]
    references = [torch.nn.Parameter(p.clone()) for p in params]
    adam = torch.optim.AdamW(references, lr=0.03, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.1)
    state = tuple([torch.zeros_like(p) for p in params] for _ in range(2))
    steps = [torch.zeros(()) for _ in params]
    for _ in range(5):
        for reference in references:
            reference.grad = torch.randn(reference.shape)
        torch._foreach_add_(steps, 1)
        names.adamw_update(params, [r.grad for r in references], state, steps, 0.03, (0.8, 0.95), 0.1)
        adam.step()
        torch.testing.assert_close(params, [r.data for r in references], rtol=1e-5, atol=1e-6)


def test_every_parameter_has_a_learning_rate(part):
    names = part(SMEAR_CHANNELS=24, BACKOUT_INIT=0.2, BIGRAM_RATIO=5)
    model = model_of(names)
    optimizer = names.MuonAdamW(model)
    handled = [p for params, *_ in optimizer.adam for p in params] + [p for params in optimizer.muon for p in params]
    assert sorted(map(id, handled)) == sorted(map(id, model.parameters()))
    model.blocks[0].extra = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(AssertionError, match=r"no learning rate for blocks\.0\.extra"):
        names.MuonAdamW(model)


def model_of(names, vocab_size=300):
    model = names.GPT(vocab_size)
    model.init_weights()
    return model


def lively(names):
    """A model whose blocks do something: at the start their output projections are zero."""
    model = model_of(names)
    torch.manual_seed(1)
    for name, p in model.named_parameters():
        if name.endswith(("c_proj.weight", "ve_gate.weight", "lm_head.weight")):
            torch.nn.init.normal_(p, 0, 0.1)
    return model


def test_each_parameter_is_seeded_by_its_name(part):
    base = model_of(part()).state_dict()
    narrow = model_of(part(MLP_RATIO=2)).state_dict()  # an edit of the MLP
    other = model_of(part(seed=43)).state_dict()
    assert base.keys() == narrow.keys()
    for name, weight in base.items():
        if "mlp" in name:
            assert weight.shape != narrow[name].shape
        else:
            assert torch.equal(weight, narrow[name])
    drawn = [name for name, weight in base.items() if weight.unique().numel() > 2]
    assert {"wte.weight", "lm_head.weight", "blocks.1.attn.c_v.weight", "blocks.1.value_embed.weight"} <= set(drawn)
    assert not any(torch.equal(base[name], other[name]) for name in drawn)
    assert not torch.equal(base["blocks.0.attn.c_q.weight"], base["blocks.0.attn.c_k.weight"])


def test_an_untrained_model_knows_nothing(part):
    model = model_of(part())
    x, y = torch.randint(0, 300, (2, 256)), torch.randint(0, 300, (2, 256))
    assert model(x, y).item() == pytest.approx(math.log(300), abs=0.01)


EXTRAS = {"SMEAR_CHANNELS": 24, "BACKOUT_INIT": 0.2, "BIGRAM_RATIO": 5, "QK_SCALE": 1.2}


@pytest.mark.parametrize("constants", [{"WINDOW_PATTERN": "L"}, {"WINDOW_PATTERN": "S"}, {"WINDOW_PATTERN": "SSL"}, EXTRAS])
def test_no_token_sees_a_later_one(part, constants):
    model = lively(part(DEPTH=3, **constants))
    x = torch.randint(0, 300, (1, 256))
    changed = x.clone()
    changed[0, 100] = (x[0, 100] + 1) % 300
    with torch.no_grad():
        a, b = model(x), model(changed)
    torch.testing.assert_close(a[:, :100], b[:, :100], rtol=0, atol=1e-4)
    assert (a[:, 100] - b[:, 100]).abs().max() > 0.01
    assert (a[:, 101:] - b[:, 101:]).abs().max() > 0.01
    assert a.abs().max() <= 15  # softcap


def reference_attention(q, k, v, window):
    """(B, T, H, D) in double precision, as the formula stands."""
    q, k, v = (z.double() for z in (q, k, v))
    T, D = q.size(1), q.size(3)
    back = torch.arange(T)[:, None] - torch.arange(T)[None]
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / D**0.5
    scores = scores.masked_fill((back < 0) | (back > window), -math.inf)
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)


def with_gradients(function, *inputs):
    inputs = [z.detach().clone().requires_grad_() for z in inputs]
    y = function(*inputs)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(9)).to(y)
    (y * weights).sum().backward()
    return [y.detach().double(), *(z.grad.double() for z in inputs)]


@pytest.mark.parametrize(("path", "window"), [("sdpa", 96), ("mask", 96), ("mask", 95), ("mask", 17), ("mask", 0)])
def test_attention_paths_against_the_formula(part, path, window):
    attention = part(HEAD_DIM=16).ATTENTION[path]
    q, k, v = torch.randn(3, 2, 96, 3, 16, generator=torch.Generator().manual_seed(2))
    found = with_gradients(lambda q, k, v: attention(q, k, v, window), q, k, v)
    expected = with_gradients(lambda q, k, v: reference_attention(q, k, v, window), q, k, v)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_window_operator_of_torch_is_called_as_it_wants(part):
    """Shapes and gradients only: without a GPU it computes nothing."""
    q, k, v = (torch.empty(2, 256, 4, 64, dtype=torch.bfloat16, device="meta", requires_grad=True) for _ in range(3))
    y = part().fa2_attention(q, k, v, 64)
    assert (y.shape, y.dtype) == (q.shape, q.dtype)
    y.sum().backward()
    assert q.grad.shape == k.grad.shape == v.grad.shape == q.shape


def test_a_path_that_computes_something_else_is_not_taken(part, capsys):
    names = part()
    mask = names.mask_attention
    off_by_one = lambda q, k, v: mask(q, k, v, 65)  # noqa: E731
    no_gradient_of_k = lambda q, k, v: mask(q, 0.9 * k.detach() + 0.1 * k, v, 64)  # noqa: E731
    reference = lambda q, k, v: mask(q, k, v, 64)  # noqa: E731
    candidates = {"off": off_by_one, "wrong": no_gradient_of_k, "missing": names.fa4_attention, "sound": reference}
    qkv = torch.randn(3, 1, 256, 2, 64, generator=torch.Generator().manual_seed(0))
    assert names.first_sound("attention", candidates, reference, *qkv) == "sound"
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1] for line in said] == [" not off", " not wrong", " not missing"]
    assert re.fullmatch(r"attention: not off: off by \d+\.\d %", said[0])
    del candidates["sound"]
    with pytest.raises(SystemExit, match="error: no attention works on this device: off, wrong, missing failed"):
        names.first_sound("attention", candidates, reference, *qkv)


def test_a_layer_against_a_plain_reference(part):
    """Full and windowed, with rotary positions, queries and keys of one length, and gated value embeddings."""
    names = part(WINDOW_PATTERN="SL", DEPTH=3, HEAD_DIM=32, QK_SCALE=1.2)
    model = lively(names)
    T, H, D = 256, names.NUM_HEADS, 32
    x, ve = torch.randn(1, T, names.WIDTH), torch.randn(1, T, names.WIDTH)
    for layer, window, with_ve in ((0, 128, True), (1, 256, False), (2, 256, True)):
        attention = model.blocks[layer].attn
        with torch.no_grad():
            found = attention(x, ve if with_ve else None, model.cos, model.sin)
            q, k, v = (project(x).view(T, H, D) for project in (attention.c_q, attention.c_k, attention.c_v))
            if with_ve:
                v = v + 2 * torch.sigmoid(attention.ve_gate(x[0, :, :32]))[:, :, None] * ve.view(T, H, D)
            angle = torch.arange(T)[:, None] / 10000 ** (torch.arange(0, D, 2) / D)
            turn = torch.polar(torch.ones_like(angle), -angle)[:, None]  # e^-ia on channel pairs (d, d + D/2)
            q, k = (torch.complex(z[..., : D // 2], z[..., D // 2 :]) * turn for z in (q, k))
            q, k = (1.2 * F.rms_norm(torch.cat((z.real, z.imag), -1), (D,)) for z in (q, k))
            y = reference_attention(q[None], k[None], v[None], window).float().reshape(1, T, -1)
        torch.testing.assert_close(found, attention.c_proj(y), rtol=1e-4, atol=1e-4)


def test_smear_adds_a_gated_share_of_the_previous_token(part):
    model = lively(part(SMEAR_CHANNELS=24))
    idx = torch.randint(0, 300, (2, 256))
    with torch.no_grad():
        model.smear_lambda.fill_(0.7)
        model.smear_gate.weight.normal_()
        x, _ = model.embed(idx)
        e = F.rms_norm(model.wte.weight[idx], (model.wte.weight.size(1),))
        gate = 0.7 * torch.sigmoid(e[:, :, :24] @ model.smear_gate.weight.T)
    torch.testing.assert_close(x[:, 0], e[:, 0])
    torch.testing.assert_close(x[:, 1:], e[:, 1:] + gate[:, 1:] * e[:, :-1])


def test_bigrams_are_looked_up_by_both_tokens(part):
    names = part(BIGRAM_RATIO=5)
    model = lively(names)
    torch.nn.init.normal_(model.bigram_embed.weight)
    idx = torch.randint(0, 300, (2, 256))
    idx[1, 50:52] = idx[0, 10:12]  # the same pair elsewhere
    with torch.no_grad():
        _, bigram = model.embed(idx)
    assert torch.equal(bigram[1, 51], bigram[0, 11])
    assert not torch.equal(bigram[1, 50], bigram[0, 10])  # the same token after another one
    pairs = torch.cartesian_prod(torch.arange(300), torch.arange(300))  # (90000, 2)
    with torch.no_grad():
        rows = torch.unique(model.embed(pairs)[1][:, 1], dim=0, return_counts=True)[1]
    assert len(rows) > 1490  # of 1500
    assert rows.max() < 2 * rows.float().mean()  # spread evenly


def test_gradients_reach_every_parameter(part):
    model = lively(part(DEPTH=3, **EXTRAS))
    torch.nn.init.ones_(model.smear_lambda)
    torch.nn.init.normal_(model.bigram_embed.weight)
    x = torch.randint(0, 300, (2, 256))
    model(x, x).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_losses_per_token_average_to_the_loss(part):
    model = lively(part())
    x, y = torch.randint(0, 300, (2, 256)), torch.randint(0, 300, (2, 256))
    with torch.no_grad():
        each, mean = model(x, y, reduction="none"), model(x, y)
        by_hand = -model(x).log_softmax(-1).gather(-1, y[..., None]).flatten()
    assert mean.item() == pytest.approx(each.mean().item(), rel=1e-5)
    torch.testing.assert_close(each, by_hand)


def test_learning_rate_schedule(part):
    names = part(WARMUP_RATIO=0.2, WARMDOWN_RATIO=0.5, FINAL_LR_FRAC=0.1)
    multiplier = names.lr_multiplier
    points = {0: 0.1, 0.01: 0.1, 0.1: 0.5, 0.2: 1, 0.5: 1, 0.75: 0.55, 1: 0.1}
    assert {progress: multiplier(progress) for progress in points} == pytest.approx(points)
    flat = part(WARMDOWN_RATIO=0.0).lr_multiplier
    assert (flat(0), flat(1)) == (1.0, 1.0)


def test_momentum_schedule(part):
    momentum = part(MOMENTUM=0.97, MOMENTUM_STEPS=100).muon_momentum
    assert [momentum(step) for step in (0, 50, 100, 1000)] == pytest.approx([0.85, 0.91, 0.97, 0.97])


# ---------------------------------------------------------------------------
# What a GPU compiles, as far as a CPU can tell
# ---------------------------------------------------------------------------


TWINS = """
import torch
import part as names
assert names.pick_cross_entropy() == "fused"
for dtype, slack in ((torch.float32, 1e-4), (torch.bfloat16, 0.02)):
    for N, V in ((5, 300), (16, 2048), (2, 8192)):
        generator = torch.Generator().manual_seed(V)
        z = (20 * torch.randn(N, V, generator=generator)).to(dtype)
        targets, weights = torch.randint(V, (N,), generator=generator), torch.rand(N, generator=generator)
        a, b = z.clone().requires_grad_(), z.clone().requires_grad_()
        fused, eager = names.fused_cross_entropy(a, targets), names.eager_cross_entropy(b, targets)
        by_hand = -(15 * torch.tanh(z.double() / 15)).log_softmax(-1)[torch.arange(N), targets]
        torch.testing.assert_close(fused, eager, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(fused.double(), by_hand, rtol=1e-5, atol=1e-5)
        (fused * weights).sum().backward(), (eager * weights).sum().backward()
        assert a.grad.dtype == dtype
        torch.testing.assert_close(a.grad, b.grad, rtol=slack, atol=1e-5)
print("twins")
"""


def test_fused_cross_entropy_equals_its_eager_twin(cache, tmp_path):
    """Triton's interpreter runs the kernels on a CPU; it has to be asked for before Triton is imported."""
    pytest.importorskip("triton")
    (tmp_path / "part.py").write_text(TRAIN_PY[: TRAIN_PY.index("# Setup\n")])
    shutil.copy(HERE / "prepare.py", tmp_path)
    settings = environment(cache, TRITON_INTERPRET="1")
    run = subprocess.run([sys.executable, "-c", TWINS], cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert run.stdout == "twins\n", run.stderr


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # dynamo looks at it
def test_layers_of_one_kind_compile_once_and_evaluation_compiles_nothing(part, monkeypatch):
    names = part(DEPTH=7, ASPECT_RATIO=16, HEAD_DIM=32, VE_GATE_CHANNELS=8, WINDOW_PATTERN="SSL", **EXTRAS)
    monkeypatch.setattr(names, "COMPILE", True)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    model = model_of(names)
    plain = model_of(names)
    model.compile_parts()
    x, y = torch.randint(0, 300, (2, 256)), torch.randint(0, 300, (2, 256))
    loss = model(x, y)
    loss.backward()
    assert len(graphs) == 2 + 4  # embedding, head; a layer with a window or not, with a value embedding or not
    plain(x, y).backward()
    torch.testing.assert_close(loss, plain(x, y))
    for (name, a), b in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    with torch.no_grad():
        losses = model(x, y, reduction="none")
    assert not losses.requires_grad
    assert losses.mean().item() == pytest.approx(loss.item(), rel=1e-5)
    assert len(graphs) == 6
