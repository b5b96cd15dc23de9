"""The registry under arbitrary interleavings: what each listener sees is complete, ordered, ended once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import errors, wire
from dreamscope.engine.server.outbox import Frame, Outbox
from dreamscope.engine.server.registry import GRACE_SECONDS, REPLAY_SECONDS, Registry


class Viewer:
    """A listener with an outbox, and what it has received over all its connections."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.received: list[wire.RequestEvent] = []

    def push(self, frame: Frame) -> None:
        self.outbox.push(frame, 0.0)

    def forget(self, request_id: str) -> None:
        self.outbox.forget(request_id)

    def read(self) -> None:
        while (line := self.outbox.pop(1e9)) is not None:
            event = wire.decode(line)
            assert isinstance(event, wire.RequestEvent)
            self.received.append(event)

    @property
    def last(self) -> int:
        return self.received[-1].seq if self.received else -1


def open_request(registry: Registry, request_id: str = "a", keep_running: bool = False):
    return registry.open(request_id, "anyone", "hash", keep_running)


def delta(seq: int) -> wire.TextDelta:
    return wire.TextDelta(request_id="a", seq=seq, t=float(seq), delta=f"{seq} ")


def ended(seq: int) -> wire.RequestDone:
    return wire.RequestDone(request_id="a", seq=seq, finish_reason="stop", output={}, metrics=wire.Metrics())


STEPS = st.lists(
    st.tuples(st.sampled_from(["event", "read", "drop", "resume", "end"]), st.integers(0, 1)), max_size=60
)


@given(STEPS)
def test_every_viewer_ends_with_the_same_complete_stream(steps):
    registry = Registry(_Clock(), lambda request_id: None)
    record = open_request(registry, keep_running=True)
    viewers = [Viewer(), Viewer()]
    attached = [False, False]
    seq = -1

    def connect(who: int) -> None:
        if not attached[who]:
            viewers[who].outbox.clear()  # a new connection starts with nothing queued
        registry.attach(record, viewers[who], viewers[who].last)
        attached[who] = True

    for action, who in steps:
        if action == "event":
            seq += 1
            registry.publish("a", [delta(seq)])
        elif action == "read":
            viewers[who].read()
        elif action == "drop" and attached[who]:
            registry.detach(viewers[who])
            attached[who] = False
        elif action == "resume":
            connect(who)
        elif action == "end":
            registry.publish("a", [ended(seq + 1), delta(seq + 2)])
            break
    if not record.finished:
        registry.publish("a", [ended(seq + 1)])
    whole = "".join(f"{i} " for i in range(seq + 1))
    for who, viewer in enumerate(viewers):
        connect(who)
        viewer.read()
        last = -1
        for event in viewer.received:
            assert (event.seq if event.first_seq is None else event.first_seq) == last + 1
            last = event.seq
        assert "".join(e.delta for e in viewer.received if isinstance(e, wire.TextDelta)) == whole
        assert [isinstance(e, wire.TERMINAL) for e in viewer.received].count(True) == 1
        assert isinstance(viewer.received[-1], wire.RequestDone)


class _Clock:
    def now(self) -> float:
        return 0.0

    def call_later(self, delay, callback):
        return self

    def cancel(self) -> None:
        """Nothing is ever due."""


def test_abandoned_only_after_the_grace_and_only_once(clock):
    abandoned: list[str] = []
    registry = Registry(clock, abandoned.append)
    record = open_request(registry)
    one, two = Viewer(), Viewer()
    registry.attach(record, one, -1)
    registry.attach(record, two, -1)
    registry.detach(one)
    clock.advance(GRACE_SECONDS * 2)
    assert abandoned == []
    registry.detach(two)
    clock.advance(GRACE_SECONDS - 0.1)
    registry.attach(record, one, -1)
    clock.advance(GRACE_SECONDS * 2)
    assert abandoned == []
    registry.detach(one)
    clock.advance(GRACE_SECONDS)
    clock.advance(GRACE_SECONDS)
    assert abandoned == ["a"]


def test_a_finished_request_is_not_abandoned_but_expires(clock):
    abandoned: list[str] = []
    registry = Registry(clock, abandoned.append)
    record = open_request(registry)
    viewer = Viewer()
    registry.attach(record, viewer, -1)
    registry.detach(viewer)
    registry.publish("a", [ended(0)])
    clock.advance(REPLAY_SECONDS - 1)
    assert abandoned == []
    assert registry.find("a", "anyone") is record
    clock.advance(1)
    with pytest.raises(errors.RequestUnknown):
        registry.find("a", "anyone")


def test_events_after_the_end_or_of_strangers_are_ignored(clock):
    registry = Registry(clock, lambda request_id: None)
    record = open_request(registry)
    viewer = Viewer()
    registry.attach(record, viewer, -1)
    registry.publish("a", [ended(0), replace(ended(1)), delta(2)])
    registry.publish("a", [delta(3)])
    registry.publish("stranger", [delta(0)])
    viewer.read()
    assert [event.seq for event in viewer.received] == [0]
    assert record.log.last_seq == 0


def test_in_flight_counts_running_requests_of_a_listener(clock):
    registry = Registry(clock, lambda request_id: None)
    viewer = Viewer()
    for name in "abc":
        registry.attach(open_request(registry, name), viewer, -1)
    assert registry.in_flight(viewer) == 3
    registry.publish("a", [ended(0)])
    assert registry.in_flight(viewer) == 2
    assert registry.in_flight(Viewer()) == 0
