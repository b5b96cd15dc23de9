"""One request of the hub on behalf of an HTTP client, from its creation to its last event.

The client's hanging up cancels the request, and whatever ends the call frees its id: HTTP has no resume.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from starlette.types import Receive

from dreamscope.engine import errors, wire
from dreamscope.engine.server import intake
from dreamscope.engine.server.bodies import ClientGone
from dreamscope.engine.server.hub import GetImages, Hub
from dreamscope.engine.server.outbox import Frame
from dreamscope.engine.server.uploads import Upload


class Call:
    """The events of the request, in order; a `Listener` of the registry.

    Deltas that nobody has taken yet are merged, so a client that reads slowly cannot make the queue grow.
    """

    def __init__(self) -> None:
        self._events: deque[wire.RequestEvent] = deque()
        self._news = asyncio.Event()
        self._gone = False

    def push(self, frame: Frame) -> None:
        """Take one event."""
        event = frame.message
        assert isinstance(event, wire.RequestEvent)
        last = self._events[-1] if self._events else None
        if isinstance(event, wire.MERGEABLE) and isinstance(last, wire.MERGEABLE) and _same(last, event):
            self._events[-1] = replace(last, delta=last.delta + event.delta, n=last.n + event.n)
        else:
            self._events.append(event)
        self._news.set()

    def forget(self, request_id: str) -> None:
        """Drop what was not taken; a replay follows."""
        self._events.clear()

    async def watch(self, receive: Receive) -> None:
        """Notice that the client hangs up. Its body has been read."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._news.set()

    async def next(self, seconds: float | None = None) -> wire.RequestEvent | None:
        """The next event, or `None` after so many seconds of silence.

        Raises `ClientGone`, or in place of a terminal event that is no success what it tells.
        """
        try:
            async with asyncio.timeout(seconds):
                while not (self._events or self._gone):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None
        if self._gone:
            raise ClientGone
        event = self._events.popleft()
        if isinstance(event, wire.RequestFailed):
            raise errors.from_info(event.error)
        if isinstance(event, wire.RequestCancelled):
            if event.reason == "shutdown":
                raise errors.ShuttingDown("The server is stopping.")
            raise errors.InternalError("The request was cancelled by somebody else who knew its id.")
        return event

    async def accepted(self) -> wire.RequestAccepted:
        """The first event. Raises why the request was refused, or `ClientGone`."""
        event = await self.next()
        assert isinstance(event, wire.RequestAccepted)
        return event

    async def done(self) -> wire.RequestDone:
        """The last event, past all others. Raises as `next`."""
        while True:
            event = await self.next()
            if isinstance(event, wire.RequestDone):
                return event


@asynccontextmanager
async def open_call(
    hub: Hub, message: wire.RequestCreate, owner: str, receive: Receive
) -> AsyncIterator[Call]:
    """Create the request, whose id must be free. Raises as `Hub.create`."""
    call = Call()
    hub.create(message, owner, call, _images_of(hub, message), hub.options.load_patience)
    watcher = asyncio.create_task(call.watch(receive))
    try:
        yield call
    finally:
        watcher.cancel()
        hub.leave(message.request_id, call)


def _images_of(hub: Hub, message: wire.RequestCreate) -> GetImages:
    urls = [ref.image_url for ref in intake.image_refs(message)]

    async def collect() -> tuple[Upload, ...]:
        uploads = []
        for url in urls:
            if url is None:
                raise errors.ImageUnknown("There are no uploads over HTTP; send images as image_url.")
            uploads.append(await hub.decode(url))
        return tuple(uploads)

    return collect


def _same(last: wire.RequestEvent, event: wire.RequestEvent) -> bool:
    return type(last) is type(event)
