"""How the server is doing, added up over the engines of all loaded models."""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.engine.server.clock import Clock
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.shelf import Shelf

_SUMMED = (
    *("queue_size", "processing", "timeouts", "requests_processed", "cancelled", "failed", "output_tokens"),
    *("tokens_per_second", "batch_size", "kv_pages_used", "kv_pages_total", "prefix_hits", "prefix_misses"),
)


class StatsDesk:
    """Answers with `wire.Stats`; the time since it was made is the server's."""

    def __init__(self, shelf: Shelf, options: ServerOptions, clock: Clock) -> None:
        self._shelf = shelf
        self._options = options
        self._clock = clock
        self._born = clock.now()

    def take(self, stopping: bool) -> wire.Stats:
        """The present state."""
        engines = [serving.engine.stats() for serving in self._shelf.servings()]
        told = {name: [each[name] for each in engines if each.get(name) is not None] for name in _SUMMED}
        bounds = [each["max_queue_size"] for each in engines if "max_queue_size" in each]
        return wire.Stats(
            status="stopped" if stopping else "running",
            model=self._shelf.default.id,
            workers=len(engines),
            max_queue_size=max(bounds, default=None),
            default_timeout=self._options.deadline,
            uptime_s=round(self._clock.now() - self._born, 3),
            **{name: sum(values) for name, values in told.items() if values},
        )
