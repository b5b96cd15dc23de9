"""The outbox: order, merging, holding, bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.engine.server.outbox import HOLD_SECONDS, Frame, Outbox


def text(request_id: str, seq: int, delta: str = "x", n: int = 1, probs: Any = None) -> Frame:
    return Frame.of(
        wire.TextDelta(request_id=request_id, seq=seq, t=float(seq), delta=delta, n=n, probs=probs)
    )


def reasoning(request_id: str, seq: int, delta: str = "x", probs: Any = None) -> Frame:
    return Frame.of(
        wire.ReasoningDelta(request_id=request_id, seq=seq, t=float(seq), delta=delta, probs=probs)
    )


def point(request_id: str, seq: int) -> Frame:
    return Frame.of(wire.PointEvent(request_id=request_id, seq=seq, t=float(seq), index=0, x=0.5, y=0.5))


def done(request_id: str, seq: int) -> Frame:
    return Frame.of(
        wire.RequestDone(
            request_id=request_id, seq=seq, finish_reason="stop", output={}, metrics=wire.Metrics()
        )
    )


def drain(outbox: Outbox, now: float) -> list[wire.Message]:
    messages = []
    while (line := outbox.pop(now)) is not None:
        messages.append(wire.decode(line))
    return messages


def test_a_single_delta_leaves_unchanged():
    outbox = Outbox()
    frame = text("a", 3, "caf\u00e9")
    outbox.push(frame, 0.0)
    assert outbox.pop(0.0) == frame.text
    assert outbox.pop(0.0) is None
    assert outbox.unsent == 0


def test_waiting_deltas_merge_with_first_seq_last_time_and_summed_n():
    outbox = Outbox()
    for seq in (5, 6, 7):
        outbox.push(text("a", seq, f"<{seq}>", n=2), 0.0)
    (merged,) = drain(outbox, 0.0)
    assert merged == wire.TextDelta(request_id="a", seq=7, first_seq=5, t=7.0, delta="<5><6><7>", n=6)


@pytest.mark.parametrize("make", [text, reasoning])
def test_probabilities_are_merged_in_order(make: Any):
    outbox = Outbox()
    outbox.push(make("a", 0, "ab", probs=((2, 0.5),)), 0.0)
    outbox.push(make("a", 1, "c"), 0.0)  # its token is not complete
    outbox.push(make("a", 2, "de", probs=((1, 0.25), (2, 0.75))), 0.0)
    (merged,) = drain(outbox, 0.0)
    assert (merged.delta, merged.n) == ("abcde", 3)
    assert merged.probs == ((2, 0.5), (1, 0.25), (2, 0.75))


def test_a_path_has_no_probabilities():
    outbox = Outbox()
    for seq, piece in enumerate(("M 0 0", " L 1 1")):
        outbox.push(Frame.of(wire.MaskDelta(request_id="a", seq=seq, delta=piece)), 0.0)
    (merged,) = drain(outbox, 0.0)
    assert merged == wire.MaskDelta(request_id="a", seq=1, first_seq=0, delta="M 0 0 L 1 1", n=2)


def test_merged_probabilities_count_as_bytes():
    outbox = Outbox(merge=4096)
    for seq in range(300):
        outbox.push(text("a", seq, "yy", probs=((2, 0.123456789012),)), 0.0)
    lines = []
    while (line := outbox.pop(1.0)) is not None:
        lines.append(line)
    assert max(map(len, lines)) <= 4096 + 100
    assert sum(len(json.loads(line)["probs"]) for line in lines) == 300
    assert outbox.unsent == 0


def test_merging_a_merged_delta_keeps_the_oldest_first_seq():
    outbox = Outbox()
    outbox.push(Frame.of(wire.TextDelta(request_id="a", seq=4, first_seq=2, delta="ab", n=3)), 0.0)
    outbox.push(text("a", 5, "c"), 0.0)
    (merged,) = drain(outbox, 0.0)
    assert isinstance(merged, wire.TextDelta)
    assert (merged.first_seq, merged.seq, merged.n, merged.delta) == (2, 5, 4, "abc")


def test_other_types_and_other_requests_are_not_merged():
    outbox = Outbox()
    for frame in (reasoning("a", 0), text("b", 0), text("a", 1), point("a", 2), text("a", 3)):
        outbox.push(frame, 0.0)
    kinds = [(m.request_id, m.seq, m.wire_type) for m in drain(outbox, 0.0)]
    assert kinds == [
        ("a", 0, "reasoning.delta"),
        ("b", 0, "text.delta"),
        ("a", 1, "text.delta"),
        ("a", 2, "point"),
        ("a", 3, "text.delta"),
    ]


def test_a_delta_merges_past_events_of_other_requests():
    outbox = Outbox()
    for frame in (text("a", 0), point("b", 0), text("a", 1)):
        outbox.push(frame, 0.0)
    assert [(m.request_id, m.seq) for m in drain(outbox, 0.0)] == [("a", 1), ("b", 0)]


def test_first_delta_of_a_phase_leaves_at_once_and_the_next_are_held():
    outbox = Outbox()
    outbox.push(reasoning("a", 0), 10.0)
    assert len(drain(outbox, 10.0)) == 1
    outbox.push(reasoning("a", 1), 10.001)
    assert drain(outbox, 10.002) == []
    assert outbox.next_due() == 10.0 + HOLD_SECONDS
    outbox.push(reasoning("a", 2), 10.01)
    (merged,) = drain(outbox, 10.0 + HOLD_SECONDS)
    assert isinstance(merged, wire.ReasoningDelta)
    assert (merged.first_seq, merged.seq) == (1, 2)


def test_a_new_phase_releases_the_held_delta_and_leaves_at_once():
    outbox = Outbox()
    outbox.push(reasoning("a", 0), 10.0)
    drain(outbox, 10.0)
    outbox.push(reasoning("a", 1), 10.001)
    outbox.push(text("a", 2), 10.002)
    assert [m.wire_type for m in drain(outbox, 10.002)] == ["reasoning.delta", "text.delta"]


def test_a_held_delta_does_not_hold_up_other_requests():
    outbox = Outbox()
    outbox.push(text("a", 0), 10.0)
    drain(outbox, 10.0)
    outbox.push(text("a", 1), 10.001)
    outbox.push(text("b", 0), 10.002)
    assert [m.request_id for m in drain(outbox, 10.002)] == ["b"]


def test_a_terminal_event_releases_the_held_delta():
    outbox = Outbox()
    outbox.push(text("a", 0), 10.0)
    drain(outbox, 10.0)
    outbox.push(text("a", 1), 10.001)
    outbox.push(done("a", 2), 10.001)
    assert [m.wire_type for m in drain(outbox, 10.001)] == ["text.delta", "request.done"]


def test_merged_frames_stay_small_enough_for_any_client():
    outbox = Outbox(merge=32 * 1024)
    for seq in range(3000):
        outbox.push(text("a", seq, "y" * 100), 0.0)
    lines = []
    while (line := outbox.pop(1.0)) is not None:
        lines.append(line)
    assert max(map(len, lines)) <= 32 * 1024 + 100
    assert len(lines) < 15
    assert sum(len(json.loads(line)["delta"]) for line in lines) == 300_000


def test_overflow_counts_bytes_and_clear_empties():
    outbox = Outbox(limit=1000)
    seq = 0
    while not outbox.overflowing:
        outbox.push(point("a", seq), 0.0)
        seq += 1
    assert outbox.unsent > 1000
    outbox.clear()
    assert outbox.unsent == 0
    assert outbox.pop(1.0) is None


def test_forget_drops_one_request_only():
    outbox = Outbox()
    for frame in (text("a", 0), text("b", 0), point("a", 1)):
        outbox.push(frame, 0.0)
    outbox.forget("a")
    outbox.push(text("a", 0, "again"), 0.0)
    assert [(m.request_id, m.seq) for m in drain(outbox, 1.0)] == [("b", 0), ("a", 0)]
    assert outbox.unsent == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abc"), st.sampled_from("rtp"), st.text(max_size=8), st.booleans()),
        st.tuples(st.just("pop"), st.floats(0, 0.05), st.none(), st.none()),
    ),
    max_size=120,
)


@given(STEPS)
def test_no_gap_no_loss_no_reordering(steps):
    """Whatever is pushed and popped when, each request's stream is complete and contiguous."""
    outbox = Outbox()
    now = 0.0
    seqs: dict[str, int] = {}
    sent: dict[str, str] = {}
    counts: dict[str, int] = {}
    received: list[wire.Message] = []
    make = {"r": reasoning, "t": text}
    probs: dict[str, list[tuple[int, float]]] = {}
    for who, what, delta, sure in steps:
        if who == "pop":
            now += what
            received += drain(outbox, now)
            continue
        seq = seqs[who] = seqs.get(who, -1) + 1
        if what == "p":
            outbox.push(point(who, seq), now)
            continue
        token = ((len(delta), 1 / (seq + 2)),) if sure else None
        outbox.push(make[what](who, seq, delta, probs=token), now)
        probs.setdefault(who + what, []).extend(token or ())
        sent[who + what] = sent.get(who + what, "") + delta
        counts[who + what] = counts.get(who + what, 0) + 1
    received += drain(outbox, now + 1.0)
    assert len(outbox) == 0
    assert outbox.unsent == 0
    last: dict[str, int] = {}
    got: dict[str, str] = {}
    n: dict[str, int] = {}
    told: dict[str, list[tuple[int, float]]] = {}
    for message in received:
        assert isinstance(message, wire.RequestEvent)
        first = message.seq if message.first_seq is None else message.first_seq
        assert first == last.get(message.request_id, -1) + 1
        last[message.request_id] = message.seq
        if isinstance(message, wire.MERGEABLE):
            key = message.request_id + message.wire_type[0]
            got[key] = got.get(key, "") + message.delta
            n[key] = n.get(key, 0) + message.n
            told.setdefault(key, []).extend(message.probs or ())
    assert last == seqs
    assert got == sent
    assert n == counts
    assert told == probs


def test_newer_stats_replace_older_ones_that_have_not_left():
    outbox = Outbox()
    outbox.push(Frame.of(wire.Stats(status="running", model="m", processing=1)), 0.0)
    outbox.push(Frame.of(wire.Models(())), 0.0)
    outbox.push(Frame.of(wire.Stats(status="running", model="m", processing=2)), 0.0)
    left = [wire.decode(text) for text in iter(lambda: outbox.pop(0.0), None)]
    assert [type(message) for message in left] == [wire.Models, wire.Stats]
    assert left[1].processing == 2
    assert outbox.unsent == 0
