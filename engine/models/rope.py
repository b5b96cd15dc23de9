"""Rotary position embedding on the leading dimensions of a head.

Pairs are read half-split, `(x[j], x[j + rot/2])`, and written interleaved, `(y[2j], y[2j+1])`. Queries and
keys get the same permutation, so attention does not notice; the layout of the key cache is the reference's.

Written as one gather-multiply-add, `y = x[first] * cos + x[second] * sin`, with the sign inside the sine
table and `cos 1, sin 0` on the dimensions that pass through.
"""

from __future__ import annotations

import numpy as np

from dreamscope.engine.devices.base import Device, Rotation

THETA = 10000.0


def build_rope(
    device: Device, head_dim: int, rotary_dim: int, positions: int, theta: float = THETA
) -> Rotation:
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
    return Rotation(
        device.array(cos, exact=True),
        device.array(sin, exact=True),
        device.array(first),
        device.array(second),
    )
