"""Adapters in the slots of a device, so that every row of a batch may use another one.

The matrices of all slots are stacked; those of slot 0, and of every linear that an adapter leaves alone, are
zero, and lower ranks are filled up with zeros. So whoever uses what, a linear is one operation more.
A stack grows to the highest slot and the highest rank that were ever loaded, and stays so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.models.lora import Adapter, ExpertLowRank, LowRank
from dreamscope.engine.models.text import Adapt, Site

_RANK_AXES = {LowRank: (1, 0), ExpertLowRank: (1, 2)}


@dataclass(slots=True)
class _Stack:
    """Both matrices of one linear in all slots, `[slots, ...]`; `kind` says how they are applied."""

    kind: type[LowRank | ExpertLowRank]
    first: Array
    second: Array


class LoraSlots:
    """The adapters in the slots. `version` changes whenever arrays are replaced by larger ones."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._stacks: dict[tuple[int, Site], _Stack] = {}
        self._slots = 1
        self.version = 0

    def arrays(self) -> list[Array]:
        """All matrices."""
        return [part for stack in self._stacks.values() for part in (stack.first, stack.second)]

    def load(self, slot: int, adapter: Adapter) -> None:
        """Put an adapter into a slot, in place of what was there."""
        device = self._device
        self._slots = max(self._slots, slot + 1)
        at = device.array(np.array([slot]))
        for layer, sites in enumerate(adapter.blocks):
            for site, pair in sites.items():
                stack = self._stack((layer, site), pair)
                first, second = _matrices(pair)
                stack.first = device.store(stack.first, at, self._filled(first, stack.first)[None])
                stack.second = device.store(stack.second, at, self._filled(second, stack.second)[None])
        for (layer, site), stack in self._stacks.items():
            if layer >= len(adapter.blocks) or site not in adapter.blocks[layer]:
                nothing = device.zeros((1, *stack.second.shape[1:]))
                stack.second = device.store(stack.second, at, nothing)

    def adapt(self, slots: Array) -> Adapt:
        """Row b of a batch uses the adapter in slot `slots[b]`, `[B]`."""
        device = self._device

        def adapt(layer: int, site: Site, output: Array, x: Array, ids: Array | None = None) -> Array:
            stack = self._stacks.get((layer, site))
            if stack is None:
                return output
            if ids is None:
                return device.lora(output, x, stack.first, stack.second, slots)
            return device.expert_lora(output, x, stack.first, stack.second, slots, ids)

        return adapt

    # ---------------------------------------------------------------------------------------------- growth

    def _stack(self, key: tuple[int, Site], pair: LowRank | ExpertLowRank) -> _Stack:
        """The stack of a linear, with room for this pair and for every slot there is."""
        found = self._stacks.get(key)
        shapes = [list(matrix.shape) for matrix in _matrices(pair)]
        if found is not None:
            for shape, axis, old in zip(
                shapes, _RANK_AXES[type(pair)], (found.first, found.second), strict=True
            ):
                shape[axis] = max(shape[axis], old.shape[1 + axis])
        wanted = [(self._slots, *shape) for shape in shapes]
        if found is not None and (tuple(found.first.shape), tuple(found.second.shape)) == tuple(wanted):
            return found
        first, second = (self._device.zeros(shape) for shape in wanted)
        if found is not None:
            first, second = self._moved(found.first, first), self._moved(found.second, second)
        self.version += 1
        self._stacks[key] = stack = _Stack(type(pair), first, second)
        return stack

    def _moved(self, old: Array, new: Array) -> Array:
        """The contents of a stack in a larger one."""
        filled = self._filled(old, new, leading=1)
        return self._device.store(new, self._device.array(np.arange(old.shape[0])), filled)

    def _filled(self, matrix: Array, stack: Array, leading: int = 0) -> Array:
        """The matrix with zeros up to the shape of a slot of `stack`; the first `leading` axes stay."""
        for axis in range(leading, len(matrix.shape)):
            shape = list(matrix.shape)
            shape[axis] = stack.shape[1 - leading + axis] - shape[axis]
            if shape[axis]:
                matrix = self._device.concat((matrix, self._device.zeros(shape)), axis)
        return matrix


def _matrices(pair: LowRank | ExpertLowRank) -> tuple[Array, Array]:
    """Down, then up."""
    return (pair.down, pair.up) if isinstance(pair, LowRank) else (pair.a, pair.b)
