from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from dreamscope.engine import wire
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.sprite.evaluate import evaluate
from dreamscope.engine.sprite.evaluate_segment import iou, path_mask
from dreamscope.engine.sprite.export import export
from dreamscope.engine.sprite.initial import initial_weights
from dreamscope.engine.sprite.outline import outline, path_words
from dreamscope.engine.sprite.recipe import Recipe
from dreamscope.engine.sprite.scenes import SceneMaker
from dreamscope.engine.sprite.scores import MARKS, SEGMENT_MARKS, Scores, missed, table
from dreamscope.engine.weights.load import load_model

BOX = wire.Box(0.25, 0.5, 0.75, 1.0)


def test_a_path_fills_its_box() -> None:
    mask = path_mask(wire.SegmentResult("M 0 0 L 1 0 1 1 0 1 Z", BOX), 40)
    wanted = np.zeros((40, 40), bool)
    wanted[20:, 10:30] = True
    assert (mask == wanted).all()


def test_a_triangle_covers_half_of_it() -> None:
    mask = path_mask(wire.SegmentResult("M 0 0 L 1 0 L 0 1 Z", BOX), 80)
    assert mask[40:, 20:60].mean() == pytest.approx(0.5, abs=0.03)
    assert not mask[:40].any()


@pytest.mark.parametrize(
    "result",
    [
        wire.SegmentResult("", BOX),
        wire.SegmentResult("M 0 0 L 1 1 Z", BOX),
        wire.SegmentResult("M 0 0 L 1 0 1 1 Z"),
        wire.SegmentResult("M 0 0 C 1 0 1 1 0 1 Z", BOX),
        wire.SegmentResult("", BOX, parse_error="Unexpected SVG token 'x'"),
    ],
)
def test_what_is_no_outline_covers_nothing(result: wire.SegmentResult) -> None:
    assert not path_mask(result, 20).any()


def test_the_outline_of_a_sprite_covers_it_in_the_scene(maker: SceneMaker) -> None:
    """Mirrored, stretched and small: the path is still the one of its sprite."""
    rng = np.random.default_rng(8)
    found = []
    for _ in range(40):
        scene = maker.make(rng)
        for item in scene.objects:
            words = [word.strip() for word in path_words(outline(item.name, item.style, item.flip))]
            path = " ".join(word if word.isalpha() else f"{int(word) / 960:.3f}" for word in words)
            found.append(iou(wire.SegmentResult(path, wire.Box(*item.box)), scene, item))
    assert np.mean(found) > 0.87
    assert min(found) > 0.5


def test_marks_of_outlines_are_held_beside_the_others() -> None:
    scores = Scores()
    for name in MARKS:
        scores[name].add(99, 100)
    scores["count, direct"].add(50, 100)
    assert missed(scores) == []
    assert missed(scores, SEGMENT_MARKS) == ["segment mIoU < 0.72"]
    scores["segment mIoU"].add(80, 100)
    assert missed(scores, SEGMENT_MARKS) == []
    columns = {"one": scores, "other": Scores()}
    assert "| quantity | one | other | mark |" in table(columns, SEGMENT_MARKS)
    assert "| segment mIoU | 80.0 % (100) | – | 72 % |" in table(columns, SEGMENT_MARKS)
    assert "| segment mIoU | 80.0 % (100) | – |  |" in table(columns, MARKS)


@pytest.mark.parametrize("outlining", [False, True])
def test_a_model_is_asked_for_what_its_family_can_do(
    outlining: bool,
    recipe: Recipe,
    recipe3: Recipe,
    raw_tokenizer: tokenizers.Tokenizer,
    raw_tokenizer3: tokenizers.Tokenizer,
    tmp_path: Path,
) -> None:
    """A model that knows nothing: its answers are wrong, but every question is put."""
    asked, tokenizer = (recipe3, raw_tokenizer3) if outlining else (recipe, raw_tokenizer)
    sizes = dataclasses.replace(asked.sizes, context=64)  # what knows no end stops soon
    export(initial_weights(sizes, 0), sizes, tokenizer, tmp_path)
    model = load_model(tmp_path, open_device("cpu", "float32", 1))
    names = set(evaluate(model, asked, scenes=2, seed=12).tallies)
    assert {"presence", "count, direct", "count, grounded", "caption names"} <= names
    outlines = {"segment: nothing for an absent object", "segment mIoU", "what is here, direct"}
    assert names & outlines == (outlines if outlining else set())
