"""Who is being served: how requests come in, what a decision means to one, and how each of them ends once.

Finish early, release late: the answer goes out at the commit that ends it (I12); row, pages and adapter slot
go back when the last step that holds them is committed (I10). Whatever the skill of a request raises is the
failure of that request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dreamscope.engine.devices.runner import Element, ModelRunner
from dreamscope.engine.errors import DreamscopeError, EngineDead, InternalError, QueueFull, RequestExists
from dreamscope.engine.runtime.admission import Admission
from dreamscope.engine.runtime.planner import Policy
from dreamscope.engine.runtime.sequence import FinishReason, Picked, Seat, Sequence, Update


class Requests:
    """Every request from `submit` to its end. `updates` collects what a tick has to deliver."""

    def __init__(
        self, runner: ModelRunner, policy: Policy, clock: Callable[[], float], max_queue: int
    ) -> None:
        """`max_queue`: how many may wait; beyond that, `submit` refuses."""
        self.admission = Admission(runner, policy, self.fail)
        self.live: dict[str, Sequence] = {}
        self.running: list[Seat] = []
        """Seats that decode or will, oldest first; the cohort is the front of it."""
        self.updates: list[Update] = []
        self.dead: BaseException | None = None
        self._clock = clock
        self._max_queue = max_queue

    # ------------------------------------------------------------------------------------------- coming in

    def submit(self, sequence: Sequence) -> None:
        """Let a request wait for its turn.

        Raises `QueueFull`, `RequestExists`, `EngineDead`, or `ContextLengthExceeded` for what can never run.
        """
        if self.dead is not None:
            raise EngineDead(f"The engine has stopped: {self.dead}")
        if sequence.id in self.live:
            raise RequestExists(f"The request {sequence.id!r} is still running.", "request_id")
        if len(self.admission.waiting) >= self._max_queue:
            raise QueueFull(f"{self._max_queue} requests are waiting already; try again soon.")
        self.admission.check(sequence)
        sequence.times.submitted = sequence.waiting_since = self._clock()
        self.live[sequence.id] = sequence
        self.admission.add(sequence)

    def cancel(self, sequence_id: str, reason: str) -> None:
        """End a request wherever it is. Ids that are unknown or through are ignored."""
        sequence = self.live.get(sequence_id)
        if sequence is not None:
            sequence.cancel_reason = reason
            self._close(sequence, "cancelled")

    def expire(self) -> None:
        """End those whose deadline has passed."""
        now = self._clock()
        for sequence in [one for one in self.live.values() if one.expired(now)]:
            self._close(sequence, "deadline")

    # ------------------------------------------------------------------------------------------ going on

    def accept(self, seat: Seat, picked: Picked, now: float, shared: int) -> None:
        """Apply a decision; `shared` is how many rows had part in its decode step, 0 for a prefill."""
        sequence = seat.sequence
        if sequence.max_new == 0:
            self._finish(sequence, "length")
            return
        try:
            if picked.id < 0:
                raise InternalError("No token can be chosen: the model gave no number, or all is masked.")
            verdict = sequence.driver.consume(picked)
        except Exception as error:
            self.fail(sequence, error)
            return
        seat.generated.append(verdict.element)
        sequence.count_token(now, shared)
        if verdict.events:
            self.updates.append(Update(sequence, verdict.events, False))
        if verdict.finish is not None:
            self._finish(sequence, verdict.finish)
        elif verdict.restart is not None:
            self._restart(seat, verdict.restart)
        elif len(seat.generated) == seat.budget:
            self._close(sequence, "length")

    def _restart(self, seat: Seat, prompt: tuple[Element, ...]) -> None:
        """Go on with another prompt, ahead of those who wait already."""
        sequence = seat.sequence
        self._vacate(seat)
        sequence.prompt, sequence.waiting_since, sequence.passed = prompt, self._clock(), 0
        try:
            self.admission.check(sequence)
        except DreamscopeError as error:
            self.fail(sequence, error)
        else:
            self.admission.add(sequence, front=True)

    # -------------------------------------------------------------------------------------------- ending

    def fail(self, sequence: Sequence, error: BaseException) -> None:
        """End a request with an error, unless it is through."""
        if not sequence.finished:
            self._finish(sequence, "error", error)

    def fail_all(self, error: BaseException) -> None:
        """End everybody."""
        for sequence in tuple(self.live.values()):
            self.fail(sequence, error)

    def fail_seats(self, seats: tuple[Seat, ...], error: BaseException) -> None:
        """End those of a failed step. The device was waited for: nothing writes for it any more."""
        for seat in seats:
            seat.spoiled = True
            if not seat.vacated:
                self.fail(seat.sequence, error)
            elif seat.refs == 0:
                self.admission.release(seat)

    def _close(self, sequence: Sequence, reason: FinishReason) -> None:
        """End a request from outside its skill, which may have held something back."""
        try:
            events = sequence.driver.close(reason)
        except Exception as error:
            self._finish(sequence, "error", error)
        else:
            self._finish(sequence, reason, events=events)

    def _finish(
        self,
        sequence: Sequence,
        reason: FinishReason,
        error: BaseException | None = None,
        events: tuple[Any, ...] = (),
    ) -> None:
        """The one end of a request."""
        sequence.finish_reason, sequence.error = reason, error
        sequence.times.ended = self._clock()
        del self.live[sequence.id]
        self.admission.remove(sequence)
        if sequence.seat is not None:
            self._vacate(sequence.seat)
        self.updates.append(Update(sequence, events, True))

    def _vacate(self, seat: Seat) -> None:
        """The sequence leaves its seat. A device that is gone gets nothing back."""
        seat.vacated = True
        seat.sequence.zombie_steps += seat.refs
        seat.sequence.seat = None
        self.running.remove(seat)
        if seat.refs == 0 and self.dead is None:
            self.admission.release(seat)
