"""The int4 layout of a checkpoint: groups of 128 weights with a scale and a zero point each.

For a linear `[out, in]` whose row-major elements form G groups, the file holds

    <linear>.weight.packed      uint8 [G/2, 128]    high nibbles of row r: group r, low ones: r + G/2
    <linear>.weight.scale       float [G, 1]
    <linear>.weight.zero_point  float [G, 1]

The checkpoint's own code computes with weights rounded to bfloat16, and so does a linear that is made dense
on load. Where a device keeps linears packed and rows are whole groups, `scale * q - scale * zero_point` is
not rounded: the two differ by a small part of `scale`, the step of the quantisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Int4Matrices, Stored
from dreamscope.engine.models.bfloat16 import bfloat16_bits, round_bfloat16
from dreamscope.engine.weights.safetensors_file import StoredTensor

GROUP = 128


def int4_shapes(weight: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the three tensors that stand for `weight`; none if it cannot be grouped."""
    count = int(np.prod(shape, dtype=np.int64))
    if count % (2 * GROUP):
        return {}
    groups = count // GROUP
    return {
        f"{weight}.packed": (groups // 2, GROUP),
        f"{weight}.scale": (groups, 1),
        f"{weight}.zero_point": (groups, 1),
    }


def dequantise_int4(
    packed: NDArray[np.uint8],
    scale: NDArray[np.float32],
    zero_point: NDArray[np.float32],
    shape: tuple[int, ...],
) -> NDArray[np.uint16]:
    """The dense weight of `shape` as bfloat16 bit patterns.

    `bf16(bf16(q - zero_point) * scale)`: the subtraction and the product are rounded one after the other.
    """
    groups = np.concatenate((packed >> 4, packed & 0x0F)).astype(np.float32)
    centred = round_bfloat16(groups - zero_point)
    return bfloat16_bits(centred * scale).reshape(shape)


def regroup(
    packed: NDArray[np.uint8],
    scale: NDArray[np.float32],
    zero_point: NDArray[np.float32],
    shape: tuple[int, int],
) -> Int4Matrices:
    """The same numbers with each row's groups side by side; `in` of `shape` must be whole groups."""
    out, into = shape
    codes = np.concatenate((packed >> 4, packed & 0x0F)).reshape(out, into)
    words = np.ascontiguousarray(codes[:, 0::2] | codes[:, 1::2] << 4).view("<u4")
    rows = (out, into // GROUP)
    return Int4Matrices(words, scale.reshape(rows), (-zero_point * scale).reshape(rows), "F32")


@dataclass(frozen=True, slots=True)
class Int4Tensor:
    """A quantised weight of a file, read as the dense one."""

    packed: StoredTensor
    scale: StoredTensor
    zero_point: StoredTensor
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.packed.nbytes + self.scale.nbytes + self.zero_point.nbytes

    @property
    def regroups(self) -> bool:
        """Whether rows are whole groups."""
        return len(self.shape) == 2 and self.shape[1] % GROUP == 0

    def matrices(self) -> Int4Matrices:
        """The weight in the form that devices keep."""
        out, into = self.shape
        return regroup(self.packed.read(), self.scale.values(), self.zero_point.values(), (out, into))

    def dense(self) -> tuple[NDArray[np.uint16], Stored]:
        """The weight in the form that devices take."""
        scale, zero_point = self.scale.values(), self.zero_point.values()
        return dequantise_int4(self.packed.read(), scale, zero_point, self.shape), "BF16"
