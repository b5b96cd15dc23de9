from __future__ import annotations

import pytest

from dreamscope.app.client import EngineClient, EngineGone, socket_url
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
