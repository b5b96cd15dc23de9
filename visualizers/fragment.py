"""Events of one request in, pieces of the page out.

    stream = Fragments(image_size=(640, 480), skill="detect", name="dog", display_width=720)
    for event in events:                       # wire messages of one request, in order
        for fragment in stream.feed(event):
            send(fragment.to_json())

A fragment is `{"slot", "op", "html", "key"}`, and `"part"` if it belongs to a further request of a run of
several (from 1). The page keeps one element per slot and part and, for each, an insertion point: the slot
itself, or the element last opened in it.

    op        what the page does
    append    parse `html`, append its nodes at the insertion point
    open      append the one element in `html` at the insertion point; it becomes the insertion point
    close     replace the open element by the nodes of `html` (maybe none); the slot is the insertion point
    put       replace the child of the slot whose `data-key` is `key` by `html`; append if there is none
    replace   replace all children of the slot by `html`; the slot is the insertion point

    slot        content                                                               ops
    reasoning   escaped text, `span.ground[data-ground=g0]` with its number  append open close replace
    answer      escaped text (query, chat, caption), a sentence (the others),
                or `div.structured`                                               append replace
    marks       children of `<svg viewBox=stream.view_box>`: `g.mark[data-ground]`     put replace
    list        children of `<ul>`: `li > button.entry[data-ground]`                  append replace
    status      `span.status[data-state=queued|running|done|stopped|failed]`          replace
    metrics     `span.metric` separated by " · "                                      replace

Marks and the words or list entries that speak of them share `data-ground`: `g0` a grounded span, `p0` a
point, `b0` a box, `m0` the mask of segment, `z0` the gaze; in part 2 `2.b0`, and so on. All carry
`style="--c:COLOUR;--halo:STROKE"`, marks and list entries `data-label`, what was looked for (maybe empty).
Inside a mark, `.mark-shape` holds what keeps its size on screen; the page sets `--k` (view units per CSS
pixel) on the svg and has `.mark-shape { transform: scale(var(--k)) }`. Without it the marks fit
`display_width`. A mark that has just arrived has the class `enter`; `.mark-body` is what may be animated, a
rect `.fill` is the inside of a box.

    g.mark.mask   `path.mask-fill` (its opacity is `--mask-opacity` of the svg, 0.35 without it), outlined by
                  `path.mask-line`; `path.mask-box` the corners of its box. It comes with the box, before any
                  path, and is `put` again with every piece of path. The open end of a path that is still
                  growing is closed by a straight line.
    g.mark.gaze   `g.gaze-source` (`.eye`, a ring, or `.face`, a frame; if `eye` or `face` was given),
                  `path.gaze-line` from there to `g.gaze-target`, the target's disc and tag
    g.spread      in a mark, `aria-hidden`, with a `title`: `.spread-95` and `.spread-68`, ellipses around a
                  place, bars over the edges of a box. The page hides it by `svg[data-spread=off]`. Only if
                  the request asked for uncertainty; list entries then carry the same sentence as `title`.
    span.tok      in reasoning and answer, if the probabilities of the tokens are known: one token without the
                  white space before it, `--p` its probability 0..1, `title` the same in words. The text is
                  the same with and without.

An answer in JSON or CSV (`format`, the `type` of the request's `response_format`) streams as text; at the
end the slot is replaced. What cannot be parsed stays text, below a sentence `p.structured-note`.

    div.structured[data-format]
        div.structured-bar     p.structured-note: how much there is, or why it is text;
                               button.raw-toggle[aria-pressed=false] if there is a view
        div.structured-view    table.structured-table or ul.structured-tree (of details), nested where the
                               answer is; of what is too much, a sentence `.structured-more` tells
        pre.raw[hidden]        the text as the model wrote it, `hidden` if there is a view

The button is the page's: it sets `aria-pressed` and shows either `.structured-view` or `.raw`. The text of
an answer, for copying, is that of `.raw` if there is one, else that of the slot.

The terminal event carries the whole result. Slots that already show it are left alone, so that selection,
focus and running animations survive; any other is replaced. `everything()` gives the same page from
nothing, for a browser that (re)connects.
"""

from __future__ import annotations

from dataclasses import replace

from dreamscope.engine import wire
from dreamscope.visualizers import words
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.drawn import Drawn
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.pieces import Fragment, added, merged
from dreamscope.visualizers.progress import Progress
from dreamscope.visualizers.reasons import Reasons
from dreamscope.visualizers.slots import metrics_html, status_html

__all__ = ["DISPLAY_WIDTH", "SLOTS", "Fragment", "Fragments", "merged"]

SLOTS = ("reasoning", "answer", "marks", "list", "status", "metrics")
DISPLAY_WIDTH = 720.0


class Fragments:
    """The page of one request, event by event. Not shared between threads.

    `image_size` is in pixels after orientation, `None` for a question without an image; `name` what point,
    detect and segment look for; `family` the index of their colour; `display_width` the image's width on the
    page in CSS pixels, which label placement assumes; `eye` (x, y) or `face` whose gaze is asked for, in
    fractions; `format` the type of the request's `response_format`; `part` which request of a run this is,
    from 0. Raises `ValueError` for an unknown skill.
    """

    def __init__(
        self,
        image_size: tuple[int, int] | None,
        skill: str,
        name: str = "",
        family: int = 0,
        display_width: float = DISPLAY_WIDTH,
        *,
        eye: tuple[float, float] | None = None,
        face: wire.Box | None = None,
        format: str = "text",
        part: int = 0,
    ) -> None:
        self._progress = Progress(skill)
        self._part = part
        asked = Asked(name, family, eye, face, format, part)
        self._drawn = Drawn(self._progress, View.shown(image_size, display_width), asked)
        self._reasons = Reasons(self._progress, self._drawn, asked.prefix)
        self._status = Fragment("status", "replace")
        self._metrics = Fragment("metrics", "replace")

    @property
    def view_box(self) -> str:
        """`viewBox` of the svg that receives the marks."""
        return self._drawn.view.view_box

    @property
    def result(self) -> wire.Result:
        """What is known of the result so far; complete after `request.done`."""
        return self._progress.result

    def feed(self, event: wire.Message) -> list[Fragment]:
        """The changes one event makes. Messages that are not events of a request change nothing.

        Raises `WireError` if the output of a terminal event does not fit the skill.
        """
        return self._stamped(self._changes(event))

    def note(self, state: str, text: str) -> list[Fragment]:
        """Set the status line, for what happens outside the engine's events as well; none if it says so."""
        return self._stamped(self._note(state, text))

    def engine_gone(self) -> list[Fragment]:
        """The engine ended without a terminal event: keep what there is and say so."""
        gone = words.engine_gone(*self._progress.kept)
        return self._stamped([*self._settle(), *self._note("failed", gone)])

    def interrupted(self) -> list[Fragment]:
        """The run ended without anybody seeing it: keep what there is and say so."""
        cut = words.interrupted(*self._progress.kept)
        return self._stamped([*self._settle(), *self._note("stopped", cut)])

    def everything(self) -> list[Fragment]:
        """Replacements of all slots that show the present state, then what is still half done."""
        return self._stamped(self._all())

    def _stamped(self, fragments: list[Fragment]) -> list[Fragment]:
        if self._part == 0:
            return fragments
        return [replace(fragment, part=self._part) for fragment in fragments]

    def _changes(self, event: wire.Message) -> list[Fragment]:
        match event:
            case wire.RequestAccepted():
                return self._note("queued", words.queued(event.position))
            case wire.RequestStarted():
                return self._note("running", words.reading(event.image is not None))
            case wire.ReasoningDelta():
                return [*self._note("running", words.REASONING), *self._reasons.feed(event)]
            case wire.TextDelta():
                return [*self._note("running", words.ANSWERING), *self._text(event)]
            case wire.PointEvent() | wire.BoxEvent():
                changes = self._drawn.place(event)
                return [*changes, *self._note("running", words.so_far(self._progress.kept[1]))]
            case wire.MaskBox() | wire.MaskDelta():
                return [*self._note("running", words.OUTLINING), *self._drawn.place(event)]
            case wire.BoxCenter() | wire.GazeEvent() | wire.MaskDone():
                return self._drawn.place(event)
            case wire.RequestSnapshot():
                return self._snapshot(event)
            case wire.RequestDone() | wire.RequestCancelled() | wire.RequestFailed():
                return self._end(event)
            case _:
                return self._reasons.feed(event)

    def _note(self, state: str, text: str) -> list[Fragment]:
        fragment = Fragment("status", "replace", status_html(state, text))
        if fragment == self._status:
            return []
        self._status = fragment
        return [fragment]

    def _all(self) -> list[Fragment]:
        slots = self._drawn.shown()
        del slots["reasoning"]
        replaced = [Fragment(slot, "replace", html) for slot, html in slots.items()]
        half_done = self._drawn.half_done()
        return [*replaced, *self._reasons.shown(), *half_done, self._status, self._metrics]

    def _text(self, event: wire.TextDelta) -> list[Fragment]:
        piece = added(self._progress, self._progress.answer, event, "answer")
        return [piece or Fragment("answer", "replace", self._progress.answer.html())]

    def _end(self, event: wire.RequestDone | wire.RequestCancelled | wire.RequestFailed) -> list[Fragment]:
        out, progress = self._settle(), self._progress
        if isinstance(event, wire.RequestFailed):
            return [*out, *self._note("failed", words.failed(event.error, *progress.kept))]
        if isinstance(event, wire.RequestCancelled):
            out += self._note("stopped", words.stopped(event.reason, *progress.kept))
        else:
            before = self._drawn.shown()
            progress.feed(event)
            out += self._drawn.differences(before)
            out += self._note("done", words.done(progress.skill, event.finish_reason))
        self._metrics = Fragment("metrics", "replace", metrics_html(event.metrics))
        return [*out, self._metrics]

    def _settle(self) -> list[Fragment]:
        """Finish what is half done: close the open span, drop a centre without a size."""
        return [*self._reasons.settle(), *self._drawn.settle()]

    def _snapshot(self, event: wire.RequestSnapshot) -> list[Fragment]:
        """Start again from what the engine says stands for all earlier events."""
        self._progress.feed(event)
        self._drawn.forget()
        self._note("running", words.CATCHING_UP)
        return self._all()
