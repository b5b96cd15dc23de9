"""Every message of `md-stream.v1` and every result, as frozen dataclasses with JSON codecs.

A leaf: standard library only. It is the one engine module that `app` and `visualizers` may import, so both
sides of the socket share one schema; `results` and `codec` are parts of it with a file of their own.
Coordinates are fractions of the oriented image, x to the right and y down; text offsets count Unicode code
points; times are milliseconds.

A message class is registered under its wire `type`; `encode` and `decode` are the only codecs. Unknown
fields are ignored and absent optional fields take their default, because within a protocol version only
additions are made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from dreamscope.engine.codec import WireError as WireError
from dreamscope.engine.codec import from_json as from_json
from dreamscope.engine.codec import to_json as to_json
from dreamscope.engine.results import RESULTS as RESULTS
from dreamscope.engine.results import Box as Box
from dreamscope.engine.results import CaptionResult as CaptionResult
from dreamscope.engine.results import DetectResult as DetectResult
from dreamscope.engine.results import Ground as Ground
from dreamscope.engine.results import Point as Point
from dreamscope.engine.results import PointResult as PointResult
from dreamscope.engine.results import QueryResult as QueryResult
from dreamscope.engine.results import Reasoning as Reasoning
from dreamscope.engine.results import Result as Result
from dreamscope.engine.results import result_from_json as result_from_json
from dreamscope.engine.results import result_to_json as result_to_json

SUBPROTOCOL = "md-stream.v1"
PROTOCOL = 1


# ----------------------------------------------------------------------------------------------- shared


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counts in tokens, times in milliseconds; `None` where nothing was measured."""

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    queue_time_ms: float | None = None
    image_time_ms: float | None = None
    prefill_time_ms: float | None = None
    ttft_ms: float | None = None
    decode_time_ms: float | None = None
    total_time_ms: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """The one error shape: a sentence, a class, the field at fault, a stable code."""

    message: str
    type: str
    code: str
    param: str | None = None
    retryable: bool | None = None


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Size in pixels after orientation, and how many crops the vision encoder saw."""

    width: int
    height: int
    crops: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One entry of the model list."""

    id: str
    skills: tuple[str, ...]
    name: str = ""
    description: str = ""
    default: bool = False
    loaded: bool = False
    context_length: int = 0
    aliases: tuple[str, ...] = ()
    object: str = "model"
    owned_by: str = "moondream"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server accepts on one connection."""

    max_message_bytes: int
    max_inflight: int
    replay_seconds: float
    replay_events: int


# --------------------------------------------------------------------------------------------- messages

_CLASSES: dict[str, type[Message]] = {}
M = TypeVar("M", bound="type[Message]")


@dataclass(frozen=True, slots=True)
class Message:
    """Base of everything that crosses the socket. `wire_type` is the JSON `type`."""

    wire_type: ClassVar[str] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent(Message):
    """Base of a request's events: `seq` grows by one per event, `t` counts from acceptance."""

    request_id: str
    seq: int = -1
    t: float = 0.0
    first_seq: int | None = None


def _message(wire_type: str) -> Callable[[M], M]:
    def register(cls: M) -> M:
        cls.wire_type = wire_type
        _CLASSES[wire_type] = cls
        return cls

    return register


@_message("hello")
@dataclass(frozen=True, slots=True)
class Hello(Message):
    """First message of a client."""

    protocol: int = PROTOCOL
    auth: str | None = None
    client: str | None = None


@_message("image.put")
@dataclass(frozen=True, slots=True)
class ImagePut(Message):
    """Upload an image once, under a name the client chooses."""

    image_id: str
    image_url: str


@_message("image.drop")
@dataclass(frozen=True, slots=True)
class ImageDrop(Message):
    """Forget an uploaded image."""

    image_id: str


@_message("request.create")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCreate(Message):
    """Ask for one skill. Fields that a skill does not use stay `None`."""

    request_id: str
    skill: str
    model: str | None = None
    image_id: str | None = None
    image_url: str | None = None
    question: str | None = None
    object: str | None = None
    length: str | None = None
    reasoning: bool | None = None
    spatial_refs: tuple[tuple[float, ...], ...] | None = None
    settings: dict[str, Any] | None = None
    on_disconnect: str = "cancel"
    tag: Any = None


@_message("request.cancel")
@dataclass(frozen=True, slots=True)
class RequestCancel(Message):
    """Stop a request; what was decoded so far stays."""

    request_id: str


@_message("request.resume")
@dataclass(frozen=True, slots=True)
class RequestResume(Message):
    """Replay every event with `seq > after`, then go on live."""

    request_id: str
    after: int = -1


@_message("ready")
@dataclass(frozen=True, slots=True)
class Ready(Message):
    """Answer to `hello`."""

    protocol: int
    connection_id: str
    server: str
    models: tuple[ModelInfo, ...]
    limits: Limits


@_message("image.ready")
@dataclass(frozen=True, slots=True)
class ImageReady(Message):
    """An uploaded image was decoded; size in pixels after orientation."""

    image_id: str
    width: int
    height: int
    bytes: int
    sha256: str


@_message("error")
@dataclass(frozen=True, slots=True)
class ErrorEvent(Message):
    """Something outside any request went wrong; `ref` is the id in the offending message."""

    error: ErrorInfo
    ref: str | None = None


@_message("request.accepted")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAccepted(RequestEvent):
    """Always first, `seq` 0."""

    model: str
    skill: str
    tag: Any = None
    position: int = 0


@_message("request.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStarted(RequestEvent):
    """Prefill begins."""

    input_tokens: int
    cached_tokens: int
    image: ImageInfo | None = None


@_message("reasoning.delta")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta(RequestEvent):
    """More reasoning text; `n` tokens."""

    delta: str
    n: int = 1


@_message("span.open")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpanOpen(RequestEvent):
    """A grounded span begins at code point `start` of the reasoning text."""

    index: int
    start: int


@_message("span.point")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpanPoint(RequestEvent):
    """One coordinate pair of the open span."""

    index: int
    x: float
    y: float


@_message("span.close")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpanClose(RequestEvent):
    """The span ended; authoritative. A span without points is dropped."""

    index: int
    end: int
    points: tuple[tuple[float, float], ...]


@_message("reasoning.done")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDone(RequestEvent):
    """The whole reasoning, before the first answer token."""

    text: str
    grounding: tuple[Ground, ...]


@_message("text.delta")
@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta(RequestEvent):
    """More answer or caption text; `n` tokens."""

    delta: str
    n: int = 1


@_message("point")
@dataclass(frozen=True, slots=True, kw_only=True)
class PointEvent(RequestEvent):
    """One point of the point skill."""

    index: int
    x: float
    y: float


@_message("box.center")
@dataclass(frozen=True, slots=True, kw_only=True)
class BoxCenter(RequestEvent):
    """Centre of a box whose size is not decoded yet."""

    index: int
    x: float
    y: float


@_message("box")
@dataclass(frozen=True, slots=True, kw_only=True)
class BoxEvent(RequestEvent):
    """One box of the detect skill."""

    index: int
    x_min: float
    y_min: float
    x_max: float
    y_max: float


@_message("request.done")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDone(RequestEvent):
    """Terminal. `output` is the native JSON result of the skill, see `result_from_json`."""

    finish_reason: str
    output: dict[str, Any]
    metrics: Metrics


@_message("request.cancelled")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCancelled(RequestEvent):
    """Terminal. `reason` is client, disconnect or shutdown."""

    reason: str
    metrics: Metrics


@_message("request.failed")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed(RequestEvent):
    """Terminal."""

    error: ErrorInfo


@_message("request.snapshot")
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
    | RequestDone
    | RequestCancelled
    | RequestFailed
    | RequestSnapshot
)
TERMINAL = (RequestDone, RequestCancelled, RequestFailed)
MERGEABLE = (ReasoningDelta, TextDelta)


# ----------------------------------------------------------------------------------------------- codecs


def encode(message: Message) -> str:
    """One line of pure ASCII JSON. Raises `ValueError` on NaN or infinity."""
    return json.dumps({"type": message.wire_type, **to_json(message)}, allow_nan=False, separators=(",", ":"))


def decode(text: str | bytes) -> Message:
    """Parse one text frame. Raises `WireError` naming what is wrong; unknown types get `unknown_type`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"The frame is not JSON: {error}", code="invalid_json") from None
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise WireError("A frame is a JSON object with a string field 'type'.", "type", "invalid_json")
    cls = _CLASSES.get(data["type"])
    if cls is None:
        raise WireError(f"Unknown message type {data['type']!r}.", "type", "unknown_type")
    return from_json(cls, data)
