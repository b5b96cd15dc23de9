from __future__ import annotations

import numpy as np
import pytest

from dreamscope.engine import wire
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.skills.svgpath import read_path
from dreamscope.engine.sprite.evaluate_segment import path_mask
from dreamscope.engine.sprite.outline import POINTS, STEP, largest_contour, outline, path_words, simplify
from dreamscope.engine.sprite.raster import sprite
from dreamscope.engine.sprite.world import FIRST_LIGHT, STYLES

SPRITES = [(name, style) for name in FIRST_LIGHT for style in STYLES]


def _overlap(name: str, style: str) -> float:
    """Intersection over union of the outline, read as the engine reads it, and the opaque pixels."""
    words = [word.strip() for word in path_words(outline(name, style))]
    reader = read_path(words)
    assert reader.error is None
    opaque = sprite(name, style)[..., 3] > 0.4 * 255
    side = max(opaque.shape)
    box = wire.Box(0.0, 0.0, opaque.shape[1] / side, opaque.shape[0] / side)
    drawn = path_mask(wire.SegmentResult(reader.path, box), side)[: opaque.shape[0], : opaque.shape[1]]
    return float((drawn & opaque).sum() / (drawn | opaque).sum())


def test_outlines_are_near_the_sprites() -> None:
    """The best that a model trained on them can reach."""
    found = {sprite: _overlap(*sprite) for sprite in SPRITES}
    assert min(found.values()) > 0.7, min(found, key=lambda key: found[key])
    assert np.mean(list(found.values())) > 0.9


@pytest.mark.parametrize("style", STYLES)
def test_outlines_are_short_and_their_numbers_are_tokens(style: str, tokenizer3: Tokenizer) -> None:
    for name in FIRST_LIGHT:
        points = outline(name, style)
        assert 8 <= len(points) <= POINTS
        assert all(number % STEP == 0 and 0 <= number <= 960 for point in points for number in point)
        assert points[0][1] == min(y for _, y in points)
        words = path_words(points)
        assert all(tokenizer3.decode(tokenizer3.encode(word)) == word for word in words)
        assert all(len(tokenizer3.encode(word)) == 1 for word in words)
        assert len(words) == 2 * len(points) + 3


def test_a_flipped_sprite_has_the_mirrored_outline() -> None:
    plain, flipped = outline("dog", "noto"), outline("dog", "noto", True)
    assert flipped == tuple((960 - x, y) for x, y in plain)
    assert flipped != plain


def test_the_contour_is_that_of_the_largest_part() -> None:
    mask = np.zeros((8, 9), bool)
    mask[1:3, 1:3] = True
    mask[4:8, 2:8] = True
    mask[5, 4] = False  # a hole
    loop = largest_contour(mask)
    assert set(map(tuple, loop)) <= {(x, y) for x in range(2, 9) for y in range(4, 9)}
    assert loop.min(0).tolist() == [2, 4]
    assert loop.max(0).tolist() == [8, 8]
    assert len(loop) == 2 * (6 + 4)  # one corner per pixel edge


def test_pixels_that_touch_at_a_corner_end_the_contour_properly() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = mask[2:, 2:] = True
    loop = largest_contour(mask)
    edges = np.abs(np.roll(loop, -1, 0) - loop).sum(1)
    assert (edges == 1).all()


def test_simplifying_keeps_the_corners_that_matter() -> None:
    square = np.array([[0, 0], [2, 0], [4, 0], [4, 4], [2, 4.1], [0, 4]], float)
    assert sorted(map(tuple, simplify(square, 4))) == [(0, 0), (0, 4), (4, 0), (4, 4)]
    assert simplify(square, 6) is square
