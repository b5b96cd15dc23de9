"""A scripted engine, a clock that tests move, and a real server on a loopback port."""

from __future__ import annotations

import asyncio
import base64
import io
import queue
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

from dreamscope.engine import wire
from dreamscope.engine.runtime.job import Deliver, EngineRequest
from dreamscope.engine.server.app import build_app
from dreamscope.engine.server.listen import bind
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.process import EngineServer, uvicorn_config
from dreamscope.engine.server.serving import Known, Serving
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.weights.progress import Progress, Report

TIMEOUT = 20.0
MODEL = wire.ModelInfo(
    id="sprite-2", skills=("query", "caption", "point", "detect", "chat"), name="Sprite 2", aliases=("tiny",)
)


class FakeJob:
    """One submitted request; the test decides what happens to it."""

    def __init__(self, request: EngineRequest, deliver: Deliver) -> None:
        self.request = request
        self.ended = False
        self._deliver = deliver
        self._seq = 0 if request.accepted_at is None else 1

    def send(self, *events: wire.RequestEvent) -> None:
        """Number the events and deliver them as one batch."""
        batch: list[wire.Message] = []
        for event in events:
            batch.append(
                replace(event, request_id=self.request.request_id, seq=self._seq, t=float(self._seq))
            )
            self._seq += 1
            self.ended = self.ended or isinstance(event, wire.TERMINAL)
        self._deliver([(self.request.request_id, batch)])

    def text(self, *deltas: str) -> None:
        """Answer deltas, one per event."""
        self.send(*(wire.TextDelta(request_id="", delta=delta) for delta in deltas))

    def done(self, **output: Any) -> None:
        """The terminal event."""
        self.send(
            wire.RequestDone(request_id="", finish_reason="stop", output=output, metrics=wire.Metrics())
        )


class FakeEngine:
    """Implements the engine's side of the server; records calls."""

    def __init__(self) -> None:
        self.jobs: dict[str, FakeJob] = {}
        self.cancels: list[tuple[str, str]] = []
        self.refusal: Exception | None = None
        self.stopped = False
        self._fresh: asyncio.Queue[FakeJob] = asyncio.Queue()
        self._cancelled: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def submit(self, request: EngineRequest, deliver: Deliver) -> None:
        if self.refusal is not None:
            raise self.refusal
        job = self.jobs[request.request_id] = FakeJob(request, deliver)
        if request.accepted_at is None:
            skill = request.skill_request.skill
            job.send(wire.RequestAccepted(request_id="", model=request.model, skill=skill, tag=request.tag))
        self._fresh.put_nowait(job)

    def cancel(self, request_id: str, reason: str = "client") -> None:
        self.cancels.append((request_id, reason))
        self._cancelled.put_nowait((request_id, reason))
        job = self.jobs.get(request_id)
        if job is not None and not job.ended:
            job.send(wire.RequestCancelled(request_id="", reason=reason, metrics=wire.Metrics()))

    def stats(self) -> dict[str, Any]:
        return {"processing": sum(not job.ended for job in self.jobs.values())}

    def shutdown(self) -> None:
        self.stopped = True

    async def next_job(self) -> FakeJob:
        """The next submitted request."""
        return await asyncio.wait_for(self._fresh.get(), TIMEOUT)

    async def next_cancel(self) -> tuple[str, str]:
        """The next cancelled id and the reason."""
        return await asyncio.wait_for(self._cancelled.get(), TIMEOUT)


class FakeTimer:
    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time stands still until `advance`; due calls run inside it, in order."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._timers: list[FakeTimer] = []

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, callback: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(self.time + delay, callback)
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        end = self.time + seconds
        while True:
            due = [t for t in self._timers if t.callback is not None and t.at <= end]
            if not due:
                break
            timer = min(due, key=lambda t: t.at)
            self._timers.remove(timer)
            self.time = max(self.time, timer.at)
            callback, timer.callback = timer.callback, None
            assert callback is not None
            callback()
        self.time = end
        self._timers = [t for t in self._timers if t.callback is not None]


class Client:
    """A websocket client that speaks in messages."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, message: wire.Message) -> None:
        await self.socket.send(wire.encode(message))

    async def receive(self) -> Any:
        """The next message that is not about the models."""
        while isinstance(message := await self.receive_any(), (wire.Models, wire.ModelProgress)):
            pass
        return message

    async def receive_any(self) -> Any:
        """The next message."""
        return wire.decode(await asyncio.wait_for(self.socket.recv(), TIMEOUT))

    async def models_until(self, model_id: str, **facts: Any) -> wire.ModelInfo:
        """The entry of a model in the first list that says all of these `facts` of it."""
        while True:
            message = await self.receive_any()
            if isinstance(message, wire.Models):
                info = next(info for info in message.models if info.id == model_id)
                if all(getattr(info, name) == value for name, value in facts.items()):
                    return info

    async def until(self, *kinds: type[wire.Message]) -> list[Any]:
        """Messages up to and including the first of these kinds."""
        messages = [await self.receive()]
        while not isinstance(messages[-1], kinds):
            messages.append(await self.receive())
        return messages

    async def closed(self) -> tuple[int, str]:
        """Close code and reason, once the server has closed."""
        await asyncio.wait_for(self.socket.wait_closed(), TIMEOUT)
        return self.socket.close_code or 0, self.socket.close_reason or ""


class Harness:
    """A running server and what the tests need of it."""

    def __init__(self, address: tuple[str, int], server: EngineServer) -> None:
        self.host, self.port = address
        self.server = server

    @property
    def url(self) -> str:
        return f"ws://{self.host}:{self.port}/v1/ws"

    @asynccontextmanager
    async def socket(self, **options: Any) -> AsyncIterator[Client]:
        """A connection that has not said hello."""
        options = {"subprotocols": [wire.SUBPROTOCOL], "max_size": None, "compression": None, **options}
        async with connect(self.url, **options) as socket:
            yield Client(socket)

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        """A connection that was greeted."""
        async with self.socket(**options) as client:
            await client.send(wire.Hello())
            assert isinstance(await client.receive(), wire.Ready)
            yield client


Serve = Callable[..., Any]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_job() -> type[FakeJob]:
    return FakeJob


class Stock:
    """Models to be loaded by hand: `load` of one blocks until the test calls `finish` or `fail` for it."""

    def __init__(self) -> None:
        self.engines: dict[str, FakeEngine] = {}
        self.begun: list[str] = []
        self._turns: dict[str, queue.SimpleQueue[Exception | None]] = {}
        self._reports: dict[str, Report] = {}
        self._changed = threading.Condition()

    def known(self, info: wire.ModelInfo, engine: FakeEngine | None = None, light: bool = False) -> Known:
        """An entry of the shelf."""
        self.engines[info.id] = engine or FakeEngine()
        self._turns[info.id] = queue.SimpleQueue()

        def load(report: Report) -> Serving:
            with self._changed:
                self.begun.append(info.id)
                self._reports[info.id] = report
                self._changed.notify_all()
            failure = self._turns[info.id].get(timeout=TIMEOUT)
            if failure is not None:
                raise failure
            return Serving(info, self.engines[info.id], "cpu float32")

        return Known(info, load, light)

    def finish(self, model_id: str) -> None:
        """The next (or running) load of this model succeeds."""
        self._turns[model_id].put(None)

    def fail(self, model_id: str, error: Exception) -> None:
        """The next (or running) load of this model raises."""
        self._turns[model_id].put(error)

    def report(self, model_id: str, progress: Progress) -> None:
        """Report from the running load."""
        self._reports[model_id](progress)

    async def loading(self, model_id: str, times: int = 1) -> None:
        """Wait until this model is being loaded, for the so many-th time."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: self.begun.count(model_id) >= times, TIMEOUT)

        assert await asyncio.to_thread(wait), f"{model_id} is not loaded, only {self.begun}"


@pytest.fixture
def stock() -> Stock:
    return Stock()


@pytest.fixture
def loading_shelf(stock: Stock, engine: FakeEngine) -> Shelf:
    """A shelf with one model, `sprite-2`, whose loading ends when the test says so."""
    return Shelf([stock.known(MODEL, engine, light=True)])


@pytest.fixture
async def shelf(loading_shelf: Shelf, stock: Stock) -> Shelf:
    """A shelf with one model, which is loaded."""
    stock.finish(MODEL.id)
    (await asyncio.wait_for(loading_shelf.wait(MODEL.id), TIMEOUT)).release()
    return loading_shelf


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def run(
        shelf: Shelf, options: ServerOptions | None = None, clock: FakeClock | None = None
    ) -> AsyncIterator[Harness]:
        app = build_app(shelf, options or ServerOptions(drain_seconds=0.5), clock)
        listener = bind("127.0.0.1", 0, 1)
        started = asyncio.Event()
        server = EngineServer(uvicorn_config(app, "error"), app.door.close, started.set)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.wait_for(started.wait(), TIMEOUT)
            yield Harness(listener.getsockname(), server)
        finally:
            server.should_exit = True
            if clock is not None:
                clock.advance(60.0)
            await asyncio.wait_for(task, TIMEOUT)

    return run


@pytest.fixture
async def server(serve: Serve, shelf: Shelf) -> AsyncIterator[Harness]:
    async with serve(shelf) as harness:
        yield harness


@pytest.fixture
def picture() -> Callable[..., str]:
    """Builds an image as a data URL."""

    def build(width: int = 8, height: int = 6, kind: str = "PNG", **options: Any) -> str:
        stream = io.BytesIO()
        Image.new("RGB", (width, height), (200, 120, 40)).save(stream, kind, **options)
        return data_url(stream.getvalue())

    return build


@pytest.fixture
def as_data_url() -> Callable[[bytes], str]:
    return data_url


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()
