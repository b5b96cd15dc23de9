"""Runs as the JSON of the history routes, and what those routes are asked, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dreamscope.app.again import message_of
from dreamscope.app.routes.answers import Refused
from dreamscope.app.store.kinds import MOST_AT_ONCE, PAGE_SIZE, Search, Summary
from dreamscope.app.store.recording import folded, said
from dreamscope.engine import wire
from dreamscope.visualizers.facts import model_name
from dreamscope.visualizers.record import Part, Record

_MOST_IDS = 10_000
_LONGEST_NUMBER = 9
_YES, _NO = ("1", "true"), ("0", "false")
_KINDS: dict[str, tuple[type, str]] = {
    "title": (str, "a string"),
    "notes": (str, "a string"),
    "tags": (list, "a list of strings"),
    "pinned": (bool, "true or false"),
    "rating": (int, "-1, 0 or 1"),
}


def search_of(params: Mapping[str, str]) -> Search:
    """The search that an address asks for. Raises `Refused` for what it cannot mean."""
    limit = params.get("limit", str(PAGE_SIZE))
    if len(limit) > _LONGEST_NUMBER or not limit.isdecimal() or not 1 <= int(limit) <= MOST_AT_ONCE:
        raise Refused(400, f"limit must be a whole number from 1 to {MOST_AT_ONCE}.", "limit")
    return Search(
        text=params.get("q", ""),
        skill=params.get("skill", ""),
        model=params.get("model", ""),
        tag=params.get("tag", ""),
        since=params.get("since", ""),
        until=params.get("until", ""),
        pinned=_flag(params, "pinned"),
        state=params.get("state", ""),
        comparison=params.get("comparison", ""),
        deleted=bool(_flag(params, "deleted")),
        limit=int(limit),
        cursor=params.get("cursor", ""),
    )


def summary_json(run: Summary) -> dict[str, Any]:
    """A run of a list."""
    return asdict(run)


def run_json(record: Record) -> dict[str, Any]:
    """A run without its events: what they add up to instead."""
    parts = [_part(part) for part in record.parts]
    words = [said(part[1], record.parts[n].state == "done") for n, part in enumerate(parts) if part[1]]
    picture = record.picture
    return {
        "id": record.id,
        "created_at": record.created_at,
        "state": record.state,
        "skill": record.skill,
        "model": record.model,
        "model_name": model_name(record),
        "revision": record.revision,
        "variant": record.variant,
        "title": record.title,
        "prompt": record.prompt,
        "answer": "\n".join(answer for answer, _ in words if answer),
        "reasoning": "\n".join(reasoning for _, reasoning in words if reasoning),
        "notes": record.notes,
        "tags": list(record.tags),
        "pinned": record.pinned,
        "rating": record.rating,
        "picture": None if picture is None else asdict(picture),
        "comparison": record.comparison,
        "column": record.column,
        "truth": None if record.truth is None else wire.to_json(record.truth),
        "parts": [part[0] for part in parts],
        "ask": {**_ask(record), "model": record.model},
    }


def changes_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be changed about a run. Raises `Refused` naming the field that does not fit."""
    for name, value in body.items():
        if name not in _KINDS:
            raise Refused(400, f"A run's {', '.join(_KINDS)} can be changed, not {name!r:.60}.", name[:60])
        kind, allowed = _KINDS[name]
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not fits or (kind is list and not all(isinstance(one, str) for one in value)):
            raise Refused(400, f"{name} must be {allowed}.", name)
    return dict(body)


def strings_of(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of strings in a body. Raises `Refused`."""
    value = body.get(name)
    if (
        not isinstance(value, list)
        or not all(isinstance(one, str) for one in value)
        or len(value) > _MOST_IDS
    ):
        raise Refused(400, f"{name} must be a list of up to {_MOST_IDS} strings.", name)
    return tuple(value)


def _part(part: Part) -> tuple[dict[str, Any], wire.Result | None]:
    """A part as JSON, and its result."""
    result = folded(part)
    told = {
        "create": wire.to_json(part.create),
        "state": part.state,
        "output": None if result is None else wire.result_to_json(result),
        "metrics": None if part.metrics is None else wire.to_json(part.metrics),
        "error": None if part.error is None else wire.to_json(part.error),
    }
    return told, result


def _ask(record: Record) -> dict[str, Any]:
    return message_of([part.create for part in record.parts], with_image=record.picture is not None)


def _flag(params: Mapping[str, str], name: str) -> bool | None:
    value = params.get(name, "")
    if value in ("", *_YES, *_NO):
        return None if value == "" else value in _YES
    raise Refused(400, f"{name} must be 1 or 0.", name)
