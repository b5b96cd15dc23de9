"""Products with matrices that stay packed, through MLX's own quantised kernels.

Four-bit codes are MLX's affine form. Rows of 8-bit floats are its `mxfp8` form, whose groups have a power of
two as their scale: it is 1 here, and the scale of the row is applied to what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Int4Matrices, Matrices, Stored

BITS = 4
BYTE_GROUP = 32
"""Numbers of a row that share a scale in `mxfp8`."""
_ONE = 127
"""The scale 1 as a power of two with this bias."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedMatrices:
    """`[out, in]` or `[E, out, in]` on the device. `row_scales` `[..., out]` float32 where rows have them.

    `wide`: whether rows are multiplied in float32. On a processor MLX adds up in the format of the factors,
    which in 16 bits loses most of a long sum; and 8-bit floats before scaling overflow 16-bit sums.
    """

    codes: mx.array
    scales: mx.array
    biases: mx.array | None
    row_scales: mx.array | None
    shape: tuple[int, ...]
    wide: bool

    @property
    def nbytes(self) -> int:
        """What is held, scales included."""
        return sum(part.nbytes for part in self.parts())

    def parts(self) -> list[mx.array]:
        """The arrays that it consists of."""
        held = (self.codes, self.scales, self.biases, self.row_scales)
        return [part for part in held if part is not None]

    def product(self, x: mx.array) -> mx.array:
        """`x @ w^T` of one matrix, `[..., in]` to `[..., out]`."""
        seen = x.astype(mx.float32) if self.wide else x
        y = mx.quantized_matmul(seen, self.codes, self.scales, self.biases, transpose=True, **self._form())
        return (y if self.row_scales is None else y * self.row_scales).astype(x.dtype)

    def gathered(self, x: mx.array, ids: mx.array, in_order: bool) -> mx.array:
        """`x` `[..., 1, in]` through the matrices `ids` `[...]`: `[..., 1, out]`. `in_order`: ids ascend."""
        seen = x.astype(mx.float32) if self.wide else x
        y = mx.gather_qmm(
            seen,
            self.codes,
            self.scales,
            self.biases,
            rhs_indices=ids,
            transpose=True,
            sorted_indices=in_order,
            **self._form(),
        )
        if self.row_scales is not None:
            y = y * mx.expand_dims(self.row_scales[ids], -2)
        return y.astype(x.dtype)

    def dense(self) -> mx.array:
        """All numbers in float32."""
        numbers = mx.dequantize(self.codes, self.scales, self.biases, dtype=mx.float32, **self._form())
        return numbers if self.row_scales is None else numbers * mx.expand_dims(self.row_scales, -1)

    def _form(self) -> dict[str, Any]:
        if self.biases is None:
            return {"mode": "mxfp8"}
        return {"group_size": self.shape[-1] // self.scales.shape[-1], "bits": BITS, "mode": "affine"}


def pack(matrices: Matrices, dtype: mx.Dtype, on_processor: bool) -> mx.array | PackedMatrices:
    """Copy quantised matrices, computed at once so that any thread may use them.

    Scales of four-bit codes are kept in `dtype`; on a processor, where products are in float32, in float32.
    8-bit floats in rows that are not whole groups of MLX's become dense in `dtype`.
    """
    if isinstance(matrices, Int4Matrices):
        scales, biases = (_floats(raw, matrices.stored) for raw in (matrices.scales, matrices.biases))
        kept = mx.float32 if on_processor else dtype
        shape = (*matrices.codes.shape[:-1], matrices.codes.shape[-1] * 32 // BITS)
        packed = PackedMatrices(
            mx.array(matrices.codes), scales.astype(kept), biases.astype(kept), None, shape, on_processor
        )
    else:
        shape = matrices.codes.shape
        if shape[-1] % BYTE_GROUP:
            rows = mx.from_fp8(mx.array(matrices.codes), mx.float32)
            dense = (rows * mx.array(matrices.scales)[..., None]).astype(dtype)
            mx.eval(dense)
            return dense
        codes = mx.array(np.ascontiguousarray(matrices.codes).view(np.uint32))
        ones = mx.array(np.full((*shape[:-1], shape[-1] // BYTE_GROUP), _ONE, np.uint8))
        packed = PackedMatrices(codes, ones, None, mx.array(matrices.scales), shape, wide=True)
    mx.eval(packed.parts())
    return packed


def _floats(raw: NDArray[Any], stored: Stored) -> mx.array:
    host = mx.array(raw)
    return host.view(mx.bfloat16) if stored == "BF16" else host
