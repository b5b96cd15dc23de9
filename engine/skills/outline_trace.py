"""A mask as an outline: the borders along its pixels, straightened and written as an SVG path.

The published refiner traces smooth curves with potrace. Here an outline has straight pieces only, which
follow the border closely.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.results import Box
from dreamscope.engine.skills.outline_mask import Mask

_SPECK = 2
"""Borders around at most so many pixels are left out."""
_TOLERANCE = 0.75
"""How far, in pixels, a straightened border may be from the points of the border: for a straight edge."""
_RELATIVE_TOLERANCE = 0.002
"""The same as a share of the longer side of the box, if that is more: half a pixel of what a refiner sees."""
_KEPT = 0.8
"""The least share of its area that straightening may leave of a loop."""
Place = tuple[int, int]


def trace(mask: Mask) -> tuple[str, Box] | None:
    """The outline of a mask of the whole image as a path inside its box, and the box; `None` without one.

    `M`, `L` and `Z` in fractions of the box with three decimals. Parts run clockwise, holes in them the
    other way, so that both fill rules agree. The box covers the pixels of the mask.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    size = np.array((right - left, bottom - top))
    loops = [loop for loop in borders(mask[top:bottom, left:right]) if abs(_area(loop)) > _SPECK]
    if not loops:
        return None
    tolerance = max(_TOLERANCE, _RELATIVE_TOLERANCE * float(size.max()))
    drawn = [outline(loop, tolerance) for loop in loops]
    height, width = mask.shape
    box = Box(float(left / width), float(top / height), float(right / width), float(bottom / height))
    return " ".join(_words(loop / size) for loop in drawn), box


def borders(mask: Mask) -> list[NDArray[np.int64]]:
    """The border loops `[n, 2]` (x, y) in unit steps along pixel edges, the inside on the right."""
    padded = np.pad(mask, 1)
    after: dict[Place, list[Place]] = {}
    for outside, start, end in (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    ):
        for y, x in np.argwhere(mask & ~outside).tolist():
            after.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    loops = []
    while after:
        first = next(iter(after))
        loop, place = [first], _leave(after, first)
        while place != first:
            loop.append(place)
            place = _leave(after, place)
        loops.append(np.array(loop))
    return loops


def _leave(after: dict[Place, list[Place]], place: Place) -> Place:
    """The next place of a border; each step is gone once."""
    ways = after[place]
    following = ways.pop()
    if not ways:
        del after[place]
    return following


def outline(loop: NDArray[np.int64], tolerance: float) -> NDArray[np.float64]:
    """Few points `[n, 2]` in place of a border loop. One too thin for that keeps its corners."""
    points = straighten(middles(loop), tolerance)
    if _area(points) / _area(loop) > _KEPT:
        return points
    return straighten(loop.astype(np.float64), 0.0)


def middles(loop: NDArray[np.int64]) -> NDArray[np.float64]:
    """The middle of every step of a border, and its sharp corners: those between two longer straight runs.

    A slanted edge is a staircase whose middles lie on a line; one of two runs that meet in it is one step
    long.
    """
    step = np.roll(loop, -1, 0) - loop
    before, twice_before = np.roll(step, 1, 0), np.roll(step, 2, 0)
    same_before = (before == twice_before).all(1)
    same_after = (step == np.roll(step, -1, 0)).all(1)
    sharp = (step != before).any(1) & same_before & same_after
    points = np.stack((loop.astype(np.float64), loop + step / 2), 1)
    kept = np.stack((sharp, np.ones(len(loop), np.bool_)), 1)
    return points[kept]


def straighten(loop: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """The points of a closed loop that keep all others within `tolerance` of it (Douglas and Peucker)."""
    opposite = int(((loop - loop[0]) ** 2).sum(1).argmax())
    ring = np.concatenate((loop, loop[:1]))
    kept = {0, opposite}
    pending = [(0, opposite), (opposite, len(loop))]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        distance = _distance(ring[first + 1 : last], ring[first], ring[last])
        worst = int(distance.argmax())
        if distance[worst] > tolerance:
            kept.add(first + 1 + worst)
            pending += [(first, first + 1 + worst), (first + 1 + worst, last)]
    return loop[sorted(kept)]


def _distance(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From points `[n, 2]` to the straight piece between two others."""
    along = end - start
    share = np.clip((points - start) @ along / max(float(along @ along), 1e-12), 0, 1)
    away: NDArray[np.float64] = np.hypot(*(points - start - share[:, None] * along).T)
    return away


def _area(loop: NDArray[Any]) -> float:
    x, y = loop.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _words(loop: NDArray[np.float64]) -> str:
    pairs = [" ".join(f"{value:.3f}".rstrip("0").rstrip(".") for value in point) for point in loop.tolist()]
    return f"M {pairs[0]} L {' '.join(pairs[1:])} Z"
