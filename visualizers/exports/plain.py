"""A run as JSON for scripts, and its places as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from dreamscope.engine import wire
from dreamscope.visualizers.cost import cost_of
from dreamscope.visualizers.exports.things import Thing, places_in
from dreamscope.visualizers.hits import hits_of
from dreamscope.visualizers.record import Part, Picture, Record

COLUMNS = (
    *("part", "ground", "kind", "label", "words", "x", "y", "x_min", "y_min", "x_max", "y_max"),
    *("x_px", "y_px", "x_min_px", "y_min_px", "x_max_px", "y_max_px", "path"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def result_json(record: Record, image: bytes = b"") -> bytes:
    """What was asked, by which model it was answered, and the result of every part."""
    known = {
        "id": record.id,
        "created_at": record.created_at,
        "skill": record.skill,
        "model": record.model,
        "revision": record.revision,
        "adapter": record.variant,
        "cost": cost.to_json() if (cost := cost_of(record)) else None,
        "prompt": record.prompt,
        "image": wire.to_json(record.picture) if record.picture else None,
        "parts": [_part(part) for part in record.parts],
        "truth": found.to_json() if (found := hits_of(record)) else None,
    }
    return (json.dumps(known, indent=2) + "\n").encode()


def places_csv(record: Record, image: bytes = b"") -> bytes:
    """One row for each place, UTF-8: fractions and pixels (origin top left).

    Text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    (picture, things), out = places_in(record), io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for thing in things:
        writer.writerow(_row(thing, picture))
    return out.getvalue().encode("utf-8", "replace")


def as_text(value: str) -> str:
    """`value` so that no spreadsheet takes it for a formula."""
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value


def _part(part: Part) -> dict[str, Any]:
    last = part.events[-1] if part.events else None
    finish = last.finish_reason if isinstance(last, wire.RequestDone) else None
    return {
        "name": part.name,
        "settings": part.create.settings,
        "state": part.state,
        "finish_reason": finish,
        "result": wire.result_to_json(part.result),
        "metrics": wire.to_json(part.metrics) if part.metrics else None,
        "error": wire.to_json(part.error) if part.error else None,
    }


def _row(thing: Thing, picture: Picture) -> Sequence[str]:
    place, box = thing.place, thing.place.box
    corners = (box.x_min, box.y_min, box.x_max, box.y_max) if box else None
    sizes = (picture.width, picture.height)
    fractions = [place.x, place.y, *(corners or (None,) * 4)]
    pixels = [None if value is None else value * sizes[nth % 2] for nth, value in enumerate(fractions)]
    texts = (place.ground, place.kind, thing.label, place.words)
    return [
        str(thing.part),
        *(as_text(text) for text in texts),
        *("" if value is None else f"{value:.6f}" for value in fractions),
        *("" if value is None else f"{value:.2f}" for value in pixels),
        as_text(place.path),
    ]
