"""The reasoning on the page, as it arrives: text, and grounded spans that open, get places, and close."""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.visualizers import spans
from dreamscope.visualizers.drawn import Drawn
from dreamscope.visualizers.pieces import Fragment, added
from dreamscope.visualizers.progress import Progress


class Reasons:
    """Turns the events of reasoning into `progress` and fragments; marks go through `drawn`."""

    def __init__(self, progress: Progress, drawn: Drawn, prefix: str = "") -> None:
        self._progress, self._drawn, self._prefix = progress, drawn, prefix

    def feed(self, event: wire.Message) -> list[Fragment]:
        """The changes by one event; of other kinds of message, none."""
        match event:
            case wire.ReasoningDelta():
                return self._delta(event)
            case wire.SpanOpen():
                return self._open()
            case wire.SpanPoint():
                before = [] if self._progress.open_at is not None else self._open()
                return [*before, self._drawn.grounded(event)]
            case wire.SpanClose():
                return self._close(self._progress.closing(event))
            case wire.ReasoningDone():
                closing = self.settle()
                shown = self._drawn.shown()
                self._progress.feed(event)
                return [*closing, *self._drawn.differences(shown)]
            case _:
                return []

    def settle(self) -> list[Fragment]:
        """Close the span that is open, if any, with the places it has."""
        return self._close(list(self._progress.open_points))

    def shown(self) -> list[Fragment]:
        """The whole reasoning slot; an open span is last and stays open."""
        progress = self._progress
        html = spans.render(progress.reasoning, progress.grounds, progress.open_at, self._prefix)
        out = [Fragment("reasoning", "replace", html)]
        if progress.open_at is not None:
            out.append(self._opening())
            out.append(Fragment("reasoning", "append", progress.reasoning.html(progress.open_at)))
        return out

    def _delta(self, event: wire.ReasoningDelta) -> list[Fragment]:
        piece = added(self._progress, self._progress.reasoning, event, "reasoning")
        return self.shown() if piece is None else [piece]

    def _open(self) -> list[Fragment]:
        before = self.settle()
        self._progress.open_span()
        return [*before, self._opening()]

    def _opening(self) -> Fragment:
        return Fragment("reasoning", "open", spans.open_span(len(self._progress.grounds), self._prefix))

    def _close(self, points: list[wire.Point]) -> list[Fragment]:
        progress = self._progress
        index, shown = len(progress.grounds), progress.open_points
        closed = progress.close_span(points)
        if closed is None:
            return []
        start, end = closed
        marks = [] if shown == points else self._drawn.redraw()
        if points:
            html = spans.ground_span(progress.reasoning, start, end, index, len(points), self._prefix)
        elif progress.reasoning.divides(start):
            return [*self.shown(), *marks]
        else:
            html = progress.reasoning.html(start, end)
        return [Fragment("reasoning", "close", html), *marks]
