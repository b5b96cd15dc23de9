"""The list beside the image: one button per point or box, sharing `data-ground` with its mark."""

from __future__ import annotations

from dreamscope.engine.wire import Box, DetectResult, Point, PointResult, Result
from dreamscope.visualizers import words
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.palette import Colour


def render(result: Result, tint: Colour) -> str:
    """All `<li>` of a point or detect result; other results have no list."""
    if isinstance(result, PointResult):
        return "".join(point_entry(index, point, tint) for index, point in enumerate(result.points))
    if isinstance(result, DetectResult):
        return "".join(box_entry(index, box, tint) for index, box in enumerate(result.objects))
    return ""


def point_entry(index: int, point: Point, tint: Colour) -> str:
    """One point, counted from 0."""
    return _entry(f"p{index}", index + 1, "Point", words.point_place(point.x, point.y), tint)


def box_entry(index: int, box: Box, tint: Colour) -> str:
    """One box, counted from 0."""
    return _entry(f"b{index}", index + 1, "Box", words.box_place(box), tint)


def _entry(ground: str, number: int, kind: str, place: str, tint: Colour) -> str:
    return (
        f'<li><button type="button" class="entry" data-ground="{ground}"'
        f' aria-label="{escape(f"{kind} {number}, {place}")}" style="--c:{tint.fill};--halo:{tint.halo}">'
        f'<span class="entry-number">{number}</span>'
        f'<span class="entry-place">{escape(place)}</span></button></li>'
    )
