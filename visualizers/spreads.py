"""How sure a place or a box is, as the decoder's own distribution has it: a soft ellipse, bars over edges.

The decoder gives one distribution per number. Of a place, x and y are drawn as an ellipse whose width and
height are the two intervals; it is no region that holds 68 % of both together. The size of a box is decoded
after its centre, so its distribution is one for that centre: the bars show where an edge lies over the
interval of the width or height while the centre stays. How sure the centre is, its ellipse says. Where the
image cuts a box off, the size that was decoded is not known any more, and that direction has no bars.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from dreamscope.engine.wire import Box, BoxSpread, PlaceSpread, Spread
from dreamscope.visualizers import svg, words
from dreamscope.visualizers.geometry import Rect, View, clamp, number
from dreamscope.visualizers.palette import Colour

LEVELS = ("95", "68")
"""Drawn in this order, the wide interval below."""
FILL = {"95": 0.16, "68": 0.3}
RIM = {"95": 0.55, "68": 0.9}
BAR = {"95": 2.0, "68": 5.0}
BAR_HALO = 1.0
CAP = 4.0
LEAST = 1.0
"""Smallest extent of an ellipse in view units, about one of the decoder's bins."""
_SPREADS = frozenset(("spread", "spreads"))


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from one point to another across an edge, in view units; level 95 has caps."""

    level: str
    x0: float
    y0: float
    x1: float
    y1: float

    def strokes(self, view: View) -> tuple[tuple[float, float, float, float], ...]:
        """The lines it is made of."""
        line = (self.x0, self.y0, self.x1, self.y1)
        if self.level != "95":
            return (line,)
        cap = CAP * view.unit
        along, across = (0.0, cap) if self.y0 == self.y1 else (cap, 0.0)
        ends = ((self.x0, self.y0), (self.x1, self.y1))
        return (line, *((x - along, y - across, x + along, y + across) for x, y in ends))


def without_spreads(value: Any) -> Any:
    """A result, or a part of one, without how sure its places are."""
    if isinstance(value, tuple):
        return tuple(map(without_spreads, value))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    names = [field.name for field in fields(value)]
    kept = {name: without_spreads(getattr(value, name)) for name in names if name not in _SPREADS}
    return replace(value, **kept, **dict.fromkeys(_SPREADS.intersection(names)))


def draw_spread(
    spread: PlaceSpread | BoxSpread | None,
    colour: Colour,
    view: View,
    box: Box | None = None,
    fixed_strokes: bool = True,
) -> list[Any]:
    """The `<g class="spread">` of a place, or of `box`; nothing if no spread is known."""
    if spread is None:
        return []
    group = svg.group(class_="spread", aria_hidden="true")
    group.set_desc(title=words.spread_of(spread))
    rim = _stroke(1.0, view, fixed_strokes)
    for level, area in ellipses(spread, view):
        look = {"fill": colour.fill, "fill_opacity": FILL[level], "stroke": colour.fill, **rim}
        group.add(svg.ellipse(area, class_=f"spread-{level}", stroke_opacity=RIM[level], **look))
    if isinstance(spread, BoxSpread) and box is not None:
        for bar in bars(spread, box, view):
            group.add(_bar(bar, colour, view, fixed_strokes))
    return [group]


def ellipses(spread: PlaceSpread | BoxSpread, view: View) -> list[tuple[str, Rect]]:
    """Level and surrounding rectangle of each ellipse, in view units."""
    out = []
    for level in LEVELS:
        (left, right), (top, bottom) = _interval(spread.x, level), _interval(spread.y, level)
        area = view.box(Box(left, top, right, bottom))
        more = max(LEAST - area.width, 0.0), max(LEAST - area.height, 0.0)
        area = Rect(area.x - more[0] / 2, area.y - more[1] / 2, area.width + more[0], area.height + more[1])
        out.append((level, area))
    return out


def bars(spread: BoxSpread, box: Box, view: View) -> list[Bar]:
    """Two bars over each edge of `box`, in the middle of it; none across a direction that is cut off."""
    area = view.box(box)
    middle_x, middle_y = area.x + area.width / 2, area.y + area.height / 2
    width, height = view.bounds.width, view.bounds.height
    out = []
    for level in LEVELS:
        if box.x_min > 0 and box.x_max < 1:
            low, high = (value * width / 2 for value in _interval(spread.w, level))
            out += [
                Bar(level, middle_x + side * low, middle_y, middle_x + side * high, middle_y)
                for side in (-1, 1)
            ]
        if box.y_min > 0 and box.y_max < 1:
            low, high = (value * height / 2 for value in _interval(spread.h, level))
            out += [
                Bar(level, middle_x, middle_y + side * low, middle_x, middle_y + side * high)
                for side in (-1, 1)
            ]
    return out


def _bar(bar: Bar, colour: Colour, view: View, fixed: bool) -> Any:
    group = svg.group(class_=f"spread-{bar.level}", stroke_linecap="round", pointer_events="none")
    lines = bar.strokes(view)
    data = "".join(f"M{number(a)} {number(b)}L{number(c)} {number(d)}" for a, b, c, d in lines)
    for stroke, more in ((colour.halo, 2 * BAR_HALO), (colour.fill, 0.0)):
        group.add(svg.outline(data, stroke=stroke, **_stroke(BAR[bar.level] + more, view, fixed)))
    return group


def _interval(spread: Spread, level: str) -> tuple[float, float]:
    low, high = spread.i68 if level == "68" else spread.i95
    return clamp(min(low, high)), clamp(max(low, high))


def _stroke(width: float, view: View, fixed: bool) -> dict[str, str | float]:
    if fixed:
        return {"stroke_width": width, "vector_effect": "non-scaling-stroke"}
    return {"stroke_width": width * view.unit}
