"""Runs a case through the engine's own decode loop and writes down everything that happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dreamscope.engine import wire
from dreamscope.engine.devices.base import Array
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.models.tokens import PromptItem, Text, Token
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import FinishReason, Outcome, Sampling, Skill, Step

GREEDY = Sampling(temperature=0.0, top_p=1.0)


@dataclass(frozen=True, slots=True)
class Forward:
    """One pass of the decoder: what was fed, where it ended, the hidden state `[D]` of its last position."""

    items: tuple[PromptItem, ...]
    end: int
    hidden: Array


@dataclass(frozen=True, slots=True)
class Decision:
    """One decided token. `forward` is the index of the pass whose hidden state it was read from."""

    step: Step
    token: Token
    forward: int
    outcome: Outcome


@dataclass(slots=True)
class Trace:
    """Everything about one run, in order."""

    forwards: list[Forward] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def events(self) -> list[wire.RequestEvent]:
        """What a client would have seen."""
        return [event for decision in self.decisions for event in decision.outcome.events]


class RecordingModel(Model):
    """The same parameters; every decoder pass is written to the trace."""

    def __init__(self, model: Model, trace: Trace) -> None:
        super().__init__(model.config, model.device, model.weights, model.tokenizer)
        self._trace = trace
        self._items: tuple[PromptItem, ...] = ()

    def embed(self, prompt: Sequence[PromptItem]) -> Array:
        """Remember what was fed."""
        self._items = tuple(prompt)
        return super().embed(prompt)

    def forward(self, embeds: Array, cache: KVCache, adapter: Adapter | None = None) -> Array:
        """Remember the pass."""
        hidden = super().forward(embeds, cache, adapter)
        self._trace.forwards.append(Forward(self._items, cache.length, hidden))
        return hidden


class RecordingSkill:
    """Hands everything on to a skill; every decision is written to the trace."""

    def __init__(self, skill: Skill, trace: Trace) -> None:
        self._skill = skill
        self._trace = trace

    @property
    def finish_reason(self) -> FinishReason | None:
        """As the skill says."""
        return self._skill.finish_reason

    @property
    def max_feed(self) -> int:
        """As the skill says."""
        return self._skill.max_feed

    @property
    def output_tokens(self) -> int:
        """As the skill says."""
        return self._skill.output_tokens

    @property
    def reasoning_tokens(self) -> int:
        """As the skill says."""
        return self._skill.reasoning_tokens

    def opening(self) -> list[PromptItem]:
        """As the skill says."""
        return self._skill.opening()

    def step(self) -> Step:
        """As the skill says."""
        return self._skill.step()

    def consume(self, token: Token) -> Outcome:
        """Remember the decision."""
        step = self._skill.step()
        outcome = self._skill.consume(token)
        self._trace.decisions.append(Decision(step, token, len(self._trace.forwards) - 1, outcome))
        return outcome

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """As the skill says."""
        return self._skill.close(reason)

    def result(self) -> wire.Result:
        """As the skill says."""
        return self._skill.result()


def run_traced(
    model: Model,
    skill: Skill,
    prefix: KVCache | None,
    adapter: Adapter | None = None,
) -> Trace:
    """Decode greedily after the image prefix, or from BOS. For skills that look at one image once.

    The published code feeds the last permitted token too and runs the decoder once more, which the engine
    leaves out; here that pass follows at the end, so that every recorded step has its counterpart.
    """
    trace = Trace()
    recording = RecordingModel(model, trace)
    prompt = skill.opening()
    if prefix is None:
        prompt.insert(0, model.config.tokenizer.bos_id)
        cache = model.new_cache()
    else:
        cache = prefix.copy_of_prefix(prefix.length, model.config.text.max_context)
    watched = RecordingSkill(skill, trace)
    for _ in generate(recording, watched, cache, prompt, Sampler(GREEDY), adapter=adapter):
        pass
    last = trace.decisions[-1].token
    if skill.finish_reason == "length" or not isinstance(last, Text):
        recording.forward(recording.embed((last.id if isinstance(last, Text) else last,)), cache, adapter)
    return trace
