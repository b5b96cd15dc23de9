"""Fractions to view units, and rectangle arithmetic."""

from __future__ import annotations

import pytest

from dreamscope.engine.wire import Box
from dreamscope.visualizers.geometry import Rect, View, clamp, iou, number, overlap


def test_view_keeps_the_aspect_of_the_image() -> None:
    view = View.shown((640, 480), 500)
    assert view.view_box == "0 0 1000 750"
    assert view.unit == 2
    assert view.point(0.25, 0.5) == (250, 375)
    assert view.box(Box(0.25, 0.5, 0.75, 1)) == Rect(250, 375, 500, 375)


def test_places_outside_are_clamped_for_drawing() -> None:
    view = View.shown((100, 100), 100)
    assert view.point(-0.2, 1.7) == (0, 1000)
    assert view.box(Box(-1, 0.5, 2, 3)) == Rect(0, 500, 1000, 500)
    assert clamp(0.3) == 0.3


def test_without_an_image_the_view_is_square() -> None:
    assert View.shown(None, 720).view_box == "0 0 1000 1000"


@pytest.mark.parametrize("size", [(64, 64), (640, 480), (4000, 3000), (12000, 40), (1, 1)])
def test_still_marks_never_shrink_below_a_pixel(size: tuple[int, int]) -> None:
    view = View.still(size)
    assert view.unit * size[0] / 1000 >= 1 - 1e-9


def test_overlap_and_iou() -> None:
    assert overlap(Rect(0, 0, 2, 2), Rect(1, 1, 2, 2)) == 1
    assert overlap(Rect(0, 0, 1, 1), Rect(1, 0, 1, 1)) == 0
    assert iou(Box(0, 0, 0.2, 0.2), Box(0.1, 0, 0.3, 0.2)) == pytest.approx(1 / 3)
    assert iou(Box(0, 0, 0.5, 0.5), Box(0, 0, 0.5, 0.5)) == pytest.approx(1)
    assert iou(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0


def test_kept_in_moves_the_least_and_centres_what_is_too_long() -> None:
    outer = Rect(0, 0, 10, 10)
    assert Rect(-3, 4, 2, 2).kept_in(outer) == Rect(0, 4, 2, 2)
    assert Rect(9, 9, 2, 2).kept_in(outer) == Rect(8, 8, 2, 2)
    assert Rect(3, 3, 20, 2).kept_in(outer) == Rect(-5, 3, 20, 2)


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.126, "0.13"), (-0.001, "0"), (100.0, "100"), (2.5, "2.5")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
