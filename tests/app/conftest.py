from __future__ import annotations

import asyncio
import contextlib
import html
import io
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

from dreamscope.app.main import build_routes
from dreamscope.app.supervisor import Engine, RemoteEngine, Supervisor

FAKE_ENGINE = Path(__file__).parent / "fake_engine.py"
PATIENCE_S = 20.0
Message = dict[str, Any]


def fake_command(*flags: str) -> list[str]:
    return [sys.executable, str(FAKE_ENGINE), *flags]


class Page:
    """A browser without a browser: it sends what the page sends and keeps what it receives."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._arrived: list[Message] = []
        self.seen: list[Message] = []

    async def send(self, **message: Any) -> None:
        await self.send_raw(json.dumps(message))

    async def send_raw(self, frame: str | bytes) -> None:
        await self._socket.send(frame)

    async def image(self, image_id: str, data: bytes) -> None:
        await self.send(image={"id": image_id})
        await self.send_raw(data)

    async def ask(self, skill: str = "query", question: str = "How many dogs?", **more: Any) -> None:
        field = "question" if skill == "query" else "object"
        await self.send(run={"skill": skill, field: question, "reasoning": True, **more})

    async def until(self, wanted: Callable[[Message], Any]) -> Message:
        """The first message from now on for which `wanted` is true."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while not self._arrived:
                    self._arrived = json.loads(await self._socket.recv())
                message = self._arrived.pop(0)
                self.seen.append(message)
                if wanted(message):
                    return message

    async def until_run(self, state: str) -> None:
        await self.until(lambda message: message.get("run") == state)

    async def until_engine(self, state: str) -> Message:
        message = await self.until(lambda message: message.get("engine", {}).get("state") == state)
        engine: Message = message["engine"]
        return engine

    def html(self, slot: str) -> str:
        """Everything that was put into `slot`, in order."""
        fragments = [f for message in self.seen for f in message.get("fragments", ())]
        return "".join(fragment["html"] for fragment in fragments if fragment["slot"] == slot)

    def text(self, slot: str) -> str:
        """What people read of it."""
        return html.unescape(re.sub("<[^>]+>", "", self.html(slot)))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextlib.asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[str]:
    """Our routes on a real port; yields `host:port`."""
    config = uvicorn.Config(
        build_routes(engine, ()), port=0, log_level="error", ws="websockets-sansio", ws_max_size=2**25
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await server.listening.wait()
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def page_of(engine: Engine) -> AsyncIterator[Page]:
    async with served(engine) as address, connect(f"ws://{address}/ws", max_size=None) as socket:
        yield Page(socket)


@pytest.fixture
async def engine() -> AsyncIterator[Supervisor]:
    """A supervised fake engine that is ready."""
    supervisor = Supervisor(fake_command())
    supervisor.start()
    await supervisor.wait_ready()
    yield supervisor
    await supervisor.stop()


@pytest.fixture
async def page(engine: Supervisor) -> AsyncIterator[Page]:
    """A page on an engine that somebody else runs, once it says that it is ready."""
    assert engine.status.url is not None
    async with page_of(RemoteEngine(engine.status.url)) as page:
        await page.until_engine("ready")
        yield page


@pytest.fixture
async def supervised_page(engine: Supervisor) -> AsyncIterator[Page]:
    async with page_of(engine) as page:
        await page.until_engine("ready")
        yield page


@pytest.fixture
def open_page() -> Callable[[Engine], contextlib.AbstractAsyncContextManager[Page]]:
    return page_of


@pytest.fixture
def serve_routes() -> Callable[[Engine], contextlib.AbstractAsyncContextManager[str]]:
    return served


@pytest.fixture
def engine_script() -> Callable[..., list[str]]:
    """The command line of the fake engine."""
    return fake_command


@pytest.fixture(scope="session")
def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 140, 200)).save(out, "PNG")
    return out.getvalue()
