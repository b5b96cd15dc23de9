"""What one connection still has to send: a bounded queue that merges text instead of growing.

The engine never waits for a socket, so something must give when a reader is slow. Rules:

1. Events of one request leave in the order they came; requests may overtake each other.
2. A delta is merged into the last unsent event of its request if that is a delta of the same type and the
   merged frame stays small. The merged event carries the last `seq`, the first as `first_seq`, the sum of
   `n` and the token probabilities of all, one after the other. Nothing else is merged, and nothing is dropped
   but an older `stats` that has not left when a newer one comes.
3. The first delta after a change of phase may leave at once. The ones behind it are held for up to 16 ms
   from the frame before, so that a fast model costs 60 frames a second instead of one per token.
   Whatever follows a held delta of the same request releases it.
4. Above `limit` unsent bytes the outbox is `overflowing`; the connection is closed and the client resumes.

No sockets, no clock, no locks: the event loop owns it and passes the time in.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dreamscope.engine import wire
from dreamscope.engine.server.deltas import Delta, probs_of

MERGE_BYTES = 32 * 1024
LIMIT_BYTES = 4 * 1024 * 1024
HOLD_SECONDS = 0.016


@dataclass(frozen=True, slots=True)
class Frame:
    """A message and its text, encoded once for the log and for every connection."""

    message: wire.Message
    text: str

    @classmethod
    def of(cls, message: wire.Message) -> Frame:
        """Encode `message`."""
        return cls(message, wire.encode(message))


class _Entry:
    """One future frame: `frame`, or the merge of `parts` ending with `last`."""

    __slots__ = ("due", "frame", "last", "n", "parts", "probs", "size")

    def __init__(self, frame: Frame, due: float) -> None:
        self.frame = frame
        self.due = due
        self.size = len(frame.text)
        self.last = frame.message
        self.parts: list[str] = []
        self.probs: list[tuple[int, float]] = []
        self.n = 0
        if isinstance(frame.message, wire.MERGEABLE):
            self.parts.append(frame.message.delta)
            self.probs += probs_of(frame.message)
            self.n = frame.message.n

    def merge(self, message: Delta) -> int:
        """Append a delta; returns by how many bytes the frame grows (ASCII, so characters)."""
        probs = probs_of(message)
        self.parts.append(message.delta)
        self.probs += probs
        self.n += message.n
        self.last = message
        grown = len(json.dumps(message.delta)) - 2
        if probs:
            grown += len(json.dumps(probs, separators=(",", ":")))
        self.size += grown
        return grown

    def text(self) -> str:
        """The frame as it goes out."""
        first, last = self.frame.message, self.last
        if last is first:
            return self.frame.text
        assert isinstance(first, wire.MERGEABLE)
        assert isinstance(last, wire.MERGEABLE)
        first_seq = first.seq if first.first_seq is None else first.first_seq
        merged = dataclasses.replace(last, delta="".join(self.parts), n=self.n, first_seq=first_seq)
        if not isinstance(merged, wire.MaskDelta):
            merged = dataclasses.replace(merged, probs=tuple(self.probs) or None)
        return wire.encode(merged)


class Outbox:
    """See the module. Times are seconds of one monotonic clock."""

    def __init__(
        self, limit: int = LIMIT_BYTES, merge: int = MERGE_BYTES, hold: float = HOLD_SECONDS
    ) -> None:
        self._limit = limit
        self._merge = merge
        self._hold = hold
        self._queue: deque[_Entry] = deque()
        self._tails: dict[str, _Entry] = {}  # request -> its last unsent entry
        self._sent: dict[str, tuple[type, float]] = {}  # request -> its last delta frame: type, time
        self._bytes = 0

    @property
    def unsent(self) -> int:
        """Bytes waiting."""
        return self._bytes

    @property
    def overflowing(self) -> bool:
        """True when the reader is too slow to be served."""
        return self._bytes > self._limit

    def has(self, kind: type[wire.Message]) -> bool:
        """Whether a message of this kind waits."""
        return any(isinstance(entry.frame.message, kind) for entry in self._queue)

    def __len__(self) -> int:
        return len(self._queue)

    def push(self, frame: Frame, now: float) -> None:
        """Queue a frame."""
        message = frame.message
        if isinstance(message, wire.Stats):
            self._keep(lambda entry: not isinstance(entry.frame.message, wire.Stats))
        if not isinstance(message, wire.RequestEvent):
            self._append(frame, now)
            return
        tail = self._tails.get(message.request_id)
        if isinstance(message, wire.MERGEABLE):
            fits = tail is not None and tail.size + len(frame.text) <= self._merge
            if tail is not None and type(tail.last) is type(message) and fits:
                self._bytes += tail.merge(message)
                return
            kind, at = self._sent.get(message.request_id, (None, 0.0))
            due = at + self._hold if tail is None and kind is type(message) else now
        else:
            due = now
            if isinstance(message, wire.TERMINAL):
                self._sent.pop(message.request_id, None)
        if tail is not None:
            tail.due = min(tail.due, now)
        self._tails[message.request_id] = self._append(frame, due)

    def pop(self, now: float) -> str | None:
        """The next frame that may leave, or `None`."""
        for index, entry in enumerate(self._queue):
            if entry.due <= now:
                del self._queue[index]
                self._leave(entry, now)
                return entry.text()
        return None

    def next_due(self) -> float | None:
        """When the next held frame may leave; `None` when nothing waits."""
        return min((entry.due for entry in self._queue), default=None)

    def forget(self, request_id: str) -> None:
        """Drop what waits for this request, because its events are about to be replayed."""
        self._keep(lambda entry: _request_of(entry) != request_id)
        self._tails.pop(request_id, None)

    def clear(self) -> None:
        """Drop everything."""
        self._queue.clear()
        self._tails.clear()
        self._bytes = 0

    def _keep(self, wanted: Callable[[_Entry], bool]) -> None:
        self._queue = deque(entry for entry in self._queue if wanted(entry))
        self._bytes = sum(entry.size for entry in self._queue)

    def _append(self, frame: Frame, due: float) -> _Entry:
        entry = _Entry(frame, due)
        self._queue.append(entry)
        self._bytes += entry.size
        return entry

    def _leave(self, entry: _Entry, now: float) -> None:
        self._bytes -= entry.size
        request_id = _request_of(entry)
        if request_id is None:
            return
        if self._tails.get(request_id) is entry:
            del self._tails[request_id]
        if isinstance(entry.last, wire.MERGEABLE):
            self._sent[request_id] = (type(entry.last), now)
        elif isinstance(entry.last, wire.TERMINAL):
            self._sent.pop(request_id, None)


def _request_of(entry: _Entry) -> str | None:
    message = entry.frame.message
    return message.request_id if isinstance(message, wire.RequestEvent) else None
