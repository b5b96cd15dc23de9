"""What training writes is what the engine's skills read: they are driven with encoded pairs as decisions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.engine.models.moondream2.config import Moondream2Config, TokenizerConfig
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, PromptItem, Size, Text, Token
from dreamscope.engine.skills.base import Skill, SkillRequest
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.sprite.conventions import MOONDREAM3
from dreamscope.engine.sprite.mix import SEGMENT_MIX
from dreamscope.engine.sprite.pairs import Extent, Item, Pair, Path, Place, Span
from dreamscope.engine.sprite.questions import Questioner
from dreamscope.engine.sprite.recipe import SPRITE_3, Sizes
from dreamscope.engine.sprite.scenes import SceneMaker
from dreamscope.engine.sprite.vocabulary import (
    COORD,
    DRAWN,
    EOS,
    FORCED,
    SIZE,
    PairEncoder,
    Tokens,
    templates,
)
from dreamscope.engine.sprite.world import FIRST_LIGHT


@dataclass(frozen=True)
class World:
    """One family's questions, how training writes them and how the engine reads them."""

    questioner: Questioner
    encoder: PairEncoder
    ids: TokenizerConfig
    tokenizer: Tokenizer
    steps: int


@pytest.fixture(scope="session")
def first(raw_tokenizer: tokenizers.Tokenizer, encoder: PairEncoder, tokenizer: Tokenizer) -> World:
    """Sprite 2."""
    ids = Moondream2Config.from_dict(Sizes().config(templates(raw_tokenizer))).tokenizer
    return World(Questioner(FIRST_LIGHT), encoder, ids, tokenizer, 1024)


@pytest.fixture(scope="session")
def second(raw_tokenizer3: tokenizers.Tokenizer, encoder3: PairEncoder, tokenizer3: Tokenizer) -> World:
    """Sprite 3."""
    ids = Moondream3Config.from_dict(SPRITE_3.sizes.config(templates(raw_tokenizer3, MOONDREAM3))).tokenizer
    return World(Questioner(FIRST_LIGHT, SEGMENT_MIX), encoder3, ids, tokenizer3, 1023)


@pytest.fixture(params=["first", "second"])
def world(request: pytest.FixtureRequest) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


@dataclass
class Reading:
    """A skill after it was driven, and everything that the engine would have fed."""

    skill: Skill
    opening: list[PromptItem]
    fed: list[PromptItem]


def _request(pair: Pair) -> SkillRequest:
    refs = (_reference(pair.references),) if pair.references else ()
    if pair.task in ("query", "reason"):
        reasoned = pair.task == "reason"
        return SkillRequest("query", question=pair.argument, reasoning=reasoned, spatial_refs=refs)
    if pair.task == "caption":
        return SkillRequest("caption", length=pair.argument)
    return SkillRequest(pair.task, object=pair.argument, spatial_refs=refs)


def _reference(items: tuple[Place | Extent, ...]) -> tuple[float, ...]:
    place = items[0]
    assert isinstance(place, Place)
    if len(items) == 1:
        return place.x, place.y
    extent = items[1]
    assert isinstance(extent, Extent)
    w, h = extent.w / 2, extent.h / 2
    return place.x - w, place.y - h, place.x + w, place.y + h


def _read(skill: Skill, tokens: Tokens, steps: int) -> Reading:
    """Answer each decision of the skill with the next training token."""
    reading = Reading(skill, skill.opening(), [])
    at = len(reading.opening)
    while skill.finish_reason is None:
        step, token = skill.step(), tokens.ids[at]
        decided: Token
        if step.kind == "text":
            assert token not in step.suppressed
            decided = Text(token)
            at += token not in (COORD, SIZE)  # a number is read where its marker was predicted
        elif step.kind == "coord":
            assert token == COORD
            decided = Coord.from_bin(tokens.value[at], steps)
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
    return abs(found - wanted) <= 0.5 / 1023 + 1e-7


def _compare(pair: Pair, result: wire.Result) -> None:
    if isinstance(result, wire.CaptionResult):
        assert result.caption == _text(pair.target)
    elif isinstance(result, wire.QueryResult):
        assert result.answer == _text(pair.target)
        assert (result.reasoning is None) == (pair.task == "query")
        if result.reasoning:
            _compare_reasoning(pair, result.reasoning)
    elif isinstance(result, wire.SegmentResult):
        _compare_outline(pair, result)
    elif isinstance(result, wire.PointResult):
        assert result.count == len(result.points) == len(pair.target)
        for point, place in zip(result.points, pair.target, strict=True):
            assert isinstance(place, Place)
            assert _near(point.x, place.x)
            assert _near(point.y, place.y)
    else:
        assert isinstance(result, wire.DetectResult)
        _compare_boxes(pair, result.objects)


def _compare_outline(pair: Pair, result: wire.SegmentResult) -> None:
    assert result.parse_error is None
    if not pair.target:
        assert (result.path, result.bbox) == ("", None)
        return
    *box, path = pair.target
    assert isinstance(path, Path)
    assert result.bbox is not None
    _compare_boxes(dataclasses.replace(pair, target=tuple(box)), (result.bbox,))
    found = [word if word in "MLZ" else str(round(960 * float(word))) for word in result.path.split()]
    wanted = [word.strip() for word in path.words]
    assert [word for word in found if not word.isdigit()] == ["M", "L", "Z"]
    for mine, word in zip(found, wanted, strict=True):
        assert mine == word if word in "MLZ" else abs(int(mine) - int(word)) <= 1


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
            slack = 0.5 / 1023 + 0.5 * 0.0035 * size + 1e-6
            assert low == pytest.approx(max(0, centre - size / 2), abs=slack)
            assert high == pytest.approx(min(1, centre + size / 2), abs=slack)


def _check(pair: Pair, world: World) -> Tokens:
    tokens = world.encoder(pair)
    reading = _read(build_skill(_request(pair), world.ids, world.tokenizer), tokens, world.steps)
    assert reading.skill.finish_reason == "stop"
    prompt = len(reading.opening)
    opening = _ids(reading.opening)
    assert tokens.ids[:prompt] == opening
    assert tokens.ids == [*opening, *_ids(reading.fed), EOS]
    assert tokens.weight[:prompt] == [0.0] * prompt
    assert set(tokens.weight[prompt:]) <= {1.0, FORCED, DRAWN}
    _compare(pair, reading.skill.result())
    return tokens


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 2**32))
def test_the_skills_read_every_pair(maker: SceneMaker, first: World, second: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = maker.make(rng)
    for world in (first, second):
        for _ in range(8):
            _check(world.questioner.draw(rng, scene), world)


def test_a_grounded_answer_token_by_token(world: World) -> None:
    pair = Pair("reason", "How many dogs are there?", ("1",), ("I find", Span(Place(0.25, 0.5), " dog"), "."))
    tokens = _check(pair, world)
    word = world.tokenizer.encode
    question = word("How many dogs are there?")
    reasoning = [*word("I find"), 7, 5, 5, *word(" dog"), 9, *word(".")]
    opener = [3, 4] if world.steps == 1024 else [4]
    assert tokens.ids == [1, *word("query"), 2, *question, *opener, *reasoning, 3, *word("1"), 0]
    x = tokens.ids.index(COORD)
    assert tokens.value[x : x + 2] == [256, 512]
    assert tokens.weight[x - 1 : x + 4] == [1.0, FORCED, FORCED, 1.0, FORCED]


def test_boxes_token_by_token(world: World) -> None:
    pair = Pair(
        "detect", "red car", (Place(0.5, 0.125), Extent(1 / 32, 1.0), Place(0.75, 0.25), Extent(1.0, 1.0))
    )
    tokens = _check(pair, world)
    word = world.tokenizer.encode
    prompt = [1, *word("detect"), 2, *word(" red car"), 3]
    assert tokens.ids == [*prompt, 5, 5, 6, 5, 5, 6, 0]
    right = 768 if world.steps == 1024 else 767
    assert tokens.value[len(prompt) :] == [512, 128, 0, right, 256, 0, 0]
    assert tokens.size[len(prompt) + 2] == (512, 1023)
    assert tokens.weight[len(prompt) :] == [1.0, FORCED, FORCED, 1.0, FORCED, FORCED, 1.0]


def test_a_direct_answer_follows_one_marker_or_two(first: World, second: World) -> None:
    pair = Pair("query", "Is there a cat?", ("No",))
    question = first.tokenizer.encode("?")
    for world, markers in ((first, [3, 3]), (second, [3])):
        assert world.encoder(pair).ids[-4:] == [*question, *markers, *first.tokenizer.encode("No"), 0][-4:]


def test_an_outline_token_by_token(second: World) -> None:
    path = Path((" M", " 20", " 0", " L", " 960", " 480", " 0", " 960", " Z"))
    pair = Pair(
        "segment",
        "dog",
        (Place(0.5, 0.5), Extent(0.25, 0.5), path),
        references=(Place(0.25, 1.0), Extent(0.5, 1 / 32)),
    )
    tokens = _check(pair, second)
    word = second.tokenizer.encode
    drawn = [index for step in path.words for index in word(step)]
    assert len(drawn) == len(path.words)  # every number is one token
    assert tokens.ids == [1, *word("segment"), 2, 5, 5, 6, *word("dog"), 3, 5, 5, 6, *drawn, 0]
    where = 1 + len(word("segment")) + 1
    assert tokens.value[where : where + 2] == [256, 1023]
    assert tokens.size[where + 2] == (921, 512)
    assert tokens.weight[-1 - len(drawn) :] == [*[DRAWN] * len(drawn), 1.0]
