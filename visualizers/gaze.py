"""A gaze as SVG: a ring around the eye or a frame around the face, a line, and a target where it ends."""

from __future__ import annotations

from typing import Any

from dreamscope.engine.wire import Box
from dreamscope.visualizers import svg
from dreamscope.visualizers.boxes import EDGE, stroke
from dreamscope.visualizers.geometry import View, number
from dreamscope.visualizers.labels import DOT_RADIUS, HALO, TAG_TEXT
from dreamscope.visualizers.marks import GazeMark
from dreamscope.visualizers.points import SHADE, TARGET_RADIUS, attributes, leader, shade, tag
from dreamscope.visualizers.spreads import draw_spread

EYE_RADIUS = 6.0
RING_RADIUS = 9.0


def draw_gaze(mark: GazeMark, view: View, entering: bool = False, fixed_strokes: bool = True) -> Any:
    """The `<g class="mark gaze">`; without an eye or a face only the target. `fixed_strokes` as for a box."""
    outer = svg.group(**attributes(mark, "mark gaze", entering))
    for spread in draw_spread(mark.spread, mark.colour, view, fixed_strokes=fixed_strokes):
        outer.add(spread)
    if mark.start is not None:
        ends = [f"{number(x)} {number(y)}" for x, y in (view.point(*mark.start), view.point(mark.x, mark.y))]
        line = f"M{ends[0]}L{ends[1]}"
        halo = stroke(mark.colour.halo, EDGE + 2 * HALO, view, fixed_strokes)
        outer.add(svg.outline(line, class_="gaze-halo", **halo))
        thin = stroke(mark.colour.fill, EDGE, view, fixed_strokes)
        outer.add(svg.outline(line, class_="gaze-line", **thin))
        outer.add(_source(mark, view, fixed_strokes))
    outer.add(_target(mark, view))
    return outer


def _source(mark: GazeMark, view: View, fixed_strokes: bool) -> Any:
    if isinstance(mark.source, Box):
        source = svg.group(class_="gaze-source face")
        for colour, more in ((mark.colour.halo, 2 * HALO), (mark.colour.fill, 0.0)):
            look = stroke(colour, EDGE + more, view, fixed_strokes)
            source.add(svg.rect(view.box(mark.source), **look))
        return source
    assert mark.source is not None
    source, shape = _at(*mark.source, "gaze-source eye", view)
    shape.add(svg.circle(EYE_RADIUS + HALO, fill=mark.colour.halo))
    shape.add(svg.circle(EYE_RADIUS - 1, fill=mark.colour.halo, stroke=mark.colour.fill, stroke_width=2))
    return source


def _target(mark: GazeMark, view: View) -> Any:
    outer, shape = _at(mark.x, mark.y, "gaze-target", view)
    if mark.label.leader:
        shape.add(leader(mark.label, mark.colour))
    shape.add(svg.circle(TARGET_RADIUS, class_="target", fill="none", pointer_events="all"))
    body = shape.add(svg.group(class_="mark-body"))
    body.add(svg.circle(RING_RADIUS, fill="none", stroke=mark.colour.halo, stroke_width=2 + 2 * HALO))
    body.add(svg.circle(RING_RADIUS, fill="none", stroke=mark.colour.fill, stroke_width=2))
    body.add(svg.circle(DOT_RADIUS + HALO + SHADE, **shade()))
    body.add(svg.circle(DOT_RADIUS + HALO, class_="halo", fill=mark.colour.halo))
    body.add(svg.circle(DOT_RADIUS, class_="dot", fill=mark.colour.fill))
    shape.add(tag(mark.label, mark.colour, TAG_TEXT))
    return outer


def _at(x: float, y: float, name: str, view: View) -> tuple[Any, Any]:
    """A group at a place of the image, and in it one that keeps its size on screen."""
    left, top = view.point(x, y)
    outer = svg.group(class_=name, transform=f"translate({number(left)} {number(top)})")
    return outer, outer.add(svg.group(class_="mark-shape", transform=f"scale({number(view.unit)})"))
