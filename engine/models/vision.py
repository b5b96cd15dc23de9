"""The vision encoder and the projection into the decoder.

Crops are cut into patches, encoded one by one, stitched to one grid without their overlaps, pooled to the
size of a single crop, and joined with the features of the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.models.bfloat16 import round_bfloat16
from dreamscope.engine.models.layers import Linear, Mlp, Norm, linear, mlp, norm


@dataclass(frozen=True, slots=True)
class VisionBlock:
    """`vision.blocks.i`: `ln1`, `attn.qkv`, `attn.proj`, `ln2`, `mlp`."""

    ln1: Norm
    qkv: Linear
    proj: Linear
    ln2: Norm
    mlp: Mlp


@dataclass(frozen=True, slots=True)
class VisionWeights:
    """`vision.patch_emb`, `vision.pos_emb` `[1, P, E]`, the blocks, `vision.post_ln`, `vision.proj_mlp`."""

    patch_emb: Linear
    pos_emb: Array
    blocks: Sequence[VisionBlock]
    post_ln: Norm
    proj_mlp: Mlp


def normalisation_table(rounded: bool = True) -> NDArray[np.float32]:
    """The value of every pixel byte, `[256]`: `(x / 255 - 0.5) / 0.5`, if `rounded` each step to bfloat16."""
    if not rounded:
        return (np.arange(256, dtype=np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    scaled = round_bfloat16(np.arange(256, dtype=np.float32) / np.float32(255))
    centred = round_bfloat16(scaled - np.float32(0.5))
    return round_bfloat16(centred / np.float32(0.5))


def cut_patches(pixels: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """Crops `[n, C, C, 3]` to patches `[n, P, 3 * patch^2]`: patches row by row, features channel-major."""
    count, size, _, channels = pixels.shape
    grid = size // patch
    tiles = pixels.reshape(count, grid, patch, grid, patch, channels).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(tiles).reshape(count, grid * grid, channels * patch * patch)


def encode_crops(
    device: Device,
    weights: VisionWeights,
    n_heads: int,
    patches: NDArray[np.uint8],
    table: NDArray[np.float32],
) -> Array:
    """Patches `[n, P, F]` of raw bytes to features `[n, P, E]` after the last norm.

    `table`: the value of every byte, as `normalisation_table` gives it.
    """
    x = _embed(device, weights, patches, table)
    for block in weights.blocks:
        x = _run_block(device, block, n_heads, x)
    return norm(device, x, weights.post_ln)


def encode_with_early(
    device: Device,
    weights: VisionWeights,
    n_heads: int,
    patches: NDArray[np.uint8],
    table: NDArray[np.float32],
    early_block: int,
) -> tuple[Array, Array]:
    """As `encode_crops`, and the stream `[n, P, E]` after the block `early_block`, without a norm."""
    x = early = _embed(device, weights, patches, table)
    for index, block in enumerate(weights.blocks):
        x = _run_block(device, block, n_heads, x)
        if index == early_block:
            early = x
    return norm(device, x, weights.post_ln), early


def stitch(device: Device, features: Array, grid: int, margin: int, tiling: tuple[int, int]) -> Array:
    """Local crops' features `[rows * cols, P, E]` to one picture `[Hs, Ws, E]`.

    Where crops overlap, each gives up `margin` patches at the inner side; every cell has one source.
    """
    sources = stitch_sources(grid, margin, tiling)
    width = features.shape[-1]
    flat = device.reshape(features, (-1, width))
    picture = device.take(flat, device.array(sources.reshape(-1)), 0)
    return device.reshape(picture, (*sources.shape, width))


def stitch_sources(grid: int, margin: int, tiling: tuple[int, int]) -> NDArray[np.int64]:
    """For every cell `[Hs, Ws]` of the stitched picture its row in the flattened local features."""
    tile_y, y = _axis_sources(grid, margin, tiling[0])
    tile_x, x = _axis_sources(grid, margin, tiling[1])
    tile = tile_y[:, None] * tiling[1] + tile_x
    cells: NDArray[np.int64] = (tile * grid + y[:, None]) * grid + x
    return cells


def pool(device: Device, picture: Array, grid: int) -> Array:
    """Adaptive average pooling `[Hs, Ws, E]` to `[grid * grid, E]`, in float32.

    Output cell a averages input rows from `floor(a * Hs / grid)` up to, but not including,
    `ceil((a + 1) * Hs / grid)`, and columns alike. The mean over a rectangle is a mean of means, so this is
    two matrix products.
    """
    height, width, dim = picture.shape
    if (height, width) == (grid, grid):
        return device.reshape(picture, (grid * grid, dim))
    by_row = device.array(_averaging(height, grid), exact=True)
    by_col = device.array(_averaging(width, grid), exact=True)
    rows = device.matmul(by_row, device.reshape(device.widen(picture), (height, width * dim)))
    cells = device.matmul(by_col, device.reshape(rows, (grid, width, dim)))  # [grid, grid, E]
    return device.narrow(device.reshape(cells, (grid * grid, dim)))


def project(device: Device, weights: VisionWeights, whole: Array, pooled: Array) -> Array:
    """Features of the whole image and of the pooled crops, both `[P, E]`, to decoder rows `[P, D]`."""
    return mlp(device, device.concat((whole, pooled), 1), weights.proj_mlp)


def _embed(
    device: Device, weights: VisionWeights, patches: NDArray[np.uint8], table: NDArray[np.float32]
) -> Array:
    return linear(device, device.array(table[patches]), weights.patch_emb) + weights.pos_emb


def _run_block(device: Device, block: VisionBlock, n_heads: int, x: Array) -> Array:
    x = x + _attention(device, block, n_heads, norm(device, x, block.ln1))
    return x + mlp(device, norm(device, x, block.ln2), block.mlp)


def _attention(device: Device, block: VisionBlock, n_heads: int, x: Array) -> Array:
    count, patches, dim = x.shape
    qkv = device.reshape(linear(device, x, block.qkv), (count, patches, 3 * n_heads, dim // n_heads))
    q, k, v = device.split(device.permute(qkv, (0, 2, 1, 3)), (n_heads,) * 3, 1)
    mixed = device.permute(device.attention(q, k, v, None), (0, 2, 1, 3))
    return linear(device, device.reshape(mixed, (count, patches, dim)), block.proj)


def _axis_sources(grid: int, margin: int, tiles: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Along one axis: which tile each output cell comes from, and the cell inside that tile."""
    inner = grid - 2 * margin
    cell = np.arange(tiles * inner + 2 * margin)
    tile = np.clip((cell - margin) // inner, 0, tiles - 1)
    return tile, cell - tile * inner


def _averaging(size: int, grid: int) -> NDArray[np.float32]:
    """Matrix `[grid, size]` whose row a averages the input cells of output cell a."""
    matrix = np.zeros((grid, size), np.float32)
    for a in range(grid):
        start, end = a * size // grid, -(-(a + 1) * size // grid)
        matrix[a, start:end] = 1 / (end - start)
    return matrix
