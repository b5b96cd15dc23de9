"""The `messages` of a conversation: their order, their texts, and the images they bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from dreamscope.engine import wire
from dreamscope.engine.errors import (
    ContextLengthExceeded,
    InvalidParameter,
    MissingParameter,
    TooManyImages,
)
from dreamscope.engine.skills.base import ChatMessage

ROLES = ("system", "user", "assistant")
MAX_MESSAGES = 256
MAX_IMAGES = 16
_PART_FORMS = (
    '{"type": "text", "text": ...}, {"type": "image", "image_id": ...} '
    'and {"type": "image", "image_url": ...}'
)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where an image of a conversation comes from: an upload by its name, or itself. One of them is set."""

    image_id: str | None = None
    image_url: str | None = None


def parse_messages(turns: Sequence[wire.ChatTurn] | None, longest: int) -> tuple[ChatMessage, ...]:
    """Check a conversation; `longest` is the most characters that all its texts may have.

    The texts of one message are joined as they are, whatever stands between them. Raises
    `MissingParameter`, `InvalidParameter`, `TooManyImages` or `ContextLengthExceeded` saying which message.
    """
    if not turns:
        raise MissingParameter("The skill chat needs messages, the last one from the user.", "messages")
    if len(turns) > MAX_MESSAGES:
        raise InvalidParameter(
            f"The conversation has {len(turns)} messages; at most {MAX_MESSAGES} are accepted.", "messages"
        )
    messages = tuple(_message(turn, index) for index, turn in enumerate(turns))
    if messages[-1].role != "user":
        raise InvalidParameter(
            f"The last message must be from the user, not from the {messages[-1].role}.", "messages"
        )
    images = sum(message.images for message in messages)
    if images > MAX_IMAGES:
        raise TooManyImages(
            f"The conversation has {images} images; at most {MAX_IMAGES} are accepted.", "messages"
        )
    characters = sum(len(message.text) for message in messages)
    if characters > longest:
        raise ContextLengthExceeded(
            f"The conversation has {characters:,} characters; at most {longest:,} are accepted.", "messages"
        )
    return messages


def image_refs(turns: Sequence[wire.ChatTurn]) -> Iterator[ImageRef]:
    """The images of a conversation in order; what `parse_messages` refuses is passed over."""
    for turn in turns:
        for part in turn.content if isinstance(turn.content, list) else ():
            ref = _image(part) if isinstance(part, dict) else None
            if ref is not None:
                yield ref


def _message(turn: wire.ChatTurn, index: int) -> ChatMessage:
    if turn.role not in ROLES:
        raise InvalidParameter(
            f"messages[{index}]: the role must be one of {', '.join(ROLES)}, not {turn.role!r:.40}.",
            "messages",
        )
    if turn.role == "system" and index:
        raise InvalidParameter(f"messages[{index}]: a system message can only be the first one.", "messages")
    parts = turn.content if isinstance(turn.content, list) else [{"type": "text", "text": turn.content}]
    texts = [_text(part, index) for part in parts]
    message = ChatMessage(
        cast(Literal["system", "user", "assistant"], turn.role),
        "".join(text for text in texts if text is not None),
        sum(text is None for text in texts),
    )
    if message.images and message.role != "user":
        raise InvalidParameter(f"messages[{index}]: only messages of the user hold images.", "messages")
    if message.role == "user" and not message.images and not message.text.strip():
        raise MissingParameter(
            f"messages[{index}]: a message of the user needs text or an image.", "messages"
        )
    return message


def _text(part: Any, index: int) -> str | None:
    """The text of a part, `None` for an image. Raises `InvalidParameter` for anything else."""
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    if isinstance(text, str):
        _check_text(text, index)
        return text
    if isinstance(part, dict) and _image(part) is not None:
        return None
    raise InvalidParameter(
        f"messages[{index}]: content must be a string or a list of {_PART_FORMS}, not {part!r:.60}.",
        "messages",
    )


def _check_text(text: str, index: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidParameter(
            f"messages[{index}] holds half of a surrogate pair, which is no text.", "messages"
        ) from None


def _image(part: dict[str, Any]) -> ImageRef | None:
    """The image of a part in our form or OpenAI's, `{"type": "image_url", "image_url": {"url": ...}}`."""
    image_id, image_url = part.get("image_id"), part.get("image_url")
    if part.get("type") == "image_url" and isinstance(image_url, dict):
        image_url = image_url.get("url")
    elif part.get("type") not in ("image", "image_url"):
        return None
    given = [each for each in (image_id, image_url) if each is not None]
    if len(given) != 1 or not isinstance(given[0], str):
        return None
    return ImageRef(image_id, image_url)
