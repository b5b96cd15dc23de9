"""What people change, delete and get back, and what is dropped for them."""

from __future__ import annotations

import sqlite3

import pytest

from dreamscope.app.store import changing, connect
from dreamscope.app.store.kinds import Batch, BatchImage, Search, StoreError, timestamp
from dreamscope.app.store.store import Store


def ids(store, **query):
    return [run.id for run in store.search(Search(**query)).runs]


def test_a_run_is_renamed_tagged_noted_pinned_and_rated(store, keep):
    kept = keep()
    assert store.change(kept.id, title="  Two dogs ", notes="look\nhere", tags=["b", " a  a ", "b", ""])
    assert store.change(kept.id, pinned=True, rating=-1)
    changed = store.record(kept.id)
    assert (changed.title, changed.notes, changed.tags) == ("Two dogs", "look\nhere", ("a a", "b"))
    assert (changed.pinned, changed.rating) == (True, -1)
    assert store.change(kept.id, tags=[], title="")
    assert store.record(kept.id).tags == ()
    assert not store.change("nobody", title="x")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"title": "x" * 301}, "title must have at most 300"),
        ({"notes": "x" * 20_001}, "notes must have at most 20000"),
        ({"tags": ["x" * 61]}, "at most 60 characters"),
        ({"tags": [str(n) for n in range(31)]}, "at most 30 tags"),
        ({"rating": 2}, "one of -1, 0, 1"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_changes(store, keep, change, said):
    kept = keep()
    with pytest.raises(StoreError, match=said):
        store.change(kept.id, pinned=True, **change)
    assert store.record(kept.id) == kept


def test_a_deleted_run_is_nowhere_until_it_is_restored(store, keep):
    one, two, three = keep(tags=("x",)), keep(), keep()
    token = store.delete([one.id, two.id, "nobody"])
    assert store.record(one.id) is None
    assert ids(store) == [three.id]
    assert store.search(Search()).facets["tag"] == {}
    assert sorted(ids(store, deleted=True)) == sorted([one.id, two.id])
    assert not store.change(one.id, title="x")
    assert store.export_run(one.id) is None
    assert sorted(store.restore(token)) == sorted([one.id, two.id])
    assert store.record(one.id) == one
    assert store.restore(token) == ()


def test_what_was_deleted_is_listed_for_as_long_as_it_can_be_restored(store, keep, monkeypatch):
    one, two, three = keep(title="Dogs"), keep(), keep()
    first, second = store.delete([one.id]), store.delete([two.id, three.id])
    listed = {deletion.token: (deletion.runs, deletion.name) for deletion in store.deletions()}
    assert listed == {first: (1, "Dogs"), second: (2, three.prompt)}
    assert all(timestamp(599) <= deletion.until <= timestamp(601) for deletion in store.deletions())
    store.restore(second)
    assert [deletion.token for deletion in store.deletions()] == [first]
    monkeypatch.setattr("dreamscope.app.store.deletions.UNDO_S", -1.0)
    assert store.deletions() == ()


def test_deleting_nothing_gives_no_token(store, keep):
    kept = keep()
    assert store.delete([]) == ""
    assert store.delete(["nobody"]) == ""
    assert store.delete([kept.id]) != ""
    assert store.delete([kept.id]) == ""


def test_an_old_deletion_is_dropped_with_all_that_belonged_to_it(store, keep, photo, sql, monkeypatch):
    picture = store.put_image(photo)
    gone, stays = keep(picture=picture, tags=("x",)), keep()
    share = store.add_share(run_id=gone.id)
    token = store.delete([gone.id])
    assert store.purge() == 0
    monkeypatch.setattr(changing, "UNDO_S", -1.0)
    assert store.purge() == 1
    assert store.restore(token) == ()
    for table in ("parts", "events", "tags"):
        assert sql.execute(f"SELECT COUNT(*) FROM {table} WHERE run_id = ?", (gone.id,)).fetchone() == (0,)
    assert store.image(photo.hash) is None
    assert store.share(share.slug) is not None
    assert not store.share(share.slug).live
    assert store.record(stays.id) == stays


def test_an_image_stays_while_a_run_or_a_batch_needs_it(store, keep, photo, sql, monkeypatch):
    monkeypatch.setattr(changing, "UNDO_S", -1.0)
    picture = store.put_image(photo)
    one, two = keep(picture=picture), keep(picture=picture)
    batch = Batch(
        id="b", title="", created_at=timestamp(), state="running", images=(BatchImage(photo.hash, "a.png"),)
    )
    store.add_batch(batch)
    for delete in (lambda: store.delete([one.id]), lambda: store.delete([two.id])):
        delete()
        store.purge()
        assert store.image(photo.hash) is not None
    store.update_batch("b", state="done")
    monkeypatch.setattr(changing, "UNUSED_IMAGE_S", -1.0)
    store.purge()
    assert store.image(photo.hash) is None


def test_an_image_that_was_only_opened_stays_for_a_while(store, photo, monkeypatch):
    store.put_image(photo)
    store.purge()
    assert store.image(photo.hash) == photo
    monkeypatch.setattr(changing, "UNUSED_IMAGE_S", -1.0)
    store.purge()
    assert store.image(photo.hash) is None


def test_the_cap_drops_the_oldest_but_not_what_is_pinned_shared_or_running(folder, make_run):
    store = Store.open(folder, limit=3)

    def kept(day, state="done", **fields):
        record = make_run(created_at=f"2026-01-{day:02d}T00:00:00.000Z", **fields)
        store.begin(record)
        if state != "queued":
            store.finish(record.id, 0, state)
        store.flush()
        return record.id

    pinned, running = kept(1, pinned=True), kept(2, state="queued")
    shared, unshared = kept(3), kept(4)
    store.add_share(run_id=shared)
    store.revoke(store.add_share(run_id=unshared).slug)
    compared = kept(5, comparison="c")
    store.add_share(comparison_id="c")
    expired = kept(6)
    store.add_share(run_id=expired, expires_in_s=-1)
    newest = kept(7)
    assert store.purge() == 3
    assert ids(store) == [compared, shared, running, pinned]
    assert newest not in ids(store)
    store.close()


def test_the_cap_drops_deleted_runs_first(folder, make_run):
    store = Store.open(folder, limit=2)
    records = [make_run(created_at=f"2026-01-0{day}T00:00:00.000Z") for day in (1, 2, 3)]
    for record in records:
        store.begin(record)
        store.finish(record.id, 0, "done")
    store.delete([records[2].id])
    assert store.purge() == 1
    assert ids(store) == [records[1].id, records[0].id]
    store.close()


def test_clearing_leaves_no_byte_of_anything_in_the_folder(store, keep, photo, folder):
    secrets = [
        b"SECRETQUESTION",
        b"SECRETANSWER",
        b"SECRETTITLE",
        b"SECRETNOTE",
        b"SECRETTAG",
        photo.data[60:200],
    ]
    kept = keep(
        "SECRETQUESTION",
        "SECRETANSWER",
        picture=store.put_image(photo),
        title="SECRETTITLE",
        notes="SECRETNOTE",
        tags=("SECRETTAG",),
    )
    slug = store.add_share(run_id=kept.id).slug
    secrets += [slug.encode(), kept.id.encode()]

    def found():
        whole = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).lower()
        return [secret for secret in secrets if secret.lower() in whole]

    assert found() == secrets
    store.clear()
    assert found() == []
    assert store.search(Search()).total == 0
    assert store.share(slug) is None
    assert store.image(photo.hash) is None
    assert keep("again").prompt == "again"


def test_who_reads_on_while_everything_is_deleted_is_spoken_of(keep, monkeypatch, folder):
    monkeypatch.setattr(connect, "PATIENCE_S", 0.2)
    store = Store.open(folder)
    reader = sqlite3.connect(folder / "history.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM runs").fetchone()
    with pytest.raises(StoreError, match="another program is reading"):
        store.clear()
    reader.execute("ROLLBACK")
    store.clear()
    reader.close()
    store.close()


def test_a_dropped_run_leaves_no_byte_in_the_file(store, keep, photo, folder, monkeypatch):
    kept = keep("SECRETQUESTION", "SECRETANSWER", picture=store.put_image(photo))
    keep()
    monkeypatch.setattr(changing, "UNDO_S", -1.0)
    store.delete([kept.id])
    store.purge()
    store.close()  # the log is folded into the file
    whole = (folder / "history.db").read_bytes().lower()
    assert not [s for s in (b"secretquestion", b"secretanswer", photo.data[60:200].lower()) if s in whole]


def test_comparisons(store, keep):
    store.add_comparison("c", "Two models", "compare")
    right, left = keep(comparison="c", column=1), keep(comparison="c", column=0)
    keep()
    found = store.comparison("c")
    assert (found.title, found.kind, found.runs) == ("Two models", "compare", (left.id, right.id))
    (first, second) = store.search(Search(comparison="c")).runs
    assert {first.comparison_title, second.comparison_title} == {"Two models"}
    store.delete([left.id])
    assert store.comparison("c").runs == (right.id,)
    assert store.comparison("nothing") is None
    store.add_comparison("c", "Renamed", "batch")
    assert (store.comparison("c").title, store.comparison("c").kind) == ("Renamed", "batch")
    with pytest.raises(StoreError, match="one of compare, batch"):
        store.add_comparison("d", "", "other")


def test_shares(store, keep):
    kept = keep(comparison="c")
    share = store.add_share(run_id=kept.id)
    assert len(share.slug) == 22
    assert store.share(share.slug) == share
    assert share.live
    late = store.add_share(comparison_id="c", expires_in_s=-1)
    assert not late.live
    assert store.shares(run_id=kept.id) == (share,)
    assert store.shares(comparison_id="c") == (late,)
    assert {found.slug for found in store.shares()} == {share.slug, late.slug}
    assert store.revoke(share.slug)
    assert not store.revoke(share.slug)
    assert not store.share(share.slug).live
    assert store.share("unknown") is None
    for bad in ({}, {"run_id": kept.id, "comparison_id": "c"}, {"run_id": "x"}, {"comparison_id": "x"}):
        with pytest.raises(StoreError):
            store.add_share(**bad)


def test_batches(store):
    batch = Batch(
        id="b",
        title="Birds",
        created_at=timestamp(),
        asks=({"skill": "point", "object": "bird"},),
        images=(BatchImage("0" * 64, "a.png"),),
    )
    store.add_batch(batch)
    assert store.batch("b") == batch
    assert store.update_batch("b", state="running")
    assert store.batches() == (store.batch("b"),)
    assert store.batch("b").state == "running"
    assert not store.update_batch("c", state="done")
    with pytest.raises(StoreError, match="one of queued"):
        store.update_batch("b", state="odd")


def test_a_change_that_fails_does_not_undo_others(store, make_run, folder):
    """Work that is done in one transaction fails alone."""
    good, bad = make_run(), make_run()
    blocker = sqlite3.connect(folder / "history.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    store.begin(good)
    store._writer.post(lambda db: db.execute("INSERT INTO nowhere VALUES (1)"))
    store.begin(bad)
    blocker.execute("ROLLBACK")
    blocker.close()
    store.flush()
    assert {run.id for run in store.search(Search()).runs} == {good.id, bad.id}
    assert "no such table" in store.trouble
    store.delete([bad.id])
    assert store.trouble is None
