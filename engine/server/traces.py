"""`trace.subscribe` and `depth.set`: what an engine does step by step, and how far it runs ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable
from weakref import WeakKeyDictionary

from dreamscope.engine import errors, wire
from dreamscope.engine.runtime.engine import Health
from dreamscope.engine.runtime.metrics import Counters
from dreamscope.engine.runtime.options import DepthChoice
from dreamscope.engine.runtime.telemetry import Gauges, Span, StepRecord
from dreamscope.engine.server.clock import Clock, Timer
from dreamscope.engine.server.forecast import Forecaster
from dreamscope.engine.server.serving import Serving
from dreamscope.engine.server.shelf import Shelf

MIN_INTERVAL_MS = 100
MOST_STEPS = 1024
"""Of one message; older ones are left out."""
FOREIGN = ""
"""In place of the id of a request that the reader did not make."""
Mine = Callable[[str], bool]
Send = Callable[[Callable[[], wire.Trace]], None]


@runtime_checkable
class Traced(Protocol):
    """An engine that keeps a record of its steps. Any thread."""

    def steps(self, since: int = -1) -> list[StepRecord]:
        """The last steps with a larger index, oldest first."""

    def gauges(self) -> Gauges:
        """How things stood after the last tick."""

    def counters(self) -> Counters:
        """Totals since the start."""

    def health(self) -> Health:
        """Whether requests are served."""

    def set_depth(self, choice: DepthChoice) -> None:
        """How many steps may be in flight from now on."""


class TraceDesk:
    """Finds the engine that a message is about, and knows which depth was asked of it."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._choices: WeakKeyDictionary[Traced, DepthChoice] = WeakKeyDictionary()

    def find(self, name: str | None) -> tuple[str, Traced | None]:
        """The id of a model and its engine, `None` if that is not loaded. Raises `ModelNotFound`, and
        `NotImplementedYet` for one whose steps are not known here.
        """
        model = self._shelf.find(name)
        serving = self._serving(model.id)
        if serving is None:
            return model.id, None
        if not isinstance(serving.engine, Traced):
            raise errors.NotImplementedYet(f"The steps of {model.id} are not known to this server.", "model")
        return model.id, serving.engine

    def loaded(self, name: str | None) -> tuple[str, Traced]:
        """The same, of a model that is loaded. Raises `ModelUnavailable` besides."""
        model, engine = self.find(name)
        if engine is None:
            raise errors.ModelUnavailable(f"{model} is not loaded, so there is nothing to see.", "model")
        return model, engine

    def set_depth(self, message: wire.DepthSet) -> None:
        """Pass it to the engine. Raises `InvalidParameter` and what `loaded` raises."""
        choice = _depth(message.depth)
        _, engine = self.loaded(message.model)
        engine.set_depth(choice)
        self._choices[engine] = choice

    def choice(self, model: str, engine: Traced) -> str:
        """What was asked of the engine: auto, 1 or 2."""
        serving = self._serving(model)
        return str(self._choices.get(engine, serving.depth if serving is not None else "auto"))

    def _serving(self, model: str) -> Serving | None:
        return next((each for each in self._shelf.servings() if each.model.id == model), None)


class TraceFeed:
    """Calls `send` at once, then every so often until it is stopped. `send` may call what it is given, which
    returns what is new since that was called last. `mine` tells which requests belong to the reader; of the
    others only the rows are told.
    """

    def __init__(self, clock: Clock, desk: TraceDesk, mine: Mine, send: Send) -> None:
        self._clock = clock
        self._desk = desk
        self._mine = mine
        self._send = send
        self._timer: Timer | None = None
        self._engine: Traced | None = None
        self._since = -1
        self._forecaster = Forecaster()

    def subscribe(self, message: wire.TraceSubscribe) -> None:
        """In place of what was subscribed before. Raises `InvalidParameter` and what `TraceDesk.find` raises.

        Nothing is sent while the model is not loaded.
        """
        interval = message.interval_ms
        if interval != 0 and interval < MIN_INTERVAL_MS:
            raise errors.InvalidParameter(
                f"interval_ms must be 0 or at least {MIN_INTERVAL_MS}, not {interval}.", "interval_ms"
            )
        if interval:
            self._desk.find(message.model)
        self.stop()
        if interval:
            self._tick(message.model, interval / 1000)

    def stop(self) -> None:
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._engine = None, None

    def _tick(self, name: str | None, seconds: float) -> None:
        self._timer = self._clock.call_later(seconds, lambda: self._tick(name, seconds))
        try:
            model, engine = self._desk.find(name)
        except errors.DreamscopeError:  # its model was replaced by one that is not watched
            return
        if engine is not self._engine:
            self._engine, self._since, self._forecaster = engine, -1, Forecaster()
        if engine is not None:
            self._send(partial(self._take, model, engine))

    def _take(self, model: str, engine: Traced) -> wire.Trace:
        records = engine.steps(self._since)
        if records:
            self._since = records[-1].index
        self._forecaster.feed(records)
        health, gauges = engine.health(), engine.gauges()
        steps, requests = told(records[-MOST_STEPS:], self._mine)
        return wire.Trace(
            model=model,
            state=health.state,
            reason=health.reason,
            clock_ms=round(self._clock.now() * 1000, 3),
            steps=steps,
            requests=requests,
            depth=gauges.depth,
            choice=self._desk.choice(model, engine),
            gauges={name: value for name, value in asdict(gauges).items() if name not in ("state", "depth")},
            totals=totals(engine.counters()),
            predicted=self._forecaster.forecast(),
        )


def totals(counters: Counters) -> dict[str, Any]:
    """The sums that people look at. Milliseconds where the name says so."""
    return {
        "completed": counters.completed,
        "cancelled": counters.cancelled,
        "failed": counters.failed,
        "input_tokens": counters.input_tokens,
        "output_tokens": counters.output_tokens,
        "cached_tokens": counters.cached_tokens,
        "prefill_steps": counters.steps["prefill"],
        "decode_steps": counters.steps["decode"],
        "decode_rows": counters.rows["decode"],
        "zombie_rows": counters.zombie_rows,
        "device_ms": round(counters.device.total, 1),
        "idle_ms": round(counters.idle.total, 1),
    }


def told(records: Sequence[StepRecord], mine: Mine) -> tuple[tuple[wire.TraceStep, ...], tuple[str, ...]]:
    """Records as they travel, and the requests that their rows name."""
    places: dict[str, int] = {}
    for record in records:
        for request in record.requests:
            if request not in places and mine(request):
                places[request] = len(places)
    return tuple(_step(record, places) for record in records), tuple(places)


def veiled(records: Sequence[StepRecord], mine: Mine) -> list[StepRecord]:
    """Records in which the requests of others have no id."""
    return [
        replace(record, requests=tuple(each if mine(each) else FOREIGN for each in record.requests))
        for record in records
    ]


def _step(record: StepRecord, places: dict[str, int]) -> wire.TraceStep:
    return wire.TraceStep(
        index=record.index,
        kind=record.kind,
        slot=record.slot,
        depth=record.depth,
        rows=tuple(places.get(request, -1) for request in record.requests),
        zombies=record.zombies,
        positions=record.positions,
        launch=_ms(record.launch),
        mask=_ms(record.mask),
        wait=_ms(record.wait),
        commit=_ms(record.commit),
        device=_ms(record.device),
        idle=round(record.idle * 1000, 3),
    )


def _ms(span: Span) -> tuple[float, float]:
    return round(span[0] * 1000, 3), round(span[1] * 1000, 3)


def _depth(value: object) -> DepthChoice:
    if isinstance(value, bool) or value not in ("auto", 1, 2):
        raise errors.InvalidParameter(f"depth must be 'auto', 1 or 2, not {value!r:.40}.", "depth")
    return cast(DepthChoice, value)
