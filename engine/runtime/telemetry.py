"""What the engine has been doing: its last steps, and how full everything is.

The engine thread writes; any thread may read. A record is written when its step has been committed and is
not changed after that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dreamscope.engine.devices.runner import ImageKey, positions_of
from dreamscope.engine.runtime.metrics import Counters
from dreamscope.engine.runtime.scheduler import Scheduler
from dreamscope.engine.runtime.sequence import Seat, Step, StepKind
from dreamscope.engine.runtime.trace import Action

KEPT = 4096
RATE_S = 2.0
"""Over how long `Recorder.rate` looks back."""
Span = tuple[float, float]
"""Begin and end in seconds of the engine's clock."""
State = Literal["starting", "ready", "paused", "draining", "dead", "stopped"]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step. `launch`, `mask`, `wait` and `commit` are the host's, `device` is forward to copy."""

    index: int
    kind: StepKind
    slot: int
    depth: int
    requests: tuple[str, ...]
    """Who rode in it, zombies included."""
    zombies: int
    positions: int
    """Computed by its forward."""
    launch: Span
    mask: Span
    wait: Span
    commit: Span
    device: Span
    idle: float
    """Seconds that the device had nothing to do before it, while there was work."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """How things stood after a tick. Pages count positions."""

    state: State = "starting"
    depth: int = 0
    """Steps that may be in flight."""
    in_flight: int = 0
    running: int = 0
    """Requests that hold a row."""
    waiting: int = 0
    pages_free: int = 0
    pages_cached: int = 0
    pages_private: int = 0
    pages_reclaimable: int = 0
    evictions: int = 0
    hit_positions: int = 0
    """Prompt positions that were found in the cache, of all `prompt_positions` since the start."""
    prompt_positions: int = 0
    images_cached: int = 0
    adapters_used: int = 0


class Recorder:
    """Implements `Trace`: keeps the last steps, and adds them up."""

    def __init__(
        self,
        counters: Counters,
        clock: Callable[[], float],
        launched: Callable[[Seat], None],
        read: Callable[[Seat, float], None],
    ) -> None:
        """`launched` is told of every seat whose prompt is being read from now on, and `read` of those whose
        prompt has been, with the milliseconds that the device took for the step.
        """
        self._counters = counters
        self._clock = clock
        self._launched = launched
        self._read = read
        self._records: deque[StepRecord] = deque(maxlen=KEPT)
        self._spans: dict[tuple[int, Action], list[float]] = {}
        self._device_free: float | None = None
        self._before = 0  # steps of schedulers before this one

    def steps(self, since: int = -1) -> list[StepRecord]:
        """The kept steps whose index is larger, oldest first. Any thread."""
        return [record for record in tuple(self._records) if record.index > since]

    def rate(self) -> float:
        """Tokens per second that steps have sampled of late, for requests that had not ended. Any thread."""
        since = self._clock() - RATE_S
        recent = [record for record in tuple(self._records) if record.commit[1] > since]
        return sum(len(record.requests) - record.zombies for record in recent) / RATE_S

    def rest(self) -> None:
        """There is nothing to do: from now on the device does not idle, it rests."""
        self._device_free = None

    def begin(self, action: Action, step: Step) -> None:
        """The host turns to something."""
        self._spans[step.index, action] = [self._clock()]

    def end(self, action: Action, step: Step) -> None:
        """It is through with it."""
        self._spans[step.index, action].append(self._clock())
        if action == "launch" and step.kind == "prefill":
            for seat in step.seats:
                self._launched(seat)
        if action == "commit":
            self._keep(step)

    def forget(self) -> None:
        """Steps in flight are not committed any more, and the next one begins to count anew."""
        self._spans.clear()
        self._before = self._records[-1].index + 1 if self._records else 0
        self.rest()

    def _keep(self, step: Step) -> None:
        self._spans = {key: span for key, span in self._spans.items() if key[0] >= step.index}
        launch, mask = self._span(step, "launch"), self._span(step, "mask")
        wait, commit = self._span(step, "wait"), self._span(step, "commit")
        free = self._device_free
        idle = 0.0 if free is None else max(0.0, launch[1] - free)
        begun = launch[1] if free is None else max(launch[1], free)
        self._device_free = max(begun, step.ready_at)
        decoded = step.kind == "decode"
        positions = len(step.seats) if decoded else sum(_positions(seat) for seat in step.seats)
        record = StepRecord(
            self._before + step.index,
            step.kind,
            step.slot,
            step.depth,
            tuple(seat.sequence.id for seat in step.seats),
            step.zombies,
            positions,
            launch,
            mask,
            wait,
            commit,
            (begun, self._device_free),
            idle,
        )
        self._records.append(record)
        self._count(record)
        if step.kind == "prefill":
            for seat in step.seats:
                self._read(seat, (record.device[1] - record.device[0]) * 1000)

    def _span(self, step: Step, action: Action) -> Span:
        begun, ended = self._spans.pop((step.index, action))
        return begun, ended

    def _count(self, record: StepRecord) -> None:
        c = self._counters
        c.steps[record.kind] += 1
        c.rows[record.kind] += len(record.requests)
        c.zombie_rows += record.zombies
        pairs = ((c.launch, record.launch), (c.mask, record.mask), (c.commit, record.commit))
        for histogram, (begun, ended) in (*pairs, (c.device, record.device)):
            histogram.add((ended - begun) * 1000)
        c.idle.add(record.idle * 1000)


def gauges_of(scheduler: Scheduler, state: State) -> Gauges:
    """How things stand. Engine thread."""
    admission = scheduler.requests.admission
    pages, tree = admission.pages, admission.pages.tree
    running = len(scheduler.requests.running)
    return Gauges(
        state,
        scheduler.depth.choose(running + len(admission.waiting)),
        scheduler.pipeline.in_flight,
        running,
        len(admission.waiting),
        pages.pool.free,
        tree.pages,
        pages.private,
        tree.reclaimable,
        tree.evictions,
        pages.hit_positions,
        pages.prompt_positions,
        pages.images,
        admission.adapters.used,
    )


def _positions(seat: Seat) -> int:
    return positions_of(seat.prompt[seat.lease.skip :])


def reads_image(seat: Seat) -> bool:
    """Whether the prefill of a seat computes an image."""
    return any(isinstance(element, ImageKey) for element in seat.prompt[seat.lease.skip :])
