"""The tick: what happens in which order, who rides, who is released, and when."""

from __future__ import annotations

import os
import statistics
import time
from itertools import pairwise

import pytest

from dreamscope.engine.devices.runner import ImageKey, Limits
from dreamscope.engine.devices.sim import Costs, SimRunner, WallClock
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.runtime.cost_model import FixedDepth
from dreamscope.engine.runtime.planner import Policy
from dreamscope.engine.runtime.scheduler import LESSONS, Scheduler
from dreamscope.engine.runtime.sequence import Sequence
from dreamscope.engine.runtime.simulation import ScriptedSkill, text
from dreamscope.engine.runtime.trace import NoTrace

NEVER = HistoryMachine(stop=0.0)
AT_ONCE = HistoryMachine(stop=1.0)
SMALL = Limits(2, 4, 64, 32, 200)
COSTS = Costs(lambda kind, rows, tokens: 4.0, lambda rows: 1.0, 0.2)
CAT, DOG = ImageKey("00000000000a", 6), ImageKey("00000000000b", 6)


def happened(world) -> list[tuple[str, int]]:
    """What the host did, with the number of the step."""
    return [(what, step.index) for what, step, _ in world.host.log]


# -------------------------------------------------------------------------------------------- order of steps


def test_the_next_step_is_launched_before_the_last_one_is_committed(world):
    one = world(machine=NEVER, costs=COSTS)
    one.request("a", max_new=12)
    one.run()
    events = happened(one)
    for index in range(1, 9):
        assert events.index(("end launch", index + 1)) < events.index(("begin commit", index))


def test_depth_1_launches_after_the_commit(world):
    one = world(machine=NEVER, costs=COSTS, depth=FixedDepth(1))
    one.request("a", max_new=5)
    one.run()
    events = happened(one)
    for index in range(4):
        assert events.index(("begin launch", index + 1)) > events.index(("end commit", index))


@pytest.mark.parametrize("depth", [1, 2])
def test_i2_steps_are_committed_in_the_order_of_their_launches(world, depth):
    one = world(costs=COSTS, depth=FixedDepth(depth))
    for name in range(9):
        one.request(f"{name}", (0, CAT, 8, name + 8))
        one.tick(name % 3)
    one.run()
    committed = [index for what, index in happened(one) if what == "end commit"]
    assert committed == sorted(committed)
    assert {step.kind for _, step, _ in one.host.log} == {"prefill", "decode"}


def test_the_depth_rule_hears_of_everything_in_order(world):
    """At first at once, later of several things at a time."""
    heard, after = [], []

    class Listening(FixedDepth):
        def useful(self):
            heard.append("useful")

        def emptied(self, rows):
            heard.append("emptied")

        def resumed(self, pause):
            heard.append("resumed")

    one = world(machine=AT_ONCE, costs=COSTS, depth=Listening(1))
    for number in range(60):
        one.request(f"{number}")
        one.run()
        after.append(len(heard))
    happened = ["useful", "emptied", "resumed"] * 60
    assert heard == happened[: len(heard)]
    assert after[:3] == [0, 3, 6]  # all that was known when the next one came
    late = [3 * (number + 1) - known for number, known in enumerate(after[30:], 30)]
    assert 3 < max(late) <= LESSONS + 3


def test_i5_a_step_is_sampled_after_the_commit_of_the_one_before(world):
    one = world(costs=COSTS, machine=NEVER)
    one.request("a")
    one.run()
    events = happened(one)
    for index in range(1, 12):
        assert events.index(("begin mask", index)) > events.index(("end commit", index - 1))


def test_i6_the_slot_is_busy_until_the_commit_has_returned(world):
    one = world(machine=NEVER)
    one.request("a")
    seen = set()

    class Log(list):
        def append(self, entry):
            what, step, _ = entry
            seen.add((what, one.scheduler.pipeline.busy(step.slot)))

    one.host.log = Log()
    one.run()
    assert ("end commit", True) in seen
    assert ("end commit", False) not in seen


def test_i1_forwards_and_samplings_never_overlap(world):
    one = world(costs=COSTS)
    for name in range(6):
        one.request(f"{name}")
    one.run()
    work = [op for op in one.runner.log if op.stream == "compute"]
    assert all(after.start >= before.end for before, after in pairwise(work))
    assert {op.name for op in work} == {"prefill", "decode", "sample"}


def test_i7_a_copy_does_not_wait_for_the_forward_after_it(world):
    one = world(machine=NEVER, costs=Costs(lambda kind, rows, tokens: 50.0, lambda rows: 1.0, 0.2))
    one.request("a")
    one.run()
    copies = [op for op in one.runner.log if op.stream == "copy"]
    samples = [op for op in one.runner.log if op.name == "sample"]
    for sample, copy in zip(samples, copies, strict=True):
        assert copy.end == pytest.approx(sample.end + 0.0002)


def test_i16_a_lone_zombie_step_is_work(world):
    one = world(machine=AT_ONCE)
    one.request("a")
    while not one.sequences["a"].finished:
        one.tick()
    assert one.scheduler.requests.running == []
    assert one.scheduler.has_work()
    one.run()
    assert one.sequences["a"].zombie_steps == 1


def test_i15_a_tick_of_a_full_pipeline_launches_nothing(world):
    one = world(machine=NEVER)
    one.request("a")
    one.tick(2)
    assert one.scheduler.pipeline.in_flight == 2
    assert not one.scheduler._launch()


def test_who_comes_while_a_zombie_rides_is_launched_before_its_commit(world):
    one = world(machine=AT_ONCE, costs=COSTS)
    one.request("a")
    while not one.sequences["a"].finished:
        one.tick()
    one.request("b")
    one.tick()
    events = happened(one)
    assert events.index(("end launch", 2)) < events.index(("begin commit", 1))
    one.run()


def test_i14_nothing_waits_for_the_device_outside_a_commit(world):
    one = world(costs=COSTS)
    waits = []
    land, fence = one.runner.land, one.runner.fence
    one.runner.land = lambda event: waits.append(one.host.action) or land(event)
    one.runner.fence = lambda: waits.append("fence") or fence()
    for name in range(5):
        one.request(f"{name}", (0, CAT, 8 + name))
    one.run()
    assert set(waits) == {"wait"}


def test_p12_in_virtual_time_the_bookkeeping_disappears_under_the_forward(world):
    def per_step(depth: int) -> float:
        one = world(machine=NEVER, costs=COSTS, depth=FixedDepth(depth))
        one.host.bl, one.host.bm, one.host.bc = 0.6, 0.2, 0.6
        one.request("a", max_new=41)
        one.run()
        tokens = one.sequences["a"].times.tokens
        return (tokens[40] - tokens[20]) / 20 * 1000

    assert per_step(1) == pytest.approx(4 + 1 + 0.2 + 0.6 + 0.6)
    assert per_step(2) == pytest.approx(5)


# -------------------------------------------------------------------------------------------- ends


def test_i12_a_result_is_delivered_by_the_commit_that_ends_it(world):
    one = world(machine=AT_ONCE, costs=COSTS)
    one.request("a")
    one.run()
    commits = [at for what, _, at in one.host.log if what == "end commit"]
    assert one.sequences["a"].times.ended == pytest.approx(commits[0], abs=1e-9)
    assert one.delivered_at["a"] < commits[1]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_request_that_ends_by_its_length_leaves_no_zombie(world, depth):
    one = world(machine=NEVER, depth=FixedDepth(depth))
    for length in (1, 2, 7):
        one.request(f"{length}", max_new=length)
    one.run()
    assert [s.zombie_steps for s in one.sequences.values()] == [0, 0, 0]
    assert [s.output_tokens for s in one.sequences.values()] == [1, 2, 7]


def test_a_stop_wastes_one_step_at_depth_2_and_none_at_depth_1(world):
    for depth in (1, 2):
        one = world(machine=HistoryMachine(stop=0.2), depth=FixedDepth(depth))
        one.request("a", max_new=60)
        one.run()
        assert one.sequences["a"].finish_reason == "stop"
        assert one.sequences["a"].zombie_steps == depth - 1


def test_nothing_new_to_decode_fills_the_cache_and_says_nothing(world):
    one = world()
    one.request("a", (0, CAT, 8), max_new=0)
    one.run()
    assert one.sequences["a"].finish_reason == "length"
    assert one.said("a") == []
    one.request("b", (0, CAT, 8, 9))
    one.run()
    assert one.sequences["b"].cached_tokens == 8


def test_i8_masked_requests_say_what_their_masks_allow(world):
    one = world(machine=HistoryMachine(stop=0.3))
    for name in range(8):
        one.request(f"{name}", (0, 8, 8 + name), "boxes", max_new=30)
    one.run()
    one.check_outputs()
    for name in one.sequences:
        kinds = [type(element).__name__ for element in one.said(name)]
        whole = ["Coord", "Coord", "Size"] * 10
        assert kinds[:-1] == whole[: len(kinds) - 1]


def test_a_request_may_begin_again_with_another_prompt(world):
    one = world()
    one.request("a", (0, CAT, 8), "look", restarts=((0, CAT, 9), (0, DOG, 8)))
    one.run()
    one.check_outputs()
    assert len(one.said("a")) == 3
    assert one.sequences["a"].finish_reason == "stop"


# --------------------------------------------------------------------------------------- cancel and deadline


def test_cancelling_a_waiting_request_ends_it_at_the_next_tick(world):
    one = world()
    one.request("a")
    one.scheduler.cancel("a", "disconnect")
    one.run()
    sequence = one.sequences["a"]
    assert (sequence.finish_reason, sequence.cancel_reason) == ("cancelled", "disconnect")
    assert one.said("a") == []
    assert one.runner.calls == 0


def test_cancelling_under_the_prefill_still_publishes_the_prompt(world):
    one = world()
    one.request("a", (0, CAT, 8, 9))
    one.tick()
    one.scheduler.cancel("a")
    one.run()
    assert one.said("a") == []
    one.request("b", (0, CAT, 8, 10))
    one.run()
    assert one.sequences["b"].cached_tokens == 8
    one.check_outputs()


def test_cancelling_twice_or_somebody_unknown_does_nothing(world):
    one = world(machine=NEVER)
    one.request("a")
    one.tick(4)
    one.scheduler.cancel("a")
    one.scheduler.cancel("a")
    one.scheduler.cancel("nobody")
    one.run()
    one.check_outputs()
    assert one.sequences["a"].driver.closed == "cancelled"


def test_a_request_that_expired_is_never_prefilled(world):
    one = world()
    one.request("a", deadline=1.0)
    one.clock.advance(1.0)
    one.run()
    assert one.sequences["a"].finish_reason == "deadline"
    assert one.runner.calls == 0


def test_a_deadline_ends_a_running_request_and_keeps_what_it_said(world):
    one = world(machine=NEVER, costs=COSTS)
    one.request("a", max_new=40, deadline=0.05)
    one.run()
    assert one.sequences["a"].finish_reason == "deadline"
    assert 5 <= len(one.said("a")) <= 10
    one.check_outputs()


def test_the_next_deadline_is_the_earliest(world):
    one = world()
    assert one.scheduler.next_deadline() is None
    for moment in (5.0, 3.0, 4.0):
        one.request(f"{moment}", deadline=moment)
    assert one.scheduler.next_deadline() == 3.0


# ------------------------------------------------------------------------------------------------- cohort


def test_the_cohort_is_stable_until_a_member_retires(world):
    one = world(
        limits=Limits(2, 4, 64, 32, 200), machine=NEVER, options={"policy": Policy(prefill_burst=None)}
    )
    for name in "abc":
        one.request(name, max_new=6)
    one.run()
    decodes = [
        "".join(seat.sequence.id for seat in step.seats)
        for what, step, _ in one.host.log
        if what == "end launch" and step.kind == "decode"
    ]
    assert decodes == ["ab"] * 5 + ["c"] * 5


def test_the_place_of_a_blocked_member_is_not_given_away(world):
    one = world(
        limits=Limits(2, 4, 64, 32, 200), machine=NEVER, options={"policy": Policy(prefill_burst=None)}
    )
    for name in "abc":
        one.request(name, max_new=6)
    one.tick(4)
    running = one.scheduler.requests.running
    assert [seat.sequence.id for seat in running] == ["a", "b", "c"]
    assert not running[0].dispatchable
    assert all("c" not in [s.sequence.id for s in step.seats] for step in one.scheduler.pipeline.steps())


# ------------------------------------------------------------------------------------- drain, pause, the end


def test_drain_commits_what_is_in_flight_and_launches_nothing(world):
    one = world(machine=NEVER)
    one.request("a")
    one.tick(3)
    launched = sum(what == "end launch" for what, _ in happened(one))
    one.scheduler.drain()
    assert one.scheduler.pipeline.empty
    assert sum(what == "end launch" for what, _ in happened(one)) == launched
    one.run()
    one.check_outputs()


def test_a_paused_engine_keeps_its_seats_and_goes_on(world):
    one = world(machine=NEVER)
    one.request("a")
    one.tick(4)
    one.scheduler.pause()
    one.request("b")
    one.tick(3)
    assert len(one.scheduler.requests.running) == 1
    one.scheduler.resume()
    one.run()
    one.check_outputs()


def test_abort_ends_everybody_with_the_reason(world):
    one = world(machine=NEVER)
    for name in "abcdefgh":
        one.request(name)
    one.tick(4)
    one.scheduler.abort(RuntimeError("engine shut down"))
    one.check_rest()
    assert {str(s.error) for s in one.sequences.values()} == {"engine shut down"}
    one.check_outputs()


def test_times_add_up(world):
    one = world(costs=COSTS)
    for name in range(7):
        one.request(f"{name}", max_new=name)
    one.run()
    for sequence in one.sequences.values():
        spans = sequence.times.milliseconds()
        assert spans["queue"] + spans["prefill"] == pytest.approx(spans["ttft"])
        assert spans["ttft"] + spans["decode"] == pytest.approx(spans["total"])
        assert min(spans.values()) >= 0


def test_p12_on_the_wall_clock_the_bookkeeping_disappears_under_the_forward():
    """A forward of 4 ms and 2 ms of Python beside it: the steps follow each other as if it were not there."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2 or os.getloadavg()[0] > cores:
        pytest.skip("Something else wants the cores; no time can be judged.")

    def per_step(depth: int) -> float:
        clock = WallClock()
        runner = SimRunner(SMALL, NEVER, clock, Costs(lambda kind, rows, tokens: 4.0))
        scheduler = Scheduler(runner, lambda updates: None, clock.now, depth=FixedDepth(depth), trace=Busy())
        one = Sequence("a", (0, 8), ScriptedSkill(text), 50)
        scheduler.submit(one)
        while scheduler.has_work():
            scheduler.tick()
        return statistics.median(one.times.gaps())

    tries = [(per_step(1), per_step(2)) for _ in range(4)]
    assert min(pipelined for _, pipelined in tries) < 4.8
    assert min(blocking for blocking, _ in tries) > 5.9


class Busy(NoTrace):
    """A commit that takes 2 ms of Python."""

    def end(self, action, step):
        begun = time.perf_counter()
        while action == "commit" and time.perf_counter() - begun < 0.002:
            pass
