"""The engine: requests in, events out, one after the other on a thread of its own.

Threads: any thread may call `submit`, `cancel`, `stats` and `shutdown`; they leave a message and return.
The engine thread owns the model, the image cache and every job. A small pool cuts images into crops.
Each accepted request gets `request.accepted` first and exactly one terminal event last, whatever happens.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.errors import (
    ContextLengthExceeded,
    DreamscopeError,
    InternalError,
    QueueFull,
    RequestExists,
    RequestTimeout,
    ShuttingDown,
)
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.tokens import Picture, PromptItem
from dreamscope.engine.runtime import terminal
from dreamscope.engine.runtime.adapters import AdapterRegistry
from dreamscope.engine.runtime.image_cache import ImageCache, prefix_key
from dreamscope.engine.runtime.job import Deliver, EngineRequest, Job, View
from dreamscope.engine.runtime.metrics import Counters, Timeline
from dreamscope.engine.runtime.refiner import Refiner
from dreamscope.engine.runtime.runner import Runner
from dreamscope.engine.skills.base import UNADDRESSED
from dreamscope.engine.skills.chat import ChatSkill
from dreamscope.engine.skills.grammar import Grammars
from dreamscope.engine.skills.registry import build_skill

__all__ = ["Deliver", "Engine", "EngineRequest"]

logger = logging.getLogger(__name__)

MAX_QUEUE = 64
IMAGE_CACHE_BYTES = 1 << 30
CROP_THREADS = 2
CROP_AHEAD = 4
"""How many waiting requests have their image cut in advance; bounds the memory that crops take."""


class _Cancelled(Exception):
    """The running request was cancelled; unwinds its decode loop."""


class Engine:
    """Runs one model. `start` before the first `submit`, `shutdown` once at the end."""

    def __init__(
        self,
        model: Model,
        info: wire.ModelInfo,
        *,
        max_queue: int = MAX_QUEUE,
        image_cache_bytes: int = IMAGE_CACHE_BYTES,
        adapters: AdapterRegistry | None = None,
        refiner: Refiner | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`adapters` serves requests that name one, `refiner` improves what the segment skill outlines.

        `clock` gives seconds; deadlines are moments of it.
        """
        self._model = model
        self._info = info
        self._max_queue = max_queue
        self._clock = clock
        self._images = ImageCache(image_cache_bytes)
        self._grammars = Grammars(model.tokenizer, model.config.tokenizer.eos_id)
        self._counters = Counters()
        self._adapters = AdapterRegistry() if adapters is None else adapters
        self._runner = Runner(model, self._images, self._adapters, self._counters, clock, refiner)
        self._born = clock()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="dreamscope-engine", daemon=True)
        self._pool = ThreadPoolExecutor(CROP_THREADS, thread_name_prefix="dreamscope-crop")
        self._lock = threading.Lock()  # guards the next two
        self._open: dict[str, Job] = {}  # accepted and without a terminal event
        self._closed = False
        # From here on: engine thread only.
        self._waiting: list[Job] = []
        self._running: Job | None = None
        self._stopping = False

    # ----------------------------------------------------------------------------------------- any thread

    def start(self) -> None:
        """Start the engine thread."""
        self._thread.start()

    def submit(self, request: EngineRequest, deliver: Deliver) -> None:
        """Queue a validated request. `deliver` is called on the engine thread with batches of its events.

        Raises `AdapterNotFound`, `ContextLengthExceeded`, `QueueFull`, `RequestExists` or `ShuttingDown`;
        then nothing is delivered.
        """
        job = self._new_job(request, deliver)
        with self._lock:
            if self._closed:
                raise ShuttingDown("The engine is stopping and takes no more requests.")
            if request.request_id in self._open:
                raise RequestExists(f"The request {request.request_id!r} is still running.", "request_id")
            ahead = len(self._open)
            if ahead > self._max_queue:  # one of them runs or is about to
                raise QueueFull(f"{self._max_queue} requests are waiting already; try again soon.")
            self._open[request.request_id] = job
            self._inbox.put(partial(self._admit, job, ahead))

    def cancel(self, request_id: str, reason: str = "client") -> None:
        """Stop a request wherever it is, keeping what it has decoded. Unknown or finished ids are ignored."""
        self._inbox.put(partial(self._cancel, request_id, reason))

    def stats(self) -> dict[str, Any]:
        """Totals and gauges for people."""
        c = self._counters
        with self._lock:
            open_requests, closed = len(self._open), self._closed
        processing = int(self._running is not None)
        return {
            "status": "stopped" if closed else "running",
            "model": self._info.id,
            "queue_size": max(0, open_requests - processing),
            "max_queue_size": self._max_queue,
            "processing": processing,
            "requests_processed": c.completed,
            "cancelled": c.cancelled,
            "failed": c.failed,
            "timeouts": c.timeouts,
            "output_tokens": c.output_tokens,
            "prefix_hits": c.image_hits,
            "prefix_misses": c.image_misses,
            "cached_images": len(self._images),
            "cached_image_bytes": self._images.nbytes,
            "uptime_s": round(self._clock() - self._born, 3),
        }

    def shutdown(self) -> None:
        """Cancel everything with reason "shutdown" and wait for the threads. May be called again."""
        with self._lock:
            self._closed = True
            self._inbox.put(self._stop)
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown(cancel_futures=True)

    def _new_job(self, request: EngineRequest, deliver: Deliver) -> Job:
        config = self._model.config
        asked = request.skill_request
        skill = build_skill(asked, config.tokenizer, self._model.tokenizer, grammars=self._grammars)
        images = [View(image) for image in request.images]
        before = skill.before if isinstance(skill, ChatSkill) else []
        prompt: list[PromptItem | Picture] = [*before, *skill.opening()]
        if prompt[0] == Picture(0):
            views, prompt = images[:1], prompt[1:]
        else:
            views = _views(request)
        if not views:
            prompt.insert(0, config.tokenizer.bos_id)
        pictures = sum(isinstance(item, Picture) for item in prompt)
        length = len(prompt) + pictures * (config.image_tokens - 1) + (config.prefix_len if views else 0)
        if length >= config.text.max_context:
            raise ContextLengthExceeded(
                f"The request takes {length:,} tokens, image included; the model's context has "
                f"{config.text.max_context:,}, and the answer needs room too.",
                "object" if asked.object else "messages" if asked.messages else "question",
            )
        if request.adapter is not None:
            self._adapters.find(request.adapter)
        submitted = self._clock() if request.accepted_at is None else request.accepted_at
        return Job(request, skill, prompt, length, deliver, Timeline(submitted), views, images)

    # --------------------------------------------------------------------------------------- engine thread

    def _run(self) -> None:
        try:
            with self._model.device.inference():
                while not self._stopping:
                    job = self._next_ready()
                    if job is None:
                        self._take_in(wait=True)
                    else:
                        self._serve(job)
        except Exception:
            logger.exception("The engine thread failed and stops")
        finally:
            self._end_everything()

    def _next_ready(self) -> Job | None:
        """The oldest waiting request that need not wait for crops."""
        self._cut_ahead()
        for job in self._waiting:
            if all(view.settled or self._is_known(job, view) for view in job.sees):
                return job
        return None

    def _is_known(self, job: Job, view: View) -> bool:
        """Whether the prefix of this image is there, as the adapter of the request would compute it."""
        wanted = job.request.adapter
        adapter = None if wanted is None else self._adapters.peek(wanted)
        loaded = wanted is None or adapter is not None
        return loaded and view in job.views and prefix_key(view.image.digest, adapter) in self._images

    def _take_in(self, wait: bool) -> None:
        """Apply the messages; with `wait`, block until there is one or a deadline passes."""
        try:
            message = self._inbox.get(block=wait, timeout=self._next_deadline() if wait else None)
            while True:
                message()
                message = self._inbox.get_nowait()
        except queue.Empty:
            pass
        now = self._clock()
        for job in [job for job in self._waiting if job.expired(now)]:
            self._leave_queue(job, terminal.timed_out(job))

    def _next_deadline(self) -> float | None:
        moments = [job.request.deadline for job in self._waiting if job.request.deadline is not None]
        return max(0.0, min(moments) - self._clock()) if moments else None

    def _admit(self, job: Job, ahead: int) -> None:
        request = job.request
        self._waiting.append(job)
        if request.accepted_at is not None:
            return
        accepted = wire.RequestAccepted(
            request_id=UNADDRESSED,
            model=request.model or self._info.id,
            skill=request.skill_request.skill,
            tag=request.tag,
            position=ahead,
        )
        job.send([accepted], self._clock())

    def _cancel(self, request_id: str, reason: str) -> None:
        job = self._open.get(request_id)
        if job is None:
            return
        if job is self._running:
            job.cancel_reason = job.cancel_reason or reason
        else:
            self._leave_queue(job, terminal.cancelled(job, reason, self._clock()))

    def _stop(self) -> None:
        self._stopping = True
        if self._running is not None:
            self._running.cancel_reason = self._running.cancel_reason or "shutdown"

    def _cut_ahead(self) -> None:
        """Have the images of the next requests cut into crops, each image once."""
        for view in [view for job in self._waiting[:CROP_AHEAD] for view in self._uncut(job)]:
            same = (other for job in self._waiting for other in job.sees)
            shared = (other.crops for other in same if other.image.digest == view.image.digest)
            view.crops = next((crops for crops in shared if crops is not None), None)
            if view.crops is None:
                view.crops = self._pool.submit(self._model.crop, view.image.rgb)
                view.crops.add_done_callback(lambda _: self._inbox.put(_wake))

    def _uncut(self, job: Job) -> list[View]:
        return [view for view in job.sees if view.crops is None and not self._is_known(job, view)]

    # ------------------------------------------------------------------------------------------ one request

    def _serve(self, job: Job) -> None:
        """Run a request to its terminal event. Its failure is its own."""
        self._waiting.remove(job)
        self._running = job
        job.times.started = self._clock()
        try:
            events = self._run_to_end(job)
        except DreamscopeError as error:
            events = terminal.failed(error)
        except Exception:
            logger.exception("Request %s failed", job.request.request_id)
            events = terminal.failed(InternalError("The engine failed on this request; its log says why."))
        self._running = None
        self._end(job, events)

    def _run_to_end(self, job: Job) -> terminal.Events:
        try:
            self._runner.run(job, partial(self._checkpoint, job))
        except _Cancelled:
            return terminal.cancelled(job, job.cancel_reason or "client", self._clock())
        except RequestTimeout:
            return terminal.timed_out(job)
        return terminal.done(job, self._clock())

    def _checkpoint(self, job: Job) -> None:
        """Between two pieces of device work: take messages in, and stop here if the request must end."""
        self._take_in(wait=False)
        if job.cancel_reason is not None:
            raise _Cancelled
        if job.expired(self._clock()):
            raise RequestTimeout("The request ran into its deadline.")

    def _leave_queue(self, job: Job, events: terminal.Events) -> None:
        """End a request that never started, and drop its crops unless another one waits for them."""
        self._waiting.remove(job)
        needed = [view.crops for other in self._waiting for view in other.sees]
        for view in job.sees:
            if view.crops is not None and view.crops not in needed:
                view.crops.cancel()
        self._end(job, events)

    def _end(self, job: Job, events: terminal.Events) -> None:
        self._counters.count(events[-1], job.skill.output_tokens)
        with self._lock:
            del self._open[job.request.request_id]
        job.send(events, self._clock())

    def _end_everything(self) -> None:
        """Refuse new requests and give every open one its terminal event."""
        with self._lock:
            self._closed = True
        healthy = self._stopping
        self._take_in(wait=False)
        for job in tuple(self._open.values()):
            if healthy:
                self._end(job, terminal.cancelled(job, "shutdown", self._clock()))
            else:
                self._end(job, terminal.failed(InternalError("The engine has stopped after a failure.")))


def _views(request: EngineRequest) -> list[View]:
    if request.image is None:
        return []
    mirrored = [View(request.image.mirrored())] if request.skill_request.needs_mirror else []
    return [View(request.image), *mirrored]


def _wake() -> None:
    """A message that only ends a wait."""
