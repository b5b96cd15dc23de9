"""Rotate queries and keys, and put keys and values where their positions live.

The tables are those of `models/rope.py`: `y = x[first] * cos + x[second] * sin` holds the pairing, the
partial width and the base of a family, so the kernel knows none of them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


def rope_write_reference(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    tables: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    positions: torch.Tensor,
    table: torch.Tensor,
    k_pages: torch.Tensor,
    v_pages: torch.Tensor,
) -> torch.Tensor:
    """What `rope_write` computes and writes."""
    cos, sin, first, second = tables
    here = positions.long()
    pages = table.gather(1, here[:, None])[:, 0].long()

    def turned(x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        return (wide[..., first] * cos[here] + wide[..., second] * sin[here]).to(x.dtype)

    k_pages[pages], v_pages[pages] = turned(k), v
    return turned(q)


def rope_write(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    tables: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    positions: torch.Tensor,
    table: torch.Tensor,
    k_pages: torch.Tensor,
    v_pages: torch.Tensor,
) -> torch.Tensor:
    """Rotated queries `[N, H, E]`; k and v `[N, Hkv, E]` go to pages `[P, Hkv, E]`, k rotated.

    `tables`: cos and sin float32 `[positions, 1, E]`, first and second int64 `[E]`. `positions` int32 `[N]`.
    `table` int32 `[N, S]` names the page of each position; all rows of a prompt share one, expanded. q, k
    and v may be slices of one projection: their last two axes are contiguous, their rows anywhere.
    """
    rows, heads, width = q.shape
    groups = k.shape[1]
    out = q.new_empty((rows, heads, width))
    cos, sin, first, second = tables
    _rope_write[(rows,)](
        q, k, v, cos, sin, first, second, positions, table, k_pages, v_pages, out,
        q.stride(0), k.stride(0), v.stride(0), table.stride(0),
        H=heads, HKV=groups, E=width,
        BLOCK_H=triton.next_power_of_2(heads), BLOCK_G=triton.next_power_of_2(groups),
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
    q: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    cos: tl.tensor,
    sin: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    positions: tl.tensor,
    table: tl.tensor,
    k_pages: tl.tensor,
    v_pages: tl.tensor,
    out: tl.tensor,
    q_stride: tl.tensor,
    k_stride: tl.tensor,
    v_stride: tl.tensor,
    table_stride: tl.tensor,
    H: tl.constexpr,
    HKV: tl.constexpr,
    E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_E: tl.constexpr,
) -> None:
    """All heads of one row."""
    row, e = tl.program_id(0), tl.arange(0, BLOCK_E)
    position = tl.load(positions + row)
    c = tl.load(cos + position * E + e, mask=e < E, other=0)
    s = tl.load(sin + position * E + e, mask=e < E, other=0)
    left = tl.load(first + e, mask=e < E, other=0)
    right = tl.load(second + e, mask=e < E, other=0)
    heads = tl.arange(0, BLOCK_H)[:, None]
    inside = (heads < H) & (e < E)[None, :]
    queries = _turned(q + row * q_stride, c, s, left, right, inside, heads, E)
    tl.store(out + (row * H + heads) * E + e[None, :], queries, mask=inside)
    groups = tl.arange(0, BLOCK_G)[:, None]
    inside = (groups < HKV) & (e < E)[None, :]
    keys = _turned(k + row * k_stride, c, s, left, right, inside, groups, E)
    values = tl.load(v + row * v_stride + groups * E + e[None, :], mask=inside, other=0)
    page = tl.load(table + row * table_stride + position).to(tl.int64)
    places = (page * HKV + groups) * E + e[None, :]
    tl.store(k_pages + places, keys, mask=inside)
    tl.store(v_pages + places, values, mask=inside)
