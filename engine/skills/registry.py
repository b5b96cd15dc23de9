"""The skills by name. Adding one means adding a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.skills.base import Budget, Skill, SkillRequest
from dreamscope.engine.skills.caption import CaptionSkill
from dreamscope.engine.skills.detect import DetectSkill
from dreamscope.engine.skills.gaze import GazeSkill
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
    }
)


def build_skill(
    request: SkillRequest, ids: TokenizerConfig, tokenizer: Tokenizer, *, per_phase_budget: bool = False
) -> Skill:
    """The state machine for a validated request.

    `per_phase_budget` gives reasoning and answer `max_tokens` each, as the published code does; otherwise
    they share it. Raises `KeyError` for a skill that does not exist, which validation has excluded.
    """
    budget = Budget(request.sampling.max_tokens, per_phase=per_phase_budget)
    return SKILLS[request.skill](request, ids, tokenizer, budget)
