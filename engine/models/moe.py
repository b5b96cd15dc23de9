"""A mixture of experts in the place of the perceptron of a text block.

    r = router(x);  the k largest of r, their softmax p
    u = fc1[e] @ x;  h, g = halves of u;  y = sum over the chosen e of p_e * fc2[e] @ (gelu(h) * (g + 1))

The choice comes first and the softmax after it, so the weights of the chosen experts add up to one. The GELU
is the exact one, and nothing but the router has a bias.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.models.layers import Linear, linear

AdaptExperts = Callable[[Literal["fc1", "fc2"], Array, Array, Array], Array]
"""(site, output `[n, k, out]`, input `[n, 1 or k, in]`, experts `[n, k]`) to the output as it is adapted."""


@dataclass(frozen=True, slots=True)
class Moe:
    """`mlp.router`, `mlp.fc1.weight` `[E, 2I, D]`, `mlp.fc2.weight` `[E, D, I]`.

    The first I rows of fc1 make the activated half. `active` is how many experts each position uses.
    """

    router: Linear
    fc1: Array
    fc2: Array
    active: int


def route(device: Device, x: Array, layer: Moe) -> tuple[Array, Array]:
    """Experts `[n, k]` of rows `[n, D]`, best first, and their weights `[n, k]`."""
    return device.top_weights(linear(device, x, layer.router), layer.active)


def moe(device: Device, x: Array, layer: Moe, adapt: AdaptExperts | None = None) -> Array:
    """`[B, T, D]` to `[B, T, D]`; reads the matrices of the chosen experts only. Routing is never adapted."""
    batch, length, dim = x.shape
    rows = device.reshape(x, (batch * length, dim))
    ids, weights = route(device, rows, layer)

    def through(site: Literal["fc1", "fc2"], matrices: Array, seen: Array) -> Array:
        output = device.expert_linear(seen, matrices, ids)
        return output if adapt is None else adapt(site, output, seen, ids)

    up = through("fc1", layer.fc1, device.reshape(rows, (batch * length, 1, dim)))
    inner = up.shape[2] // 2
    activated, gate = device.split(up, (inner, inner), 2)
    each = through("fc2", layer.fc2, device.gelu_exact(activated) * (gate + 1))  # [n, k, D]
    mixed = device.matmul(device.reshape(weights, (batch * length, 1, layer.active)), each)
    return device.reshape(mixed, (batch, length, dim))
