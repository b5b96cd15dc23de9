"""Overlap of outlines against areas that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dreamscope.engine.wire import Box
from dreamscope.visualizers.mask_overlap import corners_of, covered, overlap_of

SQUARE = "M 0 0 L 1 0 L 1 1 L 0 1 Z"
CIRCLE = "M 0 0.5 A 0.5 0.5 0 1 1 1 0.5 A 0.5 0.5 0 1 1 0 0.5 Z"
HOLE_SAME_WAY = f"{SQUARE} M 0.25 0.25 L 0.75 0.25 L 0.75 0.75 L 0.25 0.75 Z"
HOLE_OTHER_WAY = f"{SQUARE} M 0.25 0.25 L 0.25 0.75 L 0.75 0.75 L 0.75 0.25 Z"
WHOLE = Box(0, 0, 1, 1)


def area(path: str, box: Box = WHOLE) -> float:
    """The covered share of the image."""
    return float(np.mean(covered(corners_of(path, box), WHOLE)))


def test_squares_that_share_half():
    first, second = (SQUARE, Box(0.1, 0.2, 0.5, 0.6)), (SQUARE, Box(0.3, 0.2, 0.7, 0.6))
    assert overlap_of([first], [second]) == pytest.approx(1 / 3, abs=0.01)
    assert overlap_of([first], [first]) == 1
    assert overlap_of([first], [(SQUARE, Box(0.6, 0.7, 0.9, 0.9))]) == 0


def test_a_circle_in_its_square():
    assert area(CIRCLE) == pytest.approx(math.pi / 4, abs=0.01)
    assert overlap_of([(CIRCLE, WHOLE)], [(SQUARE, WHOLE)]) == pytest.approx(math.pi / 4, abs=0.01)


def test_the_ratio_does_not_depend_on_the_shape_of_the_box():
    flat = Box(0.1, 0.4, 0.9, 0.45)
    assert overlap_of([(CIRCLE, flat)], [(SQUARE, flat)]) == pytest.approx(math.pi / 4, abs=0.01)


def test_what_is_drawn_twice_the_same_way_stays_filled():
    assert area(HOLE_SAME_WAY) == 1
    assert area(HOLE_OTHER_WAY) == pytest.approx(0.75, abs=0.01)
    star = "M 0.5 0 L 0.8 1 L 0 0.35 L 1 0.35 L 0.2 1 Z"
    middle = covered(corners_of(star, WHOLE), WHOLE)[256, 256]
    assert middle, "the nonzero rule fills the middle of a star"


def test_several_outlines_count_as_one_area():
    left, right = (SQUARE, Box(0, 0, 0.5, 1)), (SQUARE, Box(0.5, 0, 1, 1))
    assert overlap_of([left, right], [(SQUARE, WHOLE)]) == 1
    assert overlap_of([left, left], [(SQUARE, WHOLE)]) == pytest.approx(0.5, abs=0.01)


def test_only_the_image_counts():
    outside = (SQUARE, Box(0.5, 0, 1.5, 1))
    assert overlap_of([outside], [(SQUARE, Box(0.5, 0, 1, 1))]) == 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([], [], None),
        ([("", WHOLE)], [], None),
        ([("M 0 0 L 1 1 Z", Box(0.5, 0.5, 0.5, 0.5))], [], None),
        ([(SQUARE, WHOLE)], [], 0),
        ([(SQUARE, Box(2, 2, 3, 3))], [], None),
    ],
)
def test_nothing_to_overlap(first, second, expected):
    assert overlap_of(first, second) == expected
