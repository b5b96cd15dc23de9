"""What a run writes while it streams: its beginning, its events as they come, its end. Work for the writer.

Everything here tolerates that the run is gone: someone may delete the history while a run is on its way.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dreamscope.app.store import codec
from dreamscope.app.store.kinds import StoredImage, timestamp
from dreamscope.engine import wire
from dreamscope.visualizers import words
from dreamscope.visualizers.answerer import Answerer
from dreamscope.visualizers.record import Part, Picture, Record, overall

LIVE = ("queued", "running")
INTERRUPTED = "interrupted"
_ENDS = {
    wire.RequestDone.wire_type: "done",
    wire.RequestCancelled.wire_type: "stopped",
    wire.RequestFailed.wire_type: "failed",
}


def begin(db: sqlite3.Connection, record: Record, session: str) -> None:
    """Write a run and its parts, with the events they have; a run of that id that is there stays as it is."""
    if record.comparison:
        db.execute(
            "INSERT OR IGNORE INTO comparisons(id, created_at) VALUES (?, ?)",
            (record.comparison, record.created_at),
        )
    if record.picture:
        _know(db, record.picture)
    row = codec.run_row(record)
    row["session"] = session
    known = db.execute("SELECT 1 FROM runs WHERE id = ?", (record.id,)).fetchone()
    if known:
        return
    columns = ", ".join(row)
    holes = ", ".join("?" for _ in row)
    db.execute(f"INSERT INTO runs({columns}) VALUES ({holes})", tuple(row.values()))
    db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(record.id, tag) for tag in record.tags])
    for number, part in enumerate(record.parts):
        db.execute(
            'INSERT INTO parts(run_id, part, state, "create") VALUES (?, ?, ?, ?)',
            (record.id, number, part.state, codec.dumps(wire.to_json(part.create))),
        )
        append(db, record.id, number, part.events)
        if part.state not in LIVE:
            finish(db, record.id, number, part.state)


def append(db: sqlite3.Connection, run_id: str, part: int, events: Sequence[wire.RequestEvent]) -> None:
    """Write events; those that are there already, as after a resumed connection, are left alone."""
    if db.execute("SELECT 1 FROM parts WHERE run_id = ? AND part = ?", (run_id, part)).fetchone():
        db.executemany(
            "INSERT OR IGNORE INTO events(run_id, part, seq, t, type, body) VALUES (?, ?, ?, ?, ?, ?)",
            [(run_id, part, *codec.event_columns(event)) for event in events],
        )
        if any(isinstance(event, wire.RequestStarted) for event in events):
            _set_state(db, run_id, part, "running", only_if="queued")


def finish(db: sqlite3.Connection, run_id: str, part: int, state: str) -> None:
    """End a part in `state`: fold what its events add up to into the part, and its words into the run."""
    whole = read_part(db, run_id, part)
    if whole is None:
        return
    known = folded(whole)
    db.execute(
        "UPDATE parts SET output = ?, metrics = ?, error = ? WHERE run_id = ? AND part = ?",
        (
            None if known is None else codec.dumps(wire.result_to_json(known)),
            None if whole.metrics is None else codec.dumps(wire.to_json(whole.metrics)),
            None if whole.error is None else codec.dumps(wire.to_json(whole.error)),
            run_id,
            part,
        ),
    )
    _set_state(db, run_id, part, state)
    answers, thoughts = _words(db, run_id)
    db.execute(
        "UPDATE runs SET answer = ?, reasoning = ? WHERE id = ?",
        (codec.clean(answers), codec.clean(thoughts), run_id),
    )


def amend(
    db: sqlite3.Connection,
    run_id: str,
    model: str | None,
    revision: str | None,
    answerer: Answerer | None = None,
) -> None:
    """Say what answered, once the engine has said so."""
    db.execute(
        "UPDATE runs SET model = COALESCE(?, model), revision = COALESCE(?, revision), "
        "answerer = COALESCE(?, answerer) WHERE id = ?",
        (
            model and codec.clean(model),
            revision and codec.clean(revision),
            codec.answerer_column(answerer),
            run_id,
        ),
    )


def interrupt(db: sqlite3.Connection, dead: Callable[[str], bool]) -> int:
    """End as interrupted what `dead` sessions had begun and not ended; how many runs that were."""
    runs = db.execute("SELECT id, session FROM runs WHERE state IN ('queued', 'running')").fetchall()
    left = [run_id for run_id, session in runs if dead(session)]
    for run_id in left:
        parts = db.execute(
            "SELECT part FROM parts WHERE run_id = ? AND state IN ('queued', 'running')", (run_id,)
        ).fetchall()
        for (part,) in parts:
            finish(db, run_id, part, _told(db, run_id, part))
        if not parts:
            db.execute("UPDATE runs SET state = ? WHERE id = ?", (INTERRUPTED, run_id))
    batches = db.execute("SELECT id, session FROM batches WHERE state IN ('queued', 'running')").fetchall()
    for batch_id, session in batches:
        if dead(session):
            db.execute("UPDATE batches SET state = ? WHERE id = ?", (INTERRUPTED, batch_id))
    return len(left)


def put_image(db: sqlite3.Connection, image: StoredImage, thumb: bytes) -> None:
    """Keep an image. Using it again makes it new, so that it is not dropped before a run has it.

    What its bytes say of it replaces what an imported run without them may have claimed.
    """
    db.execute(
        "INSERT INTO images(hash, media_type, width, height, bytes, created_at, thumb, data) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(hash) DO UPDATE SET "
        "media_type = excluded.media_type, width = excluded.width, height = excluded.height, "
        "created_at = excluded.created_at, bytes = excluded.bytes, "
        "thumb = excluded.thumb, data = excluded.data",
        (
            image.hash,
            image.media_type,
            image.width,
            image.height,
            len(image.data),
            timestamp(),
            thumb,
            image.data,
        ),
    )


def read_part(db: sqlite3.Connection, run_id: str, part: int) -> Part | None:
    """A part with its events in order."""
    found = db.execute(
        'SELECT "create", state FROM parts WHERE run_id = ? AND part = ?', (run_id, part)
    ).fetchone()
    if found is None:
        return None
    create: wire.RequestCreate = wire.from_json(wire.RequestCreate, json.loads(found[0]))
    rows: Iterable[Any] = db.execute(
        "SELECT seq, t, type, body FROM events WHERE run_id = ? AND part = ? ORDER BY seq", (run_id, part)
    )
    return Part(create, found[1], tuple(codec.event_of(create.request_id, *row) for row in rows))


def folded(part: Part) -> wire.Result | None:
    """What the events of a part add up to; `None` where an engine broke the protocol."""
    try:
        return part.result
    except ValueError:
        return None


def _told(db: sqlite3.Connection, run_id: str, part: int) -> str:
    """How a part ended that nobody has finished: as its last event says, or else interrupted."""
    last = db.execute(
        "SELECT type FROM events WHERE run_id = ? AND part = ? ORDER BY seq DESC LIMIT 1", (run_id, part)
    ).fetchone()
    return _ENDS.get(last[0] if last else "", INTERRUPTED)


def _know(db: sqlite3.Connection, picture: Picture) -> None:
    """A row for an image that a run speaks of, also where its bytes were cleared away meanwhile."""
    db.execute(
        "INSERT OR IGNORE INTO images(hash, media_type, width, height, bytes, created_at) "
        "VALUES (?, ?, ?, ?, 0, ?)",
        (picture.hash, picture.media_type, picture.width, picture.height, timestamp()),
    )


def _set_state(db: sqlite3.Connection, run_id: str, part: int, state: str, only_if: str = "") -> None:
    """Set the state of a part, and of the run what follows from it."""
    db.execute(
        "UPDATE parts SET state = ? WHERE run_id = ? AND part = ? AND ? IN ('', state)",
        (state, run_id, part, only_if),
    )
    states = [row[0] for row in db.execute("SELECT state FROM parts WHERE run_id = ?", (run_id,))]
    whole = overall(states)
    over = not any(each in LIVE for each in states)
    db.execute(
        "UPDATE runs SET state = ?, finished_at = CASE WHEN ? THEN COALESCE(finished_at, ?) END WHERE id = ?",
        (whole, over, timestamp(), run_id),
    )


def _words(db: sqlite3.Connection, run_id: str) -> tuple[str, str]:
    """Answer and reasoning of a run as texts to read and search, one line per part that has any."""
    answers, thoughts = [], []
    found = db.execute(
        'SELECT "create", output, error, state FROM parts WHERE run_id = ? ORDER BY part', (run_id,)
    ).fetchall()
    for create_text, output, error, state in found:
        create = wire.from_json(wire.RequestCreate, json.loads(create_text))
        if output is None:
            continue
        result = wire.result_from_json(create.skill, json.loads(output))
        answer, reasoning = said(result, state == "done")
        if error and not answer:
            answer = json.loads(error)["message"]
        answers.append(f"{create.object}: {answer}" if len(found) > 1 and create.object else answer)
        thoughts.append(reasoning)
    return "\n".join(filter(None, answers)), "\n".join(filter(None, thoughts))


def said(result: wire.Result, finished: bool) -> tuple[str, str]:
    """Answer and reasoning of a result in words; of places, how many were found."""
    if isinstance(result, wire.QueryResult | wire.ChatResult):
        return result.answer, result.reasoning.text if result.reasoning else ""
    if isinstance(result, wire.CaptionResult):
        return result.caption, ""
    return words.found(result, finished), ""
