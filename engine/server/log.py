"""The events of one request, kept for resuming: bounded, and what falls out is folded into a snapshot.

Invariants: kept events are consecutive and end with the newest; `snapshot + kept` is always the whole
request; the newest event is never trimmed, however large.
"""

from __future__ import annotations

from collections import deque

from dreamscope.engine import wire
from dreamscope.engine.server.outbox import Frame
from dreamscope.engine.server.state import Accumulated

MAX_EVENTS = 4096
MAX_BYTES = 1024 * 1024


class EventLog:
    """Append-only; `after` answers a resume."""

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._trimmed = Accumulated()
        self._trimmed_seq = -1
        self._trimmed_t = 0.0
        self._last_seq = -1

    @property
    def last_seq(self) -> int:
        """`seq` of the newest event, -1 when there is none."""
        return self._last_seq

    @property
    def trimmed_seq(self) -> int:
        """`seq` of the newest event that is no longer kept, -1 when all are."""
        return self._trimmed_seq

    def append(self, frame: Frame) -> None:
        """Keep the next event; trims from the old end."""
        event = frame.message
        assert isinstance(event, wire.RequestEvent)
        self._frames.append(frame)
        self._bytes += len(frame.text)
        self._last_seq = event.seq
        while len(self._frames) > 1 and (
            len(self._frames) > self._max_events or self._bytes > self._max_bytes
        ):
            self._trim()

    def after(self, request_id: str, seq: int) -> list[Frame]:
        """What a client that has seen everything up to `seq` (-1: nothing) still needs, in order."""
        if seq < self._trimmed_seq:
            snapshot = wire.RequestSnapshot(
                request_id=request_id,
                seq=self._trimmed_seq,
                t=self._trimmed_t,
                state=self._trimmed.state(),
            )
            return [Frame.of(snapshot), *self._frames]
        return [frame for frame in self._frames if _seq(frame) > seq]

    def _trim(self) -> None:
        frame = self._frames.popleft()
        event = frame.message
        assert isinstance(event, wire.RequestEvent)
        self._bytes -= len(frame.text)
        self._trimmed.feed(event)
        self._trimmed_seq = event.seq
        self._trimmed_t = event.t


def _seq(frame: Frame) -> int:
    assert isinstance(frame.message, wire.RequestEvent)
    return frame.message.seq
