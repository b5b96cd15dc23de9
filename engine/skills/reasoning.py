"""Grounded reasoning: text in which marked spans carry coordinates, streamed while the model writes it.

The markers `start_ground_points_id` and `end_ground_id` cut the text into chunks. A chunk with at least one
complete pair of coordinates is a grounded span; so is, by the rule of the checkpoint's own code, a chunk
that no start marker opened but in which coordinates appeared. Offsets are counted on the text as it was
handed out, so they cannot disagree with the deltas.
"""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, PromptItem, Text, Token
from dreamscope.engine.skills.base import UNADDRESSED, Budget, Outcome, Step, number_steps
from dreamscope.engine.skills.detokenize import Detokenizer, code_point_cut
from dreamscope.engine.skills.spread import place_spread
from dreamscope.engine.skills.token_probs import TokenProbs


class ReasoningLoop:
    """Consumes reasoning tokens up to the answer marker, which is not fed.

    The index of a span event is the place its span has, or would have, in the final grounding list: a span
    that closes without points is dropped and its index is used again.
    """

    def __init__(self, ids: TokenizerConfig, tokenizer: Tokenizer, budget: Budget) -> None:
        self._ids = ids
        numbers = number_steps(ids)
        self._numbers = numbers if ids.rules.numbers_anywhere else {ids.coord_id: numbers[ids.coord_id]}
        self._first = Step("text", numbers=frozenset(self._numbers))
        suppressed = frozenset({ids.eos_id, ids.size_id} if ids.rules.masks_control_ids else ())
        self._later = Step("text", suppressed, numbers=frozenset(self._numbers))
        self._budget = budget
        self._stream = Detokenizer(tokenizer.decode, code_point_cut)
        self._probs = TokenProbs(self._stream)
        self._pieces: list[str] = []
        self._length = 0  # code points handed out
        self._unreported = 0
        self._grounding: list[wire.Ground] = []
        self._start = 0  # of the current chunk
        self._open = False  # whether the current chunk was announced as a span
        self._points: list[tuple[float, float]] = []
        self._spreads: list[wire.PlaceSpread] = []  # of the points, or none at all
        self._x: Coord | None = None  # first half of a pair
        self._number: Step | None = None  # the value that the last id announced
        self.tokens = 0
        self.done = False
        self.ended = False
        """Whether the reasoning stopped with end-of-sequence, so that no answer follows."""

    @property
    def reasoning(self) -> wire.Reasoning:
        """Text and closed spans so far."""
        return wire.Reasoning("".join(self._pieces), tuple(self._grounding), self._probs.taken)

    def step(self) -> Step:
        """The value of a number, or text. The published loop masks nothing in its first decision."""
        if self._number is not None:
            return self._number
        return self._later if self.tokens else self._first

    def consume(self, token: Token) -> Outcome:
        """Apply a text token, or the value that the last one announced. A size says nothing here."""
        if not isinstance(token, Text):
            self._number = None
            return self._advance(self._add_coord(token) if isinstance(token, Coord) else (), token)
        if token.id == self._ids.answer_id:
            if self._ids.rules.counts_answer_marker:
                self._budget.take()
            return Outcome(self.close())
        if token.id == self._ids.eos_id and not self._ids.rules.masks_control_ids:
            self.ended = True
            return Outcome(self.close())
        self.tokens += 1
        self._unreported += 1
        self._number = self._numbers.get(token.id)
        if self._number is not None:
            return Outcome()
        if token.id in (self._ids.start_ground_points_id, self._ids.end_ground_id):
            events = self._end_chunk()
            if token.id == self._ids.start_ground_points_id:
                events += self._open_span()
        else:
            piece = self._stream.push(token.id)
            self._probs.add(token.probability)
            events = self._emit(piece)
        return self._advance(events, token.id)

    def close(self) -> tuple[wire.RequestEvent, ...]:
        """End the reasoning: the held-back text, the open span, and the whole as `ReasoningDone`."""
        if self.done:
            return ()
        self.done = True
        events = self._end_chunk()
        whole = self.reasoning
        done = wire.ReasoningDone(
            request_id=UNADDRESSED, text=whole.text, grounding=whole.grounding, probs=whole.probs
        )
        return (*events, done)

    def _advance(self, events: tuple[wire.RequestEvent, ...], item: PromptItem) -> Outcome:
        if self._budget.take():
            events += self.close()
        return Outcome(events, (item,))

    def _emit(self, piece: str) -> tuple[wire.RequestEvent, ...]:
        if not piece:
            return ()
        self._pieces.append(piece)
        self._length += len(piece)
        count, self._unreported = self._unreported, 0
        probs = self._probs.take()
        return (wire.ReasoningDelta(request_id=UNADDRESSED, delta=piece, n=count, probs=probs),)

    def _open_span(self) -> tuple[wire.RequestEvent, ...]:
        self._open = True
        return (wire.SpanOpen(request_id=UNADDRESSED, index=len(self._grounding), start=self._start),)

    def _add_coord(self, coord: Coord) -> tuple[wire.RequestEvent, ...]:
        if self._x is None:
            self._x = coord
            return ()
        x, y, spread = self._x.value, coord.value, place_spread(self._x, coord)
        self._x = None
        events = () if self._open else self._open_span()
        self._points.append((x, y))
        if spread is not None:
            self._spreads.append(spread)
        index = len(self._grounding)
        return (*events, wire.SpanPoint(request_id=UNADDRESSED, index=index, x=x, y=y, spread=spread))

    def _end_chunk(self) -> tuple[wire.RequestEvent, ...]:
        """Close the current chunk and begin the next one; an odd last coordinate is dropped."""
        events = self._emit(self._stream.flush())
        points, spreads = tuple(self._points), tuple(self._spreads) or None
        if self._open:
            index, end = len(self._grounding), self._length
            closed = wire.SpanClose(
                request_id=UNADDRESSED, index=index, end=end, points=points, spreads=spreads
            )
            events += (closed,)
        if points:
            self._grounding.append(wire.Ground(self._start, self._length, points, spreads))
        self._start = self._length
        self._open = False
        self._points = []
        self._spreads = []
        self._x = None
        return events
