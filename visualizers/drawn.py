"""The marks and the list of one request on the page, as they arrive."""

from __future__ import annotations

from dataclasses import replace

from dreamscope.engine import wire
from dreamscope.visualizers import entries, words
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.marks import CentreMark, Mark, Marks, MaskMark, marks_of
from dreamscope.visualizers.paths import parse
from dreamscope.visualizers.pieces import Fragment
from dreamscope.visualizers.progress import Progress
from dreamscope.visualizers.slots import mark_svg, slots_of

Placed = (
    wire.PointEvent
    | wire.BoxCenter
    | wire.BoxEvent
    | wire.GazeEvent
    | wire.MaskBox
    | wire.MaskDelta
    | wire.MaskDone
)


class Drawn:
    """Turns events with places into `progress` and fragments. Labels stay where they were placed."""

    def __init__(self, progress: Progress, view: View, asked: Asked) -> None:
        self.view = view
        self._progress, self._asked = progress, asked
        self._marks = Marks(view, asked)
        self._centre: CentreMark | None = None
        self._mask: MaskMark | None = None

    def place(self, event: Placed) -> list[Fragment]:
        """The changes of marks, list and answer by one event."""
        match event:
            case wire.PointEvent():
                return self._point(event)
            case wire.BoxCenter():
                index = len(self._progress.boxes)
                self._centre = self._marks.centre(index, event.x, event.y, event.spread)
                return [self._put(self._centre)]
            case wire.BoxEvent():
                return self._box(event)
            case wire.GazeEvent():
                return self._gaze(event)
            case _:
                return self._outline(event)

    def grounded(self, event: wire.SpanPoint) -> Fragment:
        """One more point of the span that is open."""
        span, nth = len(self._progress.grounds), len(self._progress.open_points)
        self._progress.feed(event)
        return self._put(self._marks.grounded(span, nth, event.x, event.y, event.spread))

    def shown(self) -> dict[str, str]:
        """The slots that show what is complete."""
        return slots_of(self._progress.result, self.view, self._asked, self._progress.finished)

    def differences(self, before: dict[str, str]) -> list[Fragment]:
        """Replacements of the slots that no longer look as `before`."""
        after = self.shown()
        self.place_again()
        return [Fragment(slot, "replace", after[slot]) for slot in after if after[slot] != before[slot]]

    def redraw(self) -> list[Fragment]:
        """All marks anew."""
        self.place_again()
        return [Fragment("marks", "replace", self.shown()["marks"])]

    def half_done(self) -> list[Fragment]:
        """The marks that are no part of a result yet."""
        out = [self._put(mark, entering=False) for mark in self._half_done(self._placed()[0])]
        return [*out, *([self._put(self._centre, entering=False)] if self._centre else [])]

    def settle(self) -> list[Fragment]:
        """Drop a centre without a size."""
        if self._centre is None:
            return []
        self._centre = None
        return self.redraw()

    def place_again(self) -> None:
        """Start from the present result, with what has been decoded of the open span."""
        self._marks, marks = self._placed()
        self._half_done(self._marks)
        self._mask = next((mark for mark in marks if isinstance(mark, MaskMark)), None)

    def forget(self) -> None:
        """Like `place_again`, after a snapshot: nothing is known of a centre."""
        self._centre = None
        self.place_again()

    def _point(self, event: wire.PointEvent) -> list[Fragment]:
        index = len(self._progress.points)
        self._progress.feed(event)
        point = self._progress.points[index]
        entry = entries.point_entry(index, point, self._asked)
        return self._found(self._marks.point(index, point), entry, words.counted(index + 1, "point"))

    def _box(self, event: wire.BoxEvent) -> list[Fragment]:
        index = len(self._progress.boxes)
        self._progress.feed(event)
        box = self._progress.boxes[index]
        self._centre = None
        entry = entries.box_entry(index, box, self._asked)
        return self._found(self._marks.box(index, box), entry, words.counted(index + 1, "box"))

    def _found(self, mark: Mark, entry: str, count: str) -> list[Fragment]:
        listed, answer = Fragment("list", "append", entry), Fragment("answer", "replace", escape(count))
        return [self._put(mark), listed, answer]

    def _gaze(self, event: wire.GazeEvent) -> list[Fragment]:
        self._progress.feed(event)
        target = wire.Point(event.x, event.y, event.spread)
        result = wire.GazeResult(target)
        return [
            self._put(self._marks.gaze(target)),
            Fragment("list", "replace", entries.render(result, self._asked)),
            Fragment("answer", "replace", escape(words.found(result, finished=False))),
        ]

    def _outline(self, event: wire.MaskBox | wire.MaskDelta | wire.MaskDone) -> list[Fragment]:
        if isinstance(event, wire.MaskDone):
            before = self.shown()
            self._progress.feed(event)
            return self.differences(before)
        self._progress.feed(event)
        outline = self._progress.outline
        if isinstance(event, wire.MaskBox):
            self.place_again()
            listed = entries.render(outline, self._asked)
            return [*([self._put(self._mask)] if self._mask else []), Fragment("list", "replace", listed)]
        if self._mask is None:
            return []
        self._mask = replace(self._mask, outline=parse(outline.path))
        return [self._put(self._mask, entering=False)]

    def _put(self, mark: Mark, entering: bool = True) -> Fragment:
        return Fragment("marks", "put", mark_svg(mark, self.view, entering), mark.key)

    def _placed(self) -> tuple[Marks, list[Mark]]:
        """The marks of the present result, and the maker that has placed them, ready for the next."""
        marks = Marks(self.view, self._asked)
        return marks, marks_of(self._progress.result, marks)

    def _half_done(self, marks: Marks) -> list[Mark]:
        """The points of the open span."""
        if self._progress.open_at is None:
            return []
        span = len(self._progress.grounds)
        points = enumerate(self._progress.open_points)
        return [marks.grounded(span, nth, point.x, point.y, point.spread) for nth, point in points]
