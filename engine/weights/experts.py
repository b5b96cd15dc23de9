"""Quantised experts of a checkpoint: kept as they are where the device can, else made dense.

What is made dense is so one expert after the other, so that loading needs little more memory than the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import (
    FP8_ROW,
    INT4_GROUP,
    ITEM_BYTES,
    Array,
    Device,
    Fp8Matrices,
    Int4Matrices,
    Stored,
)
from dreamscope.engine.weights.safetensors_file import StoredTensor

CODES = 8
"""Four-bit codes in a uint32."""


@dataclass(frozen=True, slots=True)
class Fp8Experts:
    """`weight` `[E, out, in]` of 8-bit floats (e4m3fn), `scale` `[E, out]`: `w = fp8 * scale` row by row."""

    weight: StoredTensor
    scale: StoredTensor

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.weight.nbytes + self.scale.nbytes

    def nbytes_on(self, device: Device) -> int:
        """One byte for each number and four for each row, or dense."""
        numbers, rows = _size(self.weight), _size(self.scale)
        return numbers + 4 * rows if self._stays_packed(device) else numbers * ITEM_BYTES[device.dtype]

    def load(self, device: Device) -> Array:
        """Packed, or dense."""
        codes, scale = self.weight.read(), self.scale.values()
        if self._stays_packed(device):
            return device.experts(Fp8Matrices(codes, scale))
        table = e4m3_values()
        return _stacked(device, (table[e] * rows[:, None] for e, rows in zip(codes, scale, strict=True)))

    def _stays_packed(self, device: Device) -> bool:
        return "fp8" in device.keeps and self.weight.shape[2] % FP8_ROW == 0

    def release(self) -> None:
        """Both tensors."""
        self.weight.release()
        self.scale.release()


@dataclass(frozen=True, slots=True)
class Int4Experts:
    """`w = scale * code + bias`: `codes` uint32 `[E, out, in / 8]`, the others `[E, out, in / 64]`.

    Eight four-bit codes to a number, the lowest bits first.
    """

    codes: StoredTensor
    scales: StoredTensor
    biases: StoredTensor

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.codes.nbytes + self.scales.nbytes + self.biases.nbytes

    def nbytes_on(self, device: Device) -> int:
        """As in the file, or dense."""
        return self.nbytes if "int4" in device.keeps else _size(self.codes) * CODES * ITEM_BYTES[device.dtype]

    def load(self, device: Device) -> Array:
        """Packed, or dense."""
        if "int4" in device.keeps:
            return device.experts(self._matrices())
        codes, scales, biases = self.codes.read(), self.scales.values(), self.biases.values()
        return _stacked(device, (unpack_int4(*parts) for parts in zip(codes, scales, biases, strict=True)))

    def release(self) -> None:
        """All three tensors."""
        for part in (self.codes, self.scales, self.biases):
            part.release()

    def _matrices(self) -> Int4Matrices:
        codes = self.codes.read()
        if self.scales.stored == self.biases.stored:
            stored = cast(Stored, self.scales.stored)
            return Int4Matrices(codes, self.scales.read(), self.biases.read(), stored)
        return Int4Matrices(codes, self.scales.values(), self.biases.values(), "F32")


def _size(tensor: StoredTensor) -> int:
    return math.prod(tensor.shape)


def e4m3_values() -> NDArray[np.float32]:
    """The value of every byte as an 8-bit float with 4 exponent bits and no infinities, `[256]`."""
    code = np.arange(256)
    exponent, fraction = (code >> 3) & 15, (code & 7).astype(np.float32)
    normal = (1 + fraction / 8) * np.exp2(exponent.astype(np.float32) - 7)
    values = np.where(exponent == 0, fraction / 8 * np.float32(2**-6), normal)
    values[(code & 127) == 127] = np.nan
    return np.where(code & 128, -values, values).astype(np.float32)


def unpack_int4(
    codes: NDArray[np.uint32], scales: NDArray[np.float32], biases: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Codes `[out, in / 8]`, scales and biases `[out, in / 64]` to the dense `[out, in]`."""
    shifts = np.arange(CODES, dtype=np.uint32) * 4
    each = ((codes[..., None] >> shifts) & 15).astype(np.float32)
    groups = each.reshape(len(codes), -1, INT4_GROUP)
    return (groups * scales[..., None] + biases[..., None]).reshape(len(codes), -1)


def _stacked(device: Device, experts: Iterable[NDArray[np.float32]]) -> Array:
    """Dense experts `[out, in]` as one parameter `[E, out, in]`, computed before it is used elsewhere."""
    stack = device.concat([device.weight(expert[None], "F32") for expert in experts], 0)
    device.synchronize(stack)
    return stack
