"""Attention over pages: a decode step of many rows, and the prefill of one prompt.

Keys and values of a layer lie in pages of one position, `[P, Hkv, E]`; a table names the page of each
position. Query head h reads key head `h // (H / Hkv)`; scores are scaled by `1 / sqrt(E)`. A softmax is
kept as its highest score, the sum of its weights and the weighted values, and takes in a block of keys at a
time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

BLOCK = 64
"""Positions, or queries, that a program holds at a time."""
_SMALLEST = 16
"""Sides of a matrix product on the card are no shorter."""
_PROGRAMS = 256
"""Programs that a decode step is split into: fewer leave a card idle. An estimate, not a measurement."""
_MAX_SPLITS = 16


def paged_attention_reference(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """What `paged_attention` computes, row by row."""
    rows = []
    for query, pages, length in zip(q, table, lengths.tolist(), strict=True):
        keys, values = (x[pages[:length].long()].permute(1, 0, 2) for x in (k, v))
        rows.append(F.scaled_dot_product_attention(query[:, None], keys, values, enable_gqa=True)[:, 0])
    return torch.stack(rows)


def prefix_attention_reference(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, block: int
) -> torch.Tensor:
    """What `prefix_attention` computes, with the whole mask."""
    positions = torch.arange(len(table), device=q.device)
    queries = positions[len(table) - len(q) :, None]
    seen = (positions <= queries) | ((positions < block) & (queries < block))
    keys, values = (x[table.long()].permute(1, 0, 2) for x in (k, v))
    mixed = F.scaled_dot_product_attention(q.permute(1, 0, 2), keys, values, seen, enable_gqa=True)
    return mixed.permute(1, 0, 2)


def paged_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """One query for each row: q `[B, H, E]`, k and v `[P, Hkv, E]` to `[B, H, E]`; pages are contiguous.

    `table` ints `[B, S]`, `lengths` ints `[B]`, each at least 1: row b attends to its first `lengths[b]`
    positions. Few rows are split over positions; the parts are joined through float32 scratch
    `[B, H, splits, E + 1]`.
    """
    batch, heads, width = q.shape
    groups = k.shape[1]
    splits = min(_MAX_SPLITS, triton.next_power_of_2(triton.cdiv(_PROGRAMS, batch * groups)))
    out = q.new_empty(q.shape)
    parts = out if splits == 1 else q.new_empty((batch, heads, splits, width), dtype=torch.float32)
    weights = q.new_empty((batch, heads, splits), dtype=torch.float32)
    sides = {"E": width, "BLOCK_E": max(_SMALLEST, triton.next_power_of_2(width))}
    _attend_part[batch, groups, splits](
        q.contiguous(), k, v, table, lengths, parts, weights, table.stride(0), width**-0.5,
        HKV=groups, GROUP=heads // groups, SPLITS=splits, BLOCK=BLOCK,
        BLOCK_G=max(_SMALLEST, triton.next_power_of_2(heads // groups)), **sides,
    )  # fmt: skip
    if splits > 1:
        _join_parts[(batch * heads,)](parts, weights, out, SPLITS=splits, **sides)
    return out


def prefix_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, block: int
) -> torch.Tensor:
    """The queries of one prompt: q `[T, H, E]`, k and v `[P, Hkv, E]` to `[T, H, E]`; pages are contiguous.

    The queries are the last T of the positions whose pages `table`, ints `[S]`, names. Positions below
    `block`, at most S, see each other, later ones are causal.
    """
    length, heads, width = q.shape
    out = q.new_empty(q.shape)
    _attend_prefix[triton.cdiv(length, BLOCK), heads](
        q.contiguous(), k, v, table, out, length, len(table) - length, block, width**-0.5,
        H=heads, HKV=k.shape[1], E=width, BLOCK_E=max(_SMALLEST, triton.next_power_of_2(width)), BLOCK=BLOCK,
    )  # fmt: skip
    return out


@triton.jit
def _fold(
    queries: tl.tensor,
    keys: tl.tensor,
    values: tl.tensor,
    seen: tl.tensor,
    scale: tl.tensor,
    best: tl.tensor,
    total: tl.tensor,
    mixed: tl.tensor,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Take a block of keys into the softmax of each query. Every query has seen a key by now."""
    scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale
    scores = tl.where(seen, scores, float("-inf"))
    higher = tl.maximum(best, tl.max(scores, 1))
    weights = tl.exp(scores - higher[:, None])
    kept = tl.exp(best - higher)
    added = tl.dot(weights.to(values.dtype), values, input_precision="ieee")
    return higher, total * kept + tl.sum(weights, 1), mixed * kept[:, None] + added


@triton.jit
def _attend_part(
    q: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    table: tl.tensor,
    lengths: tl.tensor,
    parts: tl.tensor,
    weights: tl.tensor,
    stride: tl.tensor,
    scale: tl.tensor,
    HKV: tl.constexpr,
    GROUP: tl.constexpr,
    SPLITS: tl.constexpr,
    E: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The query heads of one key head over one part of a row's positions."""
    row, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    g, e = tl.arange(0, BLOCK_G), tl.arange(0, BLOCK_E)
    inside = (g < GROUP)[:, None] & (e < E)[None, :]
    heads = (row * HKV + head) * GROUP + g
    queries = tl.load(q + heads[:, None] * E + e[None, :], mask=inside, other=0)
    length = tl.load(lengths + row)
    share = tl.cdiv(tl.cdiv(length, SPLITS), BLOCK) * BLOCK
    last = tl.minimum((split + 1) * share, length)
    best = tl.full((BLOCK_G,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_G,), tl.float32)
    mixed = tl.zeros((BLOCK_G, BLOCK_E), tl.float32)
    for start in range(split * share, last, BLOCK):
        positions = start + tl.arange(0, BLOCK)
        seen = positions < last
        pages = tl.load(table + row * stride + positions, mask=seen, other=0).to(tl.int64)
        places = (pages * HKV + head)[:, None] * E + e[None, :]
        real = seen[:, None] & (e < E)[None, :]
        keys = tl.load(k + places, mask=real, other=0)
        values = tl.load(v + places, mask=real, other=0)
        best, total, mixed = _fold(queries, keys, values, seen[None, :], scale, best, total, mixed)
    total = tl.where(total > 0, total, 1)  # a part without positions is zero, and weighs exp(-inf)
    place = heads * SPLITS + split
    tl.store(parts + place[:, None] * E + e[None, :], mixed / total[:, None], mask=inside)
    tl.store(weights + place, best + tl.log(total), mask=g < GROUP)


@triton.jit
def _join_parts(
    parts: tl.tensor,
    weights: tl.tensor,
    out: tl.tensor,
    SPLITS: tl.constexpr,
    E: tl.constexpr,
    BLOCK_E: tl.constexpr,
) -> None:
    """The parts of one query head, weighted by what their softmaxes add up to."""
    head, split, e = tl.program_id(0), tl.arange(0, SPLITS), tl.arange(0, BLOCK_E)
    log_weight = tl.load(weights + head * SPLITS + split)
    weight = tl.exp(log_weight - tl.max(log_weight, 0))
    places = (head * SPLITS + split)[:, None] * E + e[None, :]
    part = tl.load(parts + places, mask=(e < E)[None, :], other=0)
    joined = tl.sum(part * weight[:, None], 0) / tl.sum(weight, 0)
    tl.store(out + head * E + e, joined, mask=e < E)


@triton.jit(do_not_specialize=["length", "start", "block"])
def _attend_prefix(
    q: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    table: tl.tensor,
    out: tl.tensor,
    length: tl.tensor,
    start: tl.tensor,
    block: tl.tensor,
    scale: tl.tensor,
    H: tl.constexpr,
    HKV: tl.constexpr,
    E: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One query head over `BLOCK` queries."""
    first, head, e = tl.program_id(0) * BLOCK, tl.program_id(1), tl.arange(0, BLOCK_E)
    i = first + tl.arange(0, BLOCK)
    inside = (i < length)[:, None] & (e < E)[None, :]
    places = (i * H + head)[:, None] * E + e[None, :]
    queries = tl.load(q + places, mask=inside, other=0)
    position = (start + i)[:, None]
    end = start + tl.minimum(first + BLOCK, length)
    end = tl.where(start + first < block, tl.maximum(end, block), end)
    best = tl.full((BLOCK,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    mixed = tl.zeros((BLOCK, BLOCK_E), tl.float32)
    for origin in range(0, end, BLOCK):
        others = origin + tl.arange(0, BLOCK)
        pages = tl.load(table + others, mask=others < end, other=0).to(tl.int64)
        rows = (pages * HKV + head // (H // HKV))[:, None] * E + e[None, :]
        real = (others < end)[:, None] & (e < E)[None, :]
        keys = tl.load(k + rows, mask=real, other=0)
        values = tl.load(v + rows, mask=real, other=0)
        other = others[None, :]
        seen = (other <= position) | ((other < block) & (position < block))
        best, total, mixed = _fold(queries, keys, values, seen, scale, best, total, mixed)
    tl.store(out + places, mixed / total[:, None], mask=inside)
