"""Moondream's routes byte by byte, with an engine that says what the test tells it."""

from __future__ import annotations

import asyncio
import json

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.server.call import Call
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.outbox import Frame
from dreamscope.engine.server.routes.native import Native
from dreamscope.engine.server.shelf import Shelf

METRICS = {"input_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0, "cached_tokens": 0}
RESULTS = {
    "caption": {"caption": "Caf\u00e9 \U0001f319"},
    "query": {"answer": "2"},
    "detect": {"objects": [{"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}]},
    "point": {"points": [{"x": 0.5, "y": 0.25}], "count": 1},
}


@pytest.fixture
def body(picture):
    """A request that is right."""
    return {"image_url": picture(), "question": "How many?", "object": "dog"}


@pytest.mark.parametrize("skill", RESULTS)
async def test_a_plain_answer_is_the_result_with_its_costs(ask, engine, body, skill):
    asking = asyncio.create_task(ask("POST", f"/v1/{skill}", body, x_request_id="mine-1"))
    job = await engine.next_job()
    job.text("never ", "shown")
    job.done(**RESULTS[skill])
    answer = await asking
    expected = {"request_id": "mine-1", **RESULTS[skill], "finish_reason": "stop", "metrics": METRICS}
    assert (answer.status, answer.json()) == (200, expected)
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["x-request-id"], answer.headers["x-model"]) == ("mine-1", "sprite-2")


async def test_a_stream_byte_by_byte(dial, engine, body):
    async with dial() as raw:
        await raw.send(
            "POST", "/v1/caption", {**body, "stream": True}, x_request_id="r1", accept="application/json"
        )
        job = await engine.next_job()
        job.text("A ")
        status, headers = await raw.head()
        assert status == 200
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
        assert (headers["x-request-id"], headers["x-model"]) == ("r1", "sprite-2")
        assert headers["transfer-encoding"] == "chunked"
        chunks = raw.chunks()
        assert await anext(chunks) == b'data: {"chunk":"A ","completed":false,"request_id":"r1"}\n\n'
        job.text("caf\u00e9")
        assert await anext(chunks) == b'data: {"chunk":"caf\\u00e9","completed":false,"request_id":"r1"}\n\n'
        job.done(caption="A caf\u00e9")
        last = (await anext(chunks)).decode()
        assert [chunk async for chunk in chunks] == []
    assert last.startswith("data: {")
    assert last.endswith("}\n\n")
    assert json.loads(last.removeprefix("data: ")) == {
        "chunk": "",
        "completed": True,
        "request_id": "r1",
        "caption": "A caf\u00e9",
        "finish_reason": "stop",
        "metrics": METRICS,
    }


async def test_reasoning_is_streamed_before_the_answer_and_never_as_a_chunk(ask, engine, body):
    asking = asyncio.create_task(ask("POST", "/v1/query", {**body, "stream": True, "reasoning": True}))
    job = await engine.next_job()
    assert job.request.skill_request.reasoning
    job.send(
        wire.ReasoningDelta(request_id="", delta="I see a cup"),
        wire.SpanOpen(request_id="", index=0, start=6),
    )
    job.send(wire.SpanPoint(request_id="", index=0, x=0.25, y=0.5))
    job.send(wire.SpanClose(request_id="", index=0, end=11, points=((0.25, 0.5),)))
    job.text("One")
    reasoning = {
        "text": "I see a cup",
        "grounding": [{"start_idx": 6, "end_idx": 11, "points": [[0.25, 0.5]]}],
    }
    job.done(answer="One", reasoning=reasoning)
    events = [json.loads(payload) for payload in (await asking).payloads]
    assert [event.get("type") for event in events] == ["reasoning_delta", "grounding", None, None]
    assert events[0]["reasoning"] == "I see a cup"
    assert events[1]["grounding"] == reasoning["grounding"][0]
    assert [event.get("chunk") for event in events] == [None, None, "One", ""]
    assert [event["completed"] for event in events] == [False, False, False, True]
    assert events[-1]["reasoning"] == reasoning


def test_an_outline_is_told_as_box_path_and_final():
    dialect = Native("r", "segment")
    box = wire.Box(0.1, 0.2, 0.3, 0.4)
    output = {"path": "M 0 0 L 1 1", "bbox": wire.to_json(box)}
    told = [
        *dialect.pieces(wire.MaskBox(request_id="r", bbox=box)),
        *dialect.pieces(wire.MaskDelta(request_id="r", delta="M 0 0")),
        *dialect.pieces(wire.MaskDelta(request_id="r", delta=" L 1 1")),
        *dialect.pieces(wire.MaskDone(request_id="r", path="M 0 0 L 1 1", coarse_path="", bbox=box)),
        *dialect.pieces(
            wire.RequestDone(request_id="r", finish_reason="stop", output=output, metrics=wire.Metrics())
        ),
    ]
    events = [json.loads(payload) for payload in told]
    assert [event["type"] for event in events] == ["bbox", "path_delta", "path_delta", "final"]
    assert "".join(event["chunk"] for event in events[1:3]) == events[3]["path"]
    assert events[0]["bbox"] == events[3]["bbox"] == output["bbox"]
    assert [event["completed"] for event in events] == [False, False, False, True]


async def test_detect_and_point_do_not_stream(ask, engine, body):
    asking = asyncio.create_task(ask("POST", "/v1/detect", {**body, "stream": True}))
    (await engine.next_job()).done(objects=[])
    assert (await asking).json()["objects"] == []


async def test_a_failure_after_the_stream_began_is_an_event_and_a_line_that_no_client_can_parse(
    ask, engine, body
):
    asking = asyncio.create_task(ask("POST", "/v1/query", {**body, "stream": True}))
    job = await engine.next_job()
    job.text("One")
    job.send(wire.RequestFailed(request_id="", error=errors.RequestTimeout("Too late.").info()))
    chunk, error, broken = (await asking).payloads
    assert json.loads(chunk)["chunk"] == "One"
    told = json.loads(error)
    assert (told["type"], told["completed"], told["error"]["code"]) == ("error", False, "request_timeout")
    assert broken == "[ERROR]"


async def test_a_bug_after_the_stream_began_is_told_the_same_way(ask, engine, body, monkeypatch):
    def broken(self, event):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Native, "pieces", broken)
    asking = asyncio.create_task(ask("POST", "/v1/query", {**body, "stream": True}))
    (await engine.next_job()).text("One")
    answer = await asking
    assert b"secret" not in answer.body
    assert json.loads(answer.payloads[0])["error"]["code"] == "internal_error"
    assert answer.payloads[1] == "[ERROR]"


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (errors.QueueFull("Full."), 429, ("retry-after", "1")),
        (errors.AdapterNotFound("None."), 404, None),
        (errors.ContextLengthExceeded("Long."), 400, None),
        (errors.ShuttingDown("Stop."), 503, ("retry-after", "1")),
        (errors.RequestTimeout("Late."), 504, ("x-should-retry", "false")),
        (errors.WeightsNotFound("No."), 503, ("x-should-retry", "false")),
        (ValueError("secret"), 500, None),
    ],
)
async def test_what_fails_before_the_first_event_has_a_status(ask, engine, body, error, status, header):
    engine.refusal = error
    for stream in (False, True):
        answer = await ask("POST", "/v1/query", {**body, "stream": stream})
        assert answer.status == status
        assert answer.code == getattr(error, "code", "internal_error")
        assert header is None or answer.headers[header[0]] == header[1]
        assert b"secret" not in answer.body


async def test_an_accepted_stream_that_fails_at_once_still_has_a_status(ask, engine, body):
    asking = asyncio.create_task(ask("POST", "/v1/query", {**body, "stream": True}))
    job = await engine.next_job()
    job.send(wire.RequestFailed(request_id="", error=errors.AdapterInvalid("Damaged.").info()))
    answer = await asking
    assert (answer.status, answer.code) == (400, "adapter_invalid")


async def test_slashes_are_collapsed_without_a_redirect(ask, engine, body):
    for path in ("/v1/query", "/v1//query/", "//v1/query//"):
        asking = asyncio.create_task(ask("POST", path, body))
        (await engine.next_job()).done(answer="2")
        assert (await asking).status == 200, path


async def test_the_body_is_taken_as_it_comes(ask, engine, picture):
    lenient = {
        "image_url": picture().partition(",")[2],  # bare base64
        "obj": " dog ",
        "reasoning": None,
        "model": None,
        "spatial_refs": None,
        "unknown": {"field": 1},
        "settings": {"maxTokens": 9, "topP": 0.5, "colour": "red", "temperature": None, "maxObjects": 3},
        "max_objects": 7.0,
    }
    asking = asyncio.create_task(
        ask("POST", "/v1/point", lenient, content_type="application/x-www-form-urlencoded")
    )
    job = await engine.next_job()
    job.done(points=[], count=0)
    assert (await asking).status == 200
    asked = job.request.skill_request
    assert (asked.object, asked.reasoning) == ("dog", False)
    assert (asked.sampling.max_objects, asked.sampling.max_tokens, asked.sampling.top_p) == (7, 9, 0.5)
    assert asked.sampling.temperature == 0.0


@pytest.mark.parametrize(
    ("path", "change", "code", "param"),
    [
        ("query", {"question": " "}, "missing_parameter", "question"),
        ("query", {"question": 5}, "invalid_parameter", "question"),
        ("query", {"reasoning": "yes"}, "invalid_parameter", "reasoning"),
        ("query", {"stream": "yes"}, "invalid_parameter", "stream"),
        ("query", {"settings": []}, "invalid_parameter", "settings"),
        ("query", {"settings": {"temperature": 3}}, "invalid_parameter", "temperature"),
        ("query", {"temperature": True}, "invalid_parameter", "temperature"),
        ("query", {"settings": {"top_p": float("nan")}}, "invalid_parameter", "top_p"),
        ("query", {"max_tokens": 1.5}, "invalid_parameter", "max_tokens"),
        ("query", {"spatial_refs": [[0.1, 2]]}, "invalid_parameter", "spatial_refs"),
        ("query", {"spatial_refs": [[0.1, 0.2]], "image_url": None}, "invalid_parameter", "spatial_refs"),
        ("query", {"model": "gpt-9"}, "model_not_found", "model"),
        ("query", {"model": "tiny/none@x"}, "adapter_not_found", "model"),
        ("caption", {"image_url": None}, "missing_parameter", "image_url"),
        ("caption", {"length": "huge"}, "invalid_parameter", "length"),
        ("detect", {"object": None}, "missing_parameter", "object"),
        ("detect", {"image_url": "http://127.0.0.1/x.png"}, "invalid_image_url", "image_url"),
        ("detect", {"image_url": "file:///etc/passwd"}, "invalid_image_url", "image_url"),
        ("detect", {"image_url": "/etc/passwd"}, "image_decode_failed", "image_url"),
        ("detect", {"image_url": ""}, "invalid_image_url", "image_url"),
        ("detect", {"image_url": "data:image/png;base64,aGVsbG8="}, "image_decode_failed", "image_url"),
        ("segment", {}, "unsupported_skill", "skill"),
    ],
)  # fmt: skip
async def test_bad_fields_are_named(ask, engine, body, path, change, code, param):
    for stream in (False, True):
        answer = await ask("POST", f"/v1/{path}", {**body, "stream": stream, **change})
        assert answer.code == code
        assert answer.json()["error"]["param"] == param
        assert answer.status == (404 if code.endswith("not_found") else 400)
    assert not engine.jobs


async def test_what_is_no_object_is_invalid_json(ask):
    for body in (b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b"[" * 50_000, b"null"):
        answer = await ask("POST", "/v1/query", body)
        assert (answer.status, answer.code) == (400, "invalid_json"), body[:10]


async def test_first_party_names_fall_back_and_aliases_match_in_any_case(ask, engine, body):
    for name in ("moondream3-preview", "Moondream/Moondream3-Preview", "moondream-2B", "TINY", "sprite-2"):
        asking = asyncio.create_task(ask("POST", "/v1/query", {**body, "model": name}))
        (await engine.next_job()).done(answer="2")
        assert (await asking).headers["x-model"] == "sprite-2", name


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_hangs_up_cancels_its_request(dial, engine, body, stream):
    async with dial() as raw:
        await raw.send("POST", "/v1/query", {**body, "stream": stream}, x_request_id="gone")
        job = await engine.next_job()
        job.text("One")
        if stream:
            await raw.head()
    assert await engine.next_cancel() == ("gone", "disconnect")


async def test_an_id_that_another_body_is_on_its_way_for_is_in_use(ask, dial, engine, body):
    data = json.dumps(body).encode()
    async with dial() as raw:
        await raw.send("POST", "/v1/query", data[:-1], x_request_id="same", content_length=str(len(data)))
        async with dial() as pipelined:  # answered only after the server has seen the first head
            await pipelined.send("GET", "/health")
            await pipelined.answer()
        asking = asyncio.create_task(ask("POST", "/v1/query", body, x_request_id="same"))
        (await engine.next_job()).done(answer="2")
        assert (await asking).headers["x-request-id"] != "same"
        raw.writer.write(data[-1:])
        (await engine.next_job()).done(answer="1")
        assert (await raw.answer()).headers["x-request-id"] == "same"


async def test_an_id_in_use_is_not_used_twice(ask, engine, body):
    first = asyncio.create_task(ask("POST", "/v1/query", body, x_request_id="same"))
    job = await engine.next_job()
    second = asyncio.create_task(ask("POST", "/v1/query", body, x_request_id="same"))
    other = await engine.next_job()
    job.done(answer="1")
    other.done(answer="2")
    assert (await first).json()["answer"] == "1"
    assert (await second).json()["answer"] == "2"
    assert (await first).headers["x-request-id"] == "same" != (await second).headers["x-request-id"]
    third = asyncio.create_task(ask("POST", "/v1/query", body, x_request_id="same"))
    (await engine.next_job()).done(answer="3")
    assert (await third).headers["x-request-id"] == "same"


async def test_a_silent_stream_begins_all_the_same_and_is_kept_alive(dial, serve, shelf, engine, body):
    async with (
        serve(shelf, ServerOptions(keep_alive=0.01, drain_seconds=0.5)) as harness,
        dial(harness) as raw,
    ):
        await raw.send("POST", "/v1/query", {**body, "stream": True})
        job = await engine.next_job()
        assert (await raw.head())[0] == 200
        chunks = raw.chunks()
        assert await anext(chunks) == b": keep-alive\n\n"
        job.done(answer="2")
        *_, last = [chunk async for chunk in chunks]
    assert json.loads(last.removeprefix(b"data: "))["completed"]


@pytest.fixture
def slow(stock, engine):
    """A shelf with a model that is not loaded."""
    return Shelf([stock.known(wire.ModelInfo(id="slow", skills=("query",)), engine)])


async def test_a_model_that_takes_long_to_load_is_asked_for_again_later(
    ask, serve, stock, slow, engine, body
):
    async with serve(slow, ServerOptions(load_patience=0.05, drain_seconds=0.5)) as harness:
        answer = await ask("POST", "/v1/query", body, harness)
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "model_loading", "1")
        stock.finish("slow")
        (await slow.wait("slow")).release()
        asking = asyncio.create_task(ask("POST", "/v1/query", body, harness))
        (await engine.next_job()).done(answer="2")
        assert (await asking).status == 200


async def test_a_model_that_loads_quickly_is_waited_for(ask, serve, stock, slow, engine, body):
    async with serve(slow) as harness:
        asking = asyncio.create_task(ask("POST", "/v1/query", {**body, "stream": True}, harness))
        await stock.loading("slow")
        stock.finish("slow")
        (await engine.next_job()).done(answer="2")
        assert len((await asking).payloads) == 1


async def test_a_server_that_stops_ends_the_streams(ask, dial, serve, shelf, engine, body):
    async with serve(shelf) as harness:
        asking = asyncio.create_task(ask("POST", "/v1/query", {**body, "stream": True}, harness))
        (await engine.next_job()).text("One")
        async with dial(harness) as raw:
            await raw.send("POST", "/v1/query", {**body, "stream": True})
            (await engine.next_job()).text("One")
            await raw.head()
            harness.server.should_exit = True
            answer = await asking
    assert answer.payloads[-1] == "[ERROR]"
    assert json.loads(answer.payloads[-2])["error"]["code"] == "shutting_down"


async def test_too_many_requests_are_refused_at_once(ask, serve, shelf, engine, body):
    options = ServerOptions(max_http_requests=1, drain_seconds=0.5)
    async with serve(shelf, options) as harness:
        asking = asyncio.create_task(ask("POST", "/v1/query", body, harness))
        job = await engine.next_job()
        refused = await ask("POST", "/v1/query", body, harness)
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "queue_full", "1")
        job.done(answer="2")
        assert (await asking).status == 200


def test_a_reader_that_waits_finds_the_deltas_merged():
    call = Call()
    for text in ("One ", "two ", "three"):
        call.push(Frame.of(wire.TextDelta(request_id="r", delta=text)))
    call.push(Frame.of(wire.ReasoningDelta(request_id="r", delta="other")))

    async def both():
        return await call.next(), await call.next()

    text, reasoning = asyncio.run(both())
    assert (text.delta, text.n, reasoning.delta) == ("One two three", 3, "other")
