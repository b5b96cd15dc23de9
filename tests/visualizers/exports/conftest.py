"""Runs to export: an image, boxes of two kinds, points, an outline, and names that mean harm."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import pytest
from PIL import Image

from dreamscope.engine import wire
from dreamscope.visualizers.record import Part, Picture, Record

SIZE = (200, 120)
PATH = "M 0.1 0 L 0.9 0 L 0.9 1 L 0.1 1 Z M 0.3 0.2 L 0.3 0.8 L 0.7 0.8 L 0.7 0.2 Z"
"""A frame: the inner line runs the other way round, so that it is a hole."""


@pytest.fixture(scope="session")
def image() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", SIZE, (90, 140, 200)).save(out, "PNG")
    return out.getvalue()


def made(skill: str, results: Sequence[tuple[str, wire.Result]], **fields: str) -> Record:
    parts = []
    for name, result in results:
        output = wire.result_to_json(result)
        done = wire.RequestDone(request_id="r", finish_reason="stop", output=output, metrics=wire.Metrics())
        asked = {"question" if skill == "query" else "object": name}
        parts.append(Part(wire.RequestCreate(request_id="r", skill=skill, **asked), "done", (done,)))
    picture = Picture("0" * 64, *SIZE, "image/png")
    known = {"id": "run1", "created_at": "2026-03-01T10:20:30.400Z", "model": "sprite-3", "revision": "abc"}
    return Record(**{**known, **fields}, skill=skill, picture=picture, parts=tuple(parts))


@pytest.fixture(scope="session")
def detected() -> Callable[..., Record]:
    def make(*names: str, **fields: str) -> Record:
        boxes = [
            wire.DetectResult((wire.Box(0.1, 0.2, 0.35, 0.7), wire.Box(0.5 + nth / 10, 0.1, 0.9, 0.5)))
            for nth in range(len(names))
        ]
        return made("detect", list(zip(names, boxes, strict=True)), **fields)

    return make


@pytest.fixture(scope="session")
def pointed() -> Record:
    return made("point", [("dog", wire.PointResult((wire.Point(0.25, 0.5), wire.Point(0.75, 0.25)), 2))])


@pytest.fixture(scope="session")
def uncertain() -> Record:
    around = wire.Spread(0.4, (0.2, 0.3), (0.1, 0.4))
    point = wire.Point(0.25, 0.5, wire.PlaceSpread(around, around))
    return made("point", [("dog", wire.PointResult((point,), 1))])


@pytest.fixture(scope="session")
def outlined() -> Record:
    return made("segment", [("dog", wire.SegmentResult(PATH, wire.Box(0.2, 0.25, 0.7, 0.75)))])


@pytest.fixture(scope="session")
def grounded() -> Record:
    reasoning = wire.Reasoning("I see two dogs.", (wire.Ground(6, 14, ((0.25, 0.5), (0.75, 0.5))),))
    return made("query", [("How many dogs?", wire.QueryResult("2", reasoning))])


@pytest.fixture(scope="session")
def captioned() -> Record:
    return made("caption", [("", wire.CaptionResult("A dog."))])
