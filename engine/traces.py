"""The messages about what an engine is doing, step by step; part of `wire`.

Times are milliseconds of the engine's clock, spans are its begin and end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dreamscope.engine.messages import Message, message

Span = tuple[float, float]


@message("trace.subscribe")
@dataclass(frozen=True, slots=True)
class TraceSubscribe(Message):
    """Send `trace` every so often, at least 100 ms apart; 0 stops it. Without `model` of the default one."""

    interval_ms: int
    model: str | None = None


@message("depth.set")
@dataclass(frozen=True, slots=True)
class DepthSet(Message):
    """How many steps may be in flight from now on: "auto", 1 or 2."""

    depth: Any
    model: str | None = None


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step. `rows` are places in the `requests` of its message, -1 for somebody else's request.

    `zombies` of the rows had ended by the time it was over. `launch`, `mask`, `wait` and `commit` are the
    host's, `device` is forward to copy; for `idle` milliseconds before it the device had nothing to do
    although there was work.
    """

    index: int
    kind: str
    slot: int
    depth: int
    rows: tuple[int, ...]
    zombies: int
    positions: int
    launch: Span
    mask: Span
    wait: Span
    commit: Span
    device: Span
    idle: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the cost model makes of the last decode steps of `rows` rows, beside what was measured.

    Milliseconds from step to step with one step in flight (`blocking`) and with two (`pipelined`).
    `measured_*` is `None` where there were no such steps lately.
    """

    rows: int
    device: float
    launch: float
    mask: float
    commit: float
    blocking: float
    pipelined: float
    gain: float
    measured_blocking: float | None = None
    measured_pipelined: float | None = None


@message("trace")
@dataclass(frozen=True, slots=True, kw_only=True)
class Trace(Message):
    """The steps that were committed since the last one, and how things stand.

    Older steps are missing where there were too many since. `choice` is what was
    asked for (auto, 1, 2) and `depth` what that comes to now. `gauges` and `totals` are named numbers:
    what holds now, and sums since the engine started.
    """

    model: str
    state: str
    clock_ms: float
    steps: tuple[TraceStep, ...] = ()
    requests: tuple[str, ...] = ()
    depth: int = 0
    choice: str = "auto"
    gauges: dict[str, Any]
    totals: dict[str, Any]
    predicted: Forecast | None = None
    reason: str | None = None
