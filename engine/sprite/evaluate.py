"""Score models on freshly generated scenes: `python -m dreamscope.engine.sprite.evaluate [MODEL ...]`.

The scenes come from a seed that training never uses; answers are decoded greedily by the skills and the loop
of the engine. Every mark is printed with the number of cases behind it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from dreamscope.engine import wire
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.moondream3.model import Moondream3
from dreamscope.engine.models.registry import find_model
from dreamscope.engine.sprite.answerer import Answerer
from dreamscope.engine.sprite.evaluate_segment import segment_scores
from dreamscope.engine.sprite.matching import box_matches, match, point_inside
from dreamscope.engine.sprite.pairs import Pair
from dreamscope.engine.sprite.questions import Questioner
from dreamscope.engine.sprite.recipe import SPRITE_2, Recipe
from dreamscope.engine.sprite.scenes import Scene, SceneMaker, SceneObject
from dreamscope.engine.sprite.scores import MARKS, SEGMENT_MARKS, Scores, missed, record, table
from dreamscope.engine.sprite.world import BY_NAME
from dreamscope.engine.weights.hub import locate
from dreamscope.engine.weights.load import load_model

T = TypeVar("T")
HELD_OUT_SEED = 990_000


def evaluate(model: Model, recipe: Recipe, scenes: int, seed: int = HELD_OUT_SEED) -> Scores:
    """Scores over `scenes` new scenes of the recipe's world; with outlines if the model makes them."""
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
        if outlines(model):
            segment_scores(answerer, scene, recipe.classes, rng, scores)
    return scores


def outlines(model: Model) -> bool:
    """Whether the family has the segment skill."""
    return isinstance(model, Moondream3)


# ---------------------------------------------------------------------------------------- spatial skills


def _spatial(
    answerer: Answerer, questioner: Questioner, scene: Scene, rng: np.random.Generator, scores: Scores
) -> None:
    pair = questioner.objects(rng, scene, "point")
    points = answerer.ask("point", object=pair.argument)
    assert isinstance(points, wire.PointResult)
    wanted = _asked_for(scene, pair.argument)
    _tally(scores, "point", "point F1 (inside the object)", points.points, wanted, point_inside)
    pair = questioner.objects(rng, scene, "detect")
    boxes = answerer.ask("detect", object=pair.argument)
    assert isinstance(boxes, wire.DetectResult)
    wanted = _asked_for(scene, pair.argument)
    _tally(scores, "detect", "detect F1 @ IoU 0.5", boxes.objects, wanted, box_matches)


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
                any(point_inside(wire.Point(x, y), item) for item in named)
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


def score_model(name: str, scenes: int, seed: int) -> tuple[Scores, list[str], Path]:
    """Scores of a model id or directory, the marks it missed, and the file of its weights."""
    spec = find_model(name)
    model = load_model(spec, open_device("cpu", "float32", 1))
    scores = evaluate(model, SPRITE_2, scenes, seed)  # all Sprites know one world
    return scores, missed(scores, SEGMENT_MARKS if outlines(model) else MARKS), locate(spec).weights


def main() -> None:
    """Print the table; exit 1 if a mark is missed."""
    parser = argparse.ArgumentParser(description="Score Sprites on new scenes.")
    parser.add_argument(
        "models", nargs="*", default=["sprite-2", "sprite-3"], help="model ids or directories"
    )
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--save", type=Path, help="also write the scores of a single model as JSON")
    arguments = parser.parse_args()
    if arguments.save and len(arguments.models) > 1:
        parser.error("--save takes the scores of one model.")
    columns, failures = {}, []
    for name in arguments.models:
        columns[name], marks_missed, weights = score_model(name, arguments.scenes, arguments.seed)
        failures += [f"{name}: {failure}" for failure in marks_missed]
    print(f"{arguments.scenes} new scenes, seed {arguments.seed}\n\n{table(columns, SEGMENT_MARKS)}")
    if arguments.save:
        facts = record(columns[arguments.models[0]], weights, arguments.scenes, arguments.seed)
        arguments.save.write_text(json.dumps(facts, indent=1) + "\n")
    if failures:
        raise SystemExit("Missed: " + "; ".join(failures))


if __name__ == "__main__":
    main()
