"""The outline of an object as SVG: a soft fill inside a fine line, the corners of its box, a label chip."""

from __future__ import annotations

from typing import Any

from dreamscope.visualizers import svg
from dreamscope.visualizers.boxes import EDGE, chip, corner_ticks, stroke, tick_length, visible
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.labels import HALO
from dreamscope.visualizers.marks import MaskMark
from dreamscope.visualizers.paths import Pair, Place, written
from dreamscope.visualizers.points import attributes
from dreamscope.visualizers.spreads import draw_spread

OPACITY = 0.35
CORNERS = 1.5
CORNERS_OPACITY = 0.8


def draw_mask(mark: MaskMark, view: View, entering: bool = False, fixed_strokes: bool = True) -> Any:
    """The `<g class="mark mask">` of an outline, whole or as far as it has come.

    `fixed_strokes` as for `draw_box`; a file also carries the opacity of the fill as a number, since not
    every viewer of SVG knows variables.
    """
    area = visible(view.box(mark.box), view)
    outer = svg.group(**attributes(mark, "mark mask", entering))
    body = outer.add(svg.group(class_="mark-body"))
    frame = body.add(svg.group(class_="mask-box", stroke_opacity=CORNERS_OPACITY))
    ticks = corner_ticks(area, tick_length(area, view))
    for colour, more in ((mark.colour.halo, 2 * HALO), (mark.colour.fill, 0.0)):
        frame.add(svg.outline(ticks, **stroke(colour, CORNERS + more, view, fixed_strokes)))
    if mark.outline:
        path = written(mark.outline, placed(mark, view))
        look: dict[str, str | float] = {"fill_opacity": OPACITY}
        if fixed_strokes:
            look = {"style": f"fill-opacity:var(--mask-opacity,{OPACITY})"}
        body.add(svg.outline(path, class_="mask-fill", fill=mark.colour.fill, fill_rule="nonzero", **look))
        halo = stroke(mark.colour.halo, EDGE + 2 * HALO, view, fixed_strokes)
        body.add(svg.outline(path, class_="mask-halo", **halo))
        line = stroke(mark.colour.fill, EDGE, view, fixed_strokes)
        body.add(svg.outline(path, class_="mask-line", **line))
    else:
        body.add(svg.rect(area, class_="fill", fill=mark.colour.fill, fill_opacity=0, pointer_events="all"))
    for spread in draw_spread(mark.spread, mark.colour, view, mark.box, fixed_strokes):
        outer.add(spread)
    outer.add(chip(mark.label, mark.colour, view))
    return outer


def placed(mark: MaskMark, view: View) -> Place:
    """From fractions of the mark's box to view units."""
    area = view.box(mark.box)

    def place(point: Pair) -> Pair:
        return area.x + point[0] * area.width, area.y + point[1] * area.height

    return place
