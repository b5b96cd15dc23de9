"""Slow work on finished requests, on a thread of its own: nobody's next token waits for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager

from dreamscope.engine import wire
from dreamscope.engine.runtime.job import Job
from dreamscope.engine.runtime.refiner import Refiner, refine_result
from dreamscope.engine.skills.segment import SegmentSkill


class Finisher:
    """Refines outlines, one after the other. `done(job, outline)` is called on its thread."""

    def __init__(
        self,
        refiner: Refiner,
        inference: Callable[[], AbstractContextManager[object]],
        done: Callable[[Job, wire.MaskDone], None],
    ) -> None:
        self._refiner = refiner
        self._inference = inference
        self._done = done
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dreamscope-refine")

    def refine(self, job: Job, coarse: wire.MaskDone) -> Future[None]:
        """Have the outline of a finished job refined; what cannot be stays as it is."""
        return self._pool.submit(self._refine, job, coarse)

    def _refine(self, job: Job, coarse: wire.MaskDone) -> None:
        skill, image = job.skill, job.request.image
        assert isinstance(skill, SegmentSkill)
        refined = None
        if image is not None:
            with self._inference():
                refined = refine_result(self._refiner, skill, image.rgb)
        self._done(job, refined or coarse)

    def close(self) -> None:
        """Wait for the one under way; the others are dropped."""
        self._pool.shutdown(cancel_futures=True)
