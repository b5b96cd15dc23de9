"""The images in a zip file that somebody sends: read with limits, nothing is ever written under its names.

A zip says little that can be relied on: sizes are counted while unpacking, names are only shown, and whether
something is an image is decided by decoding it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

from dreamscope.app.config import IMAGE_LIMIT_BYTES

ZIP_LIMIT_BYTES = 512 * 2**20
"""Largest zip file."""
MOST_FILES = 2000
"""Most images of one zip, and of one batch."""
_MOST_ENTRIES = 20_000
_DIRECTORY_LIMIT_BYTES = 400 * _MOST_ENTRIES
_UNPACKED_LIMIT_BYTES = 2 * 2**30
_NAME_LENGTH = 120
_ENCRYPTED = 0x1


class BadZip(ValueError):
    """The file cannot be used at all; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One file of a zip: its name for people, and its bytes or why it was skipped."""

    name: str
    data: bytes = b""
    reason: str = ""


def files_of(file: IO[bytes]) -> Iterator[Packed]:
    """The files of a zip in order of their names, one in memory at a time.

    Folders and what operating systems add (`__MACOSX`, names that begin with a dot) are passed over. What is
    encrypted, too large or damaged comes with a reason. Raises `BadZip` for something that is no zip, has too
    many files, or unpacks to more than is reasonable.
    """
    try:
        archive = opened(file, _DIRECTORY_LIMIT_BYTES)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadZip(f"This is not a zip file that can be opened: {error}.") from None
    with archive:
        entries = archive.infolist()
        if len(entries) > _MOST_ENTRIES:
            raise BadZip(f"This zip lists {len(entries)} files; up to {_MOST_ENTRIES} are read.")
        wanted = sorted((e for e in entries if not _passed_over(e)), key=lambda entry: entry.filename)
        if len(wanted) > MOST_FILES:
            raise BadZip(f"This zip holds {len(wanted)} files; up to {MOST_FILES} images can be compared.")
        unpacked = 0
        for entry in wanted:
            packed = _read(archive, entry)
            unpacked += len(packed.data)
            if unpacked > _UNPACKED_LIMIT_BYTES:
                raise BadZip(f"This zip unpacks to more than {_UNPACKED_LIMIT_BYTES // 2**30} GB.")
            yield packed


def opened(file: IO[bytes], most_bytes: int) -> zipfile.ZipFile:
    """The archive in `file`, whose list of files has at most `most_bytes`: `zipfile` reads all of it at once,
    and makes ten times as much of it. Raises what `ZipFile` raises, `BadZipFile` also for a longer list.
    """
    bounded = _Bounded(file, most_bytes)
    archive = zipfile.ZipFile(cast(IO[bytes], bounded))
    bounded.most_bytes = None
    return archive


class _Bounded:
    """A file of which no more than `most_bytes` may be read at a time."""

    def __init__(self, file: IO[bytes], most_bytes: int | None) -> None:
        self._file, self.most_bytes = file, most_bytes

    def read(self, size: int = -1) -> bytes:
        """As a file's. Raises `BadZipFile` where that is too much."""
        if self.most_bytes is not None and size > self.most_bytes:
            raise zipfile.BadZipFile("its list of files is too long")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def shown_name(name: str) -> str:
    """A file's name for people: at most its folder and itself, without anything that leads elsewhere."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    clean = "/".join("".join(c for c in part if c.isprintable()) for part in parts[-2:])
    return clean[-_NAME_LENGTH:] or "unnamed"


def _passed_over(entry: zipfile.ZipInfo) -> bool:
    parts = entry.filename.replace("\\", "/").split("/")
    hidden = any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in parts)
    return entry.is_dir() or hidden


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Packed:
    """One file, at most a byte more than an image may have, whatever the zip says of its size."""
    name = shown_name(entry.filename)
    if entry.flag_bits & _ENCRYPTED:
        return Packed(name, reason="It is encrypted.")
    try:
        with archive.open(entry) as stream:
            data = stream.read(IMAGE_LIMIT_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError):
        return Packed(name, reason="It is damaged, or packed in a way that cannot be read.")
    if len(data) > IMAGE_LIMIT_BYTES:
        return Packed(name, reason=f"It is larger than {IMAGE_LIMIT_BYTES / 1e6:.0f} MB.")
    return Packed(name, data)
