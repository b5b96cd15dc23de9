"""`POST /v1/chat/completions`: OpenAI's body as a request of the skill chat."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.routing import BaseRoute, Route

from dreamscope.engine import errors
from dreamscope.engine.server.answering import Asked, Asking
from dreamscope.engine.server.bodies import Bodies
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.model_choice import answering_model
from dreamscope.engine.server.routes.chat_answer import Completion
from dreamscope.engine.server.routes.fields import flag, message_of, settings_of
from dreamscope.engine.skills.answer_format import TYPES

PATH = "/v1/chat/completions"
_SETTINGS = ("temperature", "top_p")
_ROLES = {"developer": "system"}
_MAX_SEED = 2**63


def routes(hub: Hub, bodies: Bodies) -> list[BaseRoute]:
    """The route."""
    return [Route(PATH, Asking(hub, bodies, partial(read, hub)), methods=["POST"])]


def read(hub: Hub, body: Mapping[str, Any], request_id: str) -> Asked:
    """What a body asks for; fields that OpenAI has and a vision model has not are ignored.

    Raises `MissingParameter`, `InvalidParameter`, `UnsupportedParameter` or `ModelNotFound`.
    """
    _check_unsupported(body)
    fields = {
        "model": body.get("model"),
        "messages": _messages(body.get("messages")),
        "reasoning": _reasoning(body),
        "response_format": _response_format(body),
        "settings": _settings(body),
    }
    message = answering_model(hub.shelf, message_of(fields, "chat", request_id))
    usage = flag(_object(body, "stream_options"), "include_usage")
    return Asked(
        message, flag(body, "stream"), lambda accepted: Completion(request_id, accepted.model, usage)
    )


def _check_unsupported(body: Mapping[str, Any]) -> None:
    """What would change the answer and cannot be done. The rest of OpenAI's fields is ignored."""
    count = body.get("n")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise errors.InvalidParameter("n must be a positive integer.", "n")
    if count is not None and count > 1:
        raise errors.UnsupportedParameter("There is one answer per request; n must be 1.", "n")
    if body.get("tools"):
        raise errors.UnsupportedParameter("The model cannot call tools.", "tools")
    if body.get("logprobs"):
        raise errors.UnsupportedParameter("Completions carry no logprobs.", "logprobs")


def _messages(messages: Any) -> Any:
    """Turns as our protocol has them; what does not look like one is left to later checks."""
    if not isinstance(messages, list):
        return messages
    return [_turn(each) for each in messages]


def _turn(turn: Any) -> Any:
    if not isinstance(turn, dict):
        return turn
    role, content = turn.get("role"), turn.get("content")
    role = _ROLES.get(role, role) if isinstance(role, str) else role
    return {"role": role, "content": "" if content is None else content}


def _reasoning(body: Mapping[str, Any]) -> bool:
    """`reasoning` as a switch or an object, else OpenAI's `reasoning_effort`."""
    asked = body.get("reasoning")
    if isinstance(asked, bool):
        return asked
    if asked is None:
        return _effort(body, "reasoning_effort", False)
    if not isinstance(asked, dict):
        raise errors.InvalidParameter("reasoning must be true, false or an object.", "reasoning")
    return flag(asked, "enabled") if asked.get("enabled") is not None else _effort(asked, "effort", True)


def _effort(holder: Mapping[str, Any], name: str, default: bool) -> bool:
    effort = holder.get(name)
    if effort is not None and not isinstance(effort, str):
        raise errors.InvalidParameter(f"{name} must be a string such as none, low, medium or high.", name)
    return default if effort is None else effort != "none"


def _response_format(body: Mapping[str, Any]) -> dict[str, Any] | None:
    wanted = _object(body, "response_format")
    kind = wanted.get("type")
    if kind is not None and kind not in TYPES:
        raise errors.UnsupportedParameter(
            f"The type of response_format must be one of {', '.join(TYPES)}, not {kind!r:.40}.",
            "response_format",
        )
    return wanted or None


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = settings_of(body, {}, _SETTINGS)
    limits = [body.get(name) for name in ("max_completion_tokens", "max_tokens")]
    settings["max_tokens"] = next((limit for limit in limits if limit is not None), None)
    seed = body.get("seed")
    if isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < _MAX_SEED:
        settings["seed"] = seed  # OpenAI promises nothing for it, so any other one is no error
    return settings


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise errors.InvalidParameter(f"{name} must be an object, not {type(value).__name__}.", name)
    return value or {}
