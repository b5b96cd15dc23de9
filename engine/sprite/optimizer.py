"""Muon for the matrices inside blocks, AdamW for the rest.

Muon (Jordan et al., 2024): the momentum of a matrix is replaced by its nearest orthogonal matrix, found by a
few Newton–Schulz steps; matrices of one shape are stacked into one batched product.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from dreamscope.engine.sprite.network import Weights

_FIXED = ("region.coord_features", "region.size_features")
_MOMENTUM = 0.95
_BETAS = (0.9, 0.97)


def trainable(weights: Weights) -> list[str]:
    """Names that are learned; the Fourier features stay as they were drawn."""
    return [name for name in weights if name not in _FIXED]


def _is_muon(name: str, weight: Tensor) -> bool:
    inside = ".blocks." in name or "proj_mlp" in name or "decoder.fc1" in name
    small = ".router." in name or ".tau." in name
    return inside and weight.ndim >= 2 and not small


class Optimizer:
    """Updates float32 master weights in place from gradients; its state is a plain dict of tensors."""

    def __init__(self, weights: Weights, muon_rate: float, adam_rate: float) -> None:
        self._weights = weights
        self._rates = (muon_rate, adam_rate)
        names = trainable(weights)
        self._muon: dict[tuple[int, int], list[str]] = defaultdict(list)
        self._adam = [name for name in names if not _is_muon(name, weights[name])]
        for name in names:
            if _is_muon(name, weights[name]):
                *_, rows, columns = weights[name].shape
                self._muon[rows // _parts(name, weights[name]), columns].append(name)
        self.state: dict[str, Any] = {"step": 0, "first": {}, "second": {}}
        for name in names:
            self.state["first"][name] = torch.zeros_like(weights[name])
        for name in self._adam:
            self.state["second"][name] = torch.zeros_like(weights[name])

    def step(self, gradients: Weights, factor: float) -> None:
        """One update; `factor` scales both learning rates."""
        self.state["step"] += 1
        muon_rate, adam_rate = (rate * factor for rate in self._rates)
        for shape, names in self._muon.items():
            self._step_muon(shape, names, gradients, muon_rate)
        self._step_adam(gradients, adam_rate)

    def _step_muon(self, shape: tuple[int, int], names: list[str], gradients: Weights, rate: float) -> None:
        directions = []
        for name in names:
            momentum = self.state["first"][name].lerp_(gradients[name], 1 - _MOMENTUM)
            directions.append(gradients[name].lerp(momentum, _MOMENTUM).view(-1, *shape))
        counts = [len(direction) for direction in directions]
        updates = orthogonalise(torch.cat(directions)) * max(1.0, shape[0] / shape[1]) ** 0.5
        for name, update in zip(names, updates.split(counts), strict=True):
            weight = self._weights[name]
            weight.mul_(1 - 0.05 * rate).sub_(update.reshape(weight.shape), alpha=rate)

    def _step_adam(self, gradients: Weights, rate: float) -> None:
        names = self._adam
        step = self.state["step"]
        firsts = [self.state["first"][name] for name in names]
        seconds = [self.state["second"][name] for name in names]
        grads = [gradients[name] for name in names]
        torch._foreach_lerp_(firsts, grads, 1 - _BETAS[0])
        torch._foreach_mul_(seconds, _BETAS[1])
        torch._foreach_addcmul_(seconds, grads, grads, 1 - _BETAS[1])
        scale = torch._foreach_div(seconds, 1 - _BETAS[1] ** step)
        torch._foreach_sqrt_(scale)
        torch._foreach_add_(scale, 1e-8)
        weights = [self._weights[name] for name in names]
        torch._foreach_mul_([w for w in weights if w.ndim == 2], 1 - 0.02 * rate)
        torch._foreach_addcdiv_(weights, firsts, scale, value=-rate / (1 - _BETAS[0] ** step))


def _parts(name: str, weight: Tensor) -> int:
    """q, k and v are orthogonalised apart, and so are the two halves of an expert."""
    if name.endswith("attn.qkv.weight"):
        return 3
    return 2 if weight.ndim == 3 and name.endswith("fc1.weight") else 1


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """[N, rows, columns] → float32 of the same shape with singular values near 1 (bfloat16 inside)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.to(torch.bfloat16)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.transpose(1, 2) if tall else x).float()


def clip(gradients: Weights, limit: float) -> float:
    """Scale all gradients in place to a norm of at most `limit`; returns the norm before."""
    values = list(gradients.values())
    norm = float(torch.stack(torch._foreach_norm(values)).norm())
    if norm > limit:
        torch._foreach_mul_(values, limit / (norm + 1e-6))
    return norm
