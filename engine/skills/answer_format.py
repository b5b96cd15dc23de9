"""The form of an answer: what a `response_format` may say, and the JSON Schemas that can be guaranteed.

Markdown, XML and CSV are asked for in the prompt and no more than that. JSON is asked for as well, and a
grammar sees to it. Of JSON Schema those keywords are accepted that the grammar guarantees, and annotations.
Properties come in the order in which the schema names them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dreamscope.engine.errors import InvalidParameter, MissingParameter, UnsupportedParameter
from dreamscope.engine.skills.grammar import GrammarError, check_schema

PARAM = "response_format"
TYPES = ("text", "markdown", "xml", "csv", "json_object", "json_schema")
MAX_SCHEMA_CHARS = 32_768
MAX_DEPTH = 24
ANY_OBJECT = '{"type":"object"}'

_ONE = ("items", "additionalProperties")  # keywords that hold a schema
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_PLAIN = (
    *("type", "enum", "const", "$ref", "required"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "format", "minItems", "maxItems"),
)
_ANNOTATIONS = ("$schema", "$comment", "title", "description", "default", "examples")
KEYWORDS = (*_PLAIN, *_ONE, *_LISTS, *_MAPS, *_ANNOTATIONS)


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """A validated `response_format`; `schema` is JSON text that the answer must follow, or `None`."""

    type: str = "text"
    schema: str | None = None


def parse_format(given: Mapping[str, Any] | None) -> AnswerFormat:
    """Check a `response_format` and compile its schema, which takes milliseconds to a second.

    Raises `InvalidParameter`, `MissingParameter` or `UnsupportedParameter` saying where and what is allowed.
    """
    if given is None:
        return AnswerFormat()
    kind = given.get("type")
    if kind is None:
        raise MissingParameter(f"{PARAM} needs a 'type', one of {', '.join(TYPES)}.", PARAM)
    if kind not in TYPES:
        raise InvalidParameter(
            f"The type of {PARAM} must be one of {', '.join(TYPES)}, not {kind!r:.40}.", PARAM
        )
    if kind == "json_object":
        return AnswerFormat(kind, ANY_OBJECT)
    if kind == "json_schema":
        return AnswerFormat(kind, _compile(_schema_of(given)))
    if given.get("schema") is not None:
        raise InvalidParameter(f"A schema belongs to the type json_schema, not to {kind}.", PARAM)
    return AnswerFormat(kind)


def _schema_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The schema, which stands beside the type or one level deeper in `json_schema`."""
    nested = given.get("json_schema")
    if nested is not None and not isinstance(nested, dict):
        raise InvalidParameter(f"{PARAM}.json_schema must be an object with a 'schema'.", PARAM)
    found = [each["schema"] for each in (given, nested or {}) if each.get("schema") is not None]
    if not found:
        raise MissingParameter(f"{PARAM} of the type json_schema needs a 'schema'.", PARAM)
    if len(found) > 1:
        raise InvalidParameter(f"{PARAM} has two schemas; give one.", PARAM)
    if not isinstance(found[0], dict):
        raise InvalidParameter(f"{PARAM}.schema must be an object, not {found[0]!r:.40}.", PARAM)
    return found[0]


def _compile(schema: dict[str, Any]) -> str:
    try:
        bare = _bare(schema, "schema", 1)
        text = json.dumps(bare, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        raise InvalidParameter(
            f"{PARAM}.schema holds a number that JSON does not know, or is nested too deeply.", PARAM
        ) from None
    if len(text) > MAX_SCHEMA_CHARS:
        raise InvalidParameter(
            f"{PARAM}.schema has {len(text):,} characters; at most {MAX_SCHEMA_CHARS:,} are accepted.",
            PARAM,
        )
    try:
        check_schema(text)
    except GrammarError as error:
        raise InvalidParameter(f"{PARAM}.schema cannot be used: {error}.", PARAM) from None
    return text


def _bare(schema: Any, path: str, depth: int) -> Any:
    """The schema without its annotations."""
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        raise InvalidParameter(f"{PARAM}.{path} must be a schema, an object, not {schema!r:.40}.", PARAM)
    if depth > MAX_DEPTH:
        raise InvalidParameter(f"{PARAM}.{path:.80} is nested deeper than {MAX_DEPTH} schemas.", PARAM)
    bare: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword not in KEYWORDS:
            raise UnsupportedParameter(
                f"{PARAM}.{path:.80} has the keyword {keyword!r:.40}, which cannot be guaranteed; "
                f"supported are {', '.join(KEYWORDS)}.",
                PARAM,
            )
        if keyword not in _ANNOTATIONS:
            bare[keyword] = _bare_value(keyword, value, f"{path}.{keyword}", depth + 1)
    return bare


def _bare_value(keyword: str, value: Any, path: str, depth: int) -> Any:
    if keyword in _ONE:
        return _bare(value, path, depth)
    if keyword in _LISTS:
        if not isinstance(value, list):
            raise InvalidParameter(f"{PARAM}.{path:.80} must be a list of schemas.", PARAM)
        return [_bare(each, f"{path}[{index}]", depth) for index, each in enumerate(value)]
    if keyword in _MAPS:
        if not isinstance(value, dict):
            raise InvalidParameter(f"{PARAM}.{path:.80} must be an object of schemas.", PARAM)
        return {name: _bare(each, f"{path}.{name}", depth) for name, each in value.items()}
    return value
