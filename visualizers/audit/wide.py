"""Coordinates over which the model's own distribution is wide: it wavered between places."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check, Evidence, plural

ID = "wide"
WIDE = 0.1
"""Share of the image's width or height. Sure coordinates are spread over a fifth of that."""
WIDE_SIZE = 0.2
"""The same for the width and height of a box, which the model writes in steps that grow with the size."""


def check(case: Case) -> Iterator[Check]:
    """One check, if there are places."""
    known = list(_widths(case))
    if not known:
        return
    measured = [(seen, width) for seen, width in known if width is not None]
    wide = [seen for seen, width in measured if width > 1]
    things = "box" if isinstance(case.result, wire.DetectResult | wire.SegmentResult) else "point"
    limit = f"more than {WIDE * 100:.0f} % of the image" + (
        f" (of sizes {WIDE_SIZE * 100:.0f} %)" if things == "box" else ""
    )
    count = plural(len(known), things, "boxes" if things == "box" else None)
    if not measured:
        text = "How far the coordinates spread is not known: this run was not asked for its uncertainty."
        yield Check(ID, "unknown", text)
    elif wide:
        text = f"For {len(wide)} of {count}, 95 % of the model's probability for a coordinate covers {limit}."
        yield Check(ID, "look", text, tuple(wide))
    else:
        text = f"For {count}, 95 % of the model's probability for a coordinate covers no {limit}."
        yield Check(ID, "fine", text)


def _widths(case: Case) -> Iterator[tuple[Evidence, float | None]]:
    """Each place with its widest interval in units of what counts as wide; `None` if it is not known."""
    match case.result:
        case wire.DetectResult(objects=boxes):
            yield from ((case.box(nth, box), _box(box.spread)) for nth, box in enumerate(boxes))
        case wire.SegmentResult(bbox=wire.Box() as box):
            corners = (box.x_min, box.y_min, box.x_max, box.y_max)
            yield Evidence("box of the outline", case.ground("m0"), box=corners), _box(box.spread)
        case _:
            for dot in case.dots:
                known = dot.spread
                yield dot.seen(), None if known is None else max(_width(known.x), _width(known.y)) / WIDE


def _box(spread: wire.BoxSpread | None) -> float | None:
    if spread is None:
        return None
    place = max(_width(spread.x), _width(spread.y)) / WIDE
    return max(place, max(_width(spread.w), _width(spread.h)) / WIDE_SIZE)


def _width(spread: wire.Spread) -> float:
    return spread.i95[1] - spread.i95[0]
