"""When an answer and an object of the scene are the same place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from dreamscope.engine import wire
from dreamscope.engine.sprite.scenes import SceneObject

T = TypeVar("T")


def match(made: Sequence[T], wanted: Sequence[SceneObject], fits: Callable[[T, SceneObject], bool]) -> int:
    """Number of one-to-one hits, first come first served."""
    free = list(wanted)
    for mark in made:
        hit = next((item for item in free if fits(mark, item)), None)
        if hit is not None:
            free.remove(hit)
    return len(wanted) - len(free)


def point_inside(point: wire.Point, item: SceneObject) -> bool:
    """Whether the point lies in the box of the object."""
    x0, y0, x1, y1 = item.box
    return x0 <= point.x <= x1 and y0 <= point.y <= y1


def box_matches(box: wire.Box, item: SceneObject) -> bool:
    """Whether the boxes overlap with an intersection over union of 0.5 and more."""
    x0, y0, x1, y1 = item.box
    width = min(x1, box.x_max) - max(x0, box.x_min)
    height = min(y1, box.y_max) - max(y0, box.y_min)
    common = max(0.0, width) * max(0.0, height)
    total = (x1 - x0) * (y1 - y0) + (box.x_max - box.x_min) * (box.y_max - box.y_min) - common
    return common / total >= 0.5
