"""Marks burnt into pictures: right place, right colour, nothing else touched."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dreamscope.engine.wire import (
    Box,
    BoxSpread,
    CaptionResult,
    DetectResult,
    GazeResult,
    Ground,
    PlaceSpread,
    Point,
    PointResult,
    QueryResult,
    Reasoning,
    SegmentResult,
    Spread,
)
from dreamscope.visualizers.palette import colour, rgb
from dreamscope.visualizers.raster import burn_in

GREY = (120, 120, 120)


def grey(width: int = 400, height: int = 300) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def changed(picture: Image.Image) -> tuple[int, int, int, int]:
    """Bounding box (left, top, right, bottom) of pixels that are not grey any more."""
    rows, columns = np.nonzero((np.asarray(picture) != GREY).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_disc_is_on_the_point_with_a_halo_around() -> None:
    picture = burn_in(PointResult((Point(0.25, 0.5),), 1), grey())
    assert picture.getpixel((100, 150)) == rgb(colour(0).fill)
    assert picture.getpixel((94, 150)) == rgb(colour(0).halo)
    assert picture.getpixel((85, 150)) == GREY


def test_only_the_neighbourhood_changes() -> None:
    left, top, right, bottom = changed(burn_in(PointResult((Point(0.25, 0.5),), 1), grey()))
    assert 90 <= left <= 94
    assert 115 <= top < bottom <= 160
    assert right <= 135


def test_box_edges_and_chip() -> None:
    picture = burn_in(DetectResult((Box(0.25, 0.3, 0.75, 0.8),)), grey(), name="dog", family=2)
    fill = rgb(colour(2).fill)
    for edge in ((200, 90), (200, 239), (100, 165), (299, 165)):
        assert picture.getpixel(edge) == fill
    assert picture.getpixel((200, 165)) == GREY
    chip = np.asarray(picture.crop((100, 66, 150, 86)))
    assert (chip == fill).all(axis=2).mean() > 0.3


def test_grounds_have_their_colours() -> None:
    grounding = (Ground(0, 1, ((0.2, 0.5),)), Ground(1, 2, ((0.8, 0.5),)))
    picture = burn_in(QueryResult("", Reasoning("ab", grounding)), grey())
    assert picture.getpixel((80, 150)) == rgb(colour(0).fill)
    assert picture.getpixel((320, 150)) == rgb(colour(1).fill)


def test_marks_grow_with_large_images() -> None:
    result = PointResult((Point(0.5, 0.5),), 1)
    small, large = (changed(burn_in(result, grey(size, size))) for size in (400, 3600))
    assert (large[2] - large[0]) > 3.5 * (small[2] - small[0])


def test_the_source_is_untouched_and_the_copy_can_be_saved() -> None:
    source = grey()
    picture = burn_in(DetectResult((Box(0, 0, 1, 1),)), source, name="<dog> 犬")
    assert set(source.get_flattened_data()) == {GREY}
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    reopened = Image.open(io.BytesIO(buffer.getvalue()))
    assert (reopened.size, reopened.mode) == ((400, 300), "RGB")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_any_mode(mode: str) -> None:
    picture = burn_in(PointResult((Point(0.5, 0.5),), 1), Image.new(mode, (50, 50)))
    assert picture.getpixel((25, 25)) == rgb(colour(0).fill)


def test_transparency_becomes_white() -> None:
    assert burn_in(CaptionResult("x"), Image.new("RGBA", (5, 5), (9, 9, 9, 0))).getpixel((2, 2)) == (255,) * 3


@pytest.mark.parametrize("size", [(1, 1), (12_000, 40), (40, 12_000)])
def test_extreme_sizes(size: tuple[int, int]) -> None:
    result = DetectResult((Box(0, 0, 1, 1), Box(0.5, 0.5, 0.5, 0.5)))
    assert burn_in(result, grey(*size), name="line").size == size
    points = PointResult(tuple(Point(0.5, 0.5) for _ in range(30)), 30)
    assert burn_in(points, grey(*size)).size == size


def share(picture: Image.Image, at: tuple[int, int]) -> float:
    """How much of the mask's colour lies over the grey at a pixel, 0..1."""
    fill = rgb(colour(0).fill)
    return (picture.getpixel(at)[0] - GREY[0]) / (fill[0] - GREY[0])


def test_a_mask_is_filled_inside_its_outline() -> None:
    picture = burn_in(SegmentResult("M 0 0 L 1 0 L 0 1 Z", Box(0.25, 0.25, 0.75, 0.75)), grey())
    assert share(picture, (150, 120)) == pytest.approx(0.35, abs=0.02)
    assert picture.getpixel((280, 200)) == GREY
    assert share(picture, (200, 75)) > 0.9  # the outline itself


@pytest.mark.parametrize(
    ("inner", "filled"),
    [
        ("M 0.25 0.25 L 0.75 0.25 L 0.75 0.75 L 0.25 0.75 Z", True),
        ("M 0.25 0.25 L 0.25 0.75 L 0.75 0.75 L 0.75 0.25 Z", False),
    ],
)
def test_a_hole_is_one_only_if_it_turns_the_other_way(inner: str, filled: bool) -> None:
    path = f"M 0 0 L 1 0 L 1 1 L 0 1 Z {inner}"
    picture = burn_in(SegmentResult(path, Box(0.25, 0.25, 0.75, 0.75)), grey())
    assert share(picture, (200, 130)) == pytest.approx(0.35 if filled else 0, abs=0.02)
    assert share(picture, (120, 100)) == pytest.approx(0.35, abs=0.02)


def test_the_middle_of_a_star_is_filled() -> None:
    path = "M 0.5 0 L 0.8 0.95 L 0 0.35 L 1 0.35 L 0.2 0.95 Z"
    picture = burn_in(SegmentResult(path, Box(0.25, 0, 0.75, 1)), grey())
    assert share(picture, (200, 165)) == pytest.approx(0.35, abs=0.02)


def test_a_gaze_is_a_line_from_the_eye_to_the_target() -> None:
    picture = burn_in(GazeResult(Point(0.75, 0.5)), grey(), eye=(0.25, 0.5))
    assert picture.getpixel((300, 150)) == rgb(colour(0).fill)
    assert share(picture, (200, 150)) > 0.9
    assert picture.getpixel((200, 140)) == GREY
    assert picture.getpixel((100, 150)) == rgb(colour(0).halo)
    framed = burn_in(GazeResult(Point(0.75, 0.5)), grey(), face=Box(0.1, 0.25, 0.3, 0.75))
    assert share(framed, (40, 100)) > 0.9


def test_spreads_are_drawn_where_they_lie() -> None:
    one = Spread(0.5, (0.3, 0.4), (0.2, 0.5))
    plain = burn_in(PointResult((Point(0.9, 0.9),), 1), grey())
    spread = burn_in(PointResult((Point(0.9, 0.9, PlaceSpread(one, one)),), 1), grey())
    assert plain.getpixel((140, 105)) == GREY
    assert share(spread, (90, 105)) == pytest.approx(0.16, abs=0.02)
    assert share(spread, (140, 105)) > 0.35
    size = Spread(0.5, (0.45, 0.55), (0.4, 0.6))
    box = Box(0.25, 0.25, 0.75, 0.75, BoxSpread(one, one, size, size))
    assert share(burn_in(DetectResult((box,)), grey()), (315, 150)) > 0.9


@pytest.mark.parametrize("size", [(1, 1), (9_000, 40), (3_000, 3_000)])
def test_a_mask_of_any_size(size: tuple[int, int]) -> None:
    one = Spread(0.5, (0.3, 0.4), (0.2, 0.5))
    box = Box(0, 0, 1, 1, BoxSpread(one, one, one, one))
    result = SegmentResult("M -9 -9 L 9 -9 A 9 3 45 1 1 0 9 Z M 0 0 L 0 0 Z", box)
    assert burn_in(result, grey(*size)).size == size
    assert burn_in(GazeResult(Point(7, -7)), grey(*size), eye=(0, 1)).size == size
