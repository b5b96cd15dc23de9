"""Fake endpoints on real sockets, and an engine that asks them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from dreamscope.engine import wire
from dreamscope.engine.remote.endpoints import Endpoint
from dreamscope.engine.remote.engine import RemoteEngine
from dreamscope.engine.remote.key import Key
from dreamscope.engine.remote.models import RemoteModel, named
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.job import Batches, EngineRequest
from dreamscope.engine.skills.base import Sampling, SkillRequest

TIMEOUT = 20.0
IMAGE = RawImage(np.full((20, 30, 3), 200, np.uint8), "grey")


@dataclass
class Exchange:
    """One HTTP request that has arrived, and the way to answer it. The connection closes afterwards."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    async def head(self, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def json(self, value: Any, status: int = 200, **headers: str) -> None:
        await self.head(status, **headers)
        await self.raw(value if isinstance(value, bytes) else json.dumps(value).encode())

    async def events(self, *events: Any) -> None:
        """A whole stream; strings go out as they are."""
        await self.head(kind="text/event-stream")
        await self.more(*events)

    async def more(self, *events: Any) -> None:
        for event in events:
            data = event if isinstance(event, str) else json.dumps(event)
            await self.raw(f"data: {data}\n\n".encode())

    async def hung_up(self) -> None:
        """Returns when the client is gone."""
        assert await asyncio.wait_for(self.reader.read(1), TIMEOUT) == b""


Script = Callable[[Exchange], Awaitable[None]]


class FakeServer:
    """Answers by `routes`, path to script; what it has none for is 404. Keeps every exchange."""

    def __init__(self) -> None:
        self.routes: dict[str, Script] = {}
        self.seen: list[Exchange] = []
        self.failures: list[BaseException] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def on(self, path: str, script: Script | Any) -> None:
        """Answer with a script, or always with this JSON."""
        if callable(script):
            self.routes[path] = script
            return

        async def answer(exchange: Exchange) -> None:
            await exchange.json(script)

        self.routes[path] = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            exchange = await _received(reader, writer)
            if exchange is not None:
                self.seen.append(exchange)
                await self.routes.get(exchange.path, _missing)(exchange)
        except ConnectionError:
            pass  # the client is gone
        except BaseException as error:
            self.failures.append(error)
        finally:
            writer.close()


async def _missing(exchange: Exchange) -> None:
    await exchange.json({"detail": "Not Found"}, 404)


async def _received(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode().strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    length = int(headers.get("content-length", "0"))
    body = json.loads(await reader.readexactly(length)) if length else None
    return Exchange(method, path, headers, body, reader, writer)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    listener = await asyncio.start_server(fake.serve, "127.0.0.1", 0, limit=2**26)
    fake.port = listener.sockets[0].getsockname()[1]
    yield fake
    listener.close()
    assert fake.failures == []


class Asked:
    """The events of one request as they come; checks their numbers."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def deliver(self, batches: Batches) -> None:
        for event in (event for _, events in batches for event in events):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def next(self) -> Any:
        event = await asyncio.wait_for(self._queue.get(), TIMEOUT)
        assert not (self.events and isinstance(self.events[-1], wire.TERMINAL)), "nothing follows the end"
        assert event.seq == (self.events[-1].seq + 1 if self.events else event.seq)
        assert wire.decode(wire.encode(event)) == event
        self.events.append(event)
        return event

    async def until(self, *kinds: type) -> Any:
        while not isinstance(event := await self.next(), kinds):
            pass
        return event

    async def end(self) -> Any:
        """The terminal event."""
        return await self.until(*wire.TERMINAL)


class Remote:
    """An engine of one model of the fake server."""

    def __init__(self, engine: RemoteEngine, model: RemoteModel) -> None:
        self.engine = engine
        self.model = model
        self._count = 0

    def ask(self, skill: str = "query", image: RawImage | None = IMAGE, **fields: Any) -> Asked:
        """Submit; what is a field of the engine's request goes there, the rest into the skill's."""
        self._count += 1
        own = {name: fields.pop(name) for name in tuple(fields) if name in EngineRequest.__slots__}
        fields = {"question": "How many?"} | fields if skill == "query" else {"object": "cup"} | fields
        request = SkillRequest(skill=skill, **{"sampling": Sampling(temperature=0.5), **fields})
        asked = Asked()
        known = {"request_id": f"r{self._count}", "image": image, "accepted_at": None, **own}
        self.engine.submit(EngineRequest(skill_request=request, **known), asked.deliver)
        return asked


Connect = Callable[..., Remote]


@pytest.fixture
def connect(server: FakeServer) -> Iterator[Connect]:
    """An engine for the fake server; `kind`, `key`, `live` and the fields of an `Endpoint`."""
    made: list[RemoteEngine] = []

    def build(
        kind: str = "moondream", key: str | None = None, live: bool = False, model: str = "m", **fields: Any
    ) -> Remote:
        queue = {"max_queue": fields.pop("max_queue")} if "max_queue" in fields else {}
        endpoint = Endpoint("lab", server.url, kind, **fields)
        there = replace(named(endpoint, model), live=live)
        made.append(RemoteEngine(there, None if key is None else Key(key), **queue))
        made[-1].start()
        return Remote(made[-1], there)

    yield build
    for engine in made:
        engine.shutdown()
