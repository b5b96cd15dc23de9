from __future__ import annotations

import pytest

from dreamscope.app import words
from dreamscope.app.asks import Invalid, field_of, parse_ask, parse_compare
from dreamscope.engine.wire import Box, ErrorInfo


@pytest.mark.parametrize("skill", ["query", "point", "detect", "segment"])
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
        ("model", "model_not_found", "model"),
        ("spatial_refs", "invalid_parameter", "refs"),
        ("spatial_refs[1]", "invalid_parameter", "refs"),
        ("face", "invalid_parameter", "refs"),
        ("response_format.schema", "invalid_schema", "schema"),
    ],
)
def test_engine_errors_find_their_field(param, code, field):
    assert field_of(ErrorInfo("x", "t", code, param)) == field


def test_the_page_always_asks_for_uncertainty():
    assert parse_ask({"skill": "caption", "length": "short"}).create.uncertainty is True


def test_references_go_with_the_skills_that_take_them():
    message = {"question": "x", "object": "dog", "refs": [[0.1, 0.2], [0, 0.25, 1, 0.75]]}
    for skill in ("query", "point", "segment"):
        create = parse_ask({**message, "skill": skill}).create
        assert create.spatial_refs == ((0.1, 0.2), (0.0, 0.25, 1.0, 0.75))
    assert parse_ask({**message, "skill": "detect"}).create.spatial_refs is None
    assert parse_ask({**message, "skill": "query", "refs": []}).create.spatial_refs is None


@pytest.mark.parametrize(
    "refs", ["x", [[0.1]], [[0.1, 1.2]], [[0.1, True]], [[0.5, 0.1, 0.4, 0.2]], [[0.1, float("nan")]], [None]]
)
def test_strange_references_are_refused(refs):
    with pytest.raises(Invalid) as error:
        parse_ask({"skill": "query", "question": "x", "refs": refs})
    assert (error.value.field, error.value.text) == ("refs", words.REFERENCE_STRANGE)


def test_gaze_starts_from_an_eye_or_a_face():
    eye = parse_ask({"skill": "gaze", "eye": [0.3, 0.4], "force": True}).create
    assert (eye.eye, eye.face, eye.force_detect) == ((0.3, 0.4), None, True)
    face = parse_ask({"skill": "gaze", "face": [0.1, 0.2, 0.3, 0.4]}).create
    assert (face.eye, face.face, face.force_detect) == (None, Box(0.1, 0.2, 0.3, 0.4), None)
    with pytest.raises(Invalid) as error:
        parse_ask({"skill": "gaze"})
    assert (error.value.field, error.value.text) == ("refs", words.GAZE_SOURCE_MISSING)


@pytest.mark.parametrize(
    ("format", "sent"),
    [("text", None), ("json", "json_object"), ("xml", "xml"), ("markdown", "markdown"), ("csv", "csv")],
)
def test_formats_have_the_engines_names(format, sent):
    ask = parse_ask({"skill": "query", "question": "x", "format": format})
    assert ask.create.response_format == (sent and {"type": sent})
    assert ask.format == (sent or "text")


def test_a_schema_is_sent_as_an_object():
    message = {"skill": "query", "question": "x", "format": "schema", "schema": '{"type": "object"}'}
    ask = parse_ask(message)
    assert ask.create.response_format == {"type": "json_schema", "schema": {"type": "object"}}
    assert ask.format == "json_schema"


@pytest.mark.parametrize(
    ("schema", "said"), [("{", "not JSON"), (None, "not JSON"), ("[]", "is an object"), ("3", "is an object")]
)
def test_a_schema_that_is_none_is_named(schema, said):
    with pytest.raises(Invalid, match=said) as error:
        parse_ask({"skill": "query", "question": "x", "format": "schema", "schema": schema})
    assert error.value.field == "schema"


def test_model_variant_and_preset_are_passed_on():
    message = {"skill": "query", "question": "x", "model": "sprite-3", "variant": "a@1", "preset": "tags"}
    create = parse_ask(message).create
    assert (create.model, create.variant, create.preset) == ("sprite-3", "a@1", "tags")
    assert parse_ask({**message, "skill": "caption", "length": "long"}).create.preset is None


def test_several_objects_become_a_request_each():
    ask = parse_ask({"skill": "detect", "objects": [" dog", "red car "], "column": "2", "model": "sprite-2"})
    assert [create.object for create in ask.creates] == ["dog", "red car"]
    assert {create.model for create in ask.creates} == {"sprite-2"}
    assert [create.request_id for create in ask.creates] == [f"{ask.id}.0", f"{ask.id}.1"]
    assert ask.column == "2"


@pytest.mark.parametrize(
    ("message", "seeded"),
    [
        ({"skill": "query", "question": "x"}, True),
        ({"skill": "query", "question": "x", "settings": {"temperature": "0"}}, False),
        ({"skill": "detect", "object": "x"}, False),
        ({"skill": "detect", "object": "x", "settings": {"temperature": "0.3"}}, True),
        ({"skill": "segment", "object": "x", "settings": {"temperature": "0.0"}}, False),
        ({"skill": "gaze", "face": [0, 0, 1, 1]}, True),
    ],
)
def test_what_is_drawn_by_chance_has_a_seed(message, seeded):
    assert ("seed" in (parse_ask(message).create.settings or {})) is seeded


def test_a_seed_that_is_given_stays():
    message = {"skill": "query", "question": "x", "settings": {"seed": "0"}}
    assert parse_ask(message).create.settings == {"seed": 0}
    assert parse_ask({"skill": "caption"}, seed=9).create.settings == {"seed": 9}


def test_all_parts_have_the_same_seed():
    message = {"skill": "point", "objects": ["a", "b"], "settings": {"temperature": "1"}}
    first, second = parse_ask(message).creates
    assert first.settings == second.settings


def test_columns_of_a_comparison_share_a_seed():
    columns = [{"column": column, "skill": "caption"} for column in ("0", "3")]
    first, second = parse_compare({"columns": columns})
    assert first.create.settings == second.create.settings
    assert first.id != second.id


@pytest.mark.parametrize("column", ["4", 0, None, ["main"], {}])
def test_an_unknown_column_is_named(column):
    with pytest.raises(Invalid, match="main, 0, 1, 2, 3"):
        parse_ask({"skill": "caption", "column": column})


def test_what_is_invalid_names_its_column():
    with pytest.raises(Invalid) as error:
        parse_ask({"skill": "query", "column": "1"})
    assert (error.value.field, error.value.column) == ("prompt", "1")
