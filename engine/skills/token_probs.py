"""Which token brought how much of a text, with the probability that the model gave it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from dreamscope.engine.results import Probs
from dreamscope.engine.skills.detokenize import Detokenizer


class TokenProbs:
    """The tokens of one text, handed out in step with it: a token follows the last of its code points.

    A token that ends inside a character added none of it; the one that completes it added it whole. What
    the tokens that were handed out added is never more than the text that was, and all of it in the end.
    Tokens that add nothing go with the next one that does, and are left out at the end.
    """

    def __init__(self, stream: Detokenizer) -> None:
        self._stream = stream
        self._waiting: list[tuple[int, float]] = []  # code points of the text up to and with the token
        self._taken: list[tuple[int, float]] = []
        self._covered = 0  # code points that the taken ones added

    @property
    def taken(self) -> Probs | None:
        """Everything handed out so far; `None` if nothing was."""
        return tuple(self._taken) or None

    def add(self, probability: float | None) -> None:
        """The probability of the token just pushed to the stream, if it has one."""
        if probability is not None:
            self._waiting.append((self._stream.decoded, probability))

    def take(self) -> Probs | None:
        """The tokens that what the stream has handed out newly completes; `None` if there are none."""
        if not self._waiting:
            return None
        ends = [end for end, _ in self._waiting]
        if self._stream.unfinished:
            ends.pop()  # the end of the text may still make half a character U+FFFD, and that is this token's
        else:
            ends[-1] = self._stream.decoded
        complete = bisect_right(ends, self._stream.handed_out)
        reached = ends[complete - 1] if complete else self._covered
        if reached == self._covered:
            return None
        ends = ends[: bisect_left(ends, reached) + 1]
        starts = [self._covered, *ends]
        ready = [
            (end - start, probability)
            for start, end, (_, probability) in zip(starts, ends, self._waiting, strict=False)
        ]
        del self._waiting[: len(ready)]
        self._covered = reached
        self._taken += ready
        return tuple(ready)
