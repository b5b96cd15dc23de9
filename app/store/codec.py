"""Records and events as rows of the database, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from dreamscope.engine import wire
from dreamscope.visualizers.answerer import Answerer, answerer_from_json
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.truth import Known, truth_of

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_COLUMNS_OF_EVENT = ("request_id", "seq", "t")
"""Fields of an event that its row has columns for, or its part."""


def dumps(value: Any) -> str:
    """Compact JSON in ASCII, so that no text from outside can spoil it."""
    return json.dumps(value, separators=(",", ":"))


def clean(text: str) -> str:
    """`text` as SQLite can keep it: without NUL, and with lone surrogates replaced."""
    return _LONE_SURROGATE.sub("\ufffd", text.replace("\0", ""))


def run_row(record: Record) -> dict[str, Any]:
    """The columns of `runs` that a record fills, but for its session."""
    request = wire.to_json(record.parts[0].create) if record.parts else {}
    request.pop("request_id", None)
    return {
        "id": record.id,
        "created_at": record.created_at,
        "state": record.state,
        "skill": record.skill,
        "model": clean(record.model),
        "revision": clean(record.revision),
        "variant": clean(record.variant),
        "pinned": int(record.pinned),
        "rating": record.rating,
        "image_hash": record.picture.hash if record.picture else None,
        "comparison_id": record.comparison,
        "column_no": record.column,
        "title": clean(record.title),
        "prompt": clean(record.prompt),
        "notes": clean(record.notes),
        "request": dumps(request),
        "truth": truth_column(record.truth),
        "answerer": answerer_column(record.answerer),
    }


def truth_column(truth: Sequence[Known] | None) -> str | None:
    """What people know to be in the image, as JSON; `None` if they have not said so."""
    return None if truth is None else dumps(wire.to_json(tuple(truth)))


def truth_of_column(column: str | None) -> tuple[Known, ...] | None:
    """Inverse of `truth_column`."""
    return None if column is None else truth_of(json.loads(column))


def answerer_column(answerer: Answerer | None) -> str | None:
    """What was known of the model that answered, as JSON; `None` if nothing was."""
    return None if answerer is None else dumps(wire.to_json(answerer))


def answerer_of_column(column: str | None) -> Answerer | None:
    """Inverse of `answerer_column`."""
    return None if column is None else answerer_from_json(json.loads(column))


def event_columns(event: wire.RequestEvent) -> tuple[int, float, str, str]:
    """`seq`, `t`, `type` and `body` of an event; the body lacks what the other columns say."""
    body = wire.to_json(event)
    for name in _COLUMNS_OF_EVENT:
        body.pop(name, None)
    return event.seq, event.t, event.wire_type, dumps(body)


def event_of(request_id: str, seq: int, t: float, kind: str, body: str) -> wire.RequestEvent:
    """Inverse of `event_columns`. Raises `WireError`."""
    whole = {**json.loads(body), "type": kind, "request_id": request_id, "seq": seq, "t": t}
    message = wire.decode(json.dumps(whole))
    if not isinstance(message, wire.RequestEvent):
        raise wire.WireError(f"{message.wire_type!r} is not an event of a request.", "events")
    return message
