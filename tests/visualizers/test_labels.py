"""Labels lie inside the image, clear of each other while there is room, and never move."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.visualizers.geometry import Rect, overlap
from dreamscope.visualizers.labels import DOT_RADIUS, Placer, shorten, text_width

IMAGE = Rect(0, 0, 720, 540)
fractions = st.floats(0, 1)
places = st.lists(st.tuples(fractions, fractions), max_size=25)
boxes = st.lists(st.tuples(fractions, fractions, fractions, fractions), max_size=12)


def tags(points: list[tuple[float, float]]) -> list:
    placer = Placer(IMAGE)
    return [
        placer.beside(x * IMAGE.width, y * IMAGE.height, str(n)) for n, (x, y) in enumerate(points, start=1)
    ]


def chips(corners: list[tuple[float, float, float, float]], name: str = "traffic light") -> list:
    placer = Placer(IMAGE)
    out = []
    for n, (x0, y0, x1, y1) in enumerate(corners, start=1):
        (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
        box = Rect(x0 * 720, y0 * 540, (x1 - x0) * 720, (y1 - y0) * 540)
        out.append(placer.around(box, (f"{name} {n}", str(n))))
    return out


@given(places)
def test_tags_lie_inside_the_image(points: list[tuple[float, float]]) -> None:
    assert all(label.area.inside(IMAGE) for label in tags(points))


@given(boxes)
def test_chips_lie_inside_the_image(corners: list[tuple[float, float, float, float]]) -> None:
    assert all(label.area.inside(IMAGE) for label in chips(corners))


@given(places)
def test_tags_do_not_overlap(points: list[tuple[float, float]]) -> None:
    # Places that coincide may crowd more tags than fit; on a coarse grid there is always room.
    distinct = list({(round(x * 11), round(y * 8)): (x, y) for x, y in points}.values())
    areas = [label.area for label in tags(distinct)]
    assert all(overlap(a, b) == 0 for a, b in itertools.combinations(areas, 2))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), unique=True))
def test_chips_of_separate_boxes_do_not_overlap(cells: list[tuple[int, int]]) -> None:
    corners = [(x / 4 + 0.02, y / 4 + 0.02, x / 4 + 0.2, y / 4 + 0.2) for x, y in cells]
    areas = [label.area for label in chips(corners)]
    assert all(overlap(a, b) == 0 for a, b in itertools.combinations(areas, 2))


@given(places)
def test_a_label_does_not_depend_on_later_ones(points: list[tuple[float, float]]) -> None:
    half = len(points) // 2
    assert tags(points)[:half] == tags(points[:half])


def test_a_lone_tag_sits_at_the_upper_right_without_touching_its_dot() -> None:
    (label,) = tags([(0.5, 0.5)])
    assert label.rect.x > 0
    assert label.rect.bottom < 0
    assert not label.leader
    dot = Rect(360 - DOT_RADIUS, 270 - DOT_RADIUS, 2 * DOT_RADIUS, 2 * DOT_RADIUS)
    assert overlap(label.area, dot) == 0


def test_crowded_tags_move_out_and_get_a_leader() -> None:
    crowd = tags([(0.5 + 0.002 * n, 0.5) for n in range(14)])
    assert any(label.leader for label in crowd)
    assert not crowd[0].leader


def test_chip_is_outside_where_there_is_room_and_inside_where_not() -> None:
    (outside,) = chips([(0.3, 0.3, 0.6, 0.6)])
    assert outside.area.bottom <= 0.3 * 540
    (below,) = chips([(0.3, 0.0, 0.6, 0.6)])
    assert below.area.y >= 0.6 * 540
    (inside,) = chips([(0, 0, 1, 1)])
    assert inside.area.inside(IMAGE)
    assert inside.text == "traffic light 1"


def test_chip_falls_back_to_the_number() -> None:
    placer = Placer(Rect(0, 0, 60, 60))
    assert placer.around(Rect(10, 25, 40, 30), ("traffic light 1", "1")).text == "1"


def test_an_image_smaller_than_a_label_still_gets_one() -> None:
    placer = Placer(Rect(0, 0, 720, 2.4))
    assert placer.beside(10, 1, "1").text == "1"
    assert placer.around(Rect(0, 0, 720, 2.4), ("dog 1", "1")).text == "1"


@pytest.mark.parametrize(("text", "wanted"), [("dog", "dog"), ("a \n b", "a b"), ("x" * 30, "x" * 23 + "…")])
def test_shorten(text: str, wanted: str) -> None:
    assert shorten(text) == wanted


def test_wide_characters_take_more_room() -> None:
    assert text_width("犬犬", 10) > text_width("WW", 10) > text_width("ii", 10) > 0
    assert text_width("e\u0301", 10) == text_width("e", 10)
