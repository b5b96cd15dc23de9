"""Parts of a step on the processor whose course depends on numbers, compiled so that a traced step keeps it.

A trace records one course of Python. What loops over rows, or branches on what is in an array, is therefore
compiled as it is written here, and runs without the interpreter in eager steps too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

MANY_ROWS = 8
"""From so many on a product with float32 is another library's: measured; at 8 both are as fast."""
LIKELY = 64
"""Ids among which a nucleus is looked for first: sorting all of a vocabulary takes many times as long."""


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function in TorchScript, compiled once."""
    script: Callable[..., Any] = torch.jit.script(function)
    return script


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, many: int) -> torch.Tensor:
    """`x @ weight^T + bias`, for `many` rows and more by oneDNN, which is up to three times as fast as MKL on
    processors that are not Intel's."""
    if x.numel() < many * x.shape[-1] or x.dtype != torch.float32:
        return F.linear(x, weight, bias)
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def paged_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    table: torch.Tensor,
    lengths: torch.Tensor,
    room: torch.Tensor,
) -> torch.Tensor:
    """As `Device.paged_attention`, for as many rows at a time as fit into `room` `[2, numbers]`.

    The gathered pages stay in the cache of the core, and no memory is asked for that the system would have
    to clear first. A row that does not fit at all gets its own memory.
    """
    batch, span = table.shape[0], table.shape[1]
    flat_k, flat_v = k.flatten(1), v.flatten(1)
    width = flat_k.shape[1]
    if span * width > room.shape[1]:
        room = torch.empty((2, span * width), dtype=k.dtype, device=k.device)
    group = room.shape[1] // (span * width)
    places = torch.arange(span, device=table.device)
    out = torch.empty_like(q)
    for first in range(0, batch, group):
        last = min(first + group, batch)
        numbers = (last - first) * span * width
        pages = table[first:last].reshape(-1)
        keys, values = room[0, :numbers].view(-1, width), room[1, :numbers].view(-1, width)
        torch.index_select(flat_k, 0, pages, out=keys)
        torch.index_select(flat_v, 0, pages, out=values)
        there = (places < lengths[first:last, None])[:, None, None]
        shape = (last - first, span, k.shape[1], k.shape[2])
        out[first:last] = F.scaled_dot_product_attention(
            q[first:last, :, None],
            keys.view(shape).transpose(1, 2),
            values.view(shape).transpose(1, 2),
            attn_mask=there,
            enable_gqa=q.shape[1] != k.shape[1],
        )[:, :, 0]
    return out


def plain_experts(flat: torch.Tensor, weight: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Row i of `flat` `[n, in]` through the matrix `chosen[i]` of `weight` `[E, out, in]`: `[n, out]`.

    One product for each expert in use, with all its rows; no copy of any weight.
    """
    out = torch.empty((flat.shape[0], weight.shape[1]), dtype=flat.dtype, device=flat.device)
    sizes: list[int] = torch.bincount(chosen, minlength=weight.shape[0]).tolist()
    order = chosen.argsort()
    begin = 0
    for expert, size in enumerate(sizes):
        if size == 1:
            place = int(order[begin])
            out[place] = torch.mv(weight[expert], flat[place])
        elif size > 1:
            places = order[begin : begin + size]
            out[places] = F.linear(flat[places], weight[expert])
        begin += size
    return out


def draw(
    logits: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor, uniforms: torch.Tensor, likely: int
) -> torch.Tensor:
    """As `Device.draw`; sums are float64, as numbers just below 1 get lost in a large vocabulary.

    The nucleus is looked for among the `likely` best ids, and among all where it may reach beyond them.
    """
    best = logits.amax(-1, keepdim=True)
    p = ((logits - best) / temperature[:, None]).softmax(-1)
    nucleus = top_p < 1
    if bool(nucleus.any()):
        bound = torch.where(nucleus, top_p, 2.0)[:, None]
        ids = p.topk(min(likely, p.shape[1]), dim=-1).indices.sort(dim=-1).values
        ranked, order = p.gather(-1, ids).sort(dim=-1, descending=True, stable=True)
        kept = (ranked.cumsum(-1) - ranked <= bound) & nucleus[:, None]
        if ids.shape[1] < p.shape[1] and bool((kept & (ranked <= ranked[:, -1:])).any()):
            ranked, ids = p.sort(dim=-1, descending=True, stable=True)
            kept = ranked.cumsum(-1) - ranked <= bound
        else:
            ids = ids.gather(-1, order)
        inside = torch.zeros_like(p).scatter(-1, ids, ranked * kept)
        p = torch.where(nucleus[:, None], inside, p)
    cumulative = p.cumsum(-1, dtype=torch.float64)
    target = uniforms[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=p.shape[1] - 1)
