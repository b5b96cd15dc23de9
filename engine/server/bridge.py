"""From the engine's thread to the event loop: one wake-up for a tick, however many requests it moved on.

The engine never waits for the loop. While that is busy, batches pile up here; a request with `LIMIT` events
waiting has its text merged from then on, so that what waits is bounded by what cannot be merged.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from dreamscope.engine import wire
from dreamscope.engine.runtime.job import Batches
from dreamscope.engine.server.deltas import join

LIMIT = 64
Publish = Callable[[str, list[wire.Message]], None]


class LoopBridge:
    """Calls `publish(request_id, events)` on the loop for everything delivered, in order by request."""

    def __init__(self, loop: asyncio.AbstractEventLoop, publish: Publish, limit: int = LIMIT) -> None:
        self._loop = loop
        self._publish = publish
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: dict[str, list[wire.Message]] = {}
        self.merged = 0
        """Deltas that did not leave by themselves, since the start."""

    def deliver(self, batches: Batches) -> None:
        """Take the events of a tick. Any thread; returns at once."""
        with self._lock:
            idle = not self._waiting
            for request_id, events in batches:
                waiting = self._waiting.setdefault(request_id, [])
                for event in events:
                    self._append(waiting, event)
        if idle and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._drain)

    def _append(self, waiting: list[wire.Message], event: wire.Message) -> None:
        if len(waiting) >= self._limit:
            both = join(waiting[-1], event)
            if both is not None:
                waiting[-1] = both
                self.merged += 1
                return
        waiting.append(event)

    def _drain(self) -> None:
        with self._lock:
            batches, self._waiting = self._waiting, {}
        for request_id, events in batches.items():
            self._publish(request_id, events)
