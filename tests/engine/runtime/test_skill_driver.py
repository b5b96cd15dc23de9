"""A skill's tokens from a device's decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dreamscope.engine import wire
from dreamscope.engine.devices.runner import Rule
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.tokens import Coord, Size, Text
from dreamscope.engine.runtime.sequence import Odds, Picked
from dreamscope.engine.runtime.skill_driver import SkillDriver
from dreamscope.engine.skills.base import Outcome, Restart, Sampling, SkillRequest, Step
from dreamscope.engine.skills.registry import build_skill

IDS2, IDS3 = Moondream2Config().tokenizer, Moondream3Config().tokenizer
PROMPT = (0, 1, 2)


class Letters:
    """Every id is a letter."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, ids: Any) -> str:
        return "".join(map(chr, ids))


def driver(skill: Any, ids: Any = IDS2, spreads: bool = False) -> SkillDriver:
    if isinstance(skill, SkillRequest):
        skill = build_skill(skill, ids, Letters())
    return SkillDriver(skill, ids, PROMPT, lambda restart: (0, 9, *restart.prompt), 1024, 1024, spreads)


def request(skill: str, **fields: Any) -> SkillRequest:
    return SkillRequest(skill, Sampling(temperature=0.0, max_tokens=8, max_objects=2), **fields)


def picked(id: int, coord: int = 0, size: tuple[int, int] = (0, 0), odds: Odds | None = None) -> Picked:
    return Picked(id, coord, size, None, odds)


def test_any_id_but_the_end_is_another_object_and_its_x_comes_with_it() -> None:
    detect = driver(request("detect", object="cat"))
    assert detect.rule() == Rule(numbers=frozenset({5}), folded=5)
    first = detect.consume(picked(5, coord=256))
    assert first.element == Coord.from_bin(256)
    assert detect.rule() == Rule(allowed=frozenset({5}), numbers=frozenset({5}))
    second = detect.consume(picked(5, coord=512))
    assert [type(event) for event in second.events] == [wire.BoxCenter]
    assert detect.rule() == Rule(allowed=frozenset({6}), numbers=frozenset({6}))
    third = detect.consume(picked(6, size=(900, 950)))
    assert third.element == Size.from_bins(900, 950)
    assert (third.finish, [type(event) for event in third.events]) == (None, [wire.BoxEvent])
    detect.rule()
    assert detect.consume(picked(0)).finish == "stop"


def test_moondream_3_chooses_between_a_place_and_the_end() -> None:
    point = driver(request("point", object="cat"), IDS3)
    assert point.rule() == Rule(allowed=frozenset({0, 5}), numbers=frozenset({5}))


def test_the_marker_that_ends_a_reasoning_opens_the_answer() -> None:
    query = driver(request("query", question="x", reasoning=True))
    assert query.rule() == Rule(numbers=frozenset({5}))
    query.consume(picked(65))
    assert query.rule() == Rule(suppressed=frozenset({0, 6}), numbers=frozenset({5}))
    number = query.consume(picked(5, coord=3))
    assert number.element == Coord.from_bin(3)
    query.rule()
    marker = query.consume(picked(3))
    assert (marker.element, marker.finish, marker.restart) == (3, None, None)
    assert isinstance(marker.events[-1], wire.ReasoningDone)
    assert query.rule() == Rule()


class Scripted:
    """A skill that feeds what it is told to."""

    finish_reason = None

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = iter(outcomes)
        self.took: list[Any] = []

    def step(self) -> Step:
        return Step("text")

    def consume(self, token: Any) -> Outcome:
        self.took.append(token)
        return next(self._outcomes)

    def close(self, reason: str) -> tuple[str, str]:
        return ("closed", reason)


def test_what_does_not_lie_on_the_device_becomes_a_new_prompt() -> None:
    forced = driver(Scripted(Outcome(feed=(7,)), Outcome(feed=(8, 40, 41)), Outcome(feed=(50,))))
    assert forced.consume(picked(7)).restart is None
    assert forced.consume(picked(8)).restart == (*PROMPT, 7, 8, 40, 41)
    assert forced.consume(picked(9)).restart == (*PROMPT, 7, 8, 40, 41, 50)


def test_a_skill_that_begins_again() -> None:
    again = driver(Scripted(Outcome(restart=Restart((5, 6))), Outcome(feed=(1, 2))))
    assert again.consume(picked(7)).restart == (0, 9, 5, 6)
    assert again.consume(picked(1)).restart == (0, 9, 5, 6, 1, 2)


def test_a_grammar_is_handed_over_as_bytes() -> None:
    listed = np.array([True, False, True])
    skill = Scripted()
    skill.step = lambda: Step("text", mask=listed)  # type: ignore[method-assign]
    assert driver(skill).rule() == Rule(mask=b"\1\0\1")


def test_ended_from_outside_a_skill_gives_what_it_held_back() -> None:
    assert driver(Scripted()).close("cancelled") == ("closed", "length")


@pytest.mark.parametrize("spreads", [False, True])
def test_odds_reach_the_skill_only_if_the_request_wants_them(spreads: bool) -> None:
    logits = np.zeros((1, 1024), np.float32)
    odds = Odds(0.25, logits[0], np.tile(logits, (2, 1)))
    skill = Scripted(Outcome(feed=(7,)))
    driver(skill, spreads=spreads).consume(picked(7, odds=odds))
    assert skill.took == [Text(7)]
    assert skill.took[0].probability == (0.25 if spreads else None)
    point = driver(request("point", object="cat"), spreads=spreads)
    point.rule()
    spread = point.consume(picked(5, coord=100, odds=odds)).element.spread
    assert (spread is not None) == spreads
    if spreads:
        assert spread.p == pytest.approx(1 / 1024)
