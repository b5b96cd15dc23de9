"""Validation of gaze requests."""

from __future__ import annotations

from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.skills.parse import parse_request

FACE = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}


def parse(**fields: Any) -> Any:
    body = {"type": "request.create", "request_id": "r", "skill": "gaze", "image_id": "i", **fields}
    create = wire.from_json(wire.RequestCreate, body)
    return parse_request(create)


def test_an_eye_or_a_face() -> None:
    eye = parse(eye=[0.25, 1])
    assert (eye.eye, eye.face, eye.force_detect) == ((0.25, 1.0), None, False)
    assert (eye.sampling.temperature, eye.sampling.top_p) == (0.0, 1.0)
    face = parse(face=FACE, force_detect=True, settings={"seed": 3})
    assert (face.eye, face.face, face.force_detect) == (None, (0.1, 0.2, 0.3, 0.4), True)
    assert face.sampling.seed == 3


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({}, errors.MissingParameter, "eye"),
        ({"eye": [0.1, 0.1], "face": FACE}, errors.InvalidParameter, "eye"),
        ({"eye": [1.1, 0.1]}, errors.InvalidParameter, "eye"),
        ({"eye": [0.1, -0.1]}, errors.InvalidParameter, "eye"),
        ({"face": {**FACE, "x_max": 0.05}}, errors.InvalidParameter, "face"),
        ({"face": {**FACE, "y_max": 0.1}}, errors.InvalidParameter, "face"),
        ({"face": {**FACE, "y_max": 1.5}}, errors.InvalidParameter, "face"),
        ({"eye": [0.1, 0.1], "image_id": None}, errors.MissingParameter, "image_url"),
        ({"eye": [0.1, 0.1], "spatial_refs": [[0.1, 0.1]]}, errors.UnsupportedParameter, "spatial_refs"),
    ],
)
def test_refusals(fields: dict[str, Any], error: type[errors.DreamscopeError], param: str) -> None:
    with pytest.raises(error) as caught:
        parse(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("eye", [[0.1], [0.1, 0.2, 0.3], 0.5, ["a", "b"], [True, 0.1]])
def test_an_eye_of_the_wrong_form(eye: Any) -> None:
    with pytest.raises(wire.WireError) as caught:
        parse(eye=eye)
    assert caught.value.param == "eye"
