"""The requests of all connections: creating, cancelling, resuming, and stopping the server.

    request.create -> checks -> image -> [accepted, wait for the model] -> engine.submit
                                                                             | engine thread
    connections <- outbox <- registry.publish <- bridge <--------------------+

Runs on the event loop and never blocks it: images are decoded in a small thread pool, the engine has its
own thread. An id is taken from the first `request.create` on, so a repeat during the checks attaches to
the same request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from dreamscope.engine import errors, wire
from dreamscope.engine.runtime.metrics import milliseconds
from dreamscope.engine.server import intake
from dreamscope.engine.server.accounts import Accounts
from dreamscope.engine.server.bridge import LoopBridge
from dreamscope.engine.server.clock import Clock
from dreamscope.engine.server.journal import Journal
from dreamscope.engine.server.keyring import Keyring, readable
from dreamscope.engine.server.keystore import Key
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.outbox import Frame
from dreamscope.engine.server.registry import Listener, Record, Registry
from dreamscope.engine.server.serving import Lease
from dreamscope.engine.server.shelf import Shelf, abandon
from dreamscope.engine.server.stats import StatsDesk
from dreamscope.engine.server.tally import Tally
from dreamscope.engine.server.traces import TraceDesk
from dreamscope.engine.server.uploads import Upload, decode_upload
from dreamscope.engine.server.watch import KeyWatch
from dreamscope.engine.skills.base import SkillRequest

DECODERS = 2
MAX_TAG = 4096
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
GetImages = Callable[[], Awaitable[tuple[Upload, ...]]]
_log = logging.getLogger(__name__)


class Hub:
    """One per server; `open` and `close` bracket its life on the event loop."""

    def __init__(self, shelf: Shelf, options: ServerOptions, clock: Clock) -> None:
        self.shelf = shelf
        self.options = options
        self.clock = clock
        self.desk = StatsDesk(shelf, options, clock)
        self.tally = Tally()
        self.keyring = Keyring(options, clock)
        self.watch = KeyWatch(self.keyring, clock)
        self.accounts = Accounts(self.keyring.store, clock)
        self.journal = Journal()
        self.registry = Registry(
            clock, lambda request_id: self._stop(request_id, "disconnect"), options.replay_seconds
        )
        self.traces = TraceDesk(shelf)
        self.stopping = False
        self.greeted: set[Listener] = set()
        """The connections that hear about the models."""
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._leases: dict[str, Lease] = {}  # request -> the model that works on it
        self._all_quiet = asyncio.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._bridge: LoopBridge | None = None

    def open(self) -> None:
        """Start; call it on the event loop."""
        self._pool = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        self._bridge = LoopBridge(asyncio.get_running_loop(), self._publish)
        self.shelf.open(self._broadcast)

    async def close(self) -> None:
        """Refuse new requests, let the running ones finish as long as is allowed, then cancel them and give
        their last events a moment to arrive.
        """
        self.stopping = True
        await self._quiet_within(self.options.finish_seconds)
        for record in self.registry.running():
            self._stop(record.request_id, "shutdown")
        await self._quiet_within(self.options.drain_seconds)
        await self.accounts.close()
        await self.shelf.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def owned_by(self, owner: str) -> Callable[[str], bool]:
        """Tells whether the request of an id is known and belongs to this owner."""

        def mine(request_id: str) -> bool:
            record = self.registry.lookup(request_id)
            return record is not None and record.owner == owner

        return mine

    def hurry(self) -> None:
        """Let nothing finish any more, once it is closing."""
        self._all_quiet.set()

    def knows(self, request_id: str) -> bool:
        """Whether this id belongs to a request whose events can still be asked for."""
        return self.registry.lookup(request_id) is not None

    async def account(self, owner: str) -> Key | None:
        """The key of this owner and what it has used; `None` for an owner without one.

        Raises `InternalError` if it cannot be read.
        """
        with readable():
            return await self.accounts.of(owner)

    def stats(self) -> wire.Stats:
        """The present state of the server."""
        return self.desk.take(self.stopping)

    async def decode(self, image_url: str) -> Upload:
        """Decode an image off the loop. Raises as `decode_upload`."""
        assert self._pool is not None
        return await asyncio.get_running_loop().run_in_executor(self._pool, decode_upload, image_url)

    def create(
        self,
        message: wire.RequestCreate,
        owner: str,
        listener: Listener,
        get_images: GetImages,
        patience: float | None = None,
    ) -> asyncio.Task[None] | None:
        """Take on a request and return the task that prepares it, or attach to it when it exists already.

        With `patience` the request fails with `ModelLoading` if its model is not loaded in so many seconds;
        without, it is accepted first and waits as long as its deadline allows.
        Raises `RequestExists`, `TooManyRequests`, `RateLimited`, `InvalidApiKey` for an owner whose key was
        revoked, or `InvalidParameter` for what cannot be logged; everything else is told by
        `request.failed`.
        """
        check_request_id(message.request_id)
        body_hash = _body_hash(message)
        existing = self.registry.lookup(message.request_id)
        if existing is not None:
            if existing.owner != owner or existing.body_hash != body_hash:
                raise errors.RequestExists(
                    f"The request id {message.request_id!r} was already used for another request.",
                    "request_id",
                )
            self.registry.attach(existing, listener, -1)
            return None
        if self.registry.in_flight(listener) >= self.options.max_in_flight:
            raise errors.TooManyRequests(
                f"At most {self.options.max_in_flight} requests may run on one connection; wait for one."
            )
        self.keyring.admit(owner)
        self.accounts.open(message.request_id, owner)
        self.journal.open(message.request_id, owner)
        keep = message.on_disconnect == "continue"
        record = self.registry.open(message.request_id, owner, body_hash, keep)
        self.registry.attach(record, listener, -1)
        task = asyncio.create_task(self._prepare(record, message, get_images, patience))
        self._preparing[record.request_id] = task
        return task

    def cancel(self, request_id: str, owner: str) -> None:
        """Stop a request; a no-op after its terminal event. Raises `RequestUnknown`."""
        if not self.registry.find(request_id, owner).finished:
            self._stop(request_id, "client")

    def resume(self, message: wire.RequestResume, owner: str, listener: Listener) -> None:
        """Replay and go on live. Raises `RequestUnknown`."""
        self.registry.attach(self.registry.find(message.request_id, owner), listener, message.after)

    def leave(self, request_id: str, listener: Listener) -> None:
        """This listener will not come back: without another one the request stops, and its id is free."""
        record = self.registry.lookup(request_id)
        if record is None:
            return
        record.listeners.discard(listener)
        if record.listeners:
            return
        if not record.finished:
            self._stop(request_id, "disconnect")
        self.registry.forget(request_id)

    async def _prepare(
        self, record: Record, message: wire.RequestCreate, get_images: GetImages, patience: float | None
    ) -> None:
        """Check the request completely, then hand it to the engine. The boundary where whatever goes wrong
        becomes the request's only event.
        """
        try:
            if self.stopping:
                raise errors.ShuttingDown("The server is stopping.")
            await self.shelf.settle(message.model)
            model = self.shelf.find(intake.base_model(message))
            parsed = await self._parse(message, model)
            uploads = await get_images()
            deadline = self.clock.now() + self.options.deadline
            lease = self.shelf.take(model.id)
            if lease is None and patience is not None:
                lease = await self._wait_briefly(model, patience)
            lease = lease or await self._wait(record, message, model)
            request = intake.engine_request(message, parsed, model, uploads, deadline, record.accepted_at)
            self._leases[record.request_id] = lease
            assert self._bridge is not None
            lease.engine.submit(request, self._bridge.deliver)
        except errors.DreamscopeError as error:
            self._fail(record, error)
        except Exception:
            name = record.request_id
            fields = {"request_id": name}
            _log.exception("request %s failed before it reached the engine", name, extra={"fields": fields})
            self._fail(record, errors.InternalError("The server failed to prepare this request."))
        finally:
            self._preparing.pop(record.request_id, None)

    async def _parse(self, message: wire.RequestCreate, model: wire.ModelInfo) -> SkillRequest:
        """Check the message; off the loop where a schema may have to be compiled."""
        if message.response_format is None and message.preset is None:
            return intake.parse(message, model)
        assert self._pool is not None
        return await asyncio.get_running_loop().run_in_executor(self._pool, intake.parse, message, model)

    async def _wait_briefly(self, model: wire.ModelInfo, seconds: float) -> Lease:
        """Wait for the model before anything is accepted. Raises why loading failed, or `ModelLoading`."""
        self.shelf.load(model.id)  # goes on if nobody waits any longer
        waiter = self.shelf.wait(model.id)
        loading = errors.ModelLoading(f"{model.id} is being loaded; try again soon.")
        return await self._patiently(waiter, seconds, loading)

    async def _wait(self, record: Record, message: wire.RequestCreate, model: wire.ModelInfo) -> Lease:
        """Accept the request, and wait until its model is loaded.

        Raises why loading failed, or `RequestTimeout`; before accepting, `NotImplementedYet`.
        """
        position = self.shelf.queued(model.id)
        waiter = self.shelf.wait(model.id)
        record.accepted_at = self.clock.now()
        accepted = wire.RequestAccepted(
            request_id=record.request_id,
            seq=0,
            t=0.0,
            model=intake.answering(message, model),
            skill=message.skill,
            tag=message.tag,
            position=position,
        )
        self._publish(record.request_id, [accepted])
        expired = errors.RequestTimeout("The request ran into its deadline.")
        return await self._patiently(waiter, self.options.deadline, expired)

    async def _patiently(
        self, waiter: asyncio.Future[Lease], seconds: float, error: errors.DreamscopeError
    ) -> Lease:
        """What `waiter` brings within so many seconds, afterwards `error`."""
        timer = self.clock.call_later(seconds, partial(_expire, waiter, error))
        try:
            return await waiter
        except asyncio.CancelledError:
            abandon(waiter)
            raise
        finally:
            timer.cancel()

    def _fail(self, record: Record, error: errors.DreamscopeError) -> None:
        failed = wire.RequestFailed(request_id=record.request_id, error=error.info(), **self._next(record))
        self._publish(record.request_id, [failed])
        if error.retryable:  # so that the client may try again under the same id
            self.registry.forget(record.request_id)

    def _stop(self, request_id: str, reason: str) -> None:
        preparing = self._preparing.pop(request_id, None)
        lease = self._leases.get(request_id)
        if lease is not None:
            lease.engine.cancel(request_id, reason)
        record = self.registry.lookup(request_id)
        if preparing is None or record is None:
            return
        preparing.cancel()
        cancelled = wire.RequestCancelled(
            request_id=request_id, reason=reason, metrics=wire.Metrics(), **self._next(record)
        )
        self._publish(request_id, [cancelled])

    def _next(self, record: Record) -> dict[str, Any]:
        """`seq` and `t` of the next event of a request that no engine has."""
        passed = 0.0 if record.accepted_at is None else self.clock.now() - record.accepted_at
        return {"seq": record.log.last_seq + 1, "t": milliseconds(passed)}

    def _broadcast(self, message: wire.Message) -> None:
        frame = Frame.of(message)
        for listener in tuple(self.greeted):
            listener.push(frame)

    def _publish(self, request_id: str, events: list[wire.Message]) -> None:
        for event in events:
            assert isinstance(event, wire.RequestEvent)
            self.tally.feed(event)
            self.accounts.feed(event)
            self.journal.feed(event)
        self.registry.publish(request_id, events)
        if any(isinstance(event, wire.TERMINAL) for event in events) and request_id in self._leases:
            self._leases.pop(request_id).release()
        if self.stopping and not self.registry.running():
            self._all_quiet.set()

    async def _quiet_within(self, seconds: float) -> None:
        """Wait until nothing runs any more, at most so long."""
        self._all_quiet.clear()
        if seconds <= 0 or not self.registry.running():
            return
        timer = self.clock.call_later(seconds, self._all_quiet.set)
        await self._all_quiet.wait()
        timer.cancel()


def _expire(waiter: asyncio.Future[Lease], error: errors.DreamscopeError) -> None:
    if not waiter.done():
        waiter.set_exception(error)


def check_request_id(request_id: str) -> None:
    """Raises `InvalidParameter` unless the id may be used."""
    if not REQUEST_ID.fullmatch(request_id):
        raise errors.InvalidParameter(
            "request_id must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -", "request_id"
        )


def _body_hash(message: wire.RequestCreate) -> str:
    """Hash of everything the request says; images go in apart so that they are not encoded again.

    Raises `InvalidParameter` for what could not be echoed: NaN, infinity, nesting without end, a huge tag.
    """
    try:
        urls = [ref.image_url for ref in intake.image_refs(message) if ref.image_url is not None]
        text = wire.encode(replace(message, image_url=None, messages=intake.without_images(message)))
        tag_size = len(json.dumps(message.tag))
    except (ValueError, RecursionError):
        raise errors.InvalidParameter(
            "The request holds a number that JSON does not know, or is nested too deeply."
        ) from None
    if tag_size > MAX_TAG:
        raise errors.InvalidParameter(f"The tag may have at most {MAX_TAG} bytes as JSON.", "tag")
    digest = hashlib.sha256(text.encode())
    for url in urls:
        digest.update(hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()
