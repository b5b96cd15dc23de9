"""The parts of a runner for a card that need no steps in flight, and what the card of these tests notices."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from dreamscope.engine.devices.cuda_clock import CardClock
from dreamscope.engine.devices.cuda_passes import buckets_to
from dreamscope.engine.devices.cuda_runner import CudaRunner
from dreamscope.engine.devices.runner import Draws, ModelRunner, Rule

pytestmark = pytest.mark.cuda


def test_buckets():
    assert buckets_to(1) == (1,)
    assert buckets_to(5) == (1, 2, 4, 5)
    assert buckets_to(16) == (1, 2, 4, 8, 16)
    assert buckets_to(50) == (1, 2, 4, 8, 16, 32, 48, 50)


def test_times_go_on_from_a_later_anchor(make_card):
    """Cards tell differences in few digits: a long-past event gives its place to a late one."""
    card = make_card("at once")
    clock = CardClock(card, card.stream(), lambda: 100.0)
    early, late, later = (card.event() for _ in range(3))
    for event, moment in ((early, 5_000), (late, 70_000), (later, 71_500)):
        event.marks = event.passed = 1
        event.at = moment
    start = clock.seconds(early) - 5.0
    assert clock.exchange(early) is early
    assert clock.exchange(late) not in (early, late)
    assert clock.seconds(later) - start == pytest.approx(71.5)


def test_it_has_every_member_of_the_protocol():
    for name, wanted in inspect.getmembers(ModelRunner, inspect.isfunction):
        if not name.startswith("_"):
            found = inspect.signature(getattr(CudaRunner, name)).parameters
            assert list(found) == list(inspect.signature(wanted).parameters), name


def test_only_rules_that_were_written_cross_over(beside, limits):
    """The table is as long as the vocabulary, and rows of other steps may be written meanwhile."""
    program = beside.batched(limits)
    allowed, readings = program._rules.allowed, program._rules.readings
    allowed.host[2], readings.host[2] = False, 7
    program.set_rule(4, Rule(allowed=frozenset({30}), folded=5))
    program.upload_rules()
    assert allowed.array[4].nonzero().tolist() == [[30]]
    assert readings.array[4].tolist() == [5, 0, 0]
    assert allowed.array[2].all()
    assert readings.array[2].tolist() == [-1, 0, 0]


def test_a_step_that_is_too_large(make_card, beside, limits):
    runner = CudaRunner(beside.batched(limits), make_card("at once"))
    rows = np.ones(runner.limits.max_batch + 1, np.int32)
    with pytest.raises(ValueError, match="there is room for 5"):
        runner.decode(0, rows, rows, rows * 0, Draws(rows, rows, None))


@pytest.mark.parametrize(
    "work",
    [
        lambda: torch.zeros(1).item(),
        lambda: torch.zeros(1).tolist(),
        lambda: bool(torch.zeros(1) > 0),
        lambda: int(torch.zeros(1)),
        lambda: torch.zeros(1).cpu(),
        lambda: torch.zeros(1).nonzero(),
        lambda: torch.zeros(2)[torch.zeros(2) > 0],
        lambda: torch.zeros(2, 2)[0, torch.zeros(2) > 0],
    ],
)
def test_work_that_waits_is_noticed(make_card, work):
    card = make_card("at once")
    with pytest.raises(AssertionError, match="I14"):
        card.stream().run(work)
