"""Stands in for the `kernels` hub package in front of upstream's train.py, where nothing can be downloaded.

compare_upstream.py puts a copy named kernels.py beside the copy of upstream's train.py. It answers the one call made
there, `get_kernel(…).flash_attn_interface.flash_attn_func(q, k, v, causal=True, window_size=(w, 0))` on (B, T, H, D),
with what torch itself carries: SDPA for full attention; for windows the FlashAttention-2 kernel, or SDPA with a mask.
"""

from types import SimpleNamespace

import torch
import torch.nn.functional as F


def full(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, H, T, D)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def masked(q, k, v, window):
    position = torch.arange(q.size(1), device=q.device)
    back = position[:, None] - position[None, :]  # how far key j lies behind query i
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=(back >= 0) & (back <= window)).transpose(1, 2)


def flash2(q, k, v, window):
    T = q.size(1)
    op = torch.ops.aten._flash_attention_forward
    return op(q, k, v, None, None, T, T, 0.0, True, False, window_size_left=window, window_size_right=0)[0]


def flash2_works():
    """On this GPU, against the masked form, forward and backward."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0):
        return False
    generator = torch.Generator("cuda").manual_seed(0)  # of its own: upstream's random numbers stay what they were
    q, k, v = torch.randn(3, 1, 256, 2, 128, device="cuda", generator=generator).bfloat16().requires_grad_()
    try:
        pairs = [(y, *torch.autograd.grad(y.float().square().sum(), (q, k, v)))
                 for y in (flash2(q, k, v, 100), masked(q, k, v, 100))]  # fmt: skip
    except (RuntimeError, TypeError):  # not in this build of torch, or called otherwise
        return False
    return all((a.float() - b.float()).norm() < 0.02 * b.float().norm() for a, b in zip(*pairs, strict=True))


windowed, name = (flash2, "flash2") if flash2_works() else (masked, "masked sdpa")
print(f"attention: full sdpa, windows {name} (stub)")


def flash_attn_func(q, k, v, causal, window_size):
    assert (causal, window_size[1]) == (True, 0), "upstream asks for another kind of attention than it did"
    q, k = q.to(v.dtype), k.to(v.dtype)
    return full(q, k, v) if window_size[0] >= q.size(1) else windowed(q, k, v, window_size[0])


def get_kernel(repository):
    return SimpleNamespace(flash_attn_interface=SimpleNamespace(flash_attn_func=flash_attn_func))
