"""When the work of a card was done, and how to wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from dreamscope.engine.devices.cuda_card import Card, CardEvent, Stream
from dreamscope.engine.devices.cuda_slot import Slot

_POLL_SECONDS = 0.0005
_ANCHOR_SECONDS = 60.0


class CardClock:
    """Seconds of the host at which events happened.

    Cards tell times as differences in float32 milliseconds, so they are taken from an anchor that is never
    long ago.
    """

    def __init__(self, card: Card, stream: Stream, clock: Callable[[], float]) -> None:
        """Waits for the card."""
        self._anchor = card.event()
        stream.record(self._anchor)
        card.fence()
        self._anchored_at = clock()

    def seconds(self, event: CardEvent) -> float:
        """When an event happened that has happened."""
        return self._anchored_at + event.seconds_since(self._anchor)

    def exchange(self, event: CardEvent) -> CardEvent:
        """An event to use in the place of one that happened: another, if this one becomes the anchor."""
        moment = self.seconds(event)
        if moment - self._anchored_at < _ANCHOR_SECONDS:
            return event
        spare, self._anchor, self._anchored_at = self._anchor, event, moment
        return spare


class StepEvent:
    """Implements `Event`: the outcome of the step of a slot has landed."""

    def __init__(self, slot: Slot, clock: CardClock) -> None:
        self._slot = slot
        self._clock = clock
        self._moment = 0.0

    def query(self) -> bool:
        """Whether it has."""
        return self._slot.copied.query()

    def wait(self, timeout: float | None = None) -> None:
        """Block until it has. Raises `DeviceLost` or `TimeoutError`."""
        copied = self._slot.copied
        if timeout is not None:
            end = time.monotonic() + timeout
            while not copied.query():
                if time.monotonic() >= end:
                    raise TimeoutError(f"The step takes longer than {timeout} s.")
                time.sleep(_POLL_SECONDS)
        copied.wait()
        self._moment = self._clock.seconds(copied)
        self._slot.copied = self._clock.exchange(copied)

    def ready_at(self) -> float:
        """When it had."""
        return self._moment
