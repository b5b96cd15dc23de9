"""The depth that is chosen is about as fast as the better one, whatever answers are like. Virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dreamscope.engine.devices.runner import Element, Limits, Rule
from dreamscope.engine.devices.sim import Costs, SimRunner, VirtualClock
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.runtime.cost_model import AdaptiveDepth, Depth, FixedDepth, StepTimes
from dreamscope.engine.runtime.scheduler import Scheduler
from dreamscope.engine.runtime.sequence import Sequence
from dreamscope.engine.runtime.simulation import ScriptedSkill, SimulatedHost

FAST = StepTimes(f=3.3, s=0.7, c=0.2, bl=0.6, bm=0.25, bc=0.6)
SLOW = StepTimes(f=10.9, s=1.1, c=0.2, bl=0.6, bm=0.25, bc=0.6)
ROW = 0.05
"""What a row or a position adds to a forward, of the forward."""
ROUNDS = 20


def seconds(depth: Depth, times: StepTimes, streams: int, steps: int) -> float:
    """For rounds of answers that end by themselves after so many decode steps, all at once.

    The first does not count, nor the second, which waits for what it wasted: nobody can know before how long
    answers are.
    """

    def script(said: list[Element]) -> Iterator[Rule]:
        while len(said) <= steps:
            yield Rule()

    clock = VirtualClock()
    costs = Costs(lambda kind, rows, n: times.f * (1 + ROW * (n - 1)), lambda rows: times.s, times.c)
    runner = SimRunner(Limits(32, 34, 64, 32, 64 * 34), HistoryMachine(stop=0.0), clock, costs)
    host = SimulatedHost(clock, times.bl, times.bm, times.bc)
    scheduler = Scheduler(runner, lambda updates: None, clock.now, depth=depth, trace=host)
    begun = 0.0
    for number in range(ROUNDS):
        for stream in range(streams):
            scheduler.submit(Sequence(f"{number}.{stream}", (0, 8, 9), ScriptedSkill(script), 50))
        while scheduler.requests.live:
            scheduler.tick()
        begun = clock.now() if number == 1 else begun
    return clock.now() - begun


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 12])
@pytest.mark.parametrize("streams", [1, 8])
@pytest.mark.parametrize("times", [FAST, SLOW], ids=["fast", "slow"])
def test_the_chosen_depth_is_never_much_slower(times, streams, steps):
    better = min(seconds(FixedDepth(depth), times, streams, steps) for depth in (1, 2))
    assert seconds(AdaptiveDepth(), times, streams, steps) <= 1.03 * better


def test_neither_depth_is_always_better():
    one, two = FixedDepth(1), FixedDepth(2)
    assert seconds(one, SLOW, 1, 1) < 0.9 * seconds(two, SLOW, 1, 1)
    assert seconds(two, FAST, 1, 12) < 0.9 * seconds(one, FAST, 1, 12)
