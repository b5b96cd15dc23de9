"""The answer loop that query and caption share: text up to end-of-sequence, streamed in word pieces."""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.engine.models.moondream2.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Text, Token
from dreamscope.engine.skills.base import UNADDRESSED, Budget, FinishReason, Outcome, Step
from dreamscope.engine.skills.detokenize import Detokenizer, word_cut

_FIRST = Step("text")  # the checkpoint's own loop masks nothing in its first decision


class AnswerLoop:
    """Consumes answer tokens. The end token is neither shown nor fed."""

    def __init__(self, ids: TokenizerConfig, tokenizer: Tokenizer, budget: Budget) -> None:
        self._eos = ids.eos_id
        self._later = Step("text", suppressed=frozenset({ids.answer_id}))
        self._budget = budget
        self._stream = Detokenizer(tokenizer.decode, word_cut)
        self._pieces: list[str] = []
        self._unreported = 0
        self.tokens = 0
        self.finish_reason: FinishReason | None = None

    @property
    def text(self) -> str:
        """Everything handed out so far."""
        return "".join(self._pieces)

    def step(self) -> Step:
        """Any id in the first decision, anything but another answer marker afterwards."""
        return self._later if self.tokens else _FIRST

    def consume(self, token: Token) -> Outcome:
        """Apply one text token."""
        assert isinstance(token, Text)
        if token.id == self._eos:
            return Outcome(self.close("stop"))
        self.tokens += 1
        self._unreported += 1
        events = self._emit(self._stream.push(token.id))
        if self._budget.take():
            return Outcome(events + self.close("length"))
        return Outcome(events, (token.id,))

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """End the text and hand out the rest of it."""
        if self.finish_reason is not None:
            return ()
        self.finish_reason = reason
        return self._emit(self._stream.flush())

    def _emit(self, piece: str) -> tuple[wire.RequestEvent, ...]:
        if not piece:
            return ()
        self._pieces.append(piece)
        count, self._unreported = self._unreported, 0
        return (wire.TextDelta(request_id=UNADDRESSED, delta=piece, n=count),)
