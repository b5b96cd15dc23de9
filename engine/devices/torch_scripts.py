"""Parts of a step on the processor whose course depends on numbers, compiled so that a traced step keeps it.

A trace records one course of Python. What loops over rows, or branches on what is in an array, is therefore
compiled as it is written here, and runs without the interpreter in eager steps too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

MANY_ROWS, MANY_ROWS_PACKED = 8, 3
"""From so many on a product with float32 is another library's: measured; there both are as fast."""
LIKELY = 64
"""Ids among which a nucleus is looked for first: sorting all of a vocabulary takes many times as long."""


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function in TorchScript, compiled once."""
    script: Callable[..., Any] = torch.jit.script(function)
    return script


@cache
def expect_sparse() -> None:
    """PyTorch warns of its first sparse matrix that they are in beta: what is used of them here has tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.sparse_csr_tensor([0, 1], [0], [0.0], (1, 1))


def linear(
    x: torch.Tensor, weight: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor, many: int, gelu: bool
) -> torch.Tensor:
    """`x @ weight^T + bias` in float32, and with `gelu` that of it, by its tanh approximation.

    From `many` rows on by oneDNN with the `packed` form of the weight: on processors that are not Intel's
    that is up to three times as fast as MKL, and GELU costs next to nothing.
    """
    if x.numel() < many * x.shape[-1]:
        product = F.linear(x, weight, bias)
        return F.gelu(product, approximate="tanh") if gelu else product
    after, how = ("gelu", "tanh") if gelu else ("none", "")
    fused: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, after, [], how)
    return fused


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """As `Device.attention`, where sizes are not numbers but follow from others."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def paged_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """As `Device.paged_attention` in float32, without copying what lies in pages.

    Scores are the entries of a large product, queries by all keys there are, that a sparse matrix asks for;
    what is attended to is a weighted sum of table rows, the work of an embedding bag.
    """
    batch, span = table.shape[0], table.shape[1]
    heads, size, groups = q.shape[1], q.shape[2], k.shape[1]
    group = torch.arange(heads, device=table.device) // (heads // groups)
    places = (table[:, None] * groups + group[:, None]).view(-1)
    begins = torch.arange(batch * heads + 1, device=table.device) * span
    nothing = torch.zeros(places.shape[0], dtype=q.dtype, device=q.device)
    wanted = torch.sparse_csr_tensor(begins, places, nothing, [batch * heads, k.shape[0] * groups])
    products = torch.ops.aten.sparse_sampled_addmm(
        wanted, q.reshape(-1, size), k.flatten(0, 1).t(), beta=0.0, alpha=float(size) ** -0.5, out=wanted
    )
    absent = torch.arange(span, device=table.device) >= lengths[:, None]
    scores = products.values().view(batch, heads, span)
    weights = scores.masked_fill_(absent[:, None], float("-inf")).softmax(-1).view(-1, span)
    mixed = F.embedding_bag(places.view(-1, span), v.flatten(0, 1), per_sample_weights=weights, mode="sum")
    return mixed.view(batch, heads, size)


def gathered_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    table: torch.Tensor,
    lengths: torch.Tensor,
    gathered: int,
) -> torch.Tensor:
    """As `Device.paged_attention` in any dtype, with `gathered` numbers of keys, and of values, at a time."""
    batch, span = table.shape[0], table.shape[1]
    there = (torch.arange(span, device=table.device) < lengths[:, None])[:, None, None]
    each = max(1, gathered // (span * k.shape[1] * k.shape[2]))
    out = torch.empty_like(q)
    for first in range(0, batch, each):
        last = min(first + each, batch)
        out[first:last] = F.scaled_dot_product_attention(
            q[first:last, :, None],
            F.embedding(table[first:last], k.flatten(1)).unflatten(2, k.shape[1:]).transpose(1, 2),
            F.embedding(table[first:last], v.flatten(1)).unflatten(2, v.shape[1:]).transpose(1, 2),
            attn_mask=there[first:last],
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
