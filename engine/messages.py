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
