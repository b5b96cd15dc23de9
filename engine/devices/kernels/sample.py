"""From logits to ids on the device: mask, temperature, nucleus, and a draw with a given uniform number.

An id is dropped if the ids before it in descending order of weight, equal ones in id order, weigh more than
`top_p` of everything. The draw is the id at which the cumulative weight of the others, in id order, passes
the uniform number. Nothing is sorted: what is kept is all that weighs more than some threshold and the first
few of those that weigh as much, and the threshold is found by bisection over the bits of a float.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from dreamscope.engine.devices.base import GREEDY_BELOW

_BLOCK = 8192
_WARPS = 16
_ONE = tl.constexpr(0x3F800000)
"""The bits of 1.0, which is the weight of the best id."""


def sample_reference(
    logits: torch.Tensor,
    masks: torch.Tensor,
    mask: torch.Tensor,
    temperature: torch.Tensor,
    top_p: torch.Tensor,
    uniform: torch.Tensor,
) -> torch.Tensor:
    """What `sample` chooses, by sorting."""
    allowed = masks[mask.long()] | (mask == 0)[:, None]
    left = logits.float().masked_fill(~allowed, float("-inf"))
    best, greedy = left.max(1)
    p = ((left - best[:, None]) / temperature[:, None].clamp_min(GREEDY_BELOW)).softmax(1)
    ranked, order = p.sort(dim=1, descending=True, stable=True)
    kept = ((ranked.cumsum(1) - ranked <= top_p[:, None]) | (top_p >= 1)[:, None]).float()
    cumulative = (p * torch.zeros_like(p).scatter(1, order, kept)).cumsum(1, dtype=torch.float64)
    drawn = torch.searchsorted(cumulative, uniform[:, None].double() * cumulative[:, -1:], right=True)
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    ids = torch.where(temperature < GREEDY_BELOW, greedy, torch.minimum(drawn, last)[:, 0])
    return torch.where(best.isfinite(), ids, -1)


def sample(
    logits: torch.Tensor,
    masks: torch.Tensor,
    mask: torch.Tensor,
    temperature: torch.Tensor,
    top_p: torch.Tensor,
    uniform: torch.Tensor,
) -> torch.Tensor:
    """Ids int64 `[B]` for logits `[B, V]`; -1 where no finite logit is the best one allowed, or one is NaN.

    `masks` bool `[M, V]` is true where an id is allowed, `mask` ints `[B]` says which of them holds for a
    row; mask 0 allows everything and is not read. `temperature`, `top_p` and `uniform` float32 `[B]`; under
    `GREEDY_BELOW` a row takes the best id, the lowest among equals.
    """
    batch, vocab = logits.shape
    ids = torch.empty(batch, dtype=torch.int64, device=logits.device)
    block = min(_BLOCK, triton.next_power_of_2(vocab))
    _sample[(batch,)](
        logits, masks, mask, temperature.contiguous(), top_p.contiguous(), uniform.contiguous(), ids,
        logits.stride(0),
        V=vocab, GREEDY=GREEDY_BELOW, BLOCK=block, num_warps=_WARPS,
    )  # fmt: skip
    return ids


@triton.jit
def _left(logits: tl.tensor, masks: tl.tensor, rule: tl.tensor, i: tl.tensor, V: tl.constexpr) -> tl.tensor:
    """Logits of the ids `i`, `-inf` where they are forbidden."""
    allowed = tl.load(masks + rule.to(tl.int64) * V + i, mask=(i < V) & (rule > 0), other=1).to(tl.int1)
    return tl.load(logits + i, mask=(i < V) & allowed, other=float("-inf")).to(tl.float32)


@triton.jit
def _weights(
    logits: tl.tensor,
    masks: tl.tensor,
    rule: tl.tensor,
    best: tl.tensor,
    heat: tl.tensor,
    i: tl.tensor,
    V: tl.constexpr,
) -> tl.tensor:
    """Between 0 and 1, which is that of the best id."""
    return tl.exp((_left(logits, masks, rule, i, V) - best) / heat)


@triton.jit
def _above(
    logits: tl.tensor,
    masks: tl.tensor,
    rule: tl.tensor,
    best: tl.tensor,
    heat: tl.tensor,
    threshold: tl.tensor,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """What all ids above a threshold weigh."""
    total = best * 0
    for start in range(0, V, BLOCK):
        weights = _weights(logits, masks, rule, best, heat, start + tl.arange(0, BLOCK), V)
        total += tl.sum(tl.where(weights > threshold, weights, 0), 0)
    return total


@triton.jit
def _draw(
    logits: tl.tensor,
    masks: tl.tensor,
    rule: tl.tensor,
    best: tl.tensor,
    heat: tl.tensor,
    nucleus: tl.tensor,
    u: tl.tensor,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """An id of the nucleus."""
    allowance = nucleus * _above(logits, masks, rule, best, heat, best * 0, V, BLOCK)
    # The lowest threshold that leaves no more than the allowance above it; 0 keeps everything.
    low, high = rule * 0, tl.where(nucleus < 1, rule * 0 + _ONE, 0)
    while low < high:
        middle = (low + high) // 2
        fits = (
            _above(logits, masks, rule, best, heat, middle.to(tl.float32, bitcast=True), V, BLOCK)
            <= allowance
        )
        low, high = tl.where(fits, low, middle + 1), tl.where(fits, middle, high)
    threshold = low.to(tl.float32, bitcast=True)
    above = _above(logits, masks, rule, best, heat, threshold, V, BLOCK)
    spare = tl.floor((allowance - above) / tl.where(threshold > 0, threshold, 1)).to(tl.int32) + 1
    kept_mass = best * 0
    for _turn in tl.static_range(2):  # first what is kept weighs together, then where the draw falls
        target, passed, ties, drawn, last = u * kept_mass, best * 0, rule * 0, rule * 0 + V, rule * 0
        for start in range(0, V, BLOCK):
            i = start + tl.arange(0, BLOCK)
            weights = _weights(logits, masks, rule, best, heat, i, V)
            tie = (weights == threshold).to(tl.int32)
            early = ties + tl.cumsum(tie, 0) <= spare
            weights = tl.where((weights > threshold) | ((tie > 0) & early), weights, 0)
            cumulative = passed + tl.cumsum(weights, 0)
            drawn = tl.minimum(drawn, tl.min(tl.where((weights > 0) & (cumulative > target), i, V), 0))
            last = tl.maximum(last, tl.max(tl.where(weights > 0, i, 0), 0))
            passed += tl.sum(weights, 0)
            ties += tl.sum(tie, 0)
        kept_mass = passed
    return tl.minimum(drawn, last)


@triton.jit
def _sample(
    logits: tl.tensor,
    masks: tl.tensor,
    mask: tl.tensor,
    temperature: tl.tensor,
    top_p: tl.tensor,
    uniform: tl.tensor,
    ids: tl.tensor,
    stride: tl.tensor,
    V: tl.constexpr,
    GREEDY: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One row."""
    row = tl.program_id(0)
    rule, heat = tl.load(mask + row).to(tl.int32), tl.load(temperature + row)
    here = logits + row.to(tl.int64) * stride
    best, chosen, broken = heat * 0 - float("inf"), rule * 0, rule * 0
    for start in range(0, V, BLOCK):
        i = start + tl.arange(0, BLOCK)
        left = _left(here, masks, rule, i, V)
        broken += tl.sum((left != left).to(tl.int32), 0)
        highest = tl.max(left, 0)
        place = tl.min(tl.where(left == highest, i, V), 0)
        chosen = tl.where(highest > best, place, chosen)
        best = tl.maximum(best, highest)
    if (broken > 0) | (best == float("-inf")) | (best == float("inf")):
        chosen = rule * 0 - 1
    elif heat >= GREEDY:
        chosen = _draw(here, masks, rule, best, heat, tl.load(top_p + row), tl.load(uniform + row), V, BLOCK)
    tl.store(ids + row, chosen.to(tl.int64))
