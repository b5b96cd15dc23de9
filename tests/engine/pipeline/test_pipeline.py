"""The two-slot state machine: every transition, and everything it refuses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dreamscope.engine.runtime.pipeline import Pipeline, PipelineError


@dataclass(eq=False)
class Step:
    slot: int
    name: int = 0


Pipe = Pipeline[Step]


@pytest.fixture
def pipe() -> Pipe:
    return Pipeline()


def launched(pipe: Pipe, slot: int, name: int = 0) -> Step:
    step = Step(slot, name)
    pipe.launch(step)
    return step


def sampled(pipe: Pipe, slot: int, name: int = 0) -> Step:
    step = launched(pipe, slot, name)
    pipe.sampled(step)
    return step


# ------------------------------------------------------------------------------------------------- fresh


def test_a_fresh_pipeline_is_empty_and_offers_slot_0(pipe: Pipe) -> None:
    assert pipe.empty
    assert (pipe.in_flight, pipe.queued, pipe.steps()) == (0, 0, ())
    assert pipe.free_slot() == 0
    assert pipe.can_launch(1)
    assert pipe.can_launch(2)


@pytest.mark.parametrize("slots", [0, 1, 3])
def test_only_two_slots_exist(slots: int) -> None:
    with pytest.raises(PipelineError, match="2 slots"):
        Pipeline(slots)


# ----------------------------------------------------------------------------------------- choice of slot


@pytest.mark.parametrize("slot", [0, 1])
def test_a_launched_step_keeps_its_slot(pipe: Pipe, slot: int) -> None:
    launched(pipe, slot)
    assert pipe.busy(slot)
    assert pipe.free_slot() == 1 - slot


@pytest.mark.parametrize("slot", [0, 1])
def test_a_sampled_step_keeps_its_slot(pipe: Pipe, slot: int) -> None:
    sampled(pipe, slot)
    assert pipe.free_slot() == 1 - slot


@pytest.mark.parametrize("slot", [0, 1])
def test_i6_a_committing_step_keeps_its_slot(pipe: Pipe, slot: int) -> None:
    sampled(pipe, slot)
    pipe.take()
    assert pipe.busy(slot)
    assert pipe.free_slot() == 1 - slot


def test_i6_the_slot_is_free_when_the_commit_has_returned(pipe: Pipe) -> None:
    sampled(pipe, 0)
    pipe.take()
    pipe.done()
    assert pipe.free_slot() == 0
    assert pipe.empty


@pytest.mark.parametrize("second", ["launched", "queued"])
@pytest.mark.parametrize("first", ["queued", "committing"])
def test_two_steps_leave_no_slot(pipe: Pipe, first: str, second: str) -> None:
    sampled(pipe, 0)
    if first == "committing":
        pipe.take()
    (launched if second == "launched" else sampled)(pipe, 1)
    assert pipe.free_slot() is None
    assert not pipe.can_launch(2)


def test_i15_a_full_pipeline_only_says_no(pipe: Pipe) -> None:
    sampled(pipe, 0)
    launched(pipe, 1)
    assert not pipe.can_launch(2)
    assert pipe.in_flight == 2


# ------------------------------------------------------------------------------------------------ launching


def test_i4_a_second_launch_before_the_sampling_raises(pipe: Pipe) -> None:
    launched(pipe, 0)
    assert not pipe.can_launch(2)
    with pytest.raises(PipelineError, match="second"):
        pipe.launch(Step(1))


def test_launching_into_a_queued_slot_raises(pipe: Pipe) -> None:
    sampled(pipe, 0)
    with pytest.raises(PipelineError, match="Slot 0 is not free"):
        pipe.launch(Step(0))


def test_i6_launching_into_a_committing_slot_raises(pipe: Pipe) -> None:
    sampled(pipe, 0)
    pipe.take()
    with pytest.raises(PipelineError, match="Slot 0 is not free"):
        pipe.launch(Step(0))


@pytest.mark.parametrize("slot", [-1, 2])
def test_launching_into_a_slot_that_does_not_exist_raises(pipe: Pipe, slot: int) -> None:
    with pytest.raises(PipelineError, match="not free"):
        pipe.launch(Step(slot))


def test_depth_1_launches_only_into_an_empty_pipeline(pipe: Pipe) -> None:
    step = launched(pipe, 0)
    assert not pipe.can_launch(1)
    pipe.sampled(step)
    assert not pipe.can_launch(1)
    assert pipe.can_launch(2)
    pipe.take()
    assert not pipe.can_launch(1)
    pipe.done()
    assert pipe.can_launch(1)


# ------------------------------------------------------------------------------------------------- sampling


def test_sampling_without_a_launch_raises(pipe: Pipe) -> None:
    with pytest.raises(PipelineError, match="No launched step"):
        pipe.sampled(Step(0))


def test_sampling_another_step_than_the_launched_one_raises(pipe: Pipe) -> None:
    step = launched(pipe, 0)
    with pytest.raises(PipelineError, match="Slot 0 was launched"):
        pipe.sampled(Step(1))
    assert pipe.launched is step


def test_an_abandoned_step_frees_its_slot_and_is_never_committed(pipe: Pipe) -> None:
    step = launched(pipe, 0)
    assert pipe.abandon() is step
    assert pipe.empty
    assert pipe.take() is None


def test_abandoning_leaves_the_queue_alone(pipe: Pipe) -> None:
    older = sampled(pipe, 0)
    launched(pipe, 1)
    pipe.abandon()
    assert pipe.steps() == (older,)


def test_abandoning_nothing_raises(pipe: Pipe) -> None:
    with pytest.raises(PipelineError, match="No launched step"):
        pipe.abandon()


# ------------------------------------------------------------------------------------------------ committing


def test_taking_from_an_empty_queue_gives_nothing(pipe: Pipe) -> None:
    assert pipe.take() is None
    launched(pipe, 0)
    assert pipe.take() is None
    assert pipe.committing is None


def test_i2_two_steps_are_taken_oldest_first(pipe: Pipe) -> None:
    first, second = sampled(pipe, 1), sampled(pipe, 0)
    assert pipe.take() is first
    pipe.done()
    assert pipe.take() is second


def test_taking_a_second_step_before_the_first_is_done_raises(pipe: Pipe) -> None:
    sampled(pipe, 0)
    sampled(pipe, 1)
    pipe.take()
    with pytest.raises(PipelineError, match="has not returned"):
        pipe.take()


def test_done_without_a_commit_raises(pipe: Pipe) -> None:
    with pytest.raises(PipelineError, match="No commit"):
        pipe.done()
    sampled(pipe, 0)
    with pytest.raises(PipelineError, match="No commit"):
        pipe.done()


def test_peek_does_not_remove(pipe: Pipe) -> None:
    assert pipe.peek() is None
    step = sampled(pipe, 0)
    assert pipe.peek() is step
    assert pipe.peek() is step
    assert pipe.queued == 1


def test_a_launched_step_may_be_sampled_while_another_is_committed(pipe: Pipe) -> None:
    first = sampled(pipe, 0)
    second = launched(pipe, 1)
    assert pipe.take() is first
    pipe.sampled(second)
    assert pipe.steps() == (first, second)


# -------------------------------------------------------------------------------------------------- counting


def test_in_flight_excludes_the_step_being_committed(pipe: Pipe) -> None:
    sampled(pipe, 0)
    launched(pipe, 1)
    assert pipe.in_flight == 2
    pipe.take()
    assert pipe.in_flight == 1
    assert not pipe.empty


@pytest.mark.parametrize("state", ["launched", "queued", "committing"])
def test_i16_a_step_anywhere_is_work(pipe: Pipe, state: str) -> None:
    step = launched(pipe, 0)
    if state != "launched":
        pipe.sampled(step)
    if state == "committing":
        pipe.take()
    assert not pipe.empty


def test_steps_are_listed_in_the_order_of_their_launches(pipe: Pipe) -> None:
    first, second = sampled(pipe, 1), launched(pipe, 0)
    assert pipe.steps() == (first, second)
    pipe.take()
    assert pipe.steps() == (first, second)


# -------------------------------------------------------------------------------------------------- patterns


def test_ten_steps_alternate_between_the_slots_and_stay_in_order(pipe: Pipe) -> None:
    slots, committed = [], []
    for name in range(10):
        if pipe.take() is not None:
            assert pipe.committing is not None
            committed.append(pipe.committing.name)
            pipe.done()
        if pipe.launched is not None:
            pipe.sampled(pipe.launched)
        slot = pipe.free_slot()
        assert slot is not None
        launched(pipe, slot, name)
        slots.append(slot)
        assert pipe.queued <= 1
    assert slots == [0, 1] * 5
    assert committed == list(range(8))


def test_free_steps_may_both_be_queued(pipe: Pipe) -> None:
    sampled(pipe, 0)
    sampled(pipe, 1)
    assert pipe.queued == 2


def test_one_slot_serves_again_and_again_at_depth_1(pipe: Pipe) -> None:
    for _ in range(4):
        assert pipe.can_launch(1)
        slot = pipe.free_slot()
        assert slot == 0
        sampled(pipe, slot)
        pipe.take()
        pipe.done()
