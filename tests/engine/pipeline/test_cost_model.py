"""The formulas, the worked examples behind them, and the rule that chooses the depth."""

from __future__ import annotations

import numpy as np
import pytest

from dreamscope.engine.runtime.cost_model import AdaptiveDepth, FixedDepth, StepTimes, pays, speedup, waste
from dreamscope.engine.runtime.uniforms import uniforms

FAST = StepTimes(f=3.3, s=0.7, c=0.2, bl=0.6, bm=0.25, bc=0.6)
SLOW = StepTimes(f=10.9, s=1.1, c=0.2, bl=0.6, bm=0.25, bc=0.6)


def test_the_published_gains_follow_from_the_split():
    assert 1 + FAST.gain == pytest.approx(1.35)
    assert 1 + SLOW.gain == pytest.approx(1.117, abs=5e-4)


@pytest.mark.parametrize(("times", "steps", "expected"), [
    (FAST, 110, 1.338), (FAST, 30, 1.307), (FAST, 3, 1.014),
    (SLOW, 110, 1.107), (SLOW, 30, 1.081), (SLOW, 3, 0.84),
])  # fmt: skip
def test_one_stream_pays_for_a_wasted_step(times, steps, expected):
    assert speedup(times, steps) == pytest.approx(expected, abs=3e-3)


def test_every_bound_of_the_pipelined_period_counts():
    assert StepTimes(9, 1, 1, 1, 1, 1).pipelined == 10
    assert StepTimes(1, 1, 1, 5, 5, 5).pipelined == 15
    assert StepTimes(1, 4, 8, 1, 1, 3).pipelined == 16


def test_delivery_follows_the_launch():
    assert StepTimes(5, 1, 1, 1, 1, 1, 3).blocking == StepTimes(5, 1, 1, 1, 1, 1).blocking
    assert StepTimes(5, 1, 1, 1, 1, 1, 6).blocking == 11
    assert StepTimes(1, 1, 1, 2, 2, 2, 4).pipelined == 10


def test_masks_hide_under_their_own_forward_even_at_depth_1():
    assert StepTimes(5, 1, 1, 1, 4, 1).blocking == 9
    assert StepTimes(5, 1, 1, 1, 7, 1).blocking == 11


def test_only_blocking_pays_for_a_device_that_has_waited():
    rested = StepTimes(5, 1, 1, 1, 1, 1, 3)
    tired = StepTimes(5, 1, 1, 1, 1, 1, 3, w=2)
    assert tired.blocking == rested.blocking + 2
    assert tired.pipelined == rested.pipelined
    assert StepTimes(5, 1, 1, 1, 1, 1, 6, w=2).blocking == rested.blocking + 2  # more hides under it


def test_in_a_batch_waste_is_one_row():
    assert waste(110, 0.01) == pytest.approx(0.01 / 111)


def test_short_answers_on_a_slow_device_do_not_pay():
    assert pays(SLOW, 30)
    assert not pays(SLOW, 3)
    assert pays(FAST, 3)


def served(depth: AdaptiveDepth, rows: int, times: StepTimes, steps: int, times_over: int = 60) -> None:
    """So often, everybody ends by themselves after so many steps."""
    for _ in range(times_over):
        for _ in range(steps):
            depth.observe(rows, times)
            depth.useful()
        depth.emptied(rows)


def test_the_depth_follows_what_was_seen():
    depth = AdaptiveDepth()
    depth.observe(1, SLOW)
    assert depth.choose(1) == 2
    served(depth, 1, SLOW, steps=2)
    assert depth.choose(1) == 1
    served(depth, 1, FAST, steps=1)
    assert depth.times(1).f == pytest.approx(FAST.f, rel=0.02)
    assert depth.choose(1) == 1  # one step at 35 % does not pay for another
    served(depth, 1, FAST, steps=100)
    assert depth.choose(1) == 2


def test_a_batch_whose_answers_all_end_together_wastes_a_step_like_one_stream():
    depth = AdaptiveDepth()
    served(depth, 8, SLOW, steps=2)
    assert depth.choose(8) == 1
    for _ in range(200):
        depth.observe(8, SLOW)  # others came before the last one ended
        depth.useful()
    depth.emptied(8)
    assert depth.choose(8) == 2


def test_answers_of_one_token_never_overlap_again():
    depth = AdaptiveDepth()
    assert depth.choose(4) == 2
    depth.emptied(4)  # without a single step
    assert depth.choose(4) == 1


def test_prompts_overlap_as_well():
    """Three of them come before the one step that somebody decodes."""
    depth = AdaptiveDepth()
    for _ in range(40):
        for _ in range(3):
            depth.useful()
        depth.observe(8, FAST)
        depth.useful()
        depth.emptied(8)
    assert depth.run == pytest.approx(4)
    assert depth.choose(8) == 2


def test_what_waiting_costs_the_device_makes_overlapping_pay():
    depth, cheap = AdaptiveDepth(run=5), StepTimes(f=1.0, s=0.0, c=0.0, bl=0.03, bm=0.03, bc=0.03)
    depth.observe(1, cheap)
    assert depth.choose(1) == 1
    depth.observe(1, cheap._replace(f=1.4), waited=True)
    assert depth.times(1).w == pytest.approx(0.4, rel=0.02)
    assert depth.choose(1) == 2
    depth.observe(8, cheap, waited=True)  # so far, never in a row
    assert depth.times(8).f == pytest.approx(cheap.f, rel=0.02)


def test_a_last_step_of_few_rows_is_little_waste():
    """One row is left at the end, whose step takes a quarter of the others."""
    small = StepTimes(*(getattr(SLOW, name) / 4 for name in StepTimes._fields))
    at_once, one_left = AdaptiveDepth(run=5), AdaptiveDepth(run=5)
    for depth, last in ((at_once, 32), (one_left, 1)):
        for _ in range(5):
            depth.observe(32, SLOW)
            depth.useful()
        depth.observe(1, small)
        depth.emptied(last)
    assert (at_once.choose(32), one_left.choose(32)) == (1, 2)


def test_a_wasted_step_that_nobody_waits_for_costs_nothing():
    depth = AdaptiveDepth(run=2)
    depth.observe(1, SLOW)
    assert depth.choose(1) == 1
    for _ in range(10):
        depth.emptied(1)
        depth.run = 2
        depth.resumed(50.0)
    assert depth.choose(1) == 2
    for _ in range(20):
        depth.resumed(0.0)
    depth.observe(1, SLOW)
    assert depth.choose(1) == 1


def test_a_first_step_that_took_very_long_is_not_believed_for_ever():
    """It was made ready while it was timed; with one step in flight none follows another in a row."""
    depth = AdaptiveDepth()
    depth.observe(32, FAST._replace(f=1000.0))
    assert depth.choose(32) == 1
    for _ in range(80):
        depth.observe(32, FAST, waited=True)
    assert depth.choose(32) == 2


def test_the_price_of_waiting_fades_while_nobody_waits():
    depth, cheap = AdaptiveDepth(run=5), StepTimes(f=1.0, s=0.0, c=0.0, bl=0.03, bm=0.03, bc=0.03)
    depth.observe(1, cheap)
    depth.observe(1, cheap._replace(f=50.0), waited=True)
    assert depth.choose(1) == 2
    for _ in range(2000):
        depth.observe(1, cheap)
    assert depth.choose(1) == 1


def test_what_does_not_pay_is_tried_again_after_a_while():
    """It took long once; by now it may not any more."""
    depth, cheap = AdaptiveDepth(run=3), StepTimes(f=1.0, s=0.0, c=0.0, bl=0.03, bm=0.03, bc=0.03)
    depth.observe(1, cheap)
    tries = 0
    for _ in range(1000):
        chosen = depth.choose(1)
        tries += chosen == 2
        depth.observe(1, cheap, waited=chosen == 1)
    assert 1 <= tries <= 20
    depth.observe(1, cheap._replace(f=0.5))
    for _ in range(300):
        chosen = depth.choose(1)
        depth.observe(1, cheap._replace(f=0.6 if chosen == 2 else 1.0), waited=chosen == 1)
    assert chosen == 2


def test_a_hope_is_soon_given_up():
    depth, cheap = AdaptiveDepth(run=3), StepTimes(f=1.0, s=0.0, c=0.0, bl=0.03, bm=0.03, bc=0.03)
    depth.observe(1, cheap)
    for _ in range(3000):
        depth.observe(1, cheap, waited=True)
    assert depth.choose(1) == 2
    for _ in range(3):
        depth.observe(1, cheap)
    assert depth.choose(1) == 1


def test_one_step_after_a_pause_tells_no_more_than_others():
    depth, cheap = AdaptiveDepth(run=3), StepTimes(f=1.0, s=0.0, c=0.0, bl=0.03, bm=0.03, bc=0.03)
    depth.observe(1, cheap)
    depth.observe(1, cheap._replace(f=1.5), waited=True)
    depth.observe(1, cheap._replace(f=2.0))
    assert depth.times(1).f == pytest.approx(1.1, abs=0.01)


def test_steps_of_another_size_are_of_another_kind():
    depth = AdaptiveDepth(run=5)
    depth.observe(1, FAST)
    depth.observe(32, SLOW)
    assert (depth.choose(1), depth.choose(40)) == (2, 1)
    assert (depth.times(2), depth.times(20)) == (FAST, SLOW)  # what is nearest


def test_nothing_seen_yet_overlaps():
    depth = AdaptiveDepth()
    assert depth.choose(1) == 2
    depth.observe(1, SLOW)
    assert depth.times(1) == SLOW


@pytest.mark.parametrize("depth", [0, 3])
def test_other_depths_do_not_exist(depth):
    with pytest.raises(ValueError, match="1 or 2"):
        FixedDepth(depth)


# -------------------------------------------------------------------------------------------------- uniforms


def test_numbers_depend_on_seed_and_index_alone():
    together = uniforms([1, 2, 2**63], [0, 5, 9])
    assert together.shape == (3, 4)
    for row, (seed, index) in enumerate([(1, 0), (2, 5), (2**63, 9)]):
        np.testing.assert_array_equal(uniforms([seed], [index])[0], together[row])


def test_numbers_are_uniform_and_all_different():
    numbers = uniforms([seed for seed in range(50) for _ in range(200)], list(range(200)) * 50)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert len(np.unique(numbers)) > 0.99 * numbers.size  # of 2^24 steps
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    expected = numbers.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 60
    matrix = numbers.reshape(50, 200, 4)
    neighbours = [(matrix[1:], matrix[:-1]), (matrix[:, 1:], matrix[:, :-1])]
    for one, other in (*neighbours, (matrix[..., 1:], matrix[..., :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
