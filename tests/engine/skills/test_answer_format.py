"""What a response_format may say, and what each refusal tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dreamscope.engine.errors import (
    InvalidParameter,
    InvalidRequest,
    MissingParameter,
    UnsupportedParameter,
)
from dreamscope.engine.skills.answer_format import (
    ANY_OBJECT,
    MAX_DEPTH,
    MAX_SCHEMA_CHARS,
    TYPES,
    AnswerFormat,
    parse_format,
)

COUNT = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}


def refused(error: type[InvalidRequest], given: Any, *words: str) -> None:
    with pytest.raises(error) as caught:
        parse_format(given)
    assert caught.value.param == "response_format"
    for word in words:
        assert word in caught.value.message


def test_types() -> None:
    assert parse_format(None) == AnswerFormat("text", None)
    for kind in ("text", "markdown", "xml", "csv"):
        assert parse_format({"type": kind}) == AnswerFormat(kind, None)
    assert parse_format({"type": "json_object"}) == AnswerFormat("json_object", ANY_OBJECT)


def test_a_schema_in_both_places() -> None:
    plain = parse_format({"type": "json_schema", "schema": COUNT})
    nested = parse_format(
        {"type": "json_schema", "json_schema": {"name": "count", "schema": COUNT, "strict": True}}
    )
    assert plain == nested
    assert plain.schema is not None
    assert json.loads(plain.schema) == COUNT


def test_annotations_are_left_out_but_names_like_them_are_not() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A thing",
        "type": "object",
        "properties": {"title": {"type": "string", "description": "What it is called"}},
        "additionalProperties": False,
    }
    parsed = parse_format({"type": "json_schema", "schema": schema}).schema
    assert parsed is not None
    assert json.loads(parsed) == {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "additionalProperties": False,
    }


def test_unknown_types() -> None:
    refused(MissingParameter, {}, "type", *TYPES)
    refused(InvalidParameter, {"type": "yaml"}, "'yaml'", *TYPES)
    refused(InvalidParameter, {"type": 7}, "7")


def test_misplaced_schemas() -> None:
    refused(MissingParameter, {"type": "json_schema"}, "schema")
    refused(MissingParameter, {"type": "json_schema", "json_schema": {"name": "x"}}, "schema")
    refused(InvalidParameter, {"type": "json_schema", "json_schema": 3}, "object")
    refused(InvalidParameter, {"type": "json_schema", "schema": [1]}, "object")
    both = {"type": "json_schema", "schema": COUNT, "json_schema": {"schema": COUNT}}
    refused(InvalidParameter, both, "two")
    refused(InvalidParameter, {"type": "csv", "schema": COUNT}, "json_schema", "csv")


@pytest.mark.parametrize("keyword", ["not", "if", "uniqueItems", "minProperties", "contains", "x-guidance"])
def test_keywords_that_cannot_be_guaranteed(keyword: str) -> None:
    schema = {"type": "object", "properties": {"a": {"items": {keyword: True}}}}
    refused(
        UnsupportedParameter,
        {"type": "json_schema", "schema": schema},
        f"schema.properties.a.items has the keyword '{keyword}'",
        "maxLength",
    )


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strnig"}, "strnig"),
        ({"properties": 5}, "schema.properties must be an object"),
        ({"anyOf": {"type": "null"}}, "schema.anyOf must be a list"),
        ({"items": 3}, "schema.items must be a schema"),
        ({"type": "integer", "minimum": float("nan")}, "number"),
        ({"enum": ["\ud800"]}, "cannot be used"),
        ({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}, "oneOf"),
    ],
)
def test_broken_schemas(schema: Any, words: str) -> None:
    refused(InvalidParameter, {"type": "json_schema", "schema": schema}, words)


def test_a_schema_that_is_too_deep() -> None:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(MAX_DEPTH):
        schema = {"type": "array", "items": schema}
    refused(InvalidParameter, {"type": "json_schema", "schema": schema}, "deeper")
    assert parse_format({"type": "json_schema", "schema": schema["items"]}).schema


def test_data_without_end() -> None:
    data: list[Any] = []
    for _ in range(100_000):
        data = [data]
    refused(InvalidParameter, {"type": "json_schema", "schema": {"const": data}}, "nested")


def test_a_schema_that_is_too_long() -> None:
    schema = {"enum": ["x" * MAX_SCHEMA_CHARS]}
    refused(InvalidParameter, {"type": "json_schema", "schema": schema}, f"{MAX_SCHEMA_CHARS:,}")


def test_a_product_of_alternatives_ends_in_an_error() -> None:
    branches = [
        {"anyOf": [{"type": "object", "properties": {f"p{i}_{j}": {"type": "integer"}}} for j in range(3)]}
        for i in range(12)
    ]
    refused(InvalidParameter, {"type": "json_schema", "schema": {"allOf": branches}}, "too large")
