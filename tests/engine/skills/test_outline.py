"""From a path to a mask and back: drawing, cleaning and tracing outlines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.results import Box
from dreamscope.engine.skills.outline_mask import clean, fill, resize_linear, resize_nearest
from dreamscope.engine.skills.outline_polygons import polygons
from dreamscope.engine.skills.outline_refine import grown, refine_outline
from dreamscope.engine.skills.outline_trace import trace

WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def disc(height: int, width: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 < radius**2


def drawn(path: str, bbox: Box, height: int, width: int) -> np.ndarray:
    corner = np.array((bbox.x_min * width, bbox.y_min * height))
    size = np.array(((bbox.x_max - bbox.x_min) * width, (bbox.y_max - bbox.y_min) * height))
    return fill([corner + outline * size for outline in polygons(path)], height, width)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(
    ("path", "corners"),
    [
        ("M 0 0 L 4 0 4 3 Z", [[(0, 0), (4, 0), (4, 3)]]),
        ("m 1 1 2 0 0 2 z", [[(1, 1), (3, 1), (3, 3)]]),
        ("M0,0H4V3h-4z", [[(0, 0), (4, 0), (4, 3), (0, 3)]]),
        ("M 0 0 L 1 0 L 1 1 Z L 3 3 L 0 3", [[(0, 0), (1, 0), (1, 1)], [(0, 0), (3, 3), (0, 3)]]),
        ("M 0 0 L 1 0 L 1 1 Z m 2 2 l 1 0 l 0 1", [[(0, 0), (1, 0), (1, 1)], [(2, 2), (3, 2), (3, 3)]]),
        ("M 0 0 L 1 0 L 1 1 L 5", [[(0, 0), (1, 0), (1, 1)]]),
        ("M 0 0 L 1 0 L 1 1 H L 9 9", [[(0, 0), (1, 0), (1, 1)]]),
        ("L 1 1 2 2 3 3", []),
        ("M 0 0 L 1 -.5 L -1 .5", [[(0, 0), (1, -0.5), (-1, 0.5)]]),
        ("", []),
    ],
)
def test_straight_paths(path: str, corners: list[list[tuple[float, float]]]) -> None:
    assert [outline.tolist() for outline in polygons(path)] == [[list(p) for p in each] for each in corners]


def test_a_circle_of_curves() -> None:
    k = 0.5522847
    curves = f"M 1 0 C 1 {k} {k} 1 0 1 S -1 {k} -1 0 S {-k} -1 0 -1 S 1 {-k} 1 0 Z"
    (outline,) = polygons(curves)
    assert len(outline) == 65
    np.testing.assert_allclose(np.hypot(*outline.T), 1, atol=3e-4)


def test_quadratic_curves_are_mirrored() -> None:
    (whole,) = polygons("M 0 0 Q 1 1 2 0 Q 3 -1 4 0")
    (short,) = polygons("M 0 0 q 1 1 2 0 t 2 0")
    np.testing.assert_allclose(short, whole)
    (alone,) = polygons("M 0 0 T 2 2 L 0 2")
    np.testing.assert_allclose(alone[:, 0][:17], alone[:, 1][:17])


@pytest.mark.parametrize("path", ["M 0 0 A 1 1 0 0 1 2 2", "M 0 0 B 1 1"])
def test_paths_that_cannot_be_drawn(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        polygons(path)


def test_inside_is_what_is_wound_around() -> None:
    square = np.array([(0, 0), (8, 0), (8, 8), (0, 8)], float)
    inner = square / 2 + 2
    assert fill([square], 8, 8).all()
    assert fill([square, inner], 8, 8).all()
    hole = fill([square, inner[::-1]], 8, 8)
    assert not hole[2:6, 2:6].any()
    assert hole.sum() == 64 - 16
    np.testing.assert_array_equal(fill([square[::-1] * 0.5 - 2], 8, 8), np.pad([[True] * 2] * 2, (0, 6)))


def test_a_pixel_is_in_if_more_than_half_of_it_is() -> None:
    for right, count in ((2.2, 2), (2.6, 2), (2.8, 3)):
        bar = np.array([(0, 0), (right, 0), (right, 1), (0, 1)])
        assert fill([bar], 1, 5).sum() == count


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_resizing_is_that_of_plain_layers(h: int, w: int, height: int, width: int) -> None:
    values = np.random.default_rng(h * 10 + w).random((h, w, 2), np.float32)
    batch = torch.from_numpy(values).permute(2, 0, 1)[None]
    smooth = F.interpolate(batch, (height, width), mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
    np.testing.assert_allclose(resize_linear(values, height, width), smooth, atol=1e-5)
    rows, columns = np.arange(height) * h // height, np.arange(width) * w // width
    mask = values[..., 0] > 0.5
    np.testing.assert_array_equal(resize_nearest(mask, height, width), mask[np.ix_(rows, columns)])


def test_small_holes_and_islands_go_and_large_ones_stay() -> None:
    mask = disc(100, 100, 50, 50, 40)
    mask[40:50, 40:50] = False  # of 10,000 pixels 15 are the bound
    mask[60:63, 60:65] = False
    mask[70, 50:64] = False
    mask[0:3, 0:4] = True
    mask[0:5, 95:100] = True
    cleaned = clean(mask)
    assert not cleaned[41:49, 41:49].any()
    assert not cleaned[61, 61:64].any()
    assert cleaned[70, 50:64].all()
    assert not cleaned[:4, :5].any()
    assert cleaned[:5, 95:].all()


def test_parts_hang_together_over_corners() -> None:
    mask = np.zeros((100, 100), bool)
    mask[10:13, 10:13] = mask[13:16, 13:16] = True  # nine pixels each
    mask[50:53, 50:53] = mask[54:57, 54:57] = True
    cleaned = clean(mask)
    assert cleaned[10:13, 10:13].all()
    assert cleaned[13:16, 13:16].all()
    assert not cleaned[40:].any()


def test_the_largest_of_small_islands_stays() -> None:
    mask = np.zeros((100, 100), bool)
    mask[10, 10:13] = mask[50, 50:54] = True
    cleaned = clean(mask)
    assert not cleaned[10].any()
    np.testing.assert_array_equal(np.argwhere(cleaned), [(50, x) for x in range(50, 54)])
    assert not clean(np.zeros((5, 7), bool)).any()
    assert clean(np.ones((5, 7), bool)).all()


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 25), st.integers(1, 25))
def test_closing_is_that_of_plain_layers(seed: int, height: int, width: int) -> None:
    """In so small an image no hole and no island is small, so only the closing is left."""
    mask = np.random.default_rng(seed).random((height, width)) < 0.3
    x = torch.from_numpy(mask).float()[None, None]
    grown = F.max_pool2d(x, 3, 1, 1)
    closed = -F.max_pool2d(-grown, 3, 1, 1)
    np.testing.assert_array_equal(clean(mask), closed[0, 0].numpy() > 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(64, 160), st.integers(64, 160))
def test_a_traced_mask_is_drawn_again(seed: int, height: int, width: int) -> None:
    """Large enough that the tolerance, three quarters of a pixel along the border, is little of the area."""
    draw = np.random.default_rng(seed)
    noise = resize_linear(draw.random((6, 6)), height, width)
    mask = noise > np.median(noise)
    traced = trace(mask)
    assert traced is not None
    path, bbox = traced
    assert set(path) <= set("MLZ 0123456789.")
    again = drawn(path, bbox, height, width)
    assert iou(mask, again) > 0.95
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert bbox == Box(
        columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
    )


def test_holes_run_the_other_way() -> None:
    ring = disc(80, 60, 40, 30, 25) & ~disc(80, 60, 40, 30, 10)
    traced = trace(ring)
    assert traced is not None
    path, bbox = traced
    turns = []
    for outline in polygons(path):
        x, y = outline.T
        turns.append(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    assert sorted(turn > 0 for turn in turns) == [False, True]
    assert iou(ring, drawn(path, bbox, 80, 60)) > 0.95
    assert len(path) < 600


def test_a_rectangle_has_four_corners() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:15, 3:27] = True
    traced = trace(mask)
    assert traced is not None
    assert traced[1] == Box(0.1, 0.25, 0.9, 0.75)
    assert sorted(polygons(traced[0])[0].tolist()) == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_a_thin_line_is_not_lost() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5, 3:27] = True
    traced = trace(mask)
    assert traced is not None
    np.testing.assert_array_equal(drawn(*traced, 20, 30), mask)


def test_nothing_has_no_outline() -> None:
    assert trace(np.zeros((5, 5), bool)) is None
    assert trace(np.eye(5, dtype=bool) & (np.arange(5) == 2)) is None


def test_a_box_grows_by_a_quarter_within_the_image() -> None:
    assert grown(Box(0.2, 0.4, 0.6, 0.8), 100, 50) == (10, 15, 70, 45)
    assert grown(Box(0.0, 0.1, 0.9, 1.0), 100, 50) == (0, 0, 100, 50)


@pytest.mark.parametrize(("height", "width"), [(90, 120), (200, 50)])
def test_a_clean_outline_survives_a_refiner_that_changes_nothing(height: int, width: int) -> None:
    mask = disc(height, width, 45, 30, 18)
    traced = trace(mask)
    assert traced is not None
    seen = []

    def same(pixels: np.ndarray, part: np.ndarray) -> np.ndarray:
        seen.append((pixels.shape, part.shape, iou(part, mask[grown_rows, grown_columns])))
        return part

    left, top, right, bottom = grown(traced[1], width, height)
    grown_rows, grown_columns = slice(top, bottom), slice(left, right)
    refined = refine_outline(np.zeros((height, width, 3), np.uint8), *traced, same)
    assert refined is not None
    assert iou(mask, drawn(*refined, height, width)) > 0.95
    ((pixels, part, agreement),) = seen
    assert pixels == (*part, 3)
    assert part == (bottom - top, right - left)
    assert agreement > 0.95


def test_what_the_refiner_returns_is_what_is_traced() -> None:
    def shifted(pixels: np.ndarray, part: np.ndarray) -> np.ndarray:
        return np.roll(part, 5, 1)

    refined = refine_outline(
        np.zeros((100, 100, 3), np.uint8), "M 0 0 H 1 V 1 H 0 Z", Box(0.3, 0.3, 0.7, 0.7), shifted
    )
    assert refined is not None
    assert refined[1] == Box(0.35, 0.3, 0.75, 0.7)


@pytest.mark.parametrize(
    ("path", "bbox"),
    [
        ("M 0 0 L 1 1", WHOLE),
        ("M 3 3 L 4 3 L 4 4 Z", Box(0.2, 0.2, 0.4, 0.4)),
        ("M 0 0 L 1 0 L 1 1 Z", Box(0.5, 0.2, 0.5, 0.4)),
    ],
)
def test_outlines_without_pixels(path: str, bbox: Box) -> None:
    def unused(pixels: np.ndarray, part: np.ndarray) -> np.ndarray:
        raise AssertionError

    assert refine_outline(np.zeros((50, 50, 3), np.uint8), path, bbox, unused) is None


def test_nothing_left_of_a_mask() -> None:
    def emptied(pixels: np.ndarray, part: np.ndarray) -> np.ndarray:
        return np.zeros_like(part)

    path = "M 0 0 L 1 0 L 1 1 Z"
    assert refine_outline(np.zeros((50, 50, 3), np.uint8), path, WHOLE, emptied) is None
