"""What every runner keeps: order, events, slots that do not disturb each other, errors, padding, rows."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import pytest

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.cpu_runner import CpuRunner
from dreamscope.engine.devices.cpu_steps import TracedSteps
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.devices.runner import Draws, ImageKey, Limits, ModelRunner, Prefill, Rule, StepHost
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.devices.sim import Costs, SimRunner, SimulatedFault
from dreamscope.engine.devices.steps import Steps
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.weights.load import load_model

COORD, SIZE = 5, 6
STEPS = 6
LIMITS = Limits(max_batch=4, rows=6, max_seq=64, vocab=290, n_pages=400, masks=3)
PROMPTS = ((0, 9, 12, 30), (0, 11), (0, 25, 25, 8, 14, 3, 2), (0, 17, 22))
NEVER_ENDS = Rule(suppressed=frozenset({0}), numbers=frozenset({COORD, SIZE}))


@dataclass
class Rig:
    """A runner, how to hold its device up, and how to make its next step or sampling fail on the device."""

    runner: ModelRunner
    held: Callable[[], AbstractContextManager[object]]
    fail_next: Callable[[], Prefill]
    fail_sampling: Callable[[], AbstractContextManager[object]]
    pages: Iterator[int] = field(default_factory=lambda: count(1))

    def greedy(self, n: int) -> Draws:
        return Draws(np.zeros(n, np.float32), np.ones(n, np.float32), None)

    def map_row(self, row: int, length: int) -> None:
        self.runner.set_pages(row, [next(self.pages) for _ in range(length)])

    def prefill(self, slot: int, prompts: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        for row, prompt in zip(rows, prompts, strict=True):
            self.map_row(row, len(prompt) + STEPS)
        read = [Prefill(row, 0, prompt, 0) for row, prompt in zip(rows, prompts, strict=True)]
        self.runner.prefill(slot, read, self.greedy(len(rows)))

    def decode(self, slot: int, rows: Sequence[int], positions: Sequence[int]) -> None:
        n = len(rows)
        arrays = (np.array(each, np.int32) for each in (rows, positions, [0] * n))
        self.runner.decode(slot, *arrays, self.greedy(n))

    def sample(self, slot: int, n: int, mask: int = 1) -> Any:
        return self.runner.sample(slot, np.full(n, mask, np.int32))

    def take(self, slot: int, event: Any) -> list[tuple[int, ...]]:
        event.wait(20)
        return decisions(self.runner.read(slot))

    def play(
        self, prompts: Sequence[Sequence[int]], rows: Sequence[int], depth: int = 1
    ) -> list[list[tuple[int, ...]]]:
        """What every row decides in `STEPS` steps, by row."""
        n, said, pending = len(rows), [], []
        self.prefill(0, prompts, rows)
        pending.append((0, self.sample(0, n)))
        for step in range(1, STEPS):
            if len(pending) == depth:
                said.append(self.take(*pending.pop(0)))
            slot = step % 2
            self.decode(slot, rows, [len(prompt) + step - 1 for prompt in prompts])
            pending.append((slot, self.sample(slot, n)))
        said += [self.take(*one) for one in pending]
        return [list(row) for row in zip(*said, strict=True)]


def decisions(host: StepHost) -> list[tuple[int, ...]]:
    """Ids, with the bins that they announce."""
    rows = zip(host.ids.tolist(), host.coord.tolist(), host.size.tolist(), strict=True)
    return [(i, c) if i == COORD else (i, *s) if i == SIZE else (i,) for i, c, s in rows]


def unreadable() -> Prefill:
    return Prefill(1, 0, (0, ImageKey("ab", 25), 2), 0, ("no crops",))


def broken(owner: Any, name: str) -> Callable[[], AbstractContextManager[object]]:
    """While it is entered, this method of the owner fails."""

    @contextmanager
    def entered() -> Iterator[None]:
        def fail(*arguments: Any) -> Any:
            raise ArithmeticError(f"no {name}")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, fail)
            yield

    return entered


def simulated() -> Rig:
    faults: dict[int, Any] = {}
    costs = Costs(forward=lambda kind, rows, tokens: 1.0, sample=lambda rows: 0.5, copy=0.1)
    limits = Limits(max_batch=4, rows=6, max_seq=64, vocab=32, n_pages=400, masks=3)
    runner = SimRunner(limits, HistoryMachine(), costs=costs, faults=faults)

    @contextmanager
    def held() -> Iterator[None]:
        yield  # its time stands still in any case

    def fail_next() -> Prefill:
        faults[runner.calls + 1] = "late"
        return Prefill(1, 0, PROMPTS[0], 0)

    @contextmanager
    def fail_sampling() -> Iterator[None]:
        faults[runner.calls] = "late"
        yield

    return Rig(runner, held, fail_next, fail_sampling)


def on_cpu(model: Any, traced: bool) -> Rig:
    program = model.batched(LIMITS)
    steps = TracedSteps(program, model.device) if traced else Steps(program)
    runner = CpuRunner(steps)

    @contextmanager
    def held() -> Iterator[None]:
        gate = threading.Event()
        runner._worker.submit(lambda: gate.wait(20) and None)
        try:
            yield
        finally:
            gate.set()

    return Rig(runner, held, unreadable, broken(steps, "sample"))


def in_mlx(model: Any) -> Rig:
    import mlx.core as mx

    runner = build_runner(model, LIMITS)

    @contextmanager
    def held() -> Iterator[None]:
        """Nothing that is handed over begins."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mx, "async_eval", lambda *arrays: None)
            yield

    return Rig(runner, held, unreadable, broken(runner._program, "choose"))  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def tiny(checkpoint: Any, cpu: Device) -> Any:
    return load_model(checkpoint, cpu)


@pytest.fixture(scope="module")
def tiny_mlx(checkpoint: Any) -> Any:
    pytest.importorskip("mlx.core")
    return load_model(checkpoint, open_device("mlx", "float32"))


@pytest.fixture(params=["simulated", "traced", "eager", "mlx"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "simulated":
        rig = simulated()
    elif request.param == "mlx":
        rig = in_mlx(request.getfixturevalue("tiny_mlx"))
    else:
        rig = on_cpu(request.getfixturevalue("tiny"), request.param == "traced")
    rig.runner.set_mask(1, NEVER_ENDS)
    yield rig
    rig.runner.close()


def test_it_has_every_member_of_the_protocol(rig: Rig) -> None:
    for name, wanted in inspect.getmembers(ModelRunner, inspect.isfunction):
        if not name.startswith("_"):
            found = inspect.signature(getattr(rig.runner, name)).parameters
            assert list(found) == list(inspect.signature(wanted).parameters)[1:], name
    assert isinstance(rig.runner.name, str)
    assert isinstance(rig.runner.limits, Limits)


def test_two_steps_in_flight_decide_what_one_does(rig: Rig) -> None:
    """Everything runs in the order in which it was queued, and pending tokens never leave the device."""
    rows = (1, 2, 3, 4)
    assert rig.play(PROMPTS, rows, depth=2) == rig.play(PROMPTS, rows, depth=1)


def test_nobody_waits_but_the_event(rig: Rig) -> None:
    with rig.held():
        rig.prefill(0, PROMPTS[:1], (1,))
        first = rig.sample(0, 1)
        rig.decode(1, (1,), (len(PROMPTS[0]),))
        second = rig.sample(1, 1)
        assert not first.query()
        with pytest.raises(TimeoutError):
            second.wait(0.0)
    assert len(rig.take(0, first)) == len(rig.take(1, second)) == 1
    assert first.query()
    assert second.query()
    assert first.ready_at() <= second.ready_at()


def test_what_a_slot_holds_stays_while_the_other_one_works(rig: Rig) -> None:
    rig.prefill(0, PROMPTS[:2], (1, 2))
    event = rig.sample(0, 2)
    rig.prefill(1, PROMPTS[2:], (3, 4))
    other = rig.sample(1, 2)
    event.wait(20)
    kept = rig.runner.read(0)
    before = decisions(kept)
    assert rig.take(1, other) != before
    assert decisions(kept) == before


def test_rows_decide_together_what_they_decide_alone(rig: Rig) -> None:
    """Three rows fill no bucket: what pads them disturbs nobody."""
    together = rig.play(PROMPTS[:3], (1, 2, 3))
    for index, row in enumerate((4, 1, 2)):
        assert rig.play(PROMPTS[index : index + 1], (row,)) == [together[index]]


def test_a_row_can_be_given_to_somebody_else(rig: Rig) -> None:
    fresh = rig.play(PROMPTS[2:3], (3,))
    rig.play(PROMPTS[:1], (2,))
    assert rig.play(PROMPTS[2:3], (2,)) == fresh


def test_a_prompt_goes_on_where_cached_pages_end(rig: Rig) -> None:
    prompt = PROMPTS[2]
    expected = rig.play([prompt], (1,))
    shared = [next(rig.pages) for _ in range(4)]
    rig.runner.set_pages(2, [*shared, *(next(rig.pages) for _ in range(3))])
    rig.runner.prefill(0, [Prefill(2, 0, prompt, 0)], rig.greedy(1))
    rig.take(0, rig.sample(0, 1))
    rig.runner.set_pages(3, [*shared, *(next(rig.pages) for _ in range(3))])
    rig.runner.prefill(0, [Prefill(3, 0, prompt, 4)], rig.greedy(1))
    assert rig.take(0, rig.sample(0, 1)) == [expected[0][0]]


def test_a_step_that_fails_says_so_when_it_is_waited_for(rig: Rig) -> None:
    expected = rig.play(PROMPTS[1:2], (2,))
    rig.map_row(1, 40)
    rig.runner.prefill(0, [rig.fail_next()], rig.greedy(1))
    event = rig.sample(0, 1)
    with pytest.raises(Exception, match=r".") as caught:
        event.wait(20)
    assert not isinstance(caught.value, TimeoutError)
    rig.runner.fence()
    assert rig.play(PROMPTS[1:2], (2,)) == expected


def test_a_sampling_that_fails_says_so_when_it_is_waited_for(rig: Rig) -> None:
    expected = rig.play(PROMPTS[:1], (1,))
    rig.prefill(0, PROMPTS[1:2], (2,))
    with rig.fail_sampling():
        event = rig.sample(0, 1)
        with pytest.raises((ArithmeticError, SimulatedFault)):
            event.wait(20)
    rig.runner.fence()
    assert rig.play(PROMPTS[:1], (1,)) == expected


def test_a_step_that_is_never_sampled_frees_its_slot_with_a_fence(rig: Rig) -> None:
    expected = rig.play(PROMPTS[:1], (1,))
    rig.prefill(0, PROMPTS[1:2], (2,))
    rig.runner.fence()
    assert rig.play(PROMPTS[:1], (1,)) == expected


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (Rule(allowed=frozenset({19})), {19}),
        (Rule(allowed=frozenset({19, 20}), suppressed=frozenset({19})), {20}),
        (Rule(mask=bytes(i == 4 for i in range(8))), {4}),
        (Rule(suppressed=frozenset({0}), folded=COORD), {COORD}),
        (Rule(allowed=frozenset({0, 3}), suppressed=frozenset({3}), folded=COORD), {0}),
        (Rule(allowed=frozenset({3}), suppressed=frozenset({3})), {-1}),
    ],
)
def test_a_rule_binds_its_row_and_no_other(rig: Rig, rule: Rule, wanted: set[int]) -> None:
    rig.runner.set_mask(2, rule)
    rig.prefill(0, PROMPTS[:2], (1, 2))
    free = rig.take(0, rig.sample(0, 2))
    rig.prefill(0, PROMPTS[:2], (3, 4))
    event = rig.runner.sample(0, np.array([1, 2], np.int32))
    event.wait(20)
    host = rig.runner.read(0)
    assert decisions(host)[0] == free[0]
    assert int(host.ids[1]) in wanted


def test_a_scratch_rule_can_be_written_again(rig: Rig) -> None:
    scratch = rig.runner.limits.masks + 1
    for wanted in (21, 22):
        rig.runner.set_mask(scratch, Rule(allowed=frozenset({wanted})))
        rig.prefill(0, PROMPTS[:1], (1,))
        assert rig.take(0, rig.sample(0, 1, scratch)) == [(wanted,)]


def test_what_is_read_as_a_number_is_fed_as_one(rig: Rig) -> None:
    """The same id leads on as another input, according to the rule that it was decided under: what follows
    it is another number.
    """
    for rule, numbers in ((2, frozenset[int]()), (3, frozenset({COORD}))):
        rig.runner.set_mask(rule, Rule(allowed=frozenset({COORD}), numbers=numbers))
    nexts = []
    for row, rule in ((1, 2), (2, 3)):
        rig.prefill(0, PROMPTS[:1], (row,))
        assert rig.take(0, rig.sample(0, 1, rule))[0][0] == COORD
        rig.decode(1, (row,), (len(PROMPTS[0]),))
        rig.sample(1, 1, 3).wait(20)
        nexts.append(rig.runner.read(1).coord.tolist())
    assert nexts[0] != nexts[1]


def test_it_is_gone_after_close(rig: Rig) -> None:
    threads = threading.active_count()
    rig.runner.close()
    rig.runner.close()
    assert threading.active_count() <= threads
