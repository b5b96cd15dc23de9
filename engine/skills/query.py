"""The query skill: an answer to a question, with grounded reasoning before it if asked for.

What it has in common with the chat skill, everything but prompt and result, is a class of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import PromptItem, Token
from dreamscope.engine.skills.answer import AnswerLoop, StartGrammar
from dreamscope.engine.skills.base import (
    Budget,
    FinishReason,
    Outcome,
    SkillRequest,
    Step,
    reference_items,
)
from dreamscope.engine.skills.reasoning import ReasoningLoop


class AnsweringSkill:
    """State of one answer to `opening`, and of the reasoning before it."""

    def __init__(
        self,
        request: SkillRequest,
        ids: TokenizerConfig,
        tokenizer: Tokenizer,
        budget: Budget,
        opening: Sequence[PromptItem],
        start_grammar: StartGrammar | None = None,
    ) -> None:
        """`start_grammar` constrains the answer, not the reasoning."""
        self._budget = budget
        self._answer_opener = ids.query_suffix
        self._reasoning = ReasoningLoop(ids, tokenizer, budget) if request.reasoning else None
        self._answer = AnswerLoop(ids, tokenizer, budget, start_grammar)
        self._opening = list(opening)

    @property
    def finish_reason(self) -> FinishReason | None:
        """`None` while text is still wanted."""
        return self._answer.finish_reason

    @property
    def max_feed(self) -> int:
        """One position per token but the last; all of a reasoning, and the answer opener after it."""
        if self._reasoning is None:
            return self._budget.total(phases=1) - 1
        return self._budget.total(phases=2) + len(self._answer_opener)

    @property
    def output_tokens(self) -> int:
        """Reasoning and answer tokens so far; a coordinate counts as one."""
        return self.reasoning_tokens + self._answer.tokens

    @property
    def reasoning_tokens(self) -> int:
        """Reasoning tokens so far."""
        return self._reasoning.tokens if self._reasoning else 0

    def opening(self) -> list[PromptItem]:
        """What leads to the first decision, after the prefix."""
        return list(self._opening)

    def step(self) -> Step:
        """The next decision of the phase the request is in."""
        if self._reasoning is not None and not self._reasoning.done:
            return self._reasoning.step()
        return self._answer.step()

    def consume(self, token: Token) -> Outcome:
        """Apply one token; where the reasoning ends, the opener of the answer is fed."""
        if self._reasoning is None or self._reasoning.done:
            return self._answer.consume(token)
        outcome = self._reasoning.consume(token)
        if not self._reasoning.done:
            return outcome
        if self._reasoning.ended:
            return Outcome(outcome.events + self._answer.close("stop"))
        self._budget.next_phase()
        if self._budget.spent:
            return Outcome(outcome.events + self._answer.close("length"))
        return Outcome(outcome.events, outcome.feed + self._answer_opener)

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """End now; a reasoning that was under way is closed where it stands."""
        if self.finish_reason is not None:
            return ()
        events = self._reasoning.close() if self._reasoning else ()
        return events + self._answer.close(reason)

    def parts(self) -> tuple[str, wire.Reasoning | None, wire.Probs | None]:
        """Answer so far, the reasoning if it was asked for, and the probabilities of the answer."""
        return self._answer.text, self._reasoning.reasoning if self._reasoning else None, self._answer.probs


class QuerySkill(AnsweringSkill):
    """State of one question. The question is encoded as given."""

    def __init__(
        self,
        request: SkillRequest,
        ids: TokenizerConfig,
        tokenizer: Tokenizer,
        budget: Budget,
        start_grammar: StartGrammar | None = None,
    ) -> None:
        opening: list[PromptItem] = [
            *ids.query_prefix,
            *reference_items(request.spatial_refs),
            *tokenizer.encode(request.question),
            *ids.query_opener(request.reasoning),
        ]
        super().__init__(request, ids, tokenizer, budget, opening, start_grammar)

    def result(self) -> wire.QueryResult:
        """Answer so far, and the reasoning if it was asked for."""
        return wire.QueryResult(*self.parts())
