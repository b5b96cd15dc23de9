"""The forms in which a checkpoint may hold a parameter, and how each becomes an array on a device.

Quantised forms are made dense on load. A stack of experts is made dense one expert after the other, so that
loading needs little more memory than the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device, Stored
from dreamscope.engine.weights.quantize import Int4Tensor, int4_shapes
from dreamscope.engine.weights.safetensors_file import StoredTensor

FLOATS = ("F32", "F16", "BF16")
_FP8 = ("F8_E4M3", "U8")
MLX_GROUP = 64
_CODES = 8  # four-bit codes in a uint32


class Source(Protocol):
    """What a parameter is read from."""

    @property
    def nbytes(self) -> int:
        """Size in the file."""

    def load(self, device: Device) -> Array:
        """The whole parameter in the compute dtype."""


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

    `quantisable`: whether it may be held as int4 groups.
    """
    forms = [Form({name: Part(shape)}, lambda found: DenseTensor(found[0]))]
    int4 = int4_shapes(name, shape) if quantisable else {}
    if int4:
        parts = {part: Part(s, ("U8",) if part.endswith(".packed") else FLOATS) for part, s in int4.items()}
        forms.append(Form(parts, lambda found: Int4Source(_int4(found, shape))))
    if len(shape) == 3 and ".mlp." in name:
        forms += [_fp8_form(name, shape), _mlx_form(name, shape)]
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

    def load(self, device: Device) -> Array:
        """As stored, the right way round."""
        tensor = self.found.tensor
        raw = tensor.read()
        if self.found.transposed:
            raw = np.ascontiguousarray(raw.T)
        return device.weight(raw, cast(Stored, tensor.stored))


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

    def load(self, device: Device) -> Array:
        """These rows."""
        tensor = self.found.tensor
        return device.weight(tensor.read()[self.first : self.first + self.count], cast(Stored, tensor.stored))


@dataclass(frozen=True, slots=True)
class Int4Source:
    """A linear in groups of 128 four-bit weights."""

    tensor: Int4Tensor

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.tensor.nbytes

    def load(self, device: Device) -> Array:
        """The dense weight."""
        return device.weight(*self.tensor.dense())


@dataclass(frozen=True, slots=True)
class Fp8Experts:
    """`weight` `[E, out, in]` of 8-bit floats (e4m3fn), `scale` `[E, out]`: `w = fp8 * scale` row by row."""

    weight: StoredTensor
    scale: StoredTensor

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.weight.nbytes + self.scale.nbytes

    def load(self, device: Device) -> Array:
        """Dense, one expert after the other."""
        codes, scale, table = self.weight.read(), self.scale.values(), e4m3_values()
        experts = (table[expert] * rows[:, None] for expert, rows in zip(codes, scale, strict=True))
        return _stacked(device, experts)


@dataclass(frozen=True, slots=True)
class MlxExperts:
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

    def load(self, device: Device) -> Array:
        """Dense, one expert after the other."""
        codes, scales, biases = self.codes.read(), self.scales.values(), self.biases.values()
        experts = (unpack_mlx(*parts) for parts in zip(codes, scales, biases, strict=True))
        return _stacked(device, experts)


def e4m3_values() -> NDArray[np.float32]:
    """The value of every byte as an 8-bit float with 4 exponent bits and no infinities, `[256]`."""
    code = np.arange(256)
    exponent, fraction = (code >> 3) & 15, (code & 7).astype(np.float32)
    normal = (1 + fraction / 8) * np.exp2(exponent.astype(np.float32) - 7)
    values = np.where(exponent == 0, fraction / 8 * np.float32(2**-6), normal)
    values[(code & 127) == 127] = np.nan
    return np.where(code & 128, -values, values).astype(np.float32)


def unpack_mlx(
    codes: NDArray[np.uint32], scales: NDArray[np.float32], biases: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Codes `[out, in / 8]`, scales and biases `[out, in / 64]` to the dense `[out, in]`."""
    shifts = np.arange(_CODES, dtype=np.uint32) * 4
    each = ((codes[..., None] >> shifts) & 15).astype(np.float32)
    groups = each.reshape(len(codes), -1, MLX_GROUP)
    return (groups * scales[..., None] + biases[..., None]).reshape(len(codes), -1)


def _stacked(device: Device, experts: Iterable[NDArray[np.float32]]) -> Array:
    """Dense experts `[out, in]` as one parameter `[E, out, in]`, computed before it is used elsewhere."""
    stack = device.concat([device.weight(expert[None], "F32") for expert in experts], 0)
    device.synchronize(stack)
    return stack


def _fp8_form(name: str, shape: tuple[int, ...]) -> Form:
    parts = {name: Part(shape, _FP8), f"{name}.row_scale": Part(shape[:2])}
    return Form(parts, lambda found: Fp8Experts(found[0].tensor, found[1].tensor))


def _mlx_form(name: str, shape: tuple[int, ...]) -> Form:
    groups = (*shape[:2], shape[2] // MLX_GROUP)
    parts = {
        f"{name}.q": Part((*shape[:2], shape[2] // _CODES), ("U32",)),
        f"{name}.scales": Part(groups),
        f"{name}.biases": Part(groups),
    }
    return Form(parts, lambda found: MlxExperts(*(f.tensor for f in found)))
