"""Rows through the matrices of the experts that they chose, without asking the host who chose what.

A choice is one of the k experts of one row; choice `i * k + j` is the j-th of row i. Choices are grouped by
expert, then each expert multiplies its group, so a matrix is read once however many rows chose it.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_CHOICES = 1024
_SMALLEST = 16


def group_by_expert_reference(ids: torch.Tensor, experts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What `group_by_expert` computes, by sorting."""
    chosen = ids.reshape(-1)
    ends = (chosen[:, None] == torch.arange(experts, device=ids.device)).sum(0).cumsum(0)
    spans = torch.stack((torch.cat((ends.new_zeros(1), ends[:-1])), ends), 1)
    return chosen.argsort(stable=True).int(), spans.int()


def expert_linear_reference(x: torch.Tensor, weight: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """What `expert_linear` computes, with a copy of the matrices of each choice."""
    seen = x.expand(*ids.shape, x.shape[2])
    return torch.einsum("nki,nkoi->nko", seen.float(), weight[ids].float()).to(x.dtype)


def group_by_expert(ids: torch.Tensor, experts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Choices int32 `[n * k]` in the order of their experts, and where each expert's begin and end.

    `ids` int64 `[n, k]`. Choices of one expert keep their order. The spans are int32 `[experts, 2]`.
    """
    choices = torch.empty(ids.numel(), dtype=torch.int32, device=ids.device)
    spans = torch.empty((experts, 2), dtype=torch.int32, device=ids.device)
    block = min(_CHOICES, triton.next_power_of_2(ids.numel()))
    _group[(experts,)](ids.contiguous(), choices, spans, ids.numel(), BLOCK=block)
    return choices, spans


def expert_linear(x: torch.Tensor, weight: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Row i through the matrices `ids[i]` of `weight` `[E, out, in]`: `[n, k, out]`.

    `x` is `[n, 1, in]`, the same row for all of them, or `[n, k, in]`, one row for each; `ids` int64
    `[n, k]`; `weight` is contiguous.
    """
    rows, k = ids.shape
    experts, out_width, in_width = weight.shape
    choices, spans = group_by_expert(ids, experts)
    out = x.new_empty((rows, k, out_width))
    crowded = rows * k > _SMALLEST * experts
    block_n = min(64, max(_SMALLEST, triton.next_power_of_2(out_width)))
    _multiply[experts, triton.cdiv(out_width, block_n)](
        x.contiguous(), weight, choices, spans, out, K=k // x.shape[1], OUT=out_width, IN=in_width,
        BLOCK_M=64 if crowded else _SMALLEST, BLOCK_N=block_n, BLOCK_K=64,
    )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["count"])
def _group(
    ids: tl.tensor, choices: tl.tensor, spans: tl.tensor, count: tl.tensor, BLOCK: tl.constexpr
) -> None:
    """One expert: its choices come after those of lower experts."""
    expert, lane = tl.program_id(0), tl.arange(0, BLOCK)
    place = tl.program_id(0) * 0
    for start in range(0, count, BLOCK):
        chosen = tl.load(ids + start + lane, mask=start + lane < count, other=1 << 30)
        place += tl.sum((chosen < expert).to(tl.int32), 0)
    tl.store(spans + 2 * expert, place)
    for start in range(0, count, BLOCK):
        chosen = tl.load(ids + start + lane, mask=start + lane < count, other=1 << 30)
        mine = (chosen == expert).to(tl.int32)
        tl.store(choices + place + tl.cumsum(mine, 0) - 1, start + lane, mask=mine > 0)
        place += tl.sum(mine, 0)
    tl.store(spans + 2 * expert + 1, place)


@triton.jit
def _multiply(
    x: tl.tensor,
    weight: tl.tensor,
    choices: tl.tensor,
    spans: tl.tensor,
    out: tl.tensor,
    K: tl.constexpr,
    OUT: tl.constexpr,
    IN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """`BLOCK_N` outputs of one expert for all that chose it; K choices read the same row of `x`."""
    expert, n = tl.program_id(0), tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    first, last = tl.load(spans + 2 * expert), tl.load(spans + 2 * expert + 1)
    matrix = weight + expert.to(tl.int64) * OUT * IN + n[:, None] * IN
    for start in range(first, last, BLOCK_M):
        m = start + tl.arange(0, BLOCK_M)
        choice = tl.load(choices + m, mask=m < last, other=0).to(tl.int64)
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for origin in range(0, IN, BLOCK_K):
            i = origin + tl.arange(0, BLOCK_K)
            seen = (m < last)[:, None] & (i < IN)[None, :]
            row = tl.load(x + (choice // K)[:, None] * IN + i[None, :], mask=seen, other=0)
            w = tl.load(matrix + i[None, :], mask=(n < OUT)[:, None] & (i < IN)[None, :], other=0)
            total += tl.dot(row, tl.trans(w), input_precision="ieee")
        inside = (m < last)[:, None] & (n < OUT)[None, :]
        tl.store(out + choice[:, None] * OUT + n[None, :], total, mask=inside)
