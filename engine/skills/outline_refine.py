"""The way of a coarse outline through a mask to a better outline. Pure, but for what improves the mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.results import Box
from dreamscope.engine.skills.outline_mask import Mask, clean, fill
from dreamscope.engine.skills.outline_polygons import polygons
from dreamscope.engine.skills.outline_trace import trace

MARGIN = 0.25
"""How much of the box is added to it on every side."""
Improve = Callable[[NDArray[np.uint8], Mask], Mask]
"""Pixels `[h, w, 3]` and mask `[h, w]` of a part of the image to a better mask of that part."""


def refine_outline(rgb: NDArray[np.uint8], path: str, bbox: Box, improve: Improve) -> tuple[str, Box] | None:
    """A path inside `bbox` to a better path and its own box, of an image `[H, W, 3]`.

    `None` if the path covers no pixel or nothing is left of it. Raises `ValueError` if it cannot be drawn.
    """
    height, width = rgb.shape[:2]
    left, top, right, bottom = grown(bbox, width, height)
    if right <= left or bottom <= top:
        return None
    corner = np.array((bbox.x_min * width - left, bbox.y_min * height - top))
    size = np.array(((bbox.x_max - bbox.x_min) * width, (bbox.y_max - bbox.y_min) * height))
    coarse = fill([corner + outline * size for outline in polygons(path)], bottom - top, right - left)
    if not coarse.any():
        return None
    whole = np.zeros((height, width), np.bool_)
    whole[top:bottom, left:right] = improve(rgb[top:bottom, left:right], coarse)
    return trace(clean(whole)) if whole.any() else None


def grown(bbox: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels of a box with its margin, cut off at the image."""
    x, y = MARGIN * (bbox.x_max - bbox.x_min), MARGIN * (bbox.y_max - bbox.y_min)
    left, top = max(0, int((bbox.x_min - x) * width)), max(0, int((bbox.y_min - y) * height))
    right, bottom = min(width, int((bbox.x_max + x) * width)), min(height, int((bbox.y_max + y) * height))
    return left, top, right, bottom
