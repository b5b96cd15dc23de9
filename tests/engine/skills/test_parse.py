"""Validation of requests: what is accepted, and what each refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.skills.base import Sampling
from dreamscope.engine.skills.parse import MAX_PROMPT_CHARS, parse_request


def parse(skill: str = "query", **fields: Any) -> Any:
    defaults: dict[str, Any] = {"image_id": "i"}
    if skill == "query":
        defaults["question"] = "How many?"
    if skill in ("point", "detect"):
        defaults["object"] = "dog"
    return parse_request(wire.RequestCreate(request_id="r", skill=skill, **{**defaults, **fields}))


def refused(error: type, param: str, *words: str, **fields: Any) -> None:
    with pytest.raises(error) as caught:
        parse(**fields)
    assert caught.value.param == param
    for word in words:
        assert word in caught.value.message


def test_defaults() -> None:
    query = parse(question="  How many? \n")
    assert query.question == "How many?"
    assert query.sampling == Sampling(0.2, 0.9, 768, 150, None)
    assert not query.reasoning
    assert parse("caption").length == "normal"
    point = parse("point")
    assert (point.sampling.temperature, point.sampling.top_p) == (0.0, 1.0)
    assert parse(image_id=None).question  # a question needs no image


def test_fields_of_other_skills_are_ignored() -> None:
    caption = parse("caption", question="x", object="y", reasoning=True)
    assert (caption.question, caption.object, caption.reasoning) == ("", "", False)


def test_settings() -> None:
    given = {"temperature": 1, "topP": 0.5, "maxTokens": 20.0, "max_objects": 7, "seed": 4}
    sampling = parse(settings=given).sampling
    assert sampling == Sampling(1.0, 0.5, 20, 7, 4)
    assert isinstance(sampling.max_tokens, int)
    assert parse(settings={"top_p": None}).sampling == Sampling()
    assert parse("detect", settings={"temperature": 0.5}).sampling.temperature == 0.5


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", True),
        ("temperature", "0.5"),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", 10**400),
        ("top_p", 0),
        ("top_p", 1.01),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", [1]),
        ("max_objects", 1001),
        ("max_objects", {}),
        ("seed", -1),
        ("seed", 2**63),
    ],
)
def test_settings_out_of_range(key: str, value: Any) -> None:
    refused(errors.InvalidParameter, key, key, "at", settings={key: value})


def test_unknown_setting_names_the_allowed_ones() -> None:
    refused(errors.InvalidParameter, "temprature", "temperature", "max_objects", settings={"temprature": 1})


def test_setting_under_two_spellings() -> None:
    refused(errors.InvalidParameter, "max_tokens", "twice", settings={"maxTokens": 5, "max_tokens": 6})


def test_skills() -> None:
    refused(errors.UnsupportedSkill, "skill", "dance", "query", "detect", skill="dance")
    create = wire.RequestCreate(request_id="r", skill="point", object="x", image_id="i")
    with pytest.raises(errors.UnsupportedSkill, match="it has query, caption"):
        parse_request(create, skills=("query", "caption"))
    reasoning = wire.RequestCreate(request_id="r", skill="reasoning", question="x")
    with pytest.raises(errors.UnsupportedSkill):
        parse_request(reasoning, skills=("query", "reasoning"))


@pytest.mark.parametrize("blank", [None, "", " \n\t"])
def test_missing_text(blank: str | None) -> None:
    refused(errors.MissingParameter, "question", question=blank)
    refused(errors.MissingParameter, "object", skill="point", object=blank)
    refused(errors.MissingParameter, "object", skill="detect", object=blank)


def test_over_long_text() -> None:
    long = "x" * (MAX_PROMPT_CHARS + 1)
    refused(errors.ContextLengthExceeded, "question", "8,001", "8,000", question=long)
    refused(errors.ContextLengthExceeded, "object", "8,001", skill="detect", object=long)
    assert len(parse(question="x" * MAX_PROMPT_CHARS).question) == MAX_PROMPT_CHARS


@pytest.mark.parametrize("skill", ["caption", "point", "detect"])
def test_image_needed(skill: str) -> None:
    refused(errors.MissingParameter, "image_url", skill, skill=skill, image_id=None)


def test_two_images() -> None:
    refused(errors.InvalidParameter, "image_id", "not both", image_url="data:")


def test_caption_length() -> None:
    assert parse("caption", length="long").length == "long"
    refused(errors.InvalidParameter, "length", "short, normal, long", skill="caption", length="tiny")


def test_spatial_refs() -> None:
    refs = ((0.0, 1.0), (0.1, 0.2, 0.1, 0.9))
    assert parse(spatial_refs=refs).spatial_refs == refs
    assert parse("point", spatial_refs=refs).spatial_refs == refs
    assert parse("caption", spatial_refs=()).spatial_refs == ()


@pytest.mark.parametrize(
    "ref", [(), (0.5,), (0.1, 0.2, 0.3), (1.1, 0.5), (-0.1, 0.5), (0.5, 0.1, 0.4, 0.2), (0.1, 0.5, 0.2, 0.4)]
)
def test_bad_spatial_refs(ref: tuple[float, ...]) -> None:
    refused(errors.InvalidParameter, "spatial_refs", "[1]", spatial_refs=((0.5, 0.5), ref))


def test_spatial_refs_where_they_make_no_sense() -> None:
    refs = ((0.5, 0.5),)
    refused(errors.InvalidParameter, "spatial_refs", "image", spatial_refs=refs, image_id=None)
    for skill in ("caption", "detect"):
        refused(errors.UnsupportedParameter, "spatial_refs", skill, skill=skill, spatial_refs=refs)
