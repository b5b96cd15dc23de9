"""An endpoint that speaks the Moondream protocol: what it is sent, and the events of what it answers."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamscope.engine import wire
from dreamscope.engine.skills.base import Sampling

METRICS = {"input_tokens": 735, "output_tokens": 45, "prefill_time_ms": 43.5, "decode_time_ms": 415.3}


def kinds(events: list[Any]) -> list[str]:
    return [event.wire_type for event in events]


async def test_detect_sends_the_image_and_tells_of_boxes(server, connect):
    box = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.5, "y_max": 1.02}
    server.on("/v1/detect", {"objects": [box], "finish_reason": "length", "metrics": METRICS, "junk": 1})
    asked = connect(model="moondream3-preview").ask("detect", sampling=Sampling(0.0, 1.0, 768, 7, seed=3))
    done = await asked.end()
    assert kinds(asked.events) == ["request.accepted", "request.started", "box", "request.done"]
    assert asked.events[0].model == "lab/moondream3-preview"
    assert asked.events[1].image.width == 30
    assert done.finish_reason == "length"
    assert done.output == {"objects": [{**box, "y_max": 1.0}]}, "clamped to the image"
    metrics = done.metrics
    assert (metrics.input_tokens, metrics.output_tokens, metrics.prefill_time_ms) == (735, 45, 43.5)
    assert 0 < metrics.ttft_ms <= metrics.total_time_ms
    (sent,) = server.seen
    assert (sent.method, sent.path) == ("POST", "/v1/detect")
    url = sent.body.pop("image_url")
    assert sent.body == {
        "model": "moondream3-preview",
        "object": "cup",
        "settings": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 768, "max_objects": 7, "seed": 3},
    }
    picture = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))))
    assert picture.size == (30, 20)
    assert (np.asarray(picture) == 200).all()


async def test_point(server, connect):
    server.on("/v1/point", {"points": [{"x": 0.25, "y": 0.5}, {"x": 0, "y": 1}], "count": 2})
    asked = connect().ask("point", spatial_refs=((0.1, 0.2),))
    done = await asked.end()
    assert [(e.index, e.x, e.y) for e in asked.events[2:-1]] == [(0, 0.25, 0.5), (1, 0.0, 1.0)]
    assert done.output == {"points": [{"x": 0.25, "y": 0.5}, {"x": 0.0, "y": 1.0}], "count": 2}
    assert server.seen[0].body["spatial_refs"] == [[0.1, 0.2]]
    assert done.metrics.prefill_time_ms is None, "nothing is made up"


STREAM = (
    b'data: {"chunk": "A small ", "completed": false, "request_id": "r"}\r\n\r\n'
    b": keep-alive\n\n"
    b'data: {"type": "later", "completed": false}\n\n'
    b'data: {"chunk": "caf\\u00e9 \xf0\x9f\x8c\x9d", "completed": false}\n\n'
    b'data: {"chunk": "", "completed": true, "caption": "A small caf\\u00e9 \xf0\x9f\x8c\x9d", '
    b'"finish_reason": "stop", "metrics": {"output_tokens": 4}}\n\n'
)


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
async def test_a_stream_may_be_cut_anywhere(server, connect, size):
    async def script(exchange):
        await exchange.head(kind="text/event-stream; charset=utf-8")
        for at in range(0, len(STREAM), size):
            await exchange.raw(STREAM[at : at + size])

    server.on("/v1/caption", script)
    asked = connect().ask("caption", length="short")
    done = await asked.end()
    deltas = [event.delta for event in asked.events if isinstance(event, wire.TextDelta)]
    assert deltas == ["A small ", "café 🌝"]
    assert done.output == {"caption": "A small café 🌝"}
    assert done.metrics.output_tokens == 4
    body = server.seen[0].body
    assert (body["length"], body["stream"]) == ("short", True)


@pytest.mark.parametrize(
    "last",
    [
        [{"chunk": "", "completed": True, "org_id": "x"}],
        [{"type": "stats", "stats": {"tokens": 3}}, {"completed": True}],
        [{"completed": True, "answer": "Two cups"}, "[DONE]"],
    ],
)
async def test_endings_of_other_servers(server, connect, last):
    async def script(exchange):
        await exchange.events({"chunk": "Two"}, {"chunk": " cups"}, *last)

    server.on("/v1/query", script)
    done = await connect().ask().end()
    assert done.output == {"answer": "Two cups"}


async def test_an_answer_that_comes_only_at_the_end(server, connect):
    async def script(exchange):
        await exchange.events({"completed": True, "answer": "Two"})

    server.on("/v1/query", script)
    asked = connect().ask(image=None)
    await asked.end()
    assert kinds(asked.events) == ["request.accepted", "request.started", "text.delta", "request.done"]
    assert "image_url" not in server.seen[0].body


async def test_a_server_that_does_not_stream(server, connect):
    server.on("/v1/query", {"answer": "Two"})
    asked = connect().ask()
    assert (await asked.end()).output == {"answer": "Two"}


REASONING = {
    "text": "I see a cup here.",
    "grounding": [{"start_idx": 6, "end_idx": 11, "points": [[0.25, 0.5]]}],
}


async def test_reasoning_of_a_plain_answer_is_told_like_our_own(server, connect):
    server.on("/v1/query", {"answer": "One", "reasoning": REASONING})
    asked = connect().ask(reasoning=True)
    done = await asked.end()
    assert [wire.to_json(event) for event in asked.events[2:-2]] == [
        {**fields, "request_id": "r1", "seq": 2 + number, "t": asked.events[2 + number].t}
        for number, fields in enumerate(
            [
                {"delta": "I see ", "n": 1},
                {"index": 0, "start": 6},
                {"index": 0, "x": 0.25, "y": 0.5},
                {"delta": "a cup", "n": 1},
                {"index": 0, "end": 11, "points": [[0.25, 0.5]]},
                {"delta": " here.", "n": 1},
                REASONING,
            ]
        )
    ]
    assert kinds(asked.events)[2:4] == ["reasoning.delta", "span.open"]
    assert done.output == {"answer": "One", "reasoning": REASONING}
    assert server.seen[0].body["stream"] is False, "who knows what an older server streams of it"


LONG = (
    "Left of the house I see a cup, and behind it there is nothing but a lot of grass, and some trees. " * 2
)


async def test_reasoning_streams_where_the_endpoint_can(server, connect):
    """The endpoint tells of a span when its text is out, so the last few words are held back until then."""
    text = LONG + "I see a cup here."
    start = len(LONG) + 6
    span = {"start_idx": start, "end_idx": start + 5, "points": [[0.25, 0.5]]}
    late = {"start_idx": 12, "end_idx": 17, "points": [[0.75, 0.75]]}

    async def script(exchange):
        await exchange.events(
            {"type": "reasoning_delta", "reasoning": LONG, "completed": False},
            {"type": "grounding", "grounding": late, "completed": False},
            {"type": "reasoning_delta", "reasoning": "I see a cup", "completed": False},
            {"type": "grounding", "grounding": span, "completed": False},
            {"type": "reasoning_delta", "reasoning": " here.", "completed": False},
            {"chunk": "One", "completed": False},
            {"chunk": "", "completed": True, "answer": "One"},
        )

    server.on("/v1/query", script)
    asked = connect(live=True).ask(reasoning=True)
    done = await asked.end()
    assert kinds(asked.events)[2:-1] == [
        "reasoning.delta",
        "reasoning.delta",
        "reasoning.delta",
        "span.open",
        "span.point",
        "reasoning.delta",
        "span.close",
        "reasoning.delta",
        "reasoning.done",
        "text.delta",
    ]
    deltas = [event.delta for event in asked.events if isinstance(event, wire.ReasoningDelta)]
    assert deltas[0] == LONG[:-60]
    assert deltas[3:] == ["a cup", " here."]
    assert "".join(deltas) == text
    assert done.output == {"answer": "One", "reasoning": {"text": text, "grounding": [late, span]}}


async def test_what_is_held_back_is_not_lost(server, connect):
    async def script(exchange):
        await exchange.events({"type": "reasoning_delta", "reasoning": LONG}, {"error": "Broken"})

    server.on("/v1/query", script)
    asked = connect(live=True).ask(reasoning=True)
    await asked.end()
    deltas = [event.delta for event in asked.events if isinstance(event, wire.ReasoningDelta)]
    assert "".join(deltas) == LONG


async def test_spans_that_come_at_the_end_only(server, connect):
    async def script(exchange):
        await exchange.events(
            {"type": "reasoning_delta", "reasoning": REASONING["text"]},
            {"chunk": "One"},
            {"completed": True, "answer": "One", "reasoning": REASONING},
        )

    server.on("/v1/query", script)
    done = await connect(live=True).ask(reasoning=True).end()
    assert done.output == {"answer": "One", "reasoning": REASONING}


@pytest.mark.parametrize(
    ("answerer", "live", "code"),
    [
        ("other", True, "remote_failed"),
        ("M", True, None),
        ("other", False, None),
    ],
)
async def test_another_model_in_its_place_is_no_answer(server, connect, answerer, live, code):
    async def script(exchange):
        await exchange.json({"objects": []}, X_Model=answerer)

    server.on("/v1/detect", script)
    end = await connect(live=live).ask("detect").end()
    assert (end.error.code if isinstance(end, wire.RequestFailed) else None) == code
    assert code is None or "other answered in place of m" in end.error.message


async def test_reasoning_that_nobody_asked_for_is_left_out(server, connect):
    async def script(exchange):
        await exchange.events(
            {"type": "reasoning_delta", "reasoning": "Hm."},
            {"chunk": "One"},
            {"completed": True, "reasoning": REASONING},
        )

    server.on("/v1/query", script)
    asked = connect().ask()
    assert (await asked.end()).output == {"answer": "One"}
    assert "reasoning.delta" not in kinds(asked.events)


async def test_an_outline_grows(server, connect):
    bbox, final = (
        {"x_min": 0.1, "y_min": 0.1, "x_max": 0.5, "y_max": 0.5},
        "M.01,.75C.03,.3,.09,-0.002,.12,.27z",
    )

    async def script(exchange):
        await exchange.events(
            {"type": "bbox", "bbox": bbox, "completed": False},
            {"type": "path_delta", "chunk": "M 0 0.76", "completed": False},
            {"type": "path_delta", "chunk": " L 0 0.32 Z", "completed": False},
            {"type": "final", "path": final, "bbox": bbox, "completed": True, "finish_reason": "stop"},
        )

    server.on("/v1/segment", script)
    asked = connect().ask("segment")
    done = await asked.end()
    assert kinds(asked.events)[2:-1] == ["mask.bbox", "mask.delta", "mask.delta", "mask.done"]
    assert asked.events[-2].coarse_path == "M 0 0.76 L 0 0.32 Z"
    assert done.output == {"path": final, "bbox": bbox, "refined": True}


async def test_nothing_to_outline(server, connect):
    server.on("/v1/segment", {"path": "", "bbox": None})
    done = await connect().ask("segment").end()
    assert done.output == {"path": "", "bbox": None, "refined": False}


async def test_an_adapter_of_the_endpoint(server, connect):
    from dreamscope.engine.runtime.adapters import AdapterId

    server.on("/v1/query", {"answer": "Two"})
    await connect(model="moondream3-preview").ask(adapter=AdapterId("dogs", "20")).end()
    assert server.seen[0].body["model"] == "moondream3-preview/dogs@20"


async def test_a_model_without_a_name_is_not_named(server, connect):
    server.on("/v1/query", {"answer": "Two"})
    await connect(model="default").ask().end()
    assert "model" not in server.seen[0].body
    assert json.dumps(server.seen[0].body).isascii()
