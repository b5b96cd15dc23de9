"""The last events of a request, for each way it can end. Pure: nothing is delivered here."""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.engine.errors import DreamscopeError, RequestTimeout
from dreamscope.engine.runtime.job import Job
from dreamscope.engine.skills.base import UNADDRESSED

Events = list[wire.RequestEvent]


def done(job: Job, now: float) -> Events:
    """The skill has finished."""
    reason = job.skill.finish_reason
    assert reason is not None
    output = wire.result_to_json(job.skill.result())
    return [
        wire.RequestDone(
            request_id=UNADDRESSED, finish_reason=reason, output=output, metrics=job.metrics(now)
        )
    ]


def cancelled(job: Job, reason: str, now: float) -> Events:
    """Stopped from outside; what the skill still held back comes first."""
    held_back = job.skill.close("length")
    event = wire.RequestCancelled(request_id=UNADDRESSED, reason=reason, metrics=job.metrics(now))
    return [*held_back, event]


def timed_out(job: Job) -> Events:
    """The deadline passed; what the skill still held back comes first."""
    return [*job.skill.close("length"), *failed(RequestTimeout("The request ran into its deadline."))]


def failed(error: DreamscopeError) -> Events:
    """The request cannot go on."""
    return [wire.RequestFailed(request_id=UNADDRESSED, error=error.info())]
