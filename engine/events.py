"""The events of one request, from acceptance to its end; part of `wire`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dreamscope.engine.facts import ErrorInfo, ImageInfo, Metrics
from dreamscope.engine.messages import Message, message
from dreamscope.engine.results import Box, BoxSpread, Ground, PlaceSpread, Probs


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent(Message):
    """Base of a request's events: `seq` grows by one per event, `t` counts from acceptance."""

    request_id: str
    seq: int = -1
    t: float = 0.0
    first_seq: int | None = None


@message("request.accepted")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAccepted(RequestEvent):
    """Always first, `seq` 0."""

    model: str
    skill: str
    tag: Any = None
    position: int = 0


@message("request.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStarted(RequestEvent):
    """Prefill begins."""

    input_tokens: int
    cached_tokens: int
    image: ImageInfo | None = None


@message("reasoning.delta")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta(RequestEvent):
    """More reasoning text; `n` tokens."""

    delta: str
    n: int = 1
    probs: Probs | None = None


@message("span.open")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpanOpen(RequestEvent):
    """A grounded span begins at code point `start` of the reasoning text."""

    index: int
    start: int


@message("span.point")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpanPoint(RequestEvent):
    """One coordinate pair of the open span."""

    index: int
    x: float
    y: float
    spread: PlaceSpread | None = None


@message("span.close")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpanClose(RequestEvent):
    """The span ended; authoritative. A span without points is dropped."""

    index: int
    end: int
    points: tuple[tuple[float, float], ...]
    spreads: tuple[PlaceSpread, ...] | None = None


@message("reasoning.done")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDone(RequestEvent):
    """The whole reasoning, before the first answer token."""

    text: str
    grounding: tuple[Ground, ...]
    probs: Probs | None = None


@message("text.delta")
@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta(RequestEvent):
    """More answer or caption text; `n` tokens."""

    delta: str
    n: int = 1
    probs: Probs | None = None


@message("point")
@dataclass(frozen=True, slots=True, kw_only=True)
class PointEvent(RequestEvent):
    """One point of the point skill."""

    index: int
    x: float
    y: float
    spread: PlaceSpread | None = None


@message("box.center")
@dataclass(frozen=True, slots=True, kw_only=True)
class BoxCenter(RequestEvent):
    """Centre of a box whose size is not decoded yet."""

    index: int
    x: float
    y: float
    spread: PlaceSpread | None = None


@message("box")
@dataclass(frozen=True, slots=True, kw_only=True)
class BoxEvent(RequestEvent):
    """One box of the detect skill."""

    index: int
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    spread: BoxSpread | None = None


@message("gaze")
@dataclass(frozen=True, slots=True, kw_only=True)
class GazeEvent(RequestEvent):
    """Where the person of the gaze skill looks."""

    x: float
    y: float
    spread: PlaceSpread | None = None


@message("mask.bbox")
@dataclass(frozen=True, slots=True, kw_only=True)
class MaskBox(RequestEvent):
    """The box in which the path of the segment skill will be drawn."""

    bbox: Box
    spread: BoxSpread | None = None


@message("mask.delta")
@dataclass(frozen=True, slots=True, kw_only=True)
class MaskDelta(RequestEvent):
    """More of the coarse path, in whole segments that add up to it; `n` tokens."""

    delta: str
    n: int = 1


@message("mask.done")
@dataclass(frozen=True, slots=True, kw_only=True)
class MaskDone(RequestEvent):
    """The final path and box, and what the model itself wrote; authoritative, an empty path is none."""

    path: str
    coarse_path: str
    bbox: Box | None = None
    coarse_bbox: Box | None = None


@message("request.done")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDone(RequestEvent):
    """Terminal. `output` is the native JSON result of the skill, see `result_from_json`."""

    finish_reason: str
    output: dict[str, Any]
    metrics: Metrics


@message("request.cancelled")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCancelled(RequestEvent):
    """Terminal. `reason` is client, disconnect or shutdown."""

    reason: str
    metrics: Metrics


@message("request.failed")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed(RequestEvent):
    """Terminal."""

    error: ErrorInfo


@message("request.snapshot")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSnapshot(RequestEvent):
    """Stands for all events up to `seq` after the log was trimmed."""

    state: dict[str, Any] = field(default_factory=dict)


Event = (
    RequestAccepted
    | RequestStarted
    | ReasoningDelta
    | SpanOpen
    | SpanPoint
    | SpanClose
    | ReasoningDone
    | TextDelta
    | PointEvent
    | BoxCenter
    | BoxEvent
    | GazeEvent
    | MaskBox
    | MaskDelta
    | MaskDone
    | RequestDone
    | RequestCancelled
    | RequestFailed
    | RequestSnapshot
)
TERMINAL = (RequestDone, RequestCancelled, RequestFailed)
MERGEABLE = (ReasoningDelta, TextDelta, MaskDelta)
