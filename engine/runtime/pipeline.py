"""Two steps in flight: which may be launched, sampled and committed, and whose slot is free.

The problem. A token is known to the host only after the device has computed it and the copy has arrived;
the host then spends a while on bookkeeping, in which the device would idle. So the next forward is launched
before the previous step is committed: its input tokens never leave the device. Sampling has to wait for that
commit, because the tokens of the previous step decide what the next ones may be.

    device   | forward t   | sample t | forward t+1     | sample t+1 | forward t+2 ...
    host       commit t-1 .. launch t+1 ... wait t, commit t .. finalize t+1, launch t+2 ...

    slot 0     [ step t: launched ----- sampled ---- committed ]      [ step t+2 ...
    slot 1                      [ step t+1: launched ---- sampled ---- committed ]

A step uses one of two slots, the reusable buffers of a step, from its launch until its commit has returned.

I2   Steps are committed in the order of their launches, whatever their kind.
I4   At most one step is launched and not sampled; at most two are in flight.
I5   A step is sampled only after the commit of the one before it has returned: see `Scheduler.tick`.
I6   A slot is free when the commit of its step has returned, not when it began.
I15  A full pipeline launches nothing, and that is no error.
I16  While a step is in flight there is work, even if nobody waits for its tokens.

Nothing here knows a device or a request. A misuse raises `PipelineError`: it is a bug of the caller.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

SLOTS = 2


class PipelineError(RuntimeError):
    """The caller broke the order launch, sampled, take, done."""


class HasSlot(Protocol):
    """What the pipeline needs to know of a step."""

    @property
    def slot(self) -> int:
        """0 or 1."""


StepT = TypeVar("StepT", bound=HasSlot)


class Pipeline(Generic[StepT]):
    """The steps in flight. `launched` waits for its sampling, `committing` is being committed."""

    def __init__(self, slots: int = SLOTS) -> None:
        if slots != SLOTS:
            raise PipelineError(f"A pipeline has {SLOTS} slots, not {slots}.")
        self._queue: deque[StepT] = deque()  # sampled, oldest first
        self.launched: StepT | None = None
        self.committing: StepT | None = None

    # ------------------------------------------------------------------------------------------- questions

    @property
    def empty(self) -> bool:
        """Whether no step is in flight; false while a commit runs (I16)."""
        return not self._queue and self.launched is None and self.committing is None

    @property
    def in_flight(self) -> int:
        """Steps launched and not yet taken for their commit."""
        return len(self._queue) + (self.launched is not None)

    @property
    def queued(self) -> int:
        """Steps that are sampled and wait for their commit."""
        return len(self._queue)

    def steps(self) -> tuple[StepT, ...]:
        """Every step whose slot is busy, in the order of their launches."""
        ends = (self.committing, *self._queue, self.launched)
        return tuple(step for step in ends if step is not None)

    def busy(self, slot: int) -> bool:
        """Whether a step uses the slot."""
        return any(step.slot == slot for step in self.steps())

    def free_slot(self) -> int | None:
        """The lowest free slot."""
        return next((slot for slot in range(SLOTS) if not self.busy(slot)), None)

    def can_launch(self, depth: int = SLOTS) -> bool:
        """Whether a step may be launched now; at depth 1 only with nothing in flight (I15)."""
        if depth == 1:
            return self.empty
        return self.launched is None and self.free_slot() is not None

    def peek(self) -> StepT | None:
        """The step that `take` would return."""
        return self._queue[0] if self._queue else None

    # --------------------------------------------------------------------------------------------- changes

    def launch(self, step: StepT) -> None:
        """The forward of `step` is queued on the device (I4)."""
        if self.launched is not None:
            raise PipelineError("A launched step waits for its sampling; a second one cannot be launched.")
        if step.slot not in range(SLOTS) or self.busy(step.slot):
            raise PipelineError(f"Slot {step.slot} is not free.")
        self.launched = step

    def sampled(self, step: StepT) -> None:
        """Sampling and copy-out of the launched step are queued."""
        if self.launched is None:
            raise PipelineError("No launched step waits for its sampling.")
        if self.launched is not step:
            raise PipelineError(f"Slot {self.launched.slot} was launched, not this step of slot {step.slot}.")
        self._queue.append(step)
        self.launched = None

    def abandon(self) -> StepT:
        """The launched step could not be sampled: its slot is free again, and it is never committed."""
        if self.launched is None:
            raise PipelineError("No launched step waits for its sampling.")
        step, self.launched = self.launched, None
        return step

    def take(self) -> StepT | None:
        """Begin the commit of the oldest sampled step (I2); `None` if there is none."""
        if self.committing is not None:
            raise PipelineError("The commit before has not returned.")
        if self._queue:
            self.committing = self._queue.popleft()
        return self.committing

    def done(self) -> None:
        """The commit has returned; only now is the slot free (I6)."""
        if self.committing is None:
            raise PipelineError("No commit is running.")
        self.committing = None
