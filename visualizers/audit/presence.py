"""A yes or no to "is there a ..." against whether the reasoning points at one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check, plural
from dreamscope.visualizers.audit.nouns import noun_of, word_set
from dreamscope.visualizers.audit.nouns import plural as many
from dreamscope.visualizers.audit.numbers import counts
from dreamscope.visualizers.audit.pointed import dots_of, spans_of

ID = "yes-no"
_PICTURE = r"(?:the|this) (?:image|picture|photo|scene)"
_PRESENCE = re.compile(
    rf"\W*(?:is there|are there|(?:do|can) (?:you|we) see|does {_PICTURE} (?:show|contain|have))"
    rf"\s+(?:an?\b|any\b|some\b)?\s*(?P<what>[\w' -]+?)(?:\s+(?:in|on) {_PICTURE})?(?:\s+here)?\s*\?\s*",
    re.IGNORECASE,
)
_NARROWED = word_set(
    "in on at by with near beside behind under above below over between next left inside outside that which "
    "who more fewer less than wearing holding sitting standing of from"
)
_REPLY = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


def check(case: Case) -> Iterator[Check]:
    """One check, for plain questions of presence that are answered with yes or no."""
    noun, reply = asked_presence(case.question), _REPLY.match(case.answer)
    if noun is None or reply is None or case.reasoning is None:
        return
    said, spans = reply[1].capitalize(), spans_of(case, noun)
    dots = dots_of(spans)
    right = bool(dots) == (said == "Yes")
    text = f"The answer is {said}; the reasoning makes {plural(len(dots), 'point')} at {many(noun)}."
    evidence = (case.words("answer", 0, len(case.answer)), *(span.seen() for span in spans))
    yield Check(ID, "fine" if right else "look", text, evidence)


def asked_presence(question: str) -> str | None:
    """What a question asks the presence of, singular; `None` for a question of anything else, also of things
    in a certain place or number, which may be pointed at although the answer is no.
    """
    found = _PRESENCE.fullmatch(question)
    if found is None or list(counts(question)) or _NARROWED & set(found["what"].lower().split()):
        return None
    return noun_of(found["what"]) or None
