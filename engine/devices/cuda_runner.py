"""Steps of a model on a card: two streams, and memory that stays where it is.

    compute   meta up | forward ........ | wait mask_ready | choice, pending | step_done
    copy                    rules up | mask_ready              wait step_done | outcome down | copied

Pending elements are stored before `step_done`, so whoever has waited for `copied` knows that no later owner
of a row is overwritten (I11). Between launch and commit a slot belongs to its step alone (I6), so no pinned
buffer is filled while it is still being read. The host waits in `Event.wait` and `fence` only (I14).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dreamscope.engine.devices.cuda import CudaDevice
from dreamscope.engine.devices.cuda_card import Card, CudaCard, Work
from dreamscope.engine.devices.cuda_clock import CardClock, StepEvent
from dreamscope.engine.devices.cuda_passes import Passes, buckets_to
from dreamscope.engine.devices.cuda_slot import Slot
from dreamscope.engine.devices.program import Choice, Features, Feeds, Program
from dreamscope.engine.devices.runner import DeviceLost, Draws, Prefill, Rule, StepHost

SLOTS = 2


def open_cuda_runner(
    program: Program, device: CudaDevice, clock: Callable[[], float] = time.monotonic
) -> CudaRunner:
    """A runner for a program on `device`, with graphs where that allows them."""
    runner = CudaRunner(program, CudaCard(device.inference), clock)
    if device.graphs:
        runner.capture()
    return runner


class CudaRunner:
    """Implements `ModelRunner`."""

    def __init__(self, program: Program, card: Card, clock: Callable[[], float] = time.monotonic) -> None:
        """Runs one step of row 0, to see what shapes it has. Waits for the card."""
        self.name = program.device.name
        self.limits = program.limits
        self._program = program
        self._card = card
        self._compute, self._copy = card.stream(), card.stream()
        card.fence()  # the weights are there, whichever stream brought them
        self._unmapped: set[int] = set()
        features, choice = self._first_step()
        self._slots = [Slot(card, self.limits.rows, features, choice) for _ in range(SLOTS)]
        self._passes = Passes(program, buckets_to(self.limits.max_batch))
        self._clock = CardClock(card, self._copy, clock)

    def _first_step(self) -> tuple[Features, Choice]:
        row = self._card.zeros((1,), torch.int64)
        seen: list[tuple[Features, Choice]] = []

        def step() -> None:
            features = self._program.decode(Feeds(row, row, None, self.limits.max_seq))
            seen.append((features, self._program.choose(row, features, row, None, numbers=True)))

        self._compute.run(step)
        self._card.fence()
        return seen[0]

    def capture(self) -> None:
        """Make graphs of what comes back. Nothing may be in flight."""
        self._passes.capture(self._card, self._compute, self._slots)
        self._card.fence()

    # --------------------------------------------------------------------------------------------- tables

    def set_pages(self, row: int, pages: Sequence[int]) -> None:
        """Map the positions of a row; no step in flight reads it, so its pinned memory may be written."""
        table = self._program.table.host
        table[row, : len(pages)] = pages
        table[row, len(pages) :] = 0
        self._unmapped.add(row)

    def set_mask(self, index: int, rule: Rule) -> None:
        """Put a rule into the table; every step that read its pinned row is committed (I5)."""
        self._program.set_rule(index, rule)

    def load_adapter(self, slot: int, adapter: Any) -> None:
        """Between the steps, so that none in flight sees it (I31)."""
        self._compute.run(lambda: self._program.load_adapter(slot, adapter))

    # ---------------------------------------------------------------------------------------------- steps

    def prefill(self, slot: int, rows: Sequence[Prefill], draws: Draws) -> None:
        """Queue a forward over prompts."""
        one = self._begin(slot, [row.row for row in rows], draws)
        self._launch(one, lambda: one.keep(self._program.prefill(rows), len(rows)))

    def decode(
        self,
        slot: int,
        rows: NDArray[np.int32],
        positions: NDArray[np.int32],
        adapters: NDArray[np.int32],
        draws: Draws,
    ) -> None:
        """Queue a forward of the pending tokens."""
        span = int(positions.max()) + 1
        forward = self._passes.decode(self._slots[slot], len(rows), span, bool(adapters.any()))
        one = self._begin(slot, rows, draws)
        one.host_meta.place(positions, adapters)
        self._launch(one, forward)

    def sample(self, slot: int, masks: NDArray[np.int32]) -> StepEvent:
        """Queue the upload of the masks, the choice, and the copy of the outcome."""
        one = self._slots[slot]
        one.set_rules(masks, self._program.reads_numbers(masks.astype(np.int64)))
        self._copy.run(self._program.upload_rules)
        self._copy.run(one.upload_rules)
        self._copy.record(one.mask_ready)
        self._compute.wait_for(one.mask_ready)
        self._compute.run(self._passes.choose(one, one.count, one.draws, one.reads_numbers))
        self._compute.record(one.step_done)
        self._copy.wait_for(one.step_done)  # not for anything queued later (I7)
        self._copy.run(one.land)
        self._copy.record(one.copied)
        return StepEvent(one, self._clock)

    def read(self, slot: int) -> StepHost:
        """What has landed."""
        return self._slots[slot].read()

    def fence(self) -> None:
        """Wait for everything queued."""
        self._card.fence()

    def close(self) -> None:
        """Give back graphs and buffers."""
        with suppress(DeviceLost):  # then nothing is under way any more
            self._card.fence()
        self._passes.forget()
        self._slots.clear()

    def _begin(self, slot: int, rows: Sequence[int] | NDArray[np.integer], draws: Draws) -> Slot:
        one = self._slots[slot]
        one.begin(rows, draws)
        return one

    def _launch(self, one: Slot, forward: Work) -> None:
        mapped = sorted(self._unmapped)
        self._unmapped.clear()

        def upload() -> None:
            one.upload_meta()
            self._program.table.upload(mapped)

        self._compute.run(upload)
        self._compute.run(forward)
