"""Arrays with a twin on the host: the same memory on the CPU, page-locked memory beside a card."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class SharedMirror:
    """One memory for both sides."""

    host: NDArray[Any]
    array: torch.Tensor

    def upload(self, rows: Iterable[int] | None = None) -> None:
        """It is there."""


@dataclass(frozen=True, slots=True, eq=False)
class PinnedMirror:
    """Page-locked on the host, so that the copy is queued and nobody waits for it."""

    host: NDArray[Any]
    array: torch.Tensor
    pinned: torch.Tensor

    def upload(self, rows: Iterable[int] | None = None) -> None:
        """In the current stream."""
        for part in (...,) if rows is None else rows:
            self.array[part].copy_(self.pinned[part], non_blocking=True)


def mirror_of(values: NDArray[Any], place: torch.device) -> SharedMirror | PinnedMirror:
    """`values` on the host and at `place`."""
    host = torch.from_numpy(values)
    if place.type == "cpu":
        return SharedMirror(values, host)
    pinned = host.pin_memory()
    return PinnedMirror(pinned.numpy(), host.to(place), pinned)
