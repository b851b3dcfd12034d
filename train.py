"""
Train a small GPT for a fixed budget and print its bits per byte. This is the file that research edits.

    python prepare.py && python train.py
"""
# ruff: noqa: E402

import time

t_start = time.time()  # before torch is imported: total_seconds counts that too

import ctypes
import gc
import hashlib
import os
import resource
import sys

from prepare import (  # first: it says in one line what is not installed
    DEVICE,
    DEVICE_CLASS,
    EVAL_TOKENS,
    MAX_SEQ_LEN,
    SEED,
    TIME_BUDGET,
    Tokenizer,
    TrainingClock,
    evaluate_bpb,
    fail,
    make_dataloader,
)

os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")

import torch
import torch.nn as nn
import torch.nn.functional as F

# ---------------------------------------------------------------------------
# Constants (edit these directly). Each device class has its own block below and only one block is in force: the H100
# class reads this one, the others replace what differs.
# ---------------------------------------------------------------------------

# Model
DEPTH = 8                # layers
ASPECT_RATIO = 64        # model width = DEPTH * ASPECT_RATIO, rounded up to a multiple of HEAD_DIM
HEAD_DIM = 128           # width of one attention head
MLP_RATIO = 4            # hidden width of the MLP / model width
WINDOW_PATTERN = "SSSL"  # attention per layer, repeated: L = full context, S = half of it; the last layer is always L
ROPE_BASE = 10000        # longest wavelength of the rotary embedding, in tokens / 2 pi
SOFTCAP = 15             # logits stay within +-SOFTCAP
RESID_INIT = 1.0         # initial weight of the residual stream entering each layer
X0_INIT = 0.1            # initial weight of the token embedding added to it there
VE_GATE_CHANNELS = 32    # channels of the residual stream that decide how much value embedding a head takes

# Optimisation
TOTAL_BATCH_SIZE = 2**19 # tokens per optimiser step
DEVICE_BATCH_SIZE = 128  # rows per forward pass: lower it when memory runs out
EMBEDDING_LR = 0.6       # AdamW, token and value embeddings, at width 768 (scaled by 1/sqrt(width))
UNEMBEDDING_LR = 0.004   # AdamW, output head, at width 768 (scaled likewise)
MATRIX_LR = 0.04         # Muon, all matrices
SCALAR_LR = 0.5          # AdamW, x0 weights; residual weights take a hundredth of it
WEIGHT_DECAY = 0.2       # Muon, cautious, falls to 0 over the run
ADAM_BETAS = (0.8, 0.95) # decay of AdamW's first and second moment
MOMENTUM = 0.95          # Muon, reached after MOMENTUM_STEPS steps from 0.85
MOMENTUM_STEPS = 300     # steps
MUON_BETA2 = 0.95        # decay of Muon's second moment
WARMUP_RATIO = 0.0       # share of the budget in which the learning rates rise
WARMDOWN_RATIO = 0.5     # share of the budget in which they fall
FINAL_LR_FRAC = 0.0      # what they fall to, as a share of the full rate

if DEVICE_CLASS == "cpu":
    # Model
    DEPTH = 2                # layers
    ASPECT_RATIO = 64        # model width = DEPTH * ASPECT_RATIO, rounded up to a multiple of HEAD_DIM
    HEAD_DIM = 64            # width of one attention head
    MLP_RATIO = 4            # hidden width of the MLP / model width
    WINDOW_PATTERN = "L"     # full attention: a window saves nothing here
    ROPE_BASE = 10000        # longest wavelength of the rotary embedding, in tokens / 2 pi
    SOFTCAP = 15             # logits stay within +-SOFTCAP
    RESID_INIT = 1.0         # initial weight of the residual stream entering each layer
    X0_INIT = 0.1            # initial weight of the token embedding added to it there
    VE_GATE_CHANNELS = 32    # channels of the residual stream that decide how much value embedding a head takes

    # Optimisation
    TOTAL_BATCH_SIZE = 2**12 # tokens per optimiser step: two forward passes, the proportion of the H100 class
    DEVICE_BATCH_SIZE = 8    # rows per forward pass
    EMBEDDING_LR = 0.6       # AdamW, token and value embeddings, at width 768 (scaled by 1/sqrt(width))
    UNEMBEDDING_LR = 0.004   # AdamW, output head, at width 768 (scaled likewise)
    MATRIX_LR = 0.04         # Muon, all matrices
    SCALAR_LR = 0.5          # AdamW, x0 weights; residual weights take a hundredth of it
    WEIGHT_DECAY = 0.2       # Muon, cautious, falls to 0 over the run
    ADAM_BETAS = (0.8, 0.95) # decay of AdamW's first and second moment
    MOMENTUM = 0.95          # Muon, reached after MOMENTUM_STEPS steps from 0.85
    MOMENTUM_STEPS = 300     # steps
    MUON_BETA2 = 0.95        # decay of Muon's second moment
    WARMUP_RATIO = 0.0       # share of the budget in which the learning rates rise
    WARMDOWN_RATIO = 0.5     # share of the budget in which they fall
    FINAL_LR_FRAC = 0.0      # what they fall to, as a share of the full rate
elif DEVICE_CLASS == "mps":
    DEPTH = 4                # layers
    HEAD_DIM = 64            # width of one attention head
    WINDOW_PATTERN = "L"     # full attention: a window saves nothing here
    TOTAL_BATCH_SIZE = 2**15 # tokens per optimiser step
    DEVICE_BATCH_SIZE = 32   # rows per forward pass: lower it when memory runs out
elif DEVICE_CLASS == "16gb":
    DEPTH = 6                # layers
    TOTAL_BATCH_SIZE = 2**17 # tokens per optimiser step
    DEVICE_BATCH_SIZE = 16   # rows per forward pass: lower it when memory runs out
elif DEVICE_CLASS == "24gb":
    TOTAL_BATCH_SIZE = 2**18 # tokens per optimiser step
    DEVICE_BATCH_SIZE = 32   # rows per forward pass: lower it when memory runs out


def explain(kind, error, trace):
    """Uncaught exceptions end here: a line for what a constant above can mend, the traceback for everything else."""
    message = str(error)
    if kind is AssertionError and trace.tb_next is None:  # one of the asserts below
        print(f"error: {message}\nchange one of these constants in train.py", file=sys.stderr)
    elif "out of memory" in message or "can't allocate memory" in message:
        lower = max(1, DEVICE_BATCH_SIZE // 2)
        print(f"\nerror: out of memory with DEVICE_BATCH_SIZE = {DEVICE_BATCH_SIZE}", file=sys.stderr)
        print(f"set DEVICE_BATCH_SIZE = {lower} in train.py (the block of {DEVICE_CLASS})", file=sys.stderr)
    elif kind is KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = explain
assert DEPTH >= 1, "DEPTH must be at least 1"
assert DEVICE_BATCH_SIZE >= 1, "DEVICE_BATCH_SIZE must be at least 1"
assert TOTAL_BATCH_SIZE >= 1, "TOTAL_BATCH_SIZE must be at least 1"
assert HEAD_DIM % 2 == 0, "HEAD_DIM must be even: the rotary embedding turns pairs of channels"
assert TOTAL_BATCH_SIZE % (DEVICE_BATCH_SIZE * MAX_SEQ_LEN) == 0, \
    f"TOTAL_BATCH_SIZE must be a multiple of DEVICE_BATCH_SIZE * MAX_SEQ_LEN, here {DEVICE_BATCH_SIZE * MAX_SEQ_LEN:,}"
assert set(WINDOW_PATTERN) in ({"S"}, {"L"}, {"S", "L"}), "WINDOW_PATTERN must be made of S and L"

WIDTH = -(-DEPTH * ASPECT_RATIO // HEAD_DIM) * HEAD_DIM  # C, channels of the residual stream
NUM_HEADS = WIDTH // HEAD_DIM                            # H
GRAD_ACCUM_STEPS = TOTAL_BATCH_SIZE // (DEVICE_BATCH_SIZE * MAX_SEQ_LEN)

if DEVICE == "cuda" and not torch.cuda.is_available():
    fail(f"torch sees no GPU for device class {DEVICE_CLASS}", "unset AUTORESEARCH_DEVICE, or repair the driver")
BF16 = DEVICE == "cuda" and torch.cuda.get_device_capability() >= (8, 0)  # everywhere else fp32
DTYPE = torch.bfloat16 if BF16 else torch.float32

# ---------------------------------------------------------------------------
# Model
# ---------------------------------------------------------------------------

# Shapes: B rows, T tokens in a row, C = WIDTH channels, H heads of D = HEAD_DIM channels, V tokens in the vocabulary


def norm(x):
    return F.rms_norm(x, x.shape[-1:])


def has_value_embedding(layer):
    """Every other layer, the last one included."""
    return (DEPTH - 1 - layer) % 2 == 0


def window_of(layer):
    """How far back the attention of this layer sees, in tokens."""
    full = layer == DEPTH - 1 or WINDOW_PATTERN[layer % len(WINDOW_PATTERN)] == "L"
    return MAX_SEQ_LEN if full else MAX_SEQ_LEN // 2


def rotate(x, cos, sin):
    """Rotary position: channel d and channel d + D/2 turn by an angle that grows with the position."""
    a, b = x.chunk(2, dim=-1)  # (B, T, H, D/2) each
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


class Attention(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.windowed = window_of(layer) < MAX_SEQ_LEN
        self.c_q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.c_k = nn.Linear(WIDTH, WIDTH, bias=False)
        self.c_v = nn.Linear(WIDTH, WIDTH, bias=False)
        self.c_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        if has_value_embedding(layer):
            self.ve_gate = nn.Linear(VE_GATE_CHANNELS, NUM_HEADS, bias=False)

    def forward(self, x, ve, cos, sin, mask):
        heads = (*x.shape[:2], NUM_HEADS, HEAD_DIM)
        q, k, v = (project(x).view(heads) for project in (self.c_q, self.c_k, self.c_v))  # (B, T, H, D)
        if ve is not None:  # values see the token itself, as much as the gate of each head lets through
            gate = 2 * torch.sigmoid(self.ve_gate(x[..., :VE_GATE_CHANNELS]))  # (B, T, H), 1 at the start
            v = v + gate[..., None] * ve.view(heads)
        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))  # unit length keeps the scores in bounds
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, D)
        if self.windowed:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(x.shape))  # (B, T, C)


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = nn.Linear(WIDTH, int(MLP_RATIO * WIDTH), bias=False)
        self.c_proj = nn.Linear(int(MLP_RATIO * WIDTH), WIDTH, bias=False)

    def forward(self, x):
        return self.c_proj(F.relu(self.c_fc(x)).square())


class Block(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.attn = Attention(layer)
        self.mlp = MLP()

    def forward(self, x, ve, cos, sin, mask):
        x = x + self.attn(norm(x), ve, cos, sin, mask)
        return x + self.mlp(norm(x))


class GPT(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, WIDTH)
        self.blocks = nn.ModuleList(Block(layer) for layer in range(DEPTH))
        self.value_embeds = nn.ModuleDict(
            {str(layer): nn.Embedding(vocab_size, WIDTH) for layer in range(DEPTH) if has_value_embedding(layer)}
        )
        self.lm_head = nn.Linear(WIDTH, vocab_size, bias=False)
        self.resid_lambdas = nn.Parameter(torch.empty(DEPTH))
        self.x0_lambdas = nn.Parameter(torch.empty(DEPTH))
        position = torch.arange(MAX_SEQ_LEN)  # (T,)
        turns = ROPE_BASE ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)  # (D/2,)
        angle = torch.outer(position.float(), turns)[:, None, :]  # (T, 1, D/2)
        back = position[:, None] - position[None, :]  # (T, T), how far key j lies behind query i
        self.register_buffer("cos", angle.cos().to(DTYPE), persistent=False)
        self.register_buffer("sin", angle.sin().to(DTYPE), persistent=False)
        self.register_buffer("mask", (back >= 0) & (back <= MAX_SEQ_LEN // 2), persistent=False)

    @torch.no_grad()
    def init_weights(self):
        """Each parameter draws from a generator of its own name, so an edit elsewhere leaves its numbers alone."""
        bound = (3 / WIDTH) ** 0.5  # a uniform distribution this wide has a standard deviation of 1/sqrt(C)
        for name, parameter in self.named_parameters():
            seed = hashlib.sha256(f"{SEED} {name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(seed[:8], "big"))
            weight = torch.empty(parameter.shape)  # drawn on the CPU: the same numbers on every device
            if name == "wte.weight":
                weight.normal_(0, 1, generator=generator)
            elif name == "lm_head.weight":
                weight.normal_(0, 0.001, generator=generator)
            elif name == "resid_lambdas":
                weight.fill_(RESID_INIT)
            elif name == "x0_lambdas":
                weight.fill_(X0_INIT)
            elif name.endswith(("c_proj.weight", "ve_gate.weight")):
                weight.zero_()  # each block begins as the identity
            else:
                weight.uniform_(-bound, bound, generator=generator)
            parameter.copy_(weight)
        for table in (self.wte, *self.value_embeds.values()):
            table.to(DTYPE)  # the residual stream takes its precision from here

    def forward(self, idx, targets=None, reduction="mean"):
        T = idx.size(1)
        cos, sin, mask = self.cos[:T], self.sin[:T], self.mask[:T, :T]
        x = x0 = norm(self.wte(idx))  # (B, T, C)
        for layer, block in enumerate(self.blocks):
            ve = self.value_embeds[str(layer)](idx) if has_value_embedding(layer) else None  # (B, T, C)
            x = block(self.resid_lambdas[layer] * x + self.x0_lambdas[layer] * x0, ve, cos, sin, mask)
        logits = self.lm_head(norm(x)).float()  # (B, T, V)
        logits = SOFTCAP * torch.tanh(logits / SOFTCAP)
        if targets is None:
            return logits
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1), reduction=reduction)


# ---------------------------------------------------------------------------
# Optimiser: Muon for the matrices in the blocks, AdamW for everything else
# ---------------------------------------------------------------------------

# Five steps of Polar Express (Amsel et al. 2025, arXiv:2505.16932), each a x + b x³ + c x⁵ on the singular values.
POLAR_EXPRESS = [
    (8.1565545, -22.4832929, 15.8787699),
    (4.0429299, -2.8089175, 0.5000178),
    (3.8916678, -2.7724842, 0.5060648),
    (3.2857537, -2.3681295, 0.4644902),
    (2.3465413, -1.7097828, 0.4232355),
]


def orthogonalize(g):
    """The nearest matrix to each g, up to scale, that stretches no direction: all singular values become about 1."""
    x = g.to(DTYPE)  # (N, rows, columns)
    x = x / (1.02 * x.norm(dim=(-2, -1), keepdim=True) + 1e-6)  # no singular value above 1
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT  # the smaller Gram matrix
    for a, b, c in POLAR_EXPRESS:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(g.dtype)


def muon_update(p, g, momentum_buffer, second_moment, momentum, lr, weight_decay, beta2):
    """Muon with Nesterov momentum on stacked matrices p and gradients g, both (N, rows, columns), in place."""
    momentum_buffer.lerp_(g, 1 - momentum)
    update = orthogonalize(g.lerp(momentum_buffer, momentum))
    # NorMuon (arXiv:2510.05491): even out the rows (columns, where the matrix is wide) and keep the norm of the whole.
    length = update.norm(dim=(-2, -1), keepdim=True)
    across = -1 if p.size(-2) >= p.size(-1) else -2
    second_moment.lerp_(update.square().mean(dim=across, keepdim=True), 1 - beta2)
    update = update * second_moment.clamp_min(1e-10).rsqrt()
    update = update * (length / update.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-10))
    # Cautious weight decay (arXiv:2510.12402): only where the update shrinks the weight anyway.
    decay = weight_decay * p * (update * p >= 0)
    p.sub_(lr * (update + decay))


def adamw_update(p, g, mean, mean_square, step, lr, beta1, beta2):
    """AdamW without weight decay, in place."""
    mean.lerp_(g, 1 - beta1)
    mean_square.lerp_(g.square(), 1 - beta2)
    unbiased = (mean_square / (1 - beta2**step)).sqrt() + 1e-10
    p.sub_(lr / (1 - beta1**step) * mean / unbiased)


if DEVICE == "cuda":
    muon_update = torch.compile(muon_update, dynamic=False, fullgraph=True)
    adamw_update = torch.compile(adamw_update, dynamic=False, fullgraph=True)


def scalar(value):
    """A number that changes from step to step: as a tensor, it does not make torch.compile start over."""
    return torch.tensor(value, dtype=torch.float32) if DEVICE == "cuda" else value


class MuonAdamW:
    def __init__(self, model):
        adam_scale = (WIDTH / 768) ** -0.5  # wider models want smaller steps here; Muon's do not depend on the width
        embeddings = [model.wte.weight, *(table.weight for table in model.value_embeds.values())]
        beta1, beta2 = ADAM_BETAS
        self.adam = [  # parameters, full learning rate, betas
            (embeddings, EMBEDDING_LR * adam_scale, (beta1, beta2)),
            ([model.lm_head.weight], UNEMBEDDING_LR * adam_scale, (beta1, beta2)),
            ([model.resid_lambdas], SCALAR_LR * 0.01, (beta1, beta2)),
            ([model.x0_lambdas], SCALAR_LR, (0.96, beta2)),
        ]
        matrices = list(model.blocks.parameters())
        shapes = sorted({p.shape for p in matrices})
        self.muon = [[p for p in matrices if p.shape == shape] for shape in shapes]  # one stack per shape
        ours = [p for params, _, _ in self.adam for p in params] + matrices
        assert {id(p) for p in model.parameters()} == {id(p) for p in ours}, "a parameter has no optimiser"
        self.forget()

    def forget(self):
        """Back to the state before the first step."""
        self.steps = 0
        self.state = {}

    @torch.no_grad()
    def step(self, lr_multiplier, momentum, weight_decay):
        self.steps += 1
        for params, lr, (beta1, beta2) in self.adam:
            for p in params:
                if p not in self.state:
                    self.state[p] = torch.zeros_like(p), torch.zeros_like(p)
                step, lr_now = scalar(float(self.steps)), scalar(lr * lr_multiplier)
                adamw_update(p, p.grad, *self.state[p], step, lr_now, beta1, beta2)
        for params in self.muon:
            p, g = torch.stack(params), torch.stack([p.grad for p in params])  # (N, rows, columns)
            if params[0] not in self.state:
                rows, columns = p.shape[-2:]
                per_line = p[..., :1] if rows >= columns else p[:, :1]
                self.state[params[0]] = torch.zeros_like(p), torch.zeros_like(per_line)
            lr = MATRIX_LR * max(1, p.size(-2) / p.size(-1)) ** 0.5 * lr_multiplier
            now = scalar(momentum), scalar(lr), scalar(weight_decay)
            muon_update(p, g, *self.state[params[0]], *now, MUON_BETA2)
            torch._foreach_copy_(params, list(p.unbind()))


# ---------------------------------------------------------------------------
# Setup
# ---------------------------------------------------------------------------

# Dense bf16 peak in TFLOP/s by the name that torch gives the GPU; mfu stays 0 for one not listed.
PEAK_TFLOPS = {
    "B200": 2250, "H200": 989.5, "GH200": 989.5, "H100 NVL": 835, "H100 PCIe": 756, "H100": 989.5, "A100": 312,
    "L40S": 362, "A10G": 70, "L4": 121, "RTX 5090": 209.5, "RTX 4090": 165.2, "RTX 3090": 71,
}  # fmt: skip

if DEVICE == "cpu" and hasattr(ctypes.CDLL(None), "mallopt"):
    # glibc hands every large buffer back to the kernel and faults it in again. Keeping them takes a sixth off a step.
    ctypes.CDLL(None).mallopt(-3, 2**30)      # M_MMAP_THRESHOLD, bytes
    ctypes.CDLL(None).mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes

torch.manual_seed(SEED)
torch.set_float32_matmul_precision("high")  # TF32 for what stays in fp32
autocast = torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=BF16)

tokenizer = Tokenizer.from_directory()
with torch.device(DEVICE):
    model = GPT(tokenizer.get_vocab_size())
model.init_weights()
optimizer = MuonAdamW(model)

num_params = sum(p.numel() for p in model.parameters())
num_matmul_params = sum(p.numel() for p in model.blocks.parameters()) + model.lm_head.weight.numel()
# 6 per parameter that multiplies, 12 per channel and visible token in attention; counted like upstream, without the
# causal half, so that mfu_percent means the same there and here
flops_per_token = 6 * num_matmul_params + sum(12 * WIDTH * window_of(layer) for layer in range(DEPTH))
device_name = torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE
peak_flops = max((1e12 * peak for gpu, peak in PEAK_TFLOPS.items() if gpu in device_name and BF16), default=0)

train_loader = make_dataloader(tokenizer, DEVICE_BATCH_SIZE, MAX_SEQ_LEN, "train")
x, y, epoch = next(train_loader)  # (B, T), (B, T)

print(f"Device: {device_name} (class {DEVICE_CLASS}), {DTYPE}")
print(f"Model: depth {DEPTH}, width {WIDTH}, {NUM_HEADS} heads, {num_params / 1e6:.1f} M parameters")
print(f"Batch: {TOTAL_BATCH_SIZE:,} tokens = {GRAD_ACCUM_STEPS} x {DEVICE_BATCH_SIZE} rows x {MAX_SEQ_LEN} tokens")
print(f"Budget: {TIME_BUDGET:g} s, seed {SEED}", flush=True)


def lr_multiplier(progress):
    """A trapezoid: up over WARMUP_RATIO (from a tenth: a CPU spends its first steps at progress 0), level, down."""
    if progress < WARMUP_RATIO:
        return max(0.1, progress / WARMUP_RATIO)
    left = (1 - progress) / WARMDOWN_RATIO if WARMDOWN_RATIO > 0 else 1.0
    return FINAL_LR_FRAC + (1 - FINAL_LR_FRAC) * min(left, 1.0)


def muon_momentum(step):
    return 0.85 + (MOMENTUM - 0.85) * min(step / MOMENTUM_STEPS, 1) if MOMENTUM_STEPS > 0 else MOMENTUM


if DEVICE == "cuda":
    model = torch.compile(model, dynamic=False)
    # Compile before the clock starts, and learn nothing from it: a step at learning rate 0 leaves the weights alone,
    # and the optimiser forgets it.
    with autocast:
        model(x, y).backward()
    optimizer.step(lr_multiplier=0.0, momentum=0.0, weight_decay=0.0)
    optimizer.forget()
    model.zero_grad(set_to_none=True)

# ---------------------------------------------------------------------------
# Training loop
# ---------------------------------------------------------------------------

clock = TrainingClock()
smooth_loss = 0.0

while not clock.done:
    batch_loss = 0.0
    for _ in range(GRAD_ACCUM_STEPS):
        with autocast:
            loss = model(x, y) / GRAD_ACCUM_STEPS
        loss.backward()
        batch_loss += loss.detach()
        x, y, epoch = next(train_loader)

    step, progress = clock.num_steps, clock.progress
    lrm = lr_multiplier(progress)
    optimizer.step(lrm, muon_momentum(step), WEIGHT_DECAY * (1 - progress))
    model.zero_grad(set_to_none=True)

    batch_loss = batch_loss.item()
    if not batch_loss < 100:  # NaN too
        print("\nFAIL")
        fail(f"the loss is {batch_loss:.3g} at step {step}", "lower a learning rate, or revert the last edit")
    dt = clock.step_done()  # seconds

    smooth_loss = 0.9 * smooth_loss + 0.1 * batch_loss
    debiased_loss = smooth_loss / (1 - 0.9 ** (step + 1))
    mfu = 100 * flops_per_token * TOTAL_BATCH_SIZE / dt / peak_flops if peak_flops else 0.0
    print(
        f"\rstep {step:05d} ({100 * progress:.1f}%) | loss: {debiased_loss:.6f} | lrm: {lrm:.2f} | dt: {1000 * dt:.0f}ms"
        f" | tok/sec: {TOTAL_BATCH_SIZE / dt:,.0f} | mfu: {mfu:.1f}% | epoch: {epoch}"
        f" | remaining: {clock.remaining_seconds:.0f}s    ",
        end="",
        flush=True,
    )

    if step == 0:  # a garbage collection stalls a step by half a second, and nothing here needs one
        gc.collect()
        gc.freeze()
        gc.disable()

print()

# ---------------------------------------------------------------------------
# Evaluation and summary
# ---------------------------------------------------------------------------

model.eval()
t_eval = time.time()
with autocast:
    val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)
t_end = time.time()

if DEVICE == "cuda":
    peak_memory = torch.cuda.max_memory_allocated()  # bytes
elif DEVICE == "mps":
    peak_memory = torch.mps.driver_allocated_memory()
else:  # no memory of its own: the most that this process held
    peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
tokens = clock.num_steps * TOTAL_BATCH_SIZE
tokens_per_second = tokens / clock.training_seconds
mfu = 100 * flops_per_token * tokens_per_second / peak_flops if peak_flops else 0.0  # 0: peak unknown

print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {clock.training_seconds:.1f}")
print(f"total_seconds:    {t_end - t_start:.1f}")
print(f"peak_vram_mb:     {peak_memory / 2**20:.1f}")
print(f"mfu_percent:      {mfu:.2f}")
print(f"total_tokens_M:   {tokens / 1e6:.1f}")
print(f"num_steps:        {clock.num_steps}")
print(f"num_params_M:     {num_params / 1e6:.1f}")
print(f"depth:            {DEPTH}")
print(f"tokens_per_second: {tokens_per_second:.0f}")
print(f"step_ms:          {1000 * clock.step_seconds:.1f}")
print(f"eval_tokens:      {EVAL_TOKENS}")
print(f"eval_seconds:     {t_end - t_eval:.1f}")
print(f"budget_seconds:   {TIME_BUDGET:g}")
print(f"device:           {device_name}")
print(f"device_class:     {DEVICE_CLASS}")
print(f"seed:             {SEED}")
