"""The last event of a request, for each way it can end. Pure: nothing is delivered here."""

from __future__ import annotations

import logging

from dreamscope.engine import wire
from dreamscope.engine.devices.runner import DeviceLost
from dreamscope.engine.errors import DreamscopeError, EngineDead, InternalError, RequestTimeout
from dreamscope.engine.runtime.job import Job
from dreamscope.engine.skills.base import UNADDRESSED

logger = logging.getLogger(__name__)


def ending(job: Job, metrics: wire.Metrics) -> wire.RequestEvent:
    """How the sequence of a job has ended."""
    sequence = job.sequence
    match sequence.finish_reason:
        case "stop" | "length":
            return _done(job, metrics)
        case "cancelled":
            reason = sequence.cancel_reason or "client"
            return wire.RequestCancelled(request_id=UNADDRESSED, reason=reason, metrics=metrics)
        case "deadline":
            return failed(RequestTimeout("The request ran into its deadline."))
    assert sequence.error is not None
    return failed(told(job, sequence.error))


def failed(error: DreamscopeError) -> wire.RequestEvent:
    """The request cannot go on."""
    return wire.RequestFailed(request_id=UNADDRESSED, error=error.info())


def told(job: Job, error: BaseException) -> DreamscopeError:
    """What a client hears of an error; the log has the rest of what is not meant for clients."""
    if isinstance(error, DreamscopeError):
        return error
    if isinstance(error, DeviceLost):
        return EngineDead(f"The engine has stopped: {error}")
    logger.error("Request %s failed", job.request.request_id, exc_info=error)
    return InternalError("The engine failed on this request; its log says why.")


def _done(job: Job, metrics: wire.Metrics) -> wire.RequestEvent:
    reason = job.skill.finish_reason
    assert reason is not None
    try:
        output = wire.result_to_json(job.skill.result())
    except Exception as error:  # a bug of one skill, and the failure of one request
        return failed(told(job, error))
    return wire.RequestDone(request_id=UNADDRESSED, finish_reason=reason, output=output, metrics=metrics)
