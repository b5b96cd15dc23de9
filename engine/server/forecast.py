"""The cost model asked about the steps of right now, and beside it what a clock says of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median, mode
from typing import NamedTuple

from dreamscope.engine import wire
from dreamscope.engine.runtime.cost_model import StepTimes
from dreamscope.engine.runtime.telemetry import Span, StepRecord

KEPT = 256
"""Decode steps that are remembered of each depth."""
ENOUGH = 8
"""Steps below which nothing is said."""
LATELY = 128
"""Steps that the prediction is made of."""
LATEST_S = 60.0
"""What was measured longer before the last step says nothing of it: the machine was another one then."""


ALIKE = 0.25
"""By how much the device may have been faster or slower at the other depth, to be compared with it."""


class _Period(NamedTuple):
    rows: int
    begun: float
    ended: float
    device: float  # milliseconds


class Forecaster:
    """Remembers the last decode steps of both depths; steps are fed once and in order."""

    def __init__(self) -> None:
        self._previous: StepRecord | None = None
        self._latest: deque[StepRecord] = deque(maxlen=LATELY)
        self._periods: dict[int, deque[_Period]] = {1: deque(maxlen=KEPT), 2: deque(maxlen=KEPT)}

    def feed(self, records: Iterable[StepRecord]) -> None:
        """Remember these steps. A period is from commit to commit of neighbours that decode the same rows."""
        for record in records:
            before, self._previous = self._previous, record
            if record.kind != "decode":
                continue
            self._latest.append(record)
            if before is not None and _alike(before, record):
                begun, ended = before.commit[1], record.commit[1]
                self._periods[record.depth].append(
                    _Period(len(record.requests), begun, ended, _ms(record.device))
                )

    def forecast(self) -> wire.Forecast | None:
        """Of the size of batch that was most frequent lately; `None` before there are enough of them."""
        if not self._latest:
            return None
        rows = mode(len(record.requests) for record in self._latest)
        steps = [record for record in self._latest if len(record.requests) == rows]
        if len(steps) < ENOUGH:
            return None
        device, launch, mask, commit = (
            median(_ms(getattr(step, part)) for step in steps)
            for part in ("device", "launch", "mask", "commit")
        )
        # A record has one span for forward, sampling and copy; the model is told of it as the forward.
        times = StepTimes(f=device, s=0.0, c=0.0, bl=launch, bm=mask, bc=commit)
        return wire.Forecast(
            rows=rows,
            device=round(device, 3),
            launch=round(launch, 3),
            mask=round(mask, 3),
            commit=round(commit, 3),
            blocking=round(times.blocking, 3),
            pipelined=round(times.pipelined, 3),
            gain=round(times.gain, 4),
            measured_blocking=self._measured(1, rows, device),
            measured_pipelined=self._measured(2, rows, device),
        )

    def _measured(self, depth: int, rows: int, device: float) -> float | None:
        """The median period, where there were enough of them on a device that was about as fast as now."""
        oldest = self._latest[-1].commit[1] - LATEST_S
        found = [each for each in self._periods[depth] if each.rows == rows and each.ended >= oldest]
        if len(found) < ENOUGH or abs(median(each.device for each in found) / device - 1) > ALIKE:
            return None
        return round(median(_ms((each.begun, each.ended)) for each in found), 3)


def _alike(before: StepRecord, after: StepRecord) -> bool:
    return (
        before.kind == "decode"
        and after.index == before.index + 1
        and after.depth == before.depth
        and after.requests == before.requests
    )


def _ms(span: Span) -> float:
    return (span[1] - span[0]) * 1000
