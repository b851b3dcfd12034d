"""
Train a small GPT for a fixed budget and print its bits per byte. This is the file that research edits.

    python prepare.py && python train.py

Environment: ATTN=sdpa|mask|fa2|fa4 forces a path of attention, DTYPE=float32|bfloat16 a precision.
"""

import time

t_start = time.time()  # before torch is imported: total_seconds counts that too

import gc
import hashlib
import os
import sys
from functools import partial

os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")  # read when the GPU is first touched

from prepare import (  # first: it says in one line what is not installed
    CACHE_DIR, DEVICE, DEVICE_CLASS, MAX_SEQ_LEN, SEED, TIME_BUDGET, Tokenizer, TrainingClock,
    device_name, evaluate_bpb, fail, make_dataloader, peak_bf16_flops, peak_memory, wait_for_device,
)  # fmt: skip

for compiler in ("TORCHINDUCTOR", "TRITON"):  # what one run compiled serves the next
    os.environ.setdefault(f"{compiler}_CACHE_DIR", os.path.join(CACHE_DIR, compiler.lower()))

import torch
import torch.nn as nn
import torch.nn.functional as F

# ---------------------------------------------------------------------------
# Constants (edit these directly). Device classes have a block each: the first one is that of the H100 class, the others
# replace what differs, the cpu block everything. Hexadecimal numbers are commits of the published branch exp/H100/mar8 of
# karpathy/autoresearch, measured in five minutes on an H100.
# ---------------------------------------------------------------------------

# Model
DEPTH = 9                # layers (7f2a65c)
ASPECT_RATIO = 57        # model width = DEPTH * ASPECT_RATIO, rounded up to a multiple of HEAD_DIM (7f2a65c)
HEAD_DIM = 128           # width of one attention head
MLP_RATIO = 4            # hidden width of the MLP / model width
WINDOW_PATTERN = "SSSSL" # attention per layer, repeated: L = full context, S = short; the last layer is always L (8363d52)
SHORT_WINDOW = 0.125     # what a short layer sees / full context (7da0b67)
ROPE_BASE = 200000       # longest wavelength of the rotary embedding, in tokens / 2 pi (59e9dd9)
QK_SCALE = 1.2           # length of queries and of keys, both: sharper attention (nanochat)
SOFTCAP = 15             # logits stay within +-SOFTCAP
INIT_SCALE = 0.68        # initial size of the block matrices and value embeddings * sqrt(width) (41d50a8, 97dda85)
RESID_INIT = 1.0         # initial weight of the residual stream entering each layer
X0_INIT = 0.05           # initial weight of the token embedding added to it there (0640555)
VE_EVERY = 2             # every second layer, counted from the last, has a value embedding; 0: none
VE_GATE_CHANNELS = 32    # channels of the residual stream that decide how much value embedding a head takes
SMEAR_CHANNELS = 24      # channels that decide how much of the previous token's embedding is added; 0: none (nanochat)
BACKOUT_INIT = 0.2       # share of the middle layer's output taken away before the head; 0: none (nanochat)
BIGRAM_RATIO = 5         # rows of the hashed bigram embedding / vocabulary; 0: none (modded-nanogpt record 62)
BIGRAM_INIT = 0.1        # initial weight of the bigram embedding entering each layer (nanochat)
# Optimisation
TOTAL_BATCH_SIZE = 2**18 # tokens per optimiser step (bea057b)
DEVICE_BATCH_SIZE = 128  # rows per forward pass: lower it when memory runs out
EMBEDDING_LR = 0.9       # AdamW, all embeddings, at width 768 (scaled by 1/sqrt(width)) (b1d5004)
UNEMBEDDING_LR = 0.005   # AdamW, output head, at width 768 (scaled likewise) (7f63c17)
MATRIX_LR = 0.04         # Muon, all matrices
SCALAR_LR = 0.5          # AdamW, x0 and bigram weights; smear and backout take 0.4 of it, residual weights 0.01
WEIGHT_DECAY = 0.2       # Muon, cautious, falls to 0 over the run
EMBEDDING_WD = 0.001     # AdamW, token and bigram embeddings (ece9101)
VALUE_EMBED_WD = 0.003   # AdamW, value embeddings (637f82f)
UNEMBEDDING_WD = 0.01    # AdamW, output head (264a05b)
ADAM_BETAS = (0.8, 0.95) # decay of AdamW's first and second moment
MOMENTUM = 0.95          # Muon, reached after MOMENTUM_STEPS steps from 0.85
MOMENTUM_STEPS = 200     # steps (a7aa309)
MUON_BETA2 = 0.95        # decay of Muon's second moment
WARMUP_RATIO = 0.0       # share of the budget in which the learning rates rise
WARMDOWN_RATIO = 0.75    # share of the budget in which they fall (438a26e)
FINAL_LR_FRAC = 0.05     # what they fall to, as a share of the full rate (772dada)

if DEVICE_CLASS == "cpu":
    DEPTH = 2                # layers
    ASPECT_RATIO = 64        # model width = DEPTH * ASPECT_RATIO, rounded up to a multiple of HEAD_DIM
    HEAD_DIM = 64            # width of one attention head
    MLP_RATIO = 4            # hidden width of the MLP / model width
    WINDOW_PATTERN = "L"     # full attention: a window saves nothing here
    SHORT_WINDOW = 0.5       # what a short layer sees / full context
    ROPE_BASE = 10000        # longest wavelength of the rotary embedding, in tokens / 2 pi
    QK_SCALE = 1.0           # length of queries and of keys
    SOFTCAP = 15             # logits stay within +-SOFTCAP
    INIT_SCALE = 1.0         # initial size of the block matrices and value embeddings * sqrt(width)
    RESID_INIT = 1.0         # initial weight of the residual stream entering each layer
    X0_INIT = 0.1            # initial weight of the token embedding added to it there
    VE_EVERY = 2             # every second layer, counted from the last, has a value embedding; 0: none
    VE_GATE_CHANNELS = 32    # channels of the residual stream that decide how much value embedding a head takes
    SMEAR_CHANNELS = 0       # channels that decide how much of the previous token's embedding is added; 0: none
    BACKOUT_INIT = 0.0       # share of the middle layer's output taken away before the head; 0: none
    BIGRAM_RATIO = 0         # rows of the hashed bigram embedding / vocabulary; 0: none, which 5 minutes favour, not 20 s
    BIGRAM_INIT = 0.1        # initial weight of the bigram embedding entering each layer
    TOTAL_BATCH_SIZE = 2**12 # tokens per optimiser step: best in five minutes; in 20 seconds half of it is better
    DEVICE_BATCH_SIZE = 8    # rows per forward pass
    EMBEDDING_LR = 0.6       # AdamW, all embeddings, at width 768 (scaled by 1/sqrt(width))
    UNEMBEDDING_LR = 0.004   # AdamW, output head, at width 768 (scaled likewise)
    MATRIX_LR = 0.04         # Muon, all matrices
    SCALAR_LR = 0.5          # AdamW, x0 and bigram weights; smear and backout take 0.4 of it, residual weights 0.01
    WEIGHT_DECAY = 0.2       # Muon, cautious, falls to 0 over the run
    EMBEDDING_WD = 0.0       # AdamW, token and bigram embeddings
    VALUE_EMBED_WD = 0.0     # AdamW, value embeddings
    UNEMBEDDING_WD = 0.0     # AdamW, output head
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
    DEPTH = 8                # layers
    DEVICE_BATCH_SIZE = 32   # rows per forward pass: lower it when memory runs out

def explain(kind, error, trace):
    """Uncaught exceptions end here: a line for what a constant above can mend, the traceback for everything else."""
    message = str(error)
    if kind is AssertionError and trace.tb_next is None:  # one of the asserts below
        print(f"error: {message}\nchange one of these constants in train.py", file=sys.stderr)
    elif "out of memory" in message or "can't allocate memory" in message:
        lower = f"DEVICE_BATCH_SIZE = {DEVICE_BATCH_SIZE // 2}" if DEVICE_BATCH_SIZE > 1 else f"DEPTH = {DEPTH // 2}"
        print(f"\nerror: out of memory with DEVICE_BATCH_SIZE = {DEVICE_BATCH_SIZE}", file=sys.stderr)
        print(f"set {lower} in train.py (the block of {DEVICE_CLASS})", file=sys.stderr)
    elif kind is KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)

sys.excepthook = explain
assert min(DEPTH, TOTAL_BATCH_SIZE, DEVICE_BATCH_SIZE) >= 1, "DEPTH, TOTAL_BATCH_SIZE and DEVICE_BATCH_SIZE must be at least 1"
assert HEAD_DIM % 2 == 0, "HEAD_DIM must be even: the rotary embedding turns pairs of channels"
assert TOTAL_BATCH_SIZE % (DEVICE_BATCH_SIZE * MAX_SEQ_LEN) == 0, \
    f"TOTAL_BATCH_SIZE must be a multiple of DEVICE_BATCH_SIZE * MAX_SEQ_LEN, here {DEVICE_BATCH_SIZE * MAX_SEQ_LEN:,}"
assert set(WINDOW_PATTERN) in ({"S"}, {"L"}, {"S", "L"}), "WINDOW_PATTERN must be made of S and L"

WIDTH = -(-DEPTH * ASPECT_RATIO // HEAD_DIM) * HEAD_DIM  # C, channels of the residual stream
NUM_HEADS = WIDTH // HEAD_DIM                            # H
SCORE_SCALE = QK_SCALE**2 / HEAD_DIM**0.5                # of attention, before the softmax
GRAD_ACCUM_STEPS = TOTAL_BATCH_SIZE // (DEVICE_BATCH_SIZE * MAX_SEQ_LEN)
assert max(SMEAR_CHANNELS, VE_GATE_CHANNELS) <= WIDTH, f"SMEAR_CHANNELS and VE_GATE_CHANNELS must be at most {WIDTH}"

if DEVICE != "cpu" and not getattr(torch, DEVICE).is_available():  # torch.cuda, torch.mps
    fail(f"torch sees no GPU for device class {DEVICE_CLASS}", "unset AUTORESEARCH_DEVICE, or repair the driver")
DTYPE = os.environ.get("DTYPE") or ("bfloat16" if DEVICE == "cuda" else "float32")  # of activations; weights are float32
if DTYPE not in ("bfloat16", "float32"):
    fail(f"DTYPE={DTYPE!r} is no precision", "unset it, or choose one of: bfloat16, float32")
if DTYPE == "bfloat16" and DEVICE == "cuda" and torch.cuda.get_device_capability() < (8, 0):
    fail(f"{torch.cuda.get_device_name()} has no bfloat16 units", "run with DTYPE=float32, which is slower")
DTYPE = torch.bfloat16 if DTYPE == "bfloat16" else torch.float32

# ---------------------------------------------------------------------------
# Attention and loss: for each the fastest path that gives the right result on this device
# ---------------------------------------------------------------------------

# Shapes: B rows, T tokens in a row, C = WIDTH channels, H heads of D = HEAD_DIM channels, V tokens in the vocabulary.
# Attention takes q, k, v (B, T, H, D) and gives the same shape; a token sees itself and `window` tokens before it.

def sdpa_attention(q, k, v, window, mask=None):
    """Torch's own choice of kernel: cuDNN on Hopper, FlashAttention 2 on earlier GPUs. Without a mask it has no window."""
    q, k, v = (z.transpose(1, 2) for z in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=SCORE_SCALE).transpose(1, 2)

def mask_attention(q, k, v, window):
    """Runs everywhere, and saves no time in a window. In float32 it is what the others are tested against."""
    position = torch.arange(q.size(1), device=q.device)
    back = position[:, None] - position  # (T, T), how far key j lies behind query i
    return sdpa_attention(q, k, v, window, (back >= 0) & (back <= window))

def fa2_attention(q, k, v, window):
    """FlashAttention 2 as it comes with torch's CUDA wheels, by the operator that has a window."""
    T, dropout, causal, debug = q.size(1), 0.0, True, False
    more = {"scale": SCORE_SCALE, "window_size_left": window, "window_size_right": 0}
    return torch.ops.aten._flash_attention_forward(q, k, v, None, None, T, T, dropout, causal, debug, **more)[0]

def fa4_attention(q, k, v, window):
    """FlashAttention 4, where `pip install --pre flash-attn-4` was run."""
    from flash_attn.cute.interface import flash_attn_func

    y = flash_attn_func(q, k, v, softmax_scale=SCORE_SCALE, causal=True, window_size=(window, 0))
    return y[0] if isinstance(y, tuple) else y

ATTENTION = {"sdpa": sdpa_attention, "mask": mask_attention, "fa2": fa2_attention, "fa4": fa4_attention}

def eager_cross_entropy(logits, targets, reduction="none"):
    """(N, V) logits, not yet capped, and (N,) targets to (N,) nats, or with reduction="mean" to their mean."""
    return F.cross_entropy(SOFTCAP * torch.tanh(logits.float() / SOFTCAP), targets, reduction=reduction)

try:
    if DEVICE != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":  # which runs kernels on a CPU, slowly
        raise ImportError
    import triton
    import triton.language as tl
except ImportError:
    triton = None
COMPILE = DEVICE == "cuda" and triton is not None  # on a CPU it took 15 s and made steps a tenth faster

if triton:

    @triton.jit
    def capped_row(logits, row, V, CAP: tl.constexpr, BLOCK: tl.constexpr):
        """The columns of a row, and its capped logits as a share of CAP: tanh(z / CAP)."""
        column = tl.arange(0, BLOCK)
        z = tl.load(logits + row * V + column, mask=column < V, other=0.0).to(tl.float32)
        return column, 2 * tl.sigmoid(2 * z / CAP) - 1

    @triton.jit
    def loss_kernel(logits, targets, loss, log_sum, V, CAP: tl.constexpr, BLOCK: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)  # rows * V overflows 32 bits
        column, share = capped_row(logits, row, V, CAP, BLOCK)
        top = CAP * tl.max(tl.where(column < V, share, -1.0))
        total = top + tl.log(tl.sum(tl.where(column < V, tl.exp(CAP * share - top), 0.0)))
        target = tl.sum(tl.where(column == tl.load(targets + row), CAP * share, 0.0))
        tl.store(log_sum + row, total)
        tl.store(loss + row, total - target)

    @triton.jit
    def gradient_kernel(logits, targets, log_sum, upstream, gradient, V, CAP: tl.constexpr, BLOCK: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        column, share = capped_row(logits, row, V, CAP, BLOCK)
        slope = tl.exp(CAP * share - tl.load(log_sum + row)) - tl.where(column == tl.load(targets + row), 1.0, 0.0)
        slope = tl.load(upstream + row) * slope * (1 - share * share)
        tl.store(gradient + row * V + column, slope.to(gradient.dtype.element_ty), mask=column < V)

    class FusedCrossEntropy(torch.autograd.Function):
        """eager_cross_entropy, but no (N, V) tensor in float32: logits are read once in each direction."""

        @staticmethod
        def forward(ctx, logits, targets):
            N, V = logits.shape
            loss, log_sum = torch.empty(2, N, device=logits.device)
            ctx.sizes = {"V": V, "CAP": SOFTCAP, "BLOCK": triton.next_power_of_2(V), "num_warps": 8}
            loss_kernel[(N,)](logits, targets, loss, log_sum, **ctx.sizes)
            ctx.save_for_backward(logits, targets, log_sum)
            return loss

        @staticmethod
        def backward(ctx, upstream):
            logits, targets, log_sum = ctx.saved_tensors
            gradient = torch.empty_like(logits)
            gradient_kernel[(len(logits),)](logits, targets, log_sum, upstream.contiguous(), gradient, **ctx.sizes)
            return gradient, None

    def fused_cross_entropy(logits, targets, reduction="none"):
        losses = FusedCrossEntropy.apply(logits.contiguous(), targets)
        return losses.mean() if reduction == "mean" else losses

CROSS_ENTROPY = {"fused": fused_cross_entropy} if triton else {}
CROSS_ENTROPY["eager"] = eager_cross_entropy

def first_sound(kind, candidates, reference, *inputs):
    """The name of the first candidate that agrees with `reference`, forward and backward. Says why others do not."""
    def outcome(function):
        leaves = [z.detach().requires_grad_() for z in inputs]
        y = function(*leaves)
        y.backward(torch.linspace(0, 1, y.numel(), device=y.device).view_as(y))  # each element counts differently
        return torch.cat([z.detach().float().flatten() for z in (y, *(z.grad for z in leaves))])

    expected = outcome(reference)
    for name, function in candidates.items():
        try:
            distance = (outcome(function) - expected).norm() / expected.norm()
            if distance < 0.02:  # bfloat16 alone is off by 0.004
                return name
            reason = f"off by {100 * distance:.1f} %"
        except Exception as error:  # whatever a missing or unfit kernel raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:100]
        print(f"{kind}: not {name}: {reason}")
    fail(f"no {kind} works on this device: {', '.join(candidates)} failed", "unset ATTN, or run with DTYPE=float32")

def pick_attention(window):
    """The name of the path for this window. ATTN forces one; SDPA, which has no window, leaves those to the mask."""
    full, forced = window >= MAX_SEQ_LEN, os.environ.get("ATTN", "")
    if forced not in ("", *ATTENTION):
        fail(f"ATTN={forced!r} is no path of attention", f"unset it, or choose one of: {', '.join(ATTENTION)}")
    ladder = ["sdpa"] if full else ["fa4", "fa2", "mask"] if DEVICE == "cuda" else ["mask"]
    if forced:
        ladder = ["mask" if forced == "sdpa" and not full else forced]
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 256, NUM_HEADS, HEAD_DIM, generator=generator).to(DEVICE, DTYPE)
    window = 256 if full else 64
    candidates = {name: partial(ATTENTION[name], window=window) for name in ladder}
    return first_sound("attention", candidates, lambda *qkv: mask_attention(*(z.float() for z in qkv), window), q, k, v)

def pick_cross_entropy():
    """The name of the path for the loss."""
    generator = torch.Generator().manual_seed(0)
    logits = (10 * torch.randn(8, 300, generator=generator)).to(DEVICE, DTYPE)
    targets = torch.randint(300, (8,), generator=generator).to(DEVICE)
    candidates = {name: partial(path, targets=targets) for name, path in CROSS_ENTROPY.items()}
    return first_sound("cross-entropy", candidates, partial(eager_cross_entropy, targets=targets), logits)


# ---------------------------------------------------------------------------
# Model
# ---------------------------------------------------------------------------

def norm(x):
    return F.rms_norm(x, x.shape[-1:])

def has_value_embedding(layer):
    return VE_EVERY > 0 and (DEPTH - 1 - layer) % VE_EVERY == 0

def window_of(layer):
    """How far back the attention of this layer sees, in tokens."""
    full = layer == DEPTH - 1 or WINDOW_PATTERN[layer % len(WINDOW_PATTERN)] == "L"
    return MAX_SEQ_LEN if full else int(MAX_SEQ_LEN * SHORT_WINDOW)

def rotate(x, cos, sin):
    """Rotary position: channel d and channel d + D/2 turn by an angle that grows with the position."""
    a, b = x.chunk(2, dim=-1)  # (B, T, H, D/2) each
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)

class Linear(nn.Linear):
    """Without bias; multiplies in the precision of its input, while the optimiser sees float32."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x):
        return F.linear(x, self.weight.to(x.dtype))

class Attention(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.window = window_of(layer)
        self.c_q = Linear(WIDTH, WIDTH)
        self.c_k = Linear(WIDTH, WIDTH)
        self.c_v = Linear(WIDTH, WIDTH)
        self.c_proj = Linear(WIDTH, WIDTH)
        self.ve_gate = Linear(VE_GATE_CHANNELS, NUM_HEADS) if has_value_embedding(layer) else None

    def forward(self, x, ve, cos, sin):
        heads = (*x.shape[:2], NUM_HEADS, HEAD_DIM)
        q, k, v = (project(x).view(heads) for project in (self.c_q, self.c_k, self.c_v))  # (B, T, H, D)
        if self.ve_gate is not None:  # values see the token itself, as much as the gate of each head lets through
            gate = 2 * torch.sigmoid(self.ve_gate(x[..., :VE_GATE_CHANNELS]))  # (B, T, H), 1 at the start
            v = v + gate[..., None] * ve.view(heads)
        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))  # equal lengths keep the scores in bounds
        y = ATTENTION[attention_paths[self.window]](q, k, v, self.window)  # (B, T, H, D)
        return self.c_proj(y.reshape(x.shape))  # (B, T, C)

class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = Linear(WIDTH, int(MLP_RATIO * WIDTH))
        self.c_proj = Linear(int(MLP_RATIO * WIDTH), WIDTH)

    def forward(self, x):
        return self.c_proj(F.relu(self.c_fc(x)).square())

class Block(nn.Module):
    """One layer with all that is its own, so that layers of the same kind compile once."""

    def __init__(self, layer, vocab_size):
        super().__init__()
        self.attn = Attention(layer)
        self.mlp = MLP()
        self.value_embed = nn.Embedding(vocab_size, WIDTH) if has_value_embedding(layer) else None
        self.resid_lambda = nn.Parameter(torch.empty(()))  # without a dimension, it does not widen bfloat16 activations
        self.x0_lambda = nn.Parameter(torch.empty(()))
        self.bigram_lambda = nn.Parameter(torch.empty(())) if BIGRAM_RATIO else None

    def forward(self, x, x0, bigram, idx, cos, sin):
        x = self.resid_lambda * x + self.x0_lambda * x0  # (B, T, C)
        if self.bigram_lambda is not None:
            x = x + self.bigram_lambda * bigram
        ve = None if self.value_embed is None else self.value_embed(idx)  # (B, T, C)
        x = x + self.attn(norm(x), ve, cos, sin)
        return x + self.mlp(norm(x))

class GPT(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, WIDTH)
        self.smear_gate = Linear(SMEAR_CHANNELS, 1) if SMEAR_CHANNELS else None
        self.smear_lambda = nn.Parameter(torch.empty(())) if SMEAR_CHANNELS else None
        self.bigram_embed = nn.Embedding(BIGRAM_RATIO * vocab_size, WIDTH) if BIGRAM_RATIO else None
        self.blocks = nn.ModuleList(Block(layer, vocab_size) for layer in range(DEPTH))
        self.backout_lambda = nn.Parameter(torch.empty(())) if BACKOUT_INIT else None
        self.lm_head = Linear(WIDTH, vocab_size)
        position = torch.arange(MAX_SEQ_LEN)  # (T,)
        turns = ROPE_BASE ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)  # (D/2,)
        angle = torch.outer(position.float(), turns)[:, None, :]  # (T, 1, D/2)
        self.register_buffer("cos", angle.cos().to(DTYPE), persistent=False)
        self.register_buffer("sin", angle.sin().to(DTYPE), persistent=False)

    @torch.no_grad()
    def init_weights(self):
        """Each parameter draws from a generator of its own name, so an edit elsewhere leaves its numbers alone."""
        bound = INIT_SCALE * (3 / WIDTH) ** 0.5  # uniform within it: a standard deviation of INIT_SCALE / sqrt(C)
        constants = {"resid_lambda": RESID_INIT, "x0_lambda": X0_INIT, "bigram_lambda": BIGRAM_INIT,
                     "smear_lambda": 0.0, "backout_lambda": BACKOUT_INIT}  # fmt: skip
        for name, parameter in self.named_parameters():
            seed = hashlib.sha256(f"{SEED} {name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(seed[:8], "big"))
            weight = torch.empty(parameter.shape)  # drawn on the CPU: the same numbers on every device
            if name.split(".")[-1] in constants:
                weight.fill_(constants[name.split(".")[-1]])
            elif name == "wte.weight":
                weight.normal_(0, 1, generator=generator)
            elif name == "lm_head.weight":
                weight.normal_(0, 0.001, generator=generator)
            elif name.endswith(("c_proj.weight", "gate.weight", "bigram_embed.weight")):
                weight.zero_()  # each block begins as the identity
            else:
                weight.uniform_(-bound, bound, generator=generator)
            parameter.copy_(weight)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                module.to(DTYPE)  # the residual stream takes its precision from here

    def compile_parts(self):
        """Part by part: layers of one kind share their code, which halves the time of a cold start."""
        torch._dynamo.config.recompile_limit = DEPTH + 8  # even if each layer becomes a kind of its own
        ATTENTION["fa4"] = torch.compiler.disable(fa4_attention)  # it brings its own compiler
        self.embed, self.unembed = (torch.compile(part, dynamic=False) for part in (self.embed, self.unembed))
        for block in self.blocks:
            block.forward = torch.compile(block.forward, dynamic=False)

    def embed(self, idx):
        """(B, T) to the stream that enters the layers (B, T, C) and the embedding of token pairs (B, T, C) or None."""
        x = norm(self.wte(idx))
        if self.smear_gate is not None:  # a share of the previous token
            gate = self.smear_lambda * torch.sigmoid(self.smear_gate(x[:, 1:, :SMEAR_CHANNELS]))  # (B, T-1, 1)
            x = x + F.pad(gate * x[:, :-1], (0, 0, 1, 0))
        if self.bigram_embed is None:
            return x, None
        pair = F.pad(idx[:, :-1], (1, 0)) * self.wte.num_embeddings + idx  # a number for each (previous, current)
        return x, self.bigram_embed((pair * 2654435761 >> 12) % self.bigram_embed.num_embeddings)  # Knuth's hash

    def unembed(self, x, middle):
        """Last and middle stream (B, T, C) to logits (B, T, V), not yet capped."""
        if self.backout_lambda is not None:  # what serves the layers only would blur the prediction
            x = x - self.backout_lambda * middle
        return self.lm_head(norm(x))

    def forward(self, idx, targets=None, reduction="mean"):
        """The mean loss, (B * T,) losses with reduction="none", or without targets the logits (B, T, V)."""
        # With gradients also in an evaluation, which then runs what was compiled for training; they end with the logits.
        with torch.set_grad_enabled(torch.is_grad_enabled() or COMPILE):
            cos, sin = self.cos[: idx.size(1)], self.sin[: idx.size(1)]
            x0, bigram = self.embed(idx)
            x = x0.view_as(x0)  # another object: given one twice, dynamo would compile the first layer on its own
            for layer, block in enumerate(self.blocks):
                x = block(x, x0, bigram, idx, cos, sin)  # (B, T, C)
                if layer == (DEPTH - 1) // 2:
                    middle = x
            logits = self.unembed(x, middle)
        if targets is None:
            return SOFTCAP * torch.tanh(logits.float() / SOFTCAP)
        return CROSS_ENTROPY[cross_entropy_path](logits.view(-1, logits.size(-1)), targets.reshape(-1), reduction)


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
        x = a * x + (b * gram + c * (gram @ gram)) @ x
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

if COMPILE:
    muon_update = torch.compile(muon_update, dynamic=False, fullgraph=True)

def adamw_update(params, grads, state, steps, lr, betas, weight_decay):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) on lists of tensors of one precision, in place, as one kernel."""
    torch._fused_adamw_(  # torch.optim.AdamW calls it too, but takes over a second to import
        params, grads, *state, [], steps, lr=lr, beta1=betas[0], beta2=betas[1], weight_decay=weight_decay,
        eps=1e-10, amsgrad=False, maximize=False,
    )  # fmt: skip

class MuonAdamW:
    def __init__(self, model):
        scale = (WIDTH / 768) ** -0.5  # wider models want smaller steps here; Muon's do not depend on the width
        kinds = [  # what the names of AdamW's parameters end in, learning rate, betas, weight decay
            (("wte.weight", "bigram_embed.weight"), EMBEDDING_LR * scale, ADAM_BETAS, EMBEDDING_WD),
            (("value_embed.weight",), EMBEDDING_LR * scale, ADAM_BETAS, VALUE_EMBED_WD),
            (("lm_head.weight",), UNEMBEDDING_LR * scale, ADAM_BETAS, UNEMBEDDING_WD),
            (("resid_lambda",), SCALAR_LR * 0.01, ADAM_BETAS, 0.0),
            (("x0_lambda", "bigram_lambda"), SCALAR_LR, (0.96, ADAM_BETAS[1]), 0.0),
            (("smear_gate.weight", "smear_lambda", "backout_lambda"), SCALAR_LR * 0.4, ADAM_BETAS, 0.0),
        ]
        named = dict(model.named_parameters())
        self.adam = [([named.pop(n) for n in list(named) if n.endswith(ends)], *rest) for ends, *rest in kinds]
        others = [name for name, p in named.items() if p.ndim != 2 or not name.startswith("blocks.")]
        assert not others, f"MuonAdamW has no learning rate for {', '.join(others)}"
        shapes = sorted({p.shape for p in named.values()})
        self.muon = [[p for p in named.values() if p.shape == shape] for shape in shapes]  # one stack per shape
        self.forget()

    def forget(self):
        """Back to the state before the first step."""
        zeros = lambda tensors: [torch.zeros_like(p) for p in tensors]  # noqa: E731
        self.adam_state = [(zeros(params), zeros(params)) for params, *_ in self.adam]
        self.adam_steps = [[torch.zeros((), device=DEVICE) for _ in params] for params, *_ in self.adam]
        self.muon_state = []
        for params in self.muon:
            p = torch.stack(params)  # (N, rows, columns)
            per_line = p[..., :1] if p.size(-2) >= p.size(-1) else p[:, :1]
            self.muon_state.append(zeros((p, per_line)))

    @torch.no_grad()
    def step(self, lr_multiplier, momentum, weight_decay):
        for (params, lr, *rest), state, steps in zip(self.adam, self.adam_state, self.adam_steps, strict=True):
            if params:
                torch._foreach_add_(steps, 1)
                adamw_update(params, [p.grad for p in params], state, steps, lr * lr_multiplier, *rest)
        for params, state in zip(self.muon, self.muon_state, strict=True):
            p, g = torch.stack(params), torch.stack([p.grad for p in params])  # (N, rows, columns)
            lr = MATRIX_LR * max(1, p.size(-2) / p.size(-1)) ** 0.5 * lr_multiplier
            now = (momentum, lr, weight_decay)  # numbers that change would make torch.compile start over; tensors do not
            muon_update(p, g, *state, *(torch.tensor(float(z)) if COMPILE else z for z in now), MUON_BETA2)
            torch._foreach_copy_(params, list(p.unbind()))

def lr_multiplier(progress):
    """A trapezoid: up over WARMUP_RATIO (from a tenth: a CPU spends its first steps at progress 0), level, down."""
    if progress < WARMUP_RATIO:
        return max(0.1, progress / WARMUP_RATIO)
    left = (1 - progress) / WARMDOWN_RATIO if WARMDOWN_RATIO > 0 else 1.0
    return FINAL_LR_FRAC + (1 - FINAL_LR_FRAC) * min(left, 1.0)

def muon_momentum(step):
    return 0.85 + (MOMENTUM - 0.85) * min(step / MOMENTUM_STEPS, 1) if MOMENTUM_STEPS > 0 else MOMENTUM

# ---------------------------------------------------------------------------
# Setup
# ---------------------------------------------------------------------------

seconds, mark = {}, t_start  # of each phase; when the current one began

def end_phase(name):
    """Wait for the device, and book the time since the last call under `name`."""
    global mark
    wait_for_device()
    seconds[name] = time.time() - mark
    mark += seconds[name]

def warm_up():
    """Compile everything and run it once more before the clock starts, and learn nothing: the weights are put back."""
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    for phase in ("compile", "warmup"):
        model(x, y).backward()
        optimizer.step(lr_multiplier(0), muon_momentum(0), WEIGHT_DECAY)
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            model(x, y, reduction="none")
        end_phase(phase)
    model.load_state_dict(kept)
    optimizer.forget()

torch.manual_seed(SEED)
torch.set_float32_matmul_precision("high")  # TF32 for what stays in fp32
end_phase("import")

tokenizer = Tokenizer.from_directory()
train_loader = make_dataloader(tokenizer, DEVICE_BATCH_SIZE, MAX_SEQ_LEN, "train")
x, y, epoch = next(train_loader)  # (B, T), (B, T)
end_phase("data")

attention_paths = {window: pick_attention(window) for window in sorted({window_of(layer) for layer in range(DEPTH)})}
cross_entropy_path = pick_cross_entropy()
with torch.device(DEVICE):
    model = GPT(tokenizer.get_vocab_size())
model.init_weights()
optimizer = MuonAdamW(model)
if COMPILE:
    model.compile_parts()
end_phase("model")

num_params = sum(p.numel() for p in model.parameters())
num_matmul_params = sum(module.weight.numel() for module in model.modules() if isinstance(module, Linear))
# 6 per parameter that multiplies, 12 per channel and visible token in attention; counted like upstream, without the
# causal half, so that mfu_percent means the same there and here
flops_per_token = 6 * num_matmul_params + sum(12 * WIDTH * window_of(layer) for layer in range(DEPTH))
peak_flops = (DTYPE is torch.bfloat16 and peak_bf16_flops()) or float("inf")  # unknown: no mfu is claimed
attention = ", ".join(f"{name} within {window}" for window, name in attention_paths.items())

print(f"Device: {device_name()} (class {DEVICE_CLASS}), {DTYPE}")
print(f"Model: depth {DEPTH}, width {WIDTH}, {NUM_HEADS} heads, {num_params / 1e6:.1f} M parameters")
print(f"Attention: {attention}; cross-entropy: {cross_entropy_path}")
print(f"Batch: {TOTAL_BATCH_SIZE:,} tokens = {GRAD_ACCUM_STEPS} x {DEVICE_BATCH_SIZE} rows x {MAX_SEQ_LEN} tokens; "
      f"budget {TIME_BUDGET:g} s, seed {SEED}", flush=True)

warm_up()
gc.collect()  # a garbage collection stalls a step by half a second, and nothing here needs one
gc.freeze()
gc.disable()

# ---------------------------------------------------------------------------
# Training loop
# ---------------------------------------------------------------------------

clock = TrainingClock()
smooth_loss = 0.0
while not clock.done:
    batch_loss = 0.0
    for _ in range(GRAD_ACCUM_STEPS):
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
    mfu = 100 * flops_per_token * TOTAL_BATCH_SIZE / dt / peak_flops
    print(f"\rstep {step:05d} ({100 * progress:.1f}%) | loss: {debiased_loss:.6f} | lrm: {lrm:.2f} | dt: {1000 * dt:.0f}ms"
          f" | tok/sec: {TOTAL_BATCH_SIZE / dt:,.0f} | mfu: {mfu:.1f}% | epoch: {epoch}"
          f" | remaining: {clock.remaining_seconds:.0f}s    ", end="", flush=True)

print()
end_phase("train")

# ---------------------------------------------------------------------------
# Evaluation and summary
# ---------------------------------------------------------------------------

val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)
end_phase("eval")
gc.unfreeze()  # or Triton's bindings complain of leaks at the exit
gc.enable()
tokens = clock.num_steps * TOTAL_BATCH_SIZE
tokens_per_second = tokens / clock.training_seconds
mfu = 100 * flops_per_token * tokens_per_second / peak_flops
summary = {
    "val_bpb": f"{val_bpb:.6f}",
    "training_seconds": f"{clock.training_seconds:.1f}",
    "total_seconds": f"{mark - t_start:.1f}",
    "peak_vram_mb": f"{peak_memory() / 2**20:.1f}",
    "mfu_percent": f"{mfu:.2f}",
    "total_tokens_M": f"{tokens / 1e6:.1f}",
    "num_steps": clock.num_steps,
    "num_params_M": f"{num_params / 1e6:.1f}",
    "depth": DEPTH,
    "width": WIDTH,
    "num_heads": NUM_HEADS,
    "tokens_per_second": f"{tokens_per_second:.0f}",
    "step_ms": f"{1000 * clock.step_seconds:.1f}",
    **{f"{phase}_seconds": f"{spent:.2f}" for phase, spent in seconds.items()},  # together total_seconds
    "budget_seconds": f"{TIME_BUDGET:g}",
    "attention": attention,
    "cross_entropy": cross_entropy_path,
    "dtype": str(DTYPE).removeprefix("torch."),
    "device": device_name(),
    "device_class": DEVICE_CLASS,
    "seed": SEED,
}
print("---", *(f"{name + ':':17} {value}" for name, value in summary.items()), sep="\n")
