from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.sprite import backgrounds
from dreamscope.engine.sprite.scenes import Scene, SceneMaker, SceneObject, Stage
from dreamscope.engine.sprite.world import BY_NAME, COLOURS, FIRST_LIGHT, STYLES

SIDE = 96
seeds = st.integers(0, 2**32)


def _pixel_box(item: SceneObject) -> tuple[int, int, int, int]:
    left, top = item.origin
    return left, top, left + item.alpha.shape[1], top + item.alpha.shape[0]


def _same(one: Scene, other: Scene) -> bool:
    return np.array_equal(one.pixels, other.pixels) and [
        (item.name, item.style, item.colour, item.box) for item in one.objects
    ] == [(item.name, item.style, item.colour, item.box) for item in other.objects]


@settings(deadline=None, max_examples=60)
@given(seed=seeds, most=st.integers(1, 8))
def test_a_scene_keeps_its_promises(maker: SceneMaker, seed: int, most: int) -> None:
    scene = maker.make(np.random.default_rng(seed), most)
    assert scene.pixels.shape == (SIDE, SIDE, 3)
    assert scene.pixels.dtype == np.uint8
    assert len(scene.objects) <= most
    centres = [item.center[0] for item in scene.objects]
    assert centres == sorted(centres)
    for item in scene.objects:
        left, top, right, bottom = _pixel_box(item)
        assert 0 <= left < right <= SIDE
        assert 0 <= top < bottom <= SIDE
        assert item.box == pytest.approx([edge / SIDE for edge in (left, top, right, bottom)])
        assert item.name in FIRST_LIGHT
        assert item.style in STYLES
        kind = BY_NAME[item.name]
        assert item.painted == kind.recolour
        assert item.colour in COLOURS if item.painted else item.colour == kind.colour
    for one, other in combinations(scene.objects, 2):
        a, b = _pixel_box(one), _pixel_box(other)
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(0, width) * max(0, height)
        assert shared <= 0.12 * min(one.alpha.size, other.alpha.size) + 1e-6


@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_a_mask_fills_its_box(maker: SceneMaker, seed: int) -> None:
    scene = maker.make(np.random.default_rng(seed))
    for index, item in enumerate(scene.objects):
        mask = scene.mask(index)
        assert mask.shape == (SIDE, SIDE)
        left, top, right, bottom = _pixel_box(item)
        assert mask.sum() == mask[top:bottom, left:right].sum() > 0
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        tight = (columns[-1] + 1 - columns[0]) * (rows[-1] + 1 - rows[0])
        assert tight >= 0.6 * item.alpha.size, item.name


@settings(deadline=None, max_examples=15)
@given(seed=seeds)
def test_the_generator_decides_everything(maker: SceneMaker, seed: int) -> None:
    scenes = [maker.make(np.random.default_rng(s)) for s in (seed, seed, seed + 1)]
    assert _same(scenes[0], scenes[1])
    assert not _same(scenes[0], scenes[2])


def test_objects_are_visible_where_the_mask_says() -> None:
    """Strawberries and nothing else: what lies under a mask is red."""
    maker = SceneMaker(Stage(side=SIDE, classes=("strawberry",), styles=("fluent",), most=2), 1, pool_size=4)
    for seed in range(12):
        scene = maker.make(np.random.default_rng(seed))
        for index in range(len(scene.objects)):
            red, green, blue = scene.pixels[scene.mask(index)].mean(0)
            assert red > green + 40
            assert red > blue + 40


def test_empty_stages_and_full_stages() -> None:
    rng = np.random.default_rng(0)
    bare = SceneMaker(Stage(side=48, empty=1.0), 0, pool_size=3)
    assert all(not bare.make(rng).objects for _ in range(20))
    full = SceneMaker(Stage(side=48, empty=0.0, most=3), 0, pool_size=3)
    counts = {len(full.make(rng).objects) for _ in range(60)}
    assert counts == {1, 2, 3}
    assert {len(full.make(rng, 1).objects) for _ in range(20)} == {1}


def test_classes_repeat_so_that_counting_can_be_learned() -> None:
    maker = SceneMaker(Stage(side=64, most=6), 0, pool_size=3)
    rng = np.random.default_rng(5)
    scenes = [maker.make(rng) for _ in range(150)]
    largest = [max((len(scene.named(name)) for name in scene.names), default=0) for scene in scenes]
    assert sum(count >= 3 for count in largest) > 15


def test_helpers_list_in_scene_order(maker: SceneMaker) -> None:
    scene = next(s for s in (maker.make(np.random.default_rng(i)) for i in range(99)) if len(s.objects) > 3)
    assert sorted(scene.names) == sorted({item.name for item in scene.objects})
    assert scene.names[0] == scene.objects[0].name
    assert sum(len(scene.named(name)) for name in scene.names) == len(scene.objects)


def test_the_background_pool() -> None:
    pictures = backgrounds.pool(np.random.default_rng(8), 40, 120)
    assert len(pictures) == 120
    names = {picture.name for picture in pictures}
    assert {"a grassy field", "a sandy beach", "the sea", "snow", "a night sky"} < names
    assert not any(name.startswith("a orange") for name in names)
    for picture in pictures:
        assert picture.pixels.shape == (40, 40, 3)
        assert picture.pixels.dtype == np.uint8
    again = backgrounds.pool(np.random.default_rng(8), 40, 120)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(pictures, again, strict=True))
    named_blue = [p.pixels.reshape(-1, 3).mean(0) for p in pictures if p.name == "a blue background"]
    assert named_blue
    assert all(colour[2] > colour[0] for colour in named_blue)
