"""What the page shows of a request, one case at a time."""

from __future__ import annotations

from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.fragment import SLOTS, Fragment, Fragments, merged

SIZE = (640, 480)
R: dict[str, Any] = {"request_id": "r"}


def start(skill: str) -> wire.Message:
    return wire.RequestAccepted(model="sprite-2", skill=skill, position=2, **R)


def done(result: wire.Result, reason: str = "stop") -> wire.RequestDone:
    output = wire.result_to_json(result)
    return wire.RequestDone(finish_reason=reason, output=output, metrics=wire.Metrics(), **R)


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
        done(wire.QueryResult("One", wire.Reasoning("Hmm"))),
    ):
        new = [f for f in stream.feed(event) if f.slot == "status"]
        page.apply(new)
        seen += [page.text("status")] * len(new)
    assert seen == ["Queued, 2 ahead", "Looking at the image", "Thinking", "Answering", "Done"]
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
    page.apply(stream.feed(done(wire.PointResult((), 0))))
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
        Fragments(SIZE, "point").feed(done(wire.CaptionResult("x")))


BOX = wire.Box(0.25, 0.25, 0.75, 0.75)


def test_a_mask_grows_in_place(new_page) -> None:
    stream, page = Fragments(SIZE, "segment", name="dog"), new_page()
    first = stream.feed(wire.MaskBox(bbox=BOX, **R))
    page.apply(first)
    assert [f.key for f in first if f.slot == "marks"] == ["m0"]
    assert 'class="mark mask enter"' in next(f.html for f in first if f.slot == "marks")
    assert "mask-fill" not in page.html("marks")
    assert 'data-ground="m0"' in page.html("list")
    page.apply(stream.feed(wire.MaskDelta(delta="M 0 0 L 1 0", **R)))
    (second,) = stream.feed(wire.MaskDelta(delta=" L 1 1", **R))
    assert (second.op, second.key) == ("put", "m0")
    assert "enter" not in second.html
    page.apply([second])
    assert page.html("marks").count('data-ground="m0"') == 1
    assert 'd="M250 187.5L750 187.5L750 562.5Z"' in page.html("marks")
    assert "fill-opacity:var(--mask-opacity,0.35)" in page.html("marks")
    assert page.text("status") == "Drawing the outline"
    assert (page.text("marks"), page.text("answer")) == ("dog", "")


def test_the_final_outline_takes_the_place_of_the_coarse_one(new_page) -> None:
    stream, page = Fragments(SIZE, "segment"), new_page()
    for event in (
        wire.MaskBox(bbox=BOX, **R),
        wire.MaskDelta(delta="M 0 0 L 1 0 L 1 1", **R),
        wire.MaskDone(path="M 0 0 L 1 1 L 0 1 Z", coarse_path="", bbox=wire.Box(0, 0, 1, 1), **R),
        done(wire.SegmentResult("M 0 0 L 1 1 L 0 1 Z", wire.Box(0, 0, 1, 1), refined=True)),
    ):
        page.apply(stream.feed(event))
    assert 'd="M0 0L1000 750L0 750Z"' in page.html("marks")
    assert page.text("list") == "1x 0.500, y 0.500 · 1.000 × 1.000"
    assert page.text("answer") == "1 outline. The model's outline, refined."


def test_the_spread_of_a_box_stays_with_it_when_the_outline_is_complete(new_page) -> None:
    one = wire.Spread(0.5, (0.4, 0.5), (0.3, 0.6))
    stream, page = Fragments(SIZE, "segment"), new_page()
    page.apply(stream.feed(wire.MaskBox(bbox=BOX, spread=wire.BoxSpread(one, one, one, one), **R)))
    assert 'class="spread"' in page.html("marks")
    page.apply(stream.feed(wire.MaskDone(path="", coarse_path="", bbox=BOX, coarse_bbox=BOX, **R)))
    assert 'class="spread"' in page.html("marks")
    page.apply(stream.feed(done(wire.SegmentResult("", BOX, parse_error="Unexpected SVG token 'x'"))))
    assert 'class="spread"' not in page.html("marks")
    assert page.text("answer").startswith("No outline: what the model wrote is not a path.")


def test_a_stopped_outline_is_named(new_page) -> None:
    stream, page = Fragments(SIZE, "segment"), new_page()
    for event in (
        wire.MaskBox(bbox=BOX, **R),
        wire.MaskDelta(delta="M 0 0 L 1 0", **R),
        wire.RequestCancelled(reason="client", metrics=wire.Metrics(), **R),
    ):
        page.apply(stream.feed(event))
    assert page.text("status") == "Stopped after a part of the outline."


def test_a_gaze_goes_from_the_eye_to_its_target(new_page) -> None:
    stream, page = Fragments(SIZE, "gaze", eye=(0.25, 0.5)), new_page()
    page.apply(stream.feed(wire.GazeEvent(x=0.75, y=0.25, **R)))
    assert 'class="gaze-source eye" transform="translate(250 375)"' in page.html("marks")
    assert 'd="M250 375L750 187.5"' in page.html("marks")
    assert page.text("answer") == "Looks at x 0.750, y 0.250"
    assert 'data-ground="z0"' in page.html("list")


def test_a_gaze_from_a_face_starts_in_its_middle(new_page) -> None:
    stream, page = Fragments(SIZE, "gaze", face=wire.Box(0.1, 0.2, 0.3, 0.6)), new_page()
    page.apply(stream.feed(wire.GazeEvent(x=0.75, y=0.25, **R)))
    assert 'class="gaze-source face"' in page.html("marks")
    assert 'd="M200 300L750 187.5"' in page.html("marks")


def test_no_target_is_said_and_not_drawn(new_page) -> None:
    stream, page = Fragments(SIZE, "gaze", eye=(0.25, 0.5)), new_page()
    page.apply(stream.feed(done(wire.GazeResult())))
    assert page.text("answer") == "Looks outside the image: there is no target in it"
    assert page.html("marks") == "<marks/>"


def test_json_streams_as_text_and_ends_as_a_table(new_page) -> None:
    stream, page = Fragments(SIZE, "query", format="json_schema"), new_page()
    page.apply(stream.feed(wire.TextDelta(delta='[{"a": 1}', **R)))
    assert page.text("answer") == '[{"a": 1}'
    page.apply(stream.feed(wire.TextDelta(delta="]", **R)))
    page.apply(stream.feed(done(wire.QueryResult('[{"a": 1}]'))))
    assert "<td>" in page.html("answer")
    assert 'class="raw-toggle"' in page.html("answer")


def test_json_that_was_stopped_stays_text(new_page) -> None:
    stream, page = Fragments(SIZE, "query", format="json_object"), new_page()
    page.apply(stream.feed(wire.TextDelta(delta='{"a": 1', **R)))
    page.apply(stream.feed(wire.RequestCancelled(reason="client", metrics=wire.Metrics(), **R)))
    assert page.html("answer") == "<answer>{&quot;a&quot;: 1</answer>"


def test_probabilities_that_do_not_fit_the_text_vanish(new_page) -> None:
    stream, page = Fragments(SIZE, "query"), new_page()
    for event in (
        wire.ReasoningDelta(delta="ab", probs=((2, 0.5),), **R),
        wire.SpanOpen(index=0, start=2, **R),
        wire.ReasoningDelta(delta="cd", probs=((2, 0.5),), **R),
    ):
        page.apply(stream.feed(event))
    assert page.html("reasoning").count('class="tok"') == 2
    page.apply(stream.feed(wire.ReasoningDelta(delta="ef", probs=((9, 0.5),), **R)))
    assert (page.html("reasoning").count('class="tok"'), page.text("reasoning")) == (0, "abcdef")
    page.apply(stream.feed(wire.SpanPoint(index=0, x=0.5, y=0.5, **R)))
    page.apply(stream.feed(wire.SpanClose(index=0, end=6, points=((0.5, 0.5),), **R)))
    assert page.text("reasoning") == "abcdef1"


def test_words_get_their_token_when_it_comes_later(new_page) -> None:
    stream, page = Fragments(SIZE, "query"), new_page()
    (_, first) = stream.feed(wire.TextDelta(delta="one two ", probs=((3, 0.5),), **R))
    page.apply([first])
    (second,) = stream.feed(wire.TextDelta(delta="three ", probs=((4, 0.5), (6, 0.5)), **R))
    assert (first.op, second.op) == ("append", "replace")
    page.apply([second])
    assert (page.html("answer").count('class="tok"'), page.text("answer")) == (3, "one two three ")


@pytest.mark.parametrize(
    ("skill", "state", "result"),
    [
        ("gaze", {"gaze": {"x": 0.5, "y": 0.25}}, wire.GazeResult(wire.Point(0.5, 0.25))),
        ("gaze", {"gaze": None}, wire.GazeResult()),
        (
            "segment",
            {"mask": {"path": "M 0 0 L 1 1", "bbox": wire.to_json(BOX)}},
            wire.SegmentResult("M 0 0 L 1 1", BOX),
        ),
        ("segment", {"mask": None}, wire.SegmentResult("")),
        ("chat", {"text": "Two"}, wire.ChatResult("Two")),
    ],
)
def test_a_snapshot_of_any_skill(new_page, skill: str, state: dict[str, Any], result: wire.Result) -> None:
    stream = Fragments(SIZE, skill)
    stream.feed(wire.RequestSnapshot(state=state, **R))
    assert stream.result == result


def test_a_mask_goes_on_growing_after_a_snapshot(new_page) -> None:
    stream, page = Fragments(SIZE, "segment"), new_page()
    state = {"mask": {"path": "M 0 0 L 1 0", "bbox": wire.to_json(BOX)}}
    page.apply(stream.feed(wire.RequestSnapshot(state=state, **R)))
    page.apply(stream.feed(wire.MaskDelta(delta=" L 1 1", **R)))
    assert 'd="M250 187.5L750 187.5L750 562.5Z"' in page.html("marks")


def test_an_open_span_goes_on_after_a_snapshot(new_page) -> None:
    reasoning = {
        "text": "I see a d",
        "grounding": [],
        "open": {"index": 0, "start": 6, "points": [[0.5, 0.5]]},
    }
    stream, page = Fragments(SIZE, "query"), new_page()
    page.apply(stream.feed(wire.RequestSnapshot(state={"reasoning": reasoning}, **R)))
    assert 'data-key="g0.0"' in page.html("marks")
    page.apply(stream.feed(wire.ReasoningDelta(delta="og", **R)))
    page.apply(stream.feed(wire.SpanClose(index=0, end=11, points=((0.5, 0.5),), **R)))
    assert page.text("reasoning") == "I see a dog1"
    assert stream.result.reasoning == wire.Reasoning("I see a dog", (wire.Ground(6, 11, ((0.5, 0.5),)),))


def test_ids_of_a_further_part_are_its_own(new_page) -> None:
    first, second = Fragments(SIZE, "detect", name="dog"), Fragments(SIZE, "detect", name="a <cat>", part=2)
    box = wire.BoxEvent(index=0, x_min=0.4, y_min=0.4, x_max=0.6, y_max=0.6, **R)
    plain, numbered = first.feed(box), second.feed(box)
    assert {fragment.part for fragment in plain} == {0}
    assert {fragment.part for fragment in numbered} == {2}
    assert "part" not in plain[0].to_json()
    assert numbered[0].to_json()["part"] == 2
    page = new_page().apply(plain).apply(numbered)
    for slot in ("marks", "list"):
        assert 'data-ground="b0"' in page.html(slot)
        assert 'data-ground="2.b0"' in page.html(slot)
        assert 'data-label="dog"' in page.html(slot)
        assert 'data-label="a &lt;cat&gt;"' in page.html(slot)
    assert {fragment.part for fragment in second.everything()} == {2}
    assert {fragment.part for fragment in second.engine_gone()} == {2}


def test_spans_of_a_further_part_share_their_ids_with_its_marks(new_page) -> None:
    stream, page = Fragments(SIZE, "query", part=1), new_page()
    for event in (
        wire.SpanOpen(index=0, start=0, **R),
        wire.SpanPoint(index=0, x=0.5, y=0.5, **R),
        wire.ReasoningDelta(delta="a dog", **R),
        wire.SpanClose(index=0, end=5, points=((0.5, 0.5),), **R),
    ):
        page.apply(stream.feed(event))
    assert 'data-ground="1.g0"' in page.html("reasoning")
    assert 'data-ground="1.g0"' in page.html("marks")
    assert 'data-key="1.g0.0"' in page.html("marks")
    rebuilt = new_page().apply(stream.everything())
    assert rebuilt.all() == page.all()


def test_changes_of_different_parts_are_not_merged() -> None:
    pieces = [Fragment("answer", "append", "a"), Fragment("answer", "append", "b", part=1)]
    assert merged(pieces) == pieces
