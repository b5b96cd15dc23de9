"""Which adapter lies in which slot of the device, counted by the rows that use it.

Slot 0 is no adapter. A slot is loaded by the stream that runs the steps, and given away only when no row
uses it any more, so never under a step in flight (I31); the counts are those of the bound rows (I30).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any


class AdapterSlots:
    """`load(slot, adapter)` puts an adapter onto the device."""

    def __init__(self, slots: int, load: Callable[[int, Any], None]) -> None:
        """`slots`: how many there are besides slot 0."""
        self._load = load
        self._free = list(range(slots, 0, -1))
        self._slots: dict[Hashable, int] = {}
        self._users: dict[Hashable, int] = {}

    @property
    def used(self) -> int:
        """Slots in use."""
        return len(self._slots)

    def acquire(self, key: Hashable | None, adapter: Any = None) -> int | None:
        """The slot of an adapter, loaded if it lies in none; `None` if all are taken. Raises like `load`."""
        if key is None:
            return 0
        if key not in self._slots:
            if not self._free:
                return None
            slot = self._free[-1]
            self._load(slot, adapter)
            self._free.pop()
            self._slots[key] = slot
            self._users[key] = 0
        self._users[key] += 1
        return self._slots[key]

    def release(self, key: Hashable | None) -> None:
        """One user less. Raises `ValueError` if there is none."""
        if key is None:
            return
        if key not in self._users:
            raise ValueError(f"Nobody uses the adapter {key!r}.")
        self._users[key] -= 1
        if self._users[key] == 0:
            del self._users[key]
            self._free.append(self._slots.pop(key))
