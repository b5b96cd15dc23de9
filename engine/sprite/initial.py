"""The first weights of a Sprite, under the checkpoint's names."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dreamscope.engine.sprite.network import Weights
from dreamscope.engine.sprite.recipe import Mixture, Sizes


def initial_weights(sizes: Sizes, seed: int) -> Weights:
    """Random float32 weights."""
    drawer = _Drawer(seed)
    _vision(drawer, sizes)
    _text(drawer, sizes)
    _region(drawer, sizes)
    return drawer.weights


class _Drawer:
    """Draws tensors one after the other from one generator."""

    def __init__(self, seed: int) -> None:
        self.draw = torch.Generator().manual_seed(seed)
        self.weights: Weights = {}

    def normal(self, name: str, *shape: int, scale: float) -> None:
        self.weights[name] = torch.randn(shape, generator=self.draw) * scale

    def linear(self, name: str, rows: int, columns: int, scale: float = 1.0) -> None:
        self.normal(f"{name}.weight", rows, columns, scale=scale / math.sqrt(columns))
        self.weights[f"{name}.bias"] = torch.zeros(rows)

    def norm(self, name: str, width: int) -> None:
        self.weights[f"{name}.weight"], self.weights[f"{name}.bias"] = torch.ones(width), torch.zeros(width)


def _vision(drawer: _Drawer, sizes: Sizes) -> None:
    v = sizes.vision_dim
    drawer.linear("vision.patch_emb", v, 3 * sizes.patch**2)
    drawer.normal("vision.pos_emb", 1, sizes.grid**2, v, scale=0.3)
    for i in range(sizes.vision_layers):
        block, depth = f"vision.blocks.{i}", 0.5 / math.sqrt(sizes.vision_layers)
        drawer.norm(f"{block}.ln1", v)
        drawer.linear(f"{block}.attn.qkv", 3 * v, v)
        drawer.linear(f"{block}.attn.proj", v, v, depth)
        drawer.norm(f"{block}.ln2", v)
        drawer.linear(f"{block}.mlp.fc1", 4 * v, v)
        drawer.linear(f"{block}.mlp.fc2", v, 4 * v, depth)
    drawer.norm("vision.post_ln", v)
    drawer.linear("vision.proj_mlp.fc1", sizes.projection, 2 * v)
    drawer.linear("vision.proj_mlp.fc2", sizes.dim, sizes.projection)


def _text(drawer: _Drawer, sizes: Sizes) -> None:
    d, mixture = sizes.dim, sizes.mixture
    drawer.normal("text.wte", sizes.vocabulary, d, scale=0.5)
    for i in range(sizes.layers):
        block, depth = f"text.blocks.{i}", 0.5 / math.sqrt(sizes.layers)
        drawer.norm(f"{block}.ln", d)
        drawer.linear(f"{block}.attn.qkv", 3 * d, d)
        drawer.linear(f"{block}.attn.proj", d, d, depth)
        if mixture is not None:
            _tau(drawer, f"{block}.attn.tau", sizes)
        if mixture is not None and sizes.is_mixed(i):
            _experts(drawer, f"{block}.mlp", mixture, d, depth)
        else:
            drawer.linear(f"{block}.mlp.fc1", 4 * d, d)
            drawer.linear(f"{block}.mlp.fc2", d, 4 * d, depth)
    drawer.norm("text.post_ln", d)
    drawer.linear("text.lm_head", sizes.vocabulary, d, 0.3)


def _tau(drawer: _Drawer, name: str, sizes: Sizes) -> None:
    """Zeros: every factor is 1."""
    for part in ("wq", "wv"):
        drawer.weights[f"{name}.{part}"] = torch.zeros(sizes.heads, 3 * sizes.dim)
    drawer.weights[f"{name}.alpha"] = torch.zeros(sizes.heads)


def _experts(drawer: _Drawer, name: str, mixture: Mixture, dim: int, depth: float) -> None:
    experts, inner = mixture.experts, mixture.inner
    drawer.linear(f"{name}.router", experts, dim)
    drawer.normal(f"{name}.fc1.weight", experts, 2 * inner, dim, scale=1 / math.sqrt(dim))
    drawer.normal(f"{name}.fc2.weight", experts, dim, inner, scale=depth / math.sqrt(inner))


def _region(drawer: _Drawer, sizes: Sizes) -> None:
    d, inner, weights = sizes.dim, sizes.region_inner, drawer.weights
    # Fixed Fourier features from a quarter of a period to 32 periods over the image.
    spread = torch.logspace(-2, 5, sizes.coord_features // 2, base=2.0)
    weights["region.coord_features"] = spread[None]
    angle = torch.rand(sizes.size_features // 2, generator=drawer.draw) * 2 * math.pi
    radius = torch.logspace(-2, 4, sizes.size_features // 2, base=2.0)
    weights["region.size_features"] = torch.stack([radius * angle.cos(), radius * angle.sin()])
    drawer.linear("region.coord_encoder", d, sizes.coord_features, 0.5)
    drawer.linear("region.size_encoder", d, sizes.size_features, 0.5)
    if sizes.mixture is None:
        drawer.linear("region.coord_decoder.fc1", inner, d)
        drawer.linear("region.size_decoder.fc1", inner, d)
        smooth, last = _smooth_bins(inner), ".fc2"
    else:
        drawer.norm("region.ln", d)
        # Behind a norm the input of the decoders is larger than behind the GELU of their perceptrons.
        smooth, last = 0.3 * _smooth_bins(d), ""
    weights[f"region.coord_decoder{last}.weight"] = smooth
    weights[f"region.coord_decoder{last}.bias"] = torch.zeros(1024)
    weights[f"region.size_decoder{last}.weight"] = torch.cat([smooth, smooth])
    weights[f"region.size_decoder{last}.bias"] = torch.zeros(2048)


def _smooth_bins(inner: int) -> Tensor:
    """[1024, inner]: cosines over the bin index, so that neighbouring bins share what is learned."""
    frequency = torch.arange(1, inner + 1, dtype=torch.float32)
    bins = (torch.arange(1024, dtype=torch.float32) + 0.5) / 1024
    amplitude = 0.5 / torch.sqrt(1 + (frequency / 30) ** 2)
    return torch.cos(math.pi * bins[:, None] * frequency) * amplitude
