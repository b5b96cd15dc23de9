"""What adapters add to a linear, in a batch whose rows use different ones or none.

    out[i]  +=  (x[i] @ A^T) @ B^T        with A, B of the row's slot

Slot 0 is no adapter and costs a row nothing. In a mixture there is a pair for each expert; slot 0 has none,
so the pair of an expert is `(slot - 1) * experts + expert`. The narrow products lie in float32 scratch,
`[rows, rank]` or `[rows, k, rank]`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_WIDE = 128
_NARROW = 16


def lora_reference(
    x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, slot: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    """What `lora` adds, row by row."""
    for row, used in enumerate(slot.tolist()):
        if used:
            out[row] += (b[used].float() @ (a[used].float() @ x[row].float())).to(out.dtype)
    return out


def expert_lora_reference(
    x: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    slot: torch.Tensor,
    ids: torch.Tensor,
    experts: int,
    out: torch.Tensor,
) -> torch.Tensor:
    """What `expert_lora` adds: each choice is a row whose slot is the pair of its expert."""
    rows, k = ids.shape
    pair = torch.where(slot[:, None] > 0, (slot[:, None] - 1) * experts + ids + 1, 0)
    first, second = (torch.cat((matrices[:1], matrices)) for matrices in (a, b))
    flat = x.expand(rows, k, x.shape[2]).reshape(rows * k, x.shape[2])
    lora_reference(flat, first, second, pair.reshape(-1), out.view(rows * k, -1))
    return out


def lora(
    x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, slot: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    """Add to `out` `[n, F]` in place: x `[n, D]`, a `[slots, rank, D]`, b `[slots, F, rank]`.

    `slot` ints `[n]`; `out` is contiguous, a and b may lie transposed. Returns `out`.
    """
    _apply(x, a, b, slot, slot, 1, 0, out)
    return out


def expert_lora(
    x: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    slot: torch.Tensor,
    ids: torch.Tensor,
    experts: int,
    out: torch.Tensor,
) -> torch.Tensor:
    """Add to `out` `[n, k, F]` in place, before the choices are weighted. Returns `out`.

    x `[n, 1 or k, D]`; a `[(slots - 1) * experts, rank, D]` and b `[(slots - 1) * experts, F, rank]`; `slot`
    ints `[n]`, `ids` ints `[n, k]`; `out` is contiguous.
    """
    _apply(x, a, b, slot, ids.contiguous(), ids.shape[1], experts, out)
    return out


def _apply(
    x: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    slot: torch.Tensor,
    ids: torch.Tensor,
    k: int,
    experts: int,
    out: torch.Tensor,
) -> None:
    width, rank = out.shape[-1], a.shape[1]
    choices = out.numel() // width
    narrow = torch.empty((choices, rank), dtype=torch.float32, device=x.device)
    shared = choices * x.shape[-1] // x.numel()
    common = {"K": k, "EXPERTS": experts}
    _product[choices, triton.cdiv(rank, _NARROW)](
        x.contiguous(), a, slot, ids, narrow, *a.stride(), SHARED=shared, OUT=rank, IN=x.shape[-1], ADD=False,
        BLOCK_OUT=_NARROW, BLOCK_IN=_WIDE, **common,
    )  # fmt: skip
    _product[choices, triton.cdiv(width, _WIDE)](
        narrow, b, slot, ids, out, *b.stride(), SHARED=1, OUT=width, IN=rank, ADD=True,
        BLOCK_OUT=_WIDE, BLOCK_IN=_NARROW, **common,
    )  # fmt: skip


@triton.jit
def _product(
    x: tl.tensor,
    matrices: tl.tensor,
    slot: tl.tensor,
    ids: tl.tensor,
    out: tl.tensor,
    matrix_stride: tl.tensor,
    out_stride: tl.tensor,
    in_stride: tl.tensor,
    SHARED: tl.constexpr,
    K: tl.constexpr,
    EXPERTS: tl.constexpr,
    OUT: tl.constexpr,
    IN: tl.constexpr,
    ADD: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
    BLOCK_IN: tl.constexpr,
) -> None:
    """`BLOCK_OUT` outputs of one choice, if its row has an adapter; SHARED choices read the same `x`."""
    choice, o = tl.program_id(0), tl.program_id(1) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    which = tl.load(slot + choice // K)
    if which > 0:
        if EXPERTS > 0:
            which = (which - 1) * EXPERTS + tl.load(ids + choice)
        matrix = matrices + which.to(tl.int64) * matrix_stride + o[:, None] * out_stride
        total = tl.zeros((BLOCK_OUT,), tl.float32)
        for origin in range(0, IN, BLOCK_IN):
            i = origin + tl.arange(0, BLOCK_IN)
            seen = tl.load(x + (choice // SHARED) * IN + i, mask=i < IN, other=0).to(tl.float32)
            inside = (o < OUT)[:, None] & (i < IN)[None, :]
            total += tl.sum(
                tl.load(matrix + i[None, :] * in_stride, mask=inside, other=0).to(tl.float32) * seen[None, :],
                1,
            )
        places = out + choice * OUT + o
        if ADD:
            total += tl.load(places, mask=o < OUT, other=0).to(tl.float32)
        tl.store(places, total, mask=o < OUT)
