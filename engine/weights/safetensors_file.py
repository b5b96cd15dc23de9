"""Reads a safetensors file lazily: the header now, each tensor when asked for.

Only numpy, so that bfloat16 reaches every backend as bits. The file is memory-mapped: what is read takes
memory until `release` gives it back, so a loader holds one tensor of the file beside what it made so far.
"""

from __future__ import annotations

import json
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Stored
from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound

FileDType = Stored | Literal["U8", "U32", "F8_E4M3"]
STORED_DTYPES: dict[str, Any] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    # of quantised weights: packed integers, and 8-bit floats as bytes
    "U8": np.dtype("u1"),
    "U32": np.dtype("<u4"),
    "F8_E4M3": np.dtype("u1"),
}
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file. `read` gives bfloat16 as uint16 bit patterns and 8-bit floats as bytes."""

    name: str
    stored: FileDType
    shape: tuple[int, ...]
    begin: int
    end: int
    file: mmap.mmap
    """The whole file, read only."""

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.end - self.begin

    def read(self) -> NDArray[Any]:
        """A read-only view in the stored form."""
        count = int(np.prod(self.shape, dtype=np.int64))
        return np.frombuffer(self.file, STORED_DTYPES[self.stored], count, self.begin).reshape(self.shape)

    def values(self) -> NDArray[np.float32]:
        """A copy as float32."""
        raw = self.read()
        if self.stored == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32)

    def release(self) -> None:
        """Give the memory back that reading took; reading again reads the file again.

        Where the system offers no way to, it reclaims that memory itself once it runs short.
        """
        if hasattr(self.file, "madvise"):
            first = self.begin - self.begin % mmap.PAGESIZE
            self.file.madvise(mmap.MADV_DONTNEED, first, self.end - first)


def open_checkpoint(path: str | Path) -> dict[str, StoredTensor]:
    """The tensors of a file, or of all files that an index (`*.index.json`) names.

    Raises like `open_safetensors`; `WeightsInvalid` too if the index is damaged or a file lacks a tensor.
    """
    index = Path(path)
    if index.suffix != ".json":
        return open_safetensors(index)
    places = shard_places(index)
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted(set(places.values())):
        stored = open_safetensors(index.parent / shard)
        tensors.update({name: tensor for name, tensor in stored.items() if places.get(name) == shard})
    lost = next((name for name in places if name not in tensors), None)
    if lost is not None:
        raise WeightsInvalid(f"{index} says that {places[lost]} holds {lost}, but it does not.")
    return tensors


def shard_places(index: Path) -> dict[str, str]:
    """The file name for every tensor of a sharded checkpoint.

    Raises `WeightsNotFound` if there is no such index, `WeightsInvalid` if it is damaged or names files
    outside its own folder.
    """
    if not index.is_file():
        raise WeightsNotFound(f"There is no weights index {index}.")
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = {str(name): str(shard) for name, shard in places.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsInvalid(f"{index} is not an index of weights: {error!r}.") from None
    stray = next((shard for shard in shards.values() if Path(shard).name != shard), None)
    if stray is not None:
        raise WeightsInvalid(f"{index} names {stray!r:.80}, which is not a file beside it.")
    return shards


def open_safetensors(path: str | Path) -> dict[str, StoredTensor]:
    """The tensors of a file by name; those of dtypes that no layout uses are left out.

    Raises `WeightsNotFound` if there is no such file and `WeightsInvalid` if it is damaged or cut short.
    """
    file = Path(path)
    if not file.is_file():
        raise WeightsNotFound(f"There is no weights file {file}.")
    length = file.stat().st_size
    if length < 8:
        raise WeightsInvalid(f"{file} is not a safetensors file: it has {length} bytes.")
    with file.open("rb") as opened:
        data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    (header_length,) = struct.unpack("<Q", data[:8])
    if header_length > min(_LONGEST_HEADER, length - 8):
        raise WeightsInvalid(f"{file} is not a safetensors file, or its download was cut short.")
    try:
        header = json.loads(data[8 : 8 + header_length])
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {
            name: _tensor(file, name, entry, 8 + header_length, data)
            for name, entry in entries.items()
            if entry["dtype"] in STORED_DTYPES
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsInvalid(f"{file} has a damaged header: {error!r}.") from None


def _tensor(file: Path, name: str, entry: dict[str, Any], offset: int, data: mmap.mmap) -> StoredTensor:
    shape = tuple(int(size) for size in entry["shape"])
    begin, end = (offset + int(position) for position in entry["data_offsets"])
    itemsize = STORED_DTYPES[entry["dtype"]].itemsize
    if end > len(data):
        raise WeightsInvalid(
            f"{file} is cut short: {name} should end at byte {end} of {len(data)}. Download it again."
        )
    if begin < offset or end - begin != int(np.prod(shape, dtype=np.int64)) * itemsize:
        raise WeightsInvalid(f"{file} is damaged: {name} of shape {shape} has {end - begin} bytes.")
    return StoredTensor(name, cast(FileDType, entry["dtype"]), shape, begin, end, data)
