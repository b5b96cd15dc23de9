"""The skills by name. Adding one means adding a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.skills.base import Budget, Skill, SkillRequest
from dreamscope.engine.skills.caption import CaptionSkill
from dreamscope.engine.skills.chat import ChatSkill
from dreamscope.engine.skills.detect import DetectSkill
from dreamscope.engine.skills.gaze import GazeSkill
from dreamscope.engine.skills.grammar import Grammars
from dreamscope.engine.skills.point import PointSkill
from dreamscope.engine.skills.query import QuerySkill
from dreamscope.engine.skills.segment import SegmentSkill

SkillFactory = Callable[[SkillRequest, TokenizerConfig, Tokenizer, Budget], Skill]

SKILLS: Mapping[str, SkillFactory] = MappingProxyType(
    {
        "query": QuerySkill,
        "caption": CaptionSkill,
        "point": PointSkill,
        "detect": DetectSkill,
        "segment": SegmentSkill,
        "gaze": GazeSkill,
        "chat": ChatSkill,
    }
)
_ANSWERING: Mapping[str, Callable[..., Skill]] = MappingProxyType({"query": QuerySkill, "chat": ChatSkill})


def build_skill(
    request: SkillRequest,
    ids: TokenizerConfig,
    tokenizer: Tokenizer,
    *,
    per_phase_budget: bool = False,
    grammars: Grammars | None = None,
) -> Skill:
    """The state machine for a validated request.

    `per_phase_budget` gives reasoning and answer `max_tokens` each, as the published code does; otherwise
    they share it. `grammars` are those of the tokenizer, kept by whoever serves many requests. Raises
    `KeyError` for a skill that does not exist, which validation has excluded, and what `ChatSkill` raises.
    """
    budget = Budget(request.sampling.max_tokens, per_phase=per_phase_budget)
    if request.schema is not None:
        start = partial((grammars or Grammars(tokenizer, ids.eos_id)).json, request.schema)
        return _ANSWERING[request.skill](request, ids, tokenizer, budget, start)
    return SKILLS[request.skill](request, ids, tokenizer, budget)
