"""Any mark as an SVG element."""

from __future__ import annotations

from typing import Any

from dreamscope.visualizers.boxes import draw_box
from dreamscope.visualizers.gaze import draw_gaze
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.marks import BoxMark, CentreMark, GazeMark, Mark, MaskMark
from dreamscope.visualizers.masks import draw_mask
from dreamscope.visualizers.points import draw_centre, draw_point


def draw(mark: Mark, view: View, entering: bool = False, fixed_strokes: bool = True) -> Any:
    """The `<g class="mark ...">` of `mark`; `entering` if it has just arrived, `fixed_strokes` keeps lines as
    wide on screen at any zoom.
    """
    match mark:
        case BoxMark():
            return draw_box(mark, view, entering, fixed_strokes)
        case CentreMark():
            return draw_centre(mark, view, entering, fixed_strokes)
        case MaskMark():
            return draw_mask(mark, view, entering, fixed_strokes)
        case GazeMark():
            return draw_gaze(mark, view, entering, fixed_strokes)
        case _:
            return draw_point(mark, view, entering, fixed_strokes)
