"""P5: at every call of the runner, a failure of each kind. Who has to fail does, nothing leaks, nobody else
says anything different, and the engine goes on or is dead.
"""

from __future__ import annotations

import pytest

from dreamscope.engine.devices.runner import DeviceLost, ImageKey, Limits
from dreamscope.engine.devices.sim import SimulatedFault
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.errors import EngineDead
from dreamscope.engine.runtime.cost_model import FixedDepth

CAT = ImageKey("00000000000a", 6)
MACHINE = HistoryMachine(stop=0.15)
CALLS = 70
"""More than the scenario makes without a fault; asserted below."""


def scenario(world, faults, depth):
    """Seven requests that share prompts, pages and adapters; two arrive late, one is cancelled."""
    one = world(
        limits=Limits(3, 5, 64, 32, 60, masks=2), machine=MACHINE, faults=faults, depth=FixedDepth(depth)
    )
    one.request("text", (0, CAT, 8), max_new=6)
    one.request("points", (0, CAT, 8), "points", max_new=5, adapter="red", adapter_weights=9)
    one.request("json", (0, 9), "structured", max_new=4)
    one.tick(4)
    if one.scheduler.dead is None:
        one.request("boxes", (0, 9), "boxes", max_new=7)
        one.request("gone", (0, CAT, 8, 9), max_new=20)
    one.tick(4)
    one.scheduler.cancel("gone")
    one.run()
    return one


@pytest.mark.parametrize("depth", [1, 2])
def test_the_scenario_makes_fewer_calls_than_are_tried(world, depth):
    one = scenario(world, {}, depth)
    assert 40 < one.runner.calls < CALLS
    assert all(sequence.error is None for sequence in one.sequences.values())


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kind", ["error", "late"])
def test_p5_i13_a_failed_call_fails_its_step_and_nothing_else(world, kind, depth):
    failures = 0
    for call in range(CALLS):
        one = scenario(world, {call: kind}, depth)
        one.check_outputs()
        failed = [s for s in one.sequences.values() if s.error is not None]
        assert all(isinstance(s.error, SimulatedFault) for s in failed)
        assert len(failed) <= 3
        assert one.scheduler.dead is None
        failures += bool(failed)
        one.runner.faults = {}
        one.request("afterwards", (0, CAT, 8, 9))  # the engine is as good as new
        one.run()
        assert one.sequences["afterwards"].error is None
        one.check_outputs()
    assert failures > 20


@pytest.mark.parametrize("depth", [1, 2])
def test_p5_a_lost_device_fails_everybody_and_takes_nothing_more(world, depth):
    for call in range(40):
        one = scenario(world, {call: "lost"}, depth)
        one.check_outputs()
        assert isinstance(one.scheduler.dead, DeviceLost)
        assert not one.scheduler.has_work()
        left = [s for s in one.sequences.values() if s.error is not None]
        assert left
        assert all(isinstance(s.error, DeviceLost) for s in left)
        with pytest.raises(EngineDead, match="gone"):
            one.request("afterwards")


def test_what_a_failed_prefill_has_written_is_not_reused(world):
    """The forward of the first prompt fails on the device; its pages may hold anything."""
    one = world(machine=MACHINE, faults={1: "late"})
    one.request("failed", (0, CAT, 8, 9))
    one.run()
    assert isinstance(one.sequences["failed"].error, SimulatedFault)
    assert one.scheduler.requests.admission.pages.tree.pages == 0
    one.request("again", (0, CAT, 8, 9))
    one.run()
    one.check_outputs()


def test_rows_of_a_failed_step_are_returned_after_the_fence(world):
    """The step after the failed one holds the same rows and is still on the device."""
    one = world(machine=HistoryMachine(stop=0.0), faults={8: "late"})
    order = []
    fence, release = one.runner.fence, one.scheduler.requests.admission.release
    one.runner.fence = lambda: order.append("fence") or fence()
    one.scheduler.requests.admission.release = lambda seat: order.append("release") or release(seat)
    one.request("a", max_new=20)
    one.run()
    assert isinstance(one.sequences["a"].error, SimulatedFault)
    assert order == ["fence", "release"]
