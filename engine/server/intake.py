"""From a `request.create` message to what the engine takes."""

from __future__ import annotations

from dreamscope.engine import errors, wire
from dreamscope.engine.models.registry import known_names
from dreamscope.engine.runtime.job import EngineRequest
from dreamscope.engine.server.adapter_choice import split_adapter
from dreamscope.engine.server.uploads import Upload
from dreamscope.engine.skills.base import SkillRequest
from dreamscope.engine.skills.parse import parse_request

ON_DISCONNECT = ("cancel", "continue")


def parse(message: wire.RequestCreate, model: wire.ModelInfo) -> SkillRequest:
    """Everything that can be checked without the image. Raises `DreamscopeError` naming the field."""
    if message.on_disconnect not in ON_DISCONNECT:
        raise errors.InvalidParameter(
            f"on_disconnect must be one of {', '.join(ON_DISCONNECT)}, not {message.on_disconnect!r:.40}.",
            "on_disconnect",
        )
    for name in ("question", "object"):
        check_text(getattr(message, name), name)
    plain, _ = split_adapter(message)
    check_model(plain.model, model)
    return parse_request(plain, model.skills, context_length=model.context_length)


def check_text(text: str | None, name: str) -> None:
    """Raises `InvalidParameter` for half a surrogate pair: JSON can carry it, no tokenizer can read it."""
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise errors.InvalidParameter(
            f"{name} holds half of a surrogate pair, which is no text.", name
        ) from None


def check_model(name: str | None, loaded: wire.ModelInfo) -> None:
    """Raises `ModelNotFound` unless `loaded` answers to this name.

    It answers to no name, to its own id and aliases, and to every other name of our own models: clients
    hard-code those, and `request.accepted` says which model took the request.
    """
    if name is None:
        return
    wanted = name.strip().lower()
    own = {other.lower() for other in (loaded.id, *loaded.aliases)}
    if wanted not in own and wanted not in known_names():
        raise errors.ModelNotFound(
            f"No model {name!r:.80}; this server has {', '.join((loaded.id, *loaded.aliases))}.", "model"
        )


def engine_request(
    message: wire.RequestCreate,
    parsed: SkillRequest,
    model: wire.ModelInfo,
    upload: Upload | None,
    deadline: float,
) -> EngineRequest:
    """`deadline` in seconds of the monotonic clock."""
    _, adapter = split_adapter(message)
    return EngineRequest(
        request_id=message.request_id,
        skill_request=parsed,
        image=None if upload is None else upload.image,
        deadline=deadline,
        tag=message.tag,
        model=model.id if adapter is None else f"{model.id}/{adapter}",
        adapter=adapter,
    )
