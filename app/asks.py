"""What the browser asks for, checked, as the request that it becomes."""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass, replace
from typing import Any

from dreamscope.app import words
from dreamscope.app.config import (
    CAPTION_LENGTHS,
    FORMATS,
    OBJECT_SKILLS,
    PAGE_SKILLS,
    REFERENCE_SKILLS,
    SETTINGS_OF_SKILL,
    sampling_row,
)
from dreamscope.engine import wire
from dreamscope.engine.settings import SettingError
from dreamscope.visualizers.fragment import DISPLAY_WIDTH

_FIELD_OF_PARAM = {
    "question": "prompt",
    "object": "prompt",
    "image": "image",
    "image_id": "image",
    "image_url": "image",
    "spatial_refs": "refs",
    "eye": "refs",
    "face": "refs",
    "response_format": "schema",
    "model": "model",
    "variant": "model",
}


class Invalid(ValueError):
    """The browser asked for something that cannot be run; `field` is the one to put the sentence beside."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field
        self.text = text


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked run message. `create` lacks only the image."""

    create: wire.RequestCreate
    prompt: str
    display_width: float

    @property
    def format(self) -> str:
        """The `type` of the answer's format."""
        return (self.create.response_format or {}).get("type", "text")

    def on_image(self, image_id: str) -> wire.RequestCreate:
        """The request, complete."""
        return replace(self.create, image_id=image_id)


def parse_ask(message: Any) -> Ask:
    """Check the browser's `run` message. Raises `Invalid`."""
    if not isinstance(message, dict) or message.get("skill") not in PAGE_SKILLS:
        raise Invalid("prompt", f"The skill must be one of {', '.join(PAGE_SKILLS)}.")
    skill = message["skill"]
    field = "question" if skill == "query" else "object" if skill in OBJECT_SKILLS else None
    prompt = _text(message, field).strip() if field else ""
    if field and not prompt:
        raise Invalid("prompt", words.PROMPT_MISSING[skill])
    length = _text(message, "length") if skill == "caption" else None
    if length is not None and length not in CAPTION_LENGTHS:
        raise Invalid("prompt", f"The length must be one of {', '.join(CAPTION_LENGTHS)}.")
    create = wire.RequestCreate(
        request_id=uuid.uuid4().hex,
        skill=skill,
        model=_text(message, "model") or None,
        variant=_text(message, "variant") or None,
        question=prompt if field == "question" else None,
        object=prompt if field == "object" else None,
        length=length,
        reasoning=message.get("reasoning") is True if skill == "query" else None,
        preset=_text(message, "preset") or None if skill == "query" else None,
        response_format=_response_format(message) if skill == "query" else None,
        spatial_refs=_references(message.get("refs")) if skill in REFERENCE_SKILLS else None,
        settings=_settings(message.get("settings"), skill),
        uncertainty=True,
        **(_gaze_source(message) if skill == "gaze" else {}),
    )
    return Ask(create, prompt, _width(message.get("width")))


def response_format(name: str, schema: str | None) -> dict[str, Any] | None:
    """The `response_format` of a request: `name` as people write it, `schema` the text of a JSON schema.

    Raises `Invalid` for the field `schema`; whether the schema is one that can be kept, the engine knows.
    """
    if name not in FORMATS:
        raise Invalid("schema", f"The format must be one of {', '.join(FORMATS)}.")
    if name == "text":
        return None
    if name != "schema":
        return {"type": FORMATS[name]}
    try:
        parsed = json.loads(schema or "")
    except (ValueError, RecursionError) as error:
        raise Invalid("schema", words.schema_not_json(str(error))) from None
    if not isinstance(parsed, dict):
        raise Invalid("schema", words.SCHEMA_NO_OBJECT)
    return {"type": FORMATS[name], "schema": parsed}


def field_of(error: wire.ErrorInfo) -> str | None:
    """The form field an engine's error belongs beside; `None` when it is no field of the form."""
    param = (error.param or "").removeprefix("settings.")
    if param in words.LABELS:
        return param
    if error.code.startswith(("image_", "invalid_image")):
        return "image"
    if error.code == "context_length_exceeded":
        return "prompt"
    return _FIELD_OF_PARAM.get(param.partition(".")[0].partition("[")[0])


def _width(given: Any) -> float:
    """How wide the page shows the image, CSS pixels; anything strange counts as unknown."""
    if isinstance(given, (int, float)) and 1 <= given <= 20_000:
        return float(given)
    return DISPLAY_WIDTH


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name, "")
    return value if isinstance(value, str) else ""


def _response_format(message: dict[str, Any]) -> dict[str, Any] | None:
    return response_format(_text(message, "format") or "text", _text(message, "schema"))


def _references(given: Any) -> tuple[tuple[float, ...], ...] | None:
    """Points `[x, y]` and boxes `[x1, y1, x2, y2]`, fractions of the image."""
    if given is None or given == []:
        return None
    if not isinstance(given, list):
        raise Invalid("refs", words.REFERENCE_STRANGE)
    return tuple(_place(reference, (2, 4)) for reference in given)


def _gaze_source(message: dict[str, Any]) -> dict[str, Any]:
    """The eye or the face that gaze starts from; the page sends one of them."""
    fields: dict[str, Any] = {"force_detect": message.get("force") is True or None}
    if message.get("eye") is not None:
        return {**fields, "eye": _place(message["eye"], (2,))}
    if message.get("face") is not None:
        x_min, y_min, x_max, y_max = _place(message["face"], (4,))
        return {**fields, "face": wire.Box(x_min, y_min, x_max, y_max)}
    raise Invalid("refs", words.GAZE_SOURCE_MISSING)


def _place(given: Any, lengths: tuple[int, ...]) -> tuple[float, ...]:
    numbers = given if isinstance(given, list) and len(given) in lengths else [math.nan]
    inside = all(isinstance(n, (int, float)) and not isinstance(n, bool) and 0 <= n <= 1 for n in numbers)
    if not inside or (len(numbers) == 4 and (numbers[0] > numbers[2] or numbers[1] > numbers[3])):
        raise Invalid("refs", words.REFERENCE_STRANGE)
    return tuple(float(n) for n in numbers)


def _settings(given: Any, skill: str) -> dict[str, Any] | None:
    """The settings the person changed, as text from the form's fields, checked by their table's rows."""
    if not isinstance(given, dict):
        return None
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in SETTINGS_OF_SKILL[skill]:
            raise Invalid("prompt", f"{skill} has no setting {name!r:.40}.")
        row = sampling_row(name)
        try:
            checked[name] = row.parse(str(value), words.LABELS[name])
        except SettingError:
            raise Invalid(name, words.setting_range(words.LABELS[name], row.allowed())) from None
    return checked or None
