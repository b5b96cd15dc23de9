"""One tick of the engine: commit a step, sample the next one, launch the one after it.

    A  take in     deadlines; arrivals and cancels came in between two ticks
    B  commit      wait for the oldest sampled step, apply its tokens, free its slot
    C  finalize    masks of the launched step from skills that have now seen every token, queue its sampling
    D  launch      a prefill or a decode step; its input tokens are still on the device
    E  deliver     what this tick brought, in one call

    ... launch t+1 | commit t, finalize t+1, launch t+2 | commit t+1, finalize t+2, launch t+3 | ...

B before C makes masks exact (I5, I8). C before D lets the device always have a forward to do while the host
is in B. Where the last tick had nothing to launch, somebody may have come meanwhile: D is tried before B as
well. Depth 1 differs in one condition of D. Nothing but B, `drain` and a failed step waits for the device
(I14). What becomes of a request is in `requests.py`, who goes next in `admission.py`.

One thread owns a scheduler and everything in it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import numpy as np

from dreamscope.engine.devices.runner import FREE, DeviceLost, ModelRunner, StepHost
from dreamscope.engine.runtime.batch import decisions, queue_forward
from dreamscope.engine.runtime.cost_model import Depth, FixedDepth, StepTimes
from dreamscope.engine.runtime.masks import MaskTable
from dreamscope.engine.runtime.pipeline import Pipeline
from dreamscope.engine.runtime.planner import Policy
from dreamscope.engine.runtime.requests import Requests
from dreamscope.engine.runtime.sequence import Seat, Sequence, Step, Update
from dreamscope.engine.runtime.trace import NoTrace, Trace

MAX_QUEUE = 64
LESSONS = 16
"""Things that have happened before the depth rule hears of them, at most; at first it hears of each."""


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
        self.pipeline: Pipeline[Step] = Pipeline()
        self.requests = Requests(runner, self.policy, clock, max_queue)
        self._runner = runner
        self._deliver = deliver
        self._clock = clock
        self._trace: Trace = NoTrace() if trace is None else trace
        self._masks = MaskTable(runner)
        self._indices = count()
        self._prefills_in_a_row = 0
        self._previous_ready = 0.0
        self._emptied_at: float | None = None  # nobody was left, and nobody was read since
        self._lessons: list[Callable[[], None]] = []  # for the depth rule, when there is time
        self._learnt = 0

    # -------------------------------------------------------------------------------------------- requests

    def submit(self, sequence: Sequence) -> None:
        """Let a request wait for its turn.

        Raises `QueueFull`, `RequestExists`, `EngineDead`, or `ContextLengthExceeded` for what can never run.
        """
        self.requests.submit(sequence)

    def cancel(self, sequence_id: str, reason: str = "client") -> None:
        """End a request wherever it is. Ids that are unknown or through are ignored."""
        self.requests.cancel(sequence_id, reason)

    @property
    def dead(self) -> BaseException | None:
        """Why nothing is served any more."""
        return self.requests.dead

    def has_work(self) -> bool:
        """Whether a tick may do something: somebody is served, or a step is in flight (I16)."""
        return bool(self.requests.live or self.requests.updates) or not self.pipeline.empty

    def next_deadline(self) -> float | None:
        """The earliest moment at which a request expires."""
        deadlines = (one.deadline for one in self.requests.live.values() if one.deadline is not None)
        return min(deadlines, default=None)

    # ------------------------------------------------------------------------------------------------ ticks

    def tick(self) -> bool:
        """Do what can be done now; false if nothing could. The order of the parts is the pipeline."""
        self.requests.expire()
        progressed = False
        try:
            self._learn()
            progressed |= self._launch()  # who has come since then need not wait for the commit
            progressed |= self._commit()
            progressed |= self._finalize()
            progressed |= self._launch()
        except DeviceLost as error:
            self.kill(error)
        return self.hand_out() or progressed

    def hand_out(self) -> bool:
        """Deliver what has come up since the last time; a tick does so at its end."""
        updates, self.requests.updates = self.requests.updates, []
        if updates:
            self._deliver(updates)
        return bool(updates)

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
        try:
            self._runner.fence()
        except DeviceLost as error:
            self.kill(error)

    def resume(self) -> None:
        """Launch again."""
        self.paused = False

    def abort(self, error: BaseException) -> None:
        """Bring what is in flight to its end, and fail everybody who is left."""
        self.drain()
        self.requests.fail_all(error)
        self.hand_out()

    def kill(self, error: BaseException) -> None:
        """Fail everybody, and take nothing more; what they hold is not returned to a device that is gone."""
        self.requests.dead = error
        self.pipeline = Pipeline()
        self.requests.fail_all(error)

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
            self._fail_step(step, error, riding=True)
        else:
            self._apply(step, host)
        self.pipeline.done()
        return True

    def _apply(self, step: Step, host: StepHost) -> None:
        """Hand every row its token, in order."""
        begun = self._clock()
        self._trace.begin("commit", step)
        step.ready_at = step.event.ready_at()
        shared, stopped = len(step.seats) if step.kind == "decode" else 0, False
        for seat, picked in zip(step.seats, decisions(host), strict=True):
            seat.refs -= 1
            if step.kind == "prefill":
                self.requests.admission.pages.publish(seat.lease, seat.prompt)
            if seat.vacated:
                self._count_zombie(step, seat)
                continue
            self.requests.accept(seat, picked, begun, shared)
            stopped |= seat.sequence.finish_reason == "stop"
        self._trace.end("commit", step)
        step.committed_at = self._clock()
        step.commit_s = step.committed_at - begun
        self._observe(step)
        if stopped and not self.requests.running:
            self._lessons.append(partial(self.depth.emptied, len(step.seats) - step.zombies))
            self._emptied_at = step.committed_at

    def _count_zombie(self, step: Step, seat: Seat) -> None:
        step.zombies += 1
        if seat.refs == 0:
            self.requests.admission.release(seat)

    def _learn(self) -> None:
        """Tell the depth rule what has happened, several things at a time: thinking of it holds everybody up,
        also a worker that wants the interpreter to begin.
        """
        if len(self._lessons) > min(self._learnt // LESSONS, LESSONS - 1):
            lessons, self._lessons = self._lessons, []
            for lesson in lessons:
                lesson()
            self._learnt += len(lessons)

    def _observe(self, step: Step) -> None:
        """Note a step for the depth rule; the device's time is told as its forward."""
        waited = step.launched_at > self._previous_ready
        begun = max(step.launched_at, self._previous_ready)
        self._previous_ready = step.ready_at
        if step.zombies < len(step.seats):
            self._lessons.append(self.depth.useful)
        if step.kind == "decode":
            device = (step.ready_at - begun) * 1000
            host = (step.launch_s * 1000, step.mask_s * 1000, step.commit_s * 1000)
            times = StepTimes(device, 0.0, 0.0, *host)
            self._lessons.append(partial(self.depth.observe, len(step.seats), times, waited))

    def _fail_step(self, step: Step, error: BaseException, riding: bool) -> None:
        """A step has failed, and its rows with it. The device may still write for them: it is waited for.

        `riding`: whether the step counted among those that hold its seats.
        """
        for seat in step.seats:
            seat.refs -= riding
        self._runner.fence()
        self.requests.fail_seats(step.seats, error)

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
            self._fail_step(step, error, riding=True)
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
            self.requests.fail(seat.sequence, error)
            return FREE
        return self._masks.index(rule, step.slot, place)

    # ---------------------------------------------------------------------------------------------- launch

    def _launch(self) -> bool:
        requests = self.requests
        cohort = requests.running[: self._runner.limits.max_batch]  # who is blocked keeps its place in it
        streams = len(cohort) + len(requests.admission.waiting)
        if self.paused or not streams:
            return False
        depth = self.depth.choose(streams)
        if not self.pipeline.can_launch(depth):
            return False
        begun = self._clock()
        slot = self.pipeline.free_slot()
        assert slot is not None
        ready = [seat for seat in cohort if seat.dispatchable]
        burst = self.policy.prefill_burst
        if not ready or burst is None or self._prefills_in_a_row < burst:
            seats = requests.admission.next_batch(begun)
            if seats:
                self._prefills_in_a_row += 1
                requests.running += seats
                self._resume(seats)
                self._start(Step(next(self._indices), "prefill", slot, tuple(seats), depth=depth), begun)
                return True
        self._prefills_in_a_row = 0
        if ready:
            self._start(Step(next(self._indices), "decode", slot, tuple(ready), depth=depth), begun)
        return bool(ready)

    def _resume(self, seats: list[Seat]) -> None:
        """Note for the depth rule how long nobody was there."""
        if self._emptied_at is not None:
            came = min(seat.sequence.times.submitted for seat in seats)
            self._lessons.append(partial(self.depth.resumed, 1000 * max(0.0, came - self._emptied_at)))
            self._emptied_at = None

    def _start(self, step: Step, begun: float) -> None:
        """Queue the forward of a step. If that raises, nothing of it was (I13)."""
        self._trace.begin("launch", step)
        try:
            queue_forward(self._runner, step)
        except DeviceLost:
            raise
        except Exception as error:
            self._fail_step(step, error, riding=False)
            return
        for seat in step.seats:
            seat.launched(step.kind, begun)
        self.pipeline.launch(step)
        self._trace.end("launch", step)
        step.launched_at = self._clock()
        step.launch_s = step.launched_at - begun
