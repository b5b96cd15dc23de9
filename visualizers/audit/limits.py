"""Places outside of the image, and spans that overlap or leave the text: what should never be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check, listed, plural

IN_IMAGE, SPANS = "in-image", "spans-apart"


def check(case: Case) -> Iterator[Check]:
    """Up to two checks: of the points, and of the ranges of the spans."""
    dots = case.dots
    stray = [dot for dot in dots if not (0 <= dot.x <= 1 and 0 <= dot.y <= 1)]
    if stray:
        places = listed([dot.seen().label for dot in stray])
        text = f"{len(stray)} of {plural(len(dots), 'point')} {_lie(len(stray))} outside the image: {places}."
        yield Check(IN_IMAGE, "look", text, tuple(dot.seen() for dot in stray))
    elif dots:
        which = "The point" if len(dots) == 1 else f"All {len(dots)} points"
        yield Check(IN_IMAGE, "fine", f"{which} {_lie(len(dots))} inside the image.")
    if not case.spans or case.reasoning is None:
        return
    length = len(case.reasoning.text)
    crossing = [pair for pair in pairwise(case.spans) if pair[1].start < pair[0].end]
    leaving = [span for span in case.spans if span.start < 0 or span.end > length or span.start > span.end]
    wrong = dict.fromkeys([*leaving, *(span for pair in crossing for span in pair)])
    if wrong:
        text = f"{len(wrong)} of {len(case.spans)} spans overlap another or leave the reasoning's text."
        yield Check(SPANS, "look", text, tuple(span.seen() for span in wrong))
    else:
        yield Check(SPANS, "fine", "No span overlaps another, and all lie in the text.")


def _lie(count: int) -> str:
    return "lies" if count == 1 else "lie"
