"""Both architectures in a form that trains fast on CPU cores.

Same tensors under the same checkpoint names as the engine's model, written for batches, autograd and
bfloat16. A test holds it against the engine's forward pass.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamscope.engine.sprite.experts import Routing, mix_experts
from dreamscope.engine.sprite.recipe import ROPE_THETA, Sizes

Weights = dict[str, Tensor]


class Network:
    """Forward passes over a set of weights in one dtype. `tanh` selects the architecture's GELU."""

    def __init__(self, sizes: Sizes, weights: Weights, tanh: bool) -> None:
        self.sizes = sizes
        self.weights = weights
        self._gelu = "tanh" if tanh else "none"
        self.routing: list[Routing] = []
        """What the mixtures did in every call of `text`, in order."""

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

    def text(self, x: Tensor, positions: Tensor, bias: Tensor) -> Tensor:
        """Embeddings [B, L, dim], integer positions [B, L], additive mask [B, L, L] → hidden [B, L, dim]."""
        heads = self.sizes.heads
        rotation = rotary(positions, self.sizes.dim // heads // 2, x.dtype)
        for i in range(self.sizes.layers):
            block = f"text.blocks.{i}"
            normed = self._norm(f"{block}.ln", x)
            qkv = self._linear(f"{block}.attn.qkv", normed)
            q, k, v = _heads(qkv, heads)
            if self.sizes.mixture is not None:
                q_scale, v_scale = self._tau(f"{block}.attn.tau", qkv, positions)
                q, v = q * q_scale, v * v_scale
            attended = _attend(_rotate(q, *rotation), _rotate(k, *rotation), v, bias)
            x = x + self._linear(f"{block}.attn.proj", attended) + self._perceptron(i, normed)
        return x

    def _tau(self, name: str, qkv: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Factors of queries and values [B, H, L, 1], from the token and from its position."""
        logs = (positions.float() + 1).log()[..., None]
        place = 0.5 + torch.sigmoid(self.weights[f"{name}.alpha"].float() * logs)
        weight = torch.cat([self.weights[f"{name}.wq"], self.weights[f"{name}.wv"]])
        q, v = F.linear(F.gelu(qkv), weight).tanh().chunk(2, -1)
        scales = (part + place.to(qkv.dtype) for part in (q, v))
        q, v = (scale.transpose(1, 2)[..., None] for scale in scales)
        return q, v

    def _perceptron(self, layer: int, x: Tensor) -> Tensor:
        """The dense perceptron or the mixture of one text block, [B, L, dim] → [B, L, dim]."""
        name, mixture = f"text.blocks.{layer}.mlp", self.sizes.mixture
        if mixture is None or not self.sizes.is_mixed(layer):
            return self._mlp(name, x)
        w = self.weights
        router = w[f"{name}.router.weight"], w[f"{name}.router.bias"]
        up, down = w[f"{name}.fc1.weight"], w[f"{name}.fc2.weight"]
        y, routing = mix_experts(x.flatten(0, 1), router, up, down, mixture.active)
        self.routing.append(routing)
        return y.view_as(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """[N, dim] → [N, vocabulary]."""
        return self._linear("text.lm_head", self._norm("text.post_ln", hidden))

    def coord_logits(self, hidden: Tensor) -> Tensor:
        """[N, dim] → [N, 1024]."""
        return self._region("region.coord_decoder", hidden)

    def size_logits(self, hidden: Tensor) -> Tensor:
        """[N, dim] → [N, 2, 1024]; row 0 is the width."""
        return self._region("region.size_decoder", hidden).view(*hidden.shape[:-1], 2, 1024)

    def _region(self, name: str, hidden: Tensor) -> Tensor:
        if self.sizes.mixture is None:
            return self._mlp(name, hidden)
        return self._linear(name, self._norm("region.ln", hidden))

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
    scores = torch.bmm(flat_q, flat_k)
    if bias is not None:
        scores.view(batch, heads, length, length).add_(bias[:, None])
    mixed = torch.bmm(scores.softmax(-1), v.reshape(batch * heads, length, width))
    return mixed.view(batch, heads, length, width).transpose(1, 2).reshape(batch, length, heads * width)


def rotary(positions: Tensor, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cos and sin [B, 1, L, width/2] of integer positions [B, L]."""
    frequency = ROPE_THETA ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = positions.float()[:, None, :, None] * frequency
    return angle.cos().to(dtype), angle.sin().to(dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first half of each head.

    The order of the written dims differs from the reference, alike in q and k, so the scores are the same.
    """
    half = cos.shape[-1]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], -1)
