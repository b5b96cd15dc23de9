"""The requests of a run as the engine's HTTP routes and its websocket take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dreamscope.engine import wire
from dreamscope.visualizers.exports.naming import image_name
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.snippets.literal import comment

IMAGE_ID = "image"
HTTP_SKILLS = ("caption", "query", "detect", "point", "segment")
_HTTP_FIELDS = {
    "caption": ("length",),
    "query": ("question", "preset", "reasoning", "spatial_refs", "response_format"),
    "detect": ("object",),
    "point": ("object", "spatial_refs"),
    "segment": ("object", "spatial_refs"),
}
_OPENAI_SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_completion_tokens",
    "seed": "seed",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the engine listens: `http://host:port`, without a path."""

    url: str

    @classmethod
    def of(cls, engine_url: str | None) -> Target:
        """From the address of the engine, whatever its scheme and path; its default port if it is unknown."""
        parts = urlsplit(engine_url or "http://127.0.0.1:2020")
        scheme = "https" if parts.scheme in ("https", "wss") else "http"
        path = parts.path.removesuffix("/").removesuffix("/v1/ws")
        return cls(f"{scheme}://{parts.netloc.rpartition('@')[2]}{path}")

    @property
    def api(self) -> str:
        """What clients call the base URL or endpoint."""
        return f"{self.url}/v1"

    @property
    def socket(self) -> str:
        """The websocket."""
        return f"ws{self.url.removeprefix('http')}/v1/ws"


def model_of(record: Record) -> str:
    """The model that answered, with its adapter: `MODEL/NAME@STEP`."""
    return f"{record.model}/{record.variant}" if record.variant else record.model


def http_bodies(record: Record) -> list[dict[str, Any]]:
    """The JSON body of each part, without the image; empty for a skill that has no HTTP route."""
    return [_body(record, part.create) for part in record.parts] if record.skill in HTTP_SKILLS else []


def socket_requests(record: Record) -> list[dict[str, Any]]:
    """The `request.create` of each part, without its id."""
    return [_request(record, part.create) for part in record.parts]


def openai_fields(record: Record, create: wire.RequestCreate) -> dict[str, Any]:
    """The fields of a chat completion besides the messages."""
    given = create.settings or {}
    settings = {theirs: given[ours] for ours, theirs in _OPENAI_SETTINGS.items() if ours in given}
    form = {} if create.response_format is None else {"response_format": create.response_format}
    return {"model": model_of(record), **settings, **form}


def heading(record: Record, target: Target) -> list[str]:
    """Comments on what a script needs; harmless in Python and in a shell."""
    image = [comment(f"{file_of(record)} is the image of this run.")] if record.picture else []
    return [comment(f"The engine listens at {target.url}"), *image]


def file_of(record: Record) -> str:
    """The name that the snippets give the image's file."""
    return f"image.{image_name(record).rpartition('.')[2]}"


def media_type(record: Record) -> str:
    """The type of the image's file."""
    return record.picture.media_type if record.picture else "image/png"


def _body(record: Record, create: wire.RequestCreate) -> dict[str, Any]:
    names = (*_HTTP_FIELDS[create.skill], "settings", "uncertainty")
    fields = {name: wire.to_json(getattr(create, name)) for name in names}
    known = {name: value for name, value in fields.items() if value is not None}
    return {"model": model_of(record), **known}


def _request(record: Record, create: wire.RequestCreate) -> dict[str, Any]:
    known: dict[str, Any] = wire.to_json(create)
    for name in ("request_id", "image_id", "image_url", "tag", "on_disconnect"):
        known.pop(name, None)
    with_image = record.picture is not None and create.skill != "chat"
    return {**known, "model": record.model, **({"image_id": IMAGE_ID} if with_image else {})}
