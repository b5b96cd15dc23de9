"""The caption skill: a description of the image in one of three lengths."""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import PromptItem, Token
from dreamscope.engine.skills.answer import AnswerLoop
from dreamscope.engine.skills.base import Budget, FinishReason, Outcome, SkillRequest, Step


class CaptionSkill:
    """State of one caption request."""

    def __init__(
        self, request: SkillRequest, ids: TokenizerConfig, tokenizer: Tokenizer, budget: Budget
    ) -> None:
        self._opening = ids.caption[request.length]
        self._max_feed = budget.total(phases=1) - 1
        self._loop = AnswerLoop(ids, tokenizer, budget)

    @property
    def finish_reason(self) -> FinishReason | None:
        """`None` while text is still wanted."""
        return self._loop.finish_reason

    @property
    def max_feed(self) -> int:
        """One position per token but the last."""
        return self._max_feed

    @property
    def output_tokens(self) -> int:
        """Text tokens so far."""
        return self._loop.tokens

    @property
    def reasoning_tokens(self) -> int:
        """A caption has none."""
        return 0

    def opening(self) -> list[PromptItem]:
        """The template of the requested length."""
        return list(self._opening)

    def step(self) -> Step:
        """The next text decision."""
        return self._loop.step()

    def consume(self, token: Token) -> Outcome:
        """Apply one text token."""
        return self._loop.consume(token)

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """End now."""
        return self._loop.close(reason)

    def result(self) -> wire.CaptionResult:
        """The caption so far."""
        return wire.CaptionResult(self._loop.text, self._loop.probs)
