"""The parameters that every block is made of, and the two-layer perceptron."""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.engine.devices.base import Array, Device


@dataclass(frozen=True, slots=True)
class Linear:
    """`weight` `[out, in]` and `bias` `[out]`."""

    weight: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Norm:
    """Scale and shift `[dim]` of a layer norm."""

    weight: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Mlp:
    """Two linear layers with a GELU between them."""

    fc1: Linear
    fc2: Linear


def linear(device: Device, x: Array, layer: Linear) -> Array:
    """`[..., in]` to `[..., out]`."""
    return device.linear(x, layer.weight, layer.bias)


def norm(device: Device, x: Array, layer: Norm) -> Array:
    """Layer norm over the last axis."""
    return device.layer_norm(x, layer.weight, layer.bias)


def mlp(device: Device, x: Array, layer: Mlp) -> Array:
    """`fc2(gelu(fc1(x)))`."""
    return linear(device, device.linear_gelu(x, layer.fc1.weight, layer.fc1.bias), layer.fc2)
