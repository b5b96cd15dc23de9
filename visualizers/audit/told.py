"""Numbers in the reasoning's own words, outside of its spans, against the points it made."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check, plural
from dreamscope.visualizers.audit.nouns import plural as many
from dreamscope.visualizers.audit.numbers import Count, agree, counts, last_firm
from dreamscope.visualizers.audit.pointed import dots_of, fits, spans_of

ID = "reasoning-number"


def check(case: Case) -> Iterator[Check]:
    """One check for each noun that the reasoning both counts and points at, or says there is none of."""
    if case.reasoning is None:
        return
    said = [one for one in counts(case.reasoning.text) if not _inside(case, one)]
    nouns = dict.fromkeys(span.noun for span in case.spans if span.noun)
    for noun in nouns:
        numbers = [one for one in said if noun in one.nouns]
        if any(not one.weak for one in numbers):
            yield _compared(case, noun, numbers)


def _compared(case: Case, noun: str, numbers: list[Count]) -> Check:
    spans = spans_of(case, noun)
    dots, last = dots_of(spans), last_firm(numbers)
    right = agree(len(dots), numbers) or fits(last.value, spans)
    words = tuple(case.words("reasoning", one.start, one.end) for one in numbers)
    said = case.words("reasoning", last.start, last.end).label
    text = f"The reasoning says “{said}”; it makes {plural(len(dots), 'point')} at {many(noun)}."
    return Check(ID, "fine" if right else "look", text, (*words, *(span.seen() for span in spans)))


def _inside(case: Case, one: Count) -> bool:
    return any(
        span.start < one.end and one.start < span.end and one.start >= span.start for span in case.spans
    )
