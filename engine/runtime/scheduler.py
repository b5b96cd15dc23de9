"""One tick of the engine: commit a step, sample the next one, launch the one after it.

    A  take in     deadlines; arrivals and cancels came in between two ticks
    B  commit      wait for the oldest sampled step, apply its tokens, free its slot
    C  finalize    masks of the launched step from skills that have now seen every token, queue its sampling
    D  launch      a prefill or a decode step; its input tokens are still on the device
    E  deliver     what this tick brought, in one call

    ... launch t+1 | commit t, finalize t+1, launch t+2 | commit t+1, finalize t+2, launch t+3 | ...

Where the last tick had nothing to launch, somebody may have come meanwhile: D is tried before B as well.
B before C makes masks exact (I5, I8). C before D lets the device always have a forward to do while the host
is in B. Depth 1 differs in one condition of D. Nothing but B, `drain` and a failed step waits for the device
(I14). What a request takes is described in `sequence.py`, who goes next in `admission.py`.

One thread owns a scheduler and everything in it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items
from itertools import count
from typing import Any

import numpy as np

from dreamscope.engine.devices.runner import FREE, DeviceLost, ModelRunner, StepHost
from dreamscope.engine.errors import DreamscopeError, EngineDead, InternalError, QueueFull, RequestExists
from dreamscope.engine.runtime.admission import Admission
from dreamscope.engine.runtime.batch import queue_forward
from dreamscope.engine.runtime.cost_model import Depth, FixedDepth, StepTimes
from dreamscope.engine.runtime.masks import MaskTable
from dreamscope.engine.runtime.pipeline import Pipeline
from dreamscope.engine.runtime.planner import Policy
from dreamscope.engine.runtime.sequence import FinishReason, Picked, Seat, Sequence, Step, Update
from dreamscope.engine.runtime.trace import NoTrace, Trace

MAX_QUEUE = 64


class Scheduler:
    """Serves sequences on a runner. `deliver` takes the updates of a tick; it must not raise."""

    def __init__(
        self,
        runner: ModelRunner,
        deliver: Callable[[list[Update]], None],
        clock: Callable[[], float],
        *,
        depth: Depth | None = None,
        policy: Policy | None = None,
        trace: Trace | None = None,
        max_queue: int = MAX_QUEUE,
    ) -> None:
        """`clock` gives the seconds in which deadlines are told, the same that the runner's events use."""
        self.depth: Depth = FixedDepth(2) if depth is None else depth
        self.policy = Policy() if policy is None else policy
        self.paused = False
        self.dead: BaseException | None = None
        self.pipeline: Pipeline[Step] = Pipeline()
        self.admission = Admission(runner, self.policy, self._fail)
        self.running: list[Seat] = []
        """Seats that decode or will, oldest first; the cohort is the front of it."""
        self._runner = runner
        self._limits = runner.limits
        self._deliver = deliver
        self._clock = clock
        self._trace: Trace = NoTrace() if trace is None else trace
        self._max_queue = max_queue
        self._masks = MaskTable(runner)
        self._live: dict[str, Sequence] = {}
        self._updates: list[Update] = []
        self._indices = count()
        self._prefills_in_a_row = 0
        self._previous_ready = 0.0

    # -------------------------------------------------------------------------------------------- requests

    def submit(self, sequence: Sequence) -> None:
        """Let a request wait for its turn.

        Raises `QueueFull`, `RequestExists`, `EngineDead`, or `ContextLengthExceeded` for what can never run.
        """
        if self.dead is not None:
            raise EngineDead(f"The engine has stopped: {self.dead}")
        if sequence.id in self._live:
            raise RequestExists(f"The request {sequence.id!r} is still running.", "request_id")
        if len(self.admission.waiting) >= self._max_queue:
            raise QueueFull(f"{self._max_queue} requests are waiting already; try again soon.")
        self.admission.check(sequence)
        sequence.times.submitted = sequence.waiting_since = self._clock()
        self._live[sequence.id] = sequence
        self.admission.add(sequence)

    def cancel(self, sequence_id: str, reason: str = "client") -> None:
        """End a request wherever it is. Ids that are unknown or through are ignored."""
        sequence = self._live.get(sequence_id)
        if sequence is not None:
            sequence.cancel_reason = reason
            self._close(sequence, "cancelled")

    def has_work(self) -> bool:
        """Whether a tick may do something: somebody is served, or a step is in flight (I16)."""
        return bool(self._live or self._updates) or not self.pipeline.empty

    def next_deadline(self) -> float | None:
        """The earliest moment at which a request expires."""
        return min((s.deadline for s in self._live.values() if s.deadline is not None), default=None)

    # ------------------------------------------------------------------------------------------------ ticks

    def tick(self) -> bool:
        """Do what can be done now; false if nothing could. The order of the parts is the pipeline."""
        self._expire()
        progressed = False
        try:
            progressed |= self._launch()  # who has come since then need not wait for the commit
            progressed |= self._commit()
            progressed |= self._finalize()
            progressed |= self._launch()
        except DeviceLost as error:
            self.kill(error)
        if self._updates:
            updates, self._updates = self._updates, []
            self._deliver(updates)
            progressed = True
        return progressed

    def drain(self) -> None:
        """Commit everything in flight, and launch nothing. Commits come before the sampling, as ever."""
        paused, self.paused = self.paused, True
        while not self.pipeline.empty:
            self.tick()
        self.paused = paused

    def pause(self) -> None:
        """Stop launching and wait for the device; seats stay, and go on after `resume`."""
        self.paused = True
        self.drain()
        self._runner.fence()

    def resume(self) -> None:
        """Launch again."""
        self.paused = False

    def abort(self, error: BaseException) -> None:
        """Bring what is in flight to its end, and fail everybody who is left."""
        self.drain()
        for sequence in tuple(self._live.values()):
            self._fail(sequence, error)
        self.tick()

    def _expire(self) -> None:
        now = self._clock()
        for sequence in [one for one in self._live.values() if one.expired(now)]:
            self._close(sequence, "deadline")

    # ---------------------------------------------------------------------------------------------- commit

    def _commit(self) -> bool:
        step = self.pipeline.take()
        if step is None:
            return False
        try:
            self._trace.begin("wait", step)
            step.event.wait()
            self._trace.end("wait", step)
            host = self._runner.read(step.slot)
        except DeviceLost:
            raise
        except Exception as error:
            for seat in step.seats:
                seat.refs -= 1
            self._fail_seats(step.seats, error)
        else:
            self._apply(step, host)
        self.pipeline.done()
        return True

    def _apply(self, step: Step, host: StepHost) -> None:
        """Hand every row its token, in order."""
        begun = self._clock()
        self._trace.begin("commit", step)
        step.ready_at = step.event.ready_at()
        ids, coords, sizes = host.ids.tolist(), host.coord.tolist(), host.size.tolist()
        logprobs = [None] * len(ids) if host.logprob is None else host.logprob.tolist()
        for seat, *picked in zip(step.seats, ids, coords, sizes, logprobs, strict=True):
            seat.refs -= 1
            if step.kind == "prefill":
                self.admission.pages.publish(seat.lease, seat.prompt)
            if seat.vacated:
                self._count_zombie(step, seat)
            else:
                self._accept(seat, Picked(*picked), begun, len(ids) if step.kind == "decode" else 0)
        self._trace.end("commit", step)
        step.committed_at = self._clock()
        step.commit_s = step.committed_at - begun
        self._observe(step)

    def _count_zombie(self, step: Step, seat: Seat) -> None:
        step.zombies += 1
        seat.sequence.zombie_steps += 1
        if seat.refs == 0:
            self.admission.release(seat)

    def _accept(self, seat: Seat, picked: Picked, now: float, shared: int) -> None:
        """Apply a decision of a live request. Whatever it raises is that request's own failure."""
        sequence = seat.sequence
        if sequence.max_new == 0:
            self._finish(sequence, "length")
            return
        try:
            if picked.id < 0:
                raise InternalError("No token can be chosen: the model gave no number, or all is masked.")
            verdict = sequence.driver.consume(picked)
        except Exception as error:
            self._fail(sequence, error)
            return
        seat.generated.append(verdict.element)
        sequence.output_tokens += 1
        sequence.times.tokens.append(now)
        sequence.decode_steps += shared > 0
        sequence.shared_steps += shared
        if verdict.events:
            self._updates.append(Update(sequence, verdict.events, False))
        if verdict.finish is not None:
            self._finish(sequence, verdict.finish)
        elif verdict.restart is not None:
            self._restart(seat, verdict.restart)
        elif len(seat.generated) == seat.budget:
            self._close(sequence, "length")

    def _restart(self, seat: Seat, prompt: tuple[Any, ...]) -> None:
        """Go on with another prompt, ahead of those who wait already."""
        sequence = seat.sequence
        self._vacate(seat)
        sequence.prompt, sequence.waiting_since, sequence.passed = prompt, self._clock(), 0
        try:
            self.admission.check(sequence)
        except DreamscopeError as error:
            self._fail(sequence, error)
        else:
            self.admission.add(sequence, front=True)

    # -------------------------------------------------------------------------------------------- finalize

    def _finalize(self) -> bool:
        step = self.pipeline.launched
        if step is None:
            return False
        begun = self._clock()
        self._trace.begin("mask", step)
        try:
            masks = np.array([self._mask(step, place) for place in range(len(step.seats))], np.int32)
            step.event = self._runner.sample(step.slot, masks)
        except DeviceLost:
            raise
        except Exception as error:
            self.pipeline.abandon()
            for seat in step.seats:
                seat.refs -= 1
            self._fail_seats(step.seats, error)
        else:
            self.pipeline.sampled(step)
            self._trace.end("mask", step)
            step.sampled_at = self._clock()
            step.mask_s = step.sampled_at - begun
        return True

    def _mask(self, step: Step, place: int) -> int:
        """The mask of one row; a zombie's skill is over and must not be asked."""
        seat = step.seats[place]
        if seat.vacated or seat.sequence.max_new == 0:
            return FREE
        try:
            rule = seat.sequence.driver.rule()
        except Exception as error:
            self._fail(seat.sequence, error)
            return FREE
        return self._masks.index(rule, step.slot, place)

    # ---------------------------------------------------------------------------------------------- launch

    def _launch(self) -> bool:
        cohort = self.running[: self._limits.max_batch]  # who is blocked keeps its place in it
        depth = self.depth.choose(len(cohort) + len(self.admission.waiting))
        if self.paused or not self.pipeline.can_launch(depth):
            return False
        begun = self._clock()
        slot = self.pipeline.free_slot()
        assert slot is not None
        ready = [seat for seat in cohort if seat.dispatchable]
        burst = self.policy.prefill_burst
        if not ready or burst is None or self._prefills_in_a_row < burst:
            seats = self.admission.next_batch(begun)
            if seats:
                self._prefills_in_a_row += 1
                self.running += seats
                self._start(Step(next(self._indices), "prefill", slot, seats, depth=depth), begun)
                return True
        self._prefills_in_a_row = 0
        if ready:
            self._start(Step(next(self._indices), "decode", slot, ready, depth=depth), begun)
        return bool(ready)

    def _start(self, step: Step, begun: float) -> None:
        """Queue the forward of a step. If that raises, nothing of it was (I13)."""
        self._trace.begin("launch", step)
        try:
            queue_forward(self._runner, step)
        except DeviceLost:
            raise
        except Exception as error:
            self._fail_seats(step.seats, error)
            return
        for seat in step.seats:
            seat.launched(step.kind, begun)
        self.pipeline.launch(step)
        self._trace.end("launch", step)
        step.launched_at = self._clock()
        step.launch_s = step.launched_at - begun

    # ------------------------------------------------------------------------------------------------- ends

    def _close(self, sequence: Sequence, reason: FinishReason, error: BaseException | None = None) -> None:
        """End a request from outside its skill, which may have held something back."""
        try:
            events = sequence.driver.close(reason)
        except Exception as failure:
            self._finish(sequence, "error", failure)
        else:
            self._finish(sequence, reason, error, events)

    def _fail(self, sequence: Sequence, error: BaseException) -> None:
        if not sequence.finished:
            self._finish(sequence, "error", error)

    def _finish(
        self,
        sequence: Sequence,
        reason: FinishReason,
        error: BaseException | None = None,
        events: tuple[Any, ...] = (),
    ) -> None:
        """Give a request its end now (I12); its seat is released when no step holds it."""
        sequence.finish_reason, sequence.error = reason, error
        sequence.times.ended = self._clock()
        del self._live[sequence.id]
        self.admission.remove(sequence)
        if reason == "stop":
            self.depth.ended(sequence.decode_steps)
        if sequence.seat is not None:
            self._vacate(sequence.seat)
        self._updates.append(Update(sequence, events, True))

    def _vacate(self, seat: Seat) -> None:
        """The sequence leaves its seat."""
        seat.vacated = True
        seat.sequence.seat = None
        if seat in self.running:
            self.running.remove(seat)
        if seat.refs == 0 and self.dead is None:
            self.admission.release(seat)

    def _fail_seats(self, seats: Items[Seat], error: BaseException) -> None:
        """A step has failed. The device is waited for before anything that it may still write is returned."""
        self._runner.fence()
        for seat in seats:
            seat.spoiled = True
            if not seat.vacated:
                self._fail(seat.sequence, error)
            elif seat.refs == 0:
                self.admission.release(seat)

    def kill(self, error: BaseException) -> None:
        """Fail everybody, and take nothing more; what they hold is not returned to a device that is gone."""
        self.dead = error
        self.pipeline = Pipeline()
        for sequence in tuple(self._live.values()):
            self._fail(sequence, error)

    def _observe(self, step: Step) -> None:
        """Tell the depth rule how long a lone row's step took; the device's time is told as its forward."""
        begun = max(step.launched_at, self._previous_ready)
        self._previous_ready = step.ready_at
        if step.kind == "decode" and len(step.seats) == 1:
            device = (step.ready_at - begun) * 1000
            host = (step.launch_s * 1000, step.mask_s * 1000, step.commit_s * 1000)
            self.depth.observe(StepTimes(device, 0.0, 0.0, *host))
