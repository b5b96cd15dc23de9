"""Models elsewhere in the list of a server, and requests that go there: to another server of ours."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.config import SETTINGS
from dreamscope.engine.remote.endpoints import Endpoint
from dreamscope.engine.remote.key import KeySource
from dreamscope.engine.server.endpoints import remote_models
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.server.stock import build_shelf
from dreamscope.engine.settings import load

TIMEOUT = 20.0
HERE = wire.ModelInfo("here", ("query",))
SECRET = "sk-do-not-tell-0123456789"
SPANS = ((0.25, 0.5),)


@pytest.fixture
def near(stock: Any) -> Any:
    """Builds the shelf of a server that has a model of its own and these endpoints."""
    made: list[Shelf] = []

    def build(*endpoints: Endpoint) -> Shelf:
        known, unasked = remote_models(endpoints, 8)
        made.append(Shelf([stock.known(HERE, light=True), *known], None, unasked))
        return made[-1]

    yield build
    for shelf in made:
        shelf.close()


@pytest.fixture
async def far(serve: Any, shelf: Shelf) -> AsyncIterator[str]:
    """The address of another server, whose engine is `engine`; it wants a key."""
    async with serve(shelf, ServerOptions(api_keys=(SECRET,), drain_seconds=0.5)) as harness:
        yield f"http://{harness.host}:{harness.port}/v1"


@pytest.fixture
def endpoint(far: str, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    monkeypatch.setenv("FAR_KEY", SECRET)
    return Endpoint("far", far, key=KeySource(env="FAR_KEY"))


def ask(**fields: Any) -> wire.RequestCreate:
    known = {"request_id": "a", "skill": "query", "question": "How many?", "model": "far/sprite-2"}
    return wire.RequestCreate(**{**known, **fields})


async def test_the_list_grows_once_somebody_looks(serve, near, endpoint):
    async with serve(near(endpoint)) as harness, harness.socket() as client:
        await client.send(wire.Hello())
        ready = await client.receive()
        assert [model.id for model in ready.models] == ["here"]
        while len((message := await client.receive_any()).models) == 1:
            pass
        model = message.models[1]
    assert (model.id, model.owned_by, model.state, model.loaded) == ("far/sprite-2", "far", "ready", False)
    assert model.skills == ("query", "caption", "point", "detect", "chat")
    assert not model.default


async def test_a_request_goes_there_and_its_answer_comes_back(serve, near, endpoint, engine, picture):
    async with serve(near(endpoint)) as harness, harness.client() as client:
        await client.send(wire.ImagePut("i", picture()))
        await client.send(ask(image_id="i", reasoning=True, settings={"seed": 7, "temperature": 0}))
        job = await engine.next_job()
        sent = job.request.skill_request
        assert (sent.question, sent.reasoning, sent.sampling.seed) == ("How many?", True, 7)
        assert job.request.image.rgb.shape == (6, 8, 3)
        job.send(
            wire.RequestStarted(request_id="", input_tokens=740, cached_tokens=0),
            wire.ReasoningDelta(request_id="", delta="I see "),
            wire.SpanOpen(request_id="", index=0, start=6),
            wire.SpanPoint(request_id="", index=0, x=0.25, y=0.5),
            wire.ReasoningDelta(request_id="", delta="a cup"),
            wire.SpanClose(request_id="", index=0, end=11, points=SPANS),
            wire.ReasoningDone(request_id="", text="I see a cup", grounding=(wire.Ground(6, 11, SPANS),)),
        )
        job.text("One")
        reasoning = {
            "text": "I see a cup",
            "grounding": [{"start_idx": 6, "end_idx": 11, "points": [[0.25, 0.5]]}],
        }
        output = {"answer": "One", "reasoning": reasoning}
        metrics = wire.Metrics(input_tokens=740, output_tokens=9, reasoning_tokens=7, prefill_time_ms=3.0)
        job.send(wire.RequestDone(request_id="", finish_reason="length", output=output, metrics=metrics))
        _, *events = await client.until(*wire.TERMINAL)
    before = [-1, *(event.seq for event in events)]
    assert [event.first_seq or event.seq for event in events] == [seq + 1 for seq in before[:-1]]
    assert events[0].model == "far/sprite-2"
    assert "".join(e.delta for e in events if isinstance(e, wire.ReasoningDelta)) == "I see a cup"
    (over,) = [event for event in events if isinstance(event, wire.ReasoningDone)]
    assert over.grounding == (wire.Ground(6, 11, SPANS),)
    done = events[-1]
    assert (done.output, done.finish_reason) == (output, "length")
    assert (done.metrics.input_tokens, done.metrics.reasoning_tokens, done.metrics.prefill_time_ms) == (
        740,
        7,
        3.0,
    )


async def default_of_settings(far: str, model: str) -> Shelf:
    flags = {"model": model, "endpoint": f"far={far}", "endpoint_key": "far=env:FAR_KEY"}
    return await asyncio.to_thread(build_shelf, load(SETTINGS, "serve", flags, {}))


async def test_a_model_elsewhere_can_be_the_default(serve, far, endpoint, engine):
    shelf = await default_of_settings(far, "Far/sprite-2")
    async with serve(shelf) as harness, harness.client() as client:
        await client.send(ask(model=None))
        job = await engine.next_job()
        job.send(wire.RequestStarted(request_id="", input_tokens=1, cached_tokens=0))
        job.done(answer="Two")
        accepted, *_, done = await client.until(*wire.TERMINAL)
        assert (accepted.model, done.output) == ("far/sprite-2", {"answer": "Two"})
        listed = [(info.id, info.default) for info in shelf.infos()]
        assert listed[0] == ("far/sprite-2", True)
        assert [name for name, default in listed if default] == ["far/sprite-2"]
        assert ("sprite-2", False) in listed
        assert (shelf.status, shelf.device) == ("ok", "far")
    shelf.close()


async def test_a_default_that_the_endpoint_does_not_have_is_refused(far, endpoint):
    with pytest.raises(errors.ModelNotFound, match="No model 'far/none'; far has far/sprite-2"):
        await default_of_settings(far, "far/none")


async def test_other_skills(serve, near, endpoint, engine, picture):
    async with serve(near(endpoint)) as harness, harness.client() as client:
        await client.send(ask(skill="detect", question=None, object="cup", image_url=picture()))
        job = await engine.next_job()
        box = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.5, "y_max": 0.6}
        job.send(wire.RequestStarted(request_id="", input_tokens=1, cached_tokens=0))
        job.done(objects=[box])
        assert (await client.until(*wire.TERMINAL))[-1].output == {"objects": [box]}
        turn = wire.ChatTurn(
            "user", [{"type": "text", "text": "Hi"}, {"type": "image", "image_url": picture()}]
        )
        await client.send(ask(request_id="b", skill="chat", question=None, messages=(turn,)))
        job = await engine.next_job()
        assert job.request.skill_request.messages[0].images == len(job.request.images) == 1
        job.send(wire.RequestStarted(request_id="", input_tokens=1, cached_tokens=0))
        job.text("Hello", " you")
        job.done(answer="Hello you")
        assert (await client.until(*wire.TERMINAL))[-1].output == {"answer": "Hello you"}


async def test_over_http_and_before_anybody_has_looked(serve, near, endpoint, engine):
    async with (
        serve(near(endpoint)) as harness,
        httpx.AsyncClient(base_url=f"http://{harness.host}:{harness.port}/v1", trust_env=False) as http,
    ):
        body = {"question": "How many?", "model": "FAR/Sprite-2"}
        asking = asyncio.create_task(http.post("/query", json=body, timeout=TIMEOUT))
        job = await engine.next_job()
        job.send(wire.RequestStarted(request_id="", input_tokens=1, cached_tokens=0))
        job.text("Two")
        job.done(answer="Two")
        answer = await asking
        assert (answer.status_code, answer.headers["x-model"]) == (200, "far/sprite-2")
        assert answer.json()["answer"] == "Two"
        assert (await http.get("/models/far/sprite-2")).json()["owned_by"] == "far"
        missing = await http.post("/query", json={**body, "model": "far/other"})
        assert missing.json()["error"]["code"] == "model_not_found"


async def test_cancelling_reaches_the_other_server(serve, near, endpoint, engine):
    async with serve(near(endpoint)) as harness, harness.client() as client:
        await client.send(ask())
        job = await engine.next_job()
        job.send(wire.RequestStarted(request_id="", input_tokens=1, cached_tokens=0))
        job.text("Two ")
        await client.until(wire.TextDelta)
        await client.send(wire.RequestCancel("a"))
        assert (await client.until(*wire.TERMINAL))[-1].reason == "client"
        assert (await engine.next_cancel())[1] == "disconnect"


async def test_a_failure_there_is_told_here(serve, near, endpoint, engine):
    async with serve(near(endpoint)) as harness, harness.client() as client:
        await client.send(ask())
        job = await engine.next_job()
        failure = errors.ContextLengthExceeded("The request takes 9,000 tokens.", "question").info()
        job.send(wire.RequestFailed(request_id="", error=failure))
        error = (await client.until(*wire.TERMINAL))[-1].error
        assert (error.code, error.message) == ("remote_refused", "far says: The request takes 9,000 tokens.")


async def test_what_is_elsewhere_does_not_wait_for_what_is_loaded_here(serve, near, endpoint, engine, stock):
    async with serve(near(endpoint)) as harness, harness.client() as client:
        await client.send(wire.ModelLoad("here"))
        await stock.loading("here")
        await client.send(ask())
        job = await engine.next_job()
        job.send(wire.RequestStarted(request_id="", input_tokens=1, cached_tokens=0))
        job.done(answer="")
        assert (await client.until(*wire.TERMINAL))[-1].output == {"answer": ""}
        stock.finish("here")


async def test_an_endpoint_that_is_down_says_so_and_is_tried_again(
    serve, near, endpoint, engine, monkeypatch
):
    probe = socket.create_server(("127.0.0.1", 0))
    there = endpoint.url
    object.__setattr__(endpoint, "url", f"http://127.0.0.1:{probe.getsockname()[1]}/v1")
    probe.close()
    async with serve(near(endpoint)) as harness, harness.client() as client:
        info = await client.models_until("far", state="failed")
        assert info.reason.startswith("far cannot be reached: ")
        await client.send(ask())
        assert (await client.until(wire.RequestFailed))[-1].error.message == info.reason
        object.__setattr__(endpoint, "url", there)
        await client.send(ask())  # the same id, as it may be tried again
        job = await engine.next_job()
        job.send(wire.RequestStarted(request_id="", input_tokens=1, cached_tokens=0))
        job.done(answer="")
        await client.until(wire.RequestDone)
        await client.send(wire.ModelLoad("here"))
        listed = (await client.receive_any()).models
        assert [model.id for model in listed] == ["here", "far/sprite-2"], (
            "it has no entry of its own any more"
        )


async def test_a_known_model_whose_endpoint_is_down_fails_to_load(serve, near, endpoint, monkeypatch):
    monkeypatch.delenv("FAR_KEY")
    known = Endpoint("far", endpoint.url, "moondream", ("sprite-2",), key=endpoint.key)
    shelf = near(known)
    assert [model.id for model in shelf.infos()] == ["here", "far/sprite-2"], "nobody was asked"
    async with serve(shelf) as harness, harness.client() as client:
        await client.send(wire.ModelLoad("far/sprite-2"))
        info = await client.models_until("far/sprite-2", state="failed")
        assert "environment variable FAR_KEY" in info.reason
        monkeypatch.setenv("FAR_KEY", SECRET)
        await client.send(wire.ModelLoad("far/sprite-2"))
        assert (await client.models_until("far/sprite-2", loaded=True)).state == "ready"


async def test_the_key_reaches_no_client_and_no_log(serve, near, endpoint, engine, caplog):
    """The other server repeats the key in its error; every byte that leaves ours is looked at."""
    caplog.set_level(logging.DEBUG)
    frames: list[str] = []
    async with (
        serve(near(endpoint)) as harness,
        harness.socket() as client,
        httpx.AsyncClient(base_url=f"http://{harness.host}:{harness.port}", trust_env=False) as http,
    ):
        for message in (wire.Hello(), ask()):
            await client.send(message)
        job = await engine.next_job()
        failure = errors.InvalidParameter(f"Your key is {SECRET}.", "question").info()
        job.send(wire.RequestFailed(request_id="", error=failure))
        while "request.failed" not in (frames or [""])[-1]:
            frames.append(await asyncio.wait_for(client.socket.recv(), TIMEOUT))
        for path in ("/v1/models", "/v1/stats", "/health", "/metrics"):
            frames.append((await http.get(path)).text)
    assert "far says: Your key is ...." in "".join(frames)
    assert SECRET not in "".join(frames)
    assert SECRET not in caplog.text
