"""A random checkpoint of any size, in shards and in any form of its experts, written a portion at a time.

For measuring at full size what a real checkpoint would cost, where the whole of it does not fit in memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import INT4_GROUP
from dreamscope.engine.models.bfloat16 import bfloat16_bits
from dreamscope.engine.models.families import AnyConfig, family_of
from dreamscope.engine.weights.experts import CODES, e4m3_values
from dreamscope.engine.weights.random import byte_tokenizer
from dreamscope.engine.weights.safetensors_file import STORED_DTYPES, FileDType

ExpertForm = Literal["bfloat16", "int4", "fp8"]
EXPERT_FORMS: tuple[ExpertForm, ...] = ("bfloat16", "int4", "fp8")
INDEX_NAME = "model.safetensors.index.json"
_BLOCK = (1 << 20) + 7  # not a multiple of any row length, so that the rows of a large tensor differ
_CODE_SPREAD = 21.25**0.5  # of the codes 0 to 15, which are all as likely
_FP8_SPREAD = 64.0

Draw = Callable[[int], Iterator[NDArray[np.generic]]]
"""Portions that hold so many numbers together, in the form of the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor to be written."""

    name: str
    dtype: FileDType
    shape: tuple[int, ...]
    draw: Draw

    @property
    def count(self) -> int:
        """Numbers."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.count * int(STORED_DTYPES[self.dtype].itemsize)


def write_random_shards(
    config: AnyConfig,
    folder: str | Path,
    form: ExpertForm = "bfloat16",
    shard_bytes: int = 4 << 30,
    seed: int = 0,
) -> Path:
    """Write `config.json`, `tokenizer.json`, the shards and their index; bfloat16 but for the experts.

    `form` int4 has the experts as the 4-bit conversion for Macs names and packs them, fp8 as 3.1 does. A
    shard is as large as `shard_bytes` allows, but holds at least one tensor.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    shards = _shards(_entries(config, form, seed), shard_bytes)
    places: dict[str, str] = {}
    for number, entries in enumerate(shards, start=1):
        file = target / f"model-{number:05}-of-{len(shards):05}.safetensors"
        with file.open("wb") as opened:
            _write(opened, entries)
        places |= {entry.name: file.name for entry in entries}
    size = sum(entry.nbytes for entries in shards for entry in entries)
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (target / INDEX_NAME).write_text(json.dumps(index), encoding="utf-8")
    (target / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    (target / "tokenizer.json").write_text(json.dumps(byte_tokenizer()), encoding="utf-8")
    return target


def checkpoint_bytes(config: AnyConfig, form: ExpertForm) -> int:
    """Bytes of all tensors that `write_random_shards` would write."""
    return sum(entry.nbytes for entry in _entries(config, form, seed=0))


def _write(file: BinaryIO, entries: Sequence[Entry]) -> None:
    header, end = {}, 0
    for entry in entries:
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": entry.shape,
            "data_offsets": (end, end + entry.nbytes),
        }
        end += entry.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for entry in entries:
        for portion in entry.draw(entry.count):
            file.write(np.ascontiguousarray(portion).data)


def _shards(entries: Sequence[Entry], most: int) -> list[list[Entry]]:
    shards: list[list[Entry]] = [[]]
    size = 0
    for entry in entries:
        if shards[-1] and size + entry.nbytes > most:
            shards.append([])
            size = 0
        shards[-1].append(entry)
        size += entry.nbytes
    return shards


# ----------------------------------------------------------------------------------- what the tensors hold


def _entries(config: AnyConfig, form: ExpertForm, seed: int) -> list[Entry]:
    source = _Source(seed)
    entries: list[Entry] = []
    for name, shape in family_of(config).expected_shapes(config).items():
        if form != "bfloat16" and len(shape) == 3 and ".mlp." in name:
            entries += (_int4_entries if form == "int4" else _fp8_entries)(source, name, shape)
            continue
        centre, spread = 0.0, shape[-1] ** -0.5
        if name.endswith("bias") or len(shape) == 1:
            centre, spread = float(not name.endswith("bias")), 0.02
        entries.append(Entry(f"model.{name}", "BF16", shape, source.floats(centre, spread)))
    return entries


def _int4_entries(source: _Source, name: str, shape: tuple[int, ...]) -> list[Entry]:
    stem = name.removesuffix(".weight")
    groups = (*shape[:2], shape[2] // INT4_GROUP)
    scale = shape[2] ** -0.5 / _CODE_SPREAD
    return [
        Entry(f"{stem}_q", "U32", (*shape[:2], shape[2] // CODES), source.words()),
        Entry(f"{stem}_scales", "BF16", groups, source.floats(scale, scale / 50)),
        Entry(f"{stem}_biases", "BF16", groups, source.floats(-7.5 * scale, scale / 50)),
    ]


def _fp8_entries(source: _Source, name: str, shape: tuple[int, ...]) -> list[Entry]:
    layer, which = name.split(".")[2], name.split(".")[4]
    block = f"text_model.transformer.h.{layer}."
    weight, rows = {"fc1": ("experts", "up"), "fc2": ("output_experts", "down")}[which]
    scale = shape[2] ** -0.5 / _FP8_SPREAD
    return [
        Entry(f"{block}mlp.{weight}.weight", "F8_E4M3", shape, source.bytes()),
        Entry(f"{block}moe_quant.{rows}_scale", "F32", shape[:2], source.floats(scale, scale / 50, False)),
    ]


class _Source:
    """Random numbers: one block of each kind, repeated from another place for each tensor."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._normal = self._rng.standard_normal(_BLOCK, dtype=np.float32)
        self._words = self._rng.integers(0, 1 << 32, _BLOCK, np.uint32)

    def floats(self, centre: float, spread: float, narrow: bool = True) -> Draw:
        """Normal numbers, as bits of bfloat16 if `narrow`, else in float32."""

        def form(portion: NDArray[np.float32]) -> NDArray[np.generic]:
            values = np.float32(centre) + portion * np.float32(spread)
            return bfloat16_bits(values) if narrow else values

        return self._repeated(self._normal, form)

    def words(self) -> Draw:
        """Any bits, in uint32."""
        return self._repeated(self._words, lambda portion: portion)

    def bytes(self) -> Draw:
        """8-bit floats that are nearly normal."""
        return self._repeated(self._codes, lambda portion: portion)

    @cached_property
    def _codes(self) -> NDArray[np.uint8]:
        positive = e4m3_values()[:127]  # ascending; the next one is no number
        between = (positive[1:] + positive[:-1]) / 2
        codes = np.searchsorted(between, np.abs(self._normal) * np.float32(_FP8_SPREAD)).astype(np.uint8)
        return codes | np.where(self._normal < 0, np.uint8(128), np.uint8(0))

    def _repeated(self, block: NDArray[Any], form: Callable[[NDArray[Any]], NDArray[np.generic]]) -> Draw:
        start = int(self._rng.integers(_BLOCK))

        def draw(count: int) -> Iterator[NDArray[np.generic]]:
            first = start
            while count:
                portion = block[first : first + count]
                yield form(portion)
                count -= len(portion)
                first = 0

        return draw
