"""What the engine thread does: jobs become sequences, and what happens to these becomes events.

admit --(adapter loaded)--> scheduler --updates--> events --(outline refined)--> terminal event
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from dreamscope.engine import wire
from dreamscope.engine.devices.runner import ImageKey, Limits, ModelRunner
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.runtime.adapters import AdapterRegistry
from dreamscope.engine.runtime.cost_model import AdaptiveDepth
from dreamscope.engine.runtime.delivery import Delivery
from dreamscope.engine.runtime.finisher import Finisher
from dreamscope.engine.runtime.job import Job
from dreamscope.engine.runtime.metrics import Counters, metrics_of
from dreamscope.engine.runtime.options import DepthChoice, EngineOptions, depth_rule
from dreamscope.engine.runtime.prepare import Subject
from dreamscope.engine.runtime.refiner import Refiner
from dreamscope.engine.runtime.scheduler import Scheduler
from dreamscope.engine.runtime.sequence import FinishReason, Seat, Update
from dreamscope.engine.runtime.telemetry import Gauges, Recorder, State, gauges_of, reads_image
from dreamscope.engine.runtime.terminal import ending, failed
from dreamscope.engine.skills.base import UNADDRESSED

logger = logging.getLogger(__name__)
Build = Callable[[Limits], ModelRunner]
"""Makes a runner; called on the engine thread, which owns it from then on."""
Message = Callable[[], None]


class Core:
    """Engine thread only; `gauges`, `counters`, `recorder.steps` and `dead` may be read by anybody."""

    def __init__(
        self,
        model: Subject,
        model_id: str,
        jobs: Mapping[str, Job],
        limits: Limits,
        options: EngineOptions,
        build: Build,
        adapters: AdapterRegistry,
        refiner: Refiner | None,
        clock: Callable[[], float],
        tell: Callable[[Message], None],
        ended: Callable[[Job], None],
    ) -> None:
        """`jobs` are all that have no terminal event. `tell` has the engine thread do something, from any
        thread; `ended` is told of every job that got its terminal event.
        """
        self.counters = Counters()
        self.recorder = Recorder(self.counters, clock, self._launched, self._read)
        self.gauges = Gauges()
        self._model_id = model_id
        self._device = model.device.name
        self._jobs = jobs
        self._limits = limits
        self._options = options
        self._policy = options.policy(model.config.image_tokens)
        self._depth: DepthChoice = options.depth
        self._learnt = AdaptiveDepth()  # also what auto goes on with after another choice
        self._build = build
        self._adapters = adapters
        self._clock = clock
        self._tell = tell
        self._ended = ended
        self._delivery = Delivery(clock, self._give_up)
        self._finisher = None
        if refiner is not None:
            self._finisher = Finisher(refiner, model.device.inference, self._tell_refined)
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="dreamscope-adapter")
        self._loading: dict[Job, None] = {}
        self._refining: dict[Job, wire.MaskDone] = {}
        self._runner: ModelRunner
        self._scheduler: Scheduler

    # ---------------------------------------------------------------------------------------------- life

    def open(self) -> None:
        """Build the runner. Raises why it cannot be."""
        self._runner = self._build(self._limits)
        self._scheduler = Scheduler(
            self._runner,
            self._collect,
            self._clock,
            depth=depth_rule(self._depth, self._learnt),
            policy=self._policy,
            trace=self.recorder,
            max_queue=self._options.max_queue + self._limits.rows,  # restarted ones wait as well
        )
        self._look("ready")

    def rebuild(self) -> None:
        """Begin anew with a new runner; whoever is being served fails. Raises why it cannot be built."""
        self.kill(self.dead or RuntimeError("it is being restarted"))
        self._runner.close()
        self.open()

    def close(self) -> None:
        """Let go of the device and of the threads."""
        self._runner.close()
        self._look("stopped")

    def join(self) -> None:
        """Wait for the threads beside the engine's. Any thread, at the end."""
        self._loader.shutdown(cancel_futures=True)
        if self._finisher is not None:
            self._finisher.close()

    @property
    def dead(self) -> BaseException | None:
        """Why nothing is served any more."""
        return self._scheduler.dead

    # --------------------------------------------------------------------------------------------- ticks

    def tick(self) -> bool:
        """Serve for one tick, and deliver; false if nothing could be done."""
        now = self._clock()
        for job in [job for job in self._loading if job.sequence.expired(now)]:
            self._end_early(job, "deadline")
        progressed = self._scheduler.tick()
        self._delivery.flush()
        self._look("dead" if self.dead else "paused" if self._scheduler.paused else "ready")
        if not self._scheduler.has_work():
            self.recorder.rest()
            if not self.dead and not self._scheduler.requests.admission.at_rest:
                logger.error("Nobody is being served, and yet pages or adapters are in use")
        return progressed

    def patience(self) -> float | None:
        """Seconds until something has to be done though nobody says so."""
        moments = [job.sequence.deadline for job in self._loading]
        known = [moment for moment in (*moments, self._scheduler.next_deadline()) if moment is not None]
        return max(0.0, min(known) - self._clock()) if known else None

    def pause(self) -> None:
        """Launch nothing more, and wait for the device. Who is served goes on after `resume`."""
        self._scheduler.pause()
        self._look("paused")

    def resume(self) -> None:
        """Launch again."""
        self._scheduler.resume()

    def set_depth(self, choice: DepthChoice) -> None:
        """Steps in flight from the next launch on."""
        self._depth = choice
        self._scheduler.depth = depth_rule(choice, self._learnt)

    def abort(self, reason: str) -> None:
        """Cancel everybody, and bring the device to rest."""
        for job in tuple(self._loading):
            self._end_early(job, "cancelled", reason)
        for sequence_id in tuple(self._scheduler.requests.live):
            self._scheduler.cancel(sequence_id, reason)
        for job, outline in tuple(self._refining.items()):
            self._refined(job, outline)
        self._scheduler.drain()
        self._scheduler.hand_out()
        self._delivery.flush()

    def kill(self, error: BaseException) -> None:
        """Nothing can be relied on any more: fail everybody."""
        self.recorder.forget()
        self._scheduler.kill(error)
        for job in tuple(self._loading):
            self._end_early(job, "error", error=error)
        self._scheduler.hand_out()
        self._delivery.flush()
        self._look("dead")

    def _look(self, state: State) -> None:
        self.gauges = gauges_of(self._scheduler, state)

    # -------------------------------------------------------------------------------------------- coming in

    def admit(self, job: Job, ahead: int) -> None:
        """Accept a job, and have it served; `ahead` others wait."""
        request = job.request
        if request.accepted_at is None:
            accepted = wire.RequestAccepted(
                request_id=UNADDRESSED,
                model=request.model or self._model_id,
                skill=request.skill_request.skill,
                tag=request.tag,
                position=ahead,
            )
            self._delivery.add(job, [accepted])
        wanted = request.adapter
        if wanted is None:
            self._enter(job)
        elif self._adapters.peek(wanted) is not None:
            self._enter(job, self._adapters.get(wanted))
        else:
            self._loading[job] = None
            loading = self._loader.submit(self._adapters.get, wanted)
            loading.add_done_callback(lambda done: self._tell(partial(self._loaded, job, done)))

    def cancel(self, request_id: str, reason: str) -> None:
        """End a request wherever it is. Ids that are unknown or through are ignored."""
        job = self._jobs.get(request_id)
        if job is not None and job in self._loading:
            self._end_early(job, "cancelled", reason)
        else:
            self._scheduler.cancel(request_id, reason)

    def _loaded(self, job: Job, loading: Future[Adapter]) -> None:
        if job not in self._loading or loading.cancelled():
            return
        error = loading.exception()
        if error is not None:
            self._end_early(job, "error", error=error)
        else:
            del self._loading[job]
            self._enter(job, loading.result())

    def _enter(self, job: Job, adapter: Adapter | None = None) -> None:
        sequence = job.sequence
        if adapter is not None:
            sequence.adapter, sequence.adapter_weights = adapter.digest, adapter
        try:
            self._scheduler.submit(sequence)
        except DreamscopeError as error:
            self._close(job, failed(error))
        else:
            sequence.times.submitted = job.submitted

    # ------------------------------------------------------------------------------------------- going on

    def _launched(self, seat: Seat) -> None:
        """A prompt is being read, for the first time or again."""
        job = self._job_of(seat)
        if job is None:
            return
        job.drop_crops()
        for place, element in enumerate(seat.prompt):
            if isinstance(element, ImageKey) and element.digest not in job.looked_at:
                job.looked_at.add(element.digest)
                self.counters.image_hits += place < seat.lease.skip
                self.counters.image_misses += place >= seat.lease.skip
        if not job.started:
            job.started = True
            started = wire.RequestStarted(
                request_id=UNADDRESSED,
                input_tokens=job.input_tokens,
                cached_tokens=job.sequence.cached_tokens,
                image=job.shown,
            )
            self._delivery.add(job, [started])

    def _read(self, seat: Seat, milliseconds: float) -> None:
        job = self._job_of(seat)
        if job is not None and reads_image(seat) and len(job.sequence.times.tokens) <= 1:
            job.image_ms = round(milliseconds, 3)

    def _job_of(self, seat: Seat) -> Job | None:
        """Whose seat it is; nobody's once its request has ended."""
        job = self._jobs.get(seat.sequence.id)
        return job if job is not None and job.sequence is seat.sequence else None

    def _collect(self, updates: list[Update]) -> None:
        for update in updates:
            job = self._jobs[update.sequence.id]
            events = update.events
            if self._finisher is not None and events and isinstance(events[-1], wire.MaskDone):
                events, job.coarse = events[:-1], events[-1]
            self._delivery.add(job, events)
            if update.ended:
                self._end(job)

    # --------------------------------------------------------------------------------------------- ending

    def _end(self, job: Job) -> None:
        """The sequence of a job has ended; an outline that can be refined is, before anybody hears of it."""
        coarse, job.coarse = job.coarse, None
        if coarse is None:
            self._close(job, self._ending(job))
            return
        self._refining[job] = coarse
        if self._finisher is not None and job.sequence.finish_reason in ("stop", "length"):
            self._finisher.refine(job, coarse)
        else:
            self._refined(job, coarse)

    def _tell_refined(self, job: Job, outline: wire.MaskDone) -> None:
        """Called by the refiner's thread."""
        self._tell(partial(self._refined, job, outline))

    def _refined(self, job: Job, outline: wire.MaskDone) -> None:
        if self._refining.pop(job, None) is None:
            return  # it was ended meanwhile
        job.sequence.times.ended = self._clock()
        self._delivery.add(job, [outline])
        self._close(job, self._ending(job))

    def _end_early(
        self, job: Job, reason: FinishReason, why: str | None = None, error: BaseException | None = None
    ) -> None:
        """End a job that the scheduler does not know yet."""
        del self._loading[job]
        sequence = job.sequence
        sequence.finish_reason, sequence.cancel_reason, sequence.error = reason, why, error
        sequence.times.submitted, sequence.times.ended = job.submitted, self._clock()
        self._close(job, self._ending(job))

    def _ending(self, job: Job) -> wire.RequestEvent:
        return ending(job, metrics_of(job, self.gauges.depth, self._device))

    def _close(self, job: Job, event: wire.RequestEvent) -> None:
        job.drop_crops()
        self.counters.count(event, job)
        self._delivery.add(job, [event])
        self._ended(job)

    def _give_up(self, job: Job) -> None:
        self.cancel(job.request.request_id, "disconnect")
