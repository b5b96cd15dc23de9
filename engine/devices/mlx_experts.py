"""The mixture of experts in MLX: which experts a row goes to, and the products with their matrices."""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import numpy as np

from dreamscope.engine.devices.mlx_packed import PackedMatrices

SORT_FROM = 64
"""Products from which on it pays to bring those of one expert together."""


def top_weights(scores: mx.array, k: int) -> tuple[mx.array, mx.array]:
    """Indices of the `k` largest of each row of float32 `[n, E]`, best first, and their softmax, `[n, k]`.

    Of equals the lowest index is first: the sort is stable.
    """
    ids = mx.argsort(-scores, axis=-1)[:, :k]
    return ids, mx.softmax(mx.take_along_axis(scores, ids, axis=-1), axis=-1)


def expert_linear(x: mx.array, weight: mx.array | PackedMatrices, ids: mx.array) -> mx.array:
    """`x` `[n, 1 or k, in]` through the matrices `ids` `[n, k]` of `weight` `[E, out, in]`: `[n, k, out]`."""
    if isinstance(weight, PackedMatrices):
        gather = weight.gathered
    elif weight.dtype != mx.float32 and mx.default_device().type == mx.cpu:
        return _one_expert_at_a_time(x, weight, ids)
    else:
        gather = partial(_gathered, weight.swapaxes(-1, -2))
    if ids.size < SORT_FROM:
        return gather(mx.expand_dims(x, 2), ids, False).squeeze(2)
    rows = _one_row_each(x, ids)
    flat = ids.flatten()
    order = mx.argsort(flat)
    products = gather(mx.expand_dims(rows[order], 1), flat[order], True)
    return products.squeeze(1)[mx.argsort(order)].reshape(*ids.shape, weight.shape[1])


def _gathered(transposed: mx.array, x: mx.array, ids: mx.array, in_order: bool) -> mx.array:
    """`x` `[..., 1, in]` through the matrices `ids` `[...]` of `transposed` `[E, in, out]`."""
    return mx.gather_mm(x, transposed, rhs_indices=ids, sorted_indices=in_order)


def _one_expert_at_a_time(x: mx.array, weight: mx.array, ids: mx.array) -> mx.array:
    """For a processor, where MLX gathers only float32 matrices. Has to know the ids, so it evaluates them."""
    rows = _one_row_each(x, ids)
    chosen = np.array(ids).reshape(-1)
    order = np.argsort(chosen, kind="stable")
    experts, starts = np.unique(chosen[order], return_index=True)
    groups = zip(experts.tolist(), np.split(order, starts[1:]), strict=True)
    parts = [rows[mx.array(places)] @ weight[expert].T for expert, places in groups]
    products = mx.concatenate(parts)[mx.array(np.argsort(order))]
    return products.reshape(*ids.shape, weight.shape[1])


def _one_row_each(x: mx.array, ids: mx.array) -> mx.array:
    """The row of every product, `[n * k, in]`."""
    return mx.broadcast_to(x, (*ids.shape, x.shape[2])).reshape(-1, x.shape[2])
