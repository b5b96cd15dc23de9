"""The number an answer gives against the last one in the reasoning, for questions that ask how many."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check
from dreamscope.visualizers.audit.nouns import plural as many
from dreamscope.visualizers.audit.numbers import agree, answered, counts_of, last_firm

ID = "answer-reasoning"


def check(case: Case) -> Iterator[Check]:
    """One check, if both name a number of what was counted; other numbers, such as years, do not count."""
    noun = case.counted
    if noun is None or case.reasoning is None:
        return
    number, said = answered(case.answer, noun), counts_of(case.reasoning.text, noun)
    if number is None or not said:
        return
    last = last_firm(said)
    right = last.value == number if last.total else agree(number, said)
    words = case.words("reasoning", last.start, last.end)
    text = f"The answer says {number}; the last number of {many(noun)} in the reasoning is {last.value}."
    evidence = (case.words("answer", 0, len(case.answer)), words)
    yield Check(ID, "fine" if right else "look", text, evidence)
