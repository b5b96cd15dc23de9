"""A result as the page shows it: the HTML or SVG content of each slot.

Streaming ends exactly here, and history and stills begin here, so all show the same.
"""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.visualizers import entries, spans, words
from dreamscope.visualizers.boxes import draw_box
from dreamscope.visualizers.escape import escape, inert
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.marks import BoxMark, CentreMark, Mark, Marks, marks_of
from dreamscope.visualizers.palette import colour
from dreamscope.visualizers.points import draw_centre, draw_point


def mark_svg(mark: Mark, view: View, entering: bool = False) -> str:
    """One mark as SVG text."""
    if isinstance(mark, BoxMark):
        element = draw_box(mark, view, entering)
    elif isinstance(mark, CentreMark):
        element = draw_centre(mark, view, entering)
    else:
        element = draw_point(mark, view, entering)
    return inert(element.tostring())


def slots_of(
    result: wire.Result, view: View, name: str = "", family: int = 0, finished: bool = True
) -> dict[str, str]:
    """The slots that show a result, each as HTML; `finished` is false for what a stopped request left."""
    reasoning, answer = "", ""
    if isinstance(result, wire.QueryResult):
        answer = escape(result.answer)
        if result.reasoning is not None:
            reasoning = spans.render(result.reasoning.text, result.reasoning.grounding)
    elif isinstance(result, wire.CaptionResult):
        answer = escape(result.caption)
    elif isinstance(result, (wire.PointResult, wire.DetectResult)):
        answer = escape(words.found(result, finished))
    marks = marks_of(result, Marks(view, name, family))
    return {
        "reasoning": reasoning,
        "answer": answer,
        "marks": "".join(mark_svg(mark, view) for mark in marks),
        "list": entries.render(result, colour(family)),
    }


def metrics_html(metrics: wire.Metrics) -> str:
    """The metrics line, each part with a title that says what was measured."""
    parts = (
        f'<span class="metric" title="{escape(title)}">{escape(text)}</span>'
        for text, title in words.measured(metrics)
    )
    return " · ".join(parts)


def status_html(state: str, text: str) -> str:
    """The status line; `state` is for the look, `text` for the reader."""
    return f'<span class="status" data-state="{escape(state)}">{escape(text)}</span>'
