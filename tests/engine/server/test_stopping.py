"""A server that is told to stop: what runs may finish, what is new is refused, and everybody is told."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from dreamscope.engine import wire
from dreamscope.engine.server.app import build_app
from dreamscope.engine.server.options import ServerOptions

ASK = {"question": "Why?"}


@pytest.fixture
async def running(shelf, clock):
    """The application without sockets, which it would close, and a client of it."""
    app = build_app(shelf, ServerOptions(finish_seconds=20, drain_seconds=5), clock)
    orders: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    reports: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, orders.get, reports.put))
    orders.put_nowait({"type": "lifespan.startup"})
    assert (await reports.get())["type"] == "lifespan.startup.complete"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        yield app, http
    orders.put_nowait({"type": "lifespan.shutdown"})
    await life


async def test_running_requests_finish_while_new_ones_are_refused(running, engine):
    app, http = running
    asking = asyncio.create_task(http.post("/v1/query", json=ASK))
    job = await engine.next_job()
    closing = asyncio.create_task(app.door.close())
    await asyncio.wait({closing}, timeout=0)
    health = await http.get("/health")
    assert (health.status_code, health.json()) == (503, {"status": "draining", "running": 1})
    for path in ("/v1/query", "/v1/chat/completions", "/v1/load"):
        refused = await http.post(path, json=ASK)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert refused.headers["retry-after"] == "1"
    assert (await http.get("/v1/stats")).json()["processing"] == 1
    job.done(answer="So.")
    assert (await asking).json()["answer"] == "So."
    await closing
    assert engine.cancels == []


async def test_what_takes_too_long_is_cancelled(running, engine, clock):
    app, http = running
    asking = asyncio.create_task(http.post("/v1/query", json=ASK))
    await engine.next_job()
    closing = asyncio.create_task(app.door.close())
    await asyncio.wait({closing}, timeout=0)
    assert engine.cancels == []
    clock.advance(20)
    answer = await asking
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")
    assert [reason for _, reason in engine.cancels] == ["shutdown"]
    await closing


async def test_a_second_signal_waits_for_nothing(running, engine):
    app, http = running
    asking = asyncio.create_task(http.post("/v1/query", json=ASK))
    await engine.next_job()
    closing = asyncio.create_task(app.door.close())
    await asyncio.wait({closing}, timeout=0)
    app.door.hurry()
    assert (await asking).status_code == 503
    await closing


async def test_a_websocket_hears_the_end_of_its_request_then_1001(serve, shelf, engine):
    options = ServerOptions(finish_seconds=20, drain_seconds=5)
    async with serve(shelf, options) as server, server.client() as client:
        await client.send(wire.RequestCreate(request_id="a", skill="query", question="Why?"))
        job = await engine.next_job()
        server.server.should_exit = True
        late = 0
        while True:  # until the server has seen that it is to stop
            late += 1
            await client.send(wire.RequestCreate(request_id=f"late{late}", skill="query", question="Why?"))
            if isinstance(
                end := (await client.until(wire.RequestAccepted, wire.RequestFailed))[-1], wire.RequestFailed
            ):
                break
            (await engine.next_job()).done(answer="")
            await client.until(wire.RequestDone)
        assert end.error.code == "shutting_down"
        job.done(answer="So.")
        assert (await client.until(wire.RequestDone))[-1].output == {"answer": "So."}
        assert (await client.closed())[0] == 1001


async def test_without_retention_nothing_can_be_resumed_after_the_end(serve, shelf, engine):
    options = ServerOptions(retention=False, drain_seconds=0.5)
    async with serve(shelf, options) as server, server.client() as client:
        await client.send(wire.RequestCreate(request_id="a", skill="query", question="Why?"))
        job = await engine.next_job()
        job.text("So.")
        await client.until(wire.TextDelta)
        await client.send(wire.RequestResume("a", -1))  # while it runs, it can
        assert [event.seq for event in await client.until(wire.TextDelta)] == [0, 1]
        job.done(answer="So.")
        await client.until(wire.RequestDone)
        await client.send(wire.RequestResume("a", -1))
        assert (await client.receive()).error.code == "request_unknown"
        async with httpx.AsyncClient(trust_env=False) as http:
            health = await http.get(f"http://{server.host}:{server.port}/health")
        assert health.json()["retention"] is False
