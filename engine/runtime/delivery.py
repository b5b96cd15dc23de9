"""Events on their way out: numbered, stamped, and handed over once for every consumer and tick."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from dreamscope.engine import wire
from dreamscope.engine.runtime.job import Deliver, Job
from dreamscope.engine.runtime.metrics import milliseconds

logger = logging.getLogger(__name__)


class Delivery:
    """Collects the events of a tick. Engine thread only."""

    def __init__(self, clock: Callable[[], float], give_up: Callable[[Job], None]) -> None:
        """`give_up` is told of every request of a consumer that has raised."""
        self._clock = clock
        self._give_up = give_up
        self._waiting: dict[Deliver, dict[Job, list[wire.Message]]] = {}

    def add(self, job: Job, events: Sequence[wire.RequestEvent]) -> None:
        """Number events; they leave with the next `flush`."""
        if not events or job.deaf:
            return
        t = milliseconds(self._clock() - job.submitted)
        batch = self._waiting.setdefault(job.deliver, {}).setdefault(job, [])
        for event in events:
            batch.append(replace(event, request_id=job.request.request_id, seq=job.next_seq, t=t))
            job.next_seq += 1

    def flush(self) -> None:
        """Hand everything over. A consumer that raises is reported and hears no more."""
        while self._waiting:  # whoever is given up has a last event, which nobody hears
            waiting, self._waiting = self._waiting, {}
            for deliver, batches in waiting.items():
                try:
                    deliver([(job.request.request_id, events) for job, events in batches.items()])
                except Exception:
                    named = ", ".join(job.request.request_id for job in batches)
                    logger.exception("Delivering events of request %s failed", named)
                    for job in batches:
                        job.deaf = True
                        self._give_up(job)
