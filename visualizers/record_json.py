"""A `Record` as JSON and back; what comes back may be foreign and is checked to the last field.

    {"format": "dreamscope.run", "version": 1, "id", "created_at", "skill", "model", "revision", "variant",
     "picture": {"hash", "width", "height", "media_type"} | absent, "title", "notes", "tags", "pinned",
     "rating", "comparison" | absent, "column", "truth": [{"at", "label"}] | absent,
     "answerer": {"name", "endpoint", "price": {...} | absent} | absent,
     "parts": [{"create": {"type": "request.create", ...}, "state", "events": [{"type", "seq", "t", ...}]}]}

`create` and `events` are wire messages as they crossed the socket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dreamscope.engine import wire
from dreamscope.visualizers import foreign_json
from dreamscope.visualizers.answerer import Answerer, answerer_from_json
from dreamscope.visualizers.record import STATES, Part, Picture, Record
from dreamscope.visualizers.truth import Known, TruthError, truth_of

FORMAT = "dreamscope.run"
VERSION = 1
MOST_PARTS = 8
MOST_EVENTS = 200_000
MOST_TAGS = 64
LONGEST_NAME = 300
LONGEST_TEXT = 100_000
DEEPEST = 80
"""Levels of lists and objects: more than any run that the page can ask for has."""
_LARGEST = 2**53
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"image/[a-z0-9.+-]{1,40}")
_FIELDS = frozenset(Record.__dataclass_fields__) | {"format", "version"}


class RecordError(ValueError):
    """What is no record; the sentence names the field and what is allowed there."""


def to_json(record: Record) -> dict[str, Any]:
    """The record as plain JSON values; fields that are `None` are left out."""
    plain = {name: getattr(record, name) for name in Record.__dataclass_fields__ if name != "parts"}
    known = {name: value for name, value in plain.items() if value is not None}
    parts = [
        {"create": _message(part.create), "state": part.state, "events": [_message(e) for e in part.events]}
        for part in record.parts
    ]
    return {"format": FORMAT, "version": VERSION, **wire.to_json(known), "parts": parts}


def dumps(record: Record) -> str:
    """The record as one line of ASCII JSON."""
    return json.dumps(to_json(record), allow_nan=False, separators=(",", ":"))


def loads(text: str | bytes) -> Record:
    """Inverse of `dumps`. Raises `RecordError`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"The run is not JSON: {error}") from None
    return from_json(data)


def from_json(data: Any) -> Record:
    """Inverse of `to_json`. Raises `RecordError` for what this application would not have written."""
    top = _object(data, "run")
    if top.get("format") != FORMAT or top.get("version") != VERSION:
        raise RecordError(f'A run says "format": "{FORMAT}" and "version": {VERSION}.')
    if unknown := sorted(set(top) - _FIELDS):
        raise RecordError(f"A run has no field {unknown[0]!r:.60}.")
    try:
        foreign_json.check(top, DEEPEST)
    except ValueError as error:
        raise RecordError(f"The run is not JSON that can be kept: {error}") from None
    skill = _text(top, "skill", LONGEST_NAME)
    if skill not in wire.RESULTS:
        raise RecordError(f"skill must be one of {', '.join(wire.RESULTS)}.")
    comparison = top.get("comparison")
    return Record(
        id=_matching(top, "id", _ID, "1 to 64 letters, digits, - or _"),
        created_at=_time(top),
        skill=skill,
        model=_text(top, "model", LONGEST_NAME),
        revision=_text(top, "revision", LONGEST_NAME, ""),
        variant=_text(top, "variant", LONGEST_NAME, ""),
        picture=_picture(top.get("picture")),
        parts=_parts(top.get("parts"), skill),
        title=_text(top, "title", LONGEST_TEXT, ""),
        notes=_text(top, "notes", LONGEST_TEXT, ""),
        tags=_tags(top.get("tags", [])),
        pinned=_flag(top, "pinned"),
        rating=_integer(top, "rating", -1, 1, 0),
        comparison=None if comparison is None else _matching(top, "comparison", _ID, "an id"),
        column=_integer(top, "column", 0, 63, 0),
        truth=_truth(top.get("truth")),
        answerer=_answerer(top.get("answerer")),
    )


def _message(message: wire.Message) -> dict[str, Any]:
    return {"type": message.wire_type, **wire.to_json(message)}


def _parts(given: Any, skill: str) -> tuple[Part, ...]:
    parts = _list(given, "parts")
    if not 1 <= len(parts) <= MOST_PARTS:
        raise RecordError(f"A run has 1 to {MOST_PARTS} parts, not {len(parts)}.")
    return tuple(_part(_object(part, "parts"), skill) for part in parts)


def _part(given: Mapping[str, Any], skill: str) -> Part:
    if unknown := sorted(set(given) - {"create", "state", "events"}):
        raise RecordError(f"A part has no field {unknown[0]!r:.60}.")
    create = _decoded(given.get("create"))
    if not isinstance(create, wire.RequestCreate):
        raise RecordError("create must be a request.create.")
    if create.skill != skill:
        raise RecordError("All parts of a run have its skill.")
    _no_image(create)
    state = given.get("state")
    if state not in STATES:
        raise RecordError(f"state must be one of {', '.join(STATES)}.")
    part = Part(create, state, _events(given.get("events")))
    try:
        part.result  # noqa: B018 - folding is the check that the events fit the skill
    except wire.WireError as error:
        raise RecordError(f"The events do not fit the skill: {error}") from None
    return part


def _events(given: Any) -> tuple[wire.RequestEvent, ...]:
    listed = _list(given, "events")
    if len(listed) > MOST_EVENTS:
        raise RecordError(f"A part has at most {MOST_EVENTS} events, not {len(listed)}.")
    events: list[wire.RequestEvent] = []
    for one in listed:
        event = _decoded(one)
        if not isinstance(event, wire.RequestEvent):
            raise RecordError("Every one of events must be an event of a request.")
        if events and (event.seq <= events[-1].seq or event.t < events[-1].t):
            raise RecordError("Events are in the order of seq, and t does not go back.")
        if events and isinstance(events[-1], wire.TERMINAL):
            raise RecordError("Nothing follows the event that ends a request.")
        if event.t < 0 or not 0 <= event.seq <= _LARGEST:
            raise RecordError("t and seq must be 0 or more, seq a whole number that a file can hold.")
        events.append(event)
    return tuple(events)


def _decoded(given: Any) -> wire.Message:
    try:
        return wire.decode(json.dumps(_object(given, "message")))
    except ValueError as error:
        raise RecordError(str(error)) from None


def _no_image(create: wire.RequestCreate) -> None:
    """A record speaks of its image by hash; an address in it would be fetched by whoever runs it again."""
    turns = [turn.content for turn in create.messages or () if isinstance(turn.content, list)]
    pieces = [piece for content in turns for piece in content if isinstance(piece, dict)]
    if create.image_url is not None or any("image_url" in piece for piece in pieces):
        raise RecordError("create must not carry an image.")


def _picture(given: Any) -> Picture | None:
    if given is None:
        return None
    picture = _object(given, "picture")
    return Picture(
        hash=_matching(picture, "hash", _HASH, "64 hexadecimal digits"),
        width=_integer(picture, "width", 1, 100_000),
        height=_integer(picture, "height", 1, 100_000),
        media_type=_matching(picture, "media_type", _MEDIA_TYPE, "a media type such as image/png"),
    )


def _truth(given: Any) -> tuple[Known, ...] | None:
    try:
        return None if given is None else truth_of(given)
    except TruthError as error:
        raise RecordError(str(error)) from None


def _answerer(given: Any) -> Answerer | None:
    try:
        return None if given is None else answerer_from_json(given)
    except ValueError as error:
        raise RecordError(str(error)) from None


def _tags(given: Any) -> tuple[str, ...]:
    tags = _list(given, "tags")
    if len(tags) > MOST_TAGS or not all(isinstance(tag, str) and len(tag) <= LONGEST_NAME for tag in tags):
        raise RecordError(f"tags must be at most {MOST_TAGS} strings of up to {LONGEST_NAME} characters.")
    return tuple(tags)


def _time(top: Mapping[str, Any]) -> str:
    """Kept as it is written; only checked."""
    text = _text(top, "created_at", 40)
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)  # beyond the first and the last year there is none
    except (ValueError, OverflowError):
        moment = datetime.min
    if moment.tzinfo is None:
        raise RecordError("created_at must be a time with its zone, such as 2026-01-31T12:00:00.000+00:00.")
    return text


def _object(given: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise RecordError(f"{name} must be an object, not {type(given).__name__}.")
    return given


def _list(given: Any, name: str) -> list[Any]:
    if not isinstance(given, list):
        raise RecordError(f"{name} must be a list, not {type(given).__name__}.")
    return given


def _text(given: Mapping[str, Any], name: str, longest: int, default: str | None = None) -> str:
    value = given.get(name, default)
    if not isinstance(value, str) or len(value) > longest:
        raise RecordError(f"{name} must be a string of up to {longest} characters.")
    return value


def _matching(given: Mapping[str, Any], name: str, pattern: re.Pattern[str], allowed: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RecordError(f"{name} must be {allowed}.")
    return value


def _integer(given: Mapping[str, Any], name: str, least: int, most: int, default: int | None = None) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RecordError(f"{name} must be a whole number from {least} to {most}.")
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise RecordError(f"{name} must be true or false.")
    return value
