"""Answers in the form of OpenAI's chat completions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.server.http import ascii_json, error_object

END = "[DONE]"


class Completion:
    """A `Dialect`. `usage`: whether a stream tells at its end what it has cost."""

    def __init__(self, request_id: str, model: str, usage: bool) -> None:
        self._usage = usage
        self._facts = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": model}

    def body(self, done: wire.RequestDone) -> dict[str, Any]:
        """The plain answer."""
        message = {"role": "assistant", "content": done.output["answer"], **_reasoning(done)}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": done.finish_reason,
            "logprobs": None,
        }
        usage = _usage(done.metrics)
        return {**self._facts, "object": "chat.completion", "choices": [choice], "usage": usage}

    def head(self) -> Iterator[str]:
        """The role."""
        yield self._delta(role="assistant", content="")

    def pieces(self, event: wire.RequestEvent) -> Iterator[str]:
        """Reasoning and its spans, text, and the end with its reason."""
        match event:
            case wire.ReasoningDelta(delta=delta):
                yield self._delta(reasoning=delta)
            case wire.ReasoningDone(grounding=grounding) if grounding:
                yield self._delta(reasoning_details={"grounding": wire.to_json(grounding)})
            case wire.TextDelta(delta=delta):
                yield self._delta(content=delta)
            case wire.RequestDone():
                yield self._chunk([{"index": 0, "delta": {}, "finish_reason": event.finish_reason}])
                if self._usage:
                    yield self._chunk([], _usage(event.metrics))
                yield END

    def failure(self, error: wire.ErrorInfo) -> Iterator[str]:
        """What happened, and no `[DONE]`."""
        yield ascii_json({"error": error_object(error)})

    def _delta(self, **delta: Any) -> str:
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": None}])

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> str:
        told = {"usage": usage} if self._usage else {}
        return ascii_json({**self._facts, "object": "chat.completion.chunk", "choices": choices, **told})


def _reasoning(done: wire.RequestDone) -> dict[str, Any]:
    reasoning = done.output.get("reasoning")
    if reasoning is None:
        return {}
    spans = reasoning["grounding"]
    return {"reasoning": reasoning["text"], **({"reasoning_details": {"grounding": spans}} if spans else {})}


def _usage(metrics: wire.Metrics) -> dict[str, Any]:
    return {
        "prompt_tokens": metrics.input_tokens,
        "completion_tokens": metrics.output_tokens,
        "total_tokens": metrics.input_tokens + metrics.output_tokens,
        "prompt_tokens_details": {"cached_tokens": metrics.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": metrics.reasoning_tokens},
    }
