"""Masks as boolean arrays: filling an outline, resizing, and cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.models.refiner_layers import neighbours

Mask = NDArray[np.bool_]
_SAMPLES = 2
"""Samples along each side of a pixel."""
SMALLEST = 0.0015
"""Holes and islands below this share of the image are no part of an object."""


def fill(outlines: Sequence[NDArray[np.float64]], height: int, width: int) -> Mask:
    """The pixels `[height, width]` of which more than half is inside of closed polygons.

    `outlines`: corners `[n, 2]` (x, y) in pixels. Inside is where the polygons wind around a place (SVG's
    rule "nonzero"); a pixel is sampled at two by two places.
    """
    rows, columns = height * _SAMPLES, width * _SAMPLES
    turns = np.zeros((rows, columns + 1), np.int16)
    for outline in outlines:
        start = outline * _SAMPLES - 0.5  # sample i lies at i
        end = np.roll(start, -1, 0)
        first, last = (
            np.clip(np.ceil(bound), 0, rows).astype(np.int64)
            for bound in (np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1]))
        )
        counts = last - first
        edge = np.repeat(np.arange(len(outline)), counts)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts - first, counts)
        run, rise = (end - start)[edge].T
        x = start[edge, 0] + (row - start[edge, 1]) * run / rise
        column = np.clip(np.ceil(x), 0, columns).astype(np.int64)
        np.add.at(turns, (row, column), np.where(rise > 0, 1, -1).astype(np.int16))
    inside = np.cumsum(turns, 1, dtype=np.int16)[:, :columns] != 0
    count = inside.reshape(height, _SAMPLES, width, _SAMPLES).sum((1, 3), dtype=np.int8)
    return count * 2 > _SAMPLES**2


def resize_linear(values: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """`[H, W]` or `[H, W, C]` resampled along both axes, between the centres of the two nearest cells."""
    for axis, wanted in enumerate((height, width)):
        low, high, share = neighbours(values.shape[axis], wanted)
        share = share.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        values = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return values.astype(np.float32)


def resize_nearest(mask: Mask, height: int, width: int) -> Mask:
    """`[H, W]` to `[height, width]`: cell i shows cell `i * H // height`."""
    rows = np.arange(height) * mask.shape[0] // height
    columns = np.arange(width) * mask.shape[1] // width
    return mask[rows[:, None], columns]


def clean(mask: Mask) -> Mask:
    """A mask of the whole image without small holes, then without small islands, then closed.

    If all islands are small the largest stays. Closing fills gaps of up to two pixels.
    """
    below = max(1.0, SMALLEST * mask.size)
    filled = mask | _small_parts(~mask, below)
    return _closed(filled & ~_small_parts(filled, below, spare_largest=True))


def _small_parts(mask: Mask, below: float, spare_largest: bool = False) -> Mask:
    """The parts of a mask, connected over corners as well, of fewer pixels than `below`.

    With `spare_largest`, if all of them are, without the largest.
    """
    rows, starts, ends = _runs(mask)
    part = _connect(rows, starts, ends, mask.shape[1])
    sizes = np.bincount(part, ends - starts, len(part))
    small = sizes < below
    if spare_largest and len(part) and small.all():
        small[sizes.argmax()] = False
    result = np.zeros_like(mask)
    for run in np.flatnonzero(small[part]).tolist():
        result[rows[run], starts[run] : ends[run]] = True
    return result


def _runs(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, first column, and column after the last one, of every horizontal run, in reading order."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    return rows, starts, np.nonzero(steps == -1)[1]


def _connect(
    rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """The part that each run belongs to, as the number of one of its runs."""
    stride = width + 2
    below = (rows + 1) * stride
    first = np.searchsorted(rows * stride + ends, below + starts)
    last = np.searchsorted(rows * stride + starts, below + ends, "right")
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for run, (begin, stop) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for touched in range(begin, stop):
            parent[root(touched)] = root(run)
    return np.array([root(run) for run in range(len(parent))], np.int64)


def _closed(mask: Mask) -> Mask:
    """Grown by a pixel in all directions and shrunk again; nothing shrinks from the edge of the image."""
    grown = _spread(np.pad(mask, 1))
    outside = np.pad(~grown, 1)
    return ~_spread(outside)


def _spread(padded: Mask) -> Mask:
    """The inner `[H, W]` of `[H + 2, W + 2]`, with every pixel that has a neighbour, corners as well."""
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
