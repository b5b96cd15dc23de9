"""Score a model on freshly generated scenes: `python -m dreamscope.engine.sprite.evaluate [MODEL]`.

The scenes come from a seed that training never uses; answers are decoded greedily by the skills and the loop
of the engine. Every mark is printed with the number of cases behind it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dreamscope.engine import wire
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.registry import find_model
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.sprite.questions import Pair, Questioner
from dreamscope.engine.sprite.recipe import Recipe
from dreamscope.engine.sprite.scenes import Scene, SceneMaker, SceneObject
from dreamscope.engine.sprite.world import BY_NAME
from dreamscope.engine.weights.hub import locate
from dreamscope.engine.weights.load import load_model

T = TypeVar("T")
HELD_OUT_SEED = 990_000
_GREEDY = Sampling(temperature=0.0, max_tokens=160, max_objects=12)

MARKS = {
    "presence": 0.93,
    "point F1 (inside the object)": 0.90,
    "detect F1 @ IoU 0.5": 0.88,
    "count, grounded": 0.85,
    "caption names": 0.90,
}
"""What a shipped Sprite 2 must reach."""


@dataclass(slots=True)
class Tally:
    """Right cases of all cases."""

    right: float = 0.0
    cases: float = 0.0

    def add(self, right: float, cases: float = 1.0) -> None:
        """Count `cases` cases of which `right` were right."""
        self.right += right
        self.cases += cases

    @property
    def share(self) -> float | None:
        """Between 0 and 1; `None` without cases."""
        return self.right / self.cases if self.cases else None


@dataclass(slots=True)
class Scores:
    """Named tallies."""

    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def __getitem__(self, name: str) -> Tally:
        return self.tallies[name]

    def share(self, name: str) -> float | None:
        """The share of a tally, `None` if nothing was counted."""
        return self.tallies[name].share if name in self.tallies else None


class Answerer:
    """Asks a model about one image at a time; the image is encoded once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._prefix: KVCache | None = None

    def look(self, scene: Scene) -> None:
        """Make `scene` the image of the questions that follow."""
        model = self._model
        self._prefix = model.new_cache(model.config.prefix_len)
        model.prefill_image(model.encode_image(model.crop(scene.pixels)), self._prefix)

    def ask(self, skill: str, **fields: object) -> wire.Result:
        """The greedy result of one request about the current image."""
        assert self._prefix is not None
        model = self._model
        request = SkillRequest(skill, _GREEDY, **fields)  # type: ignore[arg-type]
        machine = build_skill(request, model.config.tokenizer, model.tokenizer)
        cache = self._prefix.copy_of_prefix(self._prefix.length, model.config.text.max_context)
        for _ in generate(model, machine, cache, machine.opening(), Sampler(_GREEDY)):
            pass
        return machine.result()


def evaluate(model: Model, recipe: Recipe, scenes: int, seed: int = HELD_OUT_SEED) -> Scores:
    """Scores over `scenes` new scenes of the recipe's world."""
    maker = SceneMaker(recipe.stage(), seed)
    questioner = Questioner(recipe.classes)
    answerer, scores = Answerer(model), Scores()
    for number in range(scenes):
        rng = np.random.default_rng([seed, number])
        scene = maker.make(rng)
        answerer.look(scene)
        _spatial(answerer, questioner, scene, rng, scores)
        _questions(answerer, questioner, scene, rng, scores)
        _caption(answerer, scene, scores)
    return scores


# ---------------------------------------------------------------------------------------- spatial skills


def _spatial(
    answerer: Answerer, questioner: Questioner, scene: Scene, rng: np.random.Generator, scores: Scores
) -> None:
    pair = questioner.objects(rng, scene, "point")
    points = answerer.ask("point", object=pair.argument)
    assert isinstance(points, wire.PointResult)
    wanted = _asked_for(scene, pair.argument)
    _tally(scores, "point", "point F1 (inside the object)", points.points, wanted, _point_inside)
    pair = questioner.objects(rng, scene, "detect")
    boxes = answerer.ask("detect", object=pair.argument)
    assert isinstance(boxes, wire.DetectResult)
    wanted = _asked_for(scene, pair.argument)
    _tally(scores, "detect", "detect F1 @ IoU 0.5", boxes.objects, wanted, _box_matches)


def _tally(
    scores: Scores,
    task: str,
    f1: str,
    made: Sequence[T],
    wanted: Sequence[SceneObject],
    fits: Callable[[T, SceneObject], bool],
) -> None:
    """Marks of an absent object count apart: F1 has nothing to say about them."""
    if not wanted:
        scores[f"{task}: nothing for an absent object"].add(not made)
        return
    hits = match(made, wanted, fits)
    scores[f1].add(2 * hits, len(made) + len(wanted))
    scores[f"{task}: every object, nothing else"].add(hits == len(made) == len(wanted))


def _asked_for(scene: Scene, phrase: str) -> list[SceneObject]:
    """Objects that "dog", "dogs" or "red car" means."""
    *colour, noun = phrase.split(" ")
    return [
        item
        for item in scene.objects
        if noun in (item.name, BY_NAME[item.name].plural) and (not colour or item.colour == colour[0])
    ]


def match(made: Sequence[T], wanted: Sequence[SceneObject], fits: Callable[[T, SceneObject], bool]) -> int:
    """Number of one-to-one hits, first come first served."""
    free = list(wanted)
    for mark in made:
        hit = next((item for item in free if fits(mark, item)), None)
        if hit is not None:
            free.remove(hit)
    return len(wanted) - len(free)


def _point_inside(point: wire.Point, item: SceneObject) -> bool:
    x0, y0, x1, y1 = item.box
    return x0 <= point.x <= x1 and y0 <= point.y <= y1


def _box_matches(box: wire.Box, item: SceneObject) -> bool:
    x0, y0, x1, y1 = item.box
    width = min(x1, box.x_max) - max(x0, box.x_min)
    height = min(y1, box.y_max) - max(y0, box.y_min)
    common = max(0.0, width) * max(0.0, height)
    total = (x1 - x0) * (y1 - y0) + (box.x_max - box.x_min) * (box.y_max - box.y_min) - common
    return common / total >= 0.5


# ----------------------------------------------------------------------------------------------- language


def _questions(
    answerer: Answerer, questioner: Questioner, scene: Scene, rng: np.random.Generator, scores: Scores
) -> None:
    kinds = (
        questioner.count,
        questioner.presence,
        questioner.colour,
        questioner.where,
        questioner.beside,
        questioner.what_group,
    )
    for ask in kinds:
        pair = ask(rng, scene, False)
        if pair is None:
            continue
        for grounded in (False, True):
            result = answerer.ask("query", question=pair.argument, reasoning=grounded)
            assert isinstance(result, wire.QueryResult)
            right = result.answer.strip() == pair.target[0]
            _record(scores, pair, grounded, right)
            if grounded and result.reasoning and pair.kind == "count":
                _spans_inside(scores, scene, result.reasoning)


def _record(scores: Scores, pair: Pair, grounded: bool, right: bool) -> None:
    label = f"{pair.kind}, {'grounded' if grounded else 'direct'}"
    scores[label].add(right)
    if pair.kind == "count" and int(str(pair.target[0])) >= 3:
        scores[f"count of 3 and more, {'grounded' if grounded else 'direct'}"].add(right)
    if pair.kind == "presence" and not grounded:
        scores["presence"].add(right)


def _spans_inside(scores: Scores, scene: Scene, reasoning: wire.Reasoning) -> None:
    """Whether each grounded word points into an object of that name."""
    for ground in reasoning.grounding:
        words = reasoning.text[ground.start_idx : ground.end_idx].split()
        named = scene.named(words[0]) if words else []
        for x, y in ground.points:
            scores["grounded words that point into their object"].add(
                any(_point_inside(wire.Point(x, y), item) for item in named)
            )


def _caption(answerer: Answerer, scene: Scene, scores: Scores) -> None:
    result = answerer.ask("caption", length="normal")
    assert isinstance(result, wire.CaptionResult)
    words = set(re.findall(r"[a-z]+", result.caption.lower()))
    said = {name for name, kind in BY_NAME.items() if words & {name, kind.plural}}
    if scene.names:
        scores["caption names"].add(len(said & set(scene.names)), len(scene.names))
    if said:
        scores["caption names that are true"].add(len(said & set(scene.names)), len(said))


def table(scores: Scores) -> str:
    """The scores as a Markdown table, with the marks beside them."""
    rows = ["| quantity | score | cases | mark |", "| --- | --- | --- | --- |"]
    for name, tally in sorted(scores.tallies.items()):
        share = "–" if tally.share is None else f"{100 * tally.share:.1f} %"
        mark = f"{100 * MARKS[name]:.0f} %" if name in MARKS else ""
        rows.append(f"| {name} | {share} | {tally.cases:.0f} | {mark} |")
    return "\n".join(rows)


def missed(scores: Scores) -> list[str]:
    """Marks that are not reached, and whether grounding helps counting."""
    failures = [f"{name} < {mark}" for name, mark in MARKS.items() if (scores.share(name) or 0) < mark]
    if (scores.share("count, grounded") or 0) <= (scores.share("count, direct") or 0):
        failures.append("count, grounded is not above count, direct")
    return failures


def record(scores: Scores, weights: Path, scenes: int, seed: int) -> dict[str, object]:
    """The scores as JSON, tied to the weights they belong to."""
    return {
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "scenes": scenes,
        "seed": seed,
        "scores": {name: [tally.right, tally.cases] for name, tally in sorted(scores.tallies.items())},
    }


def recorded(data: dict[str, Any]) -> Scores:
    """Inverse of `record`, for the scores alone."""
    scores = Scores()
    for name, (right, cases) in data["scores"].items():
        scores[name].add(right, cases)
    return scores


def main() -> None:
    """Print the table; exit 1 if a mark is missed."""
    parser = argparse.ArgumentParser(description="Score a Sprite on new scenes.")
    parser.add_argument("model", nargs="?", default="sprite-2", help="a model id or directory")
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--save", type=Path, help="also write the scores as JSON to this file")
    arguments = parser.parse_args()
    spec = find_model(arguments.model)
    model = load_model(spec, open_device("cpu", "float32", 1))
    scores = evaluate(model, Recipe(), arguments.scenes, arguments.seed)
    print(f"{spec.id}: {arguments.scenes} new scenes, seed {arguments.seed}\n\n{table(scores)}")
    if arguments.save:
        weights = locate(spec).weights
        facts = record(scores, weights, arguments.scenes, arguments.seed)
        arguments.save.write_text(json.dumps(facts, indent=1) + "\n")
    failures = missed(scores)
    if failures:
        raise SystemExit("Missed: " + "; ".join(failures))


if __name__ == "__main__":
    main()
