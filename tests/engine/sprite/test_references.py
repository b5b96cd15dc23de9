from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dreamscope.engine.sprite.mix import FIRST_MIX, SEGMENT_MIX
from dreamscope.engine.sprite.outline import outline, path_words
from dreamscope.engine.sprite.pairs import Extent, Pair, Path, Place
from dreamscope.engine.sprite.questions import Questioner
from dreamscope.engine.sprite.references import drawing, refer, segment, this
from dreamscope.engine.sprite.scenes import Scene, SceneMaker, SceneObject
from dreamscope.engine.sprite.world import FIRST_LIGHT, with_article

Drawn = list[tuple[Scene, Pair]]


def _inside(place: Place, item: SceneObject) -> bool:
    x0, y0, x1, y1 = item.box
    return x0 <= place.x <= x1 and y0 <= place.y <= y1


@pytest.fixture(scope="module")
def segments(maker: SceneMaker) -> Drawn:
    rng = np.random.default_rng(1)
    scenes = [maker.make(rng) for _ in range(60)]
    made = [(scene, segment(rng, scene, FIRST_LIGHT)) for scene in scenes for _ in range(8)]
    return [(scene, pair) for scene, pair in made if pair is not None]


def _meant(scene: Scene, pair: Pair) -> list[SceneObject]:
    *colour, name = pair.argument.split(" ")
    return [item for item in scene.named(name) if not colour or item.colour == colour[0]]


def _target(scene: Scene, pair: Pair) -> SceneObject:
    (found,) = (item for item in scene.objects if drawing(item)[:2] == pair.target[:2])
    return found


def test_every_form_of_prompt_occurs(segments: Drawn) -> None:
    kinds = Counter(pair.kind for _, pair in segments)
    assert set(kinds) == {"segment", "segment, point", "segment, box", "segment-absent"}
    assert kinds["segment"] > kinds["segment, point"] > kinds["segment, box"] > kinds["segment-absent"]


def test_an_absent_object_has_no_outline(segments: Drawn) -> None:
    for scene, pair in segments:
        assert (pair.target == ()) == (not _meant(scene, pair)) == (pair.kind == "segment-absent")


def test_without_a_reference_the_leftmost_is_meant(segments: Drawn) -> None:
    several = 0
    for scene, pair in segments:
        if pair.kind == "segment":
            assert _target(scene, pair) is _meant(scene, pair)[0]
            several += len(_meant(scene, pair)) > 1
    assert several > 5


def test_the_outline_is_that_of_the_sprite(segments: Drawn) -> None:
    for scene, pair in segments:
        if pair.target:
            item = _target(scene, pair)
            path = pair.target[2]
            assert isinstance(path, Path)
            assert path.words == path_words(outline(item.name, item.style, item.flip))


def test_a_point_lies_on_the_object_and_on_no_other(segments: Drawn) -> None:
    for scene, pair in segments:
        if pair.kind == "segment, point":
            (place,) = pair.references
            assert isinstance(place, Place)
            item = _target(scene, pair)
            side = scene.pixels.shape[0]
            assert scene.mask(scene.objects.index(item))[int(place.y * side), int(place.x * side)]
            assert [other for other in scene.objects if _inside(place, other)] == [item]


def test_a_box_is_roughly_that_of_the_object(maker: SceneMaker) -> None:
    rng = np.random.default_rng(2)
    boxes = 0
    for _ in range(80):
        scene = maker.make(rng)
        for item in scene.objects:
            references, kind = refer(rng, scene, item)
            if kind == "segment, box":
                boxes += 1
                place, extent = references
                assert isinstance(place, Place)
                assert isinstance(extent, Extent)
                x0, y0, x1, y1 = item.box
                wide, high = x1 - x0, y1 - y0
                assert abs(place.x - item.center[0]) <= 0.081 * wide
                assert abs(place.y - item.center[1]) <= 0.081 * high
                assert 0.83 <= extent.w / wide <= 1.17
                assert 0 <= place.y - extent.h / 2 <= place.y + extent.h / 2 <= 1
    assert boxes > 20


def test_what_is_here_is_answered_for_the_place(maker: SceneMaker) -> None:
    rng = np.random.default_rng(3)
    kinds = Counter[str]()
    for _ in range(150):
        scene = maker.make(rng)
        pair = this(rng, scene, bool(rng.random() < 0.5))
        if pair is None:
            assert not scene.objects
            continue
        place = pair.references[0]
        assert isinstance(place, Place)
        named = [item for item in scene.objects if _inside(place, item)]
        (answer,) = pair.target
        said = {with_article(item.name).capitalize() for item in named}
        worn = {str(item.colour).capitalize() for item in named if item.painted}
        assert answer in (worn if "colo" in pair.argument else said)
        kinds[pair.task] += 1
    assert min(kinds["query"], kinds["reason"]) > 30


def test_the_mix_decides_what_is_asked(maker: SceneMaker) -> None:
    rng = np.random.default_rng(4)
    plain, whole = Questioner(FIRST_LIGHT, FIRST_MIX), Questioner(FIRST_LIGHT, SEGMENT_MIX)
    first, second = Counter[str](), Counter[str]()
    for _ in range(100):
        scene = maker.make(rng)
        first.update(plain.draw(rng, scene).task for _ in range(8))
        second.update(whole.draw(rng, scene).task for _ in range(8))
    assert set(first) == {"caption", "point", "detect", "query", "reason"}
    assert set(second) == {*first, "segment"}
    assert second["segment"] / second.total() == pytest.approx(0.14, abs=0.05)


def test_colours_that_are_not_there_are_asked_for_too(maker: SceneMaker) -> None:
    rng = np.random.default_rng(5)
    plain, whole = Questioner(FIRST_LIGHT, FIRST_MIX), Questioner(FIRST_LIGHT, SEGMENT_MIX)
    wrong = {id(plain): 0, id(whole): 0}
    for _ in range(400):
        scene = maker.make(rng)
        for questioner in (plain, whole):
            pair = questioner.objects(rng, scene, "point")
            colour, _, name = pair.argument.rpartition(" ")
            if colour:
                assert len(pair.target) == len(_meant(scene, pair))
                wrong[id(questioner)] += bool(scene.named(name)) and not pair.target
    assert wrong[id(plain)] == 0
    assert wrong[id(whole)] > 0
