"""The text decoder: attention and perceptron side by side on one norm, rotary positions, grouped heads.

    l = norm(x);  x = x + attention(l) + mlp(l)

Where keys and values live is the caller's affair: a block hands q, k, v to an `Attend` and gets the attended
values back. So the same functions serve one sequence with a contiguous cache and a batch with pages. Adapters
are the caller's affair in the same way: an `Adapt` sees whole batches, whose rows may use different ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.models.layers import Linear, Mlp, Norm, linear, norm
from dreamscope.engine.models.moe import Moe, moe
from dreamscope.engine.models.rope import Rope, rotate
from dreamscope.engine.models.tau import Tau, tau_scales

Attend = Callable[[int, Array, Array, Array], Array]
"""(layer, q `[B, H, T, E]`, k and v `[B, Hkv, T, E]`) to attended values `[B, H, T, E]`."""

Site = Literal["qkv", "proj", "fc1", "fc2"]
"""The linears of a block that an adapter may change."""


class Places(NamedTuple):
    """What blocks know of the positions of their rows: `[T, ...]`, or `[B, T, ...]` if sequences differ."""

    cos: Array
    sin: Array
    log_position: Array


class Adapt(Protocol):
    """What an adapter adds to the output of a linear; `None` where it adds nothing."""

    def __call__(self, layer: int, site: Site, x: Array, ids: Array | None = None) -> Array | None:
        """`[B, T, in]` to `[B, T, out]`; in a mixture `[n, 1 or k, in]`, `ids` `[n, k]` to `[n, k, out]`."""


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
    rope: Rope,
    x: Array,
    cos: Array,
    sin: Array,
    attend: Attend,
    adapt: Adapt | None = None,
    log_position: Array | None = None,
) -> Array:
    """Residual stream `[B, T, D]` through every block, without the final norm.

    `cos`, `sin`: the rows of `rope` for the positions of `x`, `[T, 1, E]` or `[B, T, 1, E]`. `adapt` gives
    what an adapter adds to each linear; without it the blocks are those of the checkpoint. `log_position`:
    the rows of `log_positions`, `[T, 1]` or `[B, T, 1]`, for blocks with tau.
    """
    for layer, block in enumerate(blocks):
        x = _block(device, block, heads, rope, x, cos, sin, layer, attend, adapt, log_position)
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
    adapt: Adapt | None,
    log_position: Array | None,
) -> Array:
    def adapted(site: Site, output: Array, seen: Array) -> Array:
        addend = None if adapt is None else adapt(layer, site, seen)
        return output if addend is None else output + addend

    def adapted_experts(site: Literal["fc1", "fc2"], seen: Array, ids: Array) -> Array | None:
        return None if adapt is None else adapt(layer, site, seen, ids)

    batch, length, dim = x.shape
    normed = norm(device, x, block.ln)
    qkv = adapted("qkv", linear(device, normed, block.qkv), normed)
    rows = device.reshape(qkv, (batch, length, heads.query + 2 * heads.key, heads.dim))
    turned, v = device.split(rows, (heads.query + heads.key, heads.key), 2)
    if block.tau is not None:
        assert log_position is not None
        q_scale, v_scale = tau_scales(device, block.tau, qkv, log_position)
        q, k = device.split(turned, (heads.query, heads.key), 2)
        turned, v = device.concat((q * q_scale, k), 2), v * v_scale
    turned = rotate(device, turned, cos, sin, rope)  # queries and keys at once
    q, k = device.split(device.permute(turned, (0, 2, 1, 3)), (heads.query, heads.key), 1)
    mixed = attend(layer, q, k, device.permute(v, (0, 2, 1, 3)))  # [B, H, T, E]
    joined = device.reshape(device.permute(mixed, (0, 2, 1, 3)), (batch, length, dim))
    # Published adapters were trained with this one reading the block's normed input, not the attended values.
    attended = adapted("proj", linear(device, joined, block.proj), normed)
    if isinstance(block.mlp, Moe):
        return x + attended + moe(device, normed, block.mlp, adapted_experts)
    inner = device.gelu(adapted("fc1", linear(device, normed, block.mlp.fc1), normed))
    return x + attended + adapted("fc2", linear(device, inner, block.mlp.fc2), inner)
