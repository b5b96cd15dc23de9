"""What the browser asks for, checked, as the requests that it becomes."""

from __future__ import annotations

import math
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dreamscope.app import words
from dreamscope.app.config import (
    CAPTION_LENGTHS,
    COLUMNS,
    FORMATS,
    GREEDY_DEFAULTS,
    GREEDY_SKILLS,
    IMAGELESS_SKILLS,
    MAIN_COLUMN,
    MOST_COLUMNS,
    MOST_OBJECTS,
    OBJECT_SKILLS,
    PAGE_SKILLS,
    REFERENCE_SKILLS,
    SETTINGS_OF_SKILL,
    sampling_row,
)
from dreamscope.engine import wire
from dreamscope.engine.settings import SettingError
from dreamscope.visualizers import foreign_json
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
    """The browser asked for something that cannot be run; `field` is the one to put the sentence beside, in
    the form of `column`."""

    def __init__(self, field: str, text: str, column: str = MAIN_COLUMN) -> None:
        super().__init__(text)
        self.field = field
        self.text = text
        self.column = column


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked run message: `creates` are its requests, one, or one for each of several objects. They lack
    only the image, unless they have none (`imageless`). `id` is that of the run; a sampled run always has a
    seed.
    """

    id: str
    creates: tuple[wire.RequestCreate, ...]
    display_width: float = DISPLAY_WIDTH
    column: str = MAIN_COLUMN
    imageless: bool = False

    @property
    def create(self) -> wire.RequestCreate:
        """The first request, which tells everything but the other objects."""
        return self.creates[0]

    @property
    def format(self) -> str:
        """The `type` of the answer's format."""
        return (self.create.response_format or {}).get("type", "text")


def new_id() -> str:
    """An id that no other run, comparison or request has."""
    return uuid.uuid4().hex


def new_seed() -> int:
    """A seed for a run that was given none, short enough to be read and typed."""
    return secrets.randbelow(1_000_000)


def parse_compare(message: Any) -> tuple[Ask, ...]:
    """Check the browser's `compare` message: one ask for each column, with one seed unless they have their
    own. Raises `Invalid`."""
    columns = message.get("columns") if isinstance(message, dict) else None
    if not isinstance(columns, list) or not 2 <= len(columns) <= MOST_COLUMNS:
        raise Invalid("prompt", f"A comparison has 2 to {MOST_COLUMNS} columns.")
    seed = new_seed()
    asks = tuple(parse_ask(column, seed) for column in columns)
    if len({ask.column for ask in asks}) < len(asks):
        raise Invalid("prompt", "Two columns of a comparison have the same name.")
    return asks


def parse_ask(message: Any, seed: int | None = None) -> Ask:
    """Check the browser's `run` message; `seed` is for a sampled run that says none, drawn if it is `None`.

    Raises `Invalid`, which names the column.
    """
    column = message.get("column", MAIN_COLUMN) if isinstance(message, dict) else MAIN_COLUMN
    if column not in COLUMNS:
        raise Invalid("prompt", f"The column must be one of {', '.join(COLUMNS)}.")
    try:
        return _parse(message, column, new_seed() if seed is None else seed)
    except Invalid as error:
        raise Invalid(error.field, error.text, column) from None


def _parse(message: Any, column: str, seed: int) -> Ask:
    if not isinstance(message, dict) or message.get("skill") not in PAGE_SKILLS:
        raise Invalid("prompt", f"The skill must be one of {', '.join(PAGE_SKILLS)}.")
    skill = message["skill"]
    length = _text(message, "length") or None if skill == "caption" else None
    if length is not None and length not in CAPTION_LENGTHS:
        raise Invalid("prompt", f"The length must be one of {', '.join(CAPTION_LENGTHS)}.")
    run_id = new_id()
    imageless = _imageless(message, skill)
    objects = _objects(message, skill)
    base = wire.RequestCreate(
        request_id=run_id,
        skill=skill,
        model=_text(message, "model") or None,
        variant=_text(message, "variant") or None,
        question=_prompt(message, skill, "question") if skill == "query" else None,
        length=length,
        reasoning=message.get("reasoning") is True if skill == "query" else None,
        preset=_text(message, "preset") or None if skill == "query" else None,
        response_format=_response_format(message) if skill == "query" else None,
        spatial_refs=_references(message.get("refs")) if skill in REFERENCE_SKILLS else None,
        settings=_seeded(_settings(message.get("settings"), skill), skill, seed),
        uncertainty=True,
        **(_gaze_source(message) if skill == "gaze" else {}),
    )
    return Ask(run_id, _for_each(base, objects), _width(message.get("width")), column, imageless)


def _imageless(message: dict[str, Any], skill: str) -> bool:
    """Whether the page says `"image": false`: it asks without the image that it may show."""
    if message.get("image") is not False:
        return False
    if skill not in IMAGELESS_SKILLS:
        raise Invalid("image", words.IMAGE_MISSING)
    if message.get("refs"):
        raise Invalid("refs", words.REFERENCE_WITHOUT_IMAGE)
    return True


def _prompt(message: dict[str, Any], skill: str, field: str) -> str:
    prompt = _text(message, field).strip()
    if not prompt:
        raise Invalid("prompt", words.PROMPT_MISSING[skill])
    return prompt


def _objects(message: dict[str, Any], skill: str) -> tuple[str, ...]:
    """What to look for, if it is things that the skill looks for."""
    given = message.get("objects")
    if skill not in OBJECT_SKILLS:
        return ()
    if given is None:
        return (_prompt(message, skill, "object"),)
    given = given if isinstance(given, list) else []
    names = [name.strip() if isinstance(name, str) else "" for name in given]
    distinct = {name.casefold() for name in names if name}
    if not 2 <= len(names) <= MOST_OBJECTS or len(distinct) < len(names):
        raise Invalid("prompt", words.objects_strange(MOST_OBJECTS))
    return tuple(names)


def _for_each(base: wire.RequestCreate, objects: Sequence[str]) -> tuple[wire.RequestCreate, ...]:
    """The request for each of the objects; without any, the request itself."""
    if len(objects) < 2:
        return (replace(base, object=next(iter(objects), None)),)
    return tuple(
        replace(base, request_id=f"{base.request_id}.{part}", object=name)
        for part, name in enumerate(objects)
    )


def _seeded(settings: dict[str, Any] | None, skill: str, seed: int) -> dict[str, Any] | None:
    """The settings with a seed, unless they have one or nothing is drawn."""
    given = settings or {}
    default = GREEDY_DEFAULTS["temperature"] if skill in GREEDY_SKILLS else None
    greedy = given.get("temperature", default) == 0
    return settings if greedy or "seed" in given else {**given, "seed": seed}


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
        parsed = foreign_json.parse(schema or "")
    except ValueError as error:
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
