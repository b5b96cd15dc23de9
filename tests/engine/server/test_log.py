"""The event log and the snapshot that replaces what it trimmed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.engine.server.log import EventLog
from dreamscope.engine.server.outbox import Frame
from dreamscope.engine.server.state import Accumulated


def script() -> list[wire.Message]:
    """A grounded answer, then marks: every event that changes the state."""
    rid = {"request_id": "a"}
    grounding = (wire.Ground(6, 9, ((0.25, 0.5),)),)
    events: list[wire.Message] = [
        wire.RequestAccepted(**rid, model="m", skill="query"),
        wire.RequestStarted(**rid, input_tokens=741, cached_tokens=0),
        wire.ReasoningDelta(**rid, delta="I see "),
        wire.SpanOpen(**rid, index=0, start=6),
        wire.SpanPoint(**rid, index=0, x=0.25, y=0.5),
        wire.ReasoningDelta(**rid, delta="cup"),
        wire.SpanClose(**rid, index=0, end=9, points=((0.25, 0.5),)),
        wire.SpanOpen(**rid, index=1, start=9),
        wire.SpanClose(**rid, index=1, end=9, points=()),
        wire.ReasoningDone(**rid, text="I see cup", grounding=grounding),
        wire.TextDelta(**rid, delta="On"),
        wire.TextDelta(**rid, delta="e"),
        wire.PointEvent(**rid, index=0, x=0.1, y=0.2),
        wire.BoxCenter(**rid, index=0, x=0.5, y=0.5),
        wire.BoxEvent(**rid, index=0, x_min=0.4, y_min=0.4, x_max=0.6, y_max=0.6),
        wire.RequestDone(**rid, finish_reason="stop", output={}, metrics=wire.Metrics()),
    ]
    return [_numbered(event, seq) for seq, event in enumerate(events)]


PLACE = wire.PlaceSpread(
    wire.Spread(0.5, (0.2, 0.3), (0.125, 0.375)), wire.Spread(0.25, (0.5, 0.5), (0.25, 0.75))
)
EXTENT = wire.BoxSpread(PLACE.x, PLACE.y, PLACE.y, PLACE.x)


def uncertain_script() -> list[wire.Message]:
    """The same, where uncertainty was asked for: one token a word, the last of the reasoning held back."""
    grounding = (wire.Ground(6, 9, ((0.25, 0.5),), (PLACE,)),)
    probs = ((2, 0.9), (4, 0.5), (3, 0.25))
    extra: list[dict[str, Any]] = [{} for _ in script()]
    extra[2] = {"probs": probs[:1]}
    extra[4] = {"spread": PLACE}
    extra[5] = {"probs": probs[1:]}
    extra[6] = {"spreads": (PLACE,)}
    extra[9] = {"grounding": grounding, "probs": probs}
    extra[11] = {"probs": ((3, 0.75),)}
    extra[12] = {"spread": PLACE}
    extra[13] = {"spread": PLACE}
    extra[14] = {"spread": EXTENT}
    return [replace(event, **fields) for event, fields in zip(script(), extra, strict=True)]


def _numbered(event: wire.Message, seq: int) -> wire.Message:
    return replace(event, seq=seq, t=float(seq))


def fold(messages: list[wire.Message]) -> dict:
    state = Accumulated()
    for message in messages:
        state.feed(message)
    return state.state()


def test_state_of_a_whole_request():
    assert fold(script()) == {
        "status": "done",
        "reasoning": {
            "text": "I see cup",
            "grounding": [{"start_idx": 6, "end_idx": 9, "points": [[0.25, 0.5]]}],
            "open": None,
        },
        "text": "One",
        "points": [{"x": 0.1, "y": 0.2}],
        "boxes": [{"x_min": 0.4, "y_min": 0.4, "x_max": 0.6, "y_max": 0.6}],
        "gaze": None,
        "mask": None,
    }


def test_state_in_the_middle_of_a_span():
    state = fold(script()[:6])
    assert state["status"] == "running"
    assert state["reasoning"] == {
        "text": "I see cup",
        "grounding": [],
        "open": {"index": 0, "start": 6, "points": [[0.25, 0.5]]},
    }


def test_state_with_uncertainty():
    state = fold(uncertain_script())
    ground = {
        "start_idx": 6,
        "end_idx": 9,
        "points": [[0.25, 0.5]],
        "spreads": [wire.to_json(PLACE)],
    }
    assert state["reasoning"] == {
        "text": "I see cup",
        "grounding": [ground],
        "probs": [[2, 0.9], [4, 0.5], [3, 0.25]],
        "open": None,
    }
    assert state["probs"] == [[3, 0.75]]
    assert state["points"] == [{"x": 0.1, "y": 0.2, "spread": wire.to_json(PLACE)}]
    assert [box["spread"] for box in state["boxes"]] == [wire.to_json(EXTENT)]


def test_state_with_uncertainty_in_the_middle_of_a_span():
    state = fold(uncertain_script()[:6])
    assert state["reasoning"] == {
        "text": "I see cup",
        "grounding": [],
        "probs": [[2, 0.9], [4, 0.5], [3, 0.25]],
        "open": {"index": 0, "start": 6, "points": [[0.25, 0.5]], "spreads": [wire.to_json(PLACE)]},
    }
    closed = fold(uncertain_script()[:7])
    assert closed["reasoning"]["grounding"][0]["spreads"] == [wire.to_json(PLACE)]


def test_state_of_gaze_and_mask_with_uncertainty():
    rid = {"request_id": "a"}
    box = wire.Box(0.1, 0.1, 0.5, 0.5)
    events = [
        wire.GazeEvent(**rid, x=0.25, y=0.5, spread=PLACE),
        wire.MaskBox(**rid, bbox=box, spread=EXTENT),
    ]
    state = fold(events)
    assert state["gaze"] == {"x": 0.25, "y": 0.5, "spread": wire.to_json(PLACE)}
    assert state["mask"]["bbox"] == {**wire.to_json(box), "spread": wire.to_json(EXTENT)}
    whole = replace(box, spread=EXTENT)
    done = wire.MaskDone(**rid, path="M 0 0", coarse_path="M 0 0", bbox=whole, coarse_bbox=whole)
    assert fold([*events, done])["mask"]["bbox"] == state["mask"]["bbox"]


def test_state_without_reasoning_has_none():
    plain = [event for event in script() if isinstance(event, (wire.RequestStarted, wire.TextDelta))]
    assert fold(plain)["reasoning"] is None
    assert fold(plain)["text"] == "One"


def test_untrimmed_log_replays_what_was_missed():
    log = EventLog()
    frames = [Frame.of(event) for event in script()]
    for frame in frames:
        log.append(frame)
    assert log.after("a", -1) == frames
    assert log.after("a", 9) == frames[10:]
    assert log.after("a", 15) == []
    assert log.after("a", 99) == []


def test_trimmed_log_starts_with_a_snapshot():
    log = EventLog(max_events=4)
    frames = [Frame.of(event) for event in script()]
    for frame in frames:
        log.append(frame)
    snapshot, *rest = log.after("a", 3)
    assert isinstance(snapshot.message, wire.RequestSnapshot)
    assert snapshot.message.seq == 11
    assert snapshot.message.state == fold(script()[:12])
    assert rest == frames[12:]
    assert log.after("a", 11) == frames[12:]
    assert log.after("a", 13) == frames[14:]


def test_byte_bound_trims_and_a_giant_event_survives_alone():
    log = EventLog(max_bytes=2000)
    for seq in range(10):
        log.append(Frame.of(wire.TextDelta(request_id="a", seq=seq, delta="x" * 300)))
    assert log.trimmed_seq >= 3
    log.append(Frame.of(wire.TextDelta(request_id="a", seq=10, delta="y" * 9000)))
    assert log.trimmed_seq == 9
    (snapshot, kept) = log.after("a", -1)
    assert snapshot.message.state["text"] == "x" * 3000
    assert kept.message.delta == "y" * 9000


@pytest.mark.parametrize("whole", [script(), uncertain_script()], ids=["plain", "uncertain"])
@given(max_events=st.integers(1, 20), seen=st.integers(-1, 16), published=st.integers(1, 16))
def test_whatever_was_seen_a_resume_completes_it(whole, max_events, seen, published):
    """Seen events plus the resumed ones fold to the state of all events, at every bound and cut."""
    events = whole[:published]
    log = EventLog(max_events=max_events)
    for event in events:
        log.append(Frame.of(event))
    resumed = [frame.message for frame in log.after("a", seen)]
    if resumed and isinstance(resumed[0], wire.RequestSnapshot):
        snapshot = resumed.pop(0)
        assert snapshot.state == fold(events[: snapshot.seq + 1])
        expected = snapshot.seq + 1
    else:
        expected = seen + 1
    assert [event.seq for event in resumed] == list(range(expected, published))
