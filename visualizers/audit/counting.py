"""The number an answer gives against the points that the reasoning made of what was counted."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check, Verdict, plural
from dreamscope.visualizers.audit.nearness import distinct
from dreamscope.visualizers.audit.nouns import plural as many
from dreamscope.visualizers.audit.numbers import answered
from dreamscope.visualizers.audit.pointed import dots_of, fits, spans_of

ID = "count-points"


def check(case: Case) -> Iterator[Check]:
    """One check, for questions that ask for a number."""
    noun = case.counted
    if noun is None or not case.answer:
        return
    number = answered(case.answer, noun)
    if number is None:
        text = f"The question asks for a number of {many(noun)}; the answer gives none that is clear."
        yield Check(ID, "unknown", text, (case.words("answer", 0, len(case.answer)),))
        return
    said = f"The answer says {number}"
    if case.reasoning is None:
        yield Check(ID, "unknown", f"{said}; without reasoning there are no points to compare it with.")
        return
    spans = spans_of(case, noun)
    dots = dots_of(spans)
    made = f"the reasoning makes {plural(len(dots), 'point')} at {many(noun)}"
    if len(distinct(dots)) != len(dots):
        made += f" ({plural(len(distinct(dots)), 'place')})"
    verdict: Verdict = "fine" if fits(number, spans) else "look"
    others = len(case.dots) - len(dots)
    if others and verdict == "look":
        made += f" and {others} at something else"
    answer = case.words("answer", 0, len(case.answer))
    yield Check(ID, verdict, f"{said}; {made}.", (answer, *(span.seen() for span in spans)))
