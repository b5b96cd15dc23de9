"""Rotary position embedding on the leading dimensions of a head.

Pairs are read half-split, `(x[j], x[j + rot/2])`, and written interleaved, `(y[2j], y[2j+1])`. Queries and
keys get the same permutation, so attention does not notice; the layout of the key cache is the reference's.

Written as one gather-multiply-add, `y = x[first] * cos + x[second] * sin`, with the sign inside the sine
table and `cos 1, sin 0` on the dimensions that pass through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamscope.engine.devices.base import Array, Device

THETA = 10000.0


@dataclass(frozen=True, slots=True)
class Rope:
    """On the device: `cos`, `sin` float32 `[positions, 1, E]`; `first`, `second` source indices `[E]`."""

    cos: Array
    sin: Array
    first: Array
    second: Array


def build_rope(device: Device, head_dim: int, rotary_dim: int, positions: int, theta: float = THETA) -> Rope:
    """Tables for positions `0 .. positions-1`; angles `pos * theta^(-2j / rotary_dim)` in float32."""
    half = rotary_dim // 2
    exponent = np.arange(0, rotary_dim, 2, dtype=np.float32)[:half] / np.float32(rotary_dim)
    frequency = np.float32(1) / np.power(np.float32(theta), exponent)
    angle = np.arange(positions, dtype=np.float32)[:, None] * frequency
    cos = np.ones((positions, 1, head_dim), np.float32)
    sin = np.zeros((positions, 1, head_dim), np.float32)
    cos[:, 0, :rotary_dim] = np.repeat(np.cos(angle), 2, axis=1)
    sin[:, 0, 0:rotary_dim:2] = -np.sin(angle)
    sin[:, 0, 1:rotary_dim:2] = np.sin(angle)
    first, second = np.arange(head_dim), np.arange(head_dim)
    pairs = np.arange(half)
    first[0:rotary_dim:2], second[0:rotary_dim:2] = pairs, pairs + half
    first[1:rotary_dim:2], second[1:rotary_dim:2] = pairs + half, pairs
    return Rope(
        device.array(cos, exact=True),
        device.array(sin, exact=True),
        device.array(first),
        device.array(second),
    )


def rotate(device: Device, x: Array, cos: Array, sin: Array, rope: Rope) -> Array:
    """Rotate heads `[B, T, H, E]` with rows of the tables `[T, 1, E]` or `[B, T, 1, E]`.

    The arithmetic is float32 whatever the compute dtype; the result is in the compute dtype.
    """
    axis = len(x.shape) - 1
    first, second = device.take(x, rope.first, axis), device.take(x, rope.second, axis)
    return device.narrow(first * cos + second * sin)
