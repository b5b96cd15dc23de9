"""Boxes without an area, against the size of a pixel."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check

ID = "flat-box"


def check(case: Case) -> Iterator[Check]:
    """One check, if detect found boxes."""
    if not isinstance(case.result, wire.DetectResult) or not case.result.objects:
        return
    width, height = case.picture.size if case.picture else (1024, 1024)
    flat = [
        case.box(nth, box)
        for nth, box in enumerate(case.result.objects)
        if (box.x_max - box.x_min) * width < 1 or (box.y_max - box.y_min) * height < 1
    ]
    if flat:
        text = f"{len(flat)} of {len(case.result.objects)} boxes are less than one pixel wide or high."
        yield Check(ID, "look", text, tuple(flat))
    else:
        yield Check(ID, "fine", "Every box is at least one pixel wide and high.")
