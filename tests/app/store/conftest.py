from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dreamscope.app.images import normalise
from dreamscope.app.store.kinds import StoredImage, new_id, timestamp
from dreamscope.app.store.store import Store
from dreamscope.engine import wire
from dreamscope.visualizers.record import Part, Record


def events_of(answer: str, request_id: str = "r") -> tuple[wire.RequestEvent, ...]:
    """A whole query: accepted, started, a delta for each word, done."""
    accepted = wire.RequestAccepted(request_id=request_id, seq=0, t=0.0, model="sprite-2", skill="query")
    started = wire.RequestStarted(request_id=request_id, seq=1, t=2.5, input_tokens=7, cached_tokens=0)
    deltas = [
        wire.TextDelta(request_id=request_id, seq=2 + n, t=3.0 + n, delta=word + " ")
        for n, word in enumerate(answer.split())
    ]
    done = wire.RequestDone(
        request_id=request_id,
        seq=2 + len(deltas),
        t=99.0,
        finish_reason="stop",
        output={"answer": answer},
        metrics=wire.Metrics(input_tokens=7, output_tokens=len(deltas), ttft_ms=4.0),
    )
    return (accepted, started, *deltas, done)


def query(question: str = "How many dogs?", **create: Any) -> Part:
    return Part(wire.RequestCreate(request_id="r", skill="query", question=question, **create))


def run(*parts: Part, **fields: Any) -> Record:
    known: dict[str, Any] = {"id": new_id(), "created_at": timestamp(), "skill": "query", "model": "sprite-2"}
    return Record(**{**known, "parts": parts or (query(),), **fields})


@pytest.fixture
def make_run() -> Callable[..., Record]:
    """A run that waits; one query unless parts are given."""
    return run


@pytest.fixture
def make_query_part() -> Callable[..., Part]:
    return query


@pytest.fixture
def make_events() -> Callable[..., tuple[wire.RequestEvent, ...]]:
    return events_of


@pytest.fixture
def keep(store: Store) -> Callable[..., Record]:
    """Records a whole query with its answer; gives the run as the store has it."""

    def keep_it(question: str = "How many dogs?", answer: str = "There are two.", **fields: Any) -> Record:
        record = run(query(question), **fields)
        store.begin(record)
        store.append(record.id, 0, events_of(answer))
        store.finish(record.id, 0, "done")
        store.flush()
        kept = store.record(record.id)
        assert kept is not None
        return kept

    return keep_it


@pytest.fixture
def photo() -> StoredImage:
    out = io.BytesIO()
    Image.effect_noise((120, 90), 60).convert("RGB").save(out, "PNG")
    return normalise(out.getvalue())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of `store`."""
    return tmp_path / "data"


@pytest.fixture
def sql(store: Store, folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else to the history of `store`."""
    connection = sqlite3.connect(folder / "history.db", timeout=10)
    yield connection
    connection.close()
