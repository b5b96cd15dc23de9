"""Whether the model came to its own end; a result that was cut off proves nothing by what it lacks."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine import wire
from dreamscope.visualizers import words
from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check

ID = "complete"
_BARE = (wire.RequestAccepted, wire.RequestStarted, wire.RequestFailed, wire.RequestCancelled)
"""Events that bring nothing of an answer."""


def check(case: Case) -> Iterator[Check]:
    """One check, always."""
    last = case.part.events[-1] if case.part.events else None
    match last:
        case wire.RequestDone(finish_reason="length"):
            text = f"{words.done(case.skill, 'length')}: there may be more than is shown."
            yield Check(ID, "look", text)
        case wire.RequestDone():
            if isinstance(case.result, wire.QueryResult | wire.ChatResult) and not case.answer.strip():
                yield Check(ID, "look", "The model came to its own end without writing an answer.")
            else:
                yield Check(ID, "fine", "The model came to its own end; nothing was cut off.")
        case _ if case.part.state in ("queued", "running"):
            yield Check(ID, "unknown", "The run is not over; what follows is about what has arrived.")
        case _:
            arrived = any(not isinstance(event, _BARE) for event in case.part.events)
            text = "The run did not come to its end; what follows is about what had arrived."
            yield Check(ID, "look", text if arrived else "The run ended before anything had arrived.")
