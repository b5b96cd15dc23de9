"""The operations that a model is written over.

A model file sees a `Device` and opaque arrays. Arrays of every backend support `+`, `*`, `-`, basic slicing
and `.shape`; everything else is an operation here. Adding a backend means adding one implementation of this
protocol and one line in `registry.py`.

Floats live in the device's compute dtype unless an operation says otherwise. Shapes are written `[B, T, D]`
with B sequences, T positions, D features; H heads of width E.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = Any
DType = Literal["float32", "bfloat16", "float16"]
Stored = Literal["F32", "F16", "BF16"]

ITEM_BYTES: dict[DType, int] = {"float32": 4, "bfloat16": 2, "float16": 2}


class Device(Protocol):
    """One place to compute, in one dtype. Calls of one thread run in order."""

    name: str
    """For people: `cpu`, `cuda (NVIDIA ...)`."""
    dtype: DType

    # ------------------------------------------------------------------------------------- in and out

    def weight(self, raw: NDArray[Any], stored: Stored) -> Array:
        """A parameter from its file form, in the compute dtype.

        `raw` holds float32, float16, or bfloat16 as uint16 bit patterns. The data is copied.
        """

    def array(self, values: NDArray[Any], exact: bool = False) -> Array:
        """Copy host values: floats in the compute dtype (float32 if `exact`), ints as indices, bools."""

    def zeros(self, shape: Sequence[int]) -> Array:
        """Zeros in the compute dtype."""

    def numpy(self, x: Array) -> NDArray[np.float32]:
        """Host copy in float32; waits for the device."""

    # -------------------------------------------------------------------------------------- rearranging

    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        """Same elements in row-major order; one size may be -1."""

    def permute(self, x: Array, axes: Sequence[int]) -> Array:
        """Reorder the axes."""

    def split(self, x: Array, sizes: Sequence[int], axis: int) -> Sequence[Array]:
        """Consecutive parts along `axis`."""

    def concat(self, parts: Sequence[Array], axis: int) -> Array:
        """Join along an existing axis."""

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        """Select along `axis` with a one-dimensional index array."""

    def write(self, buffer: Array, rows: Array, start: int) -> Array:
        """Put `rows` `[B, H, T, E]` at slots `start` and up of `buffer` `[B, H, S, E]`; return the buffer.

        The buffer passed in may be changed or consumed: keep only what is returned.
        """

    # ----------------------------------------------------------------------------------------- arithmetic

    def linear(self, x: Array, weight: Array, bias: Array) -> Array:
        """`x @ weight^T + bias`, weight stored `[out, in]`."""

    def matmul(self, a: Array, b: Array) -> Array:
        """Matrix product over the last two axes."""

    def layer_norm(self, x: Array, weight: Array, bias: Array) -> Array:
        """Over the last axis, biased variance, eps 1e-5, affine."""

    def gelu(self, x: Array) -> Array:
        """Tanh approximation."""

    def gelu_exact(self, x: Array) -> Array:
        """`x / 2 * (1 + erf(x / sqrt(2)))`."""

    def tanh(self, x: Array) -> Array:
        """Elementwise hyperbolic tangent."""

    def top_weights(self, scores: Array, k: int) -> tuple[Array, Array]:
        """The `k` largest of each row of `[n, E]`, best first: their indices, and their softmax.

        Both `[n, k]`. The softmax is over the chosen ones alone, in float32, and in the compute dtype.
        """

    def expert_linear(self, x: Array, weight: Array, ids: Array) -> Array:
        """Row i through the matrices `ids[i]` of `weight` `[E, out, in]`: `[n, k, out]`.

        `x` is `[n, 1, in]`, the same row for all of them, or `[n, k, in]`, one row for each. `ids` `[n, k]`
        as `top_weights` gives them. Only the matrices that `ids` names are read.
        """

    def attention(self, q: Array, k: Array, v: Array, mask: Array | None) -> Array:
        """Softmax attention `[B, H, T, E]` over `[B, Hkv, S, E]`, scaled by `1 / sqrt(E)`.

        Query head h uses key head `h // (H / Hkv)`. `mask` `[T, S]` is true where a query may attend;
        `None` means everywhere.
        """

    def cos(self, x: Array) -> Array:
        """Elementwise cosine."""

    def sin(self, x: Array) -> Array:
        """Elementwise sine."""

    def widen(self, x: Array) -> Array:
        """As float32."""

    def narrow(self, x: Array) -> Array:
        """As the compute dtype; no copy if it already is."""

    # ---------------------------------------------------------------------------------------- housekeeping

    def inference(self) -> AbstractContextManager[object]:
        """Scope in which the calling thread only computes, which spares every operation some bookkeeping.

        Results are the same without it. What is made inside may be changed only inside; reading is free.
        """

    def free_memory(self) -> int | None:
        """Bytes that a new model may use now, `None` if unknown."""

    def synchronize(self, *results: Array) -> None:
        """Wait until everything submitted so far is done, and `results` with all that went into them.

        A device may put work off until its result is wanted; naming results wants them. For timing, and
        before something is kept for longer.
        """
