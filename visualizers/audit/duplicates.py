"""Points or boxes at one place: a thing that may have been counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Case, Dot, Span
from dreamscope.visualizers.audit.check import Check, listed
from dreamscope.visualizers.audit.nearness import same_place
from dreamscope.visualizers.geometry import iou

ID = "same-place"
SAME_BOX = 0.8
"""Boxes that share more of their union are taken for one thing."""
_RULE = "closer than the model's 95 % interval reaches, or than 2 of its 1024 steps where that is not known"


def check(case: Case) -> Iterator[Check]:
    """One check, for two or more points or boxes."""
    if isinstance(case.result, wire.DetectResult):
        yield from _boxes(case, case.result.objects)
        return
    if len(case.dots) < 2:
        return
    pairs = list(_within_spans(case)) if case.spans else _near(case.dots)
    if pairs:
        told = [f"{first.label or 'two points'} and {second.label}" for first, second in pairs]
        text = f"Points at the same place: {listed(told)}; they are {_RULE}."
        seen = dict.fromkeys(dot.seen() for pair in pairs for dot in pair)
        yield Check(ID, "look", text, tuple(seen))
    else:
        yield Check(
            ID, "fine", f"No two of {len(case.dots)} points of a kind are at the same place ({_RULE})."
        )


def _within_spans(case: Case) -> Iterator[tuple[Dot, Dot]]:
    """Near points of one span, or of two spans that name two things."""
    for span in case.spans:
        yield from _near(span.dots)
    for first, second in combinations(case.spans, 2):
        if _two_things(first, second):
            yield from ((a, b) for a in first.dots for b in second.dots if same_place(a, b))


def _two_things(first: Span, second: Span) -> bool:
    """Whether the words speak of two things: items of a list, or a noun introduced twice."""
    if first.numbered and second.numbered:
        return True
    return bool(first.noun) and first.noun == second.noun and not second.again


def _near(dots: tuple[Dot, ...]) -> list[tuple[Dot, Dot]]:
    return [pair for pair in combinations(dots, 2) if same_place(*pair)]


def _boxes(case: Case, boxes: tuple[wire.Box, ...]) -> Iterator[Check]:
    if len(boxes) < 2:
        return
    shared = {(i, j): iou(boxes[i], boxes[j]) for i, j in combinations(range(len(boxes)), 2)}
    pairs = {pair: share for pair, share in shared.items() if share > SAME_BOX}
    if not pairs:
        most = f"at most {max(shared.values()) * 100:.0f} % of the area they cover is shared"
        text = f"No two of {len(boxes)} boxes are the same: {most}."
        yield Check(ID, "fine", text)
        return
    told = [f"{i + 1} and {j + 1} share {share * 100:.0f} %" for (i, j), share in pairs.items()]
    limit = f"more than {SAME_BOX * 100:.0f} %"
    text = f"Boxes at nearly the same place: {listed(told)} of the area they cover ({limit})."
    numbers = sorted({number for pair in pairs for number in pair})
    yield Check(ID, "look", text, tuple(case.box(nth, boxes[nth]) for nth in numbers))
