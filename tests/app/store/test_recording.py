"""What is recorded is what comes back, whatever happens in between."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from dreamscope.app.store.kinds import Search, StoreError
from dreamscope.app.store.store import Store
from dreamscope.engine import wire


def test_a_run_comes_back_as_it_was_recorded(store, make_run, make_query_part, make_events, photo):
    picture = store.put_image(photo)
    record = make_run(
        make_query_part(reasoning=True, settings={"temperature": 0.5, "seed": 7}),
        picture=picture,
        title="Dogs",
        notes="why two?",
        tags=("a", "b"),
        pinned=True,
        rating=-1,
        revision="abc",
        variant="dogs@20",
    )
    events = make_events("There are two.")
    store.begin(record)
    for event in events:
        store.append(record.id, 0, [event])
    store.finish(record.id, 0, "done")
    store.flush()
    kept = store.record(record.id)
    (part,) = record.parts
    assert kept == record.with_parts([type(part)(part.create, "done", events)])
    assert kept.parts[0].result == wire.QueryResult("There are two.")


def test_a_run_is_there_while_it_streams(store, make_run, make_events):
    record = make_run()
    store.begin(record)
    store.flush()
    assert store.record(record.id).state == "queued"
    events = make_events("one two three")
    store.append(record.id, 0, events[:4])
    store.flush()
    kept = store.record(record.id)
    assert kept.state == "running"
    assert kept.parts[0].events == events[:4]
    assert kept.parts[0].result == wire.QueryResult("one two ")


def test_every_event_of_every_skill_comes_back(store, make_run, photo):
    """One event of each class, with every optional field set."""
    probs = ((3, 0.5),)
    spread = wire.Spread(0.5, (0.1, 0.2), (0.0, 0.3))
    place = wire.PlaceSpread(spread, spread)
    size = wire.BoxSpread(spread, spread, spread, spread)
    box = wire.Box(0.1, 0.2, 0.3, 0.4)
    r = {"request_id": "r"}
    events = (
        wire.RequestAccepted(**r, seq=0, t=0.0, model="m", skill="segment", tag={"a": 1}, position=2),
        wire.RequestStarted(
            **r, seq=1, t=1.0, input_tokens=1, cached_tokens=0, image=wire.ImageInfo(4, 3, 2)
        ),
        wire.ReasoningDelta(**r, seq=3, t=2.0, first_seq=2, delta="é\u2028\x00😀", n=2, probs=probs),
        wire.SpanOpen(**r, seq=4, t=2.0, index=0, start=1),
        wire.SpanPoint(**r, seq=5, t=2.0, index=0, x=0.5, y=0.25, spread=place),
        wire.SpanClose(**r, seq=6, t=2.0, index=0, end=3, points=((0.5, 0.25),), spreads=(place,)),
        wire.ReasoningDone(
            **r, seq=7, t=2.0, text="see", grounding=(wire.Ground(0, 2, ((0.1, 0.2),)),), probs=probs
        ),
        wire.TextDelta(**r, seq=8, t=2.0, delta="x", probs=probs),
        wire.PointEvent(**r, seq=9, t=2.0, index=0, x=0.1, y=0.2, spread=place),
        wire.BoxCenter(**r, seq=10, t=2.0, index=0, x=0.1, y=0.2, spread=place),
        wire.BoxEvent(**r, seq=11, t=2.0, index=0, x_min=0.0, y_min=0.0, x_max=1.0, y_max=1.0, spread=size),
        wire.GazeEvent(**r, seq=12, t=2.0, x=0.1, y=0.2, spread=place),
        wire.MaskBox(**r, seq=13, t=2.0, bbox=box, spread=size),
        wire.MaskDelta(**r, seq=14, t=2.0, delta="M0 0", n=3),
        wire.MaskDone(**r, seq=15, t=2.0, path="M0 0Z", coarse_path="M0 0", bbox=box, coarse_bbox=box),
        wire.RequestCancelled(**r, seq=16, t=3.125, reason="client", metrics=wire.Metrics(ttft_ms=1.5)),
    )
    assert {type(event) for event in events} >= set(wire.Event.__args__) - {
        wire.RequestDone,
        wire.RequestFailed,
        wire.RequestSnapshot,
    }
    part = make_run().parts[0]
    create = wire.RequestCreate(request_id="r", skill="segment", object="dog")
    record = make_run(type(part)(create), skill="segment")
    store.begin(record)
    store.append(record.id, 0, events)
    store.finish(record.id, 0, "stopped")
    store.flush()
    assert store.record(record.id).parts[0].events == events


def test_what_people_search_and_read_is_folded_in(store, keep, sql):
    kept = keep("How many dogs?", "There are two.")
    row = sql.execute(
        "SELECT prompt, answer, state, finished_at FROM runs WHERE id = ?", (kept.id,)
    ).fetchone()
    assert row[:3] == ("How many dogs?", "There are two.", "done")
    assert row[3] >= kept.created_at
    output, metrics = sql.execute(
        "SELECT json_extract(output, '$.answer'), json_extract(metrics, '$.ttft_ms') FROM parts"
    ).fetchone()
    assert (output, metrics) == ("There are two.", 4.0)


def test_a_run_of_several_objects_is_over_when_the_last_is(store, make_run):
    def asked(name):
        part = make_run().parts[0]
        return type(part)(wire.RequestCreate(request_id=f"r-{name}", skill="detect", object=name))

    record = make_run(asked("dog"), asked("cat"), skill="detect")
    store.begin(record)
    states = []
    for number in (1, 0):
        request_id = record.parts[number].create.request_id
        output = {"objects": [wire.to_json(wire.Box(0, 0, 1, 1))] * number}
        done = wire.RequestDone(
            request_id=request_id, seq=0, t=1.0, finish_reason="stop", output=output, metrics=wire.Metrics()
        )
        store.append(record.id, number, [done])
        store.finish(record.id, number, "done")
        store.flush()
        states.append(store.record(record.id).state)
    assert states == ["queued", "done"]
    (summary,) = store.search(Search()).runs
    assert summary.prompt == "dog, cat"
    assert summary.answer.splitlines()[1] == "cat: 1 box"


def test_a_failure_is_kept_with_its_reason(store, make_run):
    record = make_run()
    error = wire.ErrorInfo("Out of memory.", "server_error", "internal_error")
    store.begin(record)
    store.append(record.id, 0, [wire.RequestFailed(request_id="r", seq=0, t=0.0, error=error)])
    store.finish(record.id, 0, "failed")
    store.flush()
    assert store.record(record.id).parts[0].error == error
    assert store.search(Search(text="memory")).runs[0].answer == "Out of memory."


def test_events_that_come_twice_are_kept_once(store, make_run, make_events):
    record, events = make_run(), make_events("one two")
    store.begin(record)
    store.append(record.id, 0, events[:3])
    store.append(record.id, 0, events[1:])
    store.flush()
    assert store.record(record.id).parts[0].events == events


def test_the_model_that_answered_is_noted(store, make_run):
    record = make_run(model="")
    store.begin(record)
    store.amend(record.id, model="sprite-3", revision="r7")
    store.flush()
    kept = store.record(record.id)
    assert (kept.model, kept.revision) == ("sprite-3", "r7")


def test_an_unknown_state_is_refused_at_once(store):
    with pytest.raises(ValueError, match="Unknown state 'finished'; one of queued, running"):
        store.finish("x", 0, "finished")


def test_a_run_that_was_cleared_away_is_not_made_again(store, make_run, make_events):
    record = make_run()
    store.begin(record)
    store.clear()
    store.append(record.id, 0, make_events("two"))
    store.amend(record.id, model="x")
    store.finish(record.id, 0, "done")
    store.flush()
    assert store.record(record.id) is None
    assert store.trouble is None


def test_a_run_on_an_image_that_was_cleared_away_keeps_its_size(store, make_run, photo):
    picture = store.put_image(photo)
    store.clear()
    record = make_run(picture=picture)
    store.begin(record)
    store.flush()
    assert store.record(record.id).picture == picture
    assert store.image(picture.hash) is None
    store.put_image(photo)
    assert store.image(picture.hash) == photo


def test_an_image_is_kept_once(store, photo, sql):
    for _ in range(3):
        store.put_image(photo)
    assert sql.execute("SELECT hash, bytes FROM images").fetchall() == [(photo.hash, len(photo.data))]
    assert store.thumb(photo.hash)[8:12] == b"WEBP"


def test_text_that_sqlite_cannot_keep_is_mended(store, keep):
    kept = keep("half \ud83d a \0 pair", "lone \udc00", title="\ud800")
    assert kept.title == "\ufffd"
    assert store.search(Search(text="pair")).total == 1


def test_recording_never_waits_for_the_disk(store, make_run, make_events, folder):
    """Somebody else holds the write lock for as long as we record."""
    record, events = make_run(), make_events("word " * 200)
    blocker = sqlite3.connect(folder / "history.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    begun = time.perf_counter()
    store.begin(record)
    for event in events:
        store.append(record.id, 0, [event])
    store.finish(record.id, 0, "done")
    took = time.perf_counter() - begun
    blocker.execute("ROLLBACK")
    blocker.close()
    store.flush()
    assert store.record(record.id).parts[0].events == events
    assert took < 0.5


def test_readers_see_whole_transactions_while_a_run_is_written(store, make_run, make_events):
    """Every moment of a run that a reader sees is a beginning of it, never with a hole."""
    records = [make_run() for _ in range(4)]
    events = make_events("word " * 300)
    trouble, over = [], threading.Event()

    def read(record):
        longest = 0
        while not over.is_set():
            kept = store.record(record.id)
            if kept is None:
                continue
            seen = [event.seq for event in kept.parts[0].events]
            if seen != list(range(len(seen))) or len(seen) < longest:
                trouble.append(seen)
            longest = len(seen)

    readers = [threading.Thread(target=read, args=(record,)) for record in records]
    for reader in readers:
        reader.start()
    for record in records:
        store.begin(record)
    for event in events:
        for record in records:
            store.append(record.id, 0, [event])
    store.flush()
    over.set()
    for reader in readers:
        reader.join()
    assert trouble == []
    assert all(len(store.record(record.id).parts[0].events) == len(events) for record in records)


def test_closing_writes_what_is_queued(make_run, make_events, folder):
    store = Store.open(folder)
    record = make_run()
    store.begin(record)
    store.append(record.id, 0, make_events("one two"))
    store.finish(record.id, 0, "done")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.begin(record)
    again = Store.open(folder)
    assert again.record(record.id).state == "done"
    again.close()


def test_without_a_folder_nothing_stays(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store.open(None)
    record = make_run()
    store.begin(record)
    store.flush()
    assert store.record(record.id) is not None
    assert store.storage().folder is None
    assert list(tmp_path.iterdir()) != []
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("x")
    with pytest.raises(StoreError, match=str(taken)):
        Store.open(taken)
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "history.db").write_bytes(b"this is no database" * 99)
    with pytest.raises(StoreError, match=r"history\.db"):
        Store.open(odd)


def test_only_its_owner_can_read_it(store, folder):
    if not hasattr(Path, "chmod") or folder.stat().st_mode & 0o777 == 0o777:
        pytest.skip("this file system has no permissions")
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "history.db").stat().st_mode & 0o077 == 0
