"""From a request in the hub to an HTTP answer, whole or as a stream, in the words of a dialect.

    create -> accepted -> ... -> done                  plain: one JSON object, or an error with its status
                       -> head -> pieces ... -> end    stream: everything is checked before the 200

The 200 of a stream leaves with the first event after `request.accepted`, or when that is long in coming; what
fails before has a status, what fails afterwards is told in the stream.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from dreamscope.engine import errors, wire
from dreamscope.engine.server.bodies import Bodies, ClientGone
from dreamscope.engine.server.call import Call, open_call
from dreamscope.engine.server.http import AsciiJson
from dreamscope.engine.server.hub import Hub
from dreamscope.engine.server.sse import EventStream

_log = logging.getLogger(__name__)


class Dialect(Protocol):
    """How one kind of client is told about one request. Payloads are the text of one `data:` line."""

    def body(self, done: wire.RequestDone) -> Mapping[str, Any]:
        """The plain answer."""

    def head(self) -> Iterable[str]:
        """What a stream begins with."""

    def pieces(self, event: wire.RequestEvent) -> Iterable[str]:
        """What an event is in a stream; nothing for one that these clients do not know."""

    def failure(self, error: wire.ErrorInfo) -> Iterable[str]:
        """The end of a stream that has failed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for; `speak` makes the dialect once the request was accepted."""

    message: wire.RequestCreate
    stream: bool
    speak: Callable[[wire.RequestAccepted], Dialect]


Read = Callable[[Mapping[str, Any], str], Asked]
"""`read(body, request_id)` raises `DreamscopeError` for a body that asks for nothing that can be done."""


class Asking:
    """ASGI endpoint of a route that asks the model for something."""

    def __init__(self, hub: Hub, bodies: Bodies, read: Read) -> None:
        self._hub = hub
        self._bodies = bodies
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Raises `DreamscopeError` as long as no answer has begun."""
        with suppress(ClientGone), self._bodies.admit() as body:
            fields = await body.read_object(scope, receive)
            await self._hub.shelf.settle(fields.get("model"))
            asked = self._read(fields, scope["request_id"])
            async with open_call(self._hub, asked.message, scope["owner"], receive) as call:
                accepted = await call.accepted()
                dialect = asked.speak(accepted)
                headers = {"x-model": quote(accepted.model, safe="/@:+ ")}
                if asked.stream:
                    await self._stream(scope["request_id"], call, dialect, headers, send)
                else:
                    answer = AsciiJson(dialect.body(await call.done()), headers=headers)
                    await answer(scope, receive, send)

    async def _stream(
        self, request_id: str, call: Call, dialect: Dialect, headers: Mapping[str, str], send: Send
    ) -> None:
        options = self._hub.options
        event = await call.next(options.keep_alive)
        stream = EventStream(send, options.stall_seconds)
        await stream.open(headers)
        try:
            for payload in dialect.head():
                await stream.data(payload)
            while True:
                if event is None:
                    await stream.keep_alive()
                else:
                    for payload in dialect.pieces(event):
                        await stream.data(payload)
                if isinstance(event, wire.RequestDone):
                    break
                event = await call.next(options.keep_alive)
        except ClientGone:
            raise
        except Exception as error:  # a stream that merely ends looks like success to the clients
            for payload in dialect.failure(_told(error, request_id)):
                await stream.data(payload)
        await stream.close()


def _told(error: Exception, request_id: str) -> wire.ErrorInfo:
    if not isinstance(error, errors.DreamscopeError):
        _log.error("a stream failed", exc_info=error, extra={"fields": {"request_id": request_id}})
        error = errors.InternalError("The server failed on this request.")
    return error.info()
