"""The Moondream 2 architecture in a form that trains fast on CPU cores.

Same tensors under the same checkpoint names as the engine's model, written for batches, autograd and
bfloat16. A test holds it against the engine's forward pass.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamscope.engine.sprite.recipe import Sizes

Weights = dict[str, Tensor]


def initial_weights(sizes: Sizes, seed: int) -> Weights:
    """Random float32 weights under the checkpoint's names."""
    draw = torch.Generator().manual_seed(seed)
    weights: Weights = {}

    def linear(name: str, rows: int, columns: int, scale: float = 1.0) -> None:
        weights[f"{name}.weight"] = torch.randn(rows, columns, generator=draw) * (scale / math.sqrt(columns))
        weights[f"{name}.bias"] = torch.zeros(rows)

    def norm(name: str, width: int) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = torch.ones(width), torch.zeros(width)

    v, d, inner = sizes.vision_dim, sizes.dim, sizes.region_inner
    linear("vision.patch_emb", v, 3 * sizes.patch**2)
    weights["vision.pos_emb"] = 0.3 * torch.randn(1, sizes.grid**2, v, generator=draw)
    for i in range(sizes.vision_layers):
        block, depth = f"vision.blocks.{i}", 0.5 / math.sqrt(sizes.vision_layers)
        norm(f"{block}.ln1", v)
        linear(f"{block}.attn.qkv", 3 * v, v)
        linear(f"{block}.attn.proj", v, v, depth)
        norm(f"{block}.ln2", v)
        linear(f"{block}.mlp.fc1", 4 * v, v)
        linear(f"{block}.mlp.fc2", v, 4 * v, depth)
    norm("vision.post_ln", v)
    linear("vision.proj_mlp.fc1", sizes.projection, 2 * v)
    linear("vision.proj_mlp.fc2", d, sizes.projection)
    weights["text.wte"] = 0.5 * torch.randn(sizes.vocabulary, d, generator=draw)
    for i in range(sizes.layers):
        block, depth = f"text.blocks.{i}", 0.5 / math.sqrt(sizes.layers)
        norm(f"{block}.ln", d)
        linear(f"{block}.attn.qkv", 3 * d, d)
        linear(f"{block}.attn.proj", d, d, depth)
        linear(f"{block}.mlp.fc1", 4 * d, d)
        linear(f"{block}.mlp.fc2", d, 4 * d, depth)
    norm("text.post_ln", d)
    linear("text.lm_head", sizes.vocabulary, d, 0.3)
    # Fixed Fourier features from a quarter of a period to 32 periods over the image.
    spread = torch.logspace(-2, 5, sizes.coord_features // 2, base=2.0)
    weights["region.coord_features"] = spread[None]
    angle = torch.rand(sizes.size_features // 2, generator=draw) * 2 * math.pi
    radius = torch.logspace(-2, 4, sizes.size_features // 2, base=2.0)
    weights["region.size_features"] = torch.stack([radius * angle.cos(), radius * angle.sin()])
    linear("region.coord_encoder", d, sizes.coord_features, 0.5)
    linear("region.size_encoder", d, sizes.size_features, 0.5)
    linear("region.coord_decoder.fc1", inner, d)
    linear("region.size_decoder.fc1", inner, d)
    smooth = _smooth_bins(inner)
    weights["region.coord_decoder.fc2.weight"] = smooth
    weights["region.coord_decoder.fc2.bias"] = torch.zeros(1024)
    weights["region.size_decoder.fc2.weight"] = torch.cat([smooth, smooth])
    weights["region.size_decoder.fc2.bias"] = torch.zeros(2048)
    return weights


def _smooth_bins(inner: int) -> Tensor:
    """[1024, inner]: cosines over the bin index, so that neighbouring bins share what is learned."""
    frequency = torch.arange(1, inner + 1, dtype=torch.float32)
    bins = (torch.arange(1024, dtype=torch.float32) + 0.5) / 1024
    amplitude = 0.5 / torch.sqrt(1 + (frequency / 30) ** 2)
    return torch.cos(math.pi * bins[:, None] * frequency) * amplitude


class Network:
    """Forward passes over a set of weights in one dtype. `tanh` selects the architecture's GELU."""

    def __init__(self, sizes: Sizes, weights: Weights, tanh: bool) -> None:
        self.sizes = sizes
        self.weights = weights
        self._gelu = "tanh" if tanh else "none"

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _mlp(self, name: str, x: Tensor) -> Tensor:
        inner = F.gelu(self._linear(f"{name}.fc1", x), approximate=self._gelu)
        return self._linear(f"{name}.fc2", inner)

    def vision(self, patches: Tensor) -> Tensor:
        """Patches [B, grid², 3·patch²] → encoder output [B, grid², vision_dim]."""
        x = self._linear("vision.patch_emb", patches) + self.weights["vision.pos_emb"]
        heads = self.sizes.vision_heads
        for i in range(self.sizes.vision_layers):
            block = f"vision.blocks.{i}"
            q, k, v = _heads(self._linear(f"{block}.attn.qkv", self._norm(f"{block}.ln1", x)), heads)
            x = x + self._linear(f"{block}.attn.proj", _attend(q, k, v, None))
            x = x + self._mlp(f"{block}.mlp", self._norm(f"{block}.ln2", x))
        return self._norm("vision.post_ln", x)

    def project(self, features: Tensor) -> Tensor:
        """Image embedding [B, grid², dim]; with one crop the global and the local features are the same."""
        return self._mlp("vision.proj_mlp", torch.cat([features, features], -1))

    def text(self, x: Tensor, rotation: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        """Embeddings [B, L, dim], rotary cos and sin [B, 1, L, rot/2], additive mask [B, L, L] → hidden."""
        for i in range(self.sizes.layers):
            block = f"text.blocks.{i}"
            normed = self._norm(f"{block}.ln", x)
            q, k, v = _heads(self._linear(f"{block}.attn.qkv", normed), self.sizes.heads)
            attended = _attend(_rotate(q, *rotation), _rotate(k, *rotation), v, bias)
            x = x + self._linear(f"{block}.attn.proj", attended) + self._mlp(f"{block}.mlp", normed)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """[N, dim] → [N, vocabulary]."""
        return self._linear("text.lm_head", self._norm("text.post_ln", hidden))

    def coord_logits(self, hidden: Tensor) -> Tensor:
        """[N, dim] → [N, 1024]."""
        return self._mlp("region.coord_decoder", hidden)

    def size_logits(self, hidden: Tensor) -> Tensor:
        """[N, dim] → [N, 2, 1024]; row 0 is the width."""
        return self._mlp("region.size_decoder", hidden).view(*hidden.shape[:-1], 2, 1024)

    def encode_coord(self, values: Tensor) -> Tensor:
        """Coordinates [N] → input embeddings [N, dim]."""
        return self._linear("region.coord_encoder", self._fourier(values[:, None], "region.coord_features"))

    def encode_size(self, sizes: Tensor) -> Tensor:
        """(w, h) [N, 2] → input embeddings [N, dim]."""
        return self._linear("region.size_encoder", self._fourier(sizes, "region.size_features"))

    def _fourier(self, values: Tensor, name: str) -> Tensor:
        features = self.weights[name]
        phase = (2 * math.pi * values.float()) @ features.float()
        return torch.cat([phase.cos(), phase.sin()], -1).to(features.dtype)


def _heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """[B, L, 3·H·hd] → three [B, H, L, hd]."""
    batch, length, width = qkv.shape
    q, k, v = qkv.view(batch, length, 3, heads, width // (3 * heads)).permute(2, 0, 3, 1, 4).unbind(0)
    return q, k, v


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attention written out: in bfloat16 on CPU twice as fast as the fused kernel. Returns [B, L, H·hd]."""
    batch, heads, length, width = q.shape
    flat_q = q.reshape(batch * heads, length, width) * (1 / math.sqrt(width))
    flat_k = k.reshape(batch * heads, length, width).transpose(1, 2)
    if bias is None:
        scores = torch.bmm(flat_q, flat_k)
    else:
        spread = bias[:, None].expand(batch, heads, length, length).reshape(batch * heads, length, length)
        scores = torch.baddbmm(spread, flat_q, flat_k)
    mixed = torch.bmm(scores.softmax(-1), v.reshape(batch * heads, length, width))
    return mixed.view(batch, heads, length, width).transpose(1, 2).reshape(batch, length, heads * width)


def rotary(positions: Tensor, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cos and sin [B, 1, L, width/2] of integer positions [B, L]; theta 10000."""
    frequency = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = positions.float()[:, None, :, None] * frequency
    return angle.cos().to(dtype), angle.sin().to(dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first half of each head.

    The order of the written dims differs from the reference, alike in q and k, so the scores are the same.
    """
    half = cos.shape[-1]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], -1)
