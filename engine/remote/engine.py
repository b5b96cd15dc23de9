"""The engine of a model that runs elsewhere: the same requests in, the same events out.

Threads: any thread may call `submit`, `cancel`, `stats` and `shutdown`; they leave a message and return. One
thread with an event loop talks to the endpoint, a few requests at a time. Each accepted request gets
`request.accepted` first and exactly one terminal event last, whatever the endpoint does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import aclosing
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.errors import (
    DreamscopeError,
    InternalError,
    QueueFull,
    RequestExists,
    RequestTimeout,
    ShuttingDown,
)
from dreamscope.engine.remote.checked import BadAnswer
from dreamscope.engine.remote.job import RemoteJob
from dreamscope.engine.remote.key import Key
from dreamscope.engine.remote.link import Link, Reply
from dreamscope.engine.remote.models import RemoteModel
from dreamscope.engine.remote.pictures import data_url
from dreamscope.engine.remote.reading import Reading
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.job import Deliver, EngineRequest
from dreamscope.engine.skills.base import UNADDRESSED

MAX_QUEUE = 64
_log = logging.getLogger(__name__)


class RemoteEngine:
    """Asks one model of an endpoint. `start` before the first `submit`, `shutdown` once at the end."""

    def __init__(self, model: RemoteModel, key: Key | None, *, max_queue: int = MAX_QUEUE) -> None:
        self._model = model
        self._key = key
        self._max_queue = max_queue
        self._clock = time.monotonic
        self._born = self._clock()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name=f"remote-{model.endpoint.name}", daemon=True
        )
        self._ready = threading.Event()
        self._lock = threading.Lock()  # guards the next two
        self._open: dict[str, RemoteJob] = {}
        self._closed = False
        # From here on: written by the engine's thread only.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event
        self._places: asyncio.Semaphore
        self._link: Link
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0
        self._totals = dict.fromkeys(
            ("requests_processed", "cancelled", "failed", "timeouts", "output_tokens"), 0
        )

    # ----------------------------------------------------------------------------------------- any thread

    def start(self) -> None:
        """Start the thread; the endpoint is not contacted."""
        self._thread.start()
        self._ready.wait()

    def submit(self, request: EngineRequest, deliver: Deliver) -> None:
        """Queue a validated request. `deliver` is called on the engine's thread with batches of its events.

        Raises `UnsupportedParameter`, `QueueFull`, `RequestExists` or `ShuttingDown`; then nothing is
        delivered.
        """
        self._model.check(request.skill_request)
        job = RemoteJob(request, deliver, self._clock)
        with self._lock:
            if self._closed or self._loop is None:
                raise ShuttingDown("The engine is stopping and takes no more requests.")
            if request.request_id in self._open:
                raise RequestExists(f"The request {request.request_id!r} is still running.", "request_id")
            ahead = len(self._open)
            if ahead >= self._max_queue + self._model.endpoint.concurrency:
                raise QueueFull(f"{self._max_queue} requests are waiting already; try again soon.")
            self._open[request.request_id] = job
            self._loop.call_soon_threadsafe(self._admit, job, ahead)

    def cancel(self, request_id: str, reason: str = "client") -> None:
        """Stop a request and close its connection. Unknown or finished ids are ignored."""
        with self._lock:
            job = self._open.get(request_id)
            if job is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(job.cancel, reason)

    def stats(self) -> dict[str, Any]:
        """Totals and gauges for people."""
        with self._lock:
            open_requests, closed = len(self._open), self._closed
        return {
            "status": "stopped" if closed else "running",
            "model": self._model.info.id,
            "queue_size": max(0, open_requests - self._running),
            "max_queue_size": self._max_queue,
            "processing": self._running,
            **self._totals,
            "uptime_s": round(self._clock() - self._born, 3),
        }

    def shutdown(self) -> None:
        """Cancel everything with reason "shutdown" and wait for the thread. May be called again."""
        with self._lock:
            first, self._closed = not self._closed, True
            if first and self._loop is not None:
                self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread.ident is not None:
            self._thread.join()

    # --------------------------------------------------------------------------------------- engine thread

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        self._places = asyncio.Semaphore(self._model.endpoint.concurrency)
        try:
            async with Link(self._model.endpoint, self._key) as self._link:
                self._loop = asyncio.get_running_loop()
                self._ready.set()
                await self._stopping.wait()
                for job in tuple(self._open.values()):
                    job.cancel("shutdown")
                await asyncio.gather(*self._tasks)
        finally:
            self._ready.set()  # whatever happened, nobody waits for it

    def _admit(self, job: RemoteJob, ahead: int) -> None:
        request = job.request
        if request.accepted_at is None:
            accepted = wire.RequestAccepted(
                request_id=UNADDRESSED,
                model=request.model or self._model.info.id,
                skill=request.skill_request.skill,
                tag=request.tag,
                position=ahead,
            )
            job.send([accepted])
        task = asyncio.create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: RemoteJob) -> None:
        """One request up to its terminal event; the boundary where whatever goes wrong becomes that."""
        end: wire.RequestEvent
        job.task = asyncio.current_task()
        try:
            if job.cancel_reason is not None:
                raise asyncio.CancelledError
            async with asyncio.timeout_at(job.request.deadline), self._places:
                self._running += 1
                try:
                    await self._ask(job)
                finally:
                    self._running -= 1
            end = job.done()
        except asyncio.CancelledError:
            end = job.cancelled()
        except TimeoutError:
            end = job.failed(RequestTimeout("The request ran into its deadline."))
        except DreamscopeError as error:
            end = job.failed(error)
        except Exception:
            fields = {"request_id": job.request.request_id}
            _log.exception("request %s failed", job.request.request_id, extra={"fields": fields})
            end = job.failed(InternalError("The engine failed on this request; its log says why."))
        self._end(job, end)

    async def _ask(self, job: RemoteJob) -> None:
        request = job.request
        pictures = request.images or (() if request.image is None else (request.image,))
        urls = [await asyncio.to_thread(data_url, picture) for picture in pictures]
        adapter = None if request.adapter is None else str(request.adapter)
        call = self._model.call(request.skill_request, urls, adapter)
        job.reading, job.sent = call.reading, self._clock()
        job.send([_started(pictures)])
        async with self._link.ask(call.path, call.body) as reply:
            self._model.check_answerer(reply.answerer, call.body)
            await _read(reply, call.reading, job)

    def _end(self, job: RemoteJob, end: wire.RequestEvent) -> None:
        with self._lock:
            del self._open[job.request.request_id]
        total = self._totals
        total["requests_processed"] += isinstance(end, wire.RequestDone)
        total["cancelled"] += isinstance(end, wire.RequestCancelled)
        total["failed"] += isinstance(end, wire.RequestFailed)
        total["timeouts"] += isinstance(end, wire.RequestFailed) and end.error.code == RequestTimeout.code
        total["output_tokens"] += 0 if job.reading is None else job.reading.metrics.output_tokens
        held_back = [] if job.reading is None else job.reading.rest()
        job.send([*held_back, end])


async def _read(reply: Reply, reading: Reading, job: RemoteJob) -> None:
    """The answer of the endpoint as events of `job`. Raises `BadAnswer` if it is not a whole one."""
    if not reply.streams:
        job.send(reading.whole(await reply.whole()))
        return
    async with aclosing(reply.events()) as batches:
        async for batch in batches:
            for data in batch:
                job.send(reading.event(data))
            if reading.complete:
                return
    job.send(reading.ended())
    if not reading.complete:
        raise BadAnswer("it ended in the middle")


def _started(pictures: tuple[RawImage, ...]) -> wire.RequestStarted:
    """How many tokens the endpoint reads, and in how many crops, is not known yet."""
    image = None
    if pictures:
        height, width = pictures[0].rgb.shape[:2]
        image = wire.ImageInfo(width, height, 0)
    return wire.RequestStarted(request_id=UNADDRESSED, input_tokens=0, cached_tokens=0, image=image)
