"""From a `request.create` message to a validated `SkillRequest`. Every rule about bad input is here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.errors import (
    ContextLengthExceeded,
    InvalidParameter,
    MissingParameter,
    UnsupportedParameter,
    UnsupportedSkill,
)
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.skills.registry import SKILLS

MAX_PROMPT_CHARS = 8_000
"""No prompt this long fits a context of 2048 tokens; the exact check needs the tokenizer and comes later."""
LENGTHS = ("short", "normal", "long")
_NEEDS_IMAGE = ("caption", "point", "detect")
_TAKES_REFS = ("query", "point")
_SPATIAL = ("point", "detect")


@dataclass(frozen=True, slots=True)
class Knob:
    """One key of `settings`: its range, and whether it counts things."""

    low: float
    high: float
    integer: bool = False
    open_low: bool = False

    def describe(self) -> str:
        """The allowed values, for an error message."""
        kind = "an integer" if self.integer else "a number"
        low = f"more than {self.low:g}" if self.open_low else f"at least {self.low:g}"
        return f"{kind}, {low}" + (f" and at most {self.high:g}" if self.high < math.inf else "")


KNOBS: Mapping[str, Knob] = {
    "temperature": Knob(0, 2),
    "top_p": Knob(0, 1, open_low=True),
    "max_tokens": Knob(1, math.inf, integer=True),
    "max_objects": Knob(1, 1000, integer=True),
    "seed": Knob(0, 2**63 - 1, integer=True),
}
ALIASES: Mapping[str, str] = {"maxTokens": "max_tokens", "topP": "top_p", "maxObjects": "max_objects"}


def parse_request(create: wire.RequestCreate, skills: Sequence[str] = tuple(SKILLS)) -> SkillRequest:
    """Validate a message whose field types `wire.decode` has checked.

    `skills` are those of the addressed model; names in it that are no request skill are passed over.
    Surrounding white space of question and object is dropped. Raises `UnsupportedSkill`,
    `MissingParameter`, `InvalidParameter`, `UnsupportedParameter` or `ContextLengthExceeded`, each naming
    the field and what is allowed.
    """
    offered = [skill for skill in skills if skill in SKILLS]
    if create.skill not in offered:
        raise UnsupportedSkill(
            f"The model has no skill {create.skill!r:.40}; it has {', '.join(offered)}.", "skill"
        )
    if create.image_id is not None and create.image_url is not None:
        raise InvalidParameter("Give image_id or image_url, not both.", "image_id")
    has_image = create.image_id is not None or create.image_url is not None
    if create.skill in _NEEDS_IMAGE and not has_image:
        raise MissingParameter(f"The skill {create.skill} needs an image.", "image_url")
    return SkillRequest(
        skill=create.skill,
        sampling=parse_sampling(create.settings or {}, create.skill),
        question=_prompt(create.question, "question") if create.skill == "query" else "",
        object=_prompt(create.object, "object") if create.skill in _SPATIAL else "",
        length=_length(create.length) if create.skill == "caption" else "normal",
        reasoning=create.skill == "query" and bool(create.reasoning),
        spatial_refs=_spatial_refs(create.spatial_refs or (), create.skill, has_image),
    )


def parse_sampling(settings: Mapping[str, Any], skill: str) -> Sampling:
    """Check the `settings` object. Spatial skills are greedy unless a temperature is asked for.

    Raises `InvalidParameter` for an unknown key, a key given twice under two spellings, a wrong type or a
    value out of range.
    """
    values: dict[str, Any] = {}
    for key, value in settings.items():
        name = ALIASES.get(key, key)
        if name not in KNOBS:
            raise InvalidParameter(f"Unknown setting {key!r}; allowed are {', '.join(KNOBS)}.", key)
        if value is None:
            continue
        if name in values:
            raise InvalidParameter(f"The setting {name} is given twice.", name)
        values[name] = _knob_value(name, value)
    defaults: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0} if skill in _SPATIAL else {}
    return Sampling(**{**defaults, **values})


def _knob_value(name: str, value: Any) -> float | int:
    knob = KNOBS[name]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    finite = number and (isinstance(value, int) or math.isfinite(value))
    whole = finite and (not knob.integer or value == int(value))
    above = whole and (value > knob.low or (value == knob.low and not knob.open_low))
    if not above or value > knob.high:
        raise InvalidParameter(f"The setting {name} must be {knob.describe()}, not {value!r:.40}.", name)
    return int(value) if knob.integer else float(value)


def _prompt(text: str | None, name: str) -> str:
    stripped = (text or "").strip()
    if not stripped:
        raise MissingParameter(f"{name!r} is required and must not be blank.", name)
    if len(stripped) > MAX_PROMPT_CHARS:
        raise ContextLengthExceeded(
            f"The {name} has {len(stripped):,} characters; at most {MAX_PROMPT_CHARS:,} are accepted.", name
        )
    return stripped


def _length(length: str | None) -> str:
    if length is None:
        return "normal"
    if length not in LENGTHS:
        raise InvalidParameter(f"'length' must be one of {', '.join(LENGTHS)}, not {length!r:.40}.", "length")
    return length


def _spatial_refs(
    refs: tuple[tuple[float, ...], ...], skill: str, has_image: bool
) -> tuple[tuple[float, ...], ...]:
    if not refs:
        return ()
    if skill not in _TAKES_REFS:
        raise UnsupportedParameter(f"The skill {skill} takes no spatial_refs.", "spatial_refs")
    if not has_image:
        raise InvalidParameter("spatial_refs refer to an image, and there is none.", "spatial_refs")
    for index, ref in enumerate(refs):
        inside = len(ref) in (2, 4) and all(0 <= value <= 1 for value in ref)
        if not inside or (len(ref) == 4 and (ref[0] > ref[2] or ref[1] > ref[3])):
            raise InvalidParameter(
                f"spatial_refs[{index}] must be [x, y] or [x1, y1, x2, y2] with numbers in 0..1, "
                f"x1 <= x2 and y1 <= y2, not {list(ref)!r:.80}.",
                "spatial_refs",
            )
    return refs
