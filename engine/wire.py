"""Every message of `md-stream.v1` and every result, as frozen dataclasses with JSON codecs.

A leaf: standard library only. It is the one engine module that `app` and `visualizers` may import, so both
sides of the socket share one schema; its parts have a file of their own.
Coordinates are fractions of the oriented image, x to the right and y down; text offsets count Unicode code
points; times are milliseconds.

A message class is registered under its wire `type`; `encode` and `decode` are the only codecs. Unknown
fields are ignored and absent optional fields take their default, because within a protocol version only
additions are made.
"""

from __future__ import annotations

import json

from dreamscope.engine.codec import WireError, from_json, to_json
from dreamscope.engine.events import (
    MERGEABLE,
    TERMINAL,
    BoxCenter,
    BoxEvent,
    Event,
    GazeEvent,
    MaskBox,
    MaskDelta,
    MaskDone,
    PointEvent,
    ReasoningDelta,
    ReasoningDone,
    RequestAccepted,
    RequestCancelled,
    RequestDone,
    RequestEvent,
    RequestFailed,
    RequestSnapshot,
    RequestStarted,
    SpanClose,
    SpanOpen,
    SpanPoint,
    TextDelta,
)
from dreamscope.engine.facts import (
    ChatTurn,
    ErrorInfo,
    ImageInfo,
    Limits,
    Metrics,
    ModelInfo,
    Preset,
    Price,
)
from dreamscope.engine.messages import (
    CLASSES,
    PROTOCOL,
    ErrorEvent,
    Hello,
    ImageDrop,
    ImagePut,
    ImageReady,
    Message,
    ModelLoad,
    ModelProgress,
    Models,
    Ready,
    RequestCancel,
    RequestCreate,
    RequestResume,
    Stats,
    StatsSubscribe,
)
from dreamscope.engine.results import (
    RESULTS,
    Box,
    BoxSpread,
    CaptionResult,
    ChatResult,
    DetectResult,
    GazeResult,
    Ground,
    PlaceSpread,
    Point,
    PointResult,
    Probs,
    QueryResult,
    Reasoning,
    Result,
    SegmentResult,
    Spread,
    result_from_json,
    result_to_json,
)
from dreamscope.engine.traces import DepthSet, Forecast, Trace, TraceStep, TraceSubscribe

__all__ = [
    "MERGEABLE",
    "PROTOCOL",
    "RESULTS",
    "SUBPROTOCOL",
    "TERMINAL",
    "Box",
    "BoxCenter",
    "BoxEvent",
    "BoxSpread",
    "CaptionResult",
    "ChatResult",
    "ChatTurn",
    "DepthSet",
    "DetectResult",
    "ErrorEvent",
    "ErrorInfo",
    "Event",
    "Forecast",
    "GazeEvent",
    "GazeResult",
    "Ground",
    "Hello",
    "ImageDrop",
    "ImageInfo",
    "ImagePut",
    "ImageReady",
    "Limits",
    "MaskBox",
    "MaskDelta",
    "MaskDone",
    "Message",
    "Metrics",
    "ModelInfo",
    "ModelLoad",
    "ModelProgress",
    "Models",
    "PlaceSpread",
    "Point",
    "PointEvent",
    "PointResult",
    "Preset",
    "Price",
    "Probs",
    "QueryResult",
    "Ready",
    "Reasoning",
    "ReasoningDelta",
    "ReasoningDone",
    "RequestAccepted",
    "RequestCancel",
    "RequestCancelled",
    "RequestCreate",
    "RequestDone",
    "RequestEvent",
    "RequestFailed",
    "RequestResume",
    "RequestSnapshot",
    "RequestStarted",
    "Result",
    "SegmentResult",
    "SpanClose",
    "SpanOpen",
    "SpanPoint",
    "Spread",
    "Stats",
    "StatsSubscribe",
    "TextDelta",
    "Trace",
    "TraceStep",
    "TraceSubscribe",
    "WireError",
    "decode",
    "encode",
    "from_json",
    "result_from_json",
    "result_to_json",
    "to_json",
]

SUBPROTOCOL = "md-stream.v1"


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
    cls = CLASSES.get(data["type"])
    if cls is None:
        raise WireError(f"Unknown message type {data['type']!r}.", "type", "unknown_type")
    return from_json(cls, data)
