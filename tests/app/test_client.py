from __future__ import annotations

import pytest
from websockets.asyncio.server import serve

from dreamscope.app.client import EngineClient, EngineGone, EngineRefused, socket_url
from dreamscope.app.origin import same_origin
from dreamscope.engine import wire


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:2020", "ws://127.0.0.1:2020/v1/ws"),
        ("http://box:2020/", "ws://box:2020/v1/ws"),
        ("https://box/lab", "wss://box/lab/v1/ws"),
        ("ws://[::1]:7/v1/ws", "ws://[::1]:7/v1/ws"),
    ],
)
def test_engine_addresses(given, url):
    assert socket_url(given) == url


@pytest.mark.parametrize("given", ["ftp://box", "http://", "box:port", ""])
def test_bad_engine_addresses_say_how_to_write_one(given):
    with pytest.raises(ValueError, match=r"ws://127\.0\.0\.1:2020"):
        socket_url(given)


async def test_greeting_and_goodbye(engine):
    client = await EngineClient.open(socket_url(engine.status.url), "test")
    assert client.ready.models[0].id == "sprite-2"
    await client.close()
    with pytest.raises(EngineGone):
        await client.send(wire.RequestCancel("r"))
    with pytest.raises(EngineGone):
        async for _ in client.messages():
            pass


async def test_nobody_there():
    with pytest.raises(EngineGone, match=r"ws://127\.0\.0\.1:9"):
        await EngineClient.open("ws://127.0.0.1:9/v1/ws", "test")


async def test_an_engine_that_asks_for_a_key_gets_it():
    async def door(socket):
        hello = wire.decode(await socket.recv())
        error = wire.ErrorInfo("The API key is missing.", "authentication_error", "invalid_api_key")
        ready = wire.Ready(1, "c", "s", (), wire.Limits(1, 1, 1, 1))
        await socket.send(wire.encode(ready if hello.auth == "s3cret" else wire.ErrorEvent(error)))

    async with serve(door, "127.0.0.1", 0, subprotocols=[wire.SUBPROTOCOL]) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/ws"
        await (await EngineClient.open(url, "test", "s3cret")).close()
        with pytest.raises(EngineRefused, match="missing"):
            await EngineClient.open(url, "test")


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://127.0.0.1:7860", "127.0.0.1:7860", True),
        ("https://lab.example", "lab.example", True),
        ("https://lab.example", "lab.example:443", True),
        (None, "127.0.0.1:7860", True),
        ("http://evil.example", "127.0.0.1:7860", False),
        ("http://127.0.0.1:9999", "127.0.0.1:7860", False),
        ("http://localhost:7860", "127.0.0.1:7860", False),
        ("null", "127.0.0.1:7860", False),
        ("http://127.0.0.1:port", "127.0.0.1:7860", False),
        ("http://127.0.0.1", None, False),
    ],
)
def test_origin(origin, host, allowed):
    assert same_origin(origin, host) is allowed
