"""A sentence that is written twice word for word: what a model does that goes round in circles."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check

ID = "repeats"
SHORTEST = 3
"""Sentences of fewer words, such as "Yes.", may well come twice."""


def check(case: Case) -> Iterator[Check]:
    """One check, for captions of more than one sentence."""
    if not isinstance(case.result, wire.CaptionResult):
        return
    said = [(found[0].strip(), found) for found in re.finditer(r"[^.!?]+[.!?]*", case.answer)]
    said = [(text, found) for text, found in said if len(text.split()) >= SHORTEST]
    counted = Counter(text.lower() for text, _ in said)
    again = [found for text, found in said if counted[text.lower()] > 1]
    if again:
        twice = sum(times > 1 for times in counted.values())
        wrote = "1 sentence is" if twice == 1 else f"{twice} sentences are"
        text = f"{wrote} written more than once, word for word."
        yield Check(ID, "look", text, tuple(case.words("answer", *found.span()) for found in again))
    elif len(said) > 1:
        yield Check(ID, "fine", f"None of the {len(said)} sentences is written twice.")
