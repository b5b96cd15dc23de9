"""The simulated device keeps the contract of a runner, and notices who does not."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time

import numpy as np
import pytest

from dreamscope.engine.devices.runner import DeviceLost, Draws, ImageKey, Limits, ModelRunner, Prefill, Rule
from dreamscope.engine.devices.sim import (
    Costs,
    SimRunner,
    SimulatedFault,
    SimViolation,
    VirtualClock,
    WallClock,
)
from dreamscope.engine.devices.toy_model import HistoryMachine

LIMITS = Limits(2, 4, 16, 32, 40, masks=4)
COSTS = Costs(lambda kind, rows, tokens: 4.0, lambda rows: 1.0, 0.5)
GREEDY = Draws(np.zeros(1, np.float32), np.ones(1, np.float32), None)
FREE = np.zeros(1, np.int32)


@pytest.fixture
def runner() -> SimRunner:
    return SimRunner(LIMITS, HistoryMachine(stop=0), costs=COSTS, log=[])


def prefill(runner: SimRunner, slot: int = 0, row: int = 1, elements=(0, 8, 9), pages=range(1, 11)) -> None:
    runner.set_pages(row, list(pages))
    runner.prefill(slot, [Prefill(row, 0, elements, 0)], GREEDY)


def decode(runner: SimRunner, slot: int, row: int = 1, position: int = 3) -> None:
    runner.decode(slot, np.array([row], np.int32), np.array([position], np.int32), FREE, GREEDY)


def finish(runner: SimRunner, slot: int) -> int:
    runner.sample(slot, FREE).wait()
    return int(runner.read(slot).ids[0])


def test_every_method_of_the_protocol_is_there_with_its_parameters(runner):
    for name, member in inspect.getmembers(ModelRunner, inspect.isfunction):
        if not name.startswith("_"):
            expected = list(inspect.signature(member).parameters)[1:]
            assert list(inspect.signature(getattr(runner, name)).parameters) == expected, name


def test_a_token_depends_on_all_of_its_history(runner):
    prefill(runner)
    first = finish(runner, 0)
    decode(runner, 0)
    tokens = (first, finish(runner, 0))
    seen = set()
    for changed in ((0, 8, 10), (0, 7, 9), (1, 8, 9), (0, 8, 9, 9)):
        prefill(runner, elements=changed)
        one = finish(runner, 0)
        decode(runner, 0, position=len(changed))
        seen.add((one, finish(runner, 0)))
    assert tokens not in seen
    assert len(seen) == 4


def test_an_image_is_told_by_what_was_loaded(runner):
    key = ImageKey("00000000000a", 4)
    tokens = []
    for payload in ("00000000000a", "00000000000b"):
        runner.set_pages(1, list(range(1, 11)))
        runner.prefill(0, [Prefill(1, 0, (0, key, 8), 0, [payload])], GREEDY)
        first = finish(runner, 0)
        decode(runner, 0, position=6)
        tokens.append((first, finish(runner, 0)))
    assert tokens[0] != tokens[1]


def test_time_passes_only_in_waiting(runner):
    prefill(runner)
    event = runner.sample(0, FREE)
    assert runner.clock.now() == 0
    assert not event.query()
    event.wait()
    assert event.query()
    assert runner.clock.now() == pytest.approx(0.0055)
    assert event.ready_at() == runner.clock.now()


def test_steps_run_one_after_the_other_and_copies_beside_them(runner):
    prefill(runner)
    first = runner.sample(0, FREE)
    decode(runner, 1)
    second = runner.sample(1, FREE)
    assert first.ready_at() == pytest.approx(0.0055)
    assert second.ready_at() == pytest.approx(0.0105)
    assert [op.name for op in runner.log] == ["prefill", "sample", "copy", "decode", "sample", "copy"]


def test_waiting_with_a_timeout_gives_up(runner):
    prefill(runner)
    event = runner.sample(0, FREE)
    with pytest.raises(TimeoutError):
        event.wait(0.001)
    event.wait(1)
    assert runner.read(0).ids[0] >= 0


def test_p3_reading_before_the_event_is_a_violation(runner):
    prefill(runner)
    runner.sample(0, FREE)
    with pytest.raises(SimViolation, match="before its tokens had landed"):
        runner.read(0)
    assert runner.violations


def test_p3_using_a_slot_before_it_was_read_is_a_violation(runner):
    prefill(runner)
    runner.sample(0, FREE).wait()
    with pytest.raises(SimViolation, match="used again"):
        decode(runner, 0)


def test_i11_mapping_a_row_that_rides_is_a_violation(runner):
    prefill(runner)
    with pytest.raises(SimViolation, match="rides on it"):
        runner.set_pages(1, [5, 6])


def test_i26_an_image_and_plain_text_in_one_forward_are_a_violation(runner):
    runner.set_pages(1, list(range(1, 11)))
    runner.set_pages(2, list(range(11, 21)))
    image = Prefill(1, 0, (0, ImageKey("00000000000a", 4), 8), 0, ["00000000000a"])
    both = Draws(np.zeros(2, np.float32), np.ones(2, np.float32), None)
    with pytest.raises(SimViolation, match="share a forward"):
        runner.prefill(0, [image, Prefill(2, 0, (0, 8), 0)], both)


def test_row_0_and_page_0_belong_to_nobody(runner):
    with pytest.raises(SimViolation):
        runner.set_pages(0, [1])
    with pytest.raises(SimViolation):
        runner.set_pages(1, [1, 0])


def test_a_permanent_mask_is_set_once(runner):
    runner.set_mask(1, Rule(allowed=frozenset({7})))
    with pytest.raises(SimViolation, match="permanent"):
        runner.set_mask(1, Rule(allowed=frozenset({8})))
    with pytest.raises(SimViolation, match="no mask 13"):
        runner.set_mask(13, Rule())
    prefill(runner)
    event = runner.sample(0, np.array([1], np.int32))
    event.wait()
    assert runner.read(0).ids.tolist() == [7]


@pytest.mark.parametrize("folded", [None, 5])
def test_where_everything_is_forbidden_there_is_no_id(runner, folded):
    runner.set_mask(1, Rule(allowed=frozenset(), folded=folded))
    prefill(runner)
    runner.sample(0, np.array([1], np.int32)).wait()
    assert runner.read(0).ids.tolist() == [-1]


def test_every_id_but_the_end_may_stand_for_one(runner):
    for index, allowed in enumerate([{9}, {0}], start=1):
        runner.set_mask(index, Rule(allowed=frozenset(allowed), folded=5, numbers=frozenset({5})))
        prefill(runner)
        runner.sample(0, np.array([index], np.int32)).wait()
        assert runner.read(0).ids.tolist() == [5 if allowed == {9} else 0]


def test_a_map_that_was_not_launched_yet_is_not_seen(runner):
    """The next launch that uses the row uploads it."""
    prefill(runner)
    finish(runner, 0)
    before = runner._mapped[1].copy()
    runner.set_pages(1, list(range(20, 30)))
    np.testing.assert_array_equal(runner._mapped[1], before)
    decode(runner, 0)
    assert runner._mapped[1, 0] == 20


@pytest.mark.parametrize("kind", ["error", "lost"])
def test_a_call_fails_when_it_was_told_to(kind):
    runner = SimRunner(LIMITS, HistoryMachine(), faults={1: kind})
    runner.set_pages(1, [1, 2, 3])
    failure = {"error": SimulatedFault, "lost": DeviceLost}[kind]
    with pytest.raises(failure):
        runner.prefill(0, [Prefill(1, 0, (0, 8), 0)], GREEDY)
    if kind == "lost":
        with pytest.raises(DeviceLost):
            runner.set_pages(1, [1])
        with pytest.raises(DeviceLost):
            runner.fence()
    else:
        runner.prefill(0, [Prefill(1, 0, (0, 8), 0)], GREEDY)


def test_a_late_failure_surfaces_at_the_event():
    runner = SimRunner(LIMITS, HistoryMachine(), faults={1: "late"})
    prefill(runner)
    event = runner.sample(0, FREE)
    with pytest.raises(SimulatedFault, match="on the device"):
        event.wait()


def test_a_blocking_upload_waits_for_the_forward():
    runner = SimRunner(LIMITS, HistoryMachine(), costs=COSTS, blocking_upload=0.5)
    prefill(runner)
    runner.sample(0, FREE)
    assert runner.clock.now() == pytest.approx(0.0045)


def test_jitter_varies_the_costs_within_its_bounds():
    runner = SimRunner(LIMITS, HistoryMachine(), costs=Costs(lambda *_: 4.0, jitter=0.25), log=[])
    prefill(runner)
    for position in range(3, 16):
        finish(runner, 0)
        decode(runner, 0, position=position)
    lasted = [(op.end - op.start) * 1000 for op in runner.log if op.name in ("prefill", "decode")]
    assert 3 <= min(lasted) < 4 < max(lasted) <= 5


def test_the_wall_clock_sleeps():
    clock = WallClock()
    begun = time.perf_counter()
    clock.sleep_until(clock.now() + 0.01)
    clock.sleep_until(clock.now() - 1)
    assert time.perf_counter() - begun >= 0.01


def test_virtual_time_never_goes_back():
    clock = VirtualClock()
    clock.advance(2)
    clock.sleep_until(1)
    assert clock.now() == 2


def test_the_core_loads_no_framework():
    code = (
        "import sys, dreamscope.engine.runtime.scheduler, dreamscope.engine.runtime.simulation;"
        "print([name for name in ('torch', 'mlx', 'gradio', 'llguidance') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
