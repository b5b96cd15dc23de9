"""The layers of the mask refiner over the operations of a device. Maps are `[H, W, C]`, one at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.models.layers import Linear, Norm, linear


@dataclass(frozen=True, slots=True)
class Attention:
    """`in_proj_weight` and `in_proj_bias` in thirds, and `out_proj`."""

    q: Linear
    k: Linear
    v: Linear
    out: Linear


def attend(device: Device, layer: Attention, n_heads: int, q: Array, k: Array, v: Array) -> Array:
    """Rows `[T, D]` look at rows `k`, and mix rows `v`, both `[S, D]`: `[T, D]`."""
    dim = q.shape[-1]

    def heads(rows: Array, part: Linear) -> Array:
        split = device.reshape(linear(device, rows, part), (1, rows.shape[0], n_heads, dim // n_heads))
        return device.permute(split, (0, 2, 1, 3))

    mixed = device.attention(heads(q, layer.q), heads(k, layer.k), heads(v, layer.v), None)
    rows = device.reshape(device.permute(mixed, (0, 2, 1, 3)), (q.shape[0], dim))
    return linear(device, rows, layer.out)


def convolve(device: Device, x: Array, layer: Linear, stride: int = 1) -> Array:
    """A 3x3 convolution `[H, W, C]` to `[ceil(H / stride), ceil(W / stride), out]`, zeros around the map.

    `layer.weight` is `[out, 9 * C]`: the nine neighbours row by row, the channels of each together.
    """
    height, width, channels = x.shape
    side = device.zeros((height, 1, channels))
    wide = device.concat((side, x, side), 1)
    edge = device.zeros((1, width + 2, channels))
    padded = device.concat((edge, wide, edge), 0)
    rows, columns = np.arange(0, height, stride), np.arange(0, width, stride)
    seen = []
    for dy in range(3):
        band = device.take(padded, device.array(rows + dy), 0)
        seen += [device.take(band, device.array(columns + dx), 1) for dx in range(3)]
    return linear(device, device.concat(seen, 2), layer)


def double(device: Device, x: Array, layer: Linear) -> Array:
    """A transposed 2x2 convolution of stride 2, `[H, W, C]` to `[2H, 2W, out]`.

    `layer` has rows for the four cells that each one becomes, row by row, the channels of each together.
    """
    height, width, _ = x.shape
    cells = device.reshape(linear(device, x, layer), (height, width, 2, 2, -1))
    return device.reshape(device.permute(cells, (0, 2, 1, 3, 4)), (2 * height, 2 * width, cells.shape[-1]))


def group_norm(device: Device, x: Array, layer: Norm, groups: int) -> Array:
    """Over the whole map `[H, W, C]`, in groups of neighbouring channels, eps 1e-5."""
    height, width, channels = x.shape
    grouped = device.reshape(device.permute(x, (2, 0, 1)), (groups, -1))
    plain = device.zeros((grouped.shape[1],))
    normed = device.layer_norm(grouped, plain + 1, plain)
    restored = device.permute(device.reshape(normed, (channels, height, width)), (1, 2, 0))
    return restored * layer.weight + layer.bias


def neighbours(size: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For `wanted` cells along an axis of `size` cells: the two nearest ones, and the share of the second.

    By the centres of the cells, without a low-pass; beyond the outermost centres the outermost cell.
    """
    place = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    low = np.floor(place).astype(np.int64)
    return low, np.minimum(low + 1, size - 1), (place - low).astype(np.float32)


def resize(device: Device, x: Array, height: int, width: int) -> Array:
    """A map `[H, W, C]` resampled linearly to `[height, width, C]`, in float32 inside."""
    tall, broad, channels = x.shape
    by_row = device.array(_mixing(tall, height), exact=True)
    by_column = device.array(_mixing(broad, width), exact=True)
    rows = device.matmul(by_row, device.reshape(device.widen(x), (tall, broad * channels)))
    return device.narrow(device.matmul(by_column, device.reshape(rows, (height, broad, channels))))


def _mixing(size: int, wanted: int) -> NDArray[np.float32]:
    """Matrix `[wanted, size]` of the shares of `neighbours`."""
    low, high, share = neighbours(size, wanted)
    matrix = np.zeros((wanted, size), np.float32)
    np.add.at(matrix, (np.arange(wanted), low), 1 - share)
    np.add.at(matrix, (np.arange(wanted), high), share)
    return matrix
