"""An endpoint that speaks the OpenAI protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.remote.chat_completions import CAPTIONS
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.skills.base import ChatMessage, Sampling

BLACK = RawImage(np.zeros((4, 4, 3), np.uint8), "black")
USAGE = {
    "prompt_tokens": 700,
    "completion_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}


async def test_a_question_streams_with_its_counts(server, connect):
    async def script(exchange):
        last = {"id": "c", "choices": [], "usage": USAGE}
        parts = [
            chunk(role="assistant", content=""),
            chunk(content="Two "),
            chunk(content="cups"),
            chunk("stop"),
        ]
        await exchange.events(*parts, last, "[DONE]")

    server.on("/v1/chat/completions", script)
    asked = connect("openai", model="Qwen/Qwen3-VL").ask(sampling=Sampling(0.5, 0.9, 64, seed=3))
    done = await asked.end()
    assert [event.delta for event in asked.events if isinstance(event, wire.TextDelta)] == ["Two ", "cups"]
    assert done.output == {"answer": "Two cups"}
    metrics = done.metrics
    assert (metrics.input_tokens, metrics.cached_tokens) == (700, 600)
    assert (metrics.output_tokens, metrics.reasoning_tokens) == (9, 5)
    body = server.seen[0].body
    (message,) = body.pop("messages")
    assert message["role"] == "user"
    image, text = message["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert text == {"type": "text", "text": "How many?"}
    assert body == {
        "model": "Qwen/Qwen3-VL",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 64,
        "seed": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_reasoning_with_spans(server, connect, name):
    spans = [{"start_idx": 2, "end_idx": 5, "points": [[0.5, 0.5]]}]

    async def script(exchange):
        await exchange.events(
            chunk(**{name: "A cup"}),
            chunk(reasoning_details={"grounding": spans}),
            chunk(content="One"),
            chunk("length"),
        )  # and closes without [DONE]

    server.on("/v1/chat/completions", script)
    asked = connect("openai").ask(reasoning=True)
    done = await asked.end()
    assert done.output == {"answer": "One", "reasoning": {"text": "A cup", "grounding": spans}}
    assert done.finish_reason == "length"
    assert server.seen[0].body["reasoning_effort"] == "medium"
    assert [type(event) for event in asked.events[2:-1]] == [
        wire.ReasoningDelta,
        wire.ReasoningDone,
        wire.TextDelta,
    ]


async def test_reasoning_without_an_answer(server, connect):
    async def script(exchange):
        await exchange.events(chunk(reasoning="Hm"), chunk("length"), "[DONE]")

    server.on("/v1/chat/completions", script)
    done = await connect("openai").ask(reasoning=True).end()
    assert done.output == {"answer": "", "reasoning": {"text": "Hm", "grounding": []}}


@pytest.mark.parametrize("length", CAPTIONS)
async def test_a_caption_is_asked_for_in_words(server, connect, length):
    message = {"role": "assistant", "content": "A grey field."}
    server.on("/v1/chat/completions", {"choices": [{"message": message, "finish_reason": "stop"}]})
    done = await connect("openai").ask("caption", length=length).end()
    assert done.output == {"caption": "A grey field."}
    assert server.seen[0].body["messages"][0]["content"][1]["text"] == CAPTIONS[length]


@pytest.mark.parametrize("kind", ["openai", "moondream"])
async def test_a_conversation_with_images(server, connect, kind):
    async def script(exchange):
        await exchange.events(chunk(content="Both are grey."), chunk("stop"), "[DONE]")

    server.on("/v1/chat/completions", script)
    turns = (
        ChatMessage("system", "Be short."),
        ChatMessage("user", "What is this?", 1),
        ChatMessage("assistant", "A field."),
        ChatMessage("user", "And this?", 1),
    )
    asked = connect(kind).ask("chat", image=None, messages=turns, images=(BLACK, BLACK))
    assert (await asked.end()).output == {"answer": "Both are grey."}
    sent = server.seen[0].body["messages"]
    assert [turn["role"] for turn in sent] == ["system", "user", "assistant", "user"]
    assert [
        turn["content"] if isinstance(turn["content"], str) else len(turn["content"]) for turn in sent
    ] == [
        "Be short.",
        2,
        "A field.",
        2,
    ]


async def test_a_schema_goes_along(server, connect):
    server.on("/v1/chat/completions", {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]})
    await connect("openai").ask(schema='{"type": "object"}').end()
    sent = server.seen[0].body["response_format"]
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    }


async def test_what_a_protocol_cannot_say_is_refused_at_once(connect):
    with pytest.raises(errors.UnsupportedParameter, match="lab takes no spatial_refs") as told:
        connect("openai").ask(spatial_refs=((0.1, 0.1),))
    assert told.value.param == "spatial_refs"
    with pytest.raises(errors.UnsupportedParameter, match="lab takes no response_format with query"):
        connect("moondream").ask(schema="{}")
