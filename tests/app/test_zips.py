"""Images in zip files that nobody vouches for."""

from __future__ import annotations

import io
import zipfile
import zlib

import pytest

from dreamscope.app import zips
from dreamscope.app.zips import BadZip, Packed, files_of, shown_name


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name) if name.endswith("/") else name, data)
    out.seek(0)
    return out


def test_files_come_by_name():
    assert list(files_of(packed({"b.png": b"2", "sub/a.png": b"1", "a.png": b"0"}))) == [
        Packed("a.png", b"0"),
        Packed("b.png", b"2"),
        Packed("sub/a.png", b"1"),
    ]


def test_what_systems_add_is_passed_over():
    names = {"__MACOSX/a.png": b"x", ".DS_Store": b"x", "sub/._a.png": b"x", "folder/": b"", "a.png": b"1"}
    assert [file.name for file in files_of(packed(names))] == ["a.png"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\..\\windows\\x.png", "windows/x.png"),
        ("a/b/c/d.png", "c/d.png"),
        ("x\x00\n\u202e.png", "x.png"),
        ("..", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_names_lead_nowhere(name, shown):
    assert shown_name(name) == shown


def test_a_bomb_is_read_no_further_than_an_image_may_be(monkeypatch):
    monkeypatch.setattr(zips, "IMAGE_LIMIT_BYTES", 1000)
    (bomb,) = files_of(packed({"bomb.png": b"\0" * 5_000_000}))
    assert bomb.data == b""
    assert "larger" in bomb.reason


def test_the_whole_is_limited_too(monkeypatch):
    monkeypatch.setattr(zips, "_UNPACKED_LIMIT_BYTES", 2500)
    with pytest.raises(BadZip, match="unpacks to more"):
        list(files_of(packed({f"{n}.png": b"\0" * 1000 for n in range(5)})))


def test_too_many_files(monkeypatch):
    monkeypatch.setattr(zips, "MOST_FILES", 3)
    with pytest.raises(BadZip, match="holds 4 files"):
        list(files_of(packed({f"{n}.png": b"1" for n in range(4)})))
    monkeypatch.setattr(zips, "_MOST_ENTRIES", 3)
    with pytest.raises(BadZip, match="lists 4 files"):
        list(files_of(packed({f".{n}": b"1" for n in range(4)})))


@pytest.mark.parametrize("data", [b"", b"no", b"PK\x03\x04" + b"\0" * 50, b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip(data):
    with pytest.raises(BadZip, match="not a zip"):
        list(files_of(io.BytesIO(data)))


def test_a_damaged_file_spares_the_others():
    content = bytes(range(256)) * 20
    data = bytearray(packed({"a.png": content, "b.png": b"fine"}, zipfile.ZIP_STORED).getvalue())
    data[data.index(content) + 100] ^= 0xFF
    first, second = files_of(io.BytesIO(bytes(data)))
    assert "damaged" in first.reason
    assert second == Packed("b.png", b"fine")


def test_an_encrypted_file_is_named():
    data = bytearray(packed({"a.png": b"1"}).getvalue())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(signature) + offset] |= 1
    (found,) = files_of(io.BytesIO(bytes(data)))
    assert "encrypted" in found.reason


def test_a_size_that_lies_is_not_believed():
    data = bytearray(packed({"a.png": zlib.crc32(b"").to_bytes(4, "big") * 1000}).getvalue())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    (found,) = files_of(io.BytesIO(bytes(data)))
    assert len(found.data) <= 10 or found.reason
