"""The attention of prompts that are read in one pass, each over its own pages.

The new positions of all prompts lie end to end, in order. In a small model most prompts are a few words
behind an image that was read before: such prompts attend together, in padded batches. A prompt with an image
in it, or with many positions, attends by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.devices.runner import Element, ImageKey, Prefill, positions_of

FEW = 64
"""New positions of a prompt that attends together with others, at most; padding costs little then."""
GATHERED = 1024
"""Positions whose keys and values such prompts gather at a time, at most: what stays in the cache of a core,
in memory that need not be asked for anew."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt among others: its positions, where its new ones are in the joined rows, its pages.

    Positions below `block` see each other and the others what is before them, unless a mask says more.
    """

    first: int
    """Positions that are there already."""
    length: int
    begin: int
    pages: NDArray[np.int64]
    block: int = 0
    mask: NDArray[np.bool_] | None = None

    @property
    def new(self) -> int:
        """Positions that are to be computed."""
        return self.length - self.first

    @property
    def end(self) -> int:
        """Behind its new positions in the joined rows."""
        return self.begin + self.new

    @property
    def short(self) -> bool:
        """Whether it may attend with others: few positions, of which each new one sees what is before it."""
        few = self.new <= FEW and 2 * self.length <= GATHERED
        return few and self.block <= self.first and self.mask is None


def placed(prompts: Sequence[Prefill], table: NDArray[np.int64], bos_id: int) -> Iterator[Prompt]:
    """Where they are; `table` has the page of every position of every row."""
    begin = 0
    for prompt in prompts:
        first, length = positions_of(prompt.elements[: prompt.skip]), positions_of(prompt.elements)
        pages = table[prompt.row, :length].copy()
        images = list(_images(prompt.elements, prompt.skip, first, bos_id))
        block, mask = 0, None
        if len(images) == 1 and images[0].start <= first:
            block = images[0].stop
        elif images:
            mask = _mask(images, first, length)
        yield Prompt(first, length, begin, pages, block, mask)
        begin += length - first


class Portion(Protocol):
    """Prompts that follow one another in the joined rows, and attend at once."""

    def attend(self, q: Array, k: Array, v: Array) -> Array:
        """Attended values of their queries, in order. Queries `[N, H, E]` are those of all prompts; keys and
        values lie in pages `[pages, Hkv, E]`."""


def portions(device: Device, prompts: Sequence[Prompt]) -> Iterator[Portion]:
    """All prompts, in order. What depends on no layer is brought to the device here."""
    together: list[Prompt] = []
    for prompt in prompts:
        longest = max(one.length for one in (prompt, *together))
        if together and not (prompt.short and longest * (len(together) + 1) <= GATHERED):
            yield _Together(device, together)
            together = []
        if prompt.short:
            together.append(prompt)
        else:
            yield _Alone(device, prompt)
    if together:
        yield _Together(device, together)


class _Alone:
    """One prompt, without padding."""

    def __init__(self, device: Device, prompt: Prompt) -> None:
        self._device, self._prompt = device, prompt
        self._table = device.array(prompt.pages)
        self._mask = None if prompt.mask is None else device.array(prompt.mask)

    def attend(self, q: Array, k: Array, v: Array) -> Array:
        device, prompt = self._device, self._prompt
        q = q[prompt.begin : prompt.end]
        if self._mask is None:
            return device.prefix_attention(q, k, v, self._table, prompt.block)
        k, v = (device.permute(device.take(pages, self._table, 0), (1, 0, 2))[None] for pages in (k, v))
        mixed = device.attention(device.permute(q, (1, 0, 2))[None], k, v, self._mask)
        return device.permute(mixed[0], (1, 0, 2))


class _Together:
    """Short prompts: queries `[n, T]` and pages `[n, S]`, padded to the longest.

    A padded query sees the first position, so that it has something to see; it is left out again.
    """

    def __init__(self, device: Device, prompts: Sequence[Prompt]) -> None:
        count, first = len(prompts), prompts[0].begin
        width, span = max(one.new for one in prompts), max(one.length for one in prompts)
        positions, rows = np.zeros((2, count, width), np.int64)
        table = np.zeros((count, span), np.int64)
        for place, one in enumerate(prompts):
            positions[place, : one.new] = np.arange(one.first, one.length)
            rows[place, : one.new] = np.arange(one.begin, one.end) - first
            table[place, : one.length] = one.pages
        new = np.array([one.new for one in prompts])[:, None]
        self._device, self._shape = device, (count, width, span)
        self._rows = slice(first, prompts[-1].end)
        self._table = device.array(table.reshape(-1))
        self._mask = device.array(np.arange(span) <= positions[:, None, :, None])
        self._padded = self._real = None
        if (new < width).any():
            self._padded = device.array(rows.reshape(-1))
            self._real = device.array(np.flatnonzero(np.arange(width) < new))

    def attend(self, q: Array, k: Array, v: Array) -> Array:
        device, (count, width, span) = self._device, self._shape
        heads, dim = q.shape[1:]
        q = q[self._rows]
        if self._padded is not None:
            q = device.take(q, self._padded, 0)
        q = device.permute(device.reshape(q, (count, width, heads, dim)), (0, 2, 1, 3))
        k, v = (
            device.reshape(device.take(pages, self._table, 0), (count, span, *pages.shape[1:]))
            for pages in (k, v)
        )
        k, v = (device.permute(each, (0, 2, 1, 3)) for each in (k, v))
        mixed = device.permute(device.attention(q, k, v, self._mask), (0, 2, 1, 3))
        mixed = device.reshape(mixed, (count * width, heads, dim))
        return mixed if self._real is None else device.take(mixed, self._real, 0)


def _images(elements: Sequence[Element], skip: int, first: int, bos_id: int) -> Iterator[range]:
    """The positions of images after the first `skip` elements, which are `first` positions.

    An image directly after BOS takes BOS in.
    """
    place = first
    for index in range(skip, len(elements)):
        element = elements[index]
        if isinstance(element, ImageKey):
            begin = 0 if index == 1 and elements[0] == bos_id else place
            yield range(begin, place + element.positions)
        place += positions_of((element,))


def _mask(images: Sequence[range], first: int, length: int) -> NDArray[np.bool_]:
    """Who sees whom, `[length - first, length]`: predecessors, and within an image everybody."""
    mask = np.arange(length) <= np.arange(first, length)[:, None]
    for image in images:
        mask[max(0, image.start - first) : image.stop - first, image.start : image.stop] = True
    return mask
