"""The art: every class can be drawn in every style and colour."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from dreamscope.engine.sprite.raster import SIDE, icons, sprite
from dreamscope.engine.sprite.world import COLOURS, KINDS, STYLES

RECOLOURED = [kind.name for kind in KINDS if kind.recolour]


def _hues(rgba: np.ndarray) -> np.ndarray:
    """Degrees of the opaque, saturated pixels."""
    hsv = np.asarray(Image.fromarray(rgba[..., :3]).convert("HSV")).astype(float)
    return hsv[..., 0][(rgba[..., 3] > 100) & (hsv[..., 1] > 70)] * 360 / 256


@pytest.mark.parametrize("style", STYLES)
def test_the_art_holds_the_world_and_nothing_else(style: str) -> None:
    assert set(icons(style)) == {kind.name for kind in KINDS}


@pytest.mark.parametrize("style", STYLES)
def test_every_class_is_drawn_and_cropped(style: str) -> None:
    for kind in KINDS:
        rgba = sprite(kind.name, style)
        assert rgba.dtype == np.uint8, kind
        assert rgba.shape[2] == 4, kind
        assert max(rgba.shape[:2]) == SIDE, kind
        alpha = rgba[..., 3] > 20
        assert 0.15 < alpha.mean() < 1, kind
        edges = (alpha[:2], alpha[-2:], alpha[:, :2], alpha[:, -2:])
        assert all(edge.any() for edge in edges), kind


def test_the_styles_differ() -> None:
    for kind in KINDS:
        first, second = (sprite(kind.name, style) for style in STYLES)
        assert first.shape != second.shape or np.abs(first.astype(int) - second).mean() > 3, kind


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", RECOLOURED)
def test_recolouring_moves_the_hue_and_keeps_the_shape(name: str, style: str) -> None:
    plain = sprite(name, style)
    for colour, (degrees, _, _) in COLOURS.items():
        painted = sprite(name, style, colour)
        np.testing.assert_array_equal(painted[..., 3], plain[..., 3])
        away = np.abs((_hues(painted) - degrees + 180) % 360 - 180)
        assert np.median(away) < 12, colour


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", RECOLOURED)
def test_no_two_colours_look_alike(name: str, style: str) -> None:
    looks = {}
    for colour in COLOURS:
        rgba = sprite(name, style, colour)
        looks[colour] = rgba[..., :3][rgba[..., 3] > 100].astype(float).mean(0)
    for one, other in itertools.combinations(COLOURS, 2):
        assert np.abs(looks[one] - looks[other]).max() > 15, (one, other)


def test_a_sprite_can_be_drawn_larger() -> None:
    large, small = sprite("dog", "noto", None, 192), sprite("dog", "noto")
    assert max(large.shape[:2]) == 192
    assert large.shape[0] / large.shape[1] == pytest.approx(small.shape[0] / small.shape[1], rel=0.03)


def test_unknown_art() -> None:
    with pytest.raises(FileNotFoundError):
        icons("crayon")
    with pytest.raises(KeyError):
        sprite("unicorn", "noto")
