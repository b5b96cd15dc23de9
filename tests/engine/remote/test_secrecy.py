"""A key goes to its endpoint and nowhere else, even if the endpoint sends it back."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.remote.discovery import check, discover
from dreamscope.engine.remote.endpoints import Endpoint
from dreamscope.engine.remote.key import KeySource
from dreamscope.engine.remote.models import named
from dreamscope.engine.skills.base import ChatMessage

SECRET = "sk-do-not-tell-0123456789"
LEAK = f"Your key is {SECRET}!"


@pytest.fixture
def source(tmp_path: Path) -> KeySource:
    (tmp_path / "key").write_text(SECRET)
    return KeySource(file=tmp_path / "key")


@pytest.fixture(autouse=True)
def silent_logs(caplog: pytest.LogCaptureFixture) -> Any:
    """Whatever is logged, at any level and by any library, does not have the key."""
    caplog.set_level(logging.DEBUG)
    yield
    logged = [record.getMessage() for record in caplog.get_records("call")]
    assert logged, "there was something to look at"
    assert not any(SECRET in line for line in logged)


@pytest.mark.parametrize("kind", ["moondream", "openai"])
async def test_both_headers_carry_it(server, connect, kind):
    server.on("/v1/query", {"answer": "Two"})
    server.on("/v1/chat/completions", {"choices": [{"message": {"content": "Two"}, "finish_reason": "stop"}]})
    asked = connect(kind, key=SECRET).ask()
    await asked.end()
    headers = server.seen[0].headers
    assert headers["x-moondream-auth"] == SECRET
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in str(server.seen[0].body)


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("where", ["answer", "error", "detail", "message"])
async def test_an_endpoint_that_repeats_it(server, connect, status, where):
    async def script(exchange):
        await exchange.json({where: LEAK} if where != "error" else {"error": {"message": LEAK}}, status)

    server.on("/v1/query", script)
    asked = connect(key=SECRET).ask()
    await asked.end()
    told = "".join(wire.encode(event) for event in asked.events)
    assert SECRET not in told
    assert "Your key is ...!" in told or (where, status) not in {("error", 400), ("answer", 200)}


async def test_a_stream_and_a_chat_that_repeat_it(server, connect):
    async def script(exchange):
        await exchange.events({"chunk": LEAK}, {"type": "error", "error": {"message": LEAK}})

    async def chat(exchange):
        await exchange.events({"choices": [{"delta": {"content": LEAK}}]}, {"error": LEAK})

    server.on("/v1/query", script)
    server.on("/v1/chat/completions", chat)
    remote = connect(key=SECRET)
    for asked in (remote.ask(), remote.ask("chat", image=None, messages=(ChatMessage("user", "Hello"),))):
        end = await asked.end()
        assert end.error.message == "lab says: Your key is ...!"
        assert SECRET not in "".join(wire.encode(event) for event in asked.events)
    assert SECRET not in f"{remote.engine!r} {vars(remote.engine)} {remote.engine.stats()} {remote.model}"


async def test_a_redirect_does_not_carry_it_away(server, connect):
    async def script(exchange):
        await exchange.json(b"", 307, Location=f"{server.url}/elsewhere")

    server.on("/v1/query", script)
    await connect(key=SECRET).ask().end()
    assert [exchange.path for exchange in server.seen] == ["/v1/query"]


async def test_a_model_list_that_repeats_it(server, source):
    server.on("/v1/models", {"data": [{"id": SECRET, "name": LEAK, "skills": ["query"], "revision": LEAK}]})
    (model,) = await asyncio.to_thread(discover, Endpoint("lab", server.url, key=source))
    assert server.seen[0].headers["x-moondream-auth"] == SECRET
    assert SECRET not in wire.encode(wire.Models((model.info,))) + repr(model)


async def test_a_failing_list_that_repeats_it(server, source):
    async def script(exchange):
        await exchange.json({"error": {"message": LEAK}}, 401)

    server.on("/v1/models", script)
    endpoint = Endpoint("lab", server.url, "openai", ("m",), key=source)
    for work in (lambda: discover(endpoint), lambda: check(named(endpoint, "m"))):
        with pytest.raises(
            errors.ModelUnavailable, match="lab refuses its key; it says: Your key is"
        ) as told:
            await asyncio.to_thread(work)
        assert SECRET not in told.value.message
