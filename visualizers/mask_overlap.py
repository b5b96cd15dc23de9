"""How much two outlines cover the same part of an image.

Both are rasterised over the part of the image that they reach, with the fill rule that the page draws with
(nonzero): a cell is covered if its middle is. Area ratios do not depend on the shape of the cells, so the
size of the image does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.wire import Box
from dreamscope.visualizers.paths import Pair, flattened, parse

CELLS = 512
"""Along each side of the part that is rasterised."""
Mask = tuple[str, Box]
"""Path data in fractions of a box, and the box in fractions of the image."""


def overlap_of(first: Sequence[Mask], second: Sequence[Mask]) -> float | None:
    """Intersection over union of what each side's outlines cover together, 0..1.

    `None` if neither covers anything of the image.
    """
    sides = [[corners_of(*mask) for mask in masks] for masks in (first, second)]
    area = _reach([point for side in sides for mask in side for polygon in mask for point in polygon])
    if area is None:
        return None
    a, b = (_together(side, area) for side in sides)
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else None


def corners_of(path: str, box: Box) -> list[list[Pair]]:
    """The closed polygons of an outline in fractions of the image, curves in short lines."""
    width, height = box.x_max - box.x_min, box.y_max - box.y_min
    return flattened(parse(path), lambda point: (box.x_min + point[0] * width, box.y_min + point[1] * height))


def covered(polygons: Sequence[Sequence[Pair]], area: Box, cells: int = CELLS) -> NDArray[np.bool_]:
    """Which cells of `area` the polygons cover, shape (cells, cells), rows from the top.

    Every edge adds its direction to all cells of a row whose middle lies right of it; covered is what it adds
    up to anything but 0.
    """
    turns = np.zeros((cells, cells + 1), dtype=np.int32)
    edges = _edges(polygons, area) * cells
    for x0, y0, x1, y1 in edges:
        top, bottom = (x0, y0), (x1, y1)
        direction = 1
        if y0 > y1:
            top, bottom, direction = bottom, top, -1
        first, last = (int(np.clip(np.ceil(y - 0.5), 0, cells)) for y in (top[1], bottom[1]))
        if first >= last:
            continue
        rows = np.arange(first, last)
        x = top[0] + (rows + 0.5 - top[1]) * (bottom[0] - top[0]) / (bottom[1] - top[1])
        turns[rows, np.clip(np.ceil(x - 0.5), 0, cells).astype(np.int64)] += direction
    winding: NDArray[np.bool_] = np.cumsum(turns, axis=1)[:, :cells] != 0
    return winding


def _together(masks: Sequence[Sequence[Sequence[Pair]]], area: Box) -> NDArray[np.bool_]:
    union = np.zeros((CELLS, CELLS), dtype=np.bool_)
    for polygons in masks:
        union |= covered(polygons, area)
    return union


def _edges(polygons: Sequence[Sequence[Pair]], area: Box) -> NDArray[np.float64]:
    """All edges as x0, y0, x1, y1 in fractions of `area`, shape (edges, 4); polygons are closed."""
    ends = [
        (*start, *end)
        for polygon in polygons
        for start, end in zip(polygon, [*polygon[1:], polygon[0]], strict=True)
    ]
    origin = np.array((area.x_min, area.y_min) * 2)
    scale = np.array((area.x_max - area.x_min, area.y_max - area.y_min) * 2)
    fractions: NDArray[np.float64] = (np.array(ends, dtype=np.float64).reshape(-1, 4) - origin) / scale
    return fractions


def _reach(points: Sequence[Pair]) -> Box | None:
    """The smallest box around all points, cut at the image; `None` if it has no area."""
    if not points:
        return None
    (left, top), (right, bottom) = (
        np.clip(extreme(np.array(points), axis=0), 0, 1).tolist() for extreme in (np.min, np.max)
    )
    return Box(left, top, right, bottom) if right > left and bottom > top else None
