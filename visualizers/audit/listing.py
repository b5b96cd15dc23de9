"""An answer that lists what there is ("Two dogs and a cat.") against the points of the reasoning."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check, Evidence, listed, plural
from dreamscope.visualizers.audit.nouns import plural as many
from dreamscope.visualizers.audit.numbers import enumerated
from dreamscope.visualizers.audit.pointed import dots_of, fits, spans_of

ID = "list-points"


def check(case: Case) -> Iterator[Check]:
    """One check, if the answer is such a list and the reasoning pointed at anything."""
    said = enumerated(case.answer)
    if not said or not case.spans or case.counted is not None:
        return
    wrong, evidence = [], list[Evidence]()
    for one in said:
        noun = one.nouns[0]
        spans = tuple(span for span in spans_of(case, noun) if span.noun == noun)
        if not fits(one.value, spans):
            wrong.append(f"“{one.text}” against {plural(len(dots_of(spans)), 'point')}")
            evidence += [case.words("answer", one.start, one.end), *(span.seen() for span in spans)]
    named = {one.nouns[0] for one in said}
    unnamed = [span for span in case.spans if span.noun and span.noun not in named and not span.again]
    if unnamed and len(said) + len(unnamed) > 1 and _asks_for_all(case):
        wrong.append(
            f"points at {listed(sorted({many(span.noun) for span in unnamed}))} that it does not name"
        )
        evidence += [span.seen() for span in unnamed]
    if wrong:
        yield Check(
            ID,
            "look",
            f"What the answer lists and what the reasoning points at differ: {listed(wrong)}.",
            tuple(evidence),
        )
    else:
        text = (
            f"The answer lists {listed([one.text for one in said])}; the reasoning points at as many of each."
        )
        yield Check(ID, "fine", text, (case.words("answer", 0, len(case.answer)),))


def _asks_for_all(case: Case) -> bool:
    """Whether the question is for everything of a kind, so that leaving one out matters."""
    words = case.question.lower().split()
    return words[:1] in (["what"], ["which"]) and any(
        word in words for word in ("are", "see", "objects", "things")
    )
