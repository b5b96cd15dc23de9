"""A scheduler on the simulated device, with requests to serve and everything audited after each tick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from dreamscope.engine.devices.runner import Element, ImageKey, Limits
from dreamscope.engine.devices.sim import Costs, SimRunner, VirtualClock
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.runtime.cost_model import FixedDepth
from dreamscope.engine.runtime.scheduler import Scheduler
from dreamscope.engine.runtime.sequence import Sequence, Update
from dreamscope.engine.runtime.simulation import SCRIPTS, ScriptedSkill, SimulatedHost, sequential

LIMITS = Limits(max_batch=4, rows=6, max_seq=64, vocab=32, n_pages=200, masks=3)
MACHINE = HistoryMachine(stop=0.1)
FREE_OF_COST = Costs()


@dataclass
class Ticket:
    """An image that is ready when somebody says so."""

    digest: str
    ready: bool = True
    error: Exception | None = None
    requested: int = 0

    def request(self) -> None:
        self.requested += 1

    def payload(self) -> str:
        assert self.ready
        if self.error is not None:
            raise self.error
        return self.digest


@dataclass
class World:
    """An engine, its device, and everything it has delivered."""

    limits: Limits = LIMITS
    machine: HistoryMachine = MACHINE
    costs: Costs = FREE_OF_COST
    depth: Any = None
    faults: dict[int, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.runner = self.make_runner()
        self.host = SimulatedHost(self.clock, log=[])
        self.updates: list[Update] = []
        self.delivered_at: dict[str, float] = {}
        self.plans: dict[str, Callable[[], Sequence]] = {}
        self.sequences: dict[str, Sequence] = {}
        self.scheduler = Scheduler(
            self.runner,
            self._deliver,
            self.clock.now,
            depth=FixedDepth(2) if self.depth is None else self.depth,
            trace=self.host,
            **self.options,
        )

    def make_runner(self) -> SimRunner:
        return SimRunner(self.limits, self.machine, self.clock, self.costs, faults=self.faults, log=[])

    def _deliver(self, updates: list[Update]) -> None:
        for update in updates:
            ended = [one for one in self.updates if one.ended and one.sequence is update.sequence]
            assert not ended, "I9: nothing is delivered after the end"
            self.updates.append(update)
            self.delivered_at.setdefault(update.sequence.id, self.clock.now())

    def request(
        self,
        name: str,
        prompt: tuple[Element, ...] = (0, 1, 2),
        skill: str = "text",
        *,
        restarts: tuple[tuple[Element, ...], ...] = (),
        tickets: dict[str, Ticket] | None = None,
        **options: Any,
    ) -> Sequence:
        """Submit a request that can be made again for the plain loop."""
        options.setdefault("max_new", 12)
        prompts = (prompt, *restarts)
        images = {e.digest: Ticket(e.digest) for p in prompts for e in p if isinstance(e, ImageKey)}

        def make() -> Sequence:
            driver = ScriptedSkill(SCRIPTS[skill], restarts)
            return Sequence(name, prompt, driver, images={**images, **(tickets or {})}, **options)

        sequence = make()
        self.scheduler.submit(sequence)
        self.plans[name] = make
        self.sequences[name] = sequence
        return sequence

    def expected(self, name: str) -> Any:
        return sequential(self.plans[name](), self.machine, self.limits.max_seq)

    def said(self, name: str) -> list[Element]:
        """What was streamed of a request."""
        events = [event for one in self.updates if one.sequence.id == name for event in one.events]
        assert events == self.sequences[name].driver.elements  # type: ignore[attr-defined]
        return events

    def tick(self, times: int = 1) -> bool:
        progressed = False
        for _ in range(times):
            progressed = self.scheduler.tick()
            self.audit()
        return progressed

    def run(self, at_most: int = 3000) -> None:
        """Serve everybody, and check that nothing is left behind."""
        for _ in range(at_most):
            if not self.scheduler.has_work():
                break
            assert self.tick(), "P7: there is work, and nothing happens"
        assert not self.scheduler.has_work(), "P7: requests are never through"
        self.check_rest()

    def check_rest(self) -> None:
        assert self.runner.violations == []
        if self.scheduler.dead is None:
            assert self.scheduler.requests.admission.at_rest, "I24"

    def check_outputs(self) -> None:
        """P1: every request said what the plain loop says of it, or the beginning where it was ended."""
        for name, sequence in self.sequences.items():
            assert sum(one.ended for one in self.updates if one.sequence is sequence) == 1
            expected, said = self.expected(name), self.said(name)
            if sequence.finish_reason in ("stop", "length"):
                assert (said, sequence.finish_reason) == (expected.elements, expected.finish), name
            else:
                assert said == expected.elements[: len(said)], name

    def audit(self) -> None:
        """P2: everything that can be counted adds up."""
        scheduler, admission = self.scheduler, self.scheduler.requests.admission
        if scheduler.dead is not None:
            return
        steps = scheduler.pipeline.steps()
        riding = Counter(seat for step in steps for seat in step.seats)
        seats = set(riding) | set(scheduler.requests.running)
        for seat in seats:
            assert not seat.released, "I10"
            assert 0 <= seat.refs <= 2, "I3"
            assert seat.refs == riding[seat], "I3"
            assert seat in scheduler.requests.running or seat.vacated
        rows = [seat.row for seat in seats]
        assert len(set(rows)) == len(rows)
        assert 0 not in rows, "I20"
        assert admission.free_rows + len(rows) == self.limits.rows - 1
        pages = admission.pages
        assert pages.balanced(), "I20"
        private = [page for seat in seats for page in seat.lease.private]
        cached = [page for _, node in pages.tree.nodes() for page in node.pages]
        free = list(pages.pool._free)
        assert sorted(private + cached + free) == list(range(1, self.limits.n_pages)), "I21"
        locked = {id(one) for seat in seats if seat.lease.node for one in seat.lease.node.prefix()}
        assert all((id(node) in locked) == (node.locks > 0) for _, node in pages.tree.nodes())
        users = Counter(seat.sequence.adapter for seat in seats if seat.sequence.adapter is not None)
        assert users == admission.adapters._users, "I30"
        if not scheduler.has_work():
            assert admission.at_rest, "I24"


@pytest.fixture
def ticket() -> type[Ticket]:
    return Ticket


@pytest.fixture
def world() -> type[World]:
    return World
