"""Pairs that outline an object, and pairs whose prompt refers to a place instead of naming an object."""

from __future__ import annotations

import numpy as np

from dreamscope.engine.sprite.outline import outline, path_words
from dreamscope.engine.sprite.pairs import Extent, Item, Pair, Path, Place, Rng, answer_pair, pick, span
from dreamscope.engine.sprite.scenes import Scene, SceneObject
from dreamscope.engine.sprite.world import with_article

_ABSENT = 0.07
_CLEAR = 0.8
"""A point reference must lie where the object covers the picture at least this much."""


def segment(rng: Rng, scene: Scene, classes: tuple[str, ...]) -> Pair | None:
    """Outline one object: the one referred to, or the leftmost of the name.

    A third of the prompts refer to a point on the object, a sixth to its box; nothing follows for what is
    absent.
    """
    if rng.random() < _ABSENT:
        missing = pick(rng, *(name for name in classes if name not in scene.names))
        return Pair("segment", missing, (), kind="segment-absent")
    if not scene.objects:
        return None
    item = scene.objects[int(rng.integers(len(scene.objects)))]
    phrase = item.name
    if item.painted and rng.random() < 0.4:
        phrase = f"{item.colour} {item.name}"
    references, kind = refer(rng, scene, item) if rng.random() < 0.5 else ((), "segment")
    if not references:
        item = next(
            other for other in scene.named(item.name) if phrase == item.name or other.colour == item.colour
        )
    return Pair("segment", phrase, drawing(item), kind=kind, references=references)


def drawing(item: SceneObject) -> tuple[Item, ...]:
    """Centre, size and path of an object."""
    x0, y0, x1, y1 = item.box
    path = Path(path_words(outline(item.name, item.style, item.flip)))
    return (Place(*item.center), Extent(x1 - x0, y1 - y0), path)


def refer(rng: Rng, scene: Scene, item: SceneObject) -> tuple[tuple[Place | Extent, ...], str]:
    """A point on the object that nothing drawn later hides, or its box roughly, and the kind of the pair."""
    if rng.random() < 2 / 3 and (place := _visible_point(rng, scene, item)):
        return (place,), "segment, point"
    x0, y0, x1, y1 = item.box
    wide, high = x1 - x0, y1 - y0
    edges = np.array([x0, y0, x1, y1]) + rng.uniform(-0.08, 0.08, 4) * (wide, high, wide, high)
    left, top, right, bottom = (float(edge) for edge in edges.clip(0, 1))
    return (Place((left + right) / 2, (top + bottom) / 2), Extent(right - left, bottom - top)), "segment, box"


def _visible_point(rng: Rng, scene: Scene, item: SceneObject) -> Place | None:
    side = scene.pixels.shape[0]
    left, top = item.origin
    rows, columns = np.nonzero(item.alpha > _CLEAR)
    for index in rng.integers(len(rows), size=4) if len(rows) else ():
        x = (left + columns[index] + 0.5) / side
        y = (top + rows[index] + 0.5) / side
        if not any(other is not item and _inside(x, y, other) for other in scene.objects):
            return Place(float(x), float(y))
    return None


def _inside(x: float, y: float, item: SceneObject) -> bool:
    return item.box[0] <= x <= item.box[2] and item.box[1] <= y <= item.box[3]


def this(rng: Rng, scene: Scene, grounded: bool) -> Pair | None:
    """What is at the place referred to; for a painted object now and then its colour."""
    if not scene.objects:
        return None
    item = scene.objects[int(rng.integers(len(scene.objects)))]
    references, _ = refer(rng, scene, item)
    if item.painted and rng.random() < 0.4:
        question = pick(rng, "What color is this?", "What colour is it?", "Which color does this have?")
        reasoning: list[Item] = ["The", span(item, item.name), f" is {item.colour}."]
        return answer_pair(question, str(item.colour).capitalize(), reasoning, grounded, "this", references)
    question = pick(rng, "What is this?", "What is that?", "What is here?", "What do you see here?")
    answer = with_article(item.name).capitalize()
    return answer_pair(question, answer, ["I find", span(item, item.name), "."], grounded, "this", references)
