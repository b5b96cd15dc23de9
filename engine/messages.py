"""The messages of a connection that belong to no running request; part of `wire`.

A message class is registered under its wire `type`, which is how `wire.decode` finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from dreamscope.engine.facts import ChatTurn, ErrorInfo, Limits, ModelInfo, Preset
from dreamscope.engine.results import Box

PROTOCOL = 1

CLASSES: dict[str, type[Message]] = {}
M = TypeVar("M", bound="type[Message]")


@dataclass(frozen=True, slots=True)
class Message:
    """Base of everything that crosses the socket. `wire_type` is the JSON `type`."""

    wire_type: ClassVar[str] = ""


def message(wire_type: str) -> Callable[[M], M]:
    """Register a class under its wire `type`."""

    def register(cls: M) -> M:
        cls.wire_type = wire_type
        CLASSES[wire_type] = cls
        return cls

    return register


@message("hello")
@dataclass(frozen=True, slots=True)
class Hello(Message):
    """First message of a client."""

    protocol: int = PROTOCOL
    auth: str | None = None
    client: str | None = None


@message("image.put")
@dataclass(frozen=True, slots=True)
class ImagePut(Message):
    """Upload an image once, under a name the client chooses."""

    image_id: str
    image_url: str


@message("image.drop")
@dataclass(frozen=True, slots=True)
class ImageDrop(Message):
    """Forget an uploaded image."""

    image_id: str


@message("request.create")
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCreate(Message):
    """Ask for one skill. Fields that a skill does not use stay `None`.

    `uncertainty`: whether events and result carry the spread of every number and the probability of every
    text token; off unless it is asked for.
    """

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
    eye: tuple[float, float] | None = None
    face: Box | None = None
    force_detect: bool | None = None
    variant: str | None = None
    messages: tuple[ChatTurn, ...] | None = None
    preset: str | None = None
    response_format: dict[str, Any] | None = None
    uncertainty: bool | None = None
    settings: dict[str, Any] | None = None
    on_disconnect: str = "cancel"
    tag: Any = None


@message("request.cancel")
@dataclass(frozen=True, slots=True)
class RequestCancel(Message):
    """Stop a request; what was decoded so far stays."""

    request_id: str


@message("request.resume")
@dataclass(frozen=True, slots=True)
class RequestResume(Message):
    """Replay every event with `seq > after`, then go on live."""

    request_id: str
    after: int = -1


@message("model.load")
@dataclass(frozen=True, slots=True)
class ModelLoad(Message):
    """Make a model of the list ready; a request that names it does so as well."""

    model: str


@message("stats.subscribe")
@dataclass(frozen=True, slots=True)
class StatsSubscribe(Message):
    """Send `stats` every so often, at least 250 ms apart; 0 stops it."""

    interval_ms: int


@message("stats")
@dataclass(frozen=True, slots=True, kw_only=True)
class Stats(Message):
    """How the server is doing: sums over the loaded models, totals since the start of their engines.

    `workers` counts the loaded models; `max_queue_size` is the bound of each. `default_timeout` and
    `uptime_s` in seconds, `tokens_per_second` over all that decode now. Pages count positions; those that are
    kept for later but may be taken at any time are not used. `None` where nothing measures it.
    """

    status: str
    model: str
    workers: int = 0
    queue_size: int = 0
    max_queue_size: int | None = None
    processing: int = 0
    timeouts: int = 0
    default_timeout: float | None = None
    requests_processed: int = 0
    cancelled: int = 0
    failed: int = 0
    output_tokens: int = 0
    tokens_per_second: float | None = None
    batch_size: int | None = None
    kv_pages_used: int | None = None
    kv_pages_total: int | None = None
    prefix_hits: int | None = None
    prefix_misses: int | None = None
    uptime_s: float = 0.0


@message("ready")
@dataclass(frozen=True, slots=True)
class Ready(Message):
    """Answer to `hello`."""

    protocol: int
    connection_id: str
    server: str
    models: tuple[ModelInfo, ...]
    limits: Limits
    presets: tuple[Preset, ...] = ()


@message("models")
@dataclass(frozen=True, slots=True)
class Models(Message):
    """The model list after a change of it."""

    models: tuple[ModelInfo, ...]


@message("model.progress")
@dataclass(frozen=True, slots=True)
class ModelProgress(Message):
    """A step of loading: a sentence, and which share of the bytes is done if that is known."""

    model: str
    detail: str
    done: float | None = None


@message("image.ready")
@dataclass(frozen=True, slots=True)
class ImageReady(Message):
    """An uploaded image was decoded; size in pixels after orientation."""

    image_id: str
    width: int
    height: int
    bytes: int
    sha256: str


@message("error")
@dataclass(frozen=True, slots=True)
class ErrorEvent(Message):
    """Something outside any request went wrong; `ref` is the id in the offending message."""

    error: ErrorInfo
    ref: str | None = None
