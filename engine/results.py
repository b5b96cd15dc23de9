"""What a skill returns, as frozen dataclasses; part of `wire`, through which everyone imports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dreamscope.engine.codec import WireError, from_json, to_json


@dataclass(frozen=True, slots=True)
class Spread:
    """How the decoder's distribution over the bins of one number lies; nothing is estimated beyond it.

    It says how the model divides its bets, not how often it is right. The chosen bin may lie outside of an
    interval if the distribution has several peaks.

    `p`: probability of the chosen bin. `i68`, `i95`: from the lowest to the highest value between the 16th
    and 84th, the 2.5th and 97.5th percent of the probability, in fractions of the image.
    """

    p: float
    i68: tuple[float, float]
    i95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PlaceSpread:
    """Spread of both coordinates of a place."""

    x: Spread
    y: Spread


@dataclass(frozen=True, slots=True)
class BoxSpread:
    """Spread of a box as it is decoded: its centre, its width and height."""

    x: Spread
    y: Spread
    w: Spread
    h: Spread


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the image, fractions in 0..1. Spreads are there if uncertainty was asked for."""

    x: float
    y: float
    spread: PlaceSpread | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box, fractions; `x_min <= x_max` and `y_min <= y_max`."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    spread: BoxSpread | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """Code points `start_idx..end_idx` (end exclusive) of the reasoning text and the places they speak of."""

    start_idx: int
    end_idx: int
    points: tuple[tuple[float, float], ...]
    spreads: tuple[PlaceSpread, ...] | None = None


Probs = tuple[tuple[int, float], ...]
"""For each text token how many code points it added to the text, and the probability that the model gave it:
softmax of the logits as they are, before temperature, nucleus and masks. Markers and numbers are no text and
not listed. A delta lists the tokens whose last code point is in it or was handed out before; those that add
none come with the next that does."""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model wrote before its answer, with its grounded spans in text order."""

    text: str
    grounding: tuple[Ground, ...] = ()
    probs: Probs | None = None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Answer of the query skill; `reasoning` only when it was asked for."""

    answer: str
    reasoning: Reasoning | None = None
    probs: Probs | None = None


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """Text of the caption skill."""

    caption: str
    probs: Probs | None = None


@dataclass(frozen=True, slots=True)
class ChatResult:
    """The next message of a conversation, written by the assistant."""

    answer: str
    reasoning: Reasoning | None = None
    probs: Probs | None = None


@dataclass(frozen=True, slots=True)
class PointResult:
    """Points in decode order."""

    points: tuple[Point, ...]
    count: int


@dataclass(frozen=True, slots=True)
class DetectResult:
    """Boxes in decode order, clamped to the image."""

    objects: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class GazeResult:
    """Where the person looks; `None` if not into the image."""

    gaze: Point | None = None


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """Outline of an object as an SVG path inside `bbox`: (0, 0) its top left corner, (1, 1) its bottom right.

    `path` is empty if the model wrote none, and `parse_error` says why if what it wrote is not one. `bbox` is
    `None` if the model gave no box. `refined`: whether a refiner has improved what the model wrote.
    """

    path: str
    bbox: Box | None = None
    parse_error: str | None = None
    refined: bool = False


Result = QueryResult | CaptionResult | ChatResult | PointResult | DetectResult | GazeResult | SegmentResult
RESULTS: dict[str, type] = {
    "query": QueryResult,
    "caption": CaptionResult,
    "chat": ChatResult,
    "point": PointResult,
    "detect": DetectResult,
    "gaze": GazeResult,
    "segment": SegmentResult,
}


def result_to_json(result: Result) -> dict[str, Any]:
    """The native JSON body of a result, as `request.done` carries it."""
    encoded: dict[str, Any] = to_json(result)
    if isinstance(result, GazeResult):
        encoded.setdefault("gaze", None)  # no target is an answer, not an absent field
    if isinstance(result, SegmentResult):
        encoded.setdefault("bbox", None)
    return encoded


def result_from_json(skill: str, output: dict[str, Any]) -> Result:
    """Inverse of `result_to_json`. Raises `WireError` for an unknown skill or a field that does not fit."""
    cls = RESULTS.get(skill)
    if cls is None:
        raise WireError(f"Unknown skill {skill!r}; one of {', '.join(RESULTS)}.", "skill")
    parsed: Result = from_json(cls, output)
    return parsed
