"""The device operations in MLX.

Arrays are lazy: an operation only notes what to do. `numpy` and `synchronize` compute everything that their
argument needs and wait for it; `submit` starts that and does not wait.

Work that is still to be done belongs to the thread that noted it, because MLX keeps its streams per thread:
results travel between threads only once they are computed. Weights and arrays made from host values carry
no such work, so a model may be loaded on one thread and run on another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices import mlx_experts
from dreamscope.engine.devices.base import DType, Int4Matrices, Matrices, Quantised, Stored
from dreamscope.engine.devices.composed import ComposedOps
from dreamscope.engine.devices.host_memory import free_host_memory
from dreamscope.engine.devices.mlx_batch import MlxMirror, mlx_draw
from dreamscope.engine.devices.mlx_packed import PackedMatrices, pack

LAYER_NORM_EPS = 1e-5
CACHE_SHARE = 8
"""Freed memory that MLX keeps for reuse is bounded by one part in so many of what the GPU may use."""
MLX_DTYPES: dict[DType, mx.Dtype] = {
    "float32": mx.float32,
    "bfloat16": mx.bfloat16,
    "float16": mx.float16,
}


def has_metal() -> bool:
    """Whether arrays live on an Apple GPU."""
    return bool(mx.metal.is_available()) and mx.default_device().type == mx.gpu


def claim_memory() -> None:
    """Keep what the GPU works on resident, and bound what is kept of freed arrays.

    A decode step needs buffers of ever new sizes, as the keys grow; without a bound they would all be kept
    beside the weights, in the one memory that the GPU shares with every other program.
    """
    share = int(mx.device_info()["max_recommended_working_set_size"])
    mx.set_wired_limit(share)
    mx.set_cache_limit(share // CACHE_SHARE)


class MlxDevice(ComposedOps):
    """`Device` over MLX arrays; see `base.py` for what each operation means."""

    def __init__(self, dtype: DType) -> None:
        self.name = f"mlx ({mx.device_info()['device_name']})"
        self.dtype: DType = dtype
        self._dtype = MLX_DTYPES[dtype]
        # The published int4 linears are rounded to bfloat16 as they are made dense. Kept packed they are not:
        # within what computing in 16 bits changes, but float32 is for the exact numbers.
        linears: set[Quantised] = set() if dtype == "float32" else {"int4-linear"}
        self.keeps: frozenset[Quantised] = frozenset({"int4", "fp8", *linears})

    def weight(self, raw: NDArray[Any], stored: Stored) -> mx.array:
        """Copy a stored parameter into the compute dtype, computed at once so that any thread may use it."""
        host = mx.array(raw)
        if stored == "BF16":
            host = host.view(mx.bfloat16)
        weight = host.astype(self._dtype)
        mx.eval(weight)
        return weight

    def experts(self, matrices: Matrices) -> mx.array | PackedMatrices:
        """Copy the codes, computed at once so that any thread may use them."""
        return pack(matrices, self._dtype, on_processor=not has_metal())

    def packed_linear(self, matrix: Int4Matrices) -> mx.array | PackedMatrices:
        """Copy the codes, computed at once so that any thread may use them."""
        return pack(matrix, self._dtype, on_processor=not has_metal())

    def array(self, values: NDArray[Any], exact: bool = False) -> mx.array:
        """Copy host values; the conversion happens on the host."""
        if values.dtype.kind == "f":
            return mx.array(values, mx.float32 if exact else self._dtype)
        return mx.array(values, mx.bool_ if values.dtype.kind == "b" else mx.int32)

    def mirror(self, values: NDArray[Any]) -> MlxMirror:
        """Arrays cannot be changed: each upload makes a new one."""
        return MlxMirror(values)

    def zeros(self, shape: Sequence[int]) -> mx.array:
        """Zeros in the compute dtype."""
        return mx.zeros(tuple(shape), self._dtype)

    def numpy(self, x: mx.array | PackedMatrices) -> NDArray[np.float32]:
        """Compute `x` and all that it needs; host copy in float32."""
        wide = x.dense() if isinstance(x, PackedMatrices) else x.astype(mx.float32)
        mx.eval(wide)
        return np.array(wide)

    def reshape(self, x: mx.array, shape: Sequence[int]) -> mx.array:
        """View where possible."""
        return mx.reshape(x, tuple(shape))

    def permute(self, x: mx.array, axes: Sequence[int]) -> mx.array:
        """A view."""
        return mx.transpose(x, tuple(axes))

    def split(self, x: mx.array, sizes: Sequence[int], axis: int) -> Sequence[mx.array]:
        """Views."""
        return mx.split(x, list(accumulate(sizes))[:-1], axis)  # type: ignore[return-value]

    def concat(self, parts: Sequence[mx.array], axis: int) -> mx.array:
        """Join along an existing axis."""
        return mx.concatenate(list(parts), axis)

    def take(self, x: mx.array, indices: mx.array, axis: int) -> mx.array:
        """Gather along one axis."""
        return mx.take(x, indices, axis)

    def write(self, buffer: mx.array, rows: mx.array, start: int) -> mx.array:
        """The object gets its successor's contents, so nobody holds the old ones and their memory is reused.

        A second reference to the old contents would make the evaluation copy the whole buffer.
        """
        buffer[:, :, start : start + rows.shape[2]] = rows
        return buffer

    def store(self, buffer: mx.array, indices: mx.array, rows: mx.array) -> mx.array:
        """As with `write`."""
        buffer[indices] = rows.astype(buffer.dtype)
        return buffer

    def take_along(self, x: mx.array, indices: mx.array) -> mx.array:
        """Gather."""
        return mx.take_along_axis(x, indices, -1)

    def where(self, condition: mx.array, a: mx.array, b: mx.array | float) -> mx.array:
        """A selection."""
        return mx.where(condition, a, b)

    def linear(self, x: mx.array, weight: mx.array | PackedMatrices, bias: mx.array) -> mx.array:
        """`x @ weight^T + bias`."""
        if isinstance(weight, PackedMatrices):
            return weight.product(x) + bias
        return mx.addmm(bias, x, weight.T)

    def matmul(self, a: mx.array, b: mx.array) -> mx.array:
        """Matrix product over the last two axes."""
        return mx.matmul(a, b)

    def layer_norm(self, x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
        """Over the last axis."""
        return mx.fast.layer_norm(x, weight, bias, LAYER_NORM_EPS)

    def gelu(self, x: mx.array) -> mx.array:
        """Tanh approximation, in float32 inside."""
        wide = x.astype(mx.float32)
        inner = math.sqrt(2 / math.pi) * wide * (1 + 0.044715 * wide * wide)
        return (0.5 * wide * (1 + mx.tanh(inner))).astype(x.dtype)

    def gelu_exact(self, x: mx.array) -> mx.array:
        """With the error function, in float32 inside."""
        wide = x.astype(mx.float32)
        return (0.5 * wide * (1 + mx.erf(wide * math.sqrt(0.5)))).astype(x.dtype)

    def tanh(self, x: mx.array) -> mx.array:
        """Elementwise hyperbolic tangent."""
        return mx.tanh(x)

    def top_weights(self, scores: mx.array, k: int) -> tuple[mx.array, mx.array]:
        """Selection and softmax in float32."""
        ids, weights = mlx_experts.top_weights(self.widen(scores), k)
        return ids, self.narrow(weights)

    def expert_linear(self, x: mx.array, weight: mx.array | PackedMatrices, ids: mx.array) -> mx.array:
        """Gathered products: no copy of any weight."""
        return mlx_experts.expert_linear(x, weight, ids)

    def attention(self, q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None) -> mx.array:
        """Scaled dot-product attention with grouped key heads."""
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=1 / math.sqrt(q.shape[-1]), mask=mask)

    def paged_attention(
        self, q: mx.array, k: mx.array, v: mx.array, table: mx.array, lengths: mx.array
    ) -> mx.array:
        """Gather the pages, and attend to the rows that are there."""
        keys, values = (mx.transpose(mx.take(pages, table, 0), (0, 2, 1, 3)) for pages in (k, v))
        there = mx.arange(table.shape[1]) < lengths[:, None]
        return self.attention(q[:, :, None], keys, values, there[:, None, None])[:, :, 0]

    def prefix_attention(
        self, q: mx.array, k: mx.array, v: mx.array, table: mx.array, block: int
    ) -> mx.array:
        """The queries of the block without a mask, then those after it."""
        k, v = (mx.take(pages, table, 0) for pages in (k, v))
        q, k, v = (mx.transpose(x, (1, 0, 2))[None] for x in (q, k, v))
        scale, inner = 1 / math.sqrt(q.shape[-1]), max(0, block - (k.shape[2] - q.shape[2]))
        attend, parts = mx.fast.scaled_dot_product_attention, []
        if inner:
            parts.append(attend(q[:, :, :inner], k[:, :, :block], v[:, :, :block], scale=scale))
        if inner < q.shape[2]:
            parts.append(attend(q[:, :, inner:], k, v, scale=scale, mask="causal"))
        return mx.transpose(mx.concatenate(parts, 2)[0], (1, 0, 2))

    def softmax(self, x: mx.array) -> mx.array:
        """In float32."""
        return mx.softmax(x.astype(mx.float32), axis=-1)

    def argmax(self, x: mx.array) -> mx.array:
        """The first of equals; one that is no number passes for the largest."""
        best = mx.argmax(mx.where(mx.isnan(x), mx.inf, x), axis=-1)
        return best.astype(mx.int32)

    def draw(self, logits: mx.array, temperature: mx.array, top_p: mx.array, uniforms: mx.array) -> mx.array:
        """By sorting, with sums in float32."""
        return mlx_draw(logits, temperature, top_p, uniforms)

    def cos(self, x: mx.array) -> mx.array:
        """Elementwise cosine."""
        return mx.cos(x)

    def sin(self, x: mx.array) -> mx.array:
        """Elementwise sine."""
        return mx.sin(x)

    def widen(self, x: mx.array) -> mx.array:
        """As float32."""
        return x.astype(mx.float32)

    def narrow(self, x: mx.array) -> mx.array:
        """As the compute dtype."""
        return x.astype(self._dtype)

    def inference(self) -> AbstractContextManager[object]:
        """Nothing is recorded in any case."""
        return nullcontext()

    def free_memory(self) -> int | None:
        """On Metal, what is left of the share of the machine's one memory that the GPU should use.

        Memory of freed arrays that MLX keeps for reuse counts as free.
        """
        kept = mx.get_cache_memory()
        host = free_host_memory()
        bounds = [] if host is None else [host + kept]
        if has_metal():
            share = int(mx.device_info()["max_recommended_working_set_size"])
            bounds.append(max(0, share - mx.get_active_memory()))
        return min(bounds, default=None)

    def submit(self, *results: mx.array) -> None:
        """Have MLX's own threads or the GPU compute `results`."""
        mx.async_eval(*results)

    def synchronize(self, *results: mx.array | PackedMatrices) -> None:
        """Compute `results` and wait for everything submitted."""
        mx.eval(*(result for result in results if isinstance(result, mx.array)))  # the packed are computed
        mx.synchronize()
