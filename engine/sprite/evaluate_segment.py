"""Scores of what Moondream 3 does beyond Moondream 2: outlines, and prompts that refer to a place."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from dreamscope.engine import wire
from dreamscope.engine.sprite.answerer import Answerer
from dreamscope.engine.sprite.matching import box_matches
from dreamscope.engine.sprite.pairs import Extent, Place, Rng, pick
from dreamscope.engine.sprite.references import refer
from dreamscope.engine.sprite.scenes import Scene, SceneObject
from dreamscope.engine.sprite.scores import Scores
from dreamscope.engine.sprite.world import BY_NAME, COLOURS, with_article

_FINE = 4
"""Points per pixel and side when a path is filled."""


def segment_scores(
    answerer: Answerer, scene: Scene, classes: tuple[str, ...], rng: Rng, scores: Scores
) -> None:
    """Outline by name, by point and by box; what is at a place; colours that are not there."""
    _by_name(answerer, scene, scores)
    _by_place(answerer, scene, rng, scores)
    _what_is_here(answerer, scene, rng, scores)
    _absent(answerer, scene, classes, rng, scores)


def path_mask(result: wire.SegmentResult, side: int) -> np.ndarray:
    """Boolean [side, side]: the filled path in its box; nothing where there is no path or no box."""
    if not result.path or result.bbox is None:
        return np.zeros((side, side), bool)
    box, fine = result.bbox, side * _FINE
    canvas = Image.new("1", (fine, fine))
    for shape in _shapes(result.path):
        corners = [
            (
                (box.x_min + x * (box.x_max - box.x_min)) * fine - 0.5,
                (box.y_min + y * (box.y_max - box.y_min)) * fine - 0.5,
            )
            for x, y in shape
        ]
        if len(corners) > 2:
            ImageDraw.Draw(canvas).polygon(corners, fill=1)
    covered = np.asarray(canvas, np.float32).reshape(side, _FINE, side, _FINE).mean((1, 3))
    inside: np.ndarray = covered > 0.5
    return inside


def _shapes(path: str) -> list[list[tuple[float, float]]]:
    """Corners of a path of absolute lines; one with any other command has no shape that counts."""
    shapes: list[list[tuple[float, float]]] = []
    numbers: list[float] = []
    for word in [*path.split(), "Z"]:
        if word not in ("M", "L", "Z", "z"):
            if word.isalpha():
                return []
            numbers.append(float(word))
            continue
        if shapes:
            shapes[-1] += zip(numbers[::2], numbers[1::2], strict=True)
        numbers = []
        if word == "M":
            shapes.append([])
    return shapes


def iou(result: wire.SegmentResult, scene: Scene, item: SceneObject) -> float:
    """Intersection over union of the filled path and the opaque pixels of the object."""
    drawn = path_mask(result, scene.pixels.shape[0])
    opaque = scene.mask(scene.objects.index(item))
    return float((drawn & opaque).sum() / (drawn | opaque).sum())


def _ask(answerer: Answerer, name: str, refs: tuple[tuple[float, ...], ...] = ()) -> wire.SegmentResult:
    result = answerer.ask("segment", object=name, spatial_refs=refs)
    assert isinstance(result, wire.SegmentResult)
    return result


def _by_name(answerer: Answerer, scene: Scene, scores: Scores) -> None:
    """Every object that is alone of its class."""
    for name in scene.names:
        items = scene.named(name)
        if len(items) == 1:
            result = _ask(answerer, name)
            scores["segment mIoU"].add(iou(result, scene, items[0]))
            scores["segment: a path that can be read"].add(bool(result.path) and result.parse_error is None)


def _by_place(answerer: Answerer, scene: Scene, rng: Rng, scores: Scores) -> None:
    """One object of every class that occurs more than once."""
    for name in scene.names:
        items = scene.named(name)
        if len(items) < 2:
            continue
        item = items[int(rng.integers(len(items)))]
        references, kind = refer(rng, scene, item)
        result = _ask(answerer, name, (_reference(references),))
        right = result.bbox is not None and box_matches(result.bbox, item)
        scores[f"{kind}: the right one of several"].add(right)
        scores[f"{kind}, mIoU"].add(iou(result, scene, item))


def _reference(items: tuple[Place | Extent, ...]) -> tuple[float, ...]:
    """The form of a request: a point, or the corners of a box."""
    place, *extents = items
    assert isinstance(place, Place)
    if not extents:
        return place.x, place.y
    (extent,) = extents
    assert isinstance(extent, Extent)
    wide, high = extent.w / 2, extent.h / 2
    return place.x - wide, place.y - high, place.x + wide, place.y + high


def _what_is_here(answerer: Answerer, scene: Scene, rng: Rng, scores: Scores) -> None:
    if not scene.objects:
        return
    item = scene.objects[int(rng.integers(len(scene.objects)))]
    refs = (_reference(refer(rng, scene, item)[0]),)
    for grounded in (False, True):
        result = answerer.ask("query", question="What is this?", spatial_refs=refs, reasoning=grounded)
        assert isinstance(result, wire.QueryResult)
        right = result.answer.strip() == with_article(item.name).capitalize()
        scores[f"what is here, {'grounded' if grounded else 'direct'}"].add(right)


def _absent(answerer: Answerer, scene: Scene, classes: tuple[str, ...], rng: Rng, scores: Scores) -> None:
    missing = pick(rng, *(name for name in classes if name not in scene.names))
    scores["segment: nothing for an absent object"].add(not _ask(answerer, missing).path)
    painted = [name for name in scene.names if BY_NAME[name].recolour]
    if painted:
        name = pick(rng, *painted)
        worn = {item.colour for item in scene.named(name)}
        colour = pick(rng, *(other for other in COLOURS if other not in worn))
        points = answerer.ask("point", object=f"{colour} {name}")
        assert isinstance(points, wire.PointResult)
        scores["point: nothing in a colour that is not there"].add(not points.points)
