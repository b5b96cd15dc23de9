"""An answer under a grammar: where it applies, how it ends, and what happens when the budget is spent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.tokens import Text
from dreamscope.engine.skills.base import Budget, SkillRequest, Step
from dreamscope.engine.skills.query import QuerySkill

ANSWER, EOS = 3, 0


def chars(text: str) -> list[int]:
    return [21 + byte for byte in text.encode()]


class Word:
    """Allows one word, and the end after it and after its first letter."""

    def __init__(self, word: str) -> None:
        self.left = chars(word)
        self.started = False

    def allowed(self) -> NDArray[np.bool_]:
        mask = np.zeros(277, np.bool_)
        mask[self.left[:1]] = True
        mask[EOS] = self.started
        return mask

    def advance(self, token_id: int) -> None:
        assert token_id == self.left.pop(0)
        self.started = True

    @property
    def finished(self) -> bool:
        return not self.left


@pytest.fixture
def query(byte_tokenizer: Any) -> Any:
    def build(
        word: str, *, max_tokens: int = 50, reasoning: bool = False, ids: TokenizerConfig | None = None
    ) -> QuerySkill:
        request = SkillRequest("query", question="q", reasoning=reasoning)
        budget = Budget(max_tokens)
        return QuerySkill(request, ids or TokenizerConfig(), byte_tokenizer, budget, lambda: Word(word))

    return build


def allowed(step: Step) -> list[int]:
    assert step.mask is not None
    return np.flatnonzero(step.mask).tolist()


def test_the_mask_follows_the_text(query: Any) -> None:
    skill = query("ab")
    assert allowed(skill.step()) == chars("a")
    skill.consume(Text(chars("a")[0]))
    assert allowed(skill.step()) == [EOS, *chars("b")]


def test_the_text_ends_with_the_grammar_and_costs_no_further_decision(query: Any, replay: Any) -> None:
    skill = query("ab")
    run = replay(skill, chars("ab"))
    assert skill.finish_reason == "stop"
    assert skill.result() == wire.QueryResult("ab")
    assert run.text(wire.TextDelta) == "ab"
    assert run.fed == chars("a")
    assert skill.output_tokens == 2


def test_the_model_may_end_a_complete_text_earlier(query: Any, replay: Any) -> None:
    skill = query("ab")
    replay(skill, [*chars("a"), EOS])
    assert (skill.finish_reason, skill.result().answer) == ("stop", "a")


def test_a_spent_budget_cuts_the_text(query: Any, replay: Any) -> None:
    skill = query("abc", max_tokens=2)
    replay(skill, chars("ab"))
    assert (skill.finish_reason, skill.result().answer) == ("length", "ab")


def test_the_last_token_of_the_budget_may_complete_it(query: Any, replay: Any) -> None:
    skill = query("ab", max_tokens=2)
    replay(skill, chars("ab"))
    assert skill.finish_reason == "stop"


@pytest.mark.parametrize("ids", [TokenizerConfig(), Moondream3Config().tokenizer], ids=["two", "three"])
def test_the_reasoning_is_free(query: Any, ids: TokenizerConfig) -> None:
    skill = query("ab", reasoning=True, ids=ids)
    for index in (*chars("zz"), ANSWER):
        assert skill.step().mask is None
        skill.consume(Text(index))
    assert allowed(skill.step()) == chars("a")
