"""What a caption names in a number ("a dog", "two cats") against what detect finds of it.

Things are taken only from an article or a number and the words up to the next boundary, so that what is not
plainly a thing ("a sunny day", "a variety of"), or says where the things are ("on a meadow"), is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from dreamscope.engine import wire
from dreamscope.visualizers.audit.case import Case, Found, seen_box
from dreamscope.visualizers.audit.check import Check, listed, plural
from dreamscope.visualizers.audit.nouns import BREAKS, GENERIC, PRONOUNS, singular, word_set
from dreamscope.visualizers.audit.nouns import plural as many
from dreamscope.visualizers.audit.numbers import WORDS, value_of

ID = "caption-detect"
MOST_NOUNS = 8
_NUMBERS = "|".join(sorted(WORDS, key=len, reverse=True))
_NAMED = re.compile(
    r"(?P<where>\b(?:on|in|at|against|across|through|over|under)\s+)?"
    rf"\b(?P<number>an?|{_NUMBERS}|\d{{1,2}})"
    r"(?=(?P<words>(?: +[a-z][a-z'’-]*){1,4}))",
    re.IGNORECASE,
)
_WORD = re.compile(r"\S+")
_NO_THINGS = word_set(
    "image picture photo photograph drawing scene view shot background foreground setting backdrop day night "
    "sky time moment variety lot number group pair couple bunch row line set piece bit part side front back "
    "left right top bottom middle center centre distance way shade kind type style mix series feeling sense"
)
_ENDS_IN_ING = word_set("building ring king wing swing string ceiling painting railing awning clothing")
_ENDS_IN_ED = word_set("red bed shed sled seed weed")


@dataclass(frozen=True, slots=True)
class Named:
    """A thing that a caption names: how many of it, and where that is said."""

    noun: str
    value: int
    start: int
    end: int


def nouns(case: Case) -> tuple[str, ...]:
    """The nouns that detect would have to be run for, in text order."""
    if not isinstance(case.result, wire.CaptionResult) or case.picture is None:
        return ()
    return tuple(dict.fromkeys(one.noun for one in named(case.answer)))[:MOST_NOUNS]


def named(caption: str) -> Iterator[Named]:
    """The things that `caption` names with an article or a number."""
    for found in _NAMED.finditer(caption):
        if found["where"]:
            continue
        value, words = value_of(found["number"]), list(_WORD.finditer(caption, *found.span("words")))
        phrase = _phrase([word[0].lower() for word in words], one=value == 1)
        noun = singular(phrase[-1]) if phrase else ""
        if noun and value and noun not in _NO_THINGS | GENERIC | PRONOUNS and not noun.endswith("ly"):
            yield Named(noun, value, found.start("number"), words[len(phrase) - 1].end())


def check(case: Case) -> Iterator[Check]:
    """One check for each noun that detect was run for, and one for all it was not run for."""
    wanted = nouns(case)
    for noun in wanted:
        if noun in case.found:
            yield _compared(case, noun, case.found[noun])
    missing = [noun for noun in wanted if noun not in case.found]
    if missing:
        seen = [case.words("answer", one.start, one.end) for one in named(case.answer) if one.noun in missing]
        said = listed(list(dict.fromkeys(f"“{one.label}”" for one in seen)))
        text = f"Whether the image shows what the caption names ({said}) is not known: run detect to check."
        yield Check(ID, "unknown", text, tuple(seen))


def _compared(case: Case, noun: str, known: Found) -> Check:
    said = [one for one in named(case.answer) if one.noun == noun]
    seen = [case.words("answer", one.start, one.end) for one in said]
    firm, count = [one.value for one in said if one.value > 1], len(known.boxes)
    # "A dog" may well be said of one dog among others, and each of several may be named by itself.
    right = count in (*firm, sum(firm), sum(one.value for one in said)) if firm else count > 0
    words = listed(list(dict.fromkeys(f"“{one.label}”" for one in seen)))
    text = f"The caption says {words}; detect finds {plural(count, noun, many(noun))}."
    boxes = (seen_box(noun, nth, box) for nth, box in enumerate(known.boxes))
    return Check(ID, "fine" if right else "look", text, (*seen, *boxes), run=known.run)


def _phrase(words: list[str], one: bool) -> list[str]:
    """The words of a phrase up to its noun; nothing if no noun is plain."""
    phrase = list(takewhile(lambda word: word not in BREAKS, words))
    if one:  # after "a", what looks like a plural is a verb: "a dog sits"
        return list(takewhile(lambda word: singular(word) == word and not _participle(word), phrase))
    last = next((nth for nth in reversed(range(len(phrase))) if singular(phrase[nth]) != phrase[nth]), -1)
    return phrase[: last + 1]


def _participle(word: str) -> bool:
    return (word.endswith("ing") and word not in _ENDS_IN_ING) or (
        word.endswith("ed") and word not in _ENDS_IN_ED
    )
