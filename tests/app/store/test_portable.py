"""Runs that leave as files and come back, and files that are not what they seem."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from dataclasses import replace

import pytest

from dreamscope.app.store import portable
from dreamscope.app.store.kinds import Search, StoreError
from dreamscope.app.store.store import Store
from dreamscope.visualizers import record_json


@pytest.fixture
def packed(store, keep, photo):
    """A run that was exported, as the members of its file."""
    kept = keep(picture=store.put_image(photo), title="Dogs", tags=("a",))
    with zipfile.ZipFile(io.BytesIO(store.export_run(kept.id))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def changed(packed, **fields):
    run = json.loads(packed["run.json"])
    return zipped({**packed, "run.json": json.dumps({**run, **fields})})


def test_a_run_goes_to_another_machine_and_is_the_same(store, keep, photo, tmp_path):
    kept = keep(
        picture=store.put_image(photo),
        title="Dogs",
        notes="n\nm",
        tags=("a", "b"),
        pinned=True,
        rating=1,
        comparison="c",
        column=2,
        revision="r",
        variant="v@1",
    )
    elsewhere = Store.open(tmp_path / "elsewhere")
    run_id = elsewhere.import_run(store.export_run(kept.id))
    assert elsewhere.record(run_id) == replace(kept, id=run_id, comparison=None, column=0)
    assert elsewhere.image(photo.hash) == photo
    (found,) = elsewhere.search(Search(text="two")).runs
    assert (found.id, found.answer) == (run_id, "There are two.")
    assert elsewhere.import_run(store.export_run(kept.id)) != run_id
    elsewhere.close()


def test_a_run_without_an_image_and_one_whose_image_is_gone(store, keep, photo):
    plain = keep()
    assert store.record(store.import_run(store.export_run(plain.id))).picture is None
    picture = store.put_image(photo)
    store.clear()
    kept = keep(picture=picture)
    assert store.record(store.import_run(store.export_run(kept.id))).picture == picture
    assert store.export_run("nobody") is None


def test_a_run_that_was_cut_off_stays_so(store, make_run, make_events):
    record = make_run()
    store.begin(record)
    store.append(record.id, 0, make_events("one two")[:3])
    store.flush()
    imported = store.record(store.import_run(store.export_run(record.id)))
    assert imported.state == "interrupted"
    assert imported.parts[0].events == make_events("one two")[:3]


@pytest.mark.parametrize(
    "name", ["../run.json", "/etc/passwd", "a/../../b", "..\\x", "C:\\x", "run.json/", "RUN.JSON", "extra"]
)
def test_names_that_lead_elsewhere_are_refused(store, packed, name, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match=r"holds run\.json and image, not"):
        store.import_run(zipped({**packed, name: b"x"}))
    assert sorted(tmp_path.rglob("*")) == before


def test_bombs_are_not_unpacked(store, packed):
    bomb = zipped({**packed, "run.json": b" " * (portable.RUN_LIMIT_BYTES + 1)})
    assert len(bomb) < 200_000
    tracemalloc.start()
    with pytest.raises(StoreError, match=r"run\.json in the file is too large"):
        store.import_run(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * portable.RUN_LIMIT_BYTES
    with pytest.raises(StoreError, match="image in the file is too large"):
        store.import_run(zipped({**packed, "image": bytes(40_000_000)}))


def test_an_entry_that_lies_about_its_size_is_refused(store, packed):
    data = bytearray(zipped({**packed, "run.json": b" " * 10_000_000}))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"image"))
    struct.pack_into("<I", data, at + 24, 10)  # what the directory says that run.json has
    with pytest.raises(StoreError):
        store.import_run(bytes(data))


def test_a_file_that_is_too_large_is_not_read(store, monkeypatch):
    monkeypatch.setattr(portable, "FILE_LIMIT_BYTES", 1000)
    with pytest.raises(StoreError, match="too large"):
        store.import_run(bytes(1001))


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip" * 100, b"PK\x05\x06" + bytes(18)], ids=range(4))
def test_what_is_no_file_of_ours_is_refused(store, data):
    with pytest.raises(StoreError):
        store.import_run(data)


def test_damaged_files_are_refused(store, packed):
    good = zipped(packed)
    for cut in range(0, len(good), max(1, len(good) // 60)):
        with pytest.raises(StoreError):
            store.import_run(good[:cut])
    assert store.search(Search()).total == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "other"},
        {"version": 2},
        {"skill": "fly"},
        {"created_at": "yesterday"},
        {"created_at": "2026-01-01"},
        {"parts": []},
        {"parts": "x"},
        {"rating": 7},
        {"title": "x" * 301},
        {"notes": "x" * 20_001},
        {"tags": ["x" * 61]},
        {"tags": "x"},
        {"pinned": "yes"},
        {"picture": {"hash": "../../x", "width": 1, "height": 1, "media_type": "image/png"}},
        {"picture": {"hash": "0" * 64, "width": 1, "height": 1, "media_type": "text/html"}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_fields_that_do_not_fit_are_refused(store, packed, fields):
    with pytest.raises(StoreError):
        store.import_run(changed(packed, **fields))
    assert store.search(Search()).total == 1


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"nul", b'{"a": NaN}', b"[" * 100_000, b"\xff\xfe", b'"\\ud800"'], ids=range(7)
)
def test_json_that_is_none_is_refused(store, packed, text):
    with pytest.raises(StoreError):
        store.import_run(zipped({**packed, "run.json": text}))


def test_events_out_of_order_are_refused(store, packed):
    run = json.loads(packed["run.json"])
    events = run["parts"][0]["events"]
    events[1], events[2] = events[2], events[1]
    with pytest.raises(StoreError, match="order"):
        store.import_run(zipped({**packed, "run.json": json.dumps(run)}))


def test_an_image_that_is_another_is_refused(store, packed, png):
    with pytest.raises(StoreError, match="not the one"):
        store.import_run(zipped({**packed, "image": png}))
    with pytest.raises(StoreError, match="not an image"):
        store.import_run(zipped({**packed, "image": b"<svg onload=alert(1)>"}))
    without = json.loads(packed["run.json"])
    del without["picture"]
    with pytest.raises(StoreError, match="not the one"):
        store.import_run(zipped({**packed, "run.json": json.dumps(without)}))


def test_scripts_in_every_text_come_back_as_text(store, keep, make_query_part):
    script = "<script>alert('x')</script>${x}"
    kept = keep(
        script,
        script,
        title=script,
        notes=script,
        tags=(script,),
        model=script,
        revision=script,
        variant=script,
    )
    imported = store.record(store.import_run(store.export_run(kept.id)))
    assert imported == replace(kept, id=imported.id)
    assert record_json.loads(record_json.dumps(imported)) == imported
