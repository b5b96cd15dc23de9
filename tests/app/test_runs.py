from __future__ import annotations

import pytest

from dreamscope.app import words
from dreamscope.app.runs import Invalid, field_of, parse_ask
from dreamscope.engine.wire import ErrorInfo


@pytest.mark.parametrize("skill", ["query", "point", "detect"])
@pytest.mark.parametrize("prompt", ["", "   ", None])
def test_a_prompt_is_needed(skill, prompt):
    with pytest.raises(Invalid) as error:
        parse_ask({"skill": skill, "question": prompt, "object": prompt})
    assert (error.value.field, error.value.text) == ("prompt", words.PROMPT_MISSING[skill])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("temperature", "3", "Temperature must be a number from 0 to 2."),
        ("temperature", "?", "Temperature must be a number from 0 to 2."),
        ("top_p", "0", "Top-p must be a number from 0.01 to 1."),
        ("max_tokens", "1.5", "Max tokens must be a whole number from 1 to 2048."),
        ("seed", "-1", "Seed must be a whole number from 0 to 2147483647."),
    ],
)
def test_settings_out_of_range_name_field_and_range(name, value, text):
    with pytest.raises(Invalid) as error:
        parse_ask({"skill": "query", "question": "x", "settings": {name: value}})
    assert (error.value.field, error.value.text) == (name, text)


def test_settings_of_another_skill_are_refused():
    with pytest.raises(Invalid, match="max_objects"):
        parse_ask({"skill": "query", "question": "x", "settings": {"max_objects": "3"}})


def test_only_what_the_skill_uses_is_sent():
    message = {"skill": "caption", "question": "x", "object": "y", "length": "long", "reasoning": True}
    create = parse_ask(message).create
    assert (create.question, create.object, create.length, create.reasoning) == (None, None, "long", None)
    create = parse_ask({"skill": "point", "object": " dog ", "width": "wide"}).create
    assert (create.object, create.question, create.settings) == ("dog", None, None)


def test_caption_length_is_checked():
    with pytest.raises(Invalid, match="short, normal, long"):
        parse_ask({"skill": "caption", "length": "endless"})


@pytest.mark.parametrize(
    ("param", "code", "field"),
    [
        ("settings.top_p", "invalid_parameter", "top_p"),
        ("temperature", "invalid_parameter", "temperature"),
        ("question", "invalid_parameter", "prompt"),
        (None, "context_length_exceeded", "prompt"),
        ("image_id", "image_unknown", "image"),
        (None, "image_decode_failed", "image"),
        (None, "queue_full", None),
        ("model", "model_not_found", None),
    ],
)
def test_engine_errors_find_their_field(param, code, field):
    assert field_of(ErrorInfo("x", "t", code, param)) == field
