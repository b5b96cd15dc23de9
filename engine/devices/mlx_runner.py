"""Steps of a model in MLX: noted and handed over by the thread that owns the runner, which alone calls MLX.

    prefill, decode   note a forward, and hand it over: the device begins while the host is at its commit
    sample            note the choice on what that leaves, and hand it over
    Event.wait        evaluate the choice, and copy it to the host

`submit` hands over. It does not wait for results, but MLX lets at most ten tasks be under way, and has
whoever brings more wait for one to end. A task is a command buffer on Metal, and some five operations on a
processor. That bound has a use: a store writes in place only if nobody reads the old contents any more, and a
step that is many tasks long finds the readers of the step before it gone.

A step of n rows runs as the next power of two; the others are row 0. How far it looks is rounded up as well,
so that freed buffers fit again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.program import Choice, Draw, Features, Feeds, Program
from dreamscope.engine.devices.runner import Detail, DeviceLost, Draws, Limits, Prefill, Rule, StepHost

SLOTS = 2
SPAN = 64
"""Positions that a step looks at are a multiple of this."""

Ints = NDArray[np.int32]


@dataclass(slots=True, eq=False)
class _Step:
    """Between its launch and its commit: `count` rows and what pads them, and what is noted of it."""

    count: int
    rows: Ints
    draws: Draws
    features: Features | None = None
    choice: Choice | None = None
    error: Exception | None = None
    host: StepHost | None = None

    def finish(self) -> None:
        """Compute the choice, unless something has failed before, and copy it."""
        choice, self.choice = self.choice, None
        if choice is None or self.error is not None:
            return
        try:
            self.host = self._landed(choice)
        except Exception as error:
            self.error = _lost(error)

    def _landed(self, choice: Choice) -> StepHost:
        mx.eval(_arrays(choice))
        picked = np.array(choice.picked)[: self.count]
        detail = None
        if self.draws.detail:
            coord, size = (
                None if head is None else np.array(head)[: self.count] for head in (choice.coord, choice.size)
            )
            detail = Detail(np.array(choice.probability)[: self.count], coord, size)
        return StepHost(picked[:, 0].astype(np.int64), picked[:, 1], picked[:, 2:], detail=detail)


class MlxEvent:
    """Implements `Event`. MLX does not tell whether something is over, only waits until it is."""

    def __init__(self, step: _Step, clock: Callable[[], float]) -> None:
        self._step = step
        self._clock = clock
        self._moment: float | None = None

    def query(self) -> bool:
        """Whether somebody has waited for it."""
        return self._moment is not None

    def wait(self, timeout: float | None = None) -> None:
        """Block until it has happened; a timeout of zero does not block, and any other is not kept."""
        if self._moment is None:
            if timeout is not None and timeout <= 0:
                raise TimeoutError("Whether the step is over is known only by waiting for it.")
            self._step.finish()
            self._moment = self._clock()
        if self._step.error is not None:
            raise self._step.error

    def ready_at(self) -> float:
        """When the first wait for it was over: it may have happened before."""
        assert self._moment is not None, "Nobody has waited for it."
        return self._moment


class MlxRunner:
    """Implements `ModelRunner`.

    What goes wrong while a step is noted fails that step. What goes wrong while it is computed is
    `DeviceLost`: keys and values of all rows are what the steps before have made of them.
    """

    def __init__(self, program: Program, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the memory for keys and values."""
        self.name = program.device.name
        self.limits: Limits = program.limits
        self._program = program
        self._clock = clock
        self._steps: list[_Step | None] = [None] * SLOTS
        self._spoiled: dict[int, Exception] = {}  # adapter slots whose loading failed
        self._remapped = False
        mx.eval(list(program.state()))

    # --------------------------------------------------------------------------------------------- tables

    def set_pages(self, row: int, pages: Sequence[int]) -> None:
        """Map the positions of a row, on the host."""
        self._program.table.host[row, : len(pages)] = pages
        self._program.table.host[row, len(pages) :] = 0
        self._remapped = True

    def set_mask(self, index: int, rule: Rule) -> None:
        """Put a rule into the table, on the host."""
        self._program.set_rule(index, rule)

    def load_adapter(self, slot: int, adapter: Any) -> None:
        """Note the loading; if that fails, the steps that use the slot do."""
        self._spoiled.pop(slot, None)
        try:
            self._program.load_adapter(slot, adapter)
        except Exception as error:
            self._spoiled[slot] = error

    # ---------------------------------------------------------------------------------------------- steps

    def prefill(self, slot: int, rows: Sequence[Prefill], draws: Draws) -> None:
        """Hand over a forward over prompts."""
        step = _Step(len(rows), np.array([row.row for row in rows], np.int32), draws)
        self._launch(slot, step, [row.adapter for row in rows], lambda: self._program.prefill(rows))

    def decode(self, slot: int, rows: Ints, positions: Ints, adapters: Ints, draws: Draws) -> None:
        """Hand over a forward of the pending tokens."""
        count, array = len(rows), self._program.device.array
        size = min(1 << (count - 1).bit_length(), self.limits.max_batch)
        span = min(-(-(int(positions.max()) + 1) // SPAN) * SPAN, self.limits.max_seq)
        step = _Step(count, _padded(rows, size), draws)

        def forward() -> Features:
            adapted = array(_padded(adapters, size)) if adapters.any() else None
            return self._program.decode(
                Feeds(array(step.rows), array(_padded(positions, size)), adapted, span)
            )

        self._launch(slot, step, adapters.tolist(), forward)

    def sample(self, slot: int, masks: Ints) -> MlxEvent:
        """Hand over the choice."""
        step = self._steps[slot]
        assert step is not None, "Nothing was launched in this slot."
        features, step.features = step.features, None
        if features is not None:
            rules = _padded(masks.astype(np.int64), len(step.rows))

            def choose() -> None:
                self._program.upload_rules()
                array, draw = self._program.device.array, self._draw(step)
                numbers = self._program.reads_numbers(rules)
                step.choice = self._program.choose(array(step.rows), features, array(rules), draw, numbers)

            self._note(step, choose, lambda: _arrays(step.choice))
        return MlxEvent(step, self._clock)

    def read(self, slot: int) -> StepHost:
        """What was copied."""
        step = self._steps[slot]
        assert step is not None, "Nothing was launched in this slot."
        assert step.host is not None, "Nobody has waited for the step of this slot."
        return step.host

    def fence(self) -> None:
        """Wait for everything handed over."""
        try:
            mx.synchronize()
        except Exception as error:
            raise _lost(error) from error

    def close(self) -> None:
        """Wait, and let go of the steps."""
        with suppress(DeviceLost):  # then nothing is under way any more
            self.fence()
        self._steps = [None] * SLOTS

    def _launch(
        self, slot: int, step: _Step, adapters: Sequence[int], forward: Callable[[], Features]
    ) -> None:
        self._steps[slot] = step
        if self._remapped:
            self._remapped = False
            self._program.table.upload()

        def run() -> None:
            for adapter in adapters:
                if adapter in self._spoiled:
                    raise self._spoiled[adapter]
            step.features = forward()

        self._note(step, run, lambda: _arrays(step.features))

    def _note(self, step: _Step, work: Callable[[], None], made: Callable[[], list[mx.array]]) -> None:
        """Note what a step does next, and hand over what that has made."""
        try:
            work()
        except Exception as error:
            step.error = error
            return
        try:
            self._program.device.submit(*made())
        except Exception as error:
            step.error = _lost(error)

    def _draw(self, step: _Step) -> Draw | None:
        draws, size = step.draws, len(step.rows)
        if draws.uniforms is None:
            return None
        settings = (draws.temperature, draws.top_p, draws.uniforms)
        return Draw(*(self._program.device.array(_padded(each, size), exact=True) for each in settings))


def _padded(values: NDArray[Any], size: int) -> NDArray[Any]:
    """With zeros up to `size` rows."""
    padded = np.zeros((size, *values.shape[1:]), values.dtype)
    padded[: len(values)] = values
    return padded


def _arrays(noted: Features | Choice | None) -> list[mx.array]:
    fields = [getattr(noted, name) for name in noted.__slots__] if noted is not None else []
    return [field for field in fields if field is not None]


def _lost(error: Exception) -> DeviceLost:
    lost = DeviceLost(f"MLX could not compute a step: {error}")
    lost.__cause__ = error
    return lost
