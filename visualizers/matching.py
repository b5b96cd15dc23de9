"""Which marks of two runs speak of the same thing: the assignment that is best in total.

Every allowed pair has a closeness, 1 for the same place and 0.5 or more at the threshold; of all ways to pair
each mark at most once, the one with the largest total is taken. It is found with
`scipy.optimize.linear_sum_assignment`, so no order of the marks and no early pair can spoil it. Where totals
are equal to a billionth per pair, marks of equal rank are paired, then those that came first.

Coordinates are fractions of the image. Distances are measured on the image as it looks, width and height in
the same unit, as a share of its diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from dreamscope.engine.wire import Box

IOU = 0.5
"""Boxes and outlines whose intersection over union is smaller are different things."""
DISTANCE = 0.05
"""Places further apart than this share of the image's diagonal are different things."""
_TIE = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Mark `left` of one run and mark `right` of the other, as indices; `value` is their IoU or distance."""

    left: int
    right: int
    value: float


@dataclass(frozen=True, slots=True)
class Matched:
    """Pairs by their left index, and the indices of those without a partner, ascending."""

    pairs: tuple[Pair, ...]
    only_left: tuple[int, ...]
    only_right: tuple[int, ...]


def match_boxes(left: Sequence[Box], right: Sequence[Box], threshold: float = IOU) -> Matched:
    """Pair boxes of an IoU of at least `threshold` so that the sum of the IoUs is largest."""
    return match_overlaps(box_overlaps(left, right), threshold)


def match_overlaps(overlaps: Floats, threshold: float = IOU) -> Matched:
    """The same from IoUs, shape (left, right). Raises `ValueError` for a threshold outside 0..1 or 0."""
    if not 0 < threshold <= 1:
        raise ValueError(f"A threshold of IoU is above 0 and at most 1, not {threshold}.")
    return _matched(overlaps, overlaps, overlaps >= threshold)


def match_points(
    left: Sequence[tuple[float, float]],
    right: Sequence[tuple[float, float]],
    size: tuple[int, int],
    threshold: float = DISTANCE,
) -> Matched:
    """Pair places at most `threshold` apart so that their total closeness is largest.

    `size` is the image's width and height; closeness is 1 at distance 0 and falls to 0.5 at the threshold.
    Raises `ValueError` for a threshold that is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"A threshold of distance is above 0, not {threshold}.")
    apart = distances(left, right, size)
    return _matched(apart, 1 - apart / (2 * threshold), apart <= threshold)


def match_targets(
    places: Sequence[tuple[float, float]],
    targets: Sequence[tuple[float, float]],
    boxes: Sequence[Box | None],
    size: tuple[int, int],
    threshold: float = DISTANCE,
) -> Matched:
    """Pair places with targets that they hit: within the target's box, or without one at most `threshold`
    from it. As many as possible are paired; of equals the closest. `targets` are points or middles of
    `boxes`, and `value` is how far a place is from that.
    """
    apart = distances(places, targets, size)
    x, y = np.array(places, dtype=np.float64).reshape(-1, 2).T[:, :, None]
    around = _corners([box or Box(1.0, 1.0, 0.0, 0.0) for box in boxes])[None]
    inside = (around[..., 0] <= x) & (x <= around[..., 2]) & (around[..., 1] <= y) & (y <= around[..., 3])
    boxed = np.array([box is not None for box in boxes], dtype=np.bool_)
    allowed = np.where(boxed, inside, apart <= threshold)
    return _matched(apart, 1 - apart / (2 * max(*apart.shape, 1)), allowed)


def box_overlaps(left: Sequence[Box], right: Sequence[Box]) -> Floats:
    """IoU of every box with every other, shape (left, right); two empty boxes give 0."""
    a, b = _corners(left)[:, None], _corners(right)[None, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.clip(sides, 0, None), axis=-1)
    union = _areas(a) + _areas(b) - shared
    overlaps: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


def distances(
    left: Sequence[tuple[float, float]], right: Sequence[tuple[float, float]], size: tuple[int, int]
) -> Floats:
    """Distance of every place to every other as a share of the image's diagonal, shape (left, right)."""
    scale = np.array(size, dtype=np.float64) / np.hypot(*size)
    a, b = (np.array(places, dtype=np.float64).reshape(-1, 2) * scale for places in (left, right))
    apart: Floats = np.linalg.norm(a[:, None] - b[None, :], axis=-1)
    return apart


def _matched(values: Floats, closeness: Floats, allowed: NDArray[np.bool_]) -> Matched:
    """The best assignment among the allowed pairs. All arrays have the shape (left, right)."""
    rows, columns = values.shape
    gain = np.where(allowed, closeness - _ranks_apart(rows, columns), 0.0)
    chosen = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    pairs = tuple(Pair(int(i), int(j), float(values[i, j])) for i, j in chosen if allowed[i, j])
    left, right = {pair.left for pair in pairs}, {pair.right for pair in pairs}
    return Matched(
        pairs,
        tuple(index for index in range(rows) if index not in left),
        tuple(index for index in range(columns) if index not in right),
    )


def _ranks_apart(rows: int, columns: int) -> Floats:
    """What decides between equal totals; far below any difference that means something."""
    i, j = np.arange(rows, dtype=np.float64)[:, None], np.arange(columns, dtype=np.float64)[None, :]
    most = max(rows, columns, 1)
    penalty: Floats = _TIE * ((i - j) ** 2 / most**2 + (i + j) / most**3) / 2
    return penalty


def _corners(boxes: Sequence[Box]) -> NDArray[Any]:
    return np.array([(b.x_min, b.y_min, b.x_max, b.y_max) for b in boxes], dtype=np.float64).reshape(-1, 4)


def _areas(corners: NDArray[Any]) -> Floats:
    areas: Floats = np.prod(np.clip(corners[..., 2:] - corners[..., :2], 0, None), axis=-1)
    return areas
