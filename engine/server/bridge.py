"""From the engine's thread to the event loop, with one wake-up for many batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from dreamscope.engine import wire

Publish = Callable[[str, list[wire.Message]], None]


class LoopBridge:
    """Queues batches of events and calls `publish(request_id, events)` on the loop, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, publish: Publish) -> None:
        self._loop = loop
        self._publish = publish
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, list[wire.Message]]] = []

    def deliver_for(self, request_id: str) -> Callable[[list[wire.Message]], None]:
        """The `deliver` of one request, callable from any thread."""

        def deliver(events: list[wire.Message]) -> None:
            self._put(request_id, events)

        return deliver

    def _put(self, request_id: str, events: list[wire.Message]) -> None:
        with self._lock:
            idle = not self._waiting
            self._waiting.append((request_id, events))
        if idle and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self._lock:
            batches, self._waiting = self._waiting, []
        for request_id, events in batches:
            self._publish(request_id, events)
