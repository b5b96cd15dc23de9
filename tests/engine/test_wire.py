"""Every message and every result survives the wire; what does not fit is named."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any, Union, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import wire

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
MESSAGES = sorted(wire.CLASSES.values(), key=lambda cls: cls.wire_type)
RESULTS = sorted(wire.RESULTS.items())


def value_of(kind: Any) -> st.SearchStrategy[Any]:
    """A strategy for an annotation of the wire module."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return JSON.filter(lambda value: value is not None)
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in args if arg is not type(None))
        return st.none() | value_of(inner)
    if dataclasses.is_dataclass(kind):
        return instance_of(kind)
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(value_of(args[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(value_of(arg) for arg in args))
    if origin is dict:
        return st.dictionaries(TEXT, JSON.filter(lambda value: value is not None), max_size=3)
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind is int:
        return st.integers(-(2**53), 2**53)
    if kind is bool:
        return st.booleans()
    assert kind is str, kind
    return TEXT


def instance_of(cls: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{f.name: value_of(hints[f.name]) for f in dataclasses.fields(cls)})


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.wire_type)
def test_every_message_survives_the_wire(cls):
    @given(instance_of(cls))
    def check(message):
        text = wire.encode(message)
        assert text.isascii()
        assert "\n" not in text
        assert json.loads(text)["type"] == cls.wire_type
        assert wire.decode(text) == message
        assert wire.decode(text.encode()) == message

    check()


@pytest.mark.parametrize(("skill", "cls"), RESULTS)
def test_every_result_survives_json(skill, cls):
    @given(instance_of(cls))
    def check(result):
        text = json.dumps(wire.result_to_json(result), allow_nan=False)
        assert wire.result_from_json(skill, json.loads(text)) == result

    check()


def test_the_protocol_is_complete():
    assert {cls.wire_type for cls in MESSAGES} == {
        "hello", "ready", "error", "image.put", "image.drop", "image.ready",
        "request.create", "request.cancel", "request.resume", "models", "model.load", "model.progress",
        "stats.subscribe", "stats",
        "request.accepted", "request.started", "request.done", "request.cancelled", "request.failed",
        "request.snapshot", "reasoning.delta", "reasoning.done", "text.delta",
        "span.open", "span.point", "span.close", "point", "box.center", "box", "gaze",
        "mask.bbox", "mask.delta", "mask.done", "trace.subscribe", "depth.set", "trace",
    }  # fmt: skip
    assert {skill for skill, _ in RESULTS} == {
        "query", "caption", "chat", "point", "detect", "segment", "gaze",
    }  # fmt: skip
    for cls in MESSAGES:
        assert dataclasses.fields(cls)
        assert cls.__dataclass_params__.frozen


def test_unknown_fields_are_ignored_and_absent_ones_take_their_default():
    message = wire.decode('{"type": "text.delta", "request_id": "a", "delta": "x", "later": [1]}')
    assert message == wire.TextDelta(request_id="a", delta="x")
    assert wire.decode('{"type": "hello", "auth": null}') == wire.Hello()


def test_nothing_optional_is_sent_when_absent():
    encoded = json.loads(wire.encode(wire.TextDelta(request_id="a", seq=3, t=1.5, delta="x")))
    assert encoded == {"type": "text.delta", "request_id": "a", "seq": 3, "t": 1.5, "delta": "x", "n": 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_json_does_not_know_is_never_sent(value):
    with pytest.raises(ValueError, match="JSON"):
        wire.encode(wire.PointEvent(request_id="a", index=0, x=value, y=0.0))


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("", "invalid_json", None),
        ("{", "invalid_json", None),
        ("[]", "invalid_json", "type"),
        ("{}", "invalid_json", "type"),
        ('{"type": null}', "invalid_json", "type"),
        ("[" * 100_000, "invalid_json", None),
        ('{"type": "nonsense"}', "unknown_type", "type"),
        ('{"type": "image.put", "image_id": "i"}', "missing_parameter", "image_url"),
        ('{"type": "image.put", "image_id": null, "image_url": "x"}', "missing_parameter", "image_id"),
        ('{"type": "image.put", "image_id": 7, "image_url": "x"}', "invalid_parameter", "image_id"),
        ('{"type": "hello", "protocol": "1"}', "invalid_parameter", "protocol"),
        (f'{{"type": "gaze", "request_id": "a", "x": {10**400}, "y": 0}}', "invalid_parameter", "x"),
        ('{"type": "hello", "protocol": true}', "invalid_parameter", "protocol"),
        ('{"type": "hello", "protocol": 1.5}', "invalid_parameter", "protocol"),
        ('{"type": "point", "request_id": "a", "index": 0, "x": 1e999, "y": 0}', "invalid_parameter", "x"),
        ('{"type": "point", "request_id": "a", "index": 0, "x": NaN, "y": 0}', "invalid_parameter", "x"),
        ('{"type": "request.create", "request_id": "a", "skill": "query", "reasoning": 1}',
         "invalid_parameter", "reasoning"),
        ('{"type": "request.create", "request_id": "a", "skill": "query", "settings": []}',
         "invalid_parameter", "settings"),
        ('{"type": "request.create", "request_id": "a", "skill": "query", "spatial_refs": [["x"]]}',
         "invalid_parameter", "spatial_refs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(text, code, param):
    with pytest.raises(wire.WireError) as caught:
        wire.decode(text)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert str(caught.value)


def decoded(value: Any) -> wire.Message | wire.WireError:
    """What decoding makes of a JSON value; any other exception is a failure."""
    try:
        return wire.decode(json.dumps(value))
    except wire.WireError as error:
        return error


@given(JSON)
def test_any_json_is_a_message_or_a_wire_error(value):
    outcome = decoded(value)
    assert isinstance(outcome, wire.Message) or str(outcome)


@given(st.sampled_from(MESSAGES), st.dictionaries(TEXT, JSON, max_size=4))
def test_any_fields_are_a_message_or_a_wire_error(cls, fields):
    hints = [f.name for f in dataclasses.fields(cls)]
    body = {name: value for name, value in zip(hints, fields.values(), strict=False)}
    outcome = decoded({**body, "type": cls.wire_type})
    if isinstance(outcome, wire.WireError):
        assert outcome.code in ("missing_parameter", "invalid_parameter")
        assert outcome.param
    else:
        assert isinstance(outcome, cls)


def test_a_result_of_an_unknown_skill():
    with pytest.raises(wire.WireError, match="query") as caught:
        wire.result_from_json("dance", {})
    assert caught.value.param == "skill"
