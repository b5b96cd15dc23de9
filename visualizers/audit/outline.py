"""An outline against the box it was drawn in."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Case, corners
from dreamscope.visualizers.audit.check import Check, Evidence
from dreamscope.visualizers.paths import flattened, parse

ID = "outline-box"
SLACK = 0.05
"""How far a curve may swing out, as a share of the box."""
FILLED = 0.5
"""An outline that spans less of the width or height of its box leaves the box unexplained."""


def check(case: Case) -> Iterator[Check]:
    """One check, for segment."""
    result = case.result
    if not isinstance(result, wire.SegmentResult) or case.part.state != "done":
        return
    if result.bbox is None:
        yield Check(ID, "unknown", "The model gave no box, so there is nothing to compare an outline with.")
        return
    seen = (Evidence("outline", case.ground("m0"), box=corners(result.bbox)),)
    xs, ys = _extent(result.path)
    if result.parse_error is not None or len(xs) < 3:
        yield Check(ID, "look", "There is a box but no outline that can be drawn in it.", seen)
    elif min(*xs, *ys) < -SLACK or max(*xs, *ys) > 1 + SLACK:
        text = f"The outline leaves its box by more than {SLACK * 100:.0f} % of the box's width or height."
        yield Check(ID, "look", text, seen)
    elif min(max(xs) - min(xs), max(ys) - min(ys)) < FILLED:
        text = f"The outline spans less than {FILLED * 100:.0f} % of the width or height of its box."
        yield Check(ID, "look", text, seen)
    else:
        yield Check(ID, "fine", "The outline stays in its box and spans it.", seen)


def _extent(path: str) -> tuple[list[float], list[float]]:
    """Every x and every y of the outline, in fractions of its box."""
    points = [point for polygon in flattened(parse(path), lambda point: point) for point in polygon]
    return [x for x, _ in points], [y for _, y in points]
