"""Steps of a model on the processor: a worker is the stream, and the arrays of a slot are its copies.

The thread that owns the runner fills the arrays of a slot and queues closures; it touches no tensor. The
worker runs forward and sampling in that order, copies the outcome into the slot, and sets the event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.program import Program
from dreamscope.engine.devices.runner import HEADS, Draws, Limits, Prefill, Rule, StepHost
from dreamscope.engine.devices.steps import Steps
from dreamscope.engine.devices.worker import Executor, Worker, WorkerEvent

SLOTS = 2


class _Slot:
    """A step on the host: what it takes along, and what came out of it."""

    def __init__(self, limits: Limits) -> None:
        rows = limits.rows
        self.rows = np.zeros(rows, np.int64)
        self.positions = np.zeros(rows, np.int64)
        self.adapters = np.zeros(rows, np.int64)
        self.rules = np.zeros(rows, np.int64)
        self.temperature = np.zeros(rows, np.float32)
        self.top_p = np.zeros(rows, np.float32)
        self.uniforms = np.zeros((rows, HEADS), np.float32)
        self.picked = np.zeros((rows, 4), np.int64)
        self.count = 0
        self.drawn = self.detailed = False
        self.error: BaseException | None = None
        self.host: StepHost | None = None


class CpuRunner:
    """Implements `ModelRunner`."""

    def __init__(
        self, steps: Steps, clock: Callable[[], float] = time.monotonic, worker: Executor | None = None
    ) -> None:
        """`worker` takes the place of a thread of its own."""
        self._program: Program = steps.program
        self.name = f"{self._program.device.name}, {steps.form} steps"
        self.limits = self._program.limits
        self._steps = steps
        self._clock = clock
        self._slots = [_Slot(self.limits) for _ in range(SLOTS)]
        self._spoiled: dict[int, BaseException] = {}  # adapter slots whose loading failed
        self._worker = Worker("dreamscope-steps", steps.scope, steps.spare) if worker is None else worker

    # --------------------------------------------------------------------------------------------- tables

    def set_pages(self, row: int, pages: Sequence[int]) -> None:
        """Map the positions of a row; no step in flight reads it, so its memory may be written."""
        self._program.table.host[row, : len(pages)] = pages
        self._program.table.host[row, len(pages) :] = 0

    def set_mask(self, index: int, rule: Rule) -> None:
        """Put a rule into the table; no step in flight reads its row."""
        self._program.set_rule(index, rule)

    def load_adapter(self, slot: int, adapter: Any) -> None:
        """Queue the loading; if it fails, the steps that use the slot do."""
        self._worker.submit(partial(self._load, slot, adapter))

    def _load(self, slot: int, adapter: Any) -> None:
        self._spoiled.pop(slot, None)
        try:
            self._program.load_adapter(slot, adapter)
        except Exception as error:
            self._spoiled[slot] = error

    # ---------------------------------------------------------------------------------------------- steps

    def prefill(self, slot: int, rows: Sequence[Prefill], draws: Draws) -> None:
        """Queue a forward over prompts."""
        one = self._begin(slot, np.array([row.row for row in rows]), draws)
        one.adapters[: one.count] = [row.adapter for row in rows]
        self._worker.submit(partial(self._forward, one, partial(self._steps.prefill, rows)))

    def decode(
        self,
        slot: int,
        rows: NDArray[np.int32],
        positions: NDArray[np.int32],
        adapters: NDArray[np.int32],
        draws: Draws,
    ) -> None:
        """Queue a forward of the pending tokens."""
        one = self._begin(slot, rows, draws)
        one.positions[: one.count], one.adapters[: one.count] = positions, adapters
        self._worker.submit(partial(self._forward, one, partial(self._decode, one)))

    def sample(self, slot: int, masks: NDArray[np.int32]) -> WorkerEvent:
        """Queue the choice and the copy."""
        one = self._slots[slot]
        one.rules[: one.count] = masks
        event = WorkerEvent()
        self._worker.submit(partial(self._sample, one, event))
        return event

    def read(self, slot: int) -> StepHost:
        """What was copied."""
        host = self._slots[slot].host
        assert host is not None, "The step of this slot has not happened."
        return host

    def fence(self) -> None:
        """Wait for everything queued."""
        self._worker.fence()

    def close(self) -> None:
        """End the thread."""
        self._worker.close()

    def _begin(self, slot: int, rows: NDArray[np.integer], draws: Draws) -> _Slot:
        one, count = self._slots[slot], len(rows)
        one.count, one.host = count, None
        one.drawn, one.detailed = draws.uniforms is not None, draws.detail
        one.rows[:count] = rows
        one.temperature[:count], one.top_p[:count] = draws.temperature, draws.top_p
        if draws.uniforms is not None:
            one.uniforms[:count] = draws.uniforms
        return one

    # --------------------------------------------------------------------------------------- in the worker

    def _forward(self, one: _Slot, run: Callable[[], None]) -> None:
        one.error = None
        try:
            for adapter in one.adapters[: one.count].tolist():
                if adapter in self._spoiled:
                    raise self._spoiled[adapter]
            run()
        except Exception as error:
            one.error = error

    def _decode(self, one: _Slot) -> None:
        count = one.count
        self._steps.decode(one.rows[:count], one.positions[:count], one.adapters[:count])

    def _sample(self, one: _Slot, event: WorkerEvent) -> None:
        if one.error is None:
            try:
                one.host = self._chosen(one)
            except Exception as error:
                one.error = error
        event.set(self._clock(), one.error)

    def _chosen(self, one: _Slot) -> StepHost:
        count = one.count
        draws = Draws(
            one.temperature[:count],
            one.top_p[:count],
            one.uniforms[:count] if one.drawn else None,
            one.detailed,
        )
        detail = self._steps.sample(one.rows[:count], one.rules[:count], draws, one.picked[:count])
        picked = one.picked[:count]
        size = picked[:, 2:].astype(np.int32)
        return StepHost(picked[:, 0], picked[:, 1].astype(np.int32), size, detail=detail)
