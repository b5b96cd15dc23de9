"""The head of the mask refiner: features of a picture and a mask to a better mask.

It belongs to Moondream 3 and has a file of its own, with the tensors that the dataclasses name. Tokens, one
for each of several masks and one for their quality, look at the picture in two-way blocks; each mask is what
its token finds in the picture at eight times the resolution of the patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.models.layers import Linear, Norm, linear, norm
from dreamscope.engine.models.refiner_layers import Attention, attend, convolve, double, group_norm, resize

ITERATIONS = 5
EARLY_BLOCK = 8
"""The block of the vision encoder after which the early features are taken."""
GROUPS = (1, 8, 16, 32)
"""Channel groups of the norms of the mask encoder; a map with fewer channels has one channel in each."""
FUSION_GROUPS = 32
HEADS = 8
FINE_HEADS = 4


@dataclass(frozen=True, slots=True)
class Normed:
    """A linear layer or a convolution, and the norm behind it."""

    layer: Linear
    norm: Norm


@dataclass(frozen=True, slots=True)
class TwoWayBlock:
    """`transformer_blocks.i`: `output_self_attn`, `norm1`, `cross_attn_token_to_image`, `norm2`, `mlp.0`,
    `mlp.2`, `norm3`, `cross_attn_image_to_token`, `norm4`.
    """

    among_tokens: Attention
    norm1: Norm
    to_picture: Attention
    norm2: Norm
    fc1: Linear
    fc2: Linear
    norm3: Norm
    to_tokens: Attention
    norm4: Norm


@dataclass(frozen=True, slots=True)
class Doubling:
    """Six entries of `upsample`: a transposed convolution, a norm, (GELU), a convolution, a norm, (GELU)."""

    up: Normed
    conv: Normed


@dataclass(frozen=True, slots=True)
class RefinerWeights:
    """All parameters. G patches along a side, E features of the encoder, D of the head, M masks."""

    grid: int
    image_proj: Linear
    image_pe: Array
    """`[G * G, D]`."""
    early_proj: Normed
    """`hq_fusion.early_proj`."""
    fusion: tuple[Normed, Normed]
    """`hq_fusion.fusion`: 1x1, then 3x3."""
    mask_encoder: Sequence[Normed]
    """`conv1` to `conv4`, each of stride 2."""
    tokens: Array
    """`mask_tokens` and `iou_token`, `[M + 1, D]`."""
    output_pe: Array
    """`[M + 1, D]`."""
    blocks: Sequence[TwoWayBlock]
    final: Attention
    """`final_token_to_image`."""
    final_norm: Norm
    upsample: Sequence[Doubling]
    fine_proj: Linear
    """`final_q_proj`."""
    fine: Attention
    """`final_attn_up`."""
    fine_norm: Norm
    """`final_norm_up`."""
    mask_mlps: Sequence[Sequence[Linear]]
    iou_head: Sequence[Linear]


def refine_mask(
    device: Device, weights: RefinerWeights, final: Array, early: Array, mask: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Features `[P, E]` of one crop and a mask `[C, C]` of it to the probability of each pixel `[C, C]`.

    Each iteration starts from the best mask of the one before, by the quality that the head expects of it.
    """
    size = mask.shape[0]
    picture = fuse(device, weights, final, early)
    current = device.array(mask.astype(np.float32))
    for _ in range(ITERATIONS):
        masks, quality = predict(device, weights, picture, current)
        best = int(np.argmax(device.numpy(quality)))
        logits = masks[best : best + 1]
        whole = resize(device, device.permute(logits, (1, 2, 0)), size, size)
        current = device.tanh(device.reshape(whole, (size, size)) * 0.5) * 0.5 + 0.5  # the sigmoid
    return device.numpy(current)


def fuse(device: Device, weights: RefinerWeights, final: Array, early: Array) -> Array:
    """Features `[P, E]` of both depths as one map `[G, G, D]`, the same for all iterations."""
    first, second = weights.fusion
    projected = linear(device, final, weights.image_proj)
    shallow = norm(device, linear(device, early, weights.early_proj.layer), weights.early_proj.norm)
    both = device.concat((device.gelu_exact(shallow), projected), 1)
    grid = weights.grid
    joined = device.reshape(linear(device, both, first.layer), (grid, grid, -1))
    x = device.gelu_exact(group_norm(device, joined, first.norm, FUSION_GROUPS))
    x = convolve(device, x, second.layer)
    return device.gelu_exact(group_norm(device, x, second.norm, FUSION_GROUPS))


def predict(device: Device, weights: RefinerWeights, picture: Array, mask: Array) -> tuple[Array, Array]:
    """The map of `fuse` and a mask `[C, C]` of 0..1 to logits `[M, 8G, 8G]` and expected quality `[M]`."""
    x = picture + _encode_mask(device, weights, mask)
    grid = weights.grid
    rows, places = device.reshape(x, (grid * grid, -1)), weights.image_pe
    tokens, own = weights.tokens, weights.output_pe
    for block in weights.blocks:
        tokens, rows = _run_block(device, block, tokens, rows, own, places)
    found = attend(device, weights.final, HEADS, tokens + own, rows + places, rows)
    tokens = norm(device, tokens + found, weights.final_norm)
    quality = _perceptron(device, weights.iou_head, tokens[-1:])[0]

    x = device.reshape(rows, (grid, grid, -1))
    for stage in weights.upsample:
        x = double(device, x, stage.up.layer)
        x = device.gelu_exact(norm(device, x, stage.up.norm))
        x = convolve(device, x, stage.conv.layer)
        x = device.gelu_exact(norm(device, x, stage.conv.norm))
    height, width, dim = x.shape
    pixels = device.reshape(x, (height * width, dim))
    wanted = linear(device, tokens[:-1], weights.fine_proj)
    asked = norm(device, wanted, weights.fine_norm)
    wanted = wanted + attend(device, weights.fine, FINE_HEADS, asked, pixels, pixels)
    looks = [_perceptron(device, layers, wanted[i : i + 1]) for i, layers in enumerate(weights.mask_mlps)]
    masks = device.matmul(device.concat(looks, 0), device.permute(pixels, (1, 0)))
    return device.reshape(masks, (len(looks), height, width)), quality


def _encode_mask(device: Device, weights: RefinerWeights, mask: Array) -> Array:
    """`[C, C]` to `[G, G, D]`."""
    x = device.reshape(mask, (*mask.shape, 1))
    for step, groups in zip(weights.mask_encoder, GROUPS, strict=True):
        x = convolve(device, x, step.layer, stride=2)
        x = device.gelu_exact(group_norm(device, x, step.norm, min(groups, x.shape[-1])))
    return resize(device, x, weights.grid, weights.grid)


def _run_block(
    device: Device, block: TwoWayBlock, tokens: Array, rows: Array, own: Array, places: Array
) -> tuple[Array, Array]:
    """Tokens `[M + 1, D]` look at each other and at the picture `[P, D]`, then the picture at them."""
    seen = attend(device, block.among_tokens, HEADS, tokens + own, tokens + own, tokens)
    tokens = norm(device, tokens + seen, block.norm1)
    seen = attend(device, block.to_picture, HEADS, tokens + own, rows + places, rows)
    tokens = norm(device, tokens + seen, block.norm2)
    thought = linear(device, device.gelu_exact(linear(device, tokens, block.fc1)), block.fc2)
    tokens = norm(device, tokens + thought, block.norm3)
    seen = attend(device, block.to_tokens, HEADS, rows + places, tokens + own, tokens)
    return tokens, norm(device, rows + seen, block.norm4)


def _perceptron(device: Device, layers: Sequence[Linear], x: Array) -> Array:
    """Linear layers with GELUs between them."""
    for index, layer in enumerate(layers):
        x = linear(device, x if index == 0 else device.gelu_exact(x), layer)
    return x
