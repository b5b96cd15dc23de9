"""The answer loop that query and caption share: text up to end-of-sequence, streamed in word pieces.

In families that write numbers anywhere, a coordinate or size id is followed by its value; it is no text.
A text under a grammar ends where nothing but the end may follow, or where the model ends it when it is
complete; if the budget is spent before, it is cut off there like any other.
"""

from __future__ import annotations

from collections.abc import Callable

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import PromptItem, Text, Token
from dreamscope.engine.skills.base import UNADDRESSED, Budget, FinishReason, Outcome, Step, number_steps
from dreamscope.engine.skills.detokenize import Detokenizer, word_cut
from dreamscope.engine.skills.grammar import Grammar
from dreamscope.engine.skills.token_probs import TokenProbs

StartGrammar = Callable[[], Grammar]


class AnswerLoop:
    """Consumes answer tokens. The end token is neither shown nor fed."""

    def __init__(
        self,
        ids: TokenizerConfig,
        tokenizer: Tokenizer,
        budget: Budget,
        start_grammar: StartGrammar | None = None,
    ) -> None:
        """`start_grammar` is called for the first decision; the text then follows the grammar."""
        self._eos = ids.eos_id
        self._numbers = number_steps(ids) if ids.rules.numbers_anywhere else {}
        self._announcing = frozenset(self._numbers)
        self._first = Step("text", numbers=self._announcing)
        suppressed = frozenset({ids.answer_id} if ids.rules.masks_control_ids else ())
        self._later = Step("text", suppressed, numbers=self._announcing)
        self._number: Step | None = None  # the value that the last id announced
        self._budget = budget
        self._start_grammar = start_grammar
        self._grammar: Grammar | None = None
        self._stream = Detokenizer(tokenizer.decode, word_cut)
        self._probs = TokenProbs(self._stream)
        self._pieces: list[str] = []
        self._unreported = 0
        self.tokens = 0
        self.finish_reason: FinishReason | None = None

    @property
    def text(self) -> str:
        """Everything handed out so far."""
        return "".join(self._pieces)

    @property
    def probs(self) -> wire.Probs | None:
        """The probabilities of its tokens, if they were asked for."""
        return self._probs.taken

    def step(self) -> Step:
        """The value of a number, or text. The published loop masks nothing in its first decision."""
        if self._number is not None:
            return self._number
        if self._start_grammar is not None:
            self._grammar = self._grammar or self._start_grammar()
            return Step("text", mask=self._grammar.allowed(), numbers=self._announcing)
        return self._later if self.tokens else self._first

    def consume(self, token: Token) -> Outcome:
        """Apply a text token, or the value that the last one announced."""
        if not isinstance(token, Text):
            self._number = None
            return self._advance((), token)
        if token.id == self._eos:
            return Outcome(self.close("stop"))
        self.tokens += 1
        self._unreported += 1
        self._number = self._numbers.get(token.id)
        if self._number is not None:
            return Outcome()
        piece = self._stream.push(token.id)
        self._probs.add(token.probability)
        if self._grammar is not None:
            self._grammar.advance(token.id)
            if self._grammar.finished:
                return Outcome(self._emit(piece) + self.close("stop"))
        return self._advance(self._emit(piece), token.id)

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """End the text and hand out the rest of it."""
        if self.finish_reason is not None:
            return ()
        self.finish_reason = reason
        return self._emit(self._stream.flush())

    def _advance(self, events: tuple[wire.RequestEvent, ...], item: PromptItem) -> Outcome:
        if self._budget.take():
            return Outcome(events + self.close("length"))
        return Outcome(events, (item,))

    def _emit(self, piece: str) -> tuple[wire.RequestEvent, ...]:
        if not piece:
            return ()
        self._pieces.append(piece)
        count, self._unreported = self._unreported, 0
        probs = self._probs.take()
        return (wire.TextDelta(request_id=UNADDRESSED, delta=piece, n=count, probs=probs),)
