"""Points as SVG: a 10 px disc exactly on the place, its number on a tag beside it."""

from __future__ import annotations

from typing import Any

from dreamscope.visualizers import svg
from dreamscope.visualizers.geometry import View, number
from dreamscope.visualizers.labels import DOT_RADIUS, HALO, TAG_TEXT, Label
from dreamscope.visualizers.marks import CentreMark, Mark, PointMark
from dreamscope.visualizers.palette import DARK, Colour
from dreamscope.visualizers.spreads import draw_spread

TARGET_RADIUS = 12.0
CORNER = 5.0
SHADE = 1.0
SHADE_OPACITY = 0.28


def draw_point(mark: PointMark, view: View, entering: bool = False, fixed_strokes: bool = True) -> Any:
    """The `<g class="mark point">` of one point; `fixed_strokes` as for a box, for its spread."""
    outer, shape, body = frame(mark, "mark point", view, entering, fixed_strokes)
    if mark.label.leader:
        shape.elements.insert(1, leader(mark.label, mark.colour))
    body.add(svg.circle(DOT_RADIUS + HALO + SHADE, **shade()))
    body.add(svg.circle(DOT_RADIUS + HALO, class_="halo", fill=mark.colour.halo))
    body.add(svg.circle(DOT_RADIUS, class_="dot", fill=mark.colour.fill))
    shape.add(tag(mark.label, mark.colour, TAG_TEXT))
    return outer


def draw_centre(mark: CentreMark, view: View, entering: bool = False, fixed_strokes: bool = True) -> Any:
    """The `<g class="mark centre">` of a box that is still being decoded."""
    outer, _, body = frame(mark, "mark centre", view, entering, fixed_strokes)
    body.add(svg.circle(DOT_RADIUS, fill="none", stroke=mark.colour.halo, stroke_width=4))
    body.add(svg.circle(DOT_RADIUS, fill="none", stroke=mark.colour.fill, stroke_width=2))
    return outer


def frame(
    mark: PointMark | CentreMark, name: str, view: View, entering: bool, fixed_strokes: bool = True
) -> tuple[Any, Any, Any]:
    """The nested groups of a mark at a place: position, size on screen (`--k`), animated body."""
    x, y = view.point(mark.x, mark.y)
    outer = svg.group(
        transform=f"translate({number(x)} {number(y)})",
        **attributes(mark, name, entering),
    )
    for spread in draw_spread(mark.spread, mark.colour, view, fixed_strokes=fixed_strokes):
        spread.translate(number(-x), number(-y))
        outer.add(spread)
    shape = outer.add(svg.group(class_="mark-shape", transform=f"scale({number(view.unit)})"))
    shape.add(svg.circle(TARGET_RADIUS, class_="target", fill="none", pointer_events="all"))
    return outer, shape, shape.add(svg.group(class_="mark-body"))


def attributes(mark: Mark, name: str, entering: bool) -> dict[str, str]:
    """The attributes that every mark's outer group carries."""
    return {
        "class_": f"{name} enter" if entering else name,
        "data_ground": mark.ground,
        "data_key": mark.key,
        "data_label": mark.name,
        "style": f"--c:{mark.colour.fill};--halo:{mark.colour.halo}",
    }


def tag(label: Label, colour: Colour, size: float) -> Any:
    """The coloured plate with the number or name, relative to the label's anchor."""
    area = label.rect
    plate = svg.group(class_="tag", pointer_events="all")
    plate.add(svg.rect(area.grown(HALO + SHADE), rx=CORNER + HALO + SHADE, **shade()))
    plate.add(svg.rect(area.grown(HALO), rx=CORNER + HALO, fill=colour.halo))
    plate.add(svg.rect(area, rx=CORNER, fill=colour.fill))
    x, y = area.x + area.width / 2, area.y + area.height / 2
    plate.add(svg.words(label.text, x, y, size, fill=colour.ink))
    return plate


def shade() -> dict[str, str | float]:
    """The look of the faint rim outside the halo that lifts a mark off an image as light as the halo."""
    return {"class_": "shade", "fill": DARK, "fill_opacity": SHADE_OPACITY}


def leader(label: Label, colour: Colour) -> Any:
    """The line from a place to a label that had to move away."""
    area = label.rect
    end = f"{number(area.x + area.width / 2)} {number(area.y + area.height / 2)}"
    line = svg.group(class_="leader", pointer_events="none")
    line.add(svg.outline(f"M0 0L{end}", stroke=colour.halo, stroke_width=3))
    line.add(svg.outline(f"M0 0L{end}", stroke=colour.fill, stroke_width=1.5))
    return line
