"""Attention with tau: every head scales its queries and values by what is in the token and where it stands.

    f = gelu(qkv);  scale = tanh(w @ f) + 0.5 + sigmoid(alpha * ln(position + 1))

The position's part is between 0.5 and 1.5, and 1 at position 0. Keys are not scaled. Values are scaled before
they are cached, so nothing is computed again for cached positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamscope.engine.devices.base import Array, Device


@dataclass(frozen=True, slots=True)
class Tau:
    """`attn.tau.wq` and `.wv` `[H, 3D]`, `attn.tau.alpha` `[H]`.

    `tanh_gelu`: whether f uses the approximation; one reference does, the checkpoint's own code does not.
    """

    wq: Array
    wv: Array
    alpha: Array
    tanh_gelu: bool = False


def log_positions(device: Device, count: int) -> Array:
    """`ln(position + 1)` in float32, `[positions, 1]`."""
    return device.array(np.log(np.arange(1, count + 1, dtype=np.float32))[:, None], exact=True)


def tau_scales(device: Device, tau: Tau, qkv: Array, log_position: Array) -> tuple[Array, Array]:
    """Factors `[B, T, H, 1]` of queries and values.

    `qkv`: the fused projection `[B, T, 3D]` before anything is done to it. `log_position`: rows of
    `log_positions`, `[T, 1]` or `[B, T, 1]`.
    """
    features = device.gelu(qkv) if tau.tanh_gelu else device.gelu_exact(qkv)
    place = device.narrow(position_scale(device, tau, log_position))
    return _scale(device, tau.wq, features, place), _scale(device, tau.wv, features, place)


def position_scale(device: Device, tau: Tau, log_position: Array) -> Array:
    """The position's part `[T, H]` or `[B, T, H]` in float32; `0.5 + sigmoid(x)` is `1 + tanh(x / 2) / 2`."""
    return device.tanh(device.widen(tau.alpha) * log_position * 0.5) * 0.5 + 1


def _scale(device: Device, weight: Array, features: Array, place: Array) -> Array:
    token = device.tanh(device.matmul(features, device.permute(weight, (1, 0))))
    scale = token + place
    return device.reshape(scale, (*scale.shape, 1))
