"""The engine: requests in, events out, many at a time.

    any thread       submit, cancel, ... --message--> inbox
    engine thread    inbox -> tick -> events, handed over once per consumer and tick
    crop pool        images -> crops
    adapter loader   files -> adapters
    refiner          outlines of finished requests -> better ones

The engine thread owns scheduler, runner and jobs; everybody else leaves a message and returns. It sleeps
when nothing can be done, until a message comes or the nearest deadline passes. Each accepted request gets
`request.accepted` first and exactly one terminal event last, whatever happens.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from dreamscope.engine import wire
from dreamscope.engine.errors import EngineDead, QueueFull, RequestExists, ShuttingDown
from dreamscope.engine.runtime.adapters import AdapterRegistry
from dreamscope.engine.runtime.core import Build, Core, Message
from dreamscope.engine.runtime.cropping import Cropper, CropTicket
from dreamscope.engine.runtime.job import Batches, Deliver, EngineRequest, Job
from dreamscope.engine.runtime.metrics import Counters
from dreamscope.engine.runtime.options import DepthChoice, EngineOptions, depth_rule
from dreamscope.engine.runtime.prepare import Preparer, Subject
from dreamscope.engine.runtime.refiner import Refiner
from dreamscope.engine.runtime.telemetry import Gauges, State, StepRecord

__all__ = ["Batches", "Deliver", "Engine", "EngineOptions", "EngineRequest"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """`reason` says why an engine is dead."""

    state: State
    reason: str | None = None


class Engine:
    """Serves one model. `start` before the first `submit`, `shutdown` once at the end. Any thread."""

    def __init__(
        self,
        model: Subject,
        info: wire.ModelInfo,
        build: Build,
        *,
        options: EngineOptions | None = None,
        adapters: AdapterRegistry | None = None,
        refiner: Refiner | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`build` makes the runner. `adapters` serves requests that name one, `refiner` improves what the
        segment skill outlines. `clock` gives seconds; deadlines are moments of it.
        """
        self._model = model
        self._info = info
        self._options = options or EngineOptions()
        self._clock = clock
        self._adapters = AdapterRegistry() if adapters is None else adapters
        limits = self._options.limits(model.config, model.device)
        self._cropper = Cropper(lambda image: model.crop(image.rgb), partial(self._tell, _wake))
        self._preparer = Preparer(model, limits, partial(CropTicket, cropper=self._cropper))
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="dreamscope-engine", daemon=True)
        self._started: Future[None] = Future()
        self._born = clock()
        self._lock = threading.Lock()  # guards the next two
        self._open: dict[str, Job] = {}  # accepted and without a terminal event
        self._closed = False
        self._stop_at: float | None = None  # engine thread only, like the core
        self._core = Core(
            model,
            info.id,
            self._open,
            limits,
            self._options,
            build,
            self._adapters,
            refiner,
            clock,
            self._tell,
            self._end,
        )

    # --------------------------------------------------------------------------------------------- requests

    def submit(self, request: EngineRequest, deliver: Deliver) -> None:
        """Queue a validated request. `deliver` is called on the engine thread with the events of each tick.

        Raises `AdapterNotFound`, `ContextLengthExceeded`, `EngineDead`, `QueueFull`, `RequestExists` or
        `ShuttingDown`; then nothing is delivered.
        """
        submitted = self._clock() if request.accepted_at is None else request.accepted_at
        job = self._preparer.job(request, deliver, submitted)
        if request.adapter is not None:
            self._adapters.find(request.adapter)
        with self._lock:
            self._refuse(request.request_id)
            ahead = sum(not other.started for other in self._open.values())
            if ahead >= self._options.max_queue:
                raise QueueFull(f"{self._options.max_queue} requests are waiting already; try again soon.")
            self._open[request.request_id] = job
            self._tell(partial(self._core.admit, job, ahead))

    def cancel(self, request_id: str, reason: str = "client") -> None:
        """Stop a request wherever it is, keeping what it has decoded. Unknown or finished ids are ignored."""
        self._tell(partial(self._core.cancel, request_id, reason))

    # ----------------------------------------------------------------------------------------- what goes on

    def health(self) -> Health:
        """Whether requests are served."""
        if not self._started.done():
            return Health("starting")
        if self._closed:
            return Health("draining" if self._thread.is_alive() else "stopped")
        dead = self._core.dead
        return Health(self._core.gauges.state) if dead is None else Health("dead", str(dead))

    def steps(self, since: int = -1) -> list[StepRecord]:
        """The last steps with a larger index, oldest first."""
        return self._core.recorder.steps(since)

    def gauges(self) -> Gauges:
        """How things stood after the last tick."""
        return self._core.gauges

    def counters(self) -> Counters:
        """Totals since the start."""
        return deepcopy(self._core.counters)

    def stats(self) -> dict[str, Any]:
        """Totals and gauges for people."""
        c, gauges, health = self._core.counters, self._core.gauges, self.health()
        with self._lock:
            waiting = sum(not job.started for job in self._open.values())
            processing = len(self._open) - waiting
        taken = gauges.pages_private + gauges.pages_cached
        return {
            "status": {"ready": "running"}.get(health.state, health.state),
            "model": self._info.id,
            "queue_size": waiting,
            "max_queue_size": self._options.max_queue,
            "processing": processing,
            "requests_processed": c.completed,
            "cancelled": c.cancelled,
            "failed": c.failed,
            "timeouts": c.timeouts,
            "output_tokens": c.output_tokens,
            "tokens_per_second": round(self._core.recorder.rate(), 1),
            "batch_size": gauges.running,
            "kv_pages_used": taken - gauges.pages_reclaimable,
            "kv_pages_total": taken + gauges.pages_free,
            "prefix_hits": c.image_hits,
            "prefix_misses": c.image_misses,
            "cached_images": gauges.images_cached,
            "cached_pages": gauges.pages_cached,
            "uptime_s": round(self._clock() - self._born, 3),
        }

    # ------------------------------------------------------------------------------------------------ life

    def start(self) -> None:
        """Start the engine thread, and wait until it is ready. Raises why the runner cannot be built."""
        self._thread.start()
        self._started.result()

    def set_depth(self, choice: DepthChoice) -> None:
        """How many steps may be in flight from now on. Raises `ValueError`."""
        depth_rule(choice)
        self._tell(partial(self._core.set_depth, choice))

    def pause(self) -> None:
        """Bring the device to rest; returns when it is. Requests stay where they are until `resume`."""
        self._do(self._core.pause)

    def resume(self) -> None:
        """Go on."""
        self._do(self._core.resume)

    def restart(self) -> None:
        """Serve again with a new runner, after a dead device. Raises why it cannot be built."""
        self._do(self._core.rebuild)

    def shutdown(self, mode: Literal["abort", "finish"] = "abort", timeout: float = 30.0) -> None:
        """Take nothing more, and wait for the threads. May be called again.

        "finish" serves those who are here, for `timeout` seconds at most; then, or at once, everybody is
        cancelled with reason "shutdown".
        """
        with self._lock:
            self._closed = True
        self._tell(partial(self._stop, self._clock() + (timeout if mode == "finish" else 0.0)))
        if self._thread.ident is not None:
            self._thread.join()
        self._cropper.close()
        self._core.join()

    def _refuse(self, request_id: str) -> None:
        """Raises what speaks against another request of this id."""
        if self._closed:
            raise ShuttingDown("The engine is stopping and takes no more requests.")
        if self._started.done() and self._core.dead is not None:
            raise EngineDead(f"The engine has stopped: {self._core.dead}")
        if request_id in self._open:
            raise RequestExists(f"The request {request_id!r} is still running.", "request_id")

    def _tell(self, message: Message) -> None:
        self._inbox.put(message)

    def _do(self, work: Message) -> None:
        """Have the engine thread do something, and wait. Raises what it raises, or `ShuttingDown`."""
        done: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise ShuttingDown("The engine is stopping.")
            self._tell(partial(_settle, done, work))
        done.result()

    # --------------------------------------------------------------------------------------- engine thread

    def _run(self) -> None:
        with self._model.device.inference():
            try:
                self._core.open()
            except Exception as error:
                self._closed = True
                self._started.set_exception(error)
                return
            self._started.set_result(None)
            busy = True
            while not self._is_over():
                busy = self._turn(wait=not busy)
            self._turn(wait=False)
            self._core.abort("shutdown")
            self._core.close()

    def _is_over(self) -> bool:
        return self._stop_at is not None and (not self._open or self._clock() >= self._stop_at)

    def _turn(self, wait: bool) -> bool:
        """Messages, then a tick; false if nothing could be done. A bug ends all requests, not the thread."""
        try:
            self._take_in(wait)
            return self._core.tick()
        except Exception:
            logger.exception("The engine has failed")
            self._core.kill(EngineDead("The engine has failed; its log says why."))
            return False

    def _take_in(self, wait: bool) -> None:
        """Apply the messages; with `wait`, block until there is one or something is due."""
        try:
            message = self._inbox.get(block=wait, timeout=self._patience() if wait else None)
            while True:
                message()
                message = self._inbox.get_nowait()
        except queue.Empty:
            pass

    def _patience(self) -> float | None:
        patience = self._core.patience()
        if self._stop_at is None:
            return patience
        left = max(0.0, self._stop_at - self._clock())
        return left if patience is None else min(left, patience)

    def _stop(self, moment: float) -> None:
        self._stop_at = moment if self._stop_at is None else min(moment, self._stop_at)

    def _end(self, job: Job) -> None:
        with self._lock:
            del self._open[job.request.request_id]


def _settle(done: Future[None], work: Message) -> None:
    try:
        work()
    except Exception as error:
        done.set_exception(error)
    else:
        done.set_result(None)


def _wake() -> None:
    """A message that only ends a wait."""
