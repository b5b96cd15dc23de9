"""Streaming ends where the finished result begins, for any order of events, cut anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.visualizers.fragment import DISPLAY_WIDTH, SLOTS, Fragment, Fragments, merged
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.slots import slots_of

SIZE = (640, 480)
VIEW = View.shown(SIZE, DISPLAY_WIDTH)
METRICS = wire.Metrics(output_tokens=61, ttft_ms=84.0, decode_time_ms=535.7)
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
def queries(draw: st.DrawFn) -> Run:
    """Reasoning of plain pieces and spans (some without places, places before or after words), then text."""
    events: list[wire.Message] = [start("query")]
    text, grounds = "", []
    for index in range(draw(st.integers(0, 4))):
        for delta in draw(texts):
            events.append(wire.ReasoningDelta(delta=delta, **R))
            text += delta
        begin, places = len(text), draw(st.lists(pairs, max_size=3))
        events.append(wire.SpanOpen(index=index, start=begin, **R))
        inner: list[wire.Message] = [wire.SpanPoint(index=index, x=x, y=y, **R) for x, y in places]
        for delta in draw(texts):
            inner.insert(draw(st.integers(0, 1)) * len(inner), wire.ReasoningDelta(delta=delta, **R))
        text += "".join(event.delta for event in inner if isinstance(event, wire.ReasoningDelta))
        events += [*inner, wire.SpanClose(index=index, end=len(text), points=tuple(places), **R)]
        if places:
            grounds.append(wire.Ground(begin, len(text), tuple(places)))
    events.append(wire.ReasoningDone(text=text, grounding=tuple(grounds), **R))
    answer = draw(texts)
    events += [wire.TextDelta(delta=delta, **R) for delta in answer]
    return Run(
        "query", tuple(events), wire.QueryResult("".join(answer), wire.Reasoning(text, tuple(grounds)))
    )


@st.composite
def searches(draw: st.DrawFn) -> Run:
    """A point or detect request; boxes may be announced by their centre."""
    places = draw(st.lists(st.tuples(pairs, pairs, st.booleans()), max_size=8))
    if draw(st.booleans()):
        points = tuple(wire.Point(*corner) for corner, _, _ in places)
        found = [wire.PointEvent(index=n, x=p.x, y=p.y, **R) for n, p in enumerate(points)]
        return Run("point", (start("point"), *found), wire.PointResult(points, len(points)))
    events: list[wire.Message] = [start("detect")]
    boxes = []
    for n, ((x0, y0), (x1, y1), announced) in enumerate(places):
        box = wire.Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        boxes.append(box)
        if announced:
            events.append(wire.BoxCenter(index=n, x=(x0 + x1) / 2, y=(y0 + y1) / 2, **R))
        events.append(
            wire.BoxEvent(index=n, x_min=box.x_min, y_min=box.y_min, x_max=box.x_max, y_max=box.y_max, **R)
        )
    return Run("detect", tuple(events), wire.DetectResult(tuple(boxes)))


runs = st.one_of(queries(), searches())


def start(skill: str) -> wire.Message:
    return wire.RequestAccepted(model="sprite-2", skill=skill, position=2, **R)


def fragments(run: Run) -> Fragments:
    return Fragments(SIZE, run.skill, name="cup")


@given(runs)
def test_the_stream_adds_up_to_the_final_render(new_page, run: Run) -> None:
    stream, page, final = fragments(run), new_page(), new_page()
    for event in (*run.events, run.done):
        page.apply(stream.feed(event))
    slots = slots_of(run.result, VIEW, "cup")
    final.apply(Fragment(slot, "replace", html) for slot, html in slots.items())
    assert stream.result == run.result
    assert {slot: page.html(slot) for slot in slots} == {slot: final.html(slot) for slot in slots}


@given(runs)
def test_a_complete_stream_is_not_drawn_again_at_the_end(run: Run) -> None:
    stream = fragments(run)
    for event in run.events:
        stream.feed(event)
    changed = {fragment.slot for fragment in stream.feed(run.done)}
    empty = run.result in (wire.PointResult((), 0), wire.DetectResult(()))
    assert changed == {"status", "metrics"} | ({"answer"} if empty else set())


@given(runs, st.data())
def test_everything_rebuilds_the_page_at_any_moment(new_page, run: Run, data: st.DataObject) -> None:
    stream, page = fragments(run), new_page()
    events = (*run.events, run.done)
    for event in events[: data.draw(st.integers(1, len(events)))]:
        page.apply(stream.feed(event))
    assert new_page().apply(stream.everything()).all() == page.all()


@given(runs, st.data())
def test_stopping_anywhere_leaves_a_page_of_complete_things(new_page, run: Run, data: st.DataObject) -> None:
    stream, page, final = fragments(run), new_page(), new_page()
    for event in run.events[: data.draw(st.integers(1, len(run.events)))]:
        page.apply(stream.feed(event))
    page.apply(stream.feed(wire.RequestCancelled(reason="client", metrics=METRICS, **R)))
    kept = slots_of(stream.result, VIEW, "cup", finished=False)
    final.apply(Fragment(slot, "replace", html) for slot, html in kept.items())
    assert {slot: page.html(slot) for slot in kept} == {slot: final.html(slot) for slot in kept}
    assert page.text("status").startswith("Stopped ")
    assert page.text("metrics") == "ttft 84 ms · 112 tok/s · 61 tokens"


@given(runs, runs)
@settings(max_examples=40)
def test_the_terminal_event_has_the_last_word(new_page, streamed: Run, real: Run) -> None:
    real = replace(real, events=()) if real.skill == streamed.skill else streamed
    stream, page, final = fragments(streamed), new_page(), new_page()
    for event in (*streamed.events, real.done):
        page.apply(stream.feed(event))
    slots = slots_of(real.result, VIEW, "cup")
    final.apply(Fragment(slot, "replace", html) for slot, html in slots.items())
    assert {slot: page.html(slot) for slot in slots} == {slot: final.html(slot) for slot in slots}


@given(runs)
def test_merging_changes_nothing_visible(new_page, run: Run) -> None:
    one, two = fragments(run), fragments(run)
    events = (*run.events, run.done)
    pieces = [fragment for event in events for fragment in one.feed(event)]
    together = merged(fragment for event in events for fragment in two.feed(event))
    assert len(together) <= len(pieces)
    assert new_page().apply(together).all() == new_page().apply(pieces).all()


def test_a_grounded_point_lights_up_before_its_words_are_complete(new_page) -> None:
    stream, page = Fragments(SIZE, "query"), new_page()
    page.apply(stream.feed(wire.ReasoningDelta(delta="I see ", **R)))
    page.apply(stream.feed(wire.SpanOpen(index=0, start=6, **R)))
    (mark,) = stream.feed(wire.SpanPoint(index=0, x=0.25, y=0.5, **R))
    assert (mark.slot, mark.op, mark.key) == ("marks", "put", "g0.0")
    assert 'class="mark point enter"' in mark.html
    assert 'data-ground="g0"' in mark.html
    assert 'transform="translate(250 375)"' in mark.html
    page.apply([mark]).apply(stream.feed(wire.ReasoningDelta(delta="a cup", **R)))
    assert 'data-ground="g0"' in page.html("reasoning")
    assert page.text("reasoning") == "I see a cup"
    page.apply(stream.feed(wire.SpanClose(index=0, end=11, points=((0.25, 0.5),), **R)))
    assert page.text("reasoning") == "I see a cup1"
    assert 'aria-label="a cup, mark 1, 1 place on the image"' in page.html("reasoning")


def test_a_span_without_places_becomes_plain_text(new_page) -> None:
    stream, page = Fragments(SIZE, "query"), new_page()
    for event in (
        wire.SpanOpen(index=0, start=0, **R),
        wire.ReasoningDelta(delta="maybe", **R),
        wire.SpanClose(index=0, end=5, points=(), **R),
        wire.SpanOpen(index=1, start=5, **R),
        wire.SpanPoint(index=1, x=0.1, y=0.1, **R),
    ):
        page.apply(stream.feed(event))
    assert page.html("reasoning").startswith("<reasoning>maybe<span")
    assert 'data-ground="g0"' in page.html("marks")


def test_a_box_takes_the_place_of_its_centre(new_page) -> None:
    stream, page = Fragments(SIZE, "detect", name="dog"), new_page()
    page.apply(stream.feed(wire.BoxCenter(index=0, x=0.5, y=0.5, **R)))
    assert "mark centre" in page.html("marks")
    page.apply(stream.feed(wire.BoxEvent(index=0, x_min=0.4, y_min=0.4, x_max=0.6, y_max=0.6, **R)))
    assert "mark centre" not in page.html("marks")
    assert page.text("marks") == "dog 1"
    assert page.text("answer") == "1 box"
    assert page.text("status") == "1 box so far"
    assert 'data-ground="b0"' in page.html("list")


def test_status_follows_the_request(new_page) -> None:
    stream, page = Fragments(SIZE, "query"), new_page()
    seen = []
    info = wire.ImageInfo(640, 480, 3)
    for event in (
        start("query"),
        wire.RequestStarted(input_tokens=740, cached_tokens=0, image=info, **R),
        wire.ReasoningDelta(delta="Hm", **R),
        wire.ReasoningDelta(delta="m", **R),
        wire.ReasoningDone(text="Hmm", grounding=(), **R),
        wire.TextDelta(delta="One", **R),
        Run("query", (), wire.QueryResult("One", wire.Reasoning("Hmm"))).done,
    ):
        new = [f for f in stream.feed(event) if f.slot == "status"]
        page.apply(new)
        seen += [page.text("status")] * len(new)
    assert seen == ["Queued, 2 ahead", "Looking at the image", "Reasoning", "Answering", "Done"]
    assert 'data-state="done"' in page.html("status")


def test_failure_keeps_the_partial_answer(new_page) -> None:
    stream, page = Fragments(SIZE, "caption"), new_page()
    page.apply(stream.feed(wire.TextDelta(delta="A dog near the fence", **R)))
    error = wire.ErrorInfo("The device ran out of memory.", "server_error", "not_enough_memory")
    page.apply(stream.feed(wire.RequestFailed(error=error, **R)))
    assert page.text("answer") == "A dog near the fence"
    assert page.text("status") == "The device ran out of memory. It stopped after “A dog near the fence”."
    assert 'data-state="failed"' in page.html("status")


def test_engine_gone_closes_what_was_open(new_page) -> None:
    stream, page = Fragments(SIZE, "query"), new_page()
    for event in (
        wire.SpanOpen(index=0, start=0, **R),
        wire.SpanPoint(index=0, x=0.5, y=0.5, **R),
        wire.ReasoningDelta(delta="a dog", **R),
    ):
        page.apply(stream.feed(event))
    page.apply(stream.engine_gone())
    assert page.text("status") == "The engine stopped after “a dog”. Restarting…"
    assert page.text("reasoning") == "a dog1"


def test_snapshot_stands_for_all_earlier_events(new_page) -> None:
    state = {
        "reasoning": {"text": "a cup", "grounding": [{"start_idx": 0, "end_idx": 5, "points": [[0.5, 0.5]]}]},
        "text": "O",
        "points": [],
        "boxes": [],
        "status": "running",
    }
    stream, page = Fragments(SIZE, "query"), new_page()
    page.apply(stream.feed(wire.ReasoningDelta(delta="older", **R)))
    page.apply(stream.feed(wire.RequestSnapshot(state=state, **R)))
    page.apply(stream.feed(wire.TextDelta(delta="ne", **R)))
    assert page.text("reasoning") == "a cup1"
    assert page.text("answer") == "One"
    assert 'data-ground="g0"' in page.html("marks")


def test_nothing_found_is_said(new_page) -> None:
    stream, page = Fragments(SIZE, "point", name="cat"), new_page()
    page.apply(stream.feed(Run("point", (), wire.PointResult((), 0)).done))
    assert page.text("answer") == "Nothing found"


def test_json_contract() -> None:
    fragment = Fragment("answer", "append", "a &lt; b")
    assert fragment.to_json() == {"slot": "answer", "op": "append", "html": "a &lt; b", "key": ""}
    assert {f.slot for f in Fragments(None, "query").everything()} == set(SLOTS)


def test_messages_that_are_no_events_change_nothing() -> None:
    assert Fragments(SIZE, "query").feed(wire.Hello()) == []


def test_unknown_skill_and_misfitting_output_are_refused() -> None:
    with pytest.raises(ValueError, match="Unknown skill 'dance'; one of query, caption"):
        Fragments(SIZE, "dance")
    with pytest.raises(wire.WireError, match="points"):
        Fragments(SIZE, "point").feed(Run("point", (), wire.CaptionResult("x")).done)
