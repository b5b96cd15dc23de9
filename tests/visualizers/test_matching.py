"""The assignment of marks: best in total, whatever the order, and fast."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.wire import Box
from dreamscope.visualizers.geometry import iou
from dreamscope.visualizers.matching import (
    DISTANCE,
    IOU,
    Matched,
    box_overlaps,
    distances,
    match_boxes,
    match_overlaps,
    match_points,
)

SIZE = (640, 480)
side = st.integers(0, 8).map(lambda n: n / 8)
boxes = st.lists(
    st.tuples(side, side, side, side).map(
        lambda s: Box(min(s[0], s[2]), min(s[1], s[3]), max(s[0], s[2]), max(s[1], s[3]))
    ),
    max_size=5,
)
near = st.floats(0.4, 0.5)
places = st.lists(st.tuples(near, near), max_size=5)


def best_total(closeness: np.ndarray, allowed: np.ndarray) -> float:
    """The largest total of any assignment, by trying them all."""
    if closeness.shape[0] > closeness.shape[1]:
        closeness, allowed = closeness.T, allowed.T
    rows, columns = closeness.shape
    gains = np.where(allowed, closeness, 0.0)
    orders = itertools.permutations(range(columns), rows)
    return max(sum(gains[i, j] for i, j in enumerate(order)) for order in orders)


def check_partition(matched: Matched, left: int, right: int) -> None:
    assert sorted([*(p.left for p in matched.pairs), *matched.only_left]) == list(range(left))
    assert sorted([*(p.right for p in matched.pairs), *matched.only_right]) == list(range(right))


@given(boxes, boxes)
def test_boxes_are_paired_best_in_total(left, right):
    matched = match_boxes(left, right)
    overlaps = box_overlaps(left, right)
    check_partition(matched, len(left), len(right))
    assert all(pair.value >= IOU and pair.value == overlaps[pair.left, pair.right] for pair in matched.pairs)
    best = best_total(overlaps, overlaps >= IOU) if left and right else 0
    assert sum(pair.value for pair in matched.pairs) == pytest.approx(best, abs=1e-7)


@given(places, places)
def test_places_are_paired_best_in_total(left, right):
    matched = match_points(left, right, SIZE)
    apart = distances(left, right, SIZE)
    check_partition(matched, len(left), len(right))
    assert all(pair.value <= DISTANCE for pair in matched.pairs)
    best = best_total(1 - apart / (2 * DISTANCE), apart <= DISTANCE) if left and right else 0
    total = sum(1 - pair.value / (2 * DISTANCE) for pair in matched.pairs)
    assert total == pytest.approx(best, abs=1e-7)


@given(boxes, boxes)
def test_both_directions_give_the_same_total(left, right):
    there, back = match_boxes(left, right), match_boxes(right, left)
    assert len(there.pairs) == len(back.pairs)
    assert sum(p.value for p in there.pairs) == pytest.approx(sum(p.value for p in back.pairs), abs=1e-7)


@given(st.lists(st.just(Box(0.1, 0.1, 0.4, 0.4)), max_size=6), st.integers(0, 6))
def test_equal_marks_are_paired_by_rank(left, count):
    right = [Box(0.1, 0.1, 0.4, 0.4)] * count
    matched = match_boxes(left, right)
    both = min(len(left), count)
    assert [(pair.left, pair.right) for pair in matched.pairs] == [(n, n) for n in range(both)]


@given(boxes)
@settings(max_examples=30)
def test_the_same_boxes_are_each_their_own_partner(left):
    real = [box for box in left if box.x_max > box.x_min and box.y_max > box.y_min]
    assert [(p.left, p.right, p.value) for p in match_boxes(real, real).pairs] == [
        (n, n, 1.0) for n in range(len(real))
    ]


def test_an_early_pair_does_not_spoil_the_whole():
    """Greedy by IoU would take the middle pair and leave both outer boxes alone."""
    left = [Box(0.0, 0, 0.3, 1), Box(0.1, 0, 0.4, 1)]
    right = [Box(0.09, 0, 0.39, 1), Box(0.19, 0, 0.49, 1)]
    assert [(pair.left, pair.right) for pair in match_boxes(left, right).pairs] == [(0, 0), (1, 1)]


def test_thresholds_include_their_value():
    overlaps = np.array([[0.5]])
    assert len(match_overlaps(overlaps, 0.5).pairs) == 1
    assert match_overlaps(overlaps, 0.501).only_left == (0,)
    diagonal = float(np.hypot(300, 400))
    at = ([(0.0, 0.0)], [(diagonal * 0.1 / 300, 0.0)], (300, 400))
    assert len(match_points(*at, threshold=0.1 + 1e-12).pairs) == 1
    assert match_points(*at, threshold=0.0999).pairs == ()


def test_distance_respects_the_shape_of_the_image():
    wide = (1000, 100)
    assert distances([(0, 0)], [(0.1, 0)], wide)[0, 0] == pytest.approx(100 / np.hypot(*wide))
    assert distances([(0, 0)], [(0, 0.1)], wide)[0, 0] == pytest.approx(10 / np.hypot(*wide))
    assert match_points([(0.5, 0.2)], [(0.5, 0.6)], wide).pairs
    assert not match_points([(0.2, 0.5)], [(0.6, 0.5)], wide).pairs


@pytest.mark.parametrize(("left", "right"), [(0, 0), (0, 3), (3, 0)])
def test_nothing_on_a_side(left, right):
    matched = match_points([(0.5, 0.5)] * left, [(0.5, 0.5)] * right, SIZE)
    assert matched == Matched((), tuple(range(left)), tuple(range(right)))


@pytest.mark.parametrize("threshold", [0, -1, 1.5])
def test_strange_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        match_boxes([], [], threshold)
    if threshold <= 0:
        with pytest.raises(ValueError, match="threshold"):
            match_points([], [], SIZE, threshold)


def test_overlaps_are_those_of_the_geometry():
    rng = np.random.default_rng(5)
    sides = np.sort(rng.random((12, 2, 2)), axis=1).reshape(12, 4)
    made = [Box(*map(float, row)) for row in sides]
    expected = [[iou(a, b) for b in made[5:]] for a in made[:5]]
    assert box_overlaps(made[:5], made[5:]) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("crowded", [False, True])
def test_a_thousand_marks_take_a_moment(crowded):
    rng = np.random.default_rng(11)
    spread = 0.05 if crowded else 1.0
    corners = rng.random((2, 1000, 2)) * spread * 0.9
    left, right = ([Box(x, y, x + 0.1, y + 0.1) for x, y in side.tolist()] for side in corners)
    start = time.process_time()
    matched = match_boxes(left, right)
    taken = time.process_time() - start
    check_partition(matched, 1000, 1000)
    assert taken < 5, f"{taken:.2f} s"
