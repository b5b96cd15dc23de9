"""What a call of one of Gradio's endpoints holds, as the requests have it, and what is left of a result."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from dreamscope.app import words
from dreamscope.app.asks import Invalid, new_id
from dreamscope.app.background import IMAGE_ID
from dreamscope.engine import wire

_ROLES = ("user", "assistant", "system")
_SPREADS = ("probs", "spread", "spreads")


def image_bytes(text: str) -> bytes:
    """The bytes of a data URL, or of bare base64. Raises `Invalid`; addresses are never fetched."""
    head, comma, payload = text.partition(",")
    if text.startswith("data:") and not (comma and head.endswith(";base64")):
        raise Invalid("image", words.IMAGE_AS_TEXT)
    try:
        return base64.b64decode(payload if comma else text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("image", words.IMAGE_AS_TEXT) from None


def conversation(create: wire.RequestCreate, messages: Any) -> wire.RequestCreate:
    """The request of a chat with the settings of `create`; its first question has the image.

    Raises `Invalid` for messages that are no conversation.
    """
    if not isinstance(messages, list) or not messages:
        raise Invalid("prompt", words.NO_CONVERSATION)
    for message in messages:
        known = isinstance(message, dict) and message.get("role") in _ROLES
        if not known or not isinstance(message.get("content"), str):
            raise Invalid("prompt", words.NO_CONVERSATION)
    first = next((n for n, message in enumerate(messages) if message["role"] == "user"), None)
    if first is None or messages[-1]["role"] != "user":
        raise Invalid("prompt", words.NO_CONVERSATION)
    turns = [wire.ChatTurn(message["role"], message["content"]) for message in messages]
    about = [{"type": "image", "image_id": IMAGE_ID}, {"type": "text", "text": turns[first].content}]
    turns[first] = wire.ChatTurn("user", about)
    return wire.RequestCreate(
        request_id=new_id(),
        skill="chat",
        model=create.model,
        messages=tuple(turns),
        settings=create.settings,
        uncertainty=create.uncertainty,
    )


def without_spreads(value: Any) -> Any:
    """A result without how sure the model was, which the run in the history tells."""
    if isinstance(value, list):
        return [without_spreads(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: without_spreads(each) for name, each in value.items() if name not in _SPREADS}
