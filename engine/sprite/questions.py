"""Question and answer pairs about a scene, short and deterministic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from dreamscope.engine.sprite.mix import FIRST_MIX, Mix
from dreamscope.engine.sprite.pairs import Extent, Item, Pair, Place, Rng, answer_pair, pick, span, spans
from dreamscope.engine.sprite.references import segment, this
from dreamscope.engine.sprite.scenes import Scene, SceneObject
from dreamscope.engine.sprite.world import (
    BY_NAME,
    COLOUR_WORDS,
    COLOURS,
    NUMBER_WORDS,
    Kind,
    cell_name,
    with_article,
)

Maker = Callable[[np.random.Generator, Scene, bool], Pair | None]
T = TypeVar("T")


def _kind(name: str) -> Kind:
    return BY_NAME[name]


def _absent(rng: Rng, scene: Scene, classes: tuple[str, ...]) -> str:
    missing = [name for name in classes if name not in scene.names]
    return pick(rng, *missing)


def _present_balanced(rng: Rng, scene: Scene) -> str | None:
    """A class of the scene, drawn so that each count is equally likely."""
    counts = {name: len(scene.named(name)) for name in scene.names}
    if not counts:
        return None
    wanted = int(rng.choice(sorted(set(counts.values()))))
    return pick(rng, *(name for name, count in counts.items() if count == wanted))


class Questioner:
    """Draws pairs about scenes of a world with the given classes."""

    def __init__(self, classes: tuple[str, ...], mix: Mix = FIRST_MIX) -> None:
        self.classes = classes
        self._mix = mix
        tasks: dict[str, Callable[[Rng, Scene], Pair | None]] = {
            "caption": self.caption,
            "point": lambda rng, scene: self.objects(rng, scene, "point"),
            "detect": lambda rng, scene: self.objects(rng, scene, "detect"),
            "segment": lambda rng, scene: segment(rng, scene, classes),
            "query": self.query,
        }
        queries: dict[str, Maker] = {
            "count": self.count,
            "presence": self.presence,
            "colour": self.colour,
            "where": self.where,
            "beside": self.beside,
            "what_group": self.what_group,
            "total": self.total,
            "this": this,
        }
        self._tasks = [(share, tasks[name]) for name, share in mix.tasks.items()]
        self._queries = [(share, queries[name]) for name, share in mix.queries.items()]

    def draw(self, rng: Rng, scene: Scene) -> Pair:
        """One pair of a random task; tasks that the scene does not allow are redrawn."""
        while True:
            pair = _weighted(rng, self._tasks)(rng, scene)
            if pair is not None:
                return pair

    def query(self, rng: Rng, scene: Scene) -> Pair | None:
        """A question of a random kind, grounded in the mix's share of the cases."""
        return _weighted(rng, self._queries)(rng, scene, bool(rng.random() < self._mix.grounded))

    # ------------------------------------------------------------------------------------ spatial skills

    def objects(self, rng: Rng, scene: Scene, task: str) -> Pair:
        """Point at or detect every object of a class, sometimes with its colour; absent in 15 %."""
        name = _present_balanced(rng, scene)
        if name is None or rng.random() < 0.15:
            name = _absent(rng, scene, self.classes)
        found, phrase = scene.named(name), name
        if found and any(item.painted for item in found) and rng.random() < 0.4:
            colour = found[int(rng.integers(len(found)))].colour
            if self._mix.wrong_colour and rng.random() < self._mix.wrong_colour:
                worn = {item.colour for item in found}
                colour = pick(rng, *(other for other in COLOURS if other not in worn))
            found, phrase = [item for item in found if item.colour == colour], f"{colour} {name}"
        elif rng.random() < 0.4:
            phrase = _kind(name).plural
        target: list[Item] = []
        for item in found:
            target.append(Place(*item.center))
            if task == "detect":
                x0, y0, x1, y1 = item.box
                target.append(Extent(x1 - x0, y1 - y0))
        return Pair(task, phrase, tuple(target), kind=task if found else f"{task}-absent")

    def caption(self, rng: Rng, scene: Scene) -> Pair:
        """Short, normal or long caption."""
        length = pick(rng, "short", "short", "short", "normal", "normal", "normal", "long")
        return Pair("caption", length, (caption(scene, length),), kind=f"caption-{length}")

    # --------------------------------------------------------------------------------------------- query

    def count(self, rng: Rng, scene: Scene, grounded: bool) -> Pair | None:
        """How many of a class; 15 % absent."""
        name = _present_balanced(rng, scene)
        if name is None or rng.random() < 0.15:
            name = _absent(rng, scene, self.classes)
        found, plural = scene.named(name), _kind(name).plural
        question = pick(
            rng,
            f"How many {plural} are there?",
            f"How many {plural} are there?",
            f"How many {plural} are in the image?",
            f"How many {plural} are in the picture?",
            f"How many {plural} do you see?",
            f"How many {plural} can you see?",
            f"Count the {plural}.",
            f"What is the number of {plural}?",
        )
        reasoning: list[Item] = ["I find", *spans(found), "."] if found else [f"I find no {plural}."]
        return answer_pair(question, str(len(found)), reasoning, grounded, "count")

    def presence(self, rng: Rng, scene: Scene, grounded: bool) -> Pair | None:
        """Is there a …; half absent."""
        present = bool(scene.names) and rng.random() < 0.5
        name = pick(rng, *scene.names) if present else _absent(rng, scene, self.classes)
        plural = _kind(name).plural
        question = pick(
            rng,
            f"Is there {with_article(name)}?",
            f"Is there {with_article(name)} in the image?",
            f"Is there {with_article(name)} in the picture?",
            f"Do you see {with_article(name)}?",
            f"Can you see {with_article(name)}?",
            f"Are there any {plural}?",
        )
        reasoning: list[Item] = (
            ["I find", *spans(scene.named(name)), "."] if present else [f"I find no {plural}."]
        )
        return answer_pair(question, "Yes" if present else "No", reasoning, grounded, "presence")

    def colour(self, rng: Rng, scene: Scene, grounded: bool) -> Pair | None:
        """What colour is a single object; only painted classes, natural colours would be answered by rote."""
        single = [items[0] for name in scene.names if len(items := scene.named(name)) == 1]
        painted = [item for item in single if item.painted]
        if not painted:
            return None
        item = painted[int(rng.integers(len(painted)))]
        assert item.colour in COLOUR_WORDS
        question = pick(
            rng,
            f"What color is the {item.name}?",
            f"What is the color of the {item.name}?",
            f"What colour is the {item.name}?",
            f"Which color does the {item.name} have?",
        )
        reasoning: list[Item] = ["The", span(item, item.name), f" is {item.colour}."]
        return answer_pair(question, str(item.colour).capitalize(), reasoning, grounded, "colour")

    def where(self, rng: Rng, scene: Scene, grounded: bool) -> Pair | None:
        """Where is a single object, as one of nine cells."""
        single = [items[0] for name in scene.names if len(items := scene.named(name)) == 1]
        if not single:
            return None
        item = single[int(rng.integers(len(single)))]
        cell = cell_name(*item.center)
        question = pick(
            rng,
            f"Where is the {item.name}?",
            f"Where is the {item.name} in the image?",
            f"Where in the picture is the {item.name}?",
            f"Where can I find the {item.name}?",
        )
        reasoning: list[Item] = ["I find the", span(item, item.name), f" at the {cell}."]
        return answer_pair(question, f"At the {cell}.", reasoning, grounded, "where")

    def beside(self, rng: Rng, scene: Scene, grounded: bool) -> Pair | None:
        """What is left of, right of, above or below a single object: the nearest in the 90° sector."""
        single = [items[0] for name in scene.names if len(items := scene.named(name)) == 1]
        if not single:
            return None
        item = single[int(rng.integers(len(single)))]
        words, axis, sign = _DIRECTIONS[int(rng.integers(4))]
        near = _sector(scene, item, axis, sign)
        if near is None or (not near and rng.random() < 0.75):
            return None
        question = pick(
            rng,
            f"What is {words} the {item.name}?",
            f"What do you see {words} the {item.name}?",
            f"Which object is {words} the {item.name}?",
        )
        start = words[0].upper() + words[1:]
        tail: list[Item] = [f". {start} it is nothing."]
        if near:
            tail = [f". {start} it is the", span(near[0], near[0].name), "."]
        reasoning: list[Item] = ["I find the", span(item, item.name), *tail]
        answer = with_article(near[0].name).capitalize() if near else "Nothing"
        return answer_pair(question, answer, reasoning, grounded, "relation")

    def what_group(self, rng: Rng, scene: Scene, grounded: bool) -> Pair | None:
        """Which animals, foods, vehicles or objects are there."""
        group = pick(rng, "animals", "foods", "vehicles", "objects", "objects")
        names = [n for n in scene.names if group == "objects" or _kind(n).group == group]
        if not names:
            return None
        question = pick(
            rng,
            f"What {group} are there?",
            f"What {group} are in the image?",
            f"Which {group} do you see?",
            f"What {group} can you see?",
        )
        reasoning: list[Item] = ["I find"]
        for number, name in enumerate(names):
            reasoning += ([","] if number else []) + spans(scene.named(name))
        answer = _join([_plural(name, len(scene.named(name))) for name in names])
        return answer_pair(question, _sentence(answer), [*reasoning, "."], grounded, "what")

    def total(self, rng: Rng, scene: Scene, grounded: bool) -> Pair | None:
        """How many objects in all."""
        question = pick(
            rng,
            "How many objects are there?",
            "How many objects are in the image?",
            "How many things do you see?",
        )
        reasoning: list[Item] = ["I find"]
        for number, item in enumerate(scene.objects, 1):
            reasoning += ([","] if number > 1 else []) + [span(item, f"{item.name} {number}")]
        if not scene.objects:
            reasoning = ["I find no objects"]
        return answer_pair(question, str(len(scene.objects)), [*reasoning, "."], grounded, "total")


_DIRECTIONS = (
    ("to the left of", 0, -1),
    ("to the right of", 0, 1),
    ("above", 1, -1),
    ("below", 1, 1),
)


def _sector(scene: Scene, item: SceneObject, axis: int, sign: int) -> list[SceneObject] | None:
    """[nearest object] in the sector, [] if it is empty, None if two classes are about equally near."""
    found: list[tuple[float, SceneObject]] = []
    for other in scene.objects:
        if other is item:
            continue
        delta = (other.center[0] - item.center[0], other.center[1] - item.center[1])
        if sign * delta[axis] > abs(delta[1 - axis]) + 1e-9:  # on the diagonal, rounding must not decide
            found.append((delta[0] ** 2 + delta[1] ** 2, other))
    if not found:
        return []
    found.sort(key=lambda pair: pair[0])
    nearest = found[0][1]
    rivals = [distance for distance, other in found if other.name != nearest.name]
    return None if rivals and rivals[0] < 1.4 * found[0][0] else [nearest]


def _weighted(rng: Rng, choices: list[tuple[float, T]]) -> T:
    weights = np.array([weight for weight, _ in choices])
    return choices[int(rng.choice(len(choices), p=weights / weights.sum()))][1]


def _plural(name: str, count: int) -> str:
    return with_article(name) if count == 1 else f"{NUMBER_WORDS[count].lower()} {_kind(name).plural}"


def _join(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def caption(scene: Scene, length: str) -> str:
    """Caption of a length: names, counts and colours; from "normal" the background, from "long" places."""
    groups: dict[str, int] = {}
    for item in scene.objects:
        phrase = f"{item.colour} {item.name}" if item.painted else item.name
        groups[phrase] = groups.get(phrase, 0) + 1
    phrases = []
    for phrase, count in groups.items():
        *colour, name = phrase.split(" ")
        many = " ".join([NUMBER_WORDS[count].lower(), *colour, _kind(name).plural])
        phrases.append(with_article(phrase) if count == 1 else many)
    listing = _join(phrases) if phrases else "nothing"
    if length == "short":
        return _sentence(listing)
    text = f"The image shows {listing} on {scene.background}."
    if length == "long":
        single = [items[0] for name in scene.names if len(items := scene.named(name)) == 1]
        for item in single[:3]:
            text += f" The {item.name} is at the {cell_name(*item.center)}."
    return text
