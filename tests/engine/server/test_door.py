"""Who gets in: subprotocol, origin, keys, greeting, number of connections; and how time ends things."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.exceptions import InvalidStatus

from dreamscope.engine import wire
from dreamscope.engine.server.auth import is_loopback, origin_allowed, owner_of, presented_key
from dreamscope.engine.server.options import ServerOptions


def created(request_id: str = "a", **fields) -> wire.RequestCreate:
    return wire.RequestCreate(**{"request_id": request_id, "skill": "query", "question": "Why?", **fields})


async def refused(server, **options):
    """Status and body of a refused upgrade."""
    with pytest.raises(InvalidStatus) as caught:
        async with server.socket(**options):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body), response.headers


async def test_without_the_subprotocol_the_upgrade_is_refused(server):
    status, body, headers = await refused(server, subprotocols=None)
    assert status == 400
    assert "md-stream.v1" in body["error"]["message"]
    assert headers["X-Request-Id"] == body["request_id"]
    assert (await refused(server, subprotocols=["md-stream.v9"]))[0] == 400


async def test_an_unknown_websocket_path_is_not_found(server):
    from websockets.asyncio.client import connect

    with pytest.raises(InvalidStatus) as caught:
        async with connect(server.url.replace("/v1/ws", "/v1/other")):
            pass
    assert caught.value.response.status_code in (403, 404)


async def test_a_foreign_origin_is_refused_before_the_upgrade(server):
    for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
        status, body, _ = await refused(server, origin=origin)
        assert status == 403
        assert body["error"]["code"] == "origin_not_allowed"


async def test_loopback_and_configured_origins_get_in(serve, shelf):
    async with serve(shelf, ServerOptions(allowed_origins=("https://lab.example",))) as server:
        for origin in ("http://localhost:7860", "http://127.0.0.1:9", "https://lab.example"):
            async with server.client(origin=origin):
                pass
        assert (await refused(server, origin="https://lab.example.evil"))[0] == 403


@pytest.mark.parametrize(
    ("origin", "host", "configured", "allowed"),
    [
        (None, "engine.lan:2020", (), True),
        ("http://engine.lan:7860", "engine.lan:2020", (), True),
        ("http://ENGINE.lan", "engine.LAN", (), True),
        ("http://other.lan", "engine.lan", (), False),
        ("http://[::1]:7860", "engine.lan", (), True),
        ("http://127.9.9.9", "engine.lan", (), True),
        ("null", "null", (), False),
        ("", "", (), False),
        ("http://[bad", "engine.lan", (), False),
        ("https://lab.example", "engine.lan", ("https://lab.example/",), True),
        ("http://lab.example", "engine.lan", ("https://lab.example",), False),
    ],
)
def test_origin_rule(origin, host, configured, allowed):
    assert origin_allowed(origin, host, configured) is allowed


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("[::1]", True), ("0.0.0.0", False), ("example.com", False)],
)
def test_loopback(host, expected):
    assert is_loopback(host) is expected


def test_keys():
    assert presented_key({"x-moondream-auth": "k1"}) == "k1"
    assert presented_key({"x-moondream-auth": "  ", "authorization": "bEaReR k2"}) == "k2"
    assert presented_key({"authorization": "Basic k3"}) is None
    assert owner_of(None, ()) == owner_of("anything", ()) == "anyone"
    assert owner_of("k1", ("k1", "k2")) != owner_of("k2", ("k1", "k2"))
    assert owner_of("k", ("k1",)) is None
    assert owner_of(None, ("k1",)) is None
    assert "k1" not in str(owner_of("k1", ("k1",)))


async def test_a_key_is_asked_for_in_hello_or_header(serve, shelf):
    async with serve(shelf, ServerOptions(api_keys=("secret", "other"))) as server:
        for hello, headers in (
            (wire.Hello(auth="secret"), {}),
            (wire.Hello(), {"Authorization": "Bearer secret"}),
            (wire.Hello(), {"X-Moondream-Auth": "other"}),
            (wire.Hello(auth="secret"), {"X-Moondream-Auth": ""}),
        ):
            async with server.socket(additional_headers=headers) as client:
                await client.send(hello)
                assert isinstance(await client.receive(), wire.Ready)
        for hello in (wire.Hello(), wire.Hello(auth="wrong")):
            async with server.socket() as client:
                await client.send(hello)
                assert (await client.receive()).error.code == "invalid_api_key"
                assert (await client.closed())[0] == 4401


async def test_requests_belong_to_their_key(serve, shelf, engine):
    options = ServerOptions(api_keys=("k1", "k2"))
    async with serve(shelf, options) as server, server.socket() as one, server.socket() as two:
        for client, key in ((one, "k1"), (two, "k2")):
            await client.send(wire.Hello(auth=key))
            await client.receive()
        await one.send(created())
        await engine.next_job()
        for message in (wire.RequestResume("a", -1), wire.RequestCancel("a")):
            await two.send(message)
            assert (await two.receive()).error.code == "request_unknown"
        await two.send(created())
        assert (await two.receive()).error.code == "request_exists"
    assert ("a", "client") not in engine.cancels


@pytest.mark.parametrize(
    "frame",
    [
        '{"type": "request.cancel", "request_id": "a"}',
        '{"type": "hello", "protocol": 2}',
        "nonsense",
        '{"type": "%s"}' % ("long " * 100),
    ],
)
async def test_anything_but_hello_first_closes(server, frame):
    async with server.socket() as client:
        await client.socket.send(frame)
        assert isinstance(await client.receive(), wire.ErrorEvent)
        assert (await client.closed())[0] == 4400


async def test_too_many_connections(serve, shelf):
    options = ServerOptions(max_connections=1)
    async with serve(shelf, options) as server, server.client(), server.socket() as second:
        assert (await second.closed())[0] == 4429


async def test_no_hello_in_time(serve, shelf, clock):
    async with serve(shelf, clock=clock) as server, server.client() as greeted, server.socket() as silent:
        clock.advance(4.9)
        assert silent.socket.close_code is None
        clock.advance(0.2)
        assert (await silent.closed())[0] == 4408
        await greeted.send(wire.RequestCancel("x"))
        assert isinstance(await greeted.receive(), wire.ErrorEvent)


async def lost(server, client) -> None:
    """Kill the socket and wait until the server has noticed."""
    door = server.server.config.app.door
    tasks = list(door._open.values())
    client.socket.transport.abort()
    await asyncio.wait_for(asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED), 10)


async def test_an_abandoned_request_is_cancelled_after_the_grace(serve, shelf, engine, clock):
    async with serve(shelf, clock=clock) as server:
        async with server.client() as client:
            await client.send(created())
            await engine.next_job()
            await lost(server, client)
        clock.advance(4.9)
        assert engine.cancels == []
        clock.advance(0.2)
        assert engine.cancels == [("a", "disconnect")]
        async with server.client() as client:
            await client.send(wire.RequestResume("a", 0))
            (event,) = await client.until(wire.RequestCancelled)
            assert event.reason == "disconnect"


async def test_coming_back_in_time_keeps_it_running(serve, shelf, engine, clock):
    async with serve(shelf, clock=clock) as server:
        async with server.client() as client:
            await client.send(created())
            await engine.next_job()
            await lost(server, client)
        clock.advance(4)
        async with server.client() as client:
            await client.send(wire.RequestResume("a", -1))
            await client.until(wire.RequestAccepted)
            clock.advance(100)
            assert engine.cancels == []


async def test_continue_runs_on_alone_and_expires_after_its_end(serve, shelf, engine, clock):
    async with serve(shelf, clock=clock) as server:
        async with server.client() as client:
            await client.send(created(on_disconnect="continue"))
            job = await engine.next_job()
            await lost(server, client)
        clock.advance(500)
        assert engine.cancels == []
        job.text("alone")
        job.done(answer="alone")
        async with server.client() as client:
            await client.send(wire.RequestResume("a", -1))
            assert (await client.until(wire.RequestDone))[-1].output == {"answer": "alone"}
            clock.advance(121)
            await client.send(wire.RequestResume("a", -1))
            assert (await client.receive()).error.code == "request_unknown"


async def test_a_stopping_server_cancels_tells_and_closes_with_1001(serve, shelf, engine):
    async with serve(shelf) as server, server.client() as client:
        await client.send(created())
        job = await engine.next_job()
        job.text("so far")
        server.server.should_exit = True
        messages = await client.until(wire.RequestCancelled)
        assert messages[-1].reason == "shutdown"
        assert (await client.closed())[0] == 1001
    assert engine.cancels == [("a", "shutdown")]
