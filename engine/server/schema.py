"""JSON Schemas of what the server takes and gives, read off the types and tables that it works with."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from dreamscope.engine import wire
from dreamscope.engine.skills.answer_format import TYPES
from dreamscope.engine.skills.parse import KNOBS, LENGTHS, Knob

Schema = dict[str, Any]
_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    dict: {"type": "object"},
}
_SAID: Mapping[str, Schema] = {
    "image_url": {"description": "data:image/...;base64,... or bare base64; nothing is fetched."},
    "question": {"minLength": 1},
    "object": {"minLength": 1, "description": "What to look for, such as 'red car'."},
    "length": {"enum": list(LENGTHS)},
    "spatial_refs": {"description": "Points [x, y] and boxes [x1, y1, x2, y2] in 0..1."},
    "model": {"description": "Absent: the default model."},
    "variant": {"description": "An adapter, NAME@STEP."},
    "settings": {"$ref": "#/components/schemas/Settings"},
    "response_format": {"$ref": "#/components/schemas/ResponseFormat"},
    "stream": {"type": "boolean", "default": False},
}


def of_type(kind: Any) -> Schema:
    """The schema of an annotation, as `codec` reads it; what may be `None` is absent when it is."""
    origin = get_origin(kind)
    if kind is Any:
        return {}
    if origin in (Union, types.UnionType):
        return of_type(next(arg for arg in get_args(kind) if arg is not type(None)))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return of_dataclass(kind)
    if origin is tuple:
        return _of_tuple(get_args(kind))
    return dict(_PLAIN[origin or kind])


def of_dataclass(cls: type) -> Schema:
    """An object. Required are the fields that are always there: those that cannot be `None`."""
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    required = [name for name in names if type(None) not in get_args(hints[name])]
    return of_object({name: of_type(hints[name]) for name in names}, required)


def of_object(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """An object with these properties and maybe more."""
    schema: Schema = {"type": "object", "properties": dict(properties)}
    return {**schema, "required": list(required)} if required else schema


def of_field(name: str) -> Schema:
    """A field of a request's body."""
    said = _SAID.get(name, {})
    if "$ref" in said or "type" in said:
        return dict(said)
    return {**of_type(get_type_hints(wire.RequestCreate)[name]), **said}


def of_settings() -> Schema:
    """The object `settings`; unknown keys are ignored."""
    return of_object({name: _of_knob(knob) for name, knob in KNOBS.items()})


def of_response_format() -> Schema:
    """The form of an answer."""
    return of_object({"type": {"enum": list(TYPES)}, "json_schema": {"type": "object"}}, ["type"])


def of_knob(name: str) -> Schema:
    """One of the `settings`."""
    return _of_knob(KNOBS[name])


def _of_knob(knob: Knob) -> Schema:
    low = "exclusiveMinimum" if knob.open_low else "minimum"
    schema: Schema = {"type": "integer" if knob.integer else "number", low: knob.low}
    return schema if knob.high == float("inf") else {**schema, "maximum": knob.high}


def _of_tuple(args: tuple[Any, ...]) -> Schema:
    if len(args) == 2 and args[1] is Ellipsis:
        return {"type": "array", "items": of_type(args[0])}
    items = [of_type(arg) for arg in args]
    same = all(each == items[0] for each in items)
    return {
        "type": "array",
        "items": items[0] if same else {"anyOf": items},  # some tools do not read prefixItems
        "minItems": len(args),
        "maxItems": len(args),
    }
