"""The number that the words of a span give ("two dogs", "a dog") against the points of that span."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dreamscope.visualizers.audit.case import Case, Span
from dreamscope.visualizers.audit.check import Check, listed
from dreamscope.visualizers.audit.numbers import WORDS, value_of

ID = "span-number"
_FIRST = re.compile(
    rf"\W*(?:only |exactly |the )?(an?|{'|'.join(WORDS)}|no|\d{{1,2}})\s+[a-z]", re.IGNORECASE
)
_GROUP = re.compile(
    r"\W*an?\s+(?:\w+\s+)?(?:\w+\s+of|few|lot|pair|dozen|couple|group|bunch)\b", re.IGNORECASE
)


def check(case: Case) -> Iterator[Check]:
    """One check, if the words of any span give a number."""
    said = [(span, number) for span in case.spans if (number := number_in(span.text)) is not None]
    wrong = [(span, number) for span, number in said if number != len(span.dots)]
    if wrong:
        told = [f"“{span.seen().label}” has {len(span.dots)}" for span, _ in wrong]
        text = f"The words of a span and its number of points disagree: {listed(told)}."
        yield Check(ID, "look", text, tuple(span.seen() for span, _ in wrong))
    elif said:
        text = f"Spans that give a number ({listed([_name(span) for span, _ in said])}) have as many points."
        yield Check(ID, "fine", text, tuple(span.seen() for span, _ in said))


def number_in(text: str) -> int | None:
    """The number at the beginning of a span's words; `None` without one. "A group of dogs" gives none."""
    found = _FIRST.match(text)
    return None if found is None or _GROUP.match(text) else value_of(found[1])


def _name(span: Span) -> str:
    return f"“{span.seen().label}”"
