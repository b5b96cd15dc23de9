"""Finding out what an endpoint is, which models it has, and whether it is there."""

from __future__ import annotations

import asyncio
import socket
from contextlib import nullcontext
from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.remote import discovery
from dreamscope.engine.remote.discovery import check, discover, known_models
from dreamscope.engine.remote.endpoints import CLOUD_MODELS, Endpoint
from dreamscope.engine.remote.models import named

STATION = {"models": [{"id": "moondream-2", "name": "Moondream 2", "description": "", "version": "2025"}]}
VLLM = {"data": [{"id": "Qwen/Qwen3-VL", "object": "model", "owned_by": "vllm", "max_model_len": 32768}]}
DREAMSCOPE = {
    "data": [
        {
            "id": "moondream2",
            "name": "Moondream 2",
            "skills": ["query", "caption", "gaze", "point", 7],
            "context_length": 2048,
            "revision": "2025-06-21",
            "price": {"input_usd_per_million": 0.3, "output_usd_per_million": 2.5, "name": "Cloud\n"},
        }
    ]
}


async def found(endpoint: Endpoint) -> Any:
    return await asyncio.to_thread(discover, endpoint)


async def test_another_dreamscope(server):
    server.on("/v1/models", DREAMSCOPE)
    (model,) = await found(Endpoint("lab", server.url))
    assert model.endpoint.kind == "moondream"
    assert model.live, "it tells of skills, so its reasoning streams"
    assert model.info == wire.ModelInfo(
        id="lab/moondream2",
        skills=("query", "caption", "point"),
        name="Moondream 2 at lab",
        description="Runs at 127.0.0.1: images and questions are sent there.",
        context_length=2048,
        owned_by="lab",
        revision="2025-06-21",
    ), "a price there is what another place would charge"


async def test_station(server):
    server.on("/v1/models", STATION)
    (model,) = await found(Endpoint("station", server.url))
    assert (model.id, model.endpoint.kind, model.live) == ("moondream-2", "moondream", False)
    assert model.info.skills == ("query", "caption", "point", "detect")


async def test_openai_compatible(server):
    server.on("/v1/models", VLLM)
    (model,) = await found(
        Endpoint("lab", server.url, price=wire.Price(0.1, 0.2, "lab"), skills=("query", "point"))
    )
    assert (model.info.id, model.endpoint.kind) == ("lab/Qwen/Qwen3-VL", "openai")
    assert model.info.skills == ("query",), "what the protocol has of those that were named"
    assert (model.info.context_length, model.info.price) == (32768, wire.Price(0.1, 0.2, "lab"))


async def test_a_moondream_server_without_a_list(server):
    server.on("/health", {"status": "ok"})
    (model,) = await found(Endpoint("old", server.url))
    assert (model.info.id, model.endpoint.kind) == ("old/default", "moondream")


async def test_something_else(server):
    with pytest.raises(errors.ModelUnavailable, match="but tells no models"):
        await found(Endpoint("odd", server.url))


async def test_models_that_were_named_need_not_be_listed(server):
    server.on("/v1/models", VLLM)
    models = await found(Endpoint("lab", server.url, models=("other",)))
    assert [model.info.id for model in models] == ["lab/other"]
    assert known_models(Endpoint("lab", server.url, models=("other",))) is None, "its kind is not known"


def test_nobody_is_contacted_where_everything_is_said():
    cloud = Endpoint("cloud", "https://api.moondream.ai/v1", "moondream", CLOUD_MODELS)
    models = known_models(cloud)
    assert models is not None
    assert [model.info.id for model in models] == ["cloud/moondream3-preview", "cloud/moondream3.1-9B-A2B"]
    assert [model.info.price.output_usd_per_million for model in models if model.info.price] == [2.5, 1.0]
    assert "segment" in models[0].info.skills


@pytest.mark.parametrize(
    "listed",
    [
        {"data": "all"},
        {"data": [None, {}, {"id": 3}, {"id": ""}, {"id": "a\nb"}, {"id": "x" * 201}, {"id": " x"}]},
        [],
        b"<html>",
    ],
)
async def test_a_list_that_is_none(server, listed):
    async def script(exchange):
        await exchange.json(listed)

    server.on("/v1/models", script)
    server.on("/health", {"status": "ok"})
    assert [model.id for model in await found(Endpoint("lab", server.url))] == ["default"]


async def test_facts_that_are_none(server):
    entry = {
        "id": "m",
        "skills": "all",
        "context_length": -1,
        "revision": {},
        "name": "<b>\x1b[2J" * 99,
        "price": 3,
    }
    entry["price"] = {"input_usd_per_million": -1, "output_usd_per_million": 1, "name": ""}
    server.on("/v1/models", {"data": [entry]})
    (model,) = await found(Endpoint("lab", server.url, "openai"))
    assert (model.info.context_length, model.info.revision, model.info.price) == (0, "", None)
    assert len(model.info.name) < 100
    assert model.info.name.isprintable()


async def test_many_models_are_cut(server):
    server.on("/v1/models", {"data": [{"id": f"m{number}"} for number in range(600)]})
    assert len(await found(Endpoint("lab", server.url))) == 500


@pytest.mark.parametrize(("status", "error"), [(401, errors.ModelUnavailable), (500, errors.RemoteFailed)])
async def test_an_endpoint_that_will_not(server, status, error):
    async def script(exchange):
        await exchange.json({}, status)

    server.on("/v1/models", script)
    with pytest.raises(error, match="lab"):
        await found(Endpoint("lab", server.url))
    with pytest.raises(error, match="lab"):
        await asyncio.to_thread(check, named(Endpoint("lab", server.url, "openai"), "m"))


async def test_patience_ends(server, monkeypatch):
    monkeypatch.setattr(discovery, "PATIENCE_S", 0.2)

    async def script(exchange):
        await exchange.hung_up()

    server.on("/v1/models", script)
    with pytest.raises(errors.RemoteFailed, match="lab did not answer within"):
        await found(Endpoint("lab", server.url))


def test_nobody_is_there():
    probe = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    probe.close()
    with pytest.raises(errors.RemoteFailed, match="lab cannot be reached"):
        discover(Endpoint("lab", url))


async def test_models_that_can_do_nothing_are_left_out(server):
    others = [{"id": "giant", "state": "unavailable", "skills": ["query"]}, {"id": "far", "skills": []}]
    server.on("/v1/models", {"data": [*others, *DREAMSCOPE["data"]]})
    assert [model.id for model in await found(Endpoint("lab", server.url))] == ["moondream2"]


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ({"status": "ok", "completed": True}, None),
        ({"type": "error", "error": {"message": "Not enough memory."}}, "lab says: Not enough memory."),
        ({"type": "progress"}, "lab did not finish loading moondream2."),
    ],
)
async def test_a_server_of_ours_loads_what_it_has_not_loaded(server, last, told):
    async def load(exchange):
        await exchange.events(
            {"type": "progress", "detail": "Reading", "done": 0.5, "completed": False}, last
        )

    server.on("/v1/models", {"data": [{**DREAMSCOPE["data"][0], "loaded": False}]})
    server.on("/v1/load", load)
    (model,) = await found(Endpoint("lab", server.url))
    heard: list[str] = []
    with nullcontext() if told is None else pytest.raises(errors.RemoteFailed, match=told):
        await asyncio.to_thread(check, model, heard.append)
    assert heard[0] == "lab: Reading"
    assert server.seen[-1].body == {"model": "moondream2", "stream": True}


async def test_checking_a_model(server):
    server.on("/v1/models", VLLM)
    endpoint = Endpoint("lab", server.url, "openai")
    await asyncio.to_thread(check, named(endpoint, "Qwen/Qwen3-VL"))
    with pytest.raises(errors.ModelUnavailable, match="lab has no model 'gone'; it has Qwen/Qwen3-VL"):
        await asyncio.to_thread(check, named(endpoint, "gone"))
    await asyncio.to_thread(check, named(Endpoint("lab", server.url, "moondream"), "any"))  # they fall back
