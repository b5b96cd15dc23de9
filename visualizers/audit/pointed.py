"""The points that speak of a noun."""

from __future__ import annotations

from collections.abc import Iterable

from dreamscope.visualizers.audit.case import Case, Dot, Span
from dreamscope.visualizers.audit.nearness import distinct
from dreamscope.visualizers.audit.nouns import speaks_of


def spans_of(case: Case, noun: str) -> tuple[Span, ...]:
    """The spans that may speak of `noun`. Those that take it up again ("the dog") are left out where others
    introduce it.
    """
    fitting = tuple(span for span in case.spans if speaks_of(span.noun, noun))
    return tuple(span for span in fitting if not span.again) or fitting


def fits(number: int, spans: Iterable[Span]) -> bool:
    """Whether `number` is how many points or places the spans have, with or without their pronouns."""
    known = list(spans)
    named = [span for span in known if span.noun]
    return any(number in (len(dots), len(distinct(dots))) for dots in (dots_of(known), dots_of(named)))


def dots_of(spans: Iterable[Span]) -> tuple[Dot, ...]:
    """The points of all these spans."""
    return tuple(dot for span in spans for dot in span.dots)
