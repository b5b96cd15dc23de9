"""Events of one request in, pieces of the page out.

    stream = Fragments(image_size=(640, 480), skill="detect", name="dog", display_width=720)
    for event in events:                       # wire messages of one request, in order
        for fragment in stream.feed(event):
            send(fragment.to_json())

A fragment is `{"slot", "op", "html", "key"}`. The page keeps one element per slot and, per slot, an
insertion point: the slot itself, or the element last opened in it.

    op        what the page does
    append    parse `html`, append its nodes at the insertion point
    open      append the one element in `html` at the insertion point; it becomes the insertion point
    close     replace the open element by the nodes of `html` (maybe none); the slot is the insertion point
    put       replace the child of the slot whose `data-key` is `key` by `html`; append if there is none
    replace   replace all children of the slot by `html`; the slot is the insertion point

    slot        content                                                               ops
    reasoning   escaped text, `span.ground[data-ground=g0]` with its number  append open close replace
    answer      escaped text (query, caption); how many were found (point, detect)    append replace
    marks       children of `<svg viewBox=stream.view_box>`: `g.mark[data-ground]`     put replace
    list        children of `<ul>`: `li > button.entry[data-ground]` (point, detect)  append replace
    status      `span.status[data-state=queued|running|done|stopped|failed]`          replace
    metrics     `span.metric` separated by " · "                                      replace

Marks and the words or list entries that speak of them share `data-ground`: `g0` a grounded span, `p0` a
point, `b0` a box. Every one carries `style="--c:COLOUR;--halo:STROKE"`. Inside a mark, `.mark-shape` holds
what keeps its size on screen; the page sets `--k` (view units per CSS pixel) on the svg and has
`.mark-shape { transform: scale(var(--k)) }`. Without it the marks fit `display_width`. A mark that has just
arrived has the class `enter`; `.mark-body` is what may be animated, a rect `.fill` is the inside of a box.

The terminal event carries the whole result. Slots that already show it are left alone, so that selection,
focus and running animations survive; any other is replaced. `everything()` gives the same page from
nothing, for a browser that (re)connects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from dreamscope.engine import wire
from dreamscope.visualizers import entries, spans, words
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.marks import CentreMark, Mark, Marks, marks_of
from dreamscope.visualizers.palette import colour
from dreamscope.visualizers.progress import Progress
from dreamscope.visualizers.slots import mark_svg, metrics_html, slots_of, status_html

SLOTS = ("reasoning", "answer", "marks", "list", "status", "metrics")
DISPLAY_WIDTH = 720.0


@dataclass(frozen=True, slots=True)
class Fragment:
    """One change of the page: what to do (`op`) with `html` in `slot`; `key` names the child for `put`."""

    slot: str
    op: str
    html: str = ""
    key: str = ""

    def to_json(self) -> dict[str, str]:
        """The contract with the page; see the module's docstring."""
        return asdict(self)


def merged(fragments: Iterable[Fragment]) -> list[Fragment]:
    """The same changes in fewer pieces: neighbouring appends to one slot become one."""
    out: list[Fragment] = []
    for fragment in fragments:
        last = out[-1] if out else None
        if last is not None and last.op == fragment.op == "append" and last.slot == fragment.slot:
            out[-1] = replace(last, html=last.html + fragment.html)
        else:
            out.append(fragment)
    return out


class Fragments:
    """The page of one request, event by event. Not shared between threads.

    `image_size` is in pixels after orientation, `None` for a question without an image; `name` what point
    and detect look for; `family` the index of their colour; `display_width` the image's width on the page
    in CSS pixels, which label placement assumes. Raises `ValueError` for an unknown skill.
    """

    def __init__(
        self,
        image_size: tuple[int, int] | None,
        skill: str,
        name: str = "",
        family: int = 0,
        display_width: float = DISPLAY_WIDTH,
    ) -> None:
        self.view = View.shown(image_size, display_width)
        self._progress = Progress(skill)
        self._name, self._family = name, family
        self._marks = Marks(self.view, name, family)
        self._centre: CentreMark | None = None
        self._status = Fragment("status", "replace")
        self._metrics = Fragment("metrics", "replace")

    @property
    def view_box(self) -> str:
        """`viewBox` of the svg that receives the marks."""
        return self.view.view_box

    @property
    def result(self) -> wire.Result:
        """What is known of the result so far; complete after `request.done`."""
        return self._progress.result

    def feed(self, event: wire.Message) -> list[Fragment]:
        """The changes one event makes. Messages that are not events of a request change nothing.

        Raises `WireError` if the output of a terminal event does not fit the skill.
        """
        match event:
            case wire.RequestAccepted():
                return self.note("queued", words.queued(event.position))
            case wire.RequestStarted():
                return self.note("running", words.reading(event.image is not None))
            case wire.TextDelta():
                self._progress.answer += event.delta
                return [*self.note("running", words.ANSWERING), _text("answer", event.delta)]
            case wire.PointEvent() | wire.BoxCenter() | wire.BoxEvent():
                return self._place(event)
            case wire.RequestSnapshot():
                return self._snapshot(event)
            case wire.RequestDone() | wire.RequestCancelled() | wire.RequestFailed():
                return self._end(event)
            case _:
                return self._reason(event)

    def note(self, state: str, text: str) -> list[Fragment]:
        """Set the status line, for what happens outside the engine's events as well; none if it says so."""
        fragment = Fragment("status", "replace", status_html(state, text))
        if fragment == self._status:
            return []
        self._status = fragment
        return [fragment]

    def engine_gone(self) -> list[Fragment]:
        """The engine ended without a terminal event: keep what there is and say so."""
        return [*self._settle(), *self.note("failed", words.engine_gone(*self._progress.kept))]

    def everything(self) -> list[Fragment]:
        """Replacements of all slots that show the present state, then what is still half done."""
        slots, progress = self._shown(), self._progress
        unfinished: list[Fragment] = []
        if progress.open_at is not None:
            slots["reasoning"] = spans.render(progress.reasoning[: progress.open_at], progress.grounds)
            index, marks = len(progress.grounds), self._placed()
            unfinished.append(Fragment("reasoning", "open", spans.open_span(index)))
            unfinished.append(_text("reasoning", progress.reasoning[progress.open_at :]))
            for nth, (x, y) in enumerate(progress.open_points):
                unfinished.append(self._drawn(marks.grounded(index, nth, x, y), entering=False))
        if self._centre is not None:
            unfinished.append(self._drawn(self._centre, entering=False))
        replaced = [Fragment(slot, "replace", html) for slot, html in slots.items()]
        return [*replaced, *unfinished, self._status, self._metrics]

    # ------------------------------------------------------------------------------------- reasoning

    def _reason(self, event: wire.Message) -> list[Fragment]:
        match event:
            case wire.ReasoningDelta():
                self._progress.reasons = True
                self._progress.reasoning += event.delta
                return [*self.note("running", words.REASONING), _text("reasoning", event.delta)]
            case wire.SpanOpen():
                return self._open_span()
            case wire.SpanPoint():
                return self._span_point(event)
            case wire.SpanClose():
                return self._close_span(event.points)
            case wire.ReasoningDone():
                return self._replace_reasoning(wire.Reasoning(event.text, event.grounding))
            case _:
                return []

    def _open_span(self) -> list[Fragment]:
        before = self._close_span(tuple(self._progress.open_points))
        self._progress.open_span()
        return [*before, Fragment("reasoning", "open", spans.open_span(len(self._progress.grounds)))]

    def _span_point(self, event: wire.SpanPoint) -> list[Fragment]:
        before = [] if self._progress.open_at is not None else self._open_span()
        points = self._progress.open_points
        mark = self._marks.grounded(len(self._progress.grounds), len(points), event.x, event.y)
        points.append((event.x, event.y))
        return [*before, self._drawn(mark)]

    def _close_span(self, points: tuple[tuple[float, float], ...]) -> list[Fragment]:
        """Finish the open span, if any, with its authoritative points."""
        progress = self._progress
        if progress.open_at is None:
            return []
        index, shown = len(progress.grounds), tuple(progress.open_points)
        text = progress.close_span(points)
        html = spans.ground_span(text, index, len(points)) if points else escape(text)
        return [Fragment("reasoning", "close", html), *([] if shown == points else self._redraw())]

    def _replace_reasoning(self, known: wire.Reasoning) -> list[Fragment]:
        closing = self._close_span(tuple(self._progress.open_points))
        before = self._shown()
        self._progress.take_reasoning(known)
        return [*closing, *self._differences(before)]

    # ------------------------------------------------------------------------------ points and boxes

    def _place(self, event: wire.PointEvent | wire.BoxCenter | wire.BoxEvent) -> list[Fragment]:
        progress, tint = self._progress, colour(self._family)
        if isinstance(event, wire.BoxCenter):
            self._centre = self._marks.centre(len(progress.boxes), event.x, event.y)
            return [self._drawn(self._centre)]
        mark: Mark
        if isinstance(event, wire.PointEvent):
            kind, index, point = "point", len(progress.points), wire.Point(event.x, event.y)
            progress.points.append(point)
            mark, entry = self._marks.point(index, point.x, point.y), entries.point_entry(index, point, tint)
        else:
            kind, index = "box", len(progress.boxes)
            box = wire.Box(event.x_min, event.y_min, event.x_max, event.y_max)
            progress.boxes.append(box)
            self._centre = None
            mark, entry = self._marks.box(index, box), entries.box_entry(index, box, tint)
        return [
            self._drawn(mark),
            Fragment("list", "append", entry),
            Fragment("answer", "replace", escape(words.counted(index + 1, kind))),
            *self.note("running", words.found_so_far(kind, index + 1)),
        ]

    def _drawn(self, mark: Mark, entering: bool = True) -> Fragment:
        return Fragment("marks", "put", mark_svg(mark, self.view, entering), mark.key)

    # ---------------------------------------------------------------------------------- whole states

    def _end(self, event: wire.RequestDone | wire.RequestCancelled | wire.RequestFailed) -> list[Fragment]:
        out, progress = self._settle(), self._progress
        if isinstance(event, wire.RequestFailed):
            return [*out, *self.note("failed", words.failed(event.error, *progress.kept))]
        if isinstance(event, wire.RequestCancelled):
            out += self.note("stopped", words.stopped(event.reason, *progress.kept))
        else:
            before = self._shown()
            progress.take(wire.result_from_json(progress.skill, event.output))
            progress.finished = True
            out += self._differences(before)
            out += self.note("done", words.done(progress.skill, event.finish_reason))
        self._metrics = Fragment("metrics", "replace", metrics_html(event.metrics))
        return [*out, self._metrics]

    def _settle(self) -> list[Fragment]:
        """Finish what is half done: close the open span, drop a centre without a size."""
        out = self._close_span(tuple(self._progress.open_points))
        if self._centre is not None:
            self._centre = None
            out += self._redraw()
        return out

    def _snapshot(self, event: wire.RequestSnapshot) -> list[Fragment]:
        """Start again from what the engine says stands for all earlier events."""
        self._progress.take_snapshot(event.state)
        self._centre = None
        self._marks = self._placed()
        self.note("running", words.CATCHING_UP)
        return self.everything()

    def _shown(self) -> dict[str, str]:
        return slots_of(self.result, self.view, self._name, self._family, self._progress.finished)

    def _differences(self, before: dict[str, str]) -> list[Fragment]:
        """Replacements of the slots that no longer look as `before`."""
        after = self._shown()
        self._marks = self._placed()
        return [Fragment(slot, "replace", after[slot]) for slot in after if after[slot] != before[slot]]

    def _redraw(self) -> list[Fragment]:
        self._marks = self._placed()
        return [Fragment("marks", "replace", self._shown()["marks"])]

    def _placed(self) -> Marks:
        """A maker of marks that has placed those of the present result, ready for the next."""
        marks = Marks(self.view, self._name, self._family)
        marks_of(self.result, marks)
        return marks


def _text(slot: str, text: str) -> Fragment:
    return Fragment(slot, "append", escape(text))
