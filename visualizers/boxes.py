"""Boxes as SVG: a fine outline, corner ticks, and a label chip that hangs on one corner."""

from __future__ import annotations

from typing import Any

from dreamscope.visualizers import svg
from dreamscope.visualizers.geometry import Rect, View, number
from dreamscope.visualizers.labels import CHIP_TEXT, HALO, Label
from dreamscope.visualizers.marks import BoxMark
from dreamscope.visualizers.palette import Colour
from dreamscope.visualizers.points import attributes, tag
from dreamscope.visualizers.spreads import draw_spread

EDGE = 2.0
TICK = 4.0
TICK_LENGTH = 14.0
SMALLEST = 4.0
# The halo of the long edges steps back behind their colour; the ticks carry the contrast.
EDGE_HALO_OPACITY = 0.6


def draw_box(mark: BoxMark, view: View, entering: bool = False, fixed_strokes: bool = True) -> Any:
    """The `<g class="mark box">` of one box.

    `fixed_strokes` keeps stroke widths in screen pixels at any zoom; a file that may be scaled as a whole
    wants them in view units instead.
    """
    area = visible(view.box(mark.box), view)
    ticks = corner_ticks(area, tick_length(area, view))
    outer = svg.group(**attributes(mark, "mark box", entering))
    body = outer.add(svg.group(class_="mark-body"))
    body.add(svg.rect(area, class_="fill", fill=mark.colour.fill, fill_opacity=0, pointer_events="all"))
    halo = stroke(mark.colour.halo, EDGE + 2 * HALO, view, fixed_strokes)
    body.add(svg.rect(area, stroke_opacity=EDGE_HALO_OPACITY, **halo))
    body.add(svg.outline(ticks, **stroke(mark.colour.halo, TICK + 2 * HALO, view, fixed_strokes)))
    body.add(svg.rect(area, **stroke(mark.colour.fill, EDGE, view, fixed_strokes)))
    body.add(svg.outline(ticks, **stroke(mark.colour.fill, TICK, view, fixed_strokes)))
    for spread in draw_spread(mark.spread, mark.colour, view, mark.box, fixed_strokes):
        outer.add(spread)
    outer.add(chip(mark.label, mark.colour, view))
    return outer


def chip(label: Label, colour: Colour, view: View) -> Any:
    """The `<g class="mark-chip">` of a label that hangs on a box."""
    place = f"translate({number(label.x * view.unit)} {number(label.y * view.unit)})"
    outer = svg.group(class_="mark-chip", transform=place)
    shape = outer.add(svg.group(class_="mark-shape", transform=f"scale({number(view.unit)})"))
    shape.add(tag(label, colour, CHIP_TEXT))
    return outer


def visible(area: Rect, view: View) -> Rect:
    """`area` grown about its centre to the smallest box that can be seen, view units."""
    least = SMALLEST * view.unit
    width, height = max(area.width, least), max(area.height, least)
    return Rect(area.x - (width - area.width) / 2, area.y - (height - area.height) / 2, width, height)


def tick_length(area: Rect, view: View) -> float:
    """Length of the corner ticks in view units: shorter on small boxes."""
    return min(TICK_LENGTH * view.unit, area.width / 4, area.height / 4)


def corner_ticks(area: Rect, length: float) -> str:
    """Path data of four right angles over the corners."""
    left, top, right, bottom = area.x, area.y, area.right, area.bottom
    corners = ((left, top, 1, 1), (right, top, -1, 1), (right, bottom, -1, -1), (left, bottom, 1, -1))
    return "".join(
        f"M{number(x)} {number(y + down * length)}V{number(y)}H{number(x + along * length)}"
        for x, y, along, down in corners
    )


def stroke(colour: str, width: float, view: View, fixed: bool) -> dict[str, str | float]:
    """The look of a line `width` CSS pixels wide; `fixed` keeps that width at any zoom."""
    look: dict[str, str | float] = {
        "fill": "none",
        "stroke": colour,
        "stroke_linejoin": "round",
        "stroke_linecap": "round",
        "pointer_events": "none",
    }
    if fixed:
        return {**look, "stroke_width": width, "vector_effect": "non-scaling-stroke"}
    return {**look, "stroke_width": width * view.unit}
