"""The presets that come with the package."""

from __future__ import annotations

import pytest

from dreamscope.engine import wire
from dreamscope.engine.errors import InvalidParameter
from dreamscope.engine.skills.answer_format import TYPES
from dreamscope.engine.skills.parse import parse_request
from dreamscope.engine.skills.presets import apply_preset, catalogue, with_instruction


def create(skill: str = "query", **fields: object) -> wire.RequestCreate:
    return wire.RequestCreate(request_id="r", skill=skill, image_id="i", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", catalogue().presets, ids=lambda preset: preset.id)
def test_every_preset_is_a_valid_request(preset: wire.Preset) -> None:
    parsed = parse_request(apply_preset(create(preset.skill, preset=preset.id)))
    assert preset.question is not None
    assert parsed.question.startswith(preset.question)
    wants_json = (preset.response_format or {}).get("type") == "json_schema"
    assert (parsed.schema is not None) == wants_json


def test_names_are_unique() -> None:
    ids = [preset.id for preset in catalogue().presets]
    assert len(set(ids)) == len(ids) >= 6


def test_what_the_request_says_itself_wins() -> None:
    filled = apply_preset(create(preset="tags", question="Which animals?", reasoning=True))
    assert (filled.question, filled.reasoning, filled.preset) == ("Which animals?", True, None)
    assert filled.response_format == catalogue().find("tags").response_format
    assert apply_preset(create(preset="tags", response_format={"type": "csv"})).response_format == {
        "type": "csv"
    }


def test_no_preset_changes_nothing() -> None:
    plain = create(question="Why?")
    assert apply_preset(plain) is plain


def test_an_unknown_preset_is_told_which_there_are() -> None:
    with pytest.raises(InvalidParameter) as caught:
        apply_preset(create(preset="poem"))
    assert caught.value.param == "preset"
    assert "'poem'" in caught.value.message
    assert all(preset.id in caught.value.message for preset in catalogue().presets)


def test_a_preset_belongs_to_a_skill() -> None:
    with pytest.raises(InvalidParameter) as caught:
        apply_preset(create("caption", preset="tags"))
    assert caught.value.param == "preset"
    assert "query" in caught.value.message


def test_every_form_of_answer_but_text_is_asked_for() -> None:
    assert set(catalogue().formats) == set(TYPES) - {"text"}
    assert with_instruction("What is it?", "text") == "What is it?"
    asked = with_instruction("What is it?", "markdown")
    assert asked.startswith("What is it?\n\n")
    assert "Markdown" in asked
    assert with_instruction("", "csv") == catalogue().formats["csv"]
