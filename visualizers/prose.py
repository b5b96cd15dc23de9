"""Text of the model as safe HTML, and the probabilities of its tokens where they are known.

A token that adds no character of its own (it ends inside one) belongs to the characters that come after it:
these were written with the product of the probabilities. White space at the beginning of a token stays
outside of its span, as words are often shown up to the space that the next token begins with.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator

from dreamscope.engine.wire import Probs
from dreamscope.visualizers import words
from dreamscope.visualizers.escape import escape


class Prose:
    """Text that grows, and its tokens, which may come later than their first characters."""

    def __init__(self, text: str = "", probs: Probs | None = None) -> None:
        self.text = ""
        self._probs: list[tuple[int, float]] | None = []
        self._ends: list[int] = []  # where the tokens with characters end
        self._chances: list[float] = []
        self._carried = 1.0
        self.add(text, probs)

    @property
    def probs(self) -> Probs | None:
        """What the result calls so: code points and probability of each token."""
        return tuple(self._probs) if self._probs else None

    @property
    def covered(self) -> int:
        """How many code points the tokens make up."""
        return self._ends[-1] if self._ends else 0

    def add(self, delta: str, probs: Probs | None) -> None:
        """Append `delta`, and the tokens that are known with it. If they make up more than the text or are
        no probabilities, none is known any more.
        """
        self.text += delta
        if self._probs is None or not probs:
            return
        if not all(map(_sound, probs)) or self.covered + sum(count for count, _ in probs) > len(self.text):
            self._probs, self._ends = None, []
            return
        self._probs += probs
        for count, chance in probs:
            self._carried *= chance
            if count:
                self._ends.append(self.covered + count)
                self._chances.append(self._carried)
                self._carried = 1.0

    def divides(self, at: int) -> bool:
        """Whether code point `at` lies within a token, so that text written in two parts there differs."""
        nth = bisect_right(self._ends, at)
        return nth < len(self._ends) and (self._ends[nth - 1] if nth else 0) < at

    def html(self, start: int = 0, end: int | None = None) -> str:
        """The code points `start` to `end`; a `span.tok` for every token that has words in them."""
        return "".join(self._pieces(start, len(self.text) if end is None else end))

    def _pieces(self, start: int, end: int) -> Iterator[str]:
        nth = bisect_right(self._ends, start)
        while start < end and nth < len(self._ends):
            first, stop = self._ends[nth - 1] if nth else 0, self._ends[nth]
            token = self.text[first:stop]
            inside = min(max(stop - len(token.lstrip()), start), end)
            stop = min(stop, end)
            yield escape(self.text[start:inside])
            if inside < stop:
                yield _token(self.text[inside:stop], self._chances[nth])
            start, nth = stop, nth + 1
        yield escape(self.text[start:end])


def _token(text: str, chance: float) -> str:
    title = escape(words.probability(chance))
    return f'<span class="tok" style="--p:{chance:.3f}" title="{title}">{escape(text)}</span>'


def _sound(pair: tuple[int, float]) -> bool:
    count, chance = pair
    return count >= 0 and math.isfinite(chance) and 0 <= chance <= 1.001
