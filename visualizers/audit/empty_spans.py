"""Spans that the model opened and closed without a place: words that claim to point and do not."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check, Evidence, plural
from dreamscope.visualizers.audit.nouns import words_of
from dreamscope.visualizers.audit.numbers import answered

ID = "empty-spans"


def check(case: Case) -> Iterator[Check]:
    """One check, if there is reasoning about an image. Such spans are in the events, not in the result."""
    if case.reasoning is None or case.picture is None:
        return
    starts, empty = dict[int, int](), list[Evidence]()
    for event in case.part.events:
        if isinstance(event, wire.SpanOpen):
            starts[event.index] = event.start
        elif isinstance(event, wire.SpanClose) and not event.points:
            empty.append(case.words("reasoning", starts.get(event.index, event.end), event.end))
    spans = len(case.spans)
    if empty:
        have = "has" if len(empty) == 1 else "have"
        text = f"{len(empty)} of {plural(len(empty) + spans, 'span')} {have} markers but no place."
        yield Check(ID, "look", text, tuple(empty))
    elif spans and not starts:
        text = "Whether spans without a place were dropped is not known: the run has no events of them."
        yield Check(ID, "unknown", text)
    elif spans:
        text = "The one span has a place." if spans == 1 else f"All {spans} spans have a place."
        yield Check(ID, "fine", text)
    elif not says_none(case):
        text = "The reasoning points at nothing, so it cannot be compared with the image."
        yield Check(ID, "unknown", text)


def says_none(case: Case) -> bool:
    """Whether the answer is that there is nothing to point at."""
    if case.counted and answered(case.answer, case.counted) == 0:
        return True
    return words_of(case.answer)[:1] in (["no"], ["none"], ["nothing"])
