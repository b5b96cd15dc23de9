"""The OpenAI protocol: `POST /v1/chat/completions`, from the asking side.

Query and caption are questions in one message with the image in front; only chat is what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from dreamscope.engine.remote import checked
from dreamscope.engine.remote.checked import BadAnswer
from dreamscope.engine.remote.reading import Events, Json, Reading
from dreamscope.engine.skills.base import SkillRequest

CAPTIONS = {
    "short": "Describe this image in one short sentence.",
    "normal": "Describe this image in a few sentences.",
    "long": "Describe this image in detail: what is where, what it looks like, and what happens.",
}
_REASONING = ("reasoning", "reasoning_content")
"""What servers call the text of the reasoning."""


def body_of(request: SkillRequest, model: str | None, image_urls: Sequence[str]) -> dict[str, Any]:
    """The body of the request; it knows no spatial references."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "messages": _messages(request, iter(image_urls)),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_completion_tokens": sampling.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if model is not None:
        body["model"] = model
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if request.reasoning:
        body["reasoning_effort"] = "medium"
    if request.schema is not None:
        schema = {"name": "answer", "schema": json.loads(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _messages(request: SkillRequest, images: Iterator[str]) -> list[dict[str, Any]]:
    if request.skill == "chat":
        return [
            {"role": turn.role, "content": _content(turn.text, [next(images) for _ in range(turn.images)])}
            for turn in request.messages
        ]
    text = CAPTIONS[request.length] if request.skill == "caption" else request.question
    return [{"role": "user", "content": _content(text, list(images))}]


def _content(text: str, images: Sequence[str]) -> Any:
    """Plain where there is no image: not every server takes parts."""
    if not images:
        return text
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return [*parts, {"type": "text", "text": text}] if text else parts


class ChatReading(Reading):
    """Answers of query, caption and chat. A stream goes on after its last word: with the counts."""

    _stopped = False

    def ended(self, said: bool = False) -> Events:
        """Some servers close a stream without saying so; the reason of its end is enough then."""
        self.complete = said or self._stopped
        return self.settle()

    def _event(self, body: Json) -> Events:
        self._measured(body)
        choice = _choice(body)
        if choice is None:
            return []
        delta = choice.get("delta")
        events = self._pieces(delta) if isinstance(delta, dict) else []
        return [*events, *self._stop(choice)]

    def _whole(self, body: Json) -> Events:
        self._measured(body)
        choice = _choice(body)
        if choice is None or not isinstance(choice.get("message"), dict):
            raise BadAnswer("there is no message in it")
        return [*self._pieces(choice["message"]), *self._stop(choice)]

    def _pieces(self, piece: Json) -> Events:
        """What a delta or a message says."""
        details = piece.get("reasoning_details")
        if isinstance(details, dict) and "grounding" in details:
            self.grounding += checked.listed(details["grounding"], "grounding")
        thought = next((piece[name] for name in _REASONING if isinstance(piece.get(name), str)), "")
        said = piece.get("content") if piece.get("content") is not None else piece.get("refusal")
        return [
            *self.add_reasoning(checked.text_of(thought, "reasoning")),
            *self.add_text("" if said is None else checked.text_of(said, "content")),
        ]

    def _stop(self, choice: dict[str, Any]) -> Events:
        if choice.get("finish_reason") is None:
            return []
        self._stopped = True
        self.finish_reason = checked.finish_reason(choice["finish_reason"])
        return self.settle()

    def _measured(self, body: Json) -> None:
        usage = body.get("usage")
        if not isinstance(usage, dict):
            return
        counts = {
            "input_tokens": usage.get("prompt_tokens"),
            "output_tokens": usage.get("completion_tokens"),
            "cached_tokens": _detail(usage, "prompt_tokens_details", "cached_tokens"),
            "reasoning_tokens": _detail(usage, "completion_tokens_details", "reasoning_tokens"),
        }
        self.metrics = checked.metrics_of(counts)


def _choice(body: Json) -> dict[str, Any] | None:
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def _detail(usage: dict[str, Any], group: str, name: str) -> Any:
    details = usage.get(group)
    return details.get(name) if isinstance(details, dict) else None
