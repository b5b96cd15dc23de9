"""From a `request.create` message to what the engine takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dreamscope.engine import errors, wire
from dreamscope.engine.runtime.job import EngineRequest
from dreamscope.engine.server.adapter_choice import split_adapter
from dreamscope.engine.server.uploads import Upload
from dreamscope.engine.skills.base import SkillRequest
from dreamscope.engine.skills.parse import parse_request
from dreamscope.engine.skills.parse_chat import ImageRef
from dreamscope.engine.skills.parse_chat import image_refs as chat_images
from dreamscope.engine.skills.presets import apply_preset

ON_DISCONNECT = ("cancel", "continue")


def parse(message: wire.RequestCreate, model: wire.ModelInfo) -> SkillRequest:
    """Everything that can be checked without the image. Raises `DreamscopeError` naming the field."""
    message = apply_preset(message)
    if message.on_disconnect not in ON_DISCONNECT:
        raise errors.InvalidParameter(
            f"on_disconnect must be one of {', '.join(ON_DISCONNECT)}, not {message.on_disconnect!r:.40}.",
            "on_disconnect",
        )
    for name in ("question", "object"):
        check_text(getattr(message, name), name)
    plain, _ = split_adapter(message)
    return parse_request(plain, model.skills, context_length=model.context_length)


def check_text(text: str | None, name: str) -> None:
    """Raises `InvalidParameter` for half a surrogate pair: JSON can carry it, no tokenizer can read it."""
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise errors.InvalidParameter(
            f"{name} holds half of a surrogate pair, which is no text.", name
        ) from None


def base_model(message: wire.RequestCreate) -> str | None:
    """The name of the model without its adapter; `None` for the default. Raises as `split_adapter`."""
    return split_adapter(message)[0].model


def answering(message: wire.RequestCreate, model: wire.ModelInfo) -> str:
    """What `request.accepted` calls the model, with its adapter."""
    _, adapter = split_adapter(message)
    return model.id if adapter is None else f"{model.id}/{adapter}"


def image_refs(message: wire.RequestCreate) -> list[ImageRef]:
    """Where the images of the request come from, in order; what `parse` refuses may be missing."""
    if message.skill == "chat":
        return list(chat_images(message.messages or ()))
    if message.image_url is not None:
        return [ImageRef(image_url=message.image_url)]
    return [] if message.image_id is None else [ImageRef(message.image_id)]


def without_images(message: wire.RequestCreate) -> tuple[wire.ChatTurn, ...] | None:
    """The messages of a conversation with `null` in place of every image that is part of them."""
    if message.messages is None:
        return None
    return tuple(
        replace(turn, content=[_without_image(part) for part in turn.content])
        if isinstance(turn.content, list)
        else turn
        for turn in message.messages
    )


def _without_image(part: Any) -> Any:
    inline = isinstance(part, dict) and "image_url" in part
    return {**part, "image_url": None} if inline else part


def engine_request(
    message: wire.RequestCreate,
    parsed: SkillRequest,
    model: wire.ModelInfo,
    uploads: Sequence[Upload],
    deadline: float,
    accepted_at: float | None = None,
) -> EngineRequest:
    """`uploads` are those of `image_refs`, in order. Moments in seconds of the monotonic clock;
    `accepted_at` as in `EngineRequest`.
    """
    images = tuple(upload.image for upload in uploads)
    talks = parsed.skill == "chat"
    _, adapter = split_adapter(message)
    return EngineRequest(
        request_id=message.request_id,
        skill_request=parsed,
        image=images[0] if images and not talks else None,
        images=images if talks else (),
        deadline=deadline,
        tag=message.tag,
        model=answering(message, model),
        adapter=adapter,
        accepted_at=accepted_at,
    )
