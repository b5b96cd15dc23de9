"""The forms in which a checkpoint may hold a parameter, and how each becomes an array on a device.

What is quantised stays so where the device can compute with it. Quantised experts are in `experts.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from dreamscope.engine.devices.base import INT4_GROUP, ITEM_BYTES, Array, Device, Stored
from dreamscope.engine.weights.experts import CODES, Fp8Experts, Int4Experts
from dreamscope.engine.weights.quantize import Int4Tensor, int4_shapes
from dreamscope.engine.weights.safetensors_file import StoredTensor

FLOATS = ("F32", "F16", "BF16")
_FP8 = ("F8_E4M3", "U8")


class Source(Protocol):
    """What a parameter is read from."""

    @property
    def nbytes(self) -> int:
        """Size in the file."""

    def nbytes_on(self, device: Device) -> int:
        """Size once it is loaded."""

    def load(self, device: Device) -> Array:
        """The whole parameter, in the compute dtype unless the device keeps it quantised."""

    def release(self) -> None:
        """Forget what loading has read of the file."""


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of a form: its shape the right way round, and the file dtypes that it may have."""

    shape: tuple[int, ...]
    dtypes: tuple[str, ...] = FLOATS


@dataclass(frozen=True, slots=True)
class Found:
    """A tensor of a file that belongs somewhere. `transposed`: the file holds its transpose."""

    tensor: StoredTensor
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the parameter."""
        return self.tensor.shape[::-1] if self.transposed else self.tensor.shape


@dataclass(frozen=True, slots=True)
class Form:
    """Parts by canonical name, in the order in which `build` takes them."""

    parts: Mapping[str, Part]
    build: Callable[[Sequence[Found]], Source]


def _int4(found: Sequence[Found], shape: tuple[int, ...]) -> Int4Tensor:
    packed, scale, zero_point = (part.tensor for part in found)
    return Int4Tensor(packed, scale, zero_point, shape)


def forms_of(name: str, shape: tuple[int, ...], quantisable: bool) -> list[Form]:
    """Every form in which the parameter `name` may be held; the plain one first.

    `quantisable`: whether it may be held as int4 groups, if it is a plain linear and not a stack of experts.
    """
    forms = [Form({name: Part(shape)}, lambda found: DenseTensor(found[0]))]
    int4 = int4_shapes(name, shape) if quantisable and len(shape) == 2 else {}
    if int4:
        parts = {part: Part(s, ("U8",) if part.endswith(".packed") else FLOATS) for part, s in int4.items()}
        forms.append(Form(parts, lambda found: Int4Source(_int4(found, shape))))
    if len(shape) == 3 and ".mlp." in name:
        forms.append(_fp8_form(name, shape))
        if shape[2] % INT4_GROUP == 0:
            forms.append(_int4_form(name, shape))
    stem, _, leaf = name.rpartition(".")
    if stem.endswith(".attn.tau") and leaf in ("wq", "wv"):
        joined = Part((2 * shape[0], shape[1]))
        first = 0 if leaf == "wq" else shape[0]
        forms.append(Form({f"{stem}.wqwv": joined}, lambda found: Rows(found[0], first, shape[0])))
    return forms


# ---------------------------------------------------------------------------------------------- sources


@dataclass(frozen=True, slots=True)
class DenseTensor:
    """A float tensor of a file."""

    found: Found

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.found.tensor.nbytes

    def nbytes_on(self, device: Device) -> int:
        """In the compute dtype."""
        return _dense_bytes(self.found.shape, device)

    def load(self, device: Device) -> Array:
        """As stored, the right way round."""
        tensor = self.found.tensor
        raw = tensor.read()
        if self.found.transposed:
            raw = np.ascontiguousarray(raw.T)
        return device.weight(raw, cast(Stored, tensor.stored))

    def release(self) -> None:
        """All of it."""
        self.found.tensor.release()


@dataclass(frozen=True, slots=True)
class Rows:
    """`count` rows from `first` on of a tensor that joins two parameters."""

    found: Found
    first: int
    count: int

    @property
    def nbytes(self) -> int:
        """Its share of the file."""
        return self.found.tensor.nbytes * self.count // self.found.shape[0]

    def nbytes_on(self, device: Device) -> int:
        """In the compute dtype."""
        return _dense_bytes((self.count, *self.found.shape[1:]), device)

    def load(self, device: Device) -> Array:
        """These rows."""
        tensor = self.found.tensor
        return device.weight(tensor.read()[self.first : self.first + self.count], cast(Stored, tensor.stored))

    def release(self) -> None:
        """Of both parameters."""
        self.found.tensor.release()


@dataclass(frozen=True, slots=True)
class Int4Source:
    """A linear in groups of 128 four-bit weights."""

    tensor: Int4Tensor

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.tensor.nbytes

    def nbytes_on(self, device: Device) -> int:
        """Half a byte for each number and eight for each group, or dense."""
        if self._stays_packed(device):
            return self.tensor.packed.nbytes + 8 * self.tensor.scale.shape[0]
        return _dense_bytes(self.tensor.shape, device)

    def load(self, device: Device) -> Array:
        """Packed, or dense."""
        if self._stays_packed(device):
            return device.packed_linear(self.tensor.matrices())
        return device.weight(*self.tensor.dense())

    def _stays_packed(self, device: Device) -> bool:
        return "int4-linear" in device.keeps and self.tensor.regroups

    def release(self) -> None:
        """All three tensors."""
        for part in (self.tensor.packed, self.tensor.scale, self.tensor.zero_point):
            part.release()


def _dense_bytes(shape: tuple[int, ...], device: Device) -> int:
    return math.prod(shape) * ITEM_BYTES[device.dtype]


def _fp8_form(name: str, shape: tuple[int, ...]) -> Form:
    parts = {name: Part(shape, _FP8), f"{name}.row_scale": Part(shape[:2])}
    return Form(parts, lambda found: Fp8Experts(found[0].tensor, found[1].tensor))


def _int4_form(name: str, shape: tuple[int, ...]) -> Form:
    groups = (*shape[:2], shape[2] // INT4_GROUP)
    parts = {
        f"{name}.q": Part((*shape[:2], shape[2] // CODES), ("U32",)),
        f"{name}.scales": Part(groups),
        f"{name}.biases": Part(groups),
    }
    return Form(parts, lambda found: Int4Experts(*(f.tensor for f in found)))
