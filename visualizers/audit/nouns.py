"""The noun of a few English words: "a brown dog 2" speaks of a dog. Simple rules, no dictionary.

Where they fail, a check has nothing to compare and says nothing, or says that it does not know.
"""

from __future__ import annotations

import re

_IRREGULAR = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse",
    "geese": "goose", "feet": "foot", "teeth": "tooth", "oxen": "ox", "wolves": "wolf", "knives": "knife",
    "leaves": "leaf",
    "loaves": "loaf", "shelves": "shelf", "calves": "calf", "halves": "half", "scarves": "scarf",
    "wives": "wife", "lives": "life", "lenses": "lens", "gases": "gas", "cacti": "cactus", "movies": "movie",
    "cookies": "cookie", "ties": "tie", "pies": "pie", "zombies": "zombie", "selfies": "selfie",
    "tomatoes": "tomato", "potatoes": "potato", "shoes": "shoe", "toes": "toe", "canoes": "canoe",
}  # fmt: skip


def word_set(text: str) -> frozenset[str]:
    """The words of `text` as a set."""
    return frozenset(text.split())


_ONE_FORM = word_set("fish sheep deer aircraft species series moose bison")
_SINGULAR = word_set("bus glass gas lens")
_ARTICLES = word_set(
    "a an the this that these those some any all every each another other its their his her my your our"
)
_AFTER_NOUN = word_set(
    "in on at by with from to near beside behind under above below over between next left inside outside "
    "across along against around among that which who whose wearing holding sitting standing is are was were "
    "and or but of for into onto towards toward up down off"
)
BREAKS = _ARTICLES | _AFTER_NOUN
"""Words at which a phrase with a noun ends."""
_GROUPS = word_set("group pair row line number couple bunch flock herd pile set stack crowd lot team cluster")
PRONOUNS = word_set(
    "it they them this that these those one ones another other others he she him her here there first second "
    "third fourth fifth sixth last left right middle center centre top bottom"
)
"""Words that stand for a noun named before, so that a span of them may speak of any."""
GENERIC = word_set("object thing item element animal creature vehicle fruit food shape toy total")
"""Nouns for things of many names."""
_PEOPLE = word_set(
    "person man woman boy girl child kid baby adult player human lady guy individual pedestrian"
)


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case, without punctuation."""
    return [word.strip("'’-") for word in re.findall(r"[\w'’-]+", text.lower()) if word.strip("'’-")]


def noun_of(text: str) -> str:
    """The noun of a short phrase, singular; empty if it has none."""
    words = [word for word in words_of(text) if not word.isdigit()]
    while words and words[0] in _ARTICLES and len(words) > 1:
        words = words[1:]
    if len(words) > 2 and singular(words[0]) in _GROUPS and words[1] == "of":
        return noun_of(" ".join(words[2:]))
    end = next((nth for nth, word in enumerate(words) if nth and word in _AFTER_NOUN), len(words))
    return singular(words[end - 1]) if words[:end] else ""


def singular(word: str) -> str:
    """The singular of one word in lower case, as far as its ending tells."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if (
        word in _ONE_FORM | _SINGULAR
        or len(word) < 4
        or word.endswith(("ss", "us", "is"))
        or not word.endswith("s")
    ):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("xes", "ches", "shes", "sses", "zzes")):
        return word[:-2]
    if word.endswith("uses") and not word.endswith("ouses"):
        return word[:-2]
    return word[:-3] + "o" if word.endswith("oes") else word[:-1]


def plural(noun: str) -> str:
    """The plural of a singular noun, for sentences."""
    known = {one: many for many, one in _IRREGULAR.items()}
    if noun in known or noun in _ONE_FORM:
        return known.get(noun, noun)
    if noun.endswith(("s", "x", "ch", "sh", "z")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def speaks_of(named: str, asked: str) -> bool:
    """Whether a span with the noun `named` may speak of what `asked` asks for."""
    if named == asked or not named or named in PRONOUNS or asked in GENERIC:
        return True
    return asked in ("person", "human", "individual") and named in _PEOPLE
