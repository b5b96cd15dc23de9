"""What messages are made of besides results; part of `wire`, through which everyone imports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
    preprocess_time_ms: float | None = None
    """Cutting its images, which happens while it is queued; nothing if they were known."""
    itl_p50_ms: float | None = None
    """Between neighbouring decisions: median, 95th percentile and the longest."""
    itl_p95_ms: float | None = None
    itl_max_ms: float | None = None
    batch_mean: float | None = None
    """How many requests shared a decode step with it, itself included, on average."""
    zombie_steps: int | None = None
    """Steps that carried it although it had ended, because they were on their way already."""
    depth: int | None = None
    """How many steps could be in flight when it ended."""
    device: str | None = None


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
class Price:
    """What tokens cost, in US dollars per million; `name` says where that is charged, or would be.

    Of a model on this machine it is what the same tokens would have cost elsewhere, and `name` says where.
    """

    input_usd_per_million: float
    output_usd_per_million: float
    name: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One entry of the model list.

    `state`: `ready` (its files are on this machine, or it runs elsewhere), `download` (they are fetched
    first), `loading`, or `unavailable` and `failed`, for which `reason` is a sentence. `loaded`: requests run
    at once. `adapters`: the `NAME@STEP` that requests may name. `revision` tells weights of the same name
    apart; empty if it is not known. `price` is what its tokens cost, or would; `None` where nobody has
    published one.
    `download_bytes`: about what a model of state `download` fetches, if that is known.
    """

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
    state: str = "ready"
    adapters: tuple[str, ...] = ()
    reason: str | None = None
    revision: str = ""
    price: Price | None = None
    download_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server accepts on one connection."""

    max_message_bytes: int
    max_inflight: int
    replay_seconds: float
    replay_events: int


@dataclass(frozen=True, slots=True)
class Preset:
    """A ready-made request: what a client would fill in for a common task. Absent fields are left alone."""

    id: str
    name: str
    skill: str
    question: str | None = None
    reasoning: bool | None = None
    response_format: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One message of a conversation.

    `role` is system, user or assistant; `content` a string, or a list of `{"type": "text", "text": ...}` and
    `{"type": "image", "image_id": ...}` or `{"type": "image", "image_url": ...}`.
    """

    role: str
    content: Any
