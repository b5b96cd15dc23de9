"""The models over HTTP: listing them, and loading, unloading and choosing the default."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from dreamscope.engine import errors, wire
from dreamscope.engine.server.bodies import Bodies, ClientGone
from dreamscope.engine.server.http import AsciiJson, ascii_json
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.outbox import Frame
from dreamscope.engine.server.routes.fields import flag
from dreamscope.engine.server.routes.native import failure
from dreamscope.engine.server.shelf import Shelf, abandon
from dreamscope.engine.server.sse import EventStream

Deed = Callable[[Shelf, str], Awaitable[str]]


def routes(hub: Hub, bodies: Bodies) -> list[BaseRoute]:
    """The list, its entries, and what changes it."""
    born = int(time.time())

    async def models(request: Request) -> Response:
        hub.shelf.look()
        hub.shelf.look()
        infos = hub.shelf.infos()
        data = [_entry(info, born) for info in infos]
        return AsciiJson({"object": "list", "data": data, "models": [_short(info) for info in infos]})

    async def model(request: Request) -> Response:
        await hub.shelf.settle(request.path_params["id"])
        return AsciiJson(_entry(hub.shelf.find(request.path_params["id"]), born))

    def deed(path: str, act: Deed) -> Route:
        return Route(path, Changing(hub, bodies, act), methods=["POST"])

    return [
        Route("/v1/models", models),
        deed("/v1/models/switch", switch),
        deed("/v1/load", load),
        deed("/v1/unload", lambda shelf, name: shelf.unload(name)),
        Route("/v1/models/{id:path}", model),
    ]


async def load(shelf: Shelf, name: str) -> str:
    """Load a model and return its id. Raises why that fails."""
    return await _with_loaded(shelf, name, lambda model_id: None)


async def switch(shelf: Shelf, name: str) -> str:
    """Load a model and make it the default. Raises why that fails."""
    return await _with_loaded(shelf, name, shelf.make_default)


async def _with_loaded(shelf: Shelf, name: str, act: Callable[[str], None]) -> str:
    await shelf.settle(name)
    await shelf.settle(name)
    model_id = shelf.find(name).id
    waiter = shelf.wait(model_id)
    try:
        lease = await waiter
    except asyncio.CancelledError:
        abandon(waiter)
        raise
    try:
        act(model_id)
    finally:
        lease.release()
    return model_id


class Changing:
    """ASGI endpoint that changes which models are loaded.

    With `stream` the answer tells the progress. A client that hangs up changes nothing about what has begun.
    """

    def __init__(self, hub: Hub, bodies: Bodies, act: Deed) -> None:
        self._hub = hub
        self._bodies = bodies
        self._act = act

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Raises `DreamscopeError` as long as no answer has begun."""
        with suppress(ClientGone), self._bodies.admit() as body:
            asked = await body.read_object(scope, receive)
            name = asked.get("model")
            if not isinstance(name, str) or not name.strip():
                raise errors.MissingParameter("'model' is required: the name of a model.", "model")
            doing = partial(self._act, self._hub.shelf, name)
            if flag(asked, "stream"):
                await self._stream(doing, scope["request_id"], send)
            else:
                answer = AsciiJson({"status": "ok", "model": await doing()})
                await answer(scope, receive, send)

    async def _stream(self, doing: Callable[[], Awaitable[str]], request_id: str, send: Send) -> None:
        options, news = self._hub.options, News()
        stream = EventStream(send, options.stall_seconds)
        self._hub.greeted.add(news)
        task = asyncio.ensure_future(doing())
        task.add_done_callback(news.end)
        try:
            event = await news.next(options.keep_alive)
            if task.done():
                task.result()  # what fails at once has a status
            await stream.open({})
            while not isinstance(event, asyncio.Future):
                if event is None:
                    await stream.keep_alive()
                else:
                    fields = {"type": "progress", **wire.to_json(event), "completed": False}
                    await stream.data(ascii_json({**fields, "request_id": request_id}))
                event = await news.next(options.keep_alive)
            for payload in _end(task, request_id):
                await stream.data(payload)
            await stream.close()
        finally:
            self._hub.greeted.discard(news)


class News:
    """A `Listener` that hears how loading goes, and at last of the end of what is being done."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[wire.ModelProgress | asyncio.Future[str]] = asyncio.Queue()

    def push(self, frame: Frame) -> None:
        """Keep progress, pass over the rest."""
        if isinstance(frame.message, wire.ModelProgress):
            self._queue.put_nowait(frame.message)

    def forget(self, request_id: str) -> None:
        """Nothing of a request is kept."""

    def end(self, task: asyncio.Future[str]) -> None:
        """It is done, or has failed."""
        self._queue.put_nowait(task)

    async def next(self, seconds: float) -> wire.ModelProgress | asyncio.Future[str] | None:
        """What comes next, or `None` after so many seconds of silence."""
        try:
            async with asyncio.timeout(seconds):
                return await self._queue.get()
        except TimeoutError:
            return None


def _end(task: asyncio.Future[str], request_id: str) -> Iterator[str]:
    try:
        fields: dict[str, Any] = {"status": "ok", "model": task.result(), "completed": True}
        yield ascii_json({**fields, "request_id": request_id})
    except errors.DreamscopeError as error:
        yield from failure(error.info(), request_id)


def _entry(info: wire.ModelInfo, created: int) -> dict[str, Any]:
    return {**wire.to_json(info), "created": created}


def _short(info: wire.ModelInfo) -> dict[str, str]:
    """As Moondream Station lists it."""
    return {
        "id": info.id,
        "name": info.name or info.id,
        "description": info.description,
        "version": info.revision,
    }
