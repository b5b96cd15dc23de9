"""The operations that a model is written over.

A model file sees a `Device` and opaque arrays. Arrays of every backend support `+`, `*`, `-`, `&`, `|`,
comparisons, basic slicing and `.shape`; everything else is an operation here. Adding a backend means adding
one implementation of this protocol and one line in `registry.py`.

Floats live in the device's compute dtype unless an operation says otherwise. Shapes are written `[B, T, D]`
with B sequences, T positions, D features; H heads of width E.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = Any
DType = Literal["float32", "bfloat16", "float16"]
Stored = Literal["F32", "F16", "BF16"]
Quantised = Literal["int4", "fp8", "int4-linear"]

ITEM_BYTES: dict[DType, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
INT4_GROUP = 64
"""Neighbours in a row of `Int4Matrices` that share a scale and a bias."""
FP8_ROW = 32
"""Rows of `Fp8Matrices` have a multiple of so many numbers."""
GREEDY_BELOW = 1e-5
"""Temperatures under this are greedy."""


@dataclass(frozen=True, slots=True)
class Int4Matrices:
    """`w = scale * code + bias`: codes uint32 `[E, out, in / 8]`, the others `[E, out, in / 64]`.

    A single matrix has no E, and groups of its own size. Eight four-bit codes to a number, the lowest bits
    first. Scales and biases both as `stored` says, with bfloat16 as uint16 bit patterns.
    """

    codes: NDArray[np.uint32]
    scales: NDArray[Any]
    biases: NDArray[Any]
    stored: Stored


@dataclass(frozen=True, slots=True)
class Fp8Matrices:
    """`w = code * scale` row by row: 8-bit floats (e4m3fn) as uint8 `[E, out, in]`, float32 `[E, out]`."""

    codes: NDArray[np.uint8]
    scales: NDArray[np.float32]


Matrices = Int4Matrices | Fp8Matrices


class Rotation(NamedTuple):
    """How heads are rotated: `y = x[first] * cos + x[second] * sin` over their last axis.

    `cos`, `sin` float32 `[n, 1, E]`, a row for each position; `first`, `second` source indices `[E]`.
    """

    cos: Array
    sin: Array
    first: Array
    second: Array


class Mirror(Protocol):
    """An array with a twin on the host, which is filled there and crosses over when it is told to.

    Ints are int64 on the host whatever the device makes of them.
    """

    @property
    def host(self) -> NDArray[Any]:
        """The host's side."""

    @property
    def array(self) -> Array:
        """The device's side, as of the last upload; the same object for ever where arrays can be changed."""

    def upload(self, rows: Iterable[int] | None = None) -> None:
        """Queue the copy, of these `rows` alone if given. What is copied stays as it is until it is done."""


class Device(Protocol):
    """One place to compute, in one dtype. Calls of one thread run in order."""

    name: str
    """For people: `cpu`, `cuda (NVIDIA ...)`."""
    dtype: DType
    keeps: frozenset[Quantised]
    """Quantised forms that stay as they are here; a loader makes the others dense.

    `int4` and `fp8` are experts, `int4-linear` is a matrix for `linear`.
    """

    # ------------------------------------------------------------------------------------- in and out

    def weight(self, raw: NDArray[Any], stored: Stored) -> Array:
        """A parameter from its file form, in the compute dtype.

        `raw` holds float32, float16, or bfloat16 as uint16 bit patterns. The data is copied.
        """

    def experts(self, matrices: Matrices) -> Array:
        """Quantised matrices of one of the forms in `keeps`, for `expert_linear` only. The data is copied."""

    def packed_linear(self, matrix: Int4Matrices) -> Array:
        """A quantised matrix `[out, in]`, for `linear` only, where `keeps` has `int4-linear`. Copied."""

    def array(self, values: NDArray[Any], exact: bool = False) -> Array:
        """Copy host values: floats in the compute dtype (float32 if `exact`), ints as indices, bools."""

    def mirror(self, values: NDArray[Any]) -> Mirror:
        """`values`, which become its host side; floats are float32 on the device too."""

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

    def store(self, buffer: Array, indices: Array, rows: Array) -> Array:
        """Put row i of `rows` `[n, ...]` at `indices[i]` of `buffer` `[N, ...]`; return the buffer.

        As with `write`, keep only what is returned. Of rows with equal indices any one stays.
        """

    def take_along(self, x: Array, indices: Array) -> Array:
        """Element `indices[..., j]` of each last axis: `[..., n]` and `[..., m]` to `[..., m]`."""

    def where(self, condition: Array, a: Array, b: Array | float) -> Array:
        """`a` where the condition holds, else `b`."""

    def true_places(self, mask: Array) -> Array | None:
        """Indices of the true ones of bools `[n]`; `None` where to find them would be to wait."""

    # ----------------------------------------------------------------------------------------- arithmetic

    def linear(self, x: Array, weight: Array, bias: Array) -> Array:
        """`x @ weight^T + bias`, weight stored `[out, in]`: a parameter, or as `packed_linear` keeps it."""

    def linear_gelu(self, x: Array, weight: Array, bias: Array) -> Array:
        """`gelu(linear(x, weight, bias))`."""

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

        `weight` is a parameter, or quantised matrices as `experts` keeps them. `x` is `[n, 1, in]`, the same
        row for all of them, or `[n, k, in]`, one row for each. `ids` `[n, k]` as `top_weights` gives them.
        Only the matrices that `ids` name are read.
        """

    def attention(self, q: Array, k: Array, v: Array, mask: Array | None) -> Array:
        """Softmax attention `[B, H, T, E]` over `[B, Hkv, S, E]`, scaled by `1 / sqrt(E)`.

        Query head h uses key head `h // (H / Hkv)`. `mask` `[T, S]`, or `[B, 1, T, S]`, is true where a query
        may attend; `None` means everywhere.
        """

    def paged_attention(self, q: Array, k: Array, v: Array, table: Array, lengths: Array) -> Array:
        """Softmax attention of one query each, `[B, H, E]`, over keys and values that lie in pages.

        `k`, `v` `[pages, Hkv, E]`, one position to a page; position j of row i is page `table[i, j]` of
        `table` `[B, S]`, and the first `lengths[i]` of them count. Scale and heads as in `attention`.
        """

    def prefix_attention(self, q: Array, k: Array, v: Array, table: Array, block: int) -> Array:
        """Softmax attention of the last queries of a prompt, `[T, H, E]`, which is in pages whole.

        `k`, `v` as for `paged_attention`; position j is page `table[j]` of `table` `[S]`. The queries are
        the last T positions. Positions below `block`, at most S, see each other, the others what is before
        them.
        """

    def rotate_store(
        self, heads: Array, values: Array, rotation: Rotation, pages: Array, k: Array, v: Array
    ) -> tuple[Array, Array, Array]:
        """Rotate heads `[n, H + Hkv, E]`, queries and then keys, and put keys and `values` into their pages.

        Position i goes to page `pages[i]` of `k` and `v` `[pages, Hkv, E]`. Gives the queries `[n, H, E]`,
        and `k` and `v`: as with `store`, keep only what is returned.
        """

    def lora(self, y: Array, x: Array, down: Array, up: Array, slots: Array) -> Array:
        """`y + x @ down[s] @ up[s]` with s = `slots[b]` for all of `x[b]`.

        `x` `[B, T, in]`, `y` `[B, T, out]`, `down` `[slots, in, rank]`, `up` `[slots, rank, out]`; slot 0 is
        zero. The `y` passed in may be changed or consumed.
        """

    def expert_lora(self, y: Array, x: Array, a: Array, b: Array, slots: Array, ids: Array) -> Array:
        """`y` plus `b[s, e] @ a[s, e] @ x[i]` with s the slot of row i and e its experts `ids[i]`.

        `y` `[n, k, out]`, `x` `[n, 1 or k, in]` and `ids` `[n, k]` as for `expert_linear`, `a` `[slots, E,
        rank, in]`, `b` `[slots, E, out, rank]`; `slots` `[B]`, each for n / B consecutive rows. Slot 0 is
        zero. The `y` passed in may be changed or consumed.
        """

    def softmax(self, x: Array) -> Array:
        """Over the last axis, in float32."""

    def argmax(self, x: Array) -> Array:
        """Index of the largest of the last axis, the lowest of equals; a NaN is the largest."""

    def draw(self, logits: Array, temperature: Array, top_p: Array, uniforms: Array) -> Array:
        """An id for each row of float32 `logits` `[n, V]` by its number in [0, 1): `[n]`.

        The distribution is the softmax at a positive temperature, less the ids before which more than
        `top_p` of it lies in descending order; the id is where its sum in the order of ids passes the
        number. What it gives for a row with NaN, or without a finite logit, is any id.
        """

    def sample(
        self, logits: Array, allowed: Array, rules: Array, settings: tuple[Array, Array, Array] | None
    ) -> Array:
        """An id for each row of float32 `logits` `[n, V]` among those that `allowed[rules[i]]` allows: `[n]`.

        `allowed` bools `[m, V]`, of which row 0 allows all. `settings` are what `draw` takes beside logits;
        rows with a temperature under `GREEDY_BELOW`, and all without settings, take the best id. It is -1
        where an allowed logit is NaN or the best of them is not finite.
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

    def submit(self, *results: Array) -> None:
        """Start computing `results` with all that goes into them, and do not wait.

        Changes no result. For a device that puts work off, before the host does something else.
        """

    def synchronize(self, *results: Array) -> None:
        """Wait until everything submitted so far is done, and `results` with all that went into them.

        A device may put work off until its result is wanted; naming results wants them. For timing, and
        before something is kept for longer.
        """
