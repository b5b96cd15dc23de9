"""One websocket: the greeting, the client's messages, and the sender that empties the outbox.

    reader task   socket -> decode -> hub (requests) or uploads (images)
    sender task   outbox -> socket; the only one that sends
    run()         starts both, ends with the first of them, then closes and detaches

The reader waits while too many images are undecoded, so a client cannot fill the memory with uploads; the
engine and the other connections never wait for this one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

from dreamscope.engine import errors, wire
from dreamscope.engine.server import intake
from dreamscope.engine.server.hub import REQUEST_ID, GetImages, Hub
from dreamscope.engine.server.keyring import MISSING
from dreamscope.engine.server.outbox import Frame, Outbox
from dreamscope.engine.server.subscription import StatsFeed
from dreamscope.engine.server.traces import TraceFeed
from dreamscope.engine.server.uploads import MAX_NAME, Upload, UploadStore
from dreamscope.engine.skills.parse_chat import ImageRef
from dreamscope.engine.skills.presets import catalogue

DONE, STOPPING, TOO_BIG, BROKEN = 1000, 1001, 1009, 1011
BAD_FRAME, BAD_KEY, NO_HELLO, SLOW = 4400, 4401, 4408, 4413
MAX_REASON = 123  # bytes that a close frame has for it
FIRST_MESSAGE = f"The first message must be hello with protocol {wire.PROTOCOL}."
_log = logging.getLogger(__name__)


class Socket(Protocol):
    """A websocket after the upgrade."""

    async def receive(self) -> str | bytes | None:
        """The next message; `None` when the peer is gone."""

    async def send(self, text: str) -> None:
        """Send a text frame; waits while the peer does not read. Raises `ConnectionError`."""

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame; waits like `send`. Raises `ConnectionError`."""


class Connection:
    """A `Listener` of the registry. `header_key` is the key that the upgrade request carried."""

    def __init__(self, hub: Hub, socket: Socket, connection_id: str, header_key: str | None) -> None:
        self._hub = hub
        self._socket = socket
        self._id = connection_id
        self._header_key = header_key
        self._owner: str | None = None
        self._outbox = Outbox(hub.options.outbox_bytes)
        self._uploads = UploadStore(hub.options.upload_bytes)
        self._stats = StatsFeed(hub.clock, hub.stats, self._say)
        self._undecoded = asyncio.Semaphore(hub.options.max_undecoded)
        self._trace = TraceFeed(hub.clock, hub.traces, self._made, self._tell_steps)
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._sender: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------- life

    async def run(self) -> None:
        """Serve until one side closes."""
        clock, options = self._hub.clock, self._hub.options
        reader = asyncio.create_task(self._guard(self._read()))
        self._sender = asyncio.create_task(self._guard(self._send()))
        no_hello = clock.call_later(options.hello_seconds, self._no_hello)
        try:
            await asyncio.wait({reader, self._sender}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            no_hello.cancel()
            self._trace.stop()
            self._stats.stop()
            self._hub.greeted.discard(self)
            self._hub.watch.discard(self._end_key)
            self._hub.registry.detach(self)
            self._uploads.clear()
            reader.cancel()
            self._sender.cancel()
            await asyncio.wait({reader, self._sender})
        if self._closing is not None:
            await self._close_socket(*self._closing)

    def close(self, code: int, reason: str, flush: bool = True) -> None:
        """Ask for the end: the sender empties the outbox (or throws it away) and stops."""
        if self._closing is None:
            self._closing = (code, reason.encode()[:MAX_REASON].decode(errors="ignore"))
        if not flush:
            self._outbox.clear()
        self._wake.set()

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """The boundary of both tasks: a bug closes this connection and touches no other."""
        try:
            await work
        except Exception:
            _log.exception("connection %s failed", self._id)
            self.close(BROKEN, "The server failed on this connection.", flush=False)

    # ---------------------------------------------------------------------------------------- listener

    def push(self, frame: Frame) -> None:
        """Queue a frame for the sender."""
        if self._closing is not None and self._closing[0] == SLOW:
            return
        self._outbox.push(frame, self._hub.clock.now())
        if self._outbox.overflowing:
            self.close(SLOW, "The client reads too slowly; resume on a new connection.", flush=False)
        self._wake.set()

    def forget(self, request_id: str) -> None:
        """Drop unsent frames of a request."""
        self._outbox.forget(request_id)

    # ----------------------------------------------------------------------------------------- sending

    async def _send(self) -> None:
        clock = self._hub.clock
        while True:
            text = self._outbox.pop(clock.now())
            if text is not None:
                stalled = clock.call_later(self._hub.options.stall_seconds, self._stalled)
                try:
                    await self._socket.send(text)
                except ConnectionError:
                    return
                finally:
                    stalled.cancel()
                continue
            due = self._outbox.next_due()
            if due is None and self._closing is not None:
                return
            timer = None if due is None else clock.call_later(due - clock.now(), self._wake.set)
            await self._wake.wait()
            self._wake.clear()
            if timer is not None:
                timer.cancel()

    def _stalled(self) -> None:
        self.close(SLOW, "Nothing was read for too long; resume on a new connection.", flush=False)
        assert self._sender is not None
        self._sender.cancel()

    def _no_hello(self) -> None:
        if self._owner is None:
            self.close(NO_HELLO, "No hello arrived in time.")

    async def _close_socket(self, code: int, reason: str) -> None:
        closing = asyncio.create_task(self._socket.close(code, reason))
        timer = self._hub.clock.call_later(self._hub.options.close_seconds, closing.cancel)
        await asyncio.wait({closing})
        timer.cancel()
        if not closing.cancelled() and not isinstance(closing.exception(), ConnectionError):
            closing.result()

    # ----------------------------------------------------------------------------------------- reading

    async def _read(self) -> None:
        while self._closing is None:
            text = await self._socket.receive()
            if text is None:
                return
            await self._take(text)
        assert self._sender is not None
        await asyncio.wait({self._sender})  # what is queued leaves before `run` goes on

    async def _take(self, text: str | bytes) -> None:
        if len(text) > self._hub.options.max_message_bytes:
            self.close(TOO_BIG, f"A message may have {self._hub.options.max_message_bytes} bytes.")
            return
        if isinstance(text, bytes):
            self._turn_away(BAD_FRAME, errors.InvalidJson("Messages are JSON in text frames, not binary."))
            return
        try:
            message = wire.decode(text)
        except wire.WireError as error:
            self._refuse_frame(text, errors.from_wire_error(error))
            return
        try:
            if self._owner is None:
                self._greet(message)
            else:
                await self._dispatch(message, self._owner)
        except errors.InvalidApiKey as error:
            self._turn_away(BAD_KEY, error)
        except errors.DreamscopeError as error:
            self._refuse(message, error)

    def _greet(self, message: wire.Message) -> None:
        if not isinstance(message, wire.Hello) or message.protocol != wire.PROTOCOL:
            self._turn_away(BAD_FRAME, errors.InvalidParameter(FIRST_MESSAGE, "type"))
            return
        self._owner = self._hub.keyring.owner(message.auth, self._header_key)
        if self._owner is None:
            raise errors.InvalidApiKey(MISSING)
        models = self._hub.shelf.infos()
        limits, presets = self._hub.options.limits(), catalogue().presets
        server = f"dreamscope/{version('dreamscope')}"
        self._say(wire.Ready(wire.PROTOCOL, self._id, server, models, limits, presets))
        self._hub.greeted.add(self)
        self._hub.watch.add(self._owner, self._end_key)
        self._hub.shelf.look()

    async def _dispatch(self, message: wire.Message, owner: str) -> None:
        self._hub.keyring.check(owner)
        match message:
            case wire.ImagePut():
                await self._put_image(message)
            case wire.ImageDrop():
                self._uploads.drop(message.image_id)
            case wire.RequestCreate():
                await self._create(message, owner)
            case wire.RequestCancel():
                self._hub.cancel(message.request_id, owner)
            case wire.RequestResume():
                self._hub.resume(message, owner, self)
            case wire.ModelLoad():
                self._hub.shelf.load(message.model)
            case wire.TraceSubscribe():
                self._trace.subscribe(message)
            case wire.DepthSet():
                self._hub.traces.set_depth(message)
            case wire.StatsSubscribe():
                self._stats.subscribe(message.interval_ms)
            case wire.Hello():
                raise errors.InvalidParameter("This connection has said hello already.", "type")
            case _:
                raise errors.UnknownType(f"{message.wire_type!r} is not a client message.", "type")

    # ------------------------------------------------------------------------------------------ images

    async def _put_image(self, message: wire.ImagePut) -> None:
        if not 1 <= len(message.image_id) <= MAX_NAME:
            raise errors.InvalidParameter(f"image_id must have 1 to {MAX_NAME} characters.", "image_id")
        await self._undecoded.acquire()
        task = self._uploads.put(message.image_id, self._decode_named(message))
        task.add_done_callback(self._release)

    async def _decode_named(self, message: wire.ImagePut) -> Upload:
        try:
            upload = await self._hub.decode(message.image_url)
        except errors.DreamscopeError as error:
            self._tell(error, message.image_id)
            raise
        width, height = upload.size
        self._say(wire.ImageReady(message.image_id, width, height, upload.received, upload.sha256))
        return upload

    async def _create(self, message: wire.RequestCreate, owner: str) -> None:
        refs = intake.image_refs(message)
        get_images = self._images_of(refs)
        if all(ref.image_url is None for ref in refs):
            self._hub.create(message, owner, self, get_images)
            return
        await self._undecoded.acquire()
        task = None
        try:
            task = self._hub.create(message, owner, self, get_images)
        finally:
            if task is None:
                self._undecoded.release()
            else:
                task.add_done_callback(self._release)

    def _images_of(self, refs: list[ImageRef]) -> GetImages:
        """The uploads that have these names now, and the images of the request, one after the other."""
        sources = [
            self._uploads.get(ref.image_id or "")
            if ref.image_url is None
            else partial(self._hub.decode, ref.image_url)
            for ref in refs
        ]

        async def collect() -> tuple[Upload, ...]:
            return tuple([await source() for source in sources])

        return collect

    def _release(self, _: asyncio.Task[Any]) -> None:
        self._undecoded.release()

    # ------------------------------------------------------------------------------------------ errors

    def _refuse(self, message: wire.Message, error: errors.DreamscopeError) -> None:
        """A message that is well-formed but cannot be done."""
        if isinstance(message, wire.RequestCreate):
            self._refuse_request(message.request_id, error)
            return
        named = (getattr(message, name, None) for name in ("request_id", "image_id", "model"))
        self._tell(error, next((ref for ref in named if ref is not None), None))

    def _refuse_frame(self, text: str, error: errors.DreamscopeError) -> None:
        """A frame that does not fit the schema; whose it is stands in the raw object, if anywhere.

        One that is no message at all ends the connection: nobody can tell what was meant.
        """
        if self._owner is None or isinstance(error, errors.InvalidJson):
            self._turn_away(BAD_FRAME, error)
            return
        raw = json.loads(text)
        ref = raw.get("request_id", raw.get("image_id"))
        ref = ref if isinstance(ref, str) else None
        if raw.get("type") == wire.RequestCreate.wire_type and ref is not None:
            self._refuse_request(ref, error)
        else:
            self._tell(error, ref)

    def _refuse_request(self, request_id: str, error: errors.DreamscopeError) -> None:
        """`request.failed` as the only event, unless the id belongs to another request or to none."""
        taken = self._hub.registry.lookup(request_id) is not None
        busy = isinstance(error, (errors.RequestExists, errors.TooManyRequests))
        if taken or busy or not REQUEST_ID.fullmatch(request_id):
            self._tell(error, request_id)
            return
        self._say(wire.RequestFailed(request_id=request_id, seq=0, t=0.0, error=error.info()))

    def _end_key(self, error: errors.InvalidApiKey) -> None:
        """What its owner was still to get stays here."""
        self._outbox.clear()
        self._turn_away(BAD_KEY, error)

    def _turn_away(self, code: int, error: errors.DreamscopeError) -> None:
        """Tell why, then close."""
        self._tell(error, None)
        self.close(code, error.message)

    def _tell(self, error: errors.DreamscopeError, ref: str | None) -> None:
        self._say(wire.ErrorEvent(error.info(), None if ref is None else ref[:MAX_NAME]))

    def _made(self, request_id: str) -> bool:
        """Whether a request belongs to whoever is connected."""
        return self._owner is not None and self._hub.owned_by(self._owner)(request_id)

    def _tell_steps(self, take: Callable[[], wire.Trace]) -> None:
        """Not while the last ones have not left: a slow reader gets more of them at once."""
        if not self._outbox.has(wire.Trace):
            self._say(take())

    def _say(self, message: wire.Message) -> None:
        self.push(Frame.of(message))
