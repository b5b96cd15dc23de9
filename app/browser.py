"""The page's end of the websocket, and what may come over it."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, Protocol

from dreamscope.app import words
from dreamscope.app.asks import Invalid


class Browser(Protocol):
    """The page's end of the websocket."""

    async def receive(self) -> str | bytes | None:
        """The next message; `None` when the page is gone."""

    def send(self, text: str) -> Awaitable[None]:
        """Send a text message. Raises `ConnectionError` when the page is gone."""


def parse_message(text: str) -> dict[str, Any]:
    """A text message of the page. Raises `Invalid`."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Invalid("prompt", "The page sent something that is not JSON.")
    return message


def image_id_of(announced: Any) -> str:
    """The id of the image whose bytes come next. Raises `Invalid`."""
    image_id = announced.get("id") if isinstance(announced, dict) else None
    if not isinstance(image_id, str) or not 1 <= len(image_id) <= 64:
        raise Invalid("image", words.IMAGE_UNREADABLE)
    return image_id


def model_of(wanted: Any) -> str:
    """The id of the model to load. Raises `Invalid`."""
    if not isinstance(wanted, str) or not wanted.strip():
        raise Invalid("model", words.MODEL_MISSING)
    return wanted
