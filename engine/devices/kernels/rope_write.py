"""Rotate queries and keys, and put keys and values where their positions live.

`y = x[first] * cos + x[second] * sin` holds the pairing, the partial width and the base of a family, so the
kernel knows none of them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from dreamscope.engine.devices.base import Rotation


def rope_write_reference(
    heads: torch.Tensor,
    values: torch.Tensor,
    rotation: Rotation,
    pages: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
) -> torch.Tensor:
    """What `rope_write` computes and writes."""
    wide, queries = heads.float(), heads.shape[1] - values.shape[1]
    turned = wide[..., rotation.first] * rotation.cos + wide[..., rotation.second] * rotation.sin
    k[pages], v[pages] = turned[:, queries:].to(k.dtype), values
    return turned[:, :queries].to(heads.dtype)


def rope_write(
    heads: torch.Tensor,
    values: torch.Tensor,
    rotation: Rotation,
    pages: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
) -> torch.Tensor:
    """Rotated queries `[N, H, E]` of `heads` `[N, H + Hkv, E]`; the keys behind them, rotated, and `values`
    `[N, Hkv, E]` go to k and v `[P, Hkv, E]`.

    `rotation`: cos and sin float32 `[N, 1, E]`, contiguous, first and second int64 `[E]`. `pages` ints `[N]`.
    Heads and values may be slices of one projection: their last two axes are contiguous, their rows anywhere.
    """
    rows, total, width = heads.shape
    groups = values.shape[1]
    out = heads.new_empty((rows, total - groups, width))
    _rope_write[(rows,)](
        heads, values, *rotation, pages, k, v, out, heads.stride(0), values.stride(0),
        H=total - groups, HKV=groups, E=width,
        BLOCK_H=triton.next_power_of_2(total - groups), BLOCK_G=triton.next_power_of_2(groups),
        BLOCK_E=triton.next_power_of_2(width),
    )  # fmt: skip
    return out


@triton.jit
def _turned(
    x: tl.tensor,
    cos: tl.tensor,
    sin: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    inside: tl.tensor,
    heads: tl.tensor,
    E: tl.constexpr,
) -> tl.tensor:
    """The heads that begin at `x`, rotated."""
    a = tl.load(x + heads * E + first[None, :], mask=inside, other=0).to(tl.float32)
    b = tl.load(x + heads * E + second[None, :], mask=inside, other=0).to(tl.float32)
    return a * cos[None, :] + b * sin[None, :]


@triton.jit
def _rope_write(
    x: tl.tensor,
    values: tl.tensor,
    cos: tl.tensor,
    sin: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    pages: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    out: tl.tensor,
    x_stride: tl.tensor,
    value_stride: tl.tensor,
    H: tl.constexpr,
    HKV: tl.constexpr,
    E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_E: tl.constexpr,
) -> None:
    """All heads of one row."""
    row, e = tl.program_id(0), tl.arange(0, BLOCK_E)
    c = tl.load(cos + row * E + e, mask=e < E, other=0)
    s = tl.load(sin + row * E + e, mask=e < E, other=0)
    left = tl.load(first + e, mask=e < E, other=0)
    right = tl.load(second + e, mask=e < E, other=0)
    heads = tl.arange(0, BLOCK_H)[:, None]
    inside = (heads < H) & (e < E)[None, :]
    queries = _turned(x + row * x_stride, c, s, left, right, inside, heads, E)
    tl.store(out + (row * H + heads) * E + e[None, :], queries, mask=inside)
    groups = tl.arange(0, BLOCK_G)[:, None]
    inside = (groups < HKV) & (e < E)[None, :]
    keys = _turned(x + row * x_stride + H * E, c, s, left, right, inside, groups, E)
    kept = tl.load(values + row * value_stride + groups * E + e[None, :], mask=inside, other=0)
    places = (tl.load(pages + row).to(tl.int64) * HKV + groups) * E + e[None, :]
    tl.store(k + places, keys, mask=inside)
    tl.store(v + places, kept, mask=inside)
