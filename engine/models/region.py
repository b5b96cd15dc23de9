"""Coordinates and sizes to decoder rows and back.

The decoders read the residual stream before the final norm, at the position whose logits chose the token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.models.layers import Linear, Mlp, Norm, linear, mlp, norm


@dataclass(frozen=True, slots=True)
class RegionWeights:
    """`region.coord_features` `[1, F/2]`, `region.size_features` `[2, F/2]`, encoders and decoders.

    `ln` stands before both decoders where the checkpoint has it.
    """

    coord_features: Array
    coord_encoder: Linear
    coord_decoder: Mlp | Linear
    size_features: Array
    size_encoder: Linear
    size_decoder: Mlp | Linear
    ln: Norm | None = None


def encode_coords(device: Device, weights: RegionWeights, values: NDArray[np.float32]) -> Array:
    """Coordinates `[n]`, fractions of the image, to rows `[n, D]`."""
    return coord_rows(device, weights, device.array(values.reshape(-1, 1)))


def encode_sizes(device: Device, weights: RegionWeights, values: NDArray[np.float32]) -> Array:
    """Sizes `[n, 2]` as (width, height), fractions of the image, to rows `[n, D]`."""
    return size_rows(device, weights, device.array(values.reshape(-1, 2)))


def coord_rows(device: Device, weights: RegionWeights, values: Array) -> Array:
    """Coordinates `[n, 1]` in the compute dtype to rows `[n, D]`."""
    return linear(device, _fourier(device, values, weights.coord_features), weights.coord_encoder)


def size_rows(device: Device, weights: RegionWeights, values: Array) -> Array:
    """Sizes `[n, 2]` in the compute dtype, (width, height), to rows `[n, D]`."""
    return linear(device, _fourier(device, values, weights.size_features), weights.size_encoder)


def decode_coords(device: Device, weights: RegionWeights, hidden: Array) -> Array:
    """Residual streams `[..., D]` to bin logits `[..., bins]`."""
    return _decode(device, hidden, weights.coord_decoder, weights.ln)


def decode_sizes(device: Device, weights: RegionWeights, hidden: Array) -> Array:
    """Residual streams `[..., D]` to bin logits `[..., 2, bins]`: width, then height."""
    both = _decode(device, hidden, weights.size_decoder, weights.ln)
    return device.reshape(both, (*both.shape[:-1], 2, both.shape[-1] // 2))


def bin_counts(weights: RegionWeights) -> tuple[int, int]:
    """How many bins a coordinate has, and each axis of a size."""
    coord, size = (
        (decoder.fc2 if isinstance(decoder, Mlp) else decoder).bias.shape[0]
        for decoder in (weights.coord_decoder, weights.size_decoder)
    )
    return int(coord), int(size) // 2


def _decode(device: Device, hidden: Array, decoder: Mlp | Linear, ln: Norm | None) -> Array:
    normed = hidden if ln is None else norm(device, hidden, ln)
    return mlp(device, normed, decoder) if isinstance(decoder, Mlp) else linear(device, normed, decoder)


def _fourier(device: Device, values: Array, features: Array) -> Array:
    """`[n, k]` to `[n, F]`: cosines, then sines, of `(2 pi x) @ features`."""
    angle = device.matmul(values * (2 * math.pi), features)
    return device.concat((device.cos(angle), device.sin(angle)), 1)
