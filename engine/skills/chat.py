"""A conversation with images in any of its user messages, as the prompt of a query.

Every user message stands in the query template with its images before it; an answer of the model follows the
opener of an answer. The system text stands in front of the first user text. Nothing ends a turn but the next
one. What the model then writes is decoded like the answer to a query, reasoning and all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Picture, PromptItem


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message: all its text in one piece, and how many images it brings (user messages only)."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: int = 0


def render_chat(
    messages: Sequence[ChatMessage], ids: TokenizerConfig, tokenizer: Tokenizer, reasoning: bool
) -> list[PromptItem | Picture]:
    """The conversation from BOS up to the first decision, its images numbered in order.

    The messages are valid: a system message only at the front, a user message at the end.
    """
    items: list[PromptItem | Picture] = [ids.bos_id]
    system, pictures = "", 0
    for message in messages:
        if message.role == "system":
            system = message.text
        elif message.role == "assistant":
            items += [*ids.query_suffix, *tokenizer.encode(message.text)]
        else:
            text = "\n\n".join(part for part in (system, message.text) if part)
            items += [Picture(pictures + index) for index in range(message.images)]
            items += [*ids.query_prefix, *tokenizer.encode(text)]
            system, pictures = "", pictures + message.images
    return [*items, *ids.query_opener(reasoning)]
