"""The text decoder: attention and perceptron side by side on one norm, rotary positions, grouped heads.

    l = norm(x);  x = x + attention(l) + mlp(l)

Where keys and values live is the caller's affair: a block hands q, k, v to an `Attend` and gets the attended
values back. So the same functions serve one sequence with a contiguous cache and a batch with pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.models.layers import Linear, Mlp, Norm, linear, mlp, norm
from dreamscope.engine.models.rope import Rope, rotate

Attend = Callable[[int, Array, Array, Array], Array]
"""(layer, q `[B, H, T, E]`, k and v `[B, Hkv, T, E]`) to attended values `[B, H, T, E]`."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """`text.blocks.i`: `ln`, `attn.qkv`, `attn.proj`, `mlp`."""

    ln: Norm
    qkv: Linear
    proj: Linear
    mlp: Mlp


@dataclass(frozen=True, slots=True)
class TextWeights:
    """`text.wte` `[V, D]`, the blocks, `text.post_ln`, `text.lm_head`."""

    wte: Array
    blocks: Sequence[TextBlock]
    post_ln: Norm
    lm_head: Linear


@dataclass(frozen=True, slots=True)
class Heads:
    """How many query and key heads there are, and how wide each is."""

    query: int
    key: int
    dim: int


def run_blocks(
    device: Device,
    blocks: Sequence[TextBlock],
    heads: Heads,
    rope: Rope,
    x: Array,
    cos: Array,
    sin: Array,
    attend: Attend,
) -> Array:
    """Residual stream `[B, T, D]` through every block, without the final norm.

    `cos`, `sin`: the rows of `rope` for the positions of `x`, `[T, 1, E]` or `[B, T, 1, E]`.
    """
    for layer, block in enumerate(blocks):
        x = _block(device, block, heads, rope, x, cos, sin, layer, attend)
    return x


def logits(device: Device, weights: TextWeights, hidden: Array) -> Array:
    """Vocabulary logits `[..., V]` of residual streams `[..., D]`."""
    return linear(device, norm(device, hidden, weights.post_ln), weights.lm_head)


def _block(
    device: Device,
    block: TextBlock,
    heads: Heads,
    rope: Rope,
    x: Array,
    cos: Array,
    sin: Array,
    layer: int,
    attend: Attend,
) -> Array:
    batch, length, dim = x.shape
    normed = norm(device, x, block.ln)
    qkv = linear(device, normed, block.qkv)
    rows = device.reshape(qkv, (batch, length, heads.query + 2 * heads.key, heads.dim))
    turned, v = device.split(rows, (heads.query + heads.key, heads.key), 2)
    turned = rotate(device, turned, cos, sin, rope)  # queries and keys at once
    q, k = device.split(device.permute(turned, (0, 2, 1, 3)), (heads.query, heads.key), 1)
    mixed = attend(layer, q, k, device.permute(v, (0, 2, 1, 3)))  # [B, H, T, E]
    joined = device.reshape(device.permute(mixed, (0, 2, 1, 3)), (batch, length, dim))
    return x + linear(device, joined, block.proj) + mlp(device, normed, block.mlp)
