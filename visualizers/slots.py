"""A result as the page shows it: the HTML or SVG content of each slot.

Streaming ends exactly here, and history and stills begin here, so all show the same.
"""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.visualizers import entries, spans, structured, words
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.draw import draw
from dreamscope.visualizers.escape import escape, inert
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.marks import Mark, Marks, marks_of
from dreamscope.visualizers.prose import Prose


def mark_svg(mark: Mark, view: View, entering: bool = False) -> str:
    """One mark as SVG text."""
    return inert(draw(mark, view, entering).tostring())


def slots_of(
    result: wire.Result, view: View, asked: Asked | None = None, finished: bool = True
) -> dict[str, str]:
    """The slots that show a result, each as HTML; `finished` is false for what a stopped request left."""
    asked = asked or Asked()
    reasoning = ""
    match result:
        case wire.QueryResult() | wire.ChatResult():
            answer = _answer(Prose(result.answer, result.probs), asked.format, finished)
            if result.reasoning is not None:
                known = result.reasoning
                prose = Prose(known.text, known.probs)
                reasoning = spans.render(prose, known.grounding, prefix=asked.prefix)
        case wire.CaptionResult():
            answer = Prose(result.caption, result.probs).html()
        case _:
            answer = _headline(words.found(result, finished))
    marks = marks_of(result, Marks(view, asked))
    return {
        "reasoning": reasoning,
        "answer": answer,
        "marks": "".join(mark_svg(mark, view) for mark in marks),
        "list": entries.render(result, asked),
    }


def _answer(prose: Prose, form: str, finished: bool) -> str:
    """The words of an answer; once complete, in the structure they were asked for."""
    if finished and form in structured.FORMATS:
        return structured.render(prose.text, prose.html(), form)
    return prose.html()


def _headline(found: str) -> str:
    """What was found; what is noted of it after the first sentence is set smaller."""
    head, stop, note = found.partition(". ")
    return f'{escape(head)}.<span class="answer-note"> {escape(note)}</span>' if stop else escape(found)


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
