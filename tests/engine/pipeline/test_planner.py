"""Who is prefilled next."""

from __future__ import annotations

from typing import Any

import pytest

from dreamscope.engine.runtime.planner import Candidate, Policy, Room, plan_prefill

POLICY = Policy(seeding_rows=8)
LITTLE, MUCH = Room(4, 10_000), Room(8, 10_000)


def waiting(name: str, **facts: Any) -> Candidate[str]:
    known = {"waited_ms": 0, "passed": 0, "tokens": 10, "pages": 20, "hit": False, "block": False}
    return Candidate(name, **{"cohort": name, **known, **facts})


def miss(name: str, cohort: str = "", **facts: Any) -> Candidate[str]:
    return waiting(name, block=True, cohort=cohort or name, tokens=facts.pop("tokens", 740), **facts)


def hit(name: str, **facts: Any) -> Candidate[str]:
    return waiting(name, hit=True, **facts)


def planned(candidates, room: Room = LITTLE, policy: Policy = POLICY) -> str:
    return "".join(one.item for one in plan_prefill(candidates, room, policy))


def test_nobody_waits_or_no_row_is_free():
    assert planned([]) == ""
    assert planned([hit("a")], Room(0, 100)) == ""


def test_misses_seed_before_hits_when_there_is_much_room():
    assert planned([hit("a"), miss("B"), miss("C")], MUCH) == "BC"


def test_hits_go_first_when_there_is_little_room():
    assert planned([miss("B"), hit("a"), hit("c")], LITTLE) == "ac"


def test_misses_go_when_nobody_else_waits():
    assert planned([miss("B")], LITTLE) == "B"


def test_i26_the_classes_never_mix():
    for room in (LITTLE, MUCH):
        for batch in (plan_prefill([miss("B"), hit("a"), miss("C"), waiting("d")], room, POLICY),):
            assert len({one.block for one in batch}) == 1


def test_one_of_a_cohort_the_largest_cohort_first():
    crowd = [miss("A", "x"), miss("B", "y"), miss("C", "y"), miss("D", "z")]
    assert planned(crowd, MUCH) == "BAD"


def test_hits_before_misses_then_the_shortest_then_the_oldest():
    others = [waiting("a", tokens=5), hit("b", tokens=9), hit("c", tokens=3), waiting("d", tokens=5)]
    assert planned(others) == "cbad"


def test_rows_bound_the_batch():
    assert planned([hit(name) for name in "abcdef"]) == "abcd"


def test_what_does_not_fit_is_skipped_for_what_does():
    assert planned([hit("a", pages=60, tokens=1), hit("b", pages=30, tokens=2)], Room(4, 50)) == "b"


def test_pages_are_counted_over_the_batch():
    assert planned([hit(name, pages=30) for name in "abc"], Room(4, 70)) == "ab"


def test_a_batch_is_full_when_it_computes_enough():
    assert planned([miss(name, tokens=800) for name in "ABCDE"], MUCH) == "ABC"


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_who_goes_alone_goes_alone(order):
    both = {"a": hit("a", alone=True, tokens=5), "b": hit("b", tokens=7)}
    assert planned([both[name] for name in order]) == "a"
    both["a"] = hit("a", alone=True, tokens=9)
    assert planned([both[name] for name in order]) == "b"


@pytest.mark.parametrize("facts", [{"waited_ms": 251}, {"passed": 4}])
def test_a_miss_that_has_waited_goes_before_hits(facts):
    assert planned([hit("a"), miss("B", **facts), hit("c")]) == "B"


@pytest.mark.parametrize("facts", [{"waited_ms": 251}, {"passed": 4}])
def test_a_long_prompt_that_has_waited_goes_before_short_ones(facts):
    assert planned([hit("a", tokens=1), waiting("b", tokens=900, **facts), hit("c", tokens=2)]) == "bac"


def test_who_has_waited_goes_by_arrival():
    assert planned([hit("a", passed=9, tokens=9), hit("b", waited_ms=900, tokens=1)]) == "ab"


def test_an_aged_request_that_does_not_fit_keeps_younger_ones_out():
    crowd = [hit("a"), waiting("b", pages=99, waited_ms=300), hit("c")]
    assert planned(crowd, Room(4, 50)) == "a"
    assert planned(crowd[1:], Room(4, 50)) == ""


def test_a_fresh_request_that_does_not_fit_keeps_nobody_out():
    assert planned([waiting("b", pages=99, waited_ms=200), hit("c")], Room(4, 50)) == "c"
