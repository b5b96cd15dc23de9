"""A request on its way to an endpoint and back: numbering, times, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dreamscope.engine import wire
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.remote.reading import Reading
from dreamscope.engine.runtime.job import Batches, Deliver, EngineRequest
from dreamscope.engine.skills.base import UNADDRESSED

_PIECES = (wire.TextDelta, wire.ReasoningDelta, wire.MaskDelta, wire.PointEvent, wire.BoxEvent)
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class RemoteJob:
    """Moments in seconds of `clock`; everything after the first `send` happens on the engine's thread."""

    request: EngineRequest
    deliver: Deliver
    clock: Callable[[], float]
    task: asyncio.Task[None] | None = None
    """What runs it, once it does: a task that is cancelled before it runs would end without a word."""
    reading: Reading | None = None
    cancel_reason: str | None = None
    sent: float | None = None
    """When the request went out."""
    first: float | None = None
    """When the first piece of the answer arrived."""
    _accepted: float = field(init=False)
    _seq: int = field(init=False)

    def __post_init__(self) -> None:
        told = self.request.accepted_at
        self._accepted, self._seq = (self.clock(), 0) if told is None else (told, 1)

    def send(self, events: Sequence[wire.RequestEvent]) -> None:
        """Number, stamp and deliver. A `deliver` that raises is reported once, and the request cancelled."""
        if not events:
            return
        now = self.clock()
        if self.first is None and any(isinstance(event, _PIECES) for event in events):
            self.first = now
        batch: list[wire.Message] = []
        for event in events:
            passed = _milliseconds(now - self._accepted)
            batch.append(replace(event, request_id=self.request.request_id, seq=self._seq, t=passed))
            self._seq += 1
        try:
            self.deliver([(self.request.request_id, batch)])
        except Exception:
            name = self.request.request_id
            fields = {"request_id": name}
            _log.exception("delivering events of request %s failed", name, extra={"fields": fields})
            self.deliver = _nowhere
            self.cancel("disconnect")

    def cancel(self, reason: str) -> None:
        """Stop it where it is; the first reason counts."""
        self.cancel_reason = self.cancel_reason or reason
        if self.task is not None:
            self.task.cancel()

    def done(self) -> wire.RequestDone:
        """The answer is complete."""
        assert self.reading is not None
        output = wire.result_to_json(self.reading.result())
        reason = self.reading.finish_reason
        return wire.RequestDone(
            request_id=UNADDRESSED, finish_reason=reason, output=output, metrics=self.metrics()
        )

    def cancelled(self) -> wire.RequestCancelled:
        """Stopped from outside."""
        reason = self.cancel_reason or "client"
        return wire.RequestCancelled(request_id=UNADDRESSED, reason=reason, metrics=self.metrics())

    def failed(self, error: DreamscopeError) -> wire.RequestFailed:
        """It cannot go on."""
        return wire.RequestFailed(request_id=UNADDRESSED, error=error.info())

    def metrics(self) -> wire.Metrics:
        """The counts and times that the endpoint reports, and those that only we can see: waiting here, the
        first piece, the whole.
        """
        now = self.clock()
        told = wire.Metrics() if self.reading is None else self.reading.metrics
        waited = (now if self.sent is None else self.sent) - self._accepted
        return replace(
            told,
            queue_time_ms=round(_milliseconds(waited) + (told.queue_time_ms or 0.0), 3),
            ttft_ms=None if self.first is None else _milliseconds(self.first - self._accepted),
            total_time_ms=_milliseconds(now - self._accepted),
        )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _nowhere(batches: Batches) -> None:
    """Delivers to nobody."""
