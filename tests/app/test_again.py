"""What a run asked, as a message that asks it again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dreamscope.app.again import message_of
from dreamscope.app.asks import parse_ask


@pytest.mark.parametrize(
    "message",
    [
        {"skill": "query", "question": "How many?", "reasoning": True, "settings": {"seed": "5"}},
        {"skill": "query", "question": "How many?", "format": "csv", "preset": "dogs"},
        {"skill": "query", "question": "x", "format": "schema", "schema": '{"type": "object"}'},
        {"skill": "query", "question": "x", "refs": [[0.5, 0.25], [0, 0, 1, 1]], "model": "sprite-2"},
        {"skill": "caption", "length": "long", "variant": "dogs@20"},
        {"skill": "point", "object": "dog", "settings": {"temperature": "0.5", "max_objects": "7"}},
        {"skill": "detect", "objects": ["dog", "cat"], "settings": {"top_p": "0.5"}},
        {"skill": "gaze", "eye": [0.5, 0.25], "force": True},
        {"skill": "gaze", "face": [0.1, 0.2, 0.3, 0.4]},
    ],
)
def test_the_message_asks_for_the_same(message):
    ask = parse_ask(message)
    again = parse_ask(message_of(ask.creates))
    assert again.id != ask.id
    assert [_without_id(create) for create in again.creates] == [_without_id(c) for c in ask.creates]


def test_what_says_nothing_is_left_out():
    assert message_of(parse_ask({"skill": "point", "object": "dog"}).creates) == {
        "skill": "point",
        "object": "dog",
    }


def _without_id(create):
    return replace(create, request_id="")
