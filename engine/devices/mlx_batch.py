"""What batches need beside the operations of a single sequence, in MLX: mirrors, and drawing ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

_BELOW_ONE = 1 - 2.0**-22


class MlxMirror:
    """An array that each upload makes anew; ints are int32 on the device."""

    def __init__(self, host: NDArray[Any]) -> None:
        self.host = host
        self._array = self._copied(...)

    @property
    def array(self) -> mx.array:
        """As of the last upload."""
        return self._array

    def upload(self, rows: Iterable[int] | None = None) -> None:
        """Copy. Rows go into a successor, which shares the memory where nothing reads the old contents."""
        if rows is None:
            self._array = self._copied(...)
            return
        changed = np.array(list(rows), np.int32)
        successor = mx.array(self._array)
        successor[mx.array(changed)] = self._copied(changed)
        self._array = successor

    def _copied(self, part: Any) -> mx.array:
        kinds = {"f": np.float32, "b": np.bool_}
        return mx.array(self.host[part].astype(kinds.get(self.host.dtype.kind, np.int32), copy=False))


def mlx_draw(logits: mx.array, temperature: mx.array, top_p: mx.array, uniforms: mx.array) -> mx.array:
    """As `Device.draw`. In float32 a number just below 1 might pass no id: it is taken down a little."""
    best = mx.max(logits, axis=-1, keepdims=True)
    p = mx.softmax((logits - best) / temperature[:, None], axis=-1)
    order = mx.argsort(-p, axis=-1)
    ranked = mx.take_along_axis(p, order, -1)
    bound = mx.where(top_p < 1, top_p, 2.0)[:, None]
    inside = ranked * (mx.cumsum(ranked, axis=-1) - ranked <= bound)
    cumulative = mx.cumsum(mx.put_along_axis(mx.zeros_like(p), order, inside, axis=-1), axis=-1)
    target = mx.minimum(uniforms, _BELOW_ONE)[:, None] * cumulative[:, -1:]
    return mx.argmax(cumulative > target, axis=-1).astype(mx.int32)
