"""Step records as a trace that chrome://tracing and ui.perfetto.dev open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dreamscope.engine.runtime.telemetry import Span, StepRecord

HOST, DEVICE, SLOTS = 1, 2, (3, 4)
_NAMES = {HOST: "host", DEVICE: "device", SLOTS[0]: "slot 0", SLOTS[1]: "slot 1"}


def chrome_trace(records: Iterable[StepRecord]) -> dict[str, Any]:
    """The JSON object format: a track for host, device and each slot, counters of rows and zombies.

    Times are microseconds of the engine's clock.
    """
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": tid, "args": {"name": name}}
        for tid, name in _NAMES.items()
    ]
    for record in records:
        events += _step(record)
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _step(record: StepRecord) -> list[dict[str, Any]]:
    facts = {
        "step": record.index,
        "rows": len(record.requests),
        "zombies": record.zombies,
        "positions": record.positions,
        "depth": record.depth,
        "requests": ", ".join(record.requests),
    }
    host = [(name, getattr(record, name)) for name in ("launch", "mask", "wait", "commit")]
    held = (record.launch[0], record.commit[1])
    rows = {"live": len(record.requests) - record.zombies, "zombie": record.zombies}
    return [
        *(_slice(f"{name} {record.index}", HOST, span, {"step": record.index}) for name, span in host),
        _slice(f"{record.kind} {record.index}", DEVICE, record.device, facts),
        _slice(f"{record.kind} {record.index}", SLOTS[record.slot], held, facts),
        {"ph": "C", "name": "rows", "pid": 1, "ts": _micro(record.device[0]), "args": rows},
    ]


def _slice(name: str, track: int, span: Span, facts: dict[str, Any]) -> dict[str, Any]:
    begun, ended = span
    duration = _micro(max(0.0, ended - begun))
    return {
        "ph": "X", "name": name, "pid": 1, "tid": track, "ts": _micro(begun), "dur": duration, "args": facts
    }  # fmt: skip


def _micro(seconds: float) -> float:
    return round(seconds * 1e6, 1)
