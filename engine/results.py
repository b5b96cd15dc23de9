"""What a skill returns, as frozen dataclasses; part of `wire`, through which everyone imports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dreamscope.engine.codec import WireError, from_json, to_json


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the image, fractions in 0..1."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box, fractions; `x_min <= x_max` and `y_min <= y_max`."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True)
class Ground:
    """Code points `start_idx..end_idx` (end exclusive) of the reasoning text and the places they speak of."""

    start_idx: int
    end_idx: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model wrote before its answer, with its grounded spans in text order."""

    text: str
    grounding: tuple[Ground, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Answer of the query skill; `reasoning` only when it was asked for."""

    answer: str
    reasoning: Reasoning | None = None


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """Text of the caption skill."""

    caption: str


@dataclass(frozen=True, slots=True)
class PointResult:
    """Points in decode order."""

    points: tuple[Point, ...]
    count: int


@dataclass(frozen=True, slots=True)
class DetectResult:
    """Boxes in decode order, clamped to the image."""

    objects: tuple[Box, ...]


Result = QueryResult | CaptionResult | PointResult | DetectResult
RESULTS: dict[str, type] = {
    "query": QueryResult,
    "caption": CaptionResult,
    "point": PointResult,
    "detect": DetectResult,
}


def result_to_json(result: Result) -> dict[str, Any]:
    """The native JSON body of a result, as `request.done` carries it."""
    encoded: dict[str, Any] = to_json(result)
    return encoded


def result_from_json(skill: str, output: dict[str, Any]) -> Result:
    """Inverse of `result_to_json`. Raises `WireError` for an unknown skill or a field that does not fit."""
    cls = RESULTS.get(skill)
    if cls is None:
        raise WireError(f"Unknown skill {skill!r}; one of {', '.join(RESULTS)}.", "skill")
    parsed: Result = from_json(cls, output)
    return parsed
