"""The gaze skill: the prompt, one source, twenty sources, and what they add up to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.engine.models.config import Rules, TokenizerConfig
from dreamscope.engine.models.tokens import CONTROL_IDS, Coord, Size, Text
from dreamscope.engine.skills.base import Budget, Sampling, SkillRequest
from dreamscope.engine.skills.gaze import DRAWS, GazeSkill, Sample, Source, average, draw_places
from dreamscope.engine.skills.outliers import remove_outlier_points

FACE = (0.2, 0.4, 0.3, 0.6)
YES, NO = Text(77), Text(0)


@pytest.fixture
def gaze(byte_tokenizer: Any) -> Any:
    def make(seed: int | None = 1, rules: Rules | None = None, **fields: Any) -> GazeSkill:
        request = SkillRequest("gaze", Sampling(temperature=0.0, seed=seed), **fields)
        ids = dataclasses.replace(TokenizerConfig(), rules=rules or Rules())
        return GazeSkill(request, ids, byte_tokenizer, Budget(1))

    return make


def answer(skill: GazeSkill, targets: Iterable[tuple[int, int] | None]) -> list[Any]:
    """Decide for every source; returns the outcome of its last decision."""
    outcomes = []
    for target in targets:
        assert skill.step().kind == "text"
        outcome = skill.consume(NO if target is None else YES)
        if target is not None:
            assert outcome.feed == ()
            assert skill.step().kind == "coord"
            x = Coord.from_bin(target[0])
            assert skill.consume(x).feed == (x,)
            assert skill.step().kind == "coord"
            outcome = skill.consume(Coord.from_bin(target[1]))
        outcomes.append(outcome)
    return outcomes


def words(text: str) -> list[int]:
    return [CONTROL_IDS + byte for byte in text.encode()]


def test_the_prompt_of_an_eye_is_rounded_to_bfloat16(gaze: Any) -> None:
    prompt = gaze(eye=(0.21, 0.77)).opening()
    x, y = (item for item in prompt if isinstance(item, Coord))
    assert prompt == [*words("\n\nPoint:"), x, y, *words(" gaze\n\n")]
    assert (x.value, y.value) == (0.2099609375, 0.76953125)


def test_a_family_that_points_at_it(gaze: Any) -> None:
    skill = gaze(rules=Rules(gaze_as_point=True, only_objects=True), eye=(0.21, 0.77))
    ids = TokenizerConfig()
    expected = [*ids.point_prefix, Coord(0.21), Coord(0.77), *words(" gaze"), *ids.point_suffix]
    assert skill.opening() == expected
    assert skill.step().allowed == {ids.coord_id, ids.eos_id}


def test_an_eye_is_one_answer(gaze: Any) -> None:
    skill = gaze(eye=(0.5, 0.5))
    assert not SkillRequest("gaze", eye=(0.5, 0.5)).needs_mirror
    (outcome,) = answer(skill, [(512, 256)])
    assert outcome.events == (wire.GazeEvent(request_id="", x=0.5, y=0.25),)
    assert outcome.restart is None
    assert skill.result() == wire.GazeResult(wire.Point(0.5, 0.25))
    assert (skill.finish_reason, skill.output_tokens, skill.max_feed) == ("stop", 2, 1)


def test_nobody_looks_anywhere(gaze: Any) -> None:
    skill = gaze(eye=(0.5, 0.5))
    (outcome,) = answer(skill, [None])
    assert (outcome.events, skill.finish_reason) == ((), "stop")
    assert wire.result_to_json(skill.result()) == {"gaze": None}
    assert wire.result_from_json("gaze", {"gaze": None}) == wire.GazeResult(None)


def test_forcing_skips_the_question_whether_there_is_a_target(gaze: Any) -> None:
    skill = gaze(eye=(0.5, 0.5), force_detect=True)
    skill.consume(NO)
    assert skill.step().kind == "coord"
    assert skill.finish_reason is None


def test_a_face_is_asked_twenty_times_half_of_them_mirrored(gaze: Any) -> None:
    request = SkillRequest("gaze", Sampling(seed=1), face=FACE)
    assert request.needs_mirror
    skill = gaze(face=FACE)
    outcomes = answer(skill, [(512, 256)] * 10 + [(256, 256)] * 10)
    restarts = [outcome.restart for outcome in outcomes[:-1]]
    assert [restart.mirrored for restart in restarts] == [False] * 9 + [True] * 10
    assert outcomes[-1].restart is None
    # ten at 0.5, and ten at 0.25 in the mirror image, which is 0.75
    assert skill.result() == wire.GazeResult(wire.Point(0.625, 0.25))
    assert outcomes[-1].events == (wire.GazeEvent(request_id="", x=0.625, y=0.25),)
    assert all(not outcome.events for outcome in outcomes[:-1])
    assert skill.output_tokens == 40
    for sample, restart in zip(skill.samples[1:], restarts, strict=True):
        x, y = (item.value for item in restart.prompt if isinstance(item, Coord))
        assert (x, y) == pytest.approx((sample.source.x, sample.source.y), abs=2e-3)
        assert len(restart.prompt) == len(skill.opening())


def test_places_lie_in_the_face_and_follow_the_seed(gaze: Any) -> None:
    sources = []
    for _ in range(2):
        skill = gaze(seed=5, face=FACE)
        answer(skill, [None] * 20)
        sources.append([sample.source for sample in skill.samples])
    assert sources[0] == sources[1]
    for source in sources[0]:
        x = 1 - source.x if source.mirrored else source.x
        assert FACE[0] <= x <= FACE[2]
        assert FACE[1] <= source.y <= FACE[3]
    unseeded = [draw_places(SkillRequest("gaze", Sampling(), face=FACE)) for _ in range(2)]
    assert unseeded[0] != unseeded[1]


@pytest.mark.parametrize(("found", "has_result"), [(DRAWS - 1, False), (DRAWS, True)])
def test_half_of_the_sources_must_answer(gaze: Any, found: int, has_result: bool) -> None:
    skill = gaze(face=FACE)
    outcomes = answer(skill, [(100, 100)] * found + [None] * (20 - found))
    assert (skill.result().gaze is not None) is has_result
    assert bool(outcomes[-1].events) is has_result


def test_ending_early_leaves_no_result(gaze: Any) -> None:
    skill = gaze(face=FACE)
    answer(skill, [(100, 100)] * 15)
    assert skill.close("length") == ()
    assert (skill.finish_reason, skill.result().gaze) == ("length", None)
    assert skill.close("stop") == ()
    assert skill.finish_reason == "length"


def test_a_size_is_no_answer(gaze: Any) -> None:
    skill = gaze(eye=(0.5, 0.5))
    skill.consume(YES)
    with pytest.raises(AssertionError):
        skill.consume(Size(0.1, 0.1))


def test_outliers_do_not_count() -> None:
    near = [Sample(Source(0.5, 0.5), wire.Point(0.4 + index / 100, 0.3)) for index in range(10)]
    far = Sample(Source(0.5, 0.5), wire.Point(0.99, 0.99))
    point = average([*near, far])
    assert point is not None
    assert (point.x, point.y) == pytest.approx((0.445, 0.3))


def test_outlier_rule_on_few_points() -> None:
    assert remove_outlier_points([]) == []
    assert remove_outlier_points([(0.1, 0.2)]) == [(0.1, 0.2)]
    pair = [(0.0, 0.0), (1.0, 1.0)]
    assert remove_outlier_points(pair) == pair
    same = [(0.5, 0.5)] * 4
    assert remove_outlier_points([*same, (0.6, 0.5)]) == same
