"""What training writes is what the engine's skills read: they are driven with encoded pairs as decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.engine.models.moondream2.config import Moondream2Config, TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, PromptItem, Size, Text, Token
from dreamscope.engine.skills.base import Skill, SkillRequest
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.sprite.questions import Extent, Item, Pair, Place, Questioner, Span
from dreamscope.engine.sprite.recipe import Sizes
from dreamscope.engine.sprite.scenes import SceneMaker
from dreamscope.engine.sprite.vocabulary import COORD, EOS, FORCED, SIZE, PairEncoder, Tokens, templates
from dreamscope.engine.sprite.world import FIRST_LIGHT

QUESTIONER = Questioner(FIRST_LIGHT)


@pytest.fixture(scope="session")
def ids(raw_tokenizer: tokenizers.Tokenizer) -> TokenizerConfig:
    return Moondream2Config.from_dict(Sizes().config(templates(raw_tokenizer))).tokenizer


@dataclass
class Reading:
    """A skill after it was driven, and everything that the engine would have fed."""

    skill: Skill
    opening: list[PromptItem]
    fed: list[PromptItem]


def _request(pair: Pair) -> SkillRequest:
    if pair.task in ("query", "reason"):
        return SkillRequest("query", question=pair.argument, reasoning=pair.task == "reason")
    if pair.task == "caption":
        return SkillRequest("caption", length=pair.argument)
    return SkillRequest(pair.task, object=pair.argument)


def _read(skill: Skill, tokens: Tokens) -> Reading:
    """Answer each decision of the skill with the next training token."""
    reading = Reading(skill, skill.opening(), [])
    at = len(reading.opening)
    while skill.finish_reason is None:
        step, token = skill.step(), tokens.ids[at]
        decided: Token
        if step.kind == "text":
            assert token not in step.suppressed
            decided = Text(token)
            at += token != COORD  # the coordinate is read where its marker was predicted
        elif step.kind == "coord":
            assert token == COORD
            decided = Coord.from_bin(tokens.value[at])
            at += 1
        else:
            assert token == SIZE
            decided = Size.from_bins(*tokens.size[at])
            at += 1
        reading.fed += skill.consume(decided).feed
    assert at == len(tokens.ids)
    return reading


def _ids(items: list[PromptItem]) -> list[int]:
    return [COORD if isinstance(item, Coord) else SIZE if isinstance(item, Size) else item for item in items]


def _text(items: tuple[Item, ...]) -> str:
    return "".join(
        item if isinstance(item, str) else item.text for item in items if isinstance(item, (str, Span))
    )


def _near(found: float, wanted: float) -> bool:
    return abs(found - wanted) <= 0.5 / 1024 + 1e-9


def _compare(pair: Pair, result: wire.Result) -> None:
    if isinstance(result, wire.CaptionResult):
        assert result.caption == _text(pair.target)
    elif isinstance(result, wire.QueryResult):
        assert result.answer == _text(pair.target)
        assert (result.reasoning is None) == (pair.task == "query")
        if result.reasoning:
            _compare_reasoning(pair, result.reasoning)
    elif isinstance(result, wire.PointResult):
        assert result.count == len(result.points) == len(pair.target)
        for point, place in zip(result.points, pair.target, strict=True):
            assert isinstance(place, Place)
            assert _near(point.x, place.x)
            assert _near(point.y, place.y)
    else:
        _compare_boxes(pair, result.objects)


def _compare_reasoning(pair: Pair, reasoning: wire.Reasoning) -> None:
    assert reasoning.text == _text(pair.reasoning)
    spans = [item for item in pair.reasoning if isinstance(item, Span)]
    assert len(reasoning.grounding) == len(spans)
    for ground, span in zip(reasoning.grounding, spans, strict=True):
        assert reasoning.text[ground.start_idx : ground.end_idx] == span.text
        ((x, y),) = ground.points
        assert _near(x, span.place.x)
        assert _near(y, span.place.y)


def _compare_boxes(pair: Pair, boxes: tuple[wire.Box, ...]) -> None:
    assert 2 * len(boxes) == len(pair.target)
    for box, place, extent in zip(boxes, pair.target[::2], pair.target[1::2], strict=True):
        assert isinstance(place, Place)
        assert isinstance(extent, Extent)
        # Half a bin of the centre, and half a logarithmic bin (0.34 %) of the size on either side.
        for low, high, centre, size in (
            (box.x_min, box.x_max, place.x, extent.w),
            (box.y_min, box.y_max, place.y, extent.h),
        ):
            slack = 0.5 / 1024 + 0.5 * 0.0035 * size + 1e-6
            assert low == pytest.approx(max(0, centre - size / 2), abs=slack)
            assert high == pytest.approx(min(1, centre + size / 2), abs=slack)


def _check(pair: Pair, encoder: PairEncoder, ids: TokenizerConfig, tokenizer: Tokenizer) -> Tokens:
    tokens = encoder(pair)
    reading = _read(build_skill(_request(pair), ids, tokenizer), tokens)
    assert reading.skill.finish_reason == "stop"
    prompt = len(reading.opening)
    assert tokens.ids[:prompt] == reading.opening
    assert tokens.ids == [*reading.opening, *_ids(reading.fed), EOS]
    assert tokens.weight[:prompt] == [0.0] * prompt
    assert set(tokens.weight[prompt:]) <= {1.0, FORCED}
    _compare(pair, reading.skill.result())
    return tokens


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 2**32))
def test_the_skills_read_every_pair(
    maker: SceneMaker, encoder: PairEncoder, ids: TokenizerConfig, tokenizer: Tokenizer, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scene = maker.make(rng)
    for _ in range(8):
        _check(QUESTIONER.draw(rng, scene), encoder, ids, tokenizer)


def test_a_grounded_answer_token_by_token(
    encoder: PairEncoder, ids: TokenizerConfig, tokenizer: Tokenizer
) -> None:
    pair = Pair("reason", "How many dogs are there?", ("1",), ("I find", Span(Place(0.25, 0.5), " dog"), "."))
    tokens = _check(pair, encoder, ids, tokenizer)
    word = tokenizer.encode
    question = word("How many dogs are there?")
    reasoning = [*word("I find"), 7, 5, 5, *word(" dog"), 9, *word(".")]
    assert tokens.ids == [1, *word("query"), 2, *question, 3, 4, *reasoning, 3, *word("1"), 0]
    x = tokens.ids.index(COORD)
    assert tokens.value[x : x + 2] == [256, 512]
    assert tokens.weight[x - 1 : x + 4] == [1.0, FORCED, FORCED, 1.0, FORCED]


def test_boxes_token_by_token(encoder: PairEncoder, ids: TokenizerConfig, tokenizer: Tokenizer) -> None:
    pair = Pair(
        "detect", "red car", (Place(0.5, 0.125), Extent(1 / 32, 1.0), Place(0.75, 0.25), Extent(1.0, 1.0))
    )
    tokens = _check(pair, encoder, ids, tokenizer)
    prompt = [1, *tokenizer.encode("detect"), 2, *tokenizer.encode(" red car"), 3]
    assert tokens.ids == [*prompt, 5, 5, 6, 5, 5, 6, 0]
    assert tokens.value[len(prompt) :] == [512, 128, 0, 768, 256, 0, 0]
    assert tokens.size[len(prompt) + 2] == (512, 1023)
    assert tokens.weight[len(prompt) :] == [1.0, FORCED, FORCED, 1.0, FORCED, FORCED, 1.0]


def test_a_direct_answer_follows_a_doubled_marker(encoder: PairEncoder, tokenizer: Tokenizer) -> None:
    tokens = encoder(Pair("query", "Is there a cat?", ("No",)))
    assert tokens.ids[-4:] == [3, 3, *tokenizer.encode("No"), 0]
