"""Which words two texts share, and which only one of them has.

Words and punctuation are compared as they are; white space is not. The words in common are a longest common
subsequence, found with one large integer per row (a bit per word of the first text), so texts of thousands of
words take a fraction of a second. Beyond `LIMIT` the texts stand as wholly different, which is said.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dreamscope.engine.wire import Ground
from dreamscope.visualizers import compare_words
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.spans import end_tag, start_tag
from dreamscope.visualizers.words import ground_name

LIMIT = 50_000_000
"""Words of one text times words of the other that are still compared."""
_WORD = re.compile(r"\w+(?:['’.-]\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Words in a row: `kept` in both, `removed` (only in the first) or `added` (only in the second).

    `text` is as in the second text, or in the first if it was removed; white space before the words is part
    of it.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class WordDiff:
    """`shared` is the share of words in common, 2 x common / (words of both); 1 if both are empty."""

    stretches: tuple[Stretch, ...]
    shared: float
    too_long: bool = False

    @property
    def same(self) -> bool:
        """Whether both texts say the same words."""
        return all(stretch.kind == "kept" for stretch in self.stretches)


def diff(first: str, second: str) -> WordDiff:
    """From the first text to the second."""
    before, after = _tokens(first), _tokens(second)
    a, b = [word for _, word in before], [word for _, word in after]
    if too_long := len(a) * len(b) > LIMIT and a != b:
        common: list[tuple[int, int]] = []
    else:
        common = common_words(a, b)
    total = len(a) + len(b)
    stretches = tuple(_joined(_stretches(before, after, common)))
    return WordDiff(stretches, 2 * len(common) / total if total else 1.0, too_long)


def diff_html(found: WordDiff, grounding: Sequence[Ground] = ()) -> str:
    """One paragraph: words of the second text, `ins` what only it says, `del` what only the first said.

    `grounding` are the spans of the second text, which keep their underline, number and `data-ground`.
    """
    if found.same:
        return f'<p class="diff same">{escape(compare_words.SAME_WORDS)}</p>'
    note = f'<p class="diff-note">{escape(compare_words.DIFF_TOO_LONG)}</p>' if found.too_long else ""
    opens, closes = _tags(found, grounding)
    body, last, at = "", None, 0
    for stretch in _cut(found.stretches, sorted({*opens, *closes})):
        # Words that follow removed ones directly were first in their text, and had no space before them.
        body += " " if last == "removed" and stretch.text[:1].isalnum() else ""
        if stretch.kind != "removed":
            body += opens.get(at, "")
            at += len(stretch.text)
        body, last = body + _stretch_html(stretch), stretch.kind
        if stretch.kind != "removed":
            body += closes.get(at, "")
    return f'{note}<p class="diff">{body.lstrip()}</p>'


def _tags(found: WordDiff, grounding: Sequence[Ground]) -> tuple[dict[int, str], dict[int, str]]:
    """Where in the second text spans begin and end, with their markup; one that holds no word is left out."""
    text = "".join(stretch.text for stretch in found.stretches if stretch.kind != "removed")
    opens, closes = {}, {}
    end = 0
    for index, ground in enumerate(grounding):
        first = max(ground.start_idx, end)
        words = text[first : ground.end_idx]
        inner = words.strip()
        if inner:
            start = first + len(words) - len(words.lstrip())
            end = start + len(inner)
            opens[start] = start_tag("", index, ground_name(inner, index + 1, len(ground.points)))
            closes[end] = end_tag(inner, index + 1)
    return opens, closes


def _cut(stretches: Sequence[Stretch], places: Sequence[int]) -> Iterator[Stretch]:
    """The same, with the second text in pieces that end at `places`."""
    at = 0
    for stretch in stretches:
        if stretch.kind == "removed":
            yield stretch
            continue
        end = at + len(stretch.text)
        cuts = [at, *(place for place in places if at < place < end), end]
        for first, last in pairwise(cuts):
            yield Stretch(stretch.kind, stretch.text[first - at : last - at])
        at = end


def common_words(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    """A longest common subsequence as pairs of indices, ascending in both."""
    if list(first) == list(second):
        return [(index, index) for index in range(len(first))]
    rows = _rows(first, second)
    pairs, i, j = [], len(first), len(second)
    while i and j:
        if first[i - 1] == second[j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif rows[j] >> (i - 1) & 1:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def _rows(first: Sequence[str], second: Sequence[str]) -> list[int]:
    """Row j: bit i is 0 where word i of `first` lengthens what is common with j words of `second`."""
    places: dict[str, int] = defaultdict(int)
    for index, word in enumerate(first):
        places[word] |= 1 << index
    full = (1 << len(first)) - 1
    rows = [full]
    for word in second:
        row = rows[-1]
        met = row & places.get(word, 0)
        rows.append((row + met | row - met) & full)
    return rows


def _tokens(text: str) -> list[tuple[str, str]]:
    """The white space before each word or sign, and the word."""
    found = list(_WORD.finditer(text))
    ends = [0, *(match.end() for match in found)]
    return [(text[end : match.start()], match[0]) for match, end in zip(found, ends, strict=False)]


def _stretches(
    before: list[tuple[str, str]], after: list[tuple[str, str]], common: list[tuple[int, int]]
) -> Iterator[Stretch]:
    i = j = 0
    for to_i, to_j in [*common, (len(before), len(after))]:
        if to_i > i:
            yield Stretch("removed", _text(before[i:to_i]))
        if to_j > j:
            yield Stretch("added", _text(after[j:to_j]))
        if to_j < len(after) and to_i < len(before):
            yield Stretch("kept", _text(after[to_j : to_j + 1]))
        i, j = to_i + 1, to_j + 1


def _joined(stretches: Iterator[Stretch]) -> Iterator[Stretch]:
    """Neighbours of one kind as one."""
    last: Stretch | None = None
    for stretch in stretches:
        if last is not None and last.kind == stretch.kind:
            last = Stretch(last.kind, last.text + stretch.text)
            continue
        if last is not None:
            yield last
        last = stretch
    if last is not None:
        yield last


def _text(tokens: Sequence[tuple[str, str]]) -> str:
    return "".join(space + word for space, word in tokens)


def _stretch_html(stretch: Stretch) -> str:
    """The words of a stretch, marked, and the white space before them, which is not."""
    text = stretch.text.lstrip()
    space = stretch.text[: len(stretch.text) - len(text)]
    tag = {"removed": "del", "added": "ins"}.get(stretch.kind)
    marked = f"<{tag}>{escape(text)}</{tag}>" if tag else escape(text)
    return f"{escape(space)}{marked}"
