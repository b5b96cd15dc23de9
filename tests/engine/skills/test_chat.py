"""How a conversation becomes a prompt, in both families, and what the skill makes of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.engine.errors import InvalidParameter, TooManyImages
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.tokens import Picture
from dreamscope.engine.skills.base import Budget, ChatMessage, SkillRequest
from dreamscope.engine.skills.chat import ChatSkill

TWO, THREE = TokenizerConfig(), Moondream3Config().tokenizer
PREFIX, ANSWER, EOS = [1, 15381, 2], 3, 0
SYSTEM = ChatMessage("system", "S")


def chars(text: str) -> list[int]:
    return [21 + byte for byte in text.encode()]


def user(text: str, images: int = 0) -> ChatMessage:
    return ChatMessage("user", text, images)


def said(text: str) -> ChatMessage:
    return ChatMessage("assistant", text)


@pytest.fixture
def chat(byte_tokenizer: Any) -> Any:
    def build(ids: TokenizerConfig, *messages: ChatMessage, reasoning: bool = False) -> ChatSkill:
        request = SkillRequest("chat", messages=messages, reasoning=reasoning)
        return ChatSkill(request, ids, byte_tokenizer, Budget(50))

    return build


def test_turns_follow_each_other_without_an_end(chat: Any) -> None:
    messages = (SYSTEM, user("a"), said("b"), user("c"))
    first, second = [*PREFIX, *chars("S\n\na")], [*PREFIX, *chars("c")]
    assert chat(THREE, *messages).opening() == [*first, ANSWER, *chars("b"), *second, ANSWER]
    assert chat(THREE, *messages, reasoning=True).opening()[-1] == 4
    # Moondream 2 opens every answer with the suffix twice, the given ones too.
    assert chat(TWO, *messages).opening() == [*first, 3, 3, *chars("b"), *second, 3, 3]
    assert chat(TWO, *messages, reasoning=True).opening()[-2:] == [3, 4]


def test_images_come_before_the_text_of_their_message(chat: Any) -> None:
    skill = chat(THREE, user("a", 2), said("b"), user("c", 1), user("d"))
    assert skill.before == [
        *[Picture(0), Picture(1), *PREFIX, *chars("a"), ANSWER, *chars("b")],
        Picture(2),
    ]
    assert skill.opening() == [*PREFIX, *chars("c"), *PREFIX, *chars("d"), ANSWER]
    assert chat(THREE, user("a")).before == []


def test_moondream_2_looks_at_one_image_at_the_beginning(chat: Any) -> None:
    assert chat(TWO, SYSTEM, user("a", 1), said("b"), user("c")).before == [Picture(0)]
    with pytest.raises(TooManyImages, match="2 images"):
        chat(TWO, user("a", 1), user("b", 1))
    for messages in ((user("a"), user("b", 1)), (said("a"), user("b", 1))):
        with pytest.raises(InvalidParameter, match="first message") as caught:
            chat(TWO, *messages)
        assert caught.value.param == "messages"


def test_the_answer_is_decoded_like_a_query(chat: Any, replay: Any) -> None:
    skill = chat(THREE, user("a"), reasoning=True)
    run = replay(skill, [*chars("hm"), ANSWER, *chars("yes"), EOS])
    assert skill.result() == wire.ChatResult("yes", wire.Reasoning("hm"))
    assert run.text(wire.TextDelta) == "yes"
    assert run.text(wire.ReasoningDelta) == "hm"
    assert skill.finish_reason == "stop"


def test_without_reasoning_there_is_none(chat: Any, replay: Any) -> None:
    skill = chat(THREE, user("a"))
    replay(skill, [*chars("yes"), EOS])
    assert wire.result_to_json(skill.result()) == {"answer": "yes"}
