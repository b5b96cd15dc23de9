"""Keys and values of one sequence, one contiguous buffer per layer."""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.engine.devices.base import Array, Device


@dataclass(slots=True)
class KVCache:
    """Buffers `[1, n_kv, capacity, E]` of every layer; slot = absolute position. Owned by one request."""

    device: Device
    keys: list[Array]
    values: list[Array]
    capacity: int
    length: int = 0
    """Positions filled by finished forwards."""

    @classmethod
    def empty(cls, device: Device, layers: int, n_kv_heads: int, capacity: int, head_dim: int) -> KVCache:
        """Room for `capacity` positions."""
        shape = (1, n_kv_heads, capacity, head_dim)
        keys = [device.zeros(shape) for _ in range(layers)]
        return cls(device, keys, [device.zeros(shape) for _ in range(layers)], capacity)

    def copy_of_prefix(self, n: int, capacity: int) -> KVCache:
        """A new cache with its own buffers that starts with the first `n` positions of this one."""
        if not 0 <= n <= min(self.length, capacity):
            raise ValueError(f"Cannot copy {n} of {self.length} cached positions into a cache of {capacity}.")
        _, n_kv, _, head_dim = self.keys[0].shape
        copy = KVCache.empty(self.device, len(self.keys), n_kv, capacity, head_dim)
        for layer, (k, v) in enumerate(zip(self.keys, self.values, strict=True)):
            copy.keys[layer] = self.device.write(copy.keys[layer], k[:, :, :n], 0)
            copy.values[layer] = self.device.write(copy.values[layer], v[:, :, :n], 0)
        copy.length = n
        return copy

    def rewind(self, n: int) -> None:
        """Forget every position from `n` on; the next forward writes there."""
        if not 0 <= n <= self.length:
            raise ValueError(f"Cannot go back to position {n} of {self.length}.")
        self.length = n

    def nbytes(self, itemsize: int) -> int:
        """Bytes of all buffers, at `itemsize` bytes per number."""
        _, n_kv, _, head_dim = self.keys[0].shape
        return 2 * len(self.keys) * int(n_kv) * self.capacity * int(head_dim) * itemsize

    def attend(self, layer: int, q: Array, k: Array, v: Array, mask: Array | None) -> Array:
        """Store `k`, `v` `[1, n_kv, T, E]` at the next T slots of `layer` and attend over all up to there.

        `length` does not move: every layer of one forward writes the same slots.
        """
        end = self.length + k.shape[2]
        self.keys[layer] = self.device.write(self.keys[layer], k, self.length)
        self.values[layer] = self.device.write(self.values[layer], v, self.length)
        return self.device.attention(q, self.keys[layer][:, :, :end], self.values[layer][:, :, :end], mask)
