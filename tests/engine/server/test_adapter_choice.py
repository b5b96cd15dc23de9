"""Where a request may name its adapter."""

from __future__ import annotations

from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.runtime.adapters import AdapterId
from dreamscope.engine.server import intake
from dreamscope.engine.server.adapter_choice import split_adapter

MODEL = wire.ModelInfo(id="sprite-2", skills=("query", "caption"), aliases=("tiny",))


def create(**fields: Any) -> wire.RequestCreate:
    return wire.RequestCreate(request_id="r", skill="query", question="What?", **fields)


@pytest.mark.parametrize(
    ("fields", "model", "adapter"),
    [
        ({}, None, None),
        ({"model": "sprite-2"}, "sprite-2", None),
        ({"model": "vikhyatk/moondream2"}, "vikhyatk/moondream2", None),
        ({"model": "sprite-2/dogs@7"}, "sprite-2", "dogs@7"),
        ({"model": "vikhyatk/moondream2/dogs@7"}, "vikhyatk/moondream2", "dogs@7"),
        ({"variant": "dogs"}, None, "dogs"),
        ({"variant": "dogs/7", "model": "tiny"}, "tiny", "dogs@7"),
        ({"settings": {"variant": "dogs/7", "seed": 1}}, None, "dogs@7"),
        ({"settings": {"adapter": "dogs@7"}}, None, "dogs@7"),
        ({"settings": {"variant": None}}, None, None),
        ({"model": "sprite-2/dogs@7", "variant": "dogs/7"}, "sprite-2", "dogs@7"),
    ],
)
def test_every_place(fields: dict[str, Any], model: str | None, adapter: str | None) -> None:
    message = create(**fields)
    plain, chosen = split_adapter(message)
    assert (plain.model, None if chosen is None else str(chosen)) == (model, adapter)
    assert plain.variant is None
    assert not {"adapter", "variant"} & set(plain.settings or {})
    parsed = intake.parse(message, MODEL)
    request = intake.engine_request(message, parsed, MODEL, (), 1.0)
    assert request.adapter == chosen
    assert request.model == ("sprite-2" if adapter is None else f"sprite-2/{adapter}")


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"model": "sprite-2/dogs@x"}, errors.AdapterNotFound, "model"),
        ({"model": "sprite-2/@7"}, errors.AdapterNotFound, "model"),
        ({"variant": "../secret"}, errors.AdapterNotFound, "variant"),
        ({"variant": ""}, errors.AdapterNotFound, "variant"),
        ({"settings": {"variant": 7}}, errors.InvalidParameter, "variant"),
        ({"model": "sprite-2/dogs@7", "variant": "cats"}, errors.InvalidParameter, "variant"),
    ],
)
def test_refusals(fields: dict[str, Any], error: type[errors.DreamscopeError], param: str) -> None:
    with pytest.raises(error) as caught:
        intake.parse(create(**fields), MODEL)
    assert (type(caught.value), caught.value.param) == (error, param)


def test_an_id_is_its_text() -> None:
    assert AdapterId.parse("dogs/7") == AdapterId.parse("dogs@7")
