"""Marks burnt into pictures: right place, right colour, nothing else touched."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dreamscope.engine.wire import (
    Box,
    CaptionResult,
    DetectResult,
    Ground,
    Point,
    PointResult,
    QueryResult,
    Reasoning,
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
