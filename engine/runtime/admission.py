"""From waiting to seated: who is prefilled next, and what a request holds from then on.

Deadlines and cancels are the scheduler's. A request that cannot have what it needs now keeps waiting; only
one that can never have it fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dreamscope.engine.devices.runner import DeviceLost, Limits, ModelRunner, positions_of
from dreamscope.engine.errors import ContextLengthExceeded
from dreamscope.engine.runtime.adapter_slots import AdapterSlots
from dreamscope.engine.runtime.pages import Fit, KVPages
from dreamscope.engine.runtime.planner import Candidate, Policy, Room, plan_prefill
from dreamscope.engine.runtime.sequence import Seat, Sequence

Fail = Callable[[Sequence, BaseException], None]


def check_length(prompt: int, max_new: int, limits: Limits, param: str | None = None) -> None:
    """Refuse a prompt of so many positions that can never run. Raises `ContextLengthExceeded`."""
    if prompt + min(1, max_new) > limits.max_seq:
        raise ContextLengthExceeded(
            f"The request takes {prompt:,} tokens, image included; the model's context has "
            f"{limits.max_seq:,}, and the answer needs room too.",
            param,
        )
    total = _total(prompt, max_new, limits)
    if total >= limits.n_pages:
        raise ContextLengthExceeded(
            f"Prompt and answer take {total:,} tokens; the memory of this engine holds "
            f"{limits.n_pages - 1:,}. Ask for a shorter answer.",
            param,
        )


def _total(prompt: int, max_new: int, limits: Limits) -> int:
    return min(prompt + max_new, limits.max_seq)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a request would take, as of a state of the tree."""

    changes: int
    fit: Fit


class Admission:
    """The waiting requests, and everything that is scarce: rows, pages, adapter slots."""

    def __init__(self, runner: ModelRunner, policy: Policy, fail: Fail) -> None:
        """`fail` is told of a request that cannot go on; it must call `remove`."""
        limits = runner.limits
        self._runner = runner
        self._limits = limits
        self._policy = policy
        self._fail = fail
        self._rows = list(range(limits.rows - 1, 0, -1))
        self._seen: dict[Sequence, _Seen] = {}
        self.pages = KVPages(limits.n_pages, policy.keep_prefixes)
        self.adapters = AdapterSlots(limits.rows - 1, runner.load_adapter)
        self.waiting: list[Sequence] = []
        """In order of arrival; a restarted request keeps its place before younger ones."""

    @property
    def free_rows(self) -> int:
        """Rows that nobody holds."""
        return len(self._rows)

    @property
    def at_rest(self) -> bool:
        """Whether everything was returned (I24)."""
        return self.free_rows == self._limits.rows - 1 and self.adapters.used == 0 and self.pages.at_rest()

    def check(self, sequence: Sequence) -> None:
        """Refuse what can never run. Raises `ContextLengthExceeded`."""
        check_length(positions_of(sequence.prompt), sequence.max_new, self._limits)

    def add(self, sequence: Sequence, front: bool = False) -> None:
        """Let a request wait."""
        self.waiting.insert(0 if front else len(self.waiting), sequence)

    def remove(self, sequence: Sequence) -> None:
        """It waits no longer."""
        if sequence in self.waiting:
            self.waiting.remove(sequence)
        self._seen.pop(sequence, None)

    # --------------------------------------------------------------------------------------------- planning

    def next_batch(self, now: float) -> list[Seat]:
        """Bind the requests that are prefilled next."""
        room = Room(min(self._limits.max_batch, self.free_rows), self.pages.available)
        if not self.waiting or not room.rows:
            return []
        asked = (self._candidate(sequence, now) for sequence in tuple(self.waiting))
        candidates = [one for one in asked if one is not None]
        planned = plan_prefill(candidates, room, self._policy)
        seats = [seat for one in planned if (seat := self._bind(one)) is not None]
        if seats:
            seated = {seat.sequence for seat in seats}
            for one in candidates:
                one.item.passed += one.item not in seated
        return seats

    def _candidate(self, sequence: Sequence, now: float) -> Candidate[Sequence] | None:
        """The request as the planner sees it; `None` while it waits for an image."""
        fit = self._fit(sequence)
        needed = sequence.tickets(fit.skip)
        for ticket in needed:
            ticket.request()
        if not all(ticket.ready for ticket in needed):
            return None
        return Candidate(
            sequence,
            waited_ms=(now - sequence.waiting_since) * 1000,
            passed=sequence.passed,
            tokens=fit.tokens,
            pages=fit.pages,
            hit=fit.skip > 0,
            block=fit.block,
            cohort=sequence.namespace,
            alone=sequence.max_new == 0
            or (sequence.adapter is not None and not self._limits.mixed_adapter_prefill),
        )

    def _fit(self, sequence: Sequence) -> Fit:
        """What it would take now; worked out anew only when the tree has changed."""
        seen, changes = self._seen.get(sequence), self.pages.tree.changes
        if seen is None or seen.changes != changes:
            fit = self.pages.fit(sequence.namespace, sequence.prompt, self._total(sequence))
            seen = self._seen[sequence] = _Seen(changes, fit)
        return seen.fit

    def _total(self, sequence: Sequence) -> int:
        return _total(positions_of(sequence.prompt), sequence.max_new, self._limits)

    # ---------------------------------------------------------------------------------------------- binding

    def _bind(self, planned: Candidate[Sequence]) -> Seat | None:
        """Give the request what it needs; `None` if it has to wait after all, or has failed."""
        sequence = planned.item
        try:
            adapter = self.adapters.acquire(sequence.adapter, sequence.adapter_weights)
        except DeviceLost:
            raise
        except Exception as error:
            self._fail(sequence, error)
            return None
        if adapter is None:
            return None
        lease = self.pages.reserve(sequence.namespace, sequence.prompt, self._total(sequence))
        if lease is None:
            self.adapters.release(sequence.adapter)
            return None
        length = positions_of(sequence.prompt)
        budget = len(lease.pages) - length
        seat = Seat(sequence, self._rows.pop(), adapter, lease, sequence.prompt, length, budget, length)
        seat.spoiled = True  # until its prompt is there to be read
        tickets = sequence.tickets(lease.skip)
        if bool(tickets) != planned.block or not all(ticket.ready for ticket in tickets):
            self.release(seat)  # who came before it has evicted its image: it belongs into another batch
            return None
        try:
            seat.images = [ticket.payload() for ticket in tickets]
        except Exception as error:
            self.release(seat)
            self._fail(sequence, error)
            return None
        sequence.seat, seat.spoiled = seat, False
        self.remove(sequence)
        return seat

    def release(self, seat: Seat) -> None:
        """Take everything back, once (I10). What it generated stays for whoever continues the answer."""
        if seat.released:
            raise ValueError(f"Row {seat.row} was released before.")
        seat.released = True
        if not seat.spoiled:
            there = seat.generated[: seat.length - seat.prompt_length]
            self.pages.publish(seat.lease, [*seat.prompt, *there])
        self.pages.release(seat.lease)
        self.adapters.release(seat.sequence.adapter)
        self._rows.append(seat.row)
