"""The model list over HTTP, and loading, unloading and switching."""

from __future__ import annotations

import asyncio
import json

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.weights.progress import Progress

FIRST = wire.ModelInfo(id="first", skills=("query",), name="First", aliases=("maker/first",))
SECOND = wire.ModelInfo(id="second", skills=("query",), description="The other", revision="abc")


@pytest.fixture
async def two(serve, stock):
    """A server with two models of which one fits in memory; the first is loaded."""
    shelf = Shelf([stock.known(FIRST), stock.known(SECOND)])
    stock.finish("first")
    (await shelf.wait("first")).release()
    async with serve(shelf) as harness:
        yield harness


async def loaded(ask, harness) -> dict[str, bool]:
    data = (await ask("GET", "/v1/models", harness=harness)).json()["data"]
    return {each["id"]: each["loaded"] for each in data}


async def test_the_list_has_both_shapes(ask, two):
    told = (await ask("GET", "/v1/models", harness=two)).json()
    assert told["object"] == "list"
    assert [(each["id"], each["object"], each["default"], each["loaded"]) for each in told["data"]] == [
        ("first", "model", True, True),
        ("second", "model", False, False),
    ]
    assert all(isinstance(each["created"], int) and each["owned_by"] for each in told["data"])
    assert told["models"] == [
        {"id": "first", "name": "First", "description": "", "version": ""},
        {"id": "second", "name": "second", "description": "The other", "version": "abc"},
    ]


async def test_one_entry_by_id_or_alias(ask, two):
    for path in ("/v1/models/first", "/v1/models/maker%2Ffirst", "/v1/models/maker/FIRST"):
        assert (await ask("GET", path, harness=two)).json()["id"] == "first", path
    answer = await ask("GET", "/v1/models/none", harness=two)
    assert (answer.status, answer.code) == (404, "model_not_found")


async def test_switching_loads_and_changes_the_default(ask, two, stock):
    stock.finish("second")
    answer = await ask("POST", "/v1/models/switch", {"model": "second"}, two)
    assert answer.json() == {"status": "ok", "model": "second"}
    data = (await ask("GET", "/v1/models", harness=two)).json()["data"]
    assert [(each["id"], each["default"], each["loaded"]) for each in data] == [
        ("second", True, True),
        ("first", False, False),
    ]
    assert (await ask("GET", "/health", harness=two)).json()["model"] == "second"


async def test_unloading_waits_for_the_requests(ask, two, stock):
    asking = asyncio.create_task(ask("POST", "/v1/query", {"question": "Why?"}, two))
    job = await stock.engines["first"].next_job()
    unloading = asyncio.create_task(ask("POST", "/v1/unload", {"model": "FIRST", "stream": True}, two))
    again = asyncio.create_task(ask("POST", "/v1/query", {"question": "Why?", "model": "sprite"}, two))
    assert (await again).status == 404
    assert await loaded(ask, two) == {"first": True, "second": False}
    job.done(answer="2")
    assert (await asking).status == 200
    *_, last = [json.loads(payload) for payload in (await unloading).payloads]
    assert (last["status"], last["model"], last["completed"]) == ("ok", "first", True)
    assert await loaded(ask, two) == {"first": False, "second": False}
    assert stock.engines["first"].stopped
    harmless = await ask("POST", "/v1/unload", {"model": "first"}, two)
    assert harmless.json() == {"status": "ok", "model": "first"}


async def test_loading_tells_its_progress(ask, two, stock):
    asking = asyncio.create_task(ask("POST", "/v1/load", {"model": "second", "stream": True}, two))
    await stock.loading("second")
    stock.report("second", Progress("read", "Reading", 1, 4))
    stock.finish("second")
    *progress, last = [json.loads(payload) for payload in (await asking).payloads]
    read = [event for event in progress if event["detail"] == "Reading"]
    assert [(event["type"], event["model"], event["done"]) for event in read] == [
        ("progress", "second", 0.25)
    ]
    assert not any(event["completed"] for event in progress)
    assert (last["completed"], last["model"]) == (True, "second")


async def test_loading_that_fails_later_ends_the_stream_like_any_failure(ask, two, stock):
    asking = asyncio.create_task(ask("POST", "/v1/load", {"model": "second", "stream": True}, two))
    await stock.loading("second")
    stock.report("second", Progress("read", "Reading", 1, 4))
    stock.fail("second", errors.NotEnoughMemory("Too big."))
    *_, error, broken = (await asking).payloads
    assert json.loads(error)["error"]["code"] == "not_enough_memory"
    assert broken == "[ERROR]"


async def test_what_cannot_be_done_has_a_status(ask, two, stock):
    for path in ("/v1/load", "/v1/unload", "/v1/models/switch"):
        for stream in (False, True):
            answer = await ask("POST", path, {"stream": stream}, two)
            assert (answer.status, answer.code) == (400, "missing_parameter")
            answer = await ask("POST", path, {"model": "none", "stream": stream}, two)
            assert (answer.status, answer.code) == (404, "model_not_found")
    stock.fail("second", errors.WeightsNotFound("Nothing there."))
    answer = await ask("POST", "/v1/load", {"model": "second"}, two)
    assert (answer.status, answer.code) == (503, "weights_not_found")


async def test_the_name_of_a_model_may_be_in_any_script(ask, serve, stock):
    shelf = Shelf([stock.known(wire.ModelInfo(id="\u72ac", skills=("query",)))])
    stock.finish("\u72ac")
    async with serve(shelf) as harness:
        for stream in (False, True):
            body = {"question": "Why?", "model": "\u72ac", "stream": stream}
            asking = asyncio.create_task(ask("POST", "/v1/query", body, harness))
            (await stock.engines["\u72ac"].next_job()).done(answer="2")
            assert (await asking).headers["x-model"] == "%E7%8A%AC"
