"""A run survives JSON, and nothing that is no run comes out of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.visualizers.record_json import (
    DEEPEST,
    MOST_PARTS,
    RecordError,
    dumps,
    from_json,
    loads,
    to_json,
)


def test_every_field_survives(make_query, make_detect) -> None:
    full = make_query(
        title="</script><b>", notes="a note\u2028", tags=("x", "é"), pinned=True, rating=-1, variant="dogs@20"
    )
    for record in (full, make_detect("dog", "cat", comparison="c1", column=2), make_query(picture=None)):
        assert loads(dumps(record)) == record
        assert from_json(to_json(record)) == record


def test_gaze_without_a_target_survives(make_query) -> None:
    create = wire.RequestCreate(request_id="r", skill="gaze", eye=(0.1, 0.2))
    done = wire.RequestDone(
        request_id="r", seq=3, finish_reason="stop", output={"gaze": None}, metrics=wire.Metrics()
    )
    part = replace(make_query().parts[0], create=create, events=(done,))
    record = make_query(skill="gaze").with_parts([part])
    assert loads(dumps(record)) == record


def change(data: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    node: Any = data
    for step in way:
        node = node[int(step)] if isinstance(node, list) else node[step]
    node[int(last) if isinstance(node, list) else last] = value


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("format", "other", "format"),
        ("version", 2, "version"),
        ("surprise", 1, "surprise"),
        ("id", "../../etc", "id"),
        ("id", 7, "id"),
        ("created_at", "yesterday", "created_at"),
        ("created_at", "2026-03-01T10:20:30", "created_at"),
        ("skill", "paint", "skill"),
        ("skill", "detect", "skill"),
        ("model", None, "model"),
        ("title", "x" * 100_001, "title"),
        ("title", "\ud800", "text"),
        ("tags", "dog", "tags"),
        ("tags", [1], "tags"),
        ("pinned", 1, "pinned"),
        ("rating", 2, "rating"),
        ("rating", True, "rating"),
        ("column", -1, "column"),
        ("comparison", "a/b", "comparison"),
        ("picture", [], "picture"),
        ("picture.hash", "AB" * 32, "hash"),
        ("picture.width", 0, "width"),
        ("picture.media_type", "text/html", "media_type"),
        ("parts", [], "parts"),
        ("parts", {}, "parts"),
        ("parts.0", 3, "parts"),
        ("parts.0.more", 3, "more"),
        ("parts.0.state", "fine", "state"),
        ("parts.0.create", None, "message"),
        ("parts.0.create.image_url", "https://example.com/a.png", "image"),
        ("parts.0.create.type", "hello", "request.create"),
        ("parts.0.create.question", 5, "question"),
        ("parts.0.events", {}, "events"),
        ("parts.0.events.1.type", "ready", "protocol"),
        ("parts.0.events.1.type", "nonsense", "nonsense"),
        ("parts.0.events.1.seq", 0, "seq"),
        ("parts.0.events.1.t", -1, "t "),
        ("parts.0.events.1.t", float("nan"), "JSON"),
        ("parts.0.events.2.delta", 5, "delta"),
        ("parts.0.events.11.output", {"objects": []}, "answer"),
    ],
)
def test_what_does_not_fit_is_named(make_query, path, value, named) -> None:
    data = to_json(make_query())
    change(data, path, value)
    with pytest.raises(RecordError, match=named):
        from_json(data)


def test_nothing_follows_the_end(make_query) -> None:
    data = to_json(make_query())
    data["parts"][0]["events"].append(
        {"type": "text.delta", "request_id": "r0", "seq": 99, "t": 999, "delta": ""}
    )
    with pytest.raises(RecordError, match="ends"):
        from_json(data)


def test_too_much_of_anything_is_refused(make_query) -> None:
    data = to_json(make_query())
    data["parts"] *= MOST_PARTS + 1
    with pytest.raises(RecordError, match="parts"):
        from_json(data)
    deep: Any = {}
    for _ in range(DEEPEST):
        deep = {"a": deep}
    data = to_json(make_query())
    data["parts"][0]["create"]["settings"] = deep
    with pytest.raises(RecordError, match="deep"):
        from_json(data)


def test_chat_turns_carry_no_image_either(make_query) -> None:
    data = to_json(make_query())
    turns = [{"role": "user", "content": [{"type": "image", "image_url": "http://example.com"}]}]
    data["parts"][0]["create"]["messages"] = turns
    with pytest.raises(RecordError, match="image"):
        from_json(data)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": NaN}', "[" * 100_000, b"\xff\xfe\x00", "null", "3"])
def test_what_is_no_json_object_is_refused(text) -> None:
    with pytest.raises(RecordError):
        loads(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_no_value_anywhere_does_anything_but_fit_or_be_refused(make_query, data) -> None:
    plain = json.loads(dumps(make_query()))
    node: Any = plain
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        node[key] = data.draw(JSON)
        break
    try:
        record = from_json(plain)
    except RecordError:
        return
    assert loads(dumps(record)) == record
