"""The tick: what happens in which order, who rides, who is released, and when."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dreamscope.engine.devices.runner import ImageKey, Limits, Rule
from dreamscope.engine.devices.sim import Costs
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.errors import ContextLengthExceeded, InternalError, QueueFull, RequestExists
from dreamscope.engine.runtime.cost_model import FixedDepth
from dreamscope.engine.runtime.planner import Policy

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


def test_i5_a_step_is_sampled_after_the_commit_of_the_one_before(world):
    one = world(costs=COSTS, machine=NEVER)
    one.request("a")
    one.run()
    events = happened(one)
    for index in range(1, 12):
        assert events.index(("begin mask", index)) > events.index(("end commit", index - 1))


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
    one.tick(3)
    assert one.sequences["a"].finish_reason == "stop"
    assert one.scheduler.running == []
    assert one.scheduler.has_work()
    one.run()
    assert one.sequences["a"].zombie_steps == 1


def test_i15_a_tick_of_a_full_pipeline_launches_nothing(world):
    one = world(machine=NEVER)
    one.request("a")
    one.tick(2)
    assert one.scheduler.pipeline.in_flight == 2
    assert not one.scheduler._launch()


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
    running = one.scheduler.running
    assert [seat.sequence.id for seat in running] == ["a", "b", "c"]
    assert not running[0].dispatchable
    assert all("c" not in [s.sequence.id for s in step.seats] for step in one.scheduler.pipeline.steps())


# ------------------------------------------------------------------------------------------------ admission


def test_a_full_queue_refuses_at_once(world):
    one = world(options={"max_queue": 2})
    one.request("a")
    one.request("b")
    with pytest.raises(QueueFull, match="2 requests"):
        one.request("c")


def test_a_name_is_taken_while_it_runs(world):
    one = world()
    one.request("a")
    with pytest.raises(RequestExists):
        one.request("a")
    one.run()
    one.scheduler.submit(one.plans["a"]())


def test_what_never_fits_is_refused(world):
    one = world(limits=Limits(2, 4, 20, 32, 16))
    with pytest.raises(ContextLengthExceeded, match="context has 20"):
        one.request("a", tuple(range(20)))
    with pytest.raises(ContextLengthExceeded, match="holds 15"):
        one.request("b", tuple(range(8)), max_new=8)
    one.request("c", tuple(range(8)), max_new=7)
    one.run()


def test_the_context_ends_an_answer(world):
    one = world(limits=Limits(2, 4, 10, 32, 40), machine=NEVER)
    one.request("a", (0, 8, 9), max_new=100)
    one.run()
    assert len(one.said("a")) == 7
    assert one.sequences["a"].finish_reason == "length"
    one.check_outputs()


def test_who_does_not_fit_now_waits(world):
    one = world(limits=Limits(4, 6, 64, 32, 40), machine=NEVER)
    one.request("a", max_new=20)
    one.request("b", max_new=20)
    one.tick(4)
    assert [s.id for s in one.scheduler.admission.waiting] == ["b"]
    one.run()
    one.check_outputs()


def test_i30_an_adapter_that_finds_no_slot_waits(world):
    one = world(limits=Limits(2, 4, 64, 32, 200), machine=NEVER)
    for name, weights in (("red", 5), ("blue", 6), ("green", 7), ("white", 8)):
        one.request(name, (0, 8, 9), adapter=name, adapter_weights=weights)
    one.run()
    one.check_outputs()
    assert len({tuple(one.said(name)) for name in one.sequences}) == 4


@pytest.mark.parametrize("mixed", [False, True])
def test_i32_requests_with_different_adapters_share_a_step(world, mixed):
    one = world(limits=Limits(4, 6, 64, 32, 200, mixed_adapter_prefill=mixed), machine=NEVER)
    for weights in range(1, 4):
        one.request(f"{weights}", (0, CAT, 8), adapter=weights, adapter_weights=weights)
    one.request("none", (0, CAT, 8))
    one.run()
    one.check_outputs()
    shared = [step for what, step, _ in one.host.log if what == "end launch" and len(step.seats) == 4]
    assert {seat.adapter for step in shared for seat in step.seats} == {0, 1, 2, 3}


def test_i33_i29_an_image_is_read_anew_for_every_adapter(world):
    one = world()
    for weights in (1, 2):
        one.request(f"{weights}", (0, CAT, 8), adapter=weights, adapter_weights=weights)
        one.run()
    one.request("other image", (0, DOG, 8), adapter=1, adapter_weights=1)
    one.run()
    assert all(sequence.cached_tokens == 0 for sequence in one.sequences.values())
    one.check_outputs()


def test_a_second_question_on_an_image_reads_only_its_own_tokens(world):
    one = world()
    one.request("first", (0, CAT, 8, 9))
    one.run()
    one.request("second", (0, CAT, 8, 10, 11))
    one.run()
    assert one.sequences["second"].cached_tokens == 1 + CAT.positions + 1
    one.check_outputs()


def test_i28_a_cached_answer_is_the_answer(world):
    one = world()
    for name in ("first", "again"):
        one.request(name, (0, CAT, 8, 9), "reasoning", max_new=20)
        one.run()
    assert one.sequences["again"].cached_tokens == 8
    assert one.said("again") == one.said("first")


def test_a_continued_answer_hits_what_was_generated(world):
    one = world(machine=NEVER)
    one.request("first", (0, 8, 9), max_new=10)
    one.run()
    one.request("follow-up", (0, 8, 9, *one.said("first"), 8))
    one.run()
    assert one.sequences["follow-up"].cached_tokens == 3 + 9  # the last token was never fed
    one.check_outputs()


def test_i27_an_image_that_was_evicted_meanwhile_is_prepared_after_all(world, ticket):
    cat = ticket(CAT.digest, ready=False)
    one = world(limits=Limits(2, 4, 40, 32, 34), machine=NEVER)
    one.request("first", (0, CAT, 8), max_new=2)
    one.run()
    one.request("big", (0, 9), max_new=22)
    one.request("second", (0, CAT, 9), max_new=10, tickets={CAT.digest: cat})
    assert cat.requested == 0
    one.tick(6)
    one.scheduler.cancel("big")
    one.request("bigger", (0, 10), max_new=30)
    one.tick(12)
    cat.ready = True
    one.run()
    one.check_outputs()


def test_an_image_that_cannot_be_read_fails_its_request_only(world, ticket):
    one = world()
    broken = ticket(CAT.digest, error=OSError("truncated"))
    one.request("broken", (0, CAT, 8), tickets={CAT.digest: broken})
    one.request("fine", (0, DOG, 8))
    one.run()
    assert isinstance(one.sequences["broken"].error, OSError)
    assert one.sequences["fine"].error is None
    one.check_outputs()


# ------------------------------------------------------------------------------------------------ isolation


@pytest.mark.parametrize("method", ["rule", "consume", "close"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_skill_that_raises_fails_alone(world, method, depth):
    one = world(machine=NEVER, depth=FixedDepth(depth))
    broken = one.request("broken")
    one.request("fine")
    one.tick(5)

    def fail(*args):
        raise ZeroDivisionError("a bug in a skill")

    setattr(broken.driver, method, fail)
    one.run()
    assert isinstance(broken.error, ZeroDivisionError)
    assert one.sequences["fine"].finish_reason == "length"
    assert one.said("fine") == one.expected("fine").elements


def test_a_mask_that_forbids_everything_fails_its_request_only(world):
    one = world(machine=NEVER)
    stuck = one.request("stuck")
    one.request("fine")
    stuck.driver._rule = Rule(allowed=frozenset())
    one.run()
    assert isinstance(stuck.error, InternalError)
    assert one.said("fine") == one.expected("fine").elements


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
    assert len(one.scheduler.running) == 1
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


# ------------------------------------------------------------------------------------------------ fairness


def test_a_burst_of_prompts_does_not_stall_who_decodes(world):
    """With a prefill burst of 1, at most one prompt comes between two tokens of a running request."""
    one = world(costs=COSTS, machine=NEVER, limits=Limits(8, 10, 64, 32, 400))
    one.request("decoding", max_new=40)
    one.tick(4)
    for name in range(30):
        one.request(f"{name}", (0, ImageKey(f"{name:012x}", 6), 8), max_new=1)
    one.run()
    assert max(one.sequences["decoding"].times.gaps()) == pytest.approx(2 * 5.0, abs=0.1)


def test_clients_with_the_same_load_get_the_same_share(world):
    one = world(costs=COSTS, machine=NEVER, limits=Limits(4, 6, 64, 32, 400))
    done = dict.fromkeys("abcd", 0)
    open_requests: dict[str, str] = {}
    for tick in range(200):
        for client in done:
            name = open_requests.get(client)
            if name is None or one.sequences[name].finished:
                done[client] += 0 if name is None else one.sequences[name].output_tokens
                open_requests[client] = f"{client}{tick}"
                one.request(f"{client}{tick}", (0, 8, 9 + tick % 7), max_new=5)
        one.tick()
    assert min(done.values()) > 0.8 * max(done.values()) > 0


def test_nobody_waits_for_ever_beside_a_flow_of_cheap_requests(world):
    """A long prompt with an image of its own, among endless hits, and little room."""
    one = world(costs=COSTS, machine=NEVER, limits=Limits(2, 4, 64, 32, 60))
    one.request("seed", (0, CAT, 8), max_new=0)
    one.run()
    one.request("long", (0, DOG, *range(8, 30)), max_new=10)
    for number in range(200):
        one.request(f"cheap {number}", (0, CAT, 8, 9), max_new=2)
        one.tick(3)
        if one.sequences["long"].times.started is not None:
            break
    waited = one.clock.now() - one.sequences["long"].times.submitted
    assert one.sequences["long"].times.started is not None
    assert waited * 1000 < Policy().max_wait_ms + 100


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
