"""What an endpoint says of one request, turned into the events that our own engine would send.

A piece of text counts as one token in deltas, as nobody knows better; the counts of the metrics are those
that the endpoint reports at its end.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod

from dreamscope.engine import wire
from dreamscope.engine.remote import checked
from dreamscope.engine.remote.checked import parse_object, short_text
from dreamscope.engine.skills.base import UNADDRESSED, SkillRequest

Events = list[wire.RequestEvent]
Json = dict[str, object]


class EndpointError(Exception):
    """The endpoint itself reports a failure in the middle of an answer; the text is what it says."""


class Reading(ABC):
    """One answer as it comes in: `event` for each server-sent event, or `whole` once."""

    held_back = 0
    """Code points of reasoning that wait for the news that a span begins among them."""
    reasoning: wire.Reasoning | None

    def __init__(self, request: SkillRequest) -> None:
        self.request = request
        self.complete = False
        self.finish_reason = "stop"
        self.metrics = wire.Metrics()
        """What the endpoint measured."""
        self.text = ""
        self.reasoning = None
        self.grounding: list[object] = []
        """Spans as the endpoint told them; checked when the reasoning is over."""
        self._thought = ""
        self._shown = 0
        self._spans = 0

    def event(self, data: str) -> Events:
        """Take in the data of one server-sent event. Raises `BadAnswer` or `EndpointError`."""
        if data.strip() == "[DONE]":
            return self.ended(said=True)
        body = parse_object(data)
        raise_told_error(body)
        return self._event(body)

    def whole(self, body: Json) -> Events:
        """Take in a plain answer. Raises `BadAnswer` or `EndpointError`."""
        raise_told_error(body)
        events = self._whole(body)
        self.complete = True
        return events

    def ended(self, said: bool = False) -> Events:
        """The stream is over, or has `said` that it is."""
        return []

    @abstractmethod
    def _event(self, body: Json) -> Events:
        """One event of a stream."""

    @abstractmethod
    def _whole(self, body: Json) -> Events:
        """A plain answer."""

    def result(self) -> wire.Result:
        """The result, once `complete`."""
        if self.request.skill == "caption":
            return wire.CaptionResult(self.text)
        kind = wire.ChatResult if self.request.skill == "chat" else wire.QueryResult
        return kind(self.text, self.reasoning)

    # ------------------------------------------------------------------------------- text and reasoning

    def add_text(self, delta: str) -> Events:
        """More of the answer, before which the reasoning is over."""
        if not delta:
            return []
        self.text += delta
        return [*self.settle(), wire.TextDelta(request_id=UNADDRESSED, delta=delta)]

    def add_reasoning(self, delta: str) -> Events:
        """More of the reasoning; what nobody asked for is passed over, and so is what comes too late."""
        if not self._reasons_now:
            return []
        self._thought += delta
        return self._think(len(self._thought) - self.held_back)

    def add_ground(self, told: object) -> Events:
        """A span of the reasoning so far, whose text may be partly held back; it is told if it all is."""
        if not self._reasons_now:
            return []
        self.grounding.append(told)
        spans = checked.grounds([told], len(self._thought))
        if not spans or spans[0].start_idx < self._shown:
            return []
        (span,), index = spans, self._spans
        self._spans += 1
        return [
            *self._think(span.start_idx),
            wire.SpanOpen(request_id=UNADDRESSED, index=index, start=span.start_idx),
            *(wire.SpanPoint(request_id=UNADDRESSED, index=index, x=x, y=y) for x, y in span.points),
            *self._think(span.end_idx),
            wire.SpanClose(request_id=UNADDRESSED, index=index, end=span.end_idx, points=span.points),
        ]

    def add_reasoned(self, text: str, spans: list[object]) -> Events:
        """A whole reasoning, if there was none so far."""
        if not self._reasons_now or self._thought:
            return []
        self._thought = text
        return [event for span in spans for event in self.add_ground(span)]

    def settle(self) -> Events:
        """The reasoning is over, if there is any and it is not over already."""
        if not self._reasons_now:
            return []
        self.reasoning = wire.Reasoning(self._thought, checked.grounds(self.grounding, len(self._thought)))
        over = wire.ReasoningDone(
            request_id=UNADDRESSED, text=self.reasoning.text, grounding=self.reasoning.grounding
        )
        return [*self.rest(), over]

    def know_spans(self, told: object) -> None:
        """Take the spans of a reasoning that is told again at the end, if it is the same one."""
        known = self.reasoning
        if known is not None and isinstance(told, dict) and told.get("text") == known.text:
            spans = checked.grounds(told.get("grounding"), len(known.text))
            self.reasoning = wire.Reasoning(known.text, spans)

    def rest(self) -> Events:
        """What is still held back."""
        return self._think(len(self._thought))

    @property
    def _reasons_now(self) -> bool:
        return self.request.reasoning and self.reasoning is None

    def _think(self, end: int) -> Events:
        """Show the reasoning up to this code point."""
        start, self._shown = self._shown, max(self._shown, end)
        if end <= start:
            return []
        return [wire.ReasoningDelta(request_id=UNADDRESSED, delta=self._thought[start:end])]


def raise_told_error(body: Json) -> None:
    """Raises `EndpointError` if this is the report of an error; some servers send those with status 200."""
    if body.get("error") or body.get("type") == "error":
        raise EndpointError(message_of(body) or "it failed on this request")


def message_of(body: Json) -> str:
    """The sentence of an error body, in any of the shapes that servers use; empty without one."""
    error = body.get("error")
    nested = [error.get("message"), error.get("detail")] if isinstance(error, dict) else [error]
    for said in itertools.chain(nested, (body.get("message"), body.get("detail"))):
        if isinstance(said, str) and said.strip():
            return short_text(said, 300)
    return ""
