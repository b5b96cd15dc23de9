"""The page's end of the websocket, and what may come over it."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Any, Protocol

from dreamscope.app import words
from dreamscope.app.asks import Invalid
from dreamscope.app.config import COLUMNS
from dreamscope.visualizers import foreign_json

_HASH = re.compile(r"[0-9a-f]{64}")


class Browser(Protocol):
    """The page's end of the websocket."""

    async def receive(self) -> str | bytes | None:
        """The next message; `None` when the page is gone."""

    def send(self, text: str) -> Awaitable[None]:
        """Send a text message. Raises `ConnectionError` when the page is gone."""


def parse_message(text: str) -> dict[str, Any]:
    """A text message of the page. Raises `Invalid`."""
    try:
        message = foreign_json.parse(text)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise Invalid("prompt", "The page sent something that is not JSON.")
    return message


def image_of(announced: Any) -> tuple[str, str | None]:
    """The page's id of an image, and the hash if it is a stored one; else its bytes come next.

    Raises `Invalid`.
    """
    image_id = announced.get("id") if isinstance(announced, dict) else None
    if not isinstance(image_id, str) or not 1 <= len(image_id) <= 64:
        raise Invalid("image", words.IMAGE_UNREADABLE)
    image_hash = announced.get("hash")
    if image_hash is not None and not (isinstance(image_hash, str) and _HASH.fullmatch(image_hash)):
        raise Invalid("image", words.IMAGE_NOT_KEPT)
    return image_id, image_hash


def column_of(stopped: Any) -> str | None:
    """The column to stop; `None` for all. Raises `Invalid`."""
    if stopped is True:
        return None
    if stopped not in COLUMNS:
        raise Invalid("prompt", f"The column must be one of {', '.join(COLUMNS)}.")
    return str(stopped)


def model_of(wanted: Any) -> str:
    """The id of the model to load. Raises `Invalid`."""
    if not isinstance(wanted, str) or not wanted.strip():
        raise Invalid("model", words.MODEL_MISSING)
    return wanted
