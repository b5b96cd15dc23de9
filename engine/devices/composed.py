"""Operations in terms of others, for devices that have nothing better."""

from __future__ import annotations

import numpy as np

from dreamscope.engine.devices.base import GREEDY_BELOW, Array, Device, Rotation


def rotate(device: Device, x: Array, rotation: Rotation) -> Array:
    """Rotate heads `[n, H, E]`, or `[B, T, H, E]` with rows `[T, 1, E]` or `[B, T, 1, E]`.

    The arithmetic is float32 whatever the compute dtype; the result is in the compute dtype.
    """
    axis = len(x.shape) - 1
    first, second = (device.take(x, source, axis) for source in (rotation.first, rotation.second))
    return device.narrow(first * rotation.cos + second * rotation.sin)


class ComposedOps:
    """What a `Device` may inherit; see `base.py` for what each operation means."""

    def true_places(self, mask: Array) -> Array | None:
        """How many there are is known to the host only after waiting."""
        return None

    def linear_gelu(self: Device, x: Array, weight: Array, bias: Array) -> Array:
        """One after the other."""
        return self.gelu(self.linear(x, weight, bias))

    def rotate_store(
        self: Device, heads: Array, values: Array, rotation: Rotation, pages: Array, k: Array, v: Array
    ) -> tuple[Array, Array, Array]:
        """Rotate all heads at once, then store."""
        groups = v.shape[1]
        queries, keys = self.split(rotate(self, heads, rotation), (heads.shape[1] - groups, groups), 1)
        return queries, self.store(k, pages, keys), self.store(v, pages, values)

    def lora(self: Device, y: Array, x: Array, down: Array, up: Array, slots: Array) -> Array:
        """Two batched products, with a copy of the matrices of each row."""
        narrow = self.matmul(x, self.take(down, slots, 0))
        return y + self.matmul(narrow, self.take(up, slots, 0))

    def expert_lora(self: Device, y: Array, x: Array, a: Array, b: Array, slots: Array, ids: Array) -> Array:
        """Experts of all slots in a row, of which each row has those of its slot."""
        experts, k = a.shape[1], ids.shape[1]
        each = ids.shape[0] // slots.shape[0]
        offsets = self.reshape(slots * experts, (-1, 1, 1))
        shifted = self.reshape(self.reshape(ids, (-1, each, k)) + offsets, (-1, k))
        a, b = (self.reshape(part, (-1, *part.shape[2:])) for part in (a, b))
        return y + self.expert_linear(self.expert_linear(x, a, shifted), b, shifted)

    def sample(
        self: Device,
        logits: Array,
        allowed: Array,
        rules: Array,
        settings: tuple[Array, Array, Array] | None,
    ) -> Array:
        """Mask, then select or draw."""
        left = self.where(self.take(allowed, rules, 0), logits, -np.inf)
        ids = self.argmax(left)
        best = self.take_along(left, ids[:, None])[:, 0]
        if settings is not None:
            temperature, top_p, uniforms = settings
            draws = temperature >= GREEDY_BELOW
            drawn = self.draw(left, self.where(draws, temperature, 1), top_p, uniforms)
            ids = self.where(draws, drawn, ids)
        return self.where((best - best) == 0, ids, -1)  # neither NaN nor infinite
