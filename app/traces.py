"""What one page watches of an engine's steps, between the page's words and the wire's.

browser -> {"trace": {"model": id} | null}                    watch its engine, or nothing any more
           {"depth": {"model": id, "depth": "auto" | 1 | 2}}  how many steps may be in flight
browser <- {"traces": [...]}   each a `wire.Trace` as JSON, or {"model", "refused": why}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dreamscope.app.asks import Invalid
from dreamscope.app.browser import model_of
from dreamscope.engine import wire

INTERVAL_MS = 100
"""How often the engine tells of its steps."""
MOST_WAITING = 50
"""Of a page that does not read; older ones are dropped."""
DEPTHS = ("auto", 1, 2)


class Traces:
    """Remembers what the page watches, so that a new connection goes on with it. `put` sends to the page."""

    def __init__(self, put: Callable[[dict[str, Any]], None]) -> None:
        self._put = put
        self._watched: str | None = None
        self._answered = False

    def watch(self, wanted: Any) -> wire.TraceSubscribe:
        """What the page wants to watch, as a message to the engine. Raises `Invalid`."""
        self._watched = None if wanted is None else model_of(_field(wanted, "model"))
        return self.again() or wire.TraceSubscribe(0)

    def again(self) -> wire.TraceSubscribe | None:
        """What a new connection has to be asked for."""
        self._answered = False
        return None if self._watched is None else wire.TraceSubscribe(INTERVAL_MS, self._watched)

    def take(self, trace: wire.Trace) -> None:
        """The engine has told something new."""
        self._answered = True
        if trace.model == self._watched:
            self._put(wire.to_json(trace))

    def refused(self, event: wire.ErrorEvent) -> bool:
        """Whether this error is the answer to what the page wanted to watch; then the page is told."""
        if self._watched is None or self._answered or event.ref != self._watched:
            return False
        self._put({"model": self._watched, "refused": event.error.message})
        return True


def depth_of(wanted: Any) -> wire.DepthSet:
    """The depth that the page asks for, as a message to the engine. Raises `Invalid`."""
    depth = _field(wanted, "depth")
    if isinstance(depth, bool) or depth not in DEPTHS:
        raise Invalid("model", "The depth must be auto, 1 or 2.")
    return wire.DepthSet(depth, model_of(_field(wanted, "model")))


def _field(wanted: Any, name: str) -> Any:
    return wanted.get(name) if isinstance(wanted, dict) else None
