"""Dataclasses to plain JSON values and back, driven by their annotations.

A leaf: standard library only. Understands `str`, `int`, `float`, `bool`, `Any`, `X | None`, tuples,
dicts and nested dataclasses. Unknown fields are ignored; an absent or `null` field takes its default.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
from typing import Any, Union, get_args, get_origin, get_type_hints


class WireError(ValueError):
    """A message that does not fit the schema; `param` names the field, `code` is a wire error code."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_parameter") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


def to_json(value: Any) -> Any:
    """Dataclasses to plain JSON values, depth first. Fields that are `None` are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {name: to_json(item) for name, item in pairs if item is not None}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def from_json(cls: type[Any], data: Any) -> Any:
    """Build a dataclass from JSON. Raises `WireError` naming the field that does not fit."""
    return _parse(cls, data, None)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _parse(kind: Any, value: Any, name: str | None) -> Any:
    """Check `value` against the annotation `kind` and convert lists to tuples, objects to dataclasses."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _parse(next(arg for arg in get_args(kind) if arg is not type(None)), value, name)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _parse_object(kind, value, name)
    if origin is tuple:
        return _parse_tuple(get_args(kind), value, name)
    if origin is dict or kind is dict:
        return _expect(isinstance(value, dict), value, "an object", name)
    if kind is float:
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (ok and abs(value) <= sys.float_info.max):  # an integer can be larger than every float
            raise _mismatch(value, "a finite number", name)
        return float(value)
    if kind is int:
        return _expect(isinstance(value, int) and not isinstance(value, bool), value, "an integer", name)
    if kind is bool:
        return _expect(isinstance(value, bool), value, "true or false", name)
    return _expect(isinstance(value, str), value, "a string", name)


def _parse_object(cls: type, value: Any, name: str | None) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(value, "an object", name)
    hints = _hints(cls)
    known: dict[str, Any] = {}
    for f in dataclasses.fields(cls):
        if value.get(f.name) is not None:
            known[f.name] = _parse(hints[f.name], value[f.name], f.name)
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise WireError(f"{f.name!r} is required.", f.name, "missing_parameter")
    return cls(**known)


def _parse_tuple(args: tuple[Any, ...], value: Any, name: str | None) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _mismatch(value, "a list", name)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_parse(args[0], item, name) for item in value)
    if len(args) != len(value):
        raise _mismatch(value, f"a list of {len(args)}", name)
    return tuple(_parse(kind, item, name) for kind, item in zip(args, value, strict=True))


def _expect(ok: bool, value: Any, wanted: str, name: str | None) -> Any:
    if not ok:
        raise _mismatch(value, wanted, name)
    return value


def _mismatch(value: Any, wanted: str, name: str | None) -> WireError:
    return WireError(f"{name or 'The message'} must be {wanted}, not {type(value).__name__}.", name)
