"""Cutting an image of any shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dreamscope.engine.models.crops import cut_crops, select_tiling, tiling_of
from dreamscope.engine.models.moondream2.config import VisionConfig

PUBLISHED = VisionConfig()


@pytest.mark.parametrize(
    ("height", "width", "tiling"),
    [(378, 378, (1, 1)), (379, 379, (3, 3)), (100, 3000, (1, 1)), (1, 1, (1, 1)), (40, 12000, (1, 1))],
)
def test_published_tilings(height: int, width: int, tiling: tuple[int, int]) -> None:
    assert tiling_of(height, width, PUBLISHED) == tiling


@given(height=st.integers(-100, 20000), width=st.integers(-100, 20000), crops=st.integers(1, 30))
def test_a_tiling_has_a_tile_and_keeps_to_the_bound(height: int, width: int, crops: int) -> None:
    rows, cols = select_tiling(height, width, 266, crops)
    assert rows >= 1
    assert cols >= 1
    # one long row may exceed the bound: the other side cannot shrink below one tile
    assert rows * cols <= crops or 1 in (rows, cols)


@pytest.mark.parametrize("shape", [(1, 1), (40, 12000), (12000, 40), (300, 420)])
def test_any_size_gives_whole_crops(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    crops = cut_crops(rgb, PUBLISHED)
    rows, cols = crops.tiling
    assert crops.pixels.shape == (1 + rows * cols, 378, 378, 3)
    assert crops.pixels.dtype == np.uint8


def test_a_single_tile_repeats_the_whole_image() -> None:
    crops = cut_crops(np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8), PUBLISHED)
    np.testing.assert_array_equal(crops.pixels[0], crops.pixels[1])


def test_neighbours_share_their_margins() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    crops = cut_crops(rgb, PUBLISHED)
    rows, cols = crops.tiling
    tiles = crops.pixels[1:].reshape(rows, cols, 378, 378, 3)
    shared = 2 * PUBLISHED.overlap_margin * PUBLISHED.enc_patch_size
    np.testing.assert_array_equal(tiles[:, :-1, :, -shared:], tiles[:, 1:, :, :shared])
    np.testing.assert_array_equal(tiles[:-1, :, -shared:], tiles[1:, :, :shared])


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 99))
def test_the_order_of_the_axes_is_ours(height: int, width: int, seed: int) -> None:
    """The same pixels whichever order the installed Pillow would take by itself."""
    config = VisionConfig(crop_size=32, enc_patch_size=4, overlap_margin=1)
    rgb = np.random.default_rng(seed).integers(0, 2, (height, width, 3), np.uint8) * 255
    first_vertical = height - 32 > 2 * max(0, width - 32)
    step = (width, 32) if first_vertical else (32, height)
    image = Image.fromarray(rgb).resize(step, Image.Resampling.LANCZOS)
    expected = np.asarray(image.resize((32, 32), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(cut_crops(rgb, config).pixels[0], expected)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_what_is_not_an_image_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 array \[H, W, 3\]"):
        cut_crops(bad, PUBLISHED)
