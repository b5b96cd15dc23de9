"""What point and detect share: one decision whether there is another object, then its numbers.

Moondream 2 takes any id but end-of-sequence for another object, and stops after the last permitted one.
Moondream 3 chooses between the coordinate id and the end, and looks once more after the last one, so that it
can tell whether it was through.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokens import Coord, PromptItem, Size, Text, Token
from dreamscope.engine.skills.base import FinishReason, Outcome, SkillRequest, Step, StepKind

_NUMBERS: dict[StepKind, Step] = {"coord": Step("coord"), "size": Step("size")}


def another_place(ids: TokenizerConfig) -> Step:
    """Whether there is (another) place: the end says no, and any other id is followed by its x."""
    numbers = frozenset({ids.coord_id})
    if ids.rules.only_objects:
        return Step("text", allowed=numbers | {ids.eos_id}, numbers=numbers)
    return Step("text", numbers=numbers, folded=ids.coord_id)


class ObjectLoop(ABC):
    """Asks for objects until end-of-sequence or `max_objects`.

    The id that announces an object is never embedded. Subclasses say what an object is: they see its centre
    and, if `_sized`, its size.
    """

    _sized = False

    def __init__(self, request: SkillRequest, ids: TokenizerConfig, opening: Sequence[PromptItem]) -> None:
        self._eos = ids.eos_id
        self._looks_further = ids.rules.only_objects
        self._another = another_place(ids)
        self._opening = list(opening)
        self._max_objects = request.sampling.max_objects
        self._expect: StepKind = "text"
        self._centre: list[Coord] = []
        self._numbers = 0
        self._found_so_far = 0
        self._finish_reason: FinishReason | None = None

    @property
    def finish_reason(self) -> FinishReason | None:
        """`None` while objects are still wanted; "length" if `max_objects` ended the search."""
        return self._finish_reason

    @property
    def max_feed(self) -> int:
        """Two positions for a point, three for a box."""
        return self._max_objects * (3 if self._sized else 2)

    @property
    def output_tokens(self) -> int:
        """Coordinates and sizes decoded so far."""
        return self._numbers

    @property
    def reasoning_tokens(self) -> int:
        """The spatial skills do not reason."""
        return 0

    def opening(self) -> list[PromptItem]:
        """Template and object."""
        return list(self._opening)

    def step(self) -> Step:
        """Another object or not, then x, then y, then the size."""
        return self._another if self._expect == "text" else _NUMBERS[self._expect]

    def consume(self, token: Token) -> Outcome:
        """Apply one decision."""
        if isinstance(token, Text):
            if token.id == self._eos:
                return Outcome(self.close("stop"))
            if self._found_so_far == self._max_objects:
                return Outcome(self.close("length"))
            self._expect = "coord"
            return Outcome()
        self._numbers += 1
        if isinstance(token, Size):
            return self._complete(token)
        return self._add_axis(token)

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """End now; an object whose numbers are not complete is dropped."""
        if self._finish_reason is None:
            self._finish_reason = reason
        return ()

    def _add_axis(self, token: Coord) -> Outcome:
        self._centre.append(token)
        if len(self._centre) == 1:
            return Outcome((), (token,))
        if not self._sized:
            return self._complete(token)
        self._expect = "size"
        return Outcome(self._located(self._found_so_far, *self._centre), (token,))

    def _complete(self, last: Coord | Size) -> Outcome:
        x, y = self._centre
        events = self._found(self._found_so_far, x, y, last)
        self._found_so_far += 1
        self._centre = []
        self._expect = "text"
        if self._found_so_far == self._max_objects and not self._looks_further:
            return Outcome(events + self.close("length"))
        return Outcome(events, (last,))

    @abstractmethod
    def _located(self, index: int, x: Coord, y: Coord) -> tuple[wire.RequestEvent, ...]:
        """Object `index` is here and its size will follow."""

    @abstractmethod
    def _found(self, index: int, x: Coord, y: Coord, last: Coord | Size) -> tuple[wire.RequestEvent, ...]:
        """Object `index` is complete; `last` is its y coordinate or its size."""
