"""From a `request.create` message to a validated `SkillRequest`. Every rule about bad input is here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.errors import (
    ContextLengthExceeded,
    InvalidParameter,
    MissingParameter,
    UnsupportedParameter,
    UnsupportedSkill,
)
from dreamscope.engine.skills.answer_format import AnswerFormat, parse_format
from dreamscope.engine.skills.base import ChatMessage, Sampling, SkillRequest
from dreamscope.engine.skills.parse_chat import parse_messages
from dreamscope.engine.skills.presets import with_instruction
from dreamscope.engine.skills.registry import SKILLS

MAX_PROMPT_CHARS = 8_000
"""No prompt this long fits a context of 2048 tokens, and so on in proportion; the exact check needs the
tokenizer and comes later."""
_CONTEXT = 2048
LENGTHS = ("short", "normal", "long")
_NEEDS_IMAGE = ("caption", "point", "detect", "segment", "gaze")
_ANSWERS = ("query", "chat")
_TAKES_REFS = ("query", "point", "segment")
_NAMES_OBJECT = ("point", "detect", "segment")
_GREEDY = ("point", "detect", "segment", "gaze")


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


def parse_request(
    create: wire.RequestCreate,
    skills: Sequence[str] = tuple(SKILLS),
    *,
    context_length: int = _CONTEXT,
    reasons: bool = False,
) -> SkillRequest:
    """Validate a message whose field types `wire.decode` has checked.

    `skills` are those of the addressed model; names in it that are no request skill are passed over.
    `reasons`: whether query and chat reason if the message does not say. Surrounding white space of question
    and object is dropped. Compiles the schema of a `response_format`, so it may take a while with one. Raises
    `UnsupportedSkill`, `MissingParameter`, `InvalidParameter`, `UnsupportedParameter`, `TooManyImages` or
    `ContextLengthExceeded`, each naming the field and what is allowed.
    """
    offered = [skill for skill in skills if skill in SKILLS]
    if create.skill not in offered:
        raise UnsupportedSkill(
            f"The model has no skill {create.skill!r:.40}; it has {', '.join(offered)}.", "skill"
        )
    if create.image_id is not None and create.image_url is not None:
        raise InvalidParameter("Give image_id or image_url, not both.", "image_id")
    has_image = create.image_id is not None or create.image_url is not None
    if create.skill == "chat" and has_image:
        raise InvalidParameter("In a conversation, images are parts of its messages.", "image_id")
    if create.skill in _NEEDS_IMAGE and not has_image:
        raise MissingParameter(f"The skill {create.skill} needs an image.", "image_url")
    longest = max(1, context_length // _CONTEXT) * MAX_PROMPT_CHARS
    answer = _answer_format(create)
    messages = parse_messages(create.messages, longest) if create.skill == "chat" else ()
    question = _prompt(create.question, "question", longest) if create.skill == "query" else ""
    return SkillRequest(
        skill=create.skill,
        sampling=parse_sampling(create.settings or {}, create.skill),
        question=question and with_instruction(question, answer.type),
        object=_prompt(create.object, "object", longest) if create.skill in _NAMES_OBJECT else "",
        length=_length(create.length) if create.skill == "caption" else "normal",
        reasoning=create.skill in _ANSWERS and (reasons if create.reasoning is None else create.reasoning),
        spatial_refs=_spatial_refs(create.spatial_refs or (), create.skill, has_image),
        uncertainty=bool(create.uncertainty),
        messages=_instructed(messages, answer.type),
        schema=answer.schema,
        **(_gaze_source(create) if create.skill == "gaze" else {}),
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
    defaults: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0} if skill in _GREEDY else {}
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


def _prompt(text: str | None, name: str, longest: int) -> str:
    stripped = (text or "").strip()
    if not stripped:
        raise MissingParameter(f"{name!r} is required and must not be blank.", name)
    if len(stripped) > longest:
        raise ContextLengthExceeded(
            f"The {name} has {len(stripped):,} characters; at most {longest:,} are accepted.", name
        )
    return stripped


def _length(length: str | None) -> str:
    if length is None:
        return "normal"
    if length not in LENGTHS:
        raise InvalidParameter(f"'length' must be one of {', '.join(LENGTHS)}, not {length!r:.40}.", "length")
    return length


def _gaze_source(create: wire.RequestCreate) -> dict[str, Any]:
    """The fields of gaze: an eye, or a face to draw places from."""
    if create.eye is not None and create.face is not None:
        raise InvalidParameter("Give eye or face, not both.", "eye")
    if create.eye is not None:
        if not all(0 <= value <= 1 for value in create.eye):
            raise InvalidParameter(
                f"eye must be [x, y] with numbers in 0..1, not {list(create.eye)!r:.80}.", "eye"
            )
        return {"eye": create.eye, "force_detect": bool(create.force_detect)}
    if create.face is None:
        raise MissingParameter("The skill gaze needs eye, [x, y], or face, a box around the face.", "eye")
    face = (create.face.x_min, create.face.y_min, create.face.x_max, create.face.y_max)
    if not (all(0 <= value <= 1 for value in face) and face[0] <= face[2] and face[1] <= face[3]):
        raise InvalidParameter(
            "face must have x_min, y_min, x_max, y_max in 0..1 with x_min <= x_max and y_min <= y_max, "
            f"not {list(face)!r:.80}.",
            "face",
        )
    return {"face": face, "force_detect": bool(create.force_detect)}


def _answer_format(create: wire.RequestCreate) -> AnswerFormat:
    if create.response_format is not None and create.skill not in _ANSWERS:
        raise UnsupportedParameter(
            f"The skill {create.skill} takes no response_format; {' and '.join(_ANSWERS)} do.",
            "response_format",
        )
    return parse_format(create.response_format)


def _instructed(messages: tuple[ChatMessage, ...], kind: str) -> tuple[ChatMessage, ...]:
    """The conversation with the form of the answer asked for in its last message."""
    if not messages:
        return ()
    return (*messages[:-1], replace(messages[-1], text=with_instruction(messages[-1].text, kind)))


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
