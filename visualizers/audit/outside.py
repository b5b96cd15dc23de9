"""Points of the reasoning against the boxes that detect finds of the same noun.

Where that noun is what was counted, also the other way round: a box without a point may have been missed.
"""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Case, Dot, Found, seen_box
from dreamscope.visualizers.audit.check import Check, listed, plural
from dreamscope.visualizers.audit.nouns import plural as many
from dreamscope.visualizers.audit.pointed import dots_of, spans_of

ID = "outside-boxes"
MARGIN = 0.01
"""How far outside of a box a point may lie, as a share of the image: boxes are drawn tight."""


def nouns(case: Case) -> tuple[str, ...]:
    """The nouns that detect would have to be run for, in text order."""
    return tuple(dict.fromkeys(span.noun for span in case.spans if span.noun))


def check(case: Case) -> Iterator[Check]:
    """One check for each noun that detect was run for, and one for all it was not run for."""
    missing = [noun for noun in nouns(case) if noun not in case.found]
    for noun in nouns(case):
        if noun in case.found:
            yield _compared(case, noun, case.found[noun])
    if missing:
        named = listed([many(noun) for noun in missing])
        text = f"Whether the points lie on {named} is not known: run detect to check."
        spans = (span.seen() for span in case.spans if span.noun in missing)
        yield Check(ID, "unknown", text, tuple(spans))


def _compared(case: Case, noun: str, known: Found) -> Check:
    boxes = known.boxes
    dots = [dot for span in case.spans if span.noun == noun for dot in span.dots]
    stray = [dot for dot in dots if not any(_inside(dot, box) for box in boxes)]
    found = f"detect finds {plural(len(boxes), noun, many(noun))}"
    shown = [seen_box(noun, nth, box) for nth, box in enumerate(boxes)]
    if stray:
        lie = "lies" if len(stray) == 1 else "lie"
        text = (
            f"{len(stray)} of {plural(len(dots), 'point')} at {many(noun)} {lie} outside every box; {found}."
        )
        return Check(ID, "look", text, (*(dot.seen() for dot in stray), *shown), run=known.run)
    which = "The point" if len(dots) == 1 else f"All {len(dots)} points"
    text = f"{which} at {many(noun)} {'lies' if len(dots) == 1 else 'lie'} in a box; {found}"
    counted = dots_of(spans_of(case, noun))  # those of "one" and "another" too
    pairs = zip(shown, boxes, strict=True)
    missed = [seen for seen, box in pairs if not any(_inside(dot, box) for dot in counted)]
    if missed and noun == case.counted:
        none = f"no point lies in {len(missed)} of its boxes"
        return Check(ID, "look", f"{text}, and {none}.", tuple(missed), run=known.run)
    return Check(ID, "fine", f"{text}.", tuple(shown), run=known.run)


def _inside(dot: Dot, box: wire.Box) -> bool:
    across = box.x_min - MARGIN <= dot.x <= box.x_max + MARGIN
    return across and box.y_min - MARGIN <= dot.y <= box.y_max + MARGIN
