"""When things happened to a request, and what that means in the numbers a client gets."""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.engine import wire
from dreamscope.engine.errors import RequestTimeout


@dataclass(slots=True)
class Timeline:
    """Moments in seconds of the engine's clock; `None` until reached.

    Queue (with image cropping, which happens meanwhile) and prefill add up to the time to first token;
    that and decode add up to the total. The image time, vision and prefix, is a part of the prefill.
    """

    submitted: float
    started: float | None = None
    image_seconds: float | None = None
    first_token: float | None = None

    def metrics(self, ended: float, **counts: int) -> wire.Metrics:
        """Times up to `ended` beside the given token counts. Without a first token all work is prefill."""
        started = ended if self.started is None else self.started
        first = ended if self.first_token is None else self.first_token
        return wire.Metrics(
            **counts,
            queue_time_ms=milliseconds(started - self.submitted),
            image_time_ms=None if self.image_seconds is None else milliseconds(self.image_seconds),
            prefill_time_ms=milliseconds(first - started),
            ttft_ms=None if self.first_token is None else milliseconds(first - self.submitted),
            decode_time_ms=milliseconds(ended - first),
            total_time_ms=milliseconds(ended - self.submitted),
        )


@dataclass(slots=True)
class Counters:
    """Totals since the start. Written by the engine thread; others may read them at any time."""

    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    timeouts: int = 0
    output_tokens: int = 0
    image_hits: int = 0
    image_misses: int = 0

    def count(self, event: wire.RequestEvent, output_tokens: int) -> None:
        """Account for a request by its terminal event."""
        self.output_tokens += output_tokens
        if isinstance(event, wire.RequestDone):
            self.completed += 1
        elif isinstance(event, wire.RequestCancelled):
            self.cancelled += 1
        else:
            self.failed += 1
            timeout = isinstance(event, wire.RequestFailed) and event.error.code == RequestTimeout.code
            self.timeouts += timeout


def milliseconds(seconds: float) -> float:
    """Milliseconds to a microsecond."""
    return round(seconds * 1000, 3)
