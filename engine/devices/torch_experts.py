"""The matrices of experts in PyTorch: plain, or packed as a quantised checkpoint holds them.

Packed matrices stay packed. A product makes the matrices it needs dense a few rows at a time, in float32, and
forgets them again: what a decoded token reads from memory is the packed form of its active experts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dreamscope.engine.devices import torch_scripts
from dreamscope.engine.devices.base import INT4_GROUP, Fp8Matrices, Matrices, Stored

_HALF = INT4_GROUP // 2
_CPU_PIECE = 1 << 19
"""Dense numbers at a time: as float32 they stay in the cache of a core."""


@dataclass(frozen=True, slots=True)
class Int4Experts:
    """`w = scale * code + bias`: codes uint8 `[E, out, in / 64, 32]`, the others `[E, out, in / 64, 1]`.

    Code j of a group is in the low bits of byte j, code j + 32 in the high ones: so each half is made dense
    with one pass over neighbours, which the order of the file would not allow.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    biases: torch.Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the dense matrices, `[E, out, in]`."""
        experts, out, groups, _ = self.codes.shape
        return experts, out, groups * INT4_GROUP

    @property
    def nbytes(self) -> int:
        """What is kept."""
        return self.codes.nbytes + self.scales.nbytes + self.biases.nbytes

    def dense(self, expert: int, rows: slice) -> torch.Tensor:
        """Rows of one matrix in float32."""
        codes = self.codes[expert, rows]
        matrix = torch.empty((*codes.shape[:2], INT4_GROUP), device=codes.device)
        matrix[..., :_HALF] = codes & 15
        matrix[..., _HALF:] = codes >> 4
        return matrix.mul_(self.scales[expert, rows]).add_(self.biases[expert, rows]).flatten(1)


@dataclass(frozen=True, slots=True)
class Fp8Experts:
    """`w = values[code] * scale`. `codes` uint8 `[E, out, in]`, `scales` float32 `[E, out, 1]`."""

    codes: torch.Tensor
    scales: torch.Tensor
    values: torch.Tensor
    """What each of the 256 codes stands for: looking it up is several times faster than a conversion."""

    @property
    def shape(self) -> torch.Size:
        """Of the dense matrices, `[E, out, in]`."""
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """What is kept."""
        return self.codes.nbytes + self.scales.nbytes

    def dense(self, expert: int, rows: slice) -> torch.Tensor:
        """Rows of one matrix in float32."""
        codes = self.codes[expert, rows]
        matrix = self.values.index_select(0, codes.flatten().int()).view(codes.shape)
        return matrix.mul_(self.scales[expert, rows])


Packed = Int4Experts | Fp8Experts


def pack_experts(matrices: Matrices, place: torch.device) -> Packed:
    """Copy quantised matrices to `place`, one expert after the other where they are rearranged."""
    if isinstance(matrices, Fp8Matrices):
        values = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
        codes = torch.from_numpy(np.array(matrices.codes)).to(place)
        scales = torch.from_numpy(np.array(matrices.scales, np.float32)[..., None])
        return Fp8Experts(codes, scales.to(place), values.to(place))
    experts, out, words = matrices.codes.shape
    halves = torch.empty((experts, out, words * 8 // INT4_GROUP, _HALF), dtype=torch.uint8, device=place)
    for packed, expert in zip(halves, matrices.codes, strict=True):
        packed.copy_(torch.from_numpy(_halves(expert)))
    scales, biases = (_floats(raw, matrices.stored).to(place) for raw in (matrices.scales, matrices.biases))
    return Int4Experts(halves, scales, biases)


def expert_linear(x: torch.Tensor, weight: torch.Tensor | Packed, ids: torch.Tensor) -> torch.Tensor:
    """One product per expert in use, with all the rows that chose it: no copy of any plain weight."""
    rows, k = ids.shape
    flat = x.expand(rows, k, x.shape[2]).reshape(rows * k, x.shape[2])
    if isinstance(weight, torch.Tensor):
        through = torch_scripts.compiled(torch_scripts.plain_experts)
        product: torch.Tensor = through(flat, weight, ids.reshape(-1))
        return product.reshape(rows, k, weight.shape[1])
    out = flat.new_empty((rows * k, weight.shape[1]))
    for expert, places in _uses(ids, weight.shape[0]):
        wide = flat[places].float()
        for piece in _pieces(weight):
            out[places, piece] = _product(wide, weight.dense(expert, piece)).to(out.dtype)
    return out.reshape(rows, k, weight.shape[1])


def _uses(ids: torch.Tensor, experts: int) -> Iterator[tuple[int, slice | torch.Tensor]]:
    """Experts in use, each with the places in the flattened `ids` where it was chosen."""
    chosen = ids.reshape(-1)
    if len(ids) == 1:  # a decode step: every place has an expert of its own
        yield from ((expert, slice(place, place + 1)) for place, expert in enumerate(chosen.tolist()))
        return
    sizes = torch.bincount(chosen, minlength=experts).tolist()
    for expert, places in enumerate(chosen.argsort().split(sizes)):
        if len(places):
            yield expert, places


def _product(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """`x @ matrix^T`; for a single row without the detour of a matrix product."""
    return torch.mv(matrix, x[0])[None] if len(x) == 1 else F.linear(x, matrix)


def _pieces(weight: Packed) -> Iterator[slice]:
    """The rows of a matrix in the portions in which they are made dense: all at once on a card."""
    _, out, into = weight.shape
    step = max(1, _CPU_PIECE // into) if weight.codes.device.type == "cpu" else out
    return (slice(first, first + step) for first in range(0, out, step))


def _halves(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Codes of one matrix `[out, in / 8]` as `[out, in / 64, 32]`, both halves of a group side by side."""
    lowest_first = words.astype("<u4").view(np.uint8).reshape(len(words), -1, _HALF)
    codes = np.stack((lowest_first & 15, lowest_first >> 4), -1).reshape(*lowest_first.shape[:2], INT4_GROUP)
    packed: NDArray[np.uint8] = codes[..., :_HALF] | codes[..., _HALF:] << 4
    return packed


def _floats(raw: NDArray[Any], stored: Stored) -> torch.Tensor:
    """One number for each group, `[E, out, in / 64, 1]`, as it is stored."""
    host = torch.from_numpy(np.array(raw))
    return (host.view(torch.bfloat16) if stored == "BF16" else host)[..., None]
