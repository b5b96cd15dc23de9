"""Numbers that say how many, in English text: "two dogs", "there are 3", "no cats".

Deliberately narrow: a number is taken only where it is said of a noun or where the words before it announce
a total. Years, times, prices, house numbers, ordinals and labels ("dog 2") are left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from dreamscope.visualizers.audit.nouns import BREAKS, noun_of, singular, word_set

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
WORDS = {word: value for value, word in enumerate(_ONES.split())}
_NUMBER = rf"(?:{'|'.join(sorted(WORDS, key=len, reverse=True))}|no|\d{{1,3}})"
_FREE = re.compile(rf"(?<![\w.,:/#$€£+'’-])({_NUMBER})(?![\w%°'’]|[.,:/+]\w|-\w)", re.IGNORECASE)
"""A number that is no part of a longer one, a time, a price or a compound word."""
_FOLLOWING = re.compile(r"(?: +[A-Za-z][A-Za-z'’-]*){1,4}")
_ANNOUNCED = re.compile(
    r"\b(?:there(?: is| are| was| were|'s|’s)|(?:that |which )?makes|totals?(?: of| is|:)?|in total,?"
    r"|in all,?|altogether,?|count(?: is|:)|number(?: of [\w' -]{1,30})? is|answer(?: is|:)|equals|=|so"
    r"|i (?:can )?count)(?: only| exactly| just| a total of)?\s+$",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"[\s\"'“”*]*(none|nothing|{_NUMBER})[\s\"'“”*.!]*", re.IGNORECASE)
_ITEM = re.compile(rf"(an?|{_NUMBER})((?:\s+[a-z][a-z'’-]*){{1,3}})", re.IGNORECASE)
_COUNTING = re.compile(
    r"\W*(?:(?:and|so|then|please|now|exactly) )*(?:how many|count(?: all| up)?(?: the)?"
    r"|(?:what(?: is|'s|’s)|tell me|give me|say) the (?:total )?(?:number|count) of)\b(?P<what>[^?.!,]*)",
    re.IGNORECASE,
)
_ENDS_NOUN = word_set(
    "is are was were am do does did can could will would has have had you i we they there it that which who "
    "visible present shown in on at of"
)
_COUNT_FIELDS = ("count", "number", "total", "answer")


@dataclass(frozen=True, slots=True)
class Count:
    """A number that says how many. `nouns` are the words after it, singular; `total` if it was announced;
    `weak` if it may as well only introduce something.
    """

    value: int
    nouns: tuple[str, ...]
    start: int
    end: int
    text: str
    total: bool = False
    weak: bool = False


def value_of(word: str) -> int:
    """The value of a number word, an article or digits; of "no", "none" and "nothing" it is 0."""
    word = word.lower()
    if word in ("no", "none", "nothing"):
        return 0
    return 1 if word in ("a", "an") else WORDS[word] if word in WORDS else int(word)


def counts(text: str) -> Iterator[Count]:
    """The numbers in `text` that are said of something or announced, but for those of some ("two of them").

    "One" is weak without an announcement, since it introduces as often as it counts.
    """
    for found in _FREE.finditer(text):
        value, following = value_of(found[1]), _FOLLOWING.match(text, found.end())
        words = following.group().lower().split() if following else []
        nouns = tuple(singular(word) for word in takewhile(lambda word: word not in BREAKS, words))
        total = bool(_ANNOUNCED.search(text[max(0, found.start() - 60) : found.start()]))
        some = words[:1] in (["of"], ["more"], ["other"]) or (not nouns and found[1].lower() == "no")
        if not some and (total or nouns):
            end = found.end() + (len(following.group()) if following else 0)
            yield Count(value, nouns, found.start(), end, found[1], total, value == 1 and not total)


def counts_of(text: str, noun: str) -> list[Count]:
    """The numbers in `text` said of `noun`; without any, those announced as a total of no other noun.

    Nothing if all of them are weak.
    """
    known = list(counts(text))
    said = [one for one in known if noun in one.nouns] or [
        one for one in known if one.total and not one.nouns
    ]
    return said if any(not one.weak for one in said) else []


def agree(value: int, said: Sequence[Count]) -> bool:
    """Whether `value` is one of the numbers said, or their sum: parts are counted on the way to a whole."""
    firm = [one.value for one in said if not one.weak]
    return value in firm or value in (sum(firm), sum(one.value for one in said))


def last_firm(said: Sequence[Count]) -> Count:
    """The last number that is not weak; there is one in what `counts_of` gives."""
    return next(one for one in reversed(said) if not one.weak)


def answered(answer: str, noun: str) -> int | None:
    """The number that an answer to "how many" gives; `None` if it gives none that is clear."""
    alone = _ALONE.fullmatch(answer)
    if alone:
        return value_of(alone[1])
    structured = _from_json(answer)
    if structured is not None:
        return structured
    firm = [one for one in counts_of(answer, noun) if not one.weak]
    return firm[0].value if firm else None


def counted_noun(question: str) -> str | None:
    """What a question asks the number of, singular; `None` if it asks for no number."""
    found = _COUNTING.match(question)
    if found is None:
        return None
    words = found["what"].split()
    end = next((nth for nth, word in enumerate(words) if nth and word.lower() in _ENDS_NOUN), len(words))
    return noun_of(" ".join(words[:end])) or None


def enumerated(answer: str) -> list[Count]:
    """An answer that only lists what there is: "Two dogs, a red car and a cat."; of any other, nothing."""
    text = answer.strip().rstrip(".")
    out, at = [], 0
    for separator in re.finditer(r",? and |, |$", text):
        item = _ITEM.fullmatch(text, at, separator.start())
        if item is None:
            return []
        nouns = (noun_of(item[2]),)
        out.append(Count(value_of(item[1]), nouns, item.start(), item.end(), item.group()))
        at = separator.end()
    return out


def _from_json(answer: str) -> int | None:
    try:
        data = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if isinstance(data, dict):
        data = next((data[name] for name in _COUNT_FIELDS if name in data), None)
    return data if isinstance(data, int) and not isinstance(data, bool) else None
