"""`stats.subscribe`: the state of the server, again and again over one connection."""

from __future__ import annotations

from collections.abc import Callable

from dreamscope.engine import errors, wire
from dreamscope.engine.server.clock import Clock, Timer

MIN_INTERVAL_MS = 250


class StatsFeed:
    """Calls `send` with the present state at once, then every so often until it is stopped."""

    def __init__(
        self, clock: Clock, take: Callable[[], wire.Stats], send: Callable[[wire.Stats], None]
    ) -> None:
        self._clock = clock
        self._take = take
        self._send = send
        self._timer: Timer | None = None

    def subscribe(self, interval_ms: int) -> None:
        """In place of what was subscribed before; 0 for nothing. Raises `InvalidParameter`."""
        if interval_ms != 0 and interval_ms < MIN_INTERVAL_MS:
            raise errors.InvalidParameter(
                f"interval_ms must be 0 or at least {MIN_INTERVAL_MS}, not {interval_ms}.", "interval_ms"
            )
        self.stop()
        if interval_ms:
            self._tick(interval_ms / 1000)

    def stop(self) -> None:
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self, seconds: float) -> None:
        self._timer = self._clock.call_later(seconds, lambda: self._tick(seconds))
        self._send(self._take())
