"""Who is taken in, what they share, whose failure is whose, and that nobody waits for ever."""

from __future__ import annotations

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
    assert [s.id for s in one.scheduler.requests.admission.waiting] == ["b"]
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


@pytest.mark.parametrize("ready", [True, False])
def test_i26_a_hit_whose_image_is_evicted_by_its_own_batch_goes_with_the_next(world, ticket, ready):
    """Both are planned as causal; the first one's reservation then takes the pages of the other's image."""
    one = world(
        limits=Limits(4, 6, 40, 32, 40), machine=NEVER, options={"policy": Policy(max_wait_ms=1)}, costs=COSTS
    )
    for name, prompt in (("cat", (0, CAT, 8)), ("newer", tuple(range(8, 18)))):
        one.request(name, prompt, max_new=0)
        one.run()
    cat = ticket(CAT.digest, ready=ready)
    one.request("big", (0, 9), max_new=23)
    one.request("second", (0, CAT, 9), max_new=2, tickets={CAT.digest: cat})
    one.clock.advance(0.01)
    one.tick()
    assert one.sequences["big"].seat is not None
    assert one.sequences["second"].seat is None
    one.tick()
    assert cat.requested > 0
    cat.ready = True
    one.run()
    assert one.sequences["second"].cached_tokens == 0
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
