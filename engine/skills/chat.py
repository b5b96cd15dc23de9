"""A conversation with images in any of its user messages, as the prompt of a query.

Every user message stands in the query template with its images before it; an answer of the model follows the
opener of an answer. The system text stands in front of the first user text. Nothing ends a turn but the next
one. What the model then writes is decoded like the answer to a query, reasoning and all.

That is how Moondream 3 is used. Moondream 2 has no published conversations: here it gets the same template
with its own opener, and one image, which comes first of all as it does in every other prompt of that model.
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamscope.engine import wire
from dreamscope.engine.errors import InvalidParameter, TooManyImages
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Picture, PromptItem
from dreamscope.engine.skills.answer import StartGrammar
from dreamscope.engine.skills.base import Budget, ChatMessage, SkillRequest
from dreamscope.engine.skills.query import AnsweringSkill


class ChatSkill(AnsweringSkill):
    """State of the next message. Its opening is what comes after the last image.

    Raises `TooManyImages` or `InvalidParameter` for images where the family cannot take them.
    """

    before: list[PromptItem | Picture]
    """From behind BOS to the last image; empty without one."""

    def __init__(
        self,
        request: SkillRequest,
        ids: TokenizerConfig,
        tokenizer: Tokenizer,
        budget: Budget,
        start_grammar: StartGrammar | None = None,
    ) -> None:
        if not ids.rules.images_anywhere:
            check_single_image(request.messages)
        items = render_chat(request.messages, ids, tokenizer, request.reasoning)[1:]
        cut = max((place + 1 for place, item in enumerate(items) if isinstance(item, Picture)), default=0)
        self.before = items[:cut]
        opening = [item for item in items[cut:] if not isinstance(item, Picture)]
        super().__init__(request, ids, tokenizer, budget, opening, start_grammar)

    def result(self) -> wire.ChatResult:
        """The message so far, and the reasoning if it was asked for."""
        return wire.ChatResult(*self.parts())


def check_single_image(messages: Sequence[ChatMessage]) -> None:
    """For families that know an image only as the beginning of everything.

    Raises `TooManyImages`, or `InvalidParameter` for an image that is not in the first message after the
    system's.
    """
    images = sum(message.images for message in messages)
    if images > 1:
        raise TooManyImages(f"The conversation has {images} images; this model can look at one.", "messages")
    first = next((message for message in messages if message.role != "system"), None)
    if images and (first is None or not first.images):
        raise InvalidParameter(
            "This model can look at an image only if it comes with the first message.", "messages"
        )


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
            items += [*ids.query_opener(False), *tokenizer.encode(message.text)]
        else:
            text = "\n\n".join(part for part in (system, message.text) if part)
            items += [Picture(pictures + index) for index in range(message.images)]
            items += [*ids.query_prefix, *tokenizer.encode(text)]
            system, pictures = "", pictures + message.images
    return [*items, *ids.query_opener(reasoning)]
