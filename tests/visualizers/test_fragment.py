"""Streaming ends where the finished result begins, for any order of events, cut anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.fragment import DISPLAY_WIDTH, Fragment, Fragments, merged
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.slots import slots_of

SIZE = (640, 480)
VIEW = View.shown(SIZE, DISPLAY_WIDTH)
METRICS = wire.Metrics(output_tokens=61, ttft_ms=84.0, decode_time_ms=535.7)
CUP = Asked("cup", eye=(0.25, 0.5), format="json_object")
UNHURRIED = settings(deadline=None, max_examples=60)
R: dict[str, Any] = {"request_id": "r"}

fraction = st.floats(0, 1, width=32)
pairs = st.tuples(fraction, fraction)
texts = st.lists(st.text(max_size=8), max_size=3)


@dataclass(frozen=True)
class Run:
    """A request: its events before the terminal one, and its result."""

    skill: str
    events: tuple[wire.Message, ...]
    result: wire.Result

    @property
    def done(self) -> wire.RequestDone:
        output = wire.result_to_json(self.result)
        return wire.RequestDone(finish_reason="stop", output=output, metrics=METRICS, **R)


@st.composite
def with_probs(draw: st.DrawFn, events: list[wire.Message], kind: type) -> list[wire.Message]:
    """The same events; those of `kind` carry the tokens of their text. A token is as long as it likes, some
    add nothing, and each comes with the event that brings its last code point.
    """
    length = sum(len(event.delta) for event in events if isinstance(event, kind))
    waiting: list[tuple[int, float]] = []
    while (rest := length - sum(count for count, _ in waiting)) > 0:
        waiting.append((draw(st.integers(0, rest)), draw(fraction)))
    out: list[wire.Message] = []
    handed_out = covered = 0
    for event in events:
        if isinstance(event, kind):
            handed_out += len(event.delta)
            ready = []
            while waiting and covered + waiting[0][0] <= handed_out:
                covered += waiting[0][0]
                ready.append(waiting.pop(0))
            event = replace(event, probs=tuple(ready) or None)
        out.append(event)
    return out


@st.composite
def spread_of(draw: st.DrawFn) -> wire.Spread:
    """Two nested intervals."""
    a, b, c, d = sorted(draw(st.tuples(fraction, fraction, fraction, fraction)))
    return wire.Spread(draw(fraction), (b, c), (a, d))


def probs_in(events: list[wire.Message], kind: type) -> wire.Probs | None:
    """What a result says of the tokens in all events of `kind`."""
    return tuple(pair for event in events if isinstance(event, kind) for pair in event.probs or ()) or None


@st.composite
def queries(draw: st.DrawFn) -> Run:
    """Reasoning of plain pieces and spans (some without places, places before or after words), then text."""
    skill, sure = draw(st.sampled_from(("query", "chat"))), draw(st.booleans())
    spreads = st.builds(wire.PlaceSpread, spread_of(), spread_of()) if sure else st.none()
    events: list[wire.Message] = [start(skill)]
    text, grounds = "", []
    for index in range(draw(st.integers(0, 4))):
        for delta in draw(texts):
            events.append(wire.ReasoningDelta(delta=delta, **R))
            text += delta
        begin, places = len(text), draw(st.lists(st.tuples(pairs, spreads), max_size=3))
        events.append(wire.SpanOpen(index=index, start=begin, **R))
        inner: list[wire.Message] = [
            wire.SpanPoint(index=index, x=x, y=y, spread=known, **R) for (x, y), known in places
        ]
        for delta in draw(texts):
            inner.insert(draw(st.integers(0, 1)) * len(inner), wire.ReasoningDelta(delta=delta, **R))
        text += "".join(event.delta for event in inner if isinstance(event, wire.ReasoningDelta))
        points = tuple(place for place, _ in places)
        seen = tuple(spread for _, spread in places) if sure else None
        events += inner
        events.append(wire.SpanClose(index=index, end=len(text), points=points, spreads=seen, **R))
        if places:
            grounds.append(wire.Ground(begin, len(text), points, seen))
    answer = draw(texts)
    said: list[wire.Message] = [wire.TextDelta(delta=delta, **R) for delta in answer]
    if sure:
        events = draw(with_probs(events, wire.ReasoningDelta))
        said = draw(with_probs(said, wire.TextDelta))
    reasoning = wire.Reasoning(text, tuple(grounds), probs_in(events, wire.ReasoningDelta))
    events.append(wire.ReasoningDone(text=text, grounding=reasoning.grounding, probs=reasoning.probs, **R))
    result = wire.RESULTS[skill]("".join(answer), reasoning, probs_in(said, wire.TextDelta))
    return Run(skill, (*events, *said), result)


@st.composite
def searches(draw: st.DrawFn) -> Run:
    """A point or detect request; boxes may be announced by their centre."""
    places = draw(st.lists(st.tuples(pairs, pairs, st.booleans()), max_size=8))
    sure = draw(st.booleans())
    one = [draw(st.builds(wire.PlaceSpread, spread_of(), spread_of())) if sure else None for _ in places]
    if draw(st.booleans()):
        points = tuple(
            wire.Point(*corner, spread) for (corner, _, _), spread in zip(places, one, strict=True)
        )
        found = [wire.PointEvent(index=n, x=p.x, y=p.y, spread=p.spread, **R) for n, p in enumerate(points)]
        return Run("point", (start("point"), *found), wire.PointResult(points, len(points)))
    events: list[wire.Message] = [start("detect")]
    boxes = []
    for n, (((x0, y0), (x1, y1), announced), known) in enumerate(zip(places, one, strict=True)):
        spread = wire.BoxSpread(known.x, known.y, known.y, known.x) if known else None
        box = wire.Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), spread)
        boxes.append(box)
        if announced:
            events.append(wire.BoxCenter(index=n, x=(x0 + x1) / 2, y=(y0 + y1) / 2, spread=known, **R))
        corners = {name: getattr(box, name) for name in ("x_min", "y_min", "x_max", "y_max")}
        events.append(wire.BoxEvent(index=n, spread=spread, **corners, **R))
    return Run("detect", tuple(events), wire.DetectResult(tuple(boxes)))


@st.composite
def outlines(draw: st.DrawFn) -> Run:
    """A segment request: a box, pieces of path (some of which are none), perhaps another path at the end."""
    segments = ("M 0 0", " L 1 0.5", " C 0 0 1 1 0.5 0.5", " Z", " <x>")
    pieces = draw(st.lists(st.sampled_from(segments), max_size=6))
    one = draw(spread_of())
    spread = draw(st.sampled_from((None, wire.BoxSpread(one, one, one, one))))
    box = wire.Box(0.25, 0.25, 0.75, 0.5)
    events: list[wire.Message] = [start("segment"), wire.MaskBox(bbox=box, spread=spread, **R)]
    events += [wire.MaskDelta(delta=piece, **R) for piece in pieces]
    coarse = "".join(pieces)
    refined = draw(st.booleans())
    known = replace(box, spread=spread)
    path, final = ("M 0 0 L 1 0 L 1 1 Z", wire.Box(0.2, 0.2, 0.7, 0.5)) if refined else (coarse, known)
    events.append(wire.MaskDone(path=path, bbox=final, coarse_path=coarse, coarse_bbox=known, **R))
    return Run("segment", tuple(events), wire.SegmentResult(path, final, refined=refined))


@st.composite
def gazes(draw: st.DrawFn) -> Run:
    """A gaze request with or without a target."""
    target = wire.Point(*draw(pairs)) if draw(st.booleans()) else None
    seen = [wire.GazeEvent(x=target.x, y=target.y, **R)] if target else []
    return Run("gaze", (start("gaze"), *seen), wire.GazeResult(target))


runs = st.one_of(queries(), searches(), outlines(), gazes())


def places_of(result: wire.Result) -> list[object] | None:
    """The places of a point, detect or gaze result; `None` for others."""
    match result:
        case wire.PointResult(points=found) | wire.DetectResult(objects=found):
            return list(found)
        case wire.GazeResult(gaze=target):
            return [target] if target else []
        case _:
            return None


def start(skill: str) -> wire.Message:
    return wire.RequestAccepted(model="sprite-2", skill=skill, position=2, **R)


def fragments(run: Run, form: str = CUP.format) -> Fragments:
    return Fragments(SIZE, run.skill, name="cup", eye=CUP.eye, format=form)


@UNHURRIED
@given(runs)
def test_the_stream_adds_up_to_the_final_render(new_page, run: Run) -> None:
    stream, page, final = fragments(run), new_page(), new_page()
    for event in (*run.events, run.done):
        page.apply(stream.feed(event))
    slots = slots_of(run.result, VIEW, CUP)
    final.apply(Fragment(slot, "replace", html) for slot, html in slots.items())
    assert stream.result == run.result
    assert {slot: page.html(slot) for slot in slots} == {slot: final.html(slot) for slot in slots}


@UNHURRIED
@given(runs, st.sampled_from(("text", "json_object")))
def test_a_complete_stream_is_not_drawn_again_at_the_end(run: Run, form: str) -> None:
    stream = fragments(run, form)
    for event in run.events:
        stream.feed(event)
    changed = {fragment.slot for fragment in stream.feed(run.done)}
    # An answer in JSON gets its structure, and what came of a search or an outline is said, only now.
    structured = run.skill in ("query", "chat") and form == "json_object"
    late = structured or run.skill == "segment" or places_of(run.result) == []
    assert changed == {"status", "metrics"} | ({"answer"} if late else set())


@UNHURRIED
@given(runs, st.data())
def test_everything_rebuilds_the_page_at_any_moment(new_page, run: Run, data: st.DataObject) -> None:
    stream, page = fragments(run), new_page()
    events = (*run.events, run.done)
    for event in events[: data.draw(st.integers(1, len(events)))]:
        page.apply(stream.feed(event))
    assert new_page().apply(stream.everything()).all() == page.all()


@UNHURRIED
@given(runs, st.data())
def test_stopping_anywhere_leaves_a_page_of_complete_things(new_page, run: Run, data: st.DataObject) -> None:
    stream, page, final = fragments(run), new_page(), new_page()
    for event in run.events[: data.draw(st.integers(1, len(run.events)))]:
        page.apply(stream.feed(event))
    page.apply(stream.feed(wire.RequestCancelled(reason="client", metrics=METRICS, **R)))
    kept = slots_of(stream.result, VIEW, CUP, finished=False)
    final.apply(Fragment(slot, "replace", html) for slot, html in kept.items())
    assert {slot: page.html(slot) for slot in kept} == {slot: final.html(slot) for slot in kept}
    assert page.text("status").startswith("Stopped ")
    assert page.text("metrics") == "ttft 84 ms · 112 tok/s · 61 tokens"


@settings(UNHURRIED, max_examples=40)
@given(runs, runs)
def test_the_terminal_event_has_the_last_word(new_page, streamed: Run, real: Run) -> None:
    real = replace(real, events=()) if real.skill == streamed.skill else streamed
    stream, page, final = fragments(streamed), new_page(), new_page()
    for event in (*streamed.events, real.done):
        page.apply(stream.feed(event))
    slots = slots_of(real.result, VIEW, CUP)
    final.apply(Fragment(slot, "replace", html) for slot, html in slots.items())
    assert {slot: page.html(slot) for slot in slots} == {slot: final.html(slot) for slot in slots}


@UNHURRIED
@given(runs)
def test_merging_changes_nothing_visible(new_page, run: Run) -> None:
    one, two = fragments(run), fragments(run)
    events = (*run.events, run.done)
    pieces = [fragment for event in events for fragment in one.feed(event)]
    together = merged(fragment for event in events for fragment in two.feed(event))
    assert len(together) <= len(pieces)
    assert new_page().apply(together).all() == new_page().apply(pieces).all()
