from __future__ import annotations

import asyncio
import contextlib
import html
import io
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect

from dreamscope.app.main import build_routes
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import Engine, RemoteEngine, Supervisor
from dreamscope.visualizers.record import Record

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

    async def image(self, image_id: str, data: bytes, **more: Any) -> None:
        await self.send(image={"id": image_id, **more})
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

    async def until_run(self, state: str, column: str = "main") -> Message:
        return await self.until(lambda message: message.get("run") == state and column_of(message) == column)

    async def until_all(self, state: str, *columns: str) -> None:
        """Until the last word of every one of `columns` is `state`."""
        async with asyncio.timeout(PATIENCE_S):
            while {column: self.state(column) for column in columns} != dict.fromkeys(columns, state):
                await self.until(lambda message: "run" in message)

    def state(self, column: str = "main") -> str:
        """What was said last of `column`."""
        said = [m["run"] for m in self.seen if "run" in m and column_of(m) == column]
        return said[-1] if said else "idle"

    def begun(self, column: str = "main") -> Message:
        """The latest `begin` of `column`."""
        found: Message = [m["begin"] for m in self.seen if "begin" in m and column_of(m) == column][-1]
        return found

    async def until_engine(self, state: str) -> Message:
        message = await self.until(lambda message: message.get("engine", {}).get("state") == state)
        engine: Message = message["engine"]
        return engine

    def html(self, slot: str, column: str = "main", part: int | None = None) -> str:
        """Everything that was put into `slot` of a column, in order; of one part only, if that is given."""
        messages = [message for message in self.seen if column_of(message) == column]
        fragments = [f for message in messages for f in message.get("fragments", ()) if f["slot"] == slot]
        return "".join(f["html"] for f in fragments if part is None or f.get("part", 0) == part)

    def text(self, slot: str, column: str = "main", part: int | None = None) -> str:
        """What people read of it."""
        return html.unescape(re.sub("<[^>]+>", "", self.html(slot, column, part)))


def column_of(message: Message) -> str:
    column: str = message.get("column", "main")
    return column


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
async def served(
    engine: Engine, store: Store | None = None, build: Callable[[Engine, Store], ASGIApp] | None = None
) -> AsyncIterator[str]:
    """Our routes, or what `build` makes, on a real port; yields `host:port`.

    With a history of their own unless one is given.
    """
    history = store or Store.open(None)
    config = uvicorn.Config(
        build(engine, history) if build else build_routes(engine, (), history),
        port=0,
        log_level="error",
        ws="websockets-sansio",
        ws_max_size=2**25,
        timeout_graceful_shutdown=3,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await server.listening.wait()
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        if store is None:
            await asyncio.to_thread(history.close)


@contextlib.asynccontextmanager
async def page_of(engine: Engine, store: Store | None = None) -> AsyncIterator[Page]:
    async with served(engine, store) as address, page_at(address) as page:
        yield page


@contextlib.asynccontextmanager
async def page_at(address: str) -> AsyncIterator[Page]:
    async with connect(f"ws://{address}/ws", max_size=None) as socket:
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
async def page(engine: Supervisor, store: Store) -> AsyncIterator[Page]:
    """A page on an engine that somebody else runs, once it says that it is ready; `store` is its history."""
    assert engine.status.url is not None
    async with page_of(RemoteEngine(engine.status.url), store) as page:
        await page.until_engine("ready")
        yield page


@pytest.fixture
async def supervised_page(engine: Supervisor, store: Store) -> AsyncIterator[Page]:
    async with page_of(engine, store) as page:
        await page.until_engine("ready")
        yield page


@pytest.fixture
def open_page() -> Callable[..., contextlib.AbstractAsyncContextManager[Page]]:
    return page_of


@pytest.fixture
def serve_routes() -> Callable[..., contextlib.AbstractAsyncContextManager[str]]:
    return served


@pytest.fixture
def visit() -> Callable[[str], contextlib.AbstractAsyncContextManager[Page]]:
    """Opens a page at the address of `serve_routes`."""
    return page_at


@pytest.fixture
def engine_script() -> Callable[..., list[str]]:
    """The command line of the fake engine."""
    return fake_command


@pytest.fixture(scope="session")
def png() -> bytes:
    return _png(64, 48)


@pytest.fixture(scope="session")
def odd_png() -> bytes:
    """An image that only the fake engine cannot read."""
    return _png(13, 13)


def _png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (90, 140, 200)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def recorded(store: Store) -> Callable[..., Awaitable[Record]]:
    """The run of a page's column as `store` has it, once it is in `state`."""

    async def find(page: Page, state: str, column: str = "main") -> Record:
        run_id = page.begun(column)["id"]
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await asyncio.to_thread(store.flush)
                record = await asyncio.to_thread(store.record, run_id)
                if record is not None and record.state == state:
                    return record

    return find


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty history in a folder of this test."""
    history = Store.open(tmp_path / "data")
    yield history
    history.close()
