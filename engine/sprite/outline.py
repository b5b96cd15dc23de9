"""Outlines of the sprites as short SVG paths, the target of segmentation.

An outline is relative to the box of its object, so it depends on the art and the flip alone: every occurrence
of a sprite has the same path, whatever its place, size and aspect.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from dreamscope.engine.sprite.raster import sprite

VIEW_BOX = 960
STEP = 20
"""Path numbers are multiples of this, so that each is one token."""
POINTS = 20
_OPAQUE = 0.4 * 255

Point = tuple[int, int]


@cache
def outline(name: str, style: str, flip: bool = False) -> tuple[Point, ...]:
    """At most `POINTS` corners (x, y) in units of the view box, clockwise from the topmost one."""
    if flip:
        return tuple((VIEW_BOX - x, y) for x, y in outline(name, style))
    mask = sprite(name, style)[..., 3] > _OPAQUE
    corners = simplify(largest_contour(mask), POINTS)
    scaled = corners / (mask.shape[1], mask.shape[0]) * (VIEW_BOX / STEP)
    snapped = [(int(x) * STEP, int(y) * STEP) for x, y in np.rint(scaled)]
    distinct = [point for point, last in zip(snapped, [snapped[-1], *snapped], strict=False) if point != last]
    top = min(range(len(distinct)), key=lambda index: distinct[index][::-1])
    return tuple(distinct[top:] + distinct[:top])


def path_words(points: tuple[Point, ...]) -> tuple[str, ...]:
    """The path as the words of its tokens: one line command is repeated by every further pair."""
    words = [f" {number}" for point in points for number in point]
    return (" M", *words[:2], " L", *words[2:], " Z")


def largest_contour(mask: np.ndarray) -> np.ndarray:
    """Corners [n, 2] (x, y) of the border of the largest part of a boolean mask, holes left out.

    Borders run along pixel edges with the inside on the right.
    """
    padded = np.pad(mask, 1)
    inside, above, left = padded[1:-1, 1:-1], padded[:-2, 1:-1], padded[1:-1, :-2]
    below, right = padded[2:, 1:-1], padded[1:-1, 2:]
    following: dict[Point, list[Point]] = {}
    for outside, start, end in (
        (above, (0, 0), (1, 0)),
        (right, (1, 0), (1, 1)),
        (below, (1, 1), (0, 1)),
        (left, (0, 1), (0, 0)),
    ):
        for y, x in np.argwhere(inside & ~outside).tolist():
            following.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    loops = []
    while following:
        loop = [next(iter(following))]
        while True:
            ends = following[loop[-1]]
            step = ends.pop()
            if not ends:
                del following[loop[-1]]
            if step == loop[0]:
                break
            loop.append(step)
        loops.append(np.array(loop, np.float64))
    return max(loops, key=_area)


def _area(loop: np.ndarray) -> float:
    x, y = loop.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def simplify(loop: np.ndarray, count: int) -> np.ndarray:
    """The `count` corners that matter most: the one with the smallest triangle goes first (Visvalingam)."""
    corners = loop
    while len(corners) > count:
        before, after = corners - np.roll(corners, 1, 0), np.roll(corners, -1, 0) - corners
        size = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0])
        corners = np.delete(corners, int(size.argmin()), 0)
    return corners
