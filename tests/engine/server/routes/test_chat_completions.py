"""OpenAI's route, with an engine that says what the test tells it."""

from __future__ import annotations

import asyncio
import json

import pytest

from dreamscope.engine import errors, wire

PATH = "/v1/chat/completions"
METRICS = wire.Metrics(input_tokens=10, output_tokens=4, reasoning_tokens=3, cached_tokens=2)
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 4,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
GROUNDING = [{"start_idx": 2, "end_idx": 5, "points": [[0.5, 0.5]]}]


def talk(*content, **fields):
    turn = {"role": "user", "content": list(content) or "How many?"}
    return {"messages": [turn], **fields}


def finish(job, **output):
    done = wire.RequestDone(request_id="", finish_reason="stop", output=output, metrics=METRICS)
    job.send(done)


async def test_a_completion(ask, engine):
    asking = asyncio.create_task(ask("POST", PATH, talk(model="tiny"), x_request_id="r1"))
    finish(await engine.next_job(), answer="Caf\u00e9")
    told = (await asking).json()
    assert isinstance(told.pop("created"), int)
    message = {"role": "assistant", "content": "Caf\u00e9"}
    assert told == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "model": "sprite-2",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": USAGE,
    }


async def test_reasoning_stands_beside_the_content(ask, engine):
    asking = asyncio.create_task(ask("POST", PATH, talk(reasoning=True)))
    finish(await engine.next_job(), answer="1", reasoning={"text": "a cup", "grounding": GROUNDING})
    message = (await asking).json()["choices"][0]["message"]
    assert (message["content"], message["reasoning"]) == ("1", "a cup")
    assert message["reasoning_details"] == {"grounding": GROUNDING}


@pytest.mark.parametrize("usage", [False, True])
async def test_a_stream(ask, engine, usage):
    body = talk(stream=True, reasoning=True, stream_options={"include_usage": usage})
    asking = asyncio.create_task(ask("POST", PATH, body))
    job = await engine.next_job()
    ground = wire.Ground(2, 5, ((0.5, 0.5),))
    job.send(wire.ReasoningDelta(request_id="", delta="a cup"))
    job.send(wire.ReasoningDone(request_id="", text="a cup", grounding=(ground,)))
    job.text("One")
    finish(job, answer="One")
    *chunks, end = (await asking).payloads
    assert end == "[DONE]"
    events = [json.loads(chunk) for chunk in chunks]
    assert len({(event["id"], event["created"], event["model"]) for event in events}) == 1
    assert all(event["object"] == "chat.completion.chunk" for event in events)
    if usage:
        last = events.pop()
        assert (last["choices"], last["usage"]) == ([], USAGE)
    assert all(("usage" in event) == usage and event.get("usage") is None for event in events)
    choices = [event["choices"][0] for event in events]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"reasoning": "a cup"},
        {"reasoning_details": {"grounding": GROUNDING}},
        {"content": "One"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, None, "stop"]


async def test_a_failed_stream_has_no_done(ask, engine):
    asking = asyncio.create_task(ask("POST", PATH, talk(stream=True)))
    job = await engine.next_job()
    job.text("One")
    job.send(wire.RequestFailed(request_id="", error=errors.RequestTimeout("Too late.").info()))
    payloads = (await asking).payloads
    assert json.loads(payloads[-1])["error"]["code"] == "request_timeout"
    assert "[DONE]" not in payloads


async def test_images_and_roles_and_limits_arrive(ask, engine, picture):
    body = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": picture(9, 7), "detail": "low"}},
                {"type": "text", "text": "What is it?"},
            ]},
            {"role": "assistant", "content": None},
            {"role": "user", "content": [{"type": "image_url", "image_url": picture()}]},
        ],
        "max_completion_tokens": 5, "max_tokens": 9, "temperature": 0, "top_p": 0.5, "seed": 3,
        "n": 1, "tools": [], "logprobs": False, "response_format": {"type": "text"}, "user": "me",
    }  # fmt: skip
    asking = asyncio.create_task(ask("POST", PATH, body))
    job = await engine.next_job()
    finish(job, answer="A dog")
    assert (await asking).status == 200
    asked = job.request.skill_request
    assert [message.role for message in asked.messages] == ["system", "user", "assistant", "user"]
    assert [image.rgb.shape[:2] for image in job.request.images] == [(7, 9), (6, 8)]
    sampling = asked.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.seed) == (5, 0.0, 0.5, 3)


async def test_the_ways_to_ask_for_reasoning(ask, engine):
    for fields, reasons in (
        ({}, False),
        ({"reasoning": False, "reasoning_effort": "high"}, False),
        ({"reasoning": {}}, True),
        ({"reasoning": {"enabled": False, "effort": "high"}}, False),
        ({"reasoning": {"effort": "none"}}, False),
        ({"reasoning_effort": "low"}, True),
        ({"reasoning_effort": "none"}, False),
    ):
        asking = asyncio.create_task(ask("POST", PATH, talk(**fields)))
        job = await engine.next_job()
        finish(job, answer="1")
        await asking
        assert job.request.skill_request.reasoning is reasons, fields


async def test_a_schema_binds_the_answer(ask, engine):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "count", "strict": True, "schema": schema}}
    asking = asyncio.create_task(ask("POST", PATH, talk(response_format=form)))
    job = await engine.next_job()
    finish(job, answer='{"n": 3}')
    assert (await asking).status == 200
    assert json.loads(job.request.skill_request.schema) == schema


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_parameter", "messages"),
        ({"messages": []}, "missing_parameter", "messages"),
        ({"messages": "hello"}, "invalid_parameter", "messages"),
        ({"messages": [5]}, "invalid_parameter", "messages"),
        ({"messages": [{"content": "x"}]}, "missing_parameter", "role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "invalid_parameter", "messages"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "invalid_parameter", "role"),
        (talk({"type": "audio"}), "invalid_parameter", "messages"),
        (talk({"type": "image_url", "image_url": {"url": "https://x/a.png"}}), "invalid_image_url",
         "image_url"),
        (talk({"type": "image", "image_id": "i1"}), "image_unknown", None),
        (talk(n=2), "unsupported_parameter", "n"),
        (talk(n="two"), "invalid_parameter", "n"),
        (talk(tools=[{"type": "function"}]), "unsupported_parameter", "tools"),
        (talk(logprobs=True), "unsupported_parameter", "logprobs"),
        (talk(response_format={"type": "grammar"}), "unsupported_parameter", "response_format"),
        (talk(response_format=[]), "invalid_parameter", "response_format"),
        (talk(reasoning=1), "invalid_parameter", "reasoning"),
        (talk(reasoning_effort=3), "invalid_parameter", "reasoning_effort"),
        (talk(stream_options=True), "invalid_parameter", "stream_options"),
        (talk(temperature=5), "invalid_parameter", "temperature"),
        (talk(max_completion_tokens=0), "invalid_parameter", "max_tokens"),
        (talk(model="gpt-9"), "model_not_found", "model"),
    ],
)  # fmt: skip
async def test_bad_fields_are_named(ask, engine, body, code, param):
    for stream in (False, True):
        answer = await ask("POST", PATH, {**body, "stream": stream})
        assert answer.code == code
        assert answer.json()["error"]["param"] == param
    assert not engine.jobs
