"""Every request the server knows: its log, who listens, and when it is forgotten.

Invariants: each listener sees a request's events in order and without a gap; at most one terminal event is
ever published; a finished request is forgotten `replay_seconds` after its terminal event; a request that
nobody listens to is abandoned after `GRACE_SECONDS`, unless it asked to run on.

Only the event loop touches it. No sockets, no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from dreamscope.engine import errors, wire
from dreamscope.engine.server.clock import Clock, Timer
from dreamscope.engine.server.log import EventLog
from dreamscope.engine.server.outbox import Frame

REPLAY_SECONDS = 120.0
GRACE_SECONDS = 5.0


class Listener(Protocol):
    """A connection, as the registry sees it."""

    def push(self, frame: Frame) -> None:
        """Take one frame; never blocks, never raises."""

    def forget(self, request_id: str) -> None:
        """Drop unsent frames of a request: a replay follows."""


@dataclass(eq=False, slots=True)
class Record:
    """One request. `owner` is the key it was made with, `body_hash` tells a repeat from a clash."""

    request_id: str
    owner: str
    body_hash: str
    keep_running: bool
    log: EventLog = field(default_factory=EventLog)
    listeners: set[Listener] = field(default_factory=set)
    finished: bool = False
    accepted_at: float | None = None  # when it was accepted, if not by an engine
    grace: Timer | None = None


class Registry:
    """`abandon(request_id)` is called when a request lost its last listener for good."""

    def __init__(
        self, clock: Clock, abandon: Callable[[str], None], replay_seconds: float = REPLAY_SECONDS
    ) -> None:
        self._clock = clock
        self._abandon = abandon
        self._replay_seconds = replay_seconds
        self._records: dict[str, Record] = {}

    def lookup(self, request_id: str) -> Record | None:
        """The record, whoever owns it."""
        return self._records.get(request_id)

    def find(self, request_id: str, owner: str) -> Record:
        """The record of this owner. Raises `RequestUnknown`."""
        record = self._records.get(request_id)
        if record is None or record.owner != owner:
            raise errors.RequestUnknown(
                f"No request {request_id!r}: it was never created, or its events have expired.", "request_id"
            )
        return record

    def open(self, request_id: str, owner: str, body_hash: str, keep_running: bool) -> Record:
        """A new record; the id must be free."""
        assert request_id not in self._records
        record = Record(request_id, owner, body_hash, keep_running)
        self._records[request_id] = record
        return record

    def running(self) -> list[Record]:
        """The requests without a terminal event."""
        return [record for record in self._records.values() if not record.finished]

    def in_flight(self, listener: Listener) -> int:
        """How many running requests this connection listens to."""
        return sum(listener in record.listeners for record in self.running())

    def publish(self, request_id: str, events: Iterable[wire.Message]) -> None:
        """Log events and pass them to every listener. Ignored after the terminal event or for an unknown
        id: the engine may still be talking about a request that was forgotten.
        """
        record = self._records.get(request_id)
        if record is None:
            return
        for event in events:
            if record.finished:
                return
            frame = Frame.of(event)
            record.log.append(frame)
            for listener in tuple(record.listeners):
                listener.push(frame)
            if isinstance(event, wire.TERMINAL):
                self._finish(record)

    def attach(self, record: Record, listener: Listener, after: int) -> None:
        """Replay everything past `after` to the listener, then keep it informed."""
        if listener in record.listeners:
            listener.forget(record.request_id)
        if record.grace is not None:
            record.grace.cancel()
            record.grace = None
        for frame in record.log.after(record.request_id, after):
            listener.push(frame)
        record.listeners.add(listener)

    def detach(self, listener: Listener) -> None:
        """The connection is gone."""
        for record in self._records.values():
            if listener not in record.listeners:
                continue
            record.listeners.discard(listener)
            if not (record.listeners or record.finished or record.keep_running):
                record.grace = self._clock.call_later(GRACE_SECONDS, partial(self._give_up, record))

    def forget(self, request_id: str) -> None:
        """Free the id."""
        self._records.pop(request_id, None)

    def _give_up(self, record: Record) -> None:
        record.grace = None
        if not record.finished:
            self._abandon(record.request_id)

    def _finish(self, record: Record) -> None:
        record.finished = True
        if self._replay_seconds > 0:
            self._clock.call_later(self._replay_seconds, partial(self._expire, record))
        else:
            self._expire(record)

    def _expire(self, record: Record) -> None:
        if self._records.get(record.request_id) is record:
            del self._records[record.request_id]
