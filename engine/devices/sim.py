"""A simulated device: the history machine behind a stream of settable costs, on a virtual or a real clock.

A stream is the time at which its last work ends: queueing moves it, and waiting moves the clock to it. What
a step computes is computed at once, in the order of the queue, which is what a stream guarantees; its tokens
reach the host buffers only when its event has happened, and until then the buffers hold poison. Whoever
breaks the contract of `runner.py` is told in `violations`, and by an exception.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.runner import (
    DeviceLost,
    Draws,
    Limits,
    Prefill,
    Rule,
    StepHost,
    positions_of,
)
from dreamscope.engine.devices.toy_model import Codes, HistoryMachine, kept_code, prompt_codes

POISON = -777
Kind = Literal["prefill", "decode"]
Fault = Literal["error", "late", "lost"]
"""The call raises; the step fails when it is waited for; the device is gone from this call on."""


class Clock(Protocol):
    """Seconds, and how to pass them."""

    def now(self) -> float:
        """The time."""

    def sleep_until(self, moment: float) -> None:
        """Return at `moment`, or at once if it has passed."""


class VirtualClock:
    """Time that passes only when somebody waits or says so: exact, and nobody sleeps."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """The time."""
        return self._now

    def sleep_until(self, moment: float) -> None:
        """Move on to `moment`."""
        self._now = max(self._now, moment)

    def advance(self, seconds: float) -> None:
        """Move on by some seconds, as somebody's work takes them."""
        self._now += seconds


class WallClock:
    """The time on the wall, exact to about 0.1 ms."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.perf_counter()

    def sleep_until(self, moment: float) -> None:
        """Sleep."""
        left = moment - self.now()
        if left > 0:
            time.sleep(left)


@dataclass(frozen=True, slots=True)
class Costs:
    """How long things take on the device, in milliseconds. `jitter` 0.2 varies each by up to 20 %."""

    forward: Callable[[Kind, int, int], float] = lambda kind, rows, tokens: 0.0
    """Of the kind, the number of rows and the number of tokens."""
    sample: Callable[[int], float] = lambda rows: 0.0
    copy: float = 0.0
    jitter: float = 0.0


class SimViolation(AssertionError):
    """The caller broke the contract of a runner."""


class SimulatedFault(RuntimeError):
    """A step failed, as it was told to."""


@dataclass(frozen=True, slots=True)
class Op:
    """Work of a stream, for tests of the order: seconds."""

    stream: Literal["compute", "copy"]
    name: str
    slot: int
    start: float
    end: float


@dataclass(slots=True, eq=False)
class _Work:
    """What is under way in a slot: the rows that ride, their hidden states, what `sample` chose of them."""

    rows: NDArray[np.int32]
    states: Codes
    draws: Draws
    failed: bool
    result: StepHost | None = None
    fenced: bool = False

    @property
    def abandoned(self) -> bool:
        """Whether it may be forgotten: it is over, and nobody has had it sampled."""
        return self.fenced and self.result is None


@dataclass(slots=True, eq=False)
class SimEvent:
    """The end of a step on the simulated device."""

    device: SimRunner
    slot: int
    moment: float
    work: _Work

    def query(self) -> bool:
        """Whether it has happened."""
        return self.device.clock.now() >= self.moment

    def wait(self, timeout: float | None = None) -> None:
        """Pass the time until it has. Raises `SimulatedFault` or `TimeoutError`."""
        clock = self.device.clock
        if timeout is not None and self.moment > clock.now() + timeout:
            clock.sleep_until(clock.now() + timeout)
            raise TimeoutError(f"The step of slot {self.slot} takes longer than {timeout} s.")
        self.device.land(self)

    def ready_at(self) -> float:
        """When it happened, by the clock of the device."""
        return self.moment


@dataclass(eq=False)
class SimRunner:
    """Implements `ModelRunner`. `faults` go by the number of the call, see `calls`."""

    limits: Limits
    machine: HistoryMachine
    clock: Clock = field(default_factory=VirtualClock)
    costs: Costs = Costs()
    faults: Mapping[int, Fault] = field(default_factory=dict)
    blocking_upload: float | None = None
    """Have `sample` copy its masks for so many milliseconds in the compute stream, and wait for that."""
    log: list[Op] | None = None
    name: str = "sim"
    calls: int = 0
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows, positions = self.limits.rows, self.limits.max_seq
        self._pages = np.zeros((rows, positions), np.int32)  # as the host has set them
        self._mapped = np.zeros((rows, positions), np.int32)  # as the device sees them
        self._dirty: set[int] = set()
        self._kept = np.zeros(self.limits.n_pages, np.uint64)
        self._pending = np.zeros(rows, np.uint64)
        self._salts = np.zeros(rows, np.uint64)
        self._rules: dict[int, Rule] = {0: Rule()}
        self._work: dict[int, _Work] = {}
        self._landing = [np.full((rows, 4), POISON, np.int64) for _ in range(2)]
        self._compute = self._copied = 0.0
        self._random = random.Random(0)
        self._lost = False

    # -------------------------------------------------------------------------------------------- tables

    def set_pages(self, row: int, pages: Sequence[int]) -> None:
        """Map a row. No step in flight may ride on it (I11)."""
        self._call()
        if any(row in work.rows for work in self._work.values() if not work.abandoned):
            self._violated(f"Row {row} is mapped anew while a step in flight rides on it.")
        if row == 0 or 0 in pages:
            self._violated("Row 0 and page 0 belong to nobody.")
        self._pages[row] = 0
        self._pages[row, : len(pages)] = pages
        self._dirty.add(row)

    def set_mask(self, index: int, rule: Rule) -> None:
        """Put a rule into the table."""
        self._call()
        if 0 < index <= self.limits.masks and index in self._rules:
            self._violated(f"Mask {index} is permanent and was set before.")
        if not 0 < index <= self.limits.masks + 2 * self.limits.rows:
            self._violated(f"There is no mask {index}.")
        self._rules[index] = rule

    def load_adapter(self, slot: int, adapter: Any) -> None:
        """An adapter of the history machine is a number that salts what is kept."""
        self._call()
        self._salts[slot] = adapter

    # --------------------------------------------------------------------------------------------- steps

    def prefill(self, slot: int, rows: Sequence[Prefill], draws: Draws) -> None:
        """Read prompts."""
        failed = self._begin(slot)
        if len({bool(_images(one.elements[one.skip :])) for one in rows}) > 1:
            self._violated("Prompts with an image to read and others do not share a forward (I26).")
        indices = np.array([one.row for one in rows], np.int32)
        self._upload(indices)
        lengths = np.array([positions_of(one.elements) for one in rows])
        skipped = [positions_of(one.elements[: one.skip]) for one in rows]
        for one, length, skip in zip(rows, lengths, skipped, strict=True):
            digests = [""] * (len(_images(one.elements)) - len(one.images)) + list(one.images)
            codes = prompt_codes(one.elements, [d or "0" for d in digests], int(self._salts[one.adapter]))
            self._kept[self._mapped[one.row, skip:length]] = codes[skip:]
        tokens = int(lengths.sum()) - sum(skipped)
        self._forward("prefill", slot, indices, lengths, draws, tokens, failed)

    def decode(
        self,
        slot: int,
        rows: NDArray[np.int32],
        positions: NDArray[np.int32],
        adapters: NDArray[np.int32],
        draws: Draws,
    ) -> None:
        """Feed the pending tokens."""
        failed = self._begin(slot)
        if len(set(rows.tolist())) != len(rows):
            self._violated("A row is decoded twice in one step.")
        self._upload(rows)
        self._kept[self._mapped[rows, positions]] = kept_code(self._pending[rows], self._salts[adapters])
        self._forward("decode", slot, rows, positions + 1, draws, len(rows), failed)

    def sample(self, slot: int, masks: NDArray[np.int32]) -> SimEvent:
        """Choose ids and copy them out."""
        fault = self._call()
        work = self._work[slot]
        if self.blocking_upload is not None:
            self._compute = self._queue("compute", "upload", slot, self.blocking_upload, self._compute)
            self.clock.sleep_until(self._compute)
        choice = self.machine.choose(work.states, [self._rules[int(i)] for i in masks], work.draws)
        self._pending[work.rows] = choice.codes
        work.result = StepHost(choice.ids, choice.coord, choice.size)
        work.failed |= fault == "late"
        self._compute = self._queue("compute", "sample", slot, self.costs.sample(len(masks)), self._compute)
        begin = max(self._copied, self._compute)  # not for anything queued later (I7)
        self._copied = self._queue("copy", "copy", slot, self.costs.copy, begin)
        return SimEvent(self, slot, self._copied, work)

    def land(self, event: SimEvent) -> None:
        """Wait for an event and fill the host buffers of its slot."""
        result = event.work.result
        if self._work.get(event.slot) is not event.work or result is None:
            self._violated(f"The buffers of slot {event.slot} were used again before they were read.")
            return
        work = self._work.pop(event.slot)
        fault = self._call()
        self.clock.sleep_until(event.moment)
        if work.failed or fault == "late":
            raise SimulatedFault(f"The step of slot {event.slot} failed on the device.")
        landing = self._landing[event.slot][: len(result.ids)]
        landing[:, 0], landing[:, 1], landing[:, 2:] = result.ids, result.coord, result.size
        self._work[event.slot] = work

    def read(self, slot: int) -> StepHost:
        """What has landed."""
        work = self._work.pop(slot, None)
        self._call()
        landing = self._landing[slot][: 0 if work is None else len(work.rows)]
        if work is None or (landing == POISON).any():
            self._violated(f"Slot {slot} was read before its tokens had landed.")
        ids, coord, size = landing[:, 0], landing[:, 1].astype(np.int32), landing[:, 2:].astype(np.int32)
        return StepHost(ids, coord, size)

    def fence(self) -> None:
        """Wait for everything. A step that is never sampled does not keep its slot any longer."""
        self.clock.sleep_until(max(self._compute, self._copied))
        if self._lost:
            raise DeviceLost("The simulated device is gone.")
        for work in self._work.values():
            work.fenced = True

    def close(self) -> None:
        """Nothing to let go of."""

    # ------------------------------------------------------------------------------------------- the device

    def _call(self) -> Fault | None:
        fault = self.faults.get(self.calls)
        self.calls += 1
        self._lost |= fault == "lost"
        if self._lost:
            raise DeviceLost("The simulated device is gone.")
        if fault == "error":
            raise SimulatedFault(f"Call {self.calls - 1} was told to fail.")
        return fault

    def _begin(self, slot: int) -> bool:
        failed = self._call() == "late"
        if slot in self._work and not self._work[slot].abandoned:
            self._violated(f"Slot {slot} is used again before its step was read.")
        self._landing[slot][:] = POISON
        return failed

    def _upload(self, rows: NDArray[np.int32]) -> None:
        for row in self._dirty.intersection(rows.tolist()):
            self._mapped[row] = self._pages[row]
            self._dirty.remove(row)

    def _forward(
        self,
        kind: Kind,
        slot: int,
        rows: NDArray[np.int32],
        lengths: NDArray[np.integer],
        draws: Draws,
        tokens: int,
        failed: bool,
    ) -> None:
        history = self._kept[self._mapped[rows, : int(lengths.max())]]
        self._work[slot] = _Work(rows, self.machine.state(history, lengths), draws, failed)
        cost = self.costs.forward(kind, len(rows), tokens)
        self._compute = self._queue("compute", kind, slot, cost, self._compute)

    def _queue(
        self, stream: Literal["compute", "copy"], name: str, slot: int, cost: float, tail: float
    ) -> float:
        start = max(self.clock.now(), tail)
        if self.costs.jitter:
            cost *= 1 + self.costs.jitter * self._random.uniform(-1, 1)
        end = start + cost / 1000
        if self.log is not None:
            self.log.append(Op(stream, name, slot, start, end))
        return end

    def _violated(self, what: str) -> None:
        self.violations.append(what)
        raise SimViolation(what)


def _images(elements: Sequence[Any]) -> list[Any]:
    return [element for element in elements if hasattr(element, "digest")]
