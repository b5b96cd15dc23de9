"""The text decoder: attention and perceptron side by side on one norm, rotary positions, grouped heads.

    l = norm(x);  x = x + attention(l) + mlp(l)

Positions, and where keys and values live, are the caller's affair: a block hands its heads to an `Attend`
and gets the attended values back. So the same functions serve one sequence with a contiguous cache and a
batch with pages. Adapters are the caller's affair in the same way: an `Adapt` sees whole batches, whose rows
may use different ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from dreamscope.engine.devices.base import Array, Device, Rotation
from dreamscope.engine.devices.composed import rotate
from dreamscope.engine.models.layers import Linear, Mlp, Norm, linear, mlp, norm
from dreamscope.engine.models.moe import Moe, moe
from dreamscope.engine.models.tau import Tau, tau_scales

Attend = Callable[[int, Array, Array], Array]
"""(layer, queries and then keys `[B, T, H + Hkv, E]`, not rotated, values `[B, T, Hkv, E]`) to attended
values, in the order of `[B, T, H, E]`."""
AttendInPlace = Callable[[int, Array, Array, Array], Array]
"""(layer, q `[B, H, T, E]`, k and v `[B, Hkv, T, E]`) to attended values `[B, H, T, E]`."""

Site = Literal["qkv", "proj", "fc1", "fc2"]
"""The linears of a block that an adapter may change."""


class Places(NamedTuple):
    """What is known of the positions of rows: how heads are rotated, and `log_positions`."""

    rotation: Rotation
    log_position: Array


class Adapt(Protocol):
    """The output of a linear with what an adapter adds to it."""

    def __call__(self, layer: int, site: Site, output: Array, x: Array, ids: Array | None = None) -> Array:
        """`output` `[B, T, out]` of `x` `[B, T, in]`; in a mixture `[n, k, out]` of `[n, 1 or k, in]` through
        experts `ids` `[n, k]`. The output passed in may be changed or consumed."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """`text.blocks.i`: `ln`, `attn.qkv`, `attn.proj`, `mlp`, and `attn.tau` where the family has it."""

    ln: Norm
    qkv: Linear
    proj: Linear
    mlp: Mlp | Moe
    tau: Tau | None = None


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
    x: Array,
    attend: Attend,
    adapt: Adapt | None = None,
    log_position: Array | None = None,
) -> Array:
    """Residual stream `[B, T, D]` through every block, without the final norm.

    `adapt` changes what comes out of each linear; without it the blocks are those of the checkpoint.
    `log_position`: the rows of `log_positions`, `[T, 1]` or `[B, T, 1]`, for blocks with tau.
    """
    for layer, block in enumerate(blocks):
        x = _block(device, block, heads, x, layer, attend, adapt, log_position)
    return x


def rotated(device: Device, heads: Heads, rotation: Rotation, attend: AttendInPlace) -> Attend:
    """Rotate queries and keys, with rows `[T, 1, E]` or `[B, T, 1, E]`, before attending."""

    def turn(layer: int, qk: Array, v: Array) -> Array:
        turned = device.permute(rotate(device, qk, rotation), (0, 2, 1, 3))  # queries and keys at once
        q, k = device.split(turned, (heads.query, heads.key), 1)
        return device.permute(attend(layer, q, k, device.permute(v, (0, 2, 1, 3))), (0, 2, 1, 3))

    return turn


def logits(device: Device, weights: TextWeights, hidden: Array) -> Array:
    """Vocabulary logits `[..., V]` of residual streams `[..., D]`."""
    return linear(device, norm(device, hidden, weights.post_ln), weights.lm_head)


def _block(
    device: Device,
    block: TextBlock,
    heads: Heads,
    x: Array,
    layer: int,
    attend: Attend,
    adapt: Adapt | None,
    log_position: Array | None,
) -> Array:
    def adapted(site: Site, output: Array, seen: Array) -> Array:
        return output if adapt is None else adapt(layer, site, output, seen)

    def adapted_experts(site: Literal["fc1", "fc2"], output: Array, seen: Array, ids: Array) -> Array:
        return output if adapt is None else adapt(layer, site, output, seen, ids)

    batch, length, dim = x.shape
    normed = norm(device, x, block.ln)
    qkv = adapted("qkv", linear(device, normed, block.qkv), normed)
    rows = device.reshape(qkv, (batch, length, heads.query + 2 * heads.key, heads.dim))
    qk, v = device.split(rows, (heads.query + heads.key, heads.key), 2)
    if block.tau is not None:
        assert log_position is not None
        q_scale, v_scale = tau_scales(device, block.tau, qkv, log_position)
        q, k = device.split(qk, (heads.query, heads.key), 2)
        qk, v = device.concat((q * q_scale, k), 2), v * v_scale
    joined = device.reshape(attend(layer, qk, v), (batch, length, dim))
    # Published adapters were trained with this one reading the block's normed input, not the attended values.
    attended = adapted("proj", linear(device, joined, block.proj), normed)
    if isinstance(block.mlp, Moe):
        return x + attended + moe(device, normed, block.mlp, adapted_experts)
    if adapt is None:
        return x + attended + mlp(device, normed, block.mlp)
    inner = device.gelu(adapted("fc1", linear(device, normed, block.mlp.fc1), normed))
    return x + attended + adapted("fc2", linear(device, inner, block.mlp.fc2), inner)
