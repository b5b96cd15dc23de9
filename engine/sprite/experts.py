"""The mixture of experts as it is trained: rows sorted by expert, one product per expert.

The layer is that of the engine (`mlp.router`, `mlp.fc1.weight` [E, 2I, D], `mlp.fc2.weight` [E, D, I]); the
balance term exists in training only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Routing:
    """How the positions of one layer were spread over the experts."""

    balance: Tensor  # 1 if all experts are used alike, up to their number if one takes everything
    least: Tensor  # use of the least used expert, relative to an even spread


def mix_experts(
    x: Tensor, router: tuple[Tensor, Tensor], fc1: Tensor, fc2: Tensor, active: int
) -> tuple[Tensor, Routing]:
    """Rows [N, D] → [N, D]: the best `active` experts of each row, weighted by a softmax over those alone."""
    scores = F.linear(x, *router).float()
    best, chosen = scores.topk(active, -1)
    share = best.softmax(-1).to(x.dtype)
    counts = chosen.flatten().bincount(minlength=len(fc1))
    order = chosen.flatten().argsort(stable=True)
    back = order.argsort()
    rows = _Permute.apply(x.repeat_interleave(active, 0), order, back)
    parts = []
    for part, up, down in zip(rows.split(counts.tolist()), fc1, fc2, strict=True):
        h, g = (part @ up.T).chunk(2, -1)
        parts.append((F.gelu(h) * (g + 1)) @ down.T)
    each = _Permute.apply(torch.cat(parts), back, order).view(len(x), active, -1)
    mixed = (each * share[..., None]).sum(1)
    return mixed, _routing(scores, counts, active)


def _routing(scores: Tensor, counts: Tensor, active: int) -> Routing:
    experts = scores.shape[-1]
    used = counts / (len(scores) * active)
    # Fedus et al. (2021): share of the positions times mean probability, summed over the experts.
    balance = experts * (used * scores.softmax(-1).mean(0)).sum()
    return Routing(balance, used.min() * experts)


class _Permute(torch.autograd.Function):
    """`x[order]`, whose gradient is a gather with the inverse order instead of a scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return grads[0].index_select(0, back), None, None
