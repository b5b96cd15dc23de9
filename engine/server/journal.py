"""A line in the log for every HTTP answer and for every request of a model that has ended, at level info.

Nothing of what was asked or answered is in them: ids, names, outcomes, counts and times.
"""

from __future__ import annotations

import logging

from dreamscope.engine import wire
from dreamscope.engine.server.adapter_choice import split_name

_log = logging.getLogger(__name__)
_MOST = 200  # characters of a path or a name that a client has chosen


def answered(request_id: str, method: str, path: str, status: int, seconds: float) -> None:
    """An HTTP answer has begun, so many seconds after the request came."""
    fields = {
        "request_id": request_id,
        "method": method,
        "path": path[:_MOST],
        "status": status,
        "ms": round(seconds * 1000, 1),
    }
    _log.info("http", extra={"fields": fields})


class Journal:
    """Follows requests from their acceptance to their end. Only the event loop touches it."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}
        self._accepted: dict[str, wire.RequestAccepted] = {}

    def open(self, request_id: str, owner: str) -> None:
        """A request of this owner was taken on."""
        self._owners[request_id] = owner

    def feed(self, event: wire.RequestEvent) -> None:
        """An event of a request."""
        if isinstance(event, wire.RequestAccepted):
            self._accepted[event.request_id] = event
        elif isinstance(event, wire.TERMINAL):
            self._end(event)

    def _end(self, event: wire.RequestEvent) -> None:
        accepted = self._accepted.pop(event.request_id, None)
        fields = {
            "request_id": event.request_id,
            "key": self._owners.pop(event.request_id, None),
            "skill": accepted and accepted.skill,
            "model": accepted and (split_name(accepted.model)[0] or "")[:_MOST],
            **_outcome(event),
        }
        _log.info("request", extra={"fields": fields})


def _outcome(event: wire.RequestEvent) -> dict[str, object]:
    match event:
        case wire.RequestDone(metrics=metrics, finish_reason=reason):
            return {"outcome": reason, **_counts(metrics)}
        case wire.RequestCancelled(metrics=metrics, reason=reason):
            return {"outcome": f"cancelled by {reason}", **_counts(metrics)}
        case wire.RequestFailed(error=error):
            return {"outcome": error.code}
    return {}


def _counts(metrics: wire.Metrics) -> dict[str, object]:
    return {
        "input_tokens": metrics.input_tokens,
        "output_tokens": metrics.output_tokens,
        "queue_ms": metrics.queue_time_ms,
        "ms": metrics.total_time_ms,
    }
