"""The boxes that detect found for an audit, to be laid over the image of the run, and their legend.

g.detected[data-noun]                        children of an svg with the view box of the marks
    rect.detected-halo, rect.detected-line   thin and dashed, in the colour that detect gives the noun
li.label-chip > button.label-toggle[data-noun][aria-pressed]      shows or hides the boxes of a noun
    i.detected-swatch, span.label-name, span.label-count
"""

from __future__ import annotations

from collections.abc import Mapping

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Found
from dreamscope.visualizers.audit.nouns import plural
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.geometry import View, number
from dreamscope.visualizers.palette import Colour, colour, families_of
from dreamscope.visualizers.record import Record


def layer(record: Record, found: Mapping[str, Found]) -> str:
    """The groups of boxes, one for each noun that has any."""
    if record.picture is None:
        return ""
    view = View.shown(record.picture.size, record.picture.width)
    return "".join(
        f'<g class="detected" data-noun="{escape(noun)}">'
        + "".join(_frame(box, f"Detected {noun} {nth + 1}", tint, view) for nth, box in enumerate(boxes))
        + "</g>"
        for noun, boxes, tint in _shown(found)
    )


def legend(found: Mapping[str, Found]) -> str:
    """The chips that go with the groups."""
    return "".join(_chip(noun, len(boxes), tint) for noun, boxes, tint in _shown(found))


def _chip(noun: str, count: int, tint: Colour) -> str:
    return (
        f'<li class="label-chip detected-chip" style="--c:{tint.fill}">'
        f'<button type="button" class="label-toggle" data-noun="{escape(noun)}" aria-pressed="true"'
        ' title="What detect finds, for comparison: show or hide">'
        '<i class="detected-swatch" aria-hidden="true"></i>'
        f'<span class="label-name">detected {escape(noun if count == 1 else plural(noun))}</span>'
        f'<span class="label-count">{count}</span></button></li>'
    )


def _shown(found: Mapping[str, Found]) -> list[tuple[str, tuple[wire.Box, ...], Colour]]:
    tints = map(colour, families_of(found))
    return [
        (noun, known.boxes, tint)
        for (noun, known), tint in zip(found.items(), tints, strict=True)
        if known.boxes
    ]


def _frame(box: wire.Box, name: str, tint: Colour, view: View) -> str:
    area = view.box(box)
    sides = {"x": area.x, "y": area.y, "width": area.width, "height": area.height}
    size = " ".join(f'{side}="{number(value)}"' for side, value in sides.items())
    return (
        f'<g><title>{escape(name)}</title><rect class="detected-halo" {size} stroke="{tint.halo}"/>'
        f'<rect class="detected-line" {size} stroke="{tint.fill}"/></g>'
    )
