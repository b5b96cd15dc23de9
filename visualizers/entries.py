"""The list beside the image: one button per place or outline, sharing `data-ground` with its mark."""

from __future__ import annotations

from dreamscope.engine.wire import (
    Box,
    BoxSpread,
    DetectResult,
    GazeResult,
    PlaceSpread,
    Point,
    PointResult,
    Result,
    SegmentResult,
)
from dreamscope.visualizers import words
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.marks import GAZE, MASK
from dreamscope.visualizers.palette import colour


def render(result: Result, asked: Asked) -> str:
    """All `<li>` of a result with places; other results have no list."""
    match result:
        case PointResult(points=points):
            return "".join(point_entry(index, point, asked) for index, point in enumerate(points))
        case DetectResult(objects=boxes):
            return "".join(box_entry(index, box, asked) for index, box in enumerate(boxes))
        case SegmentResult(bbox=Box() as box):
            return _entry(MASK, 1, "Outline", words.box_place(box), asked, box.spread)
        case GazeResult(gaze=Point() as target):
            return _entry(GAZE, 1, "Target", words.point_place(target.x, target.y), asked, target.spread)
        case _:
            return ""


def point_entry(index: int, point: Point, asked: Asked) -> str:
    """One point, counted from 0."""
    return _entry(f"p{index}", index + 1, "Point", words.point_place(point.x, point.y), asked, point.spread)


def box_entry(index: int, box: Box, asked: Asked) -> str:
    """One box, counted from 0."""
    return _entry(f"b{index}", index + 1, "Box", words.box_place(box), asked, box.spread)


def _entry(
    ground: str, number: int, kind: str, place: str, asked: Asked, spread: PlaceSpread | BoxSpread | None
) -> str:
    tint = colour(asked.family)
    title = "" if spread is None else f' title="{escape(words.spread_of(spread))}"'
    return (
        f'<li><button type="button" class="entry" data-ground="{asked.prefix}{ground}"'
        f' data-label="{escape(asked.name)}"{title}'
        f' aria-label="{escape(f"{kind} {number}, {place}")}" style="--c:{tint.fill};--halo:{tint.halo}">'
        f'<span class="entry-number">{number}</span>'
        f'<span class="entry-place">{escape(place)}</span></button></li>'
    )
