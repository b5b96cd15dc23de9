from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from dreamscope.engine import wire
from dreamscope.engine.models.moondream2.config import TokenizerConfig
from dreamscope.engine.models.tokens import CONTROL_IDS, Coord, PromptItem, Size, Text, Token
from dreamscope.engine.skills.base import Sampling, Skill, SkillRequest
from dreamscope.engine.skills.registry import build_skill


class ByteTokenizer:
    """One id per byte above the control ids, so that a test can cut characters anywhere."""

    def encode(self, text: str) -> list[int]:
        return [CONTROL_IDS + byte for byte in text.encode()]

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(i - CONTROL_IDS for i in ids if i >= CONTROL_IDS).decode(errors="replace")


@dataclass
class Replay:
    """What a skill did with given decisions."""

    events: list[wire.RequestEvent] = field(default_factory=list)
    fed: list[PromptItem] = field(default_factory=list)

    def of(self, kind: type) -> list[wire.RequestEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def text(self, kind: type) -> str:
        return "".join(event.delta for event in self.of(kind))


def _replay(skill: Skill, text_ids: Iterable[int], numbers: Iterable[Token] = ()) -> Replay:
    """Drive a skill until it is finished or the text ids end; numbers answer coord and size steps."""
    texts, rest, done = iter(text_ids), iter(numbers), Replay()
    while skill.finish_reason is None:
        step = skill.step()
        token: Token
        if step.kind == "text":
            index = next(texts, None)
            if index is None:
                return done
            assert index not in step.suppressed
            token = Text(index)
        else:
            token = next(rest)
            assert isinstance(token, Coord if step.kind == "coord" else Size)
        outcome = skill.consume(token)
        done.events.extend(outcome.events)
        done.fed.extend(outcome.feed)
    return done


@pytest.fixture(scope="session")
def replay() -> Callable[..., Replay]:
    return _replay


@pytest.fixture(scope="session")
def byte_tokenizer() -> ByteTokenizer:
    return ByteTokenizer()


@pytest.fixture(scope="session")
def build(byte_tokenizer: ByteTokenizer) -> Callable[..., Skill]:
    """A skill over the byte tokenizer: `build("query", reasoning=True, max_tokens=5)`."""

    def make(skill: str, *, max_tokens: int = 768, max_objects: int = 150, **fields: object) -> Skill:
        sampling = Sampling(max_tokens=max_tokens, max_objects=max_objects)
        request = SkillRequest(skill=skill, sampling=sampling, **fields)
        return build_skill(request, TokenizerConfig(), byte_tokenizer)

    return make
