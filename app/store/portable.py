"""One run as one file, `NAME.dreamscope`: a zip of `run.json` and the image's bytes as `image`.

What comes in is foreign: it is bounded before it is unpacked, nothing of it names a path, the record passes
the checks of `record_json`, and the image those of an upload.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import replace
from datetime import UTC, datetime

from dreamscope.app.asks import Invalid
from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.app.images import normalise
from dreamscope.app.store.changing import tidy_tags, tidy_text
from dreamscope.app.store.kinds import StoredImage, StoreError, new_id, written
from dreamscope.app.store.recording import INTERRUPTED, LIVE
from dreamscope.app.zips import opened
from dreamscope.visualizers import record_json
from dreamscope.visualizers.record import Part, Picture, Record

RUN, IMAGE = "run.json", "image"
RUN_LIMIT_BYTES = 32_000_000
FILE_LIMIT_BYTES = RUN_LIMIT_BYTES + IMAGE_LIMIT_BYTES
_DIRECTORY_LIMIT_BYTES = 4096
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, ValueError)
"""What `zipfile` raises for damaged, encrypted and exotic files."""


def pack(record: Record, image: StoredImage | None) -> bytes:
    """The file of a run; `image` is absent if there is none, or if its bytes are gone."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        alone = replace(record, comparison=None, column=0)
        archive.writestr(RUN, record_json.dumps(alone), zipfile.ZIP_DEFLATED)
        if image:
            archive.writestr(IMAGE, image.data, zipfile.ZIP_STORED)
    return out.getvalue()


def unpack(data: bytes) -> tuple[Record, StoredImage | None]:
    """The run of such a file, under a new id, and its image. Raises `StoreError` saying what is wrong."""
    if len(data) > FILE_LIMIT_BYTES:
        raise StoreError(f"The file is too large; up to {FILE_LIMIT_BYTES / 1e6:.0f} MB can be imported.")
    members = _members(data)
    try:
        record = _made_ours(record_json.loads(members[RUN]))
    except record_json.RecordError as error:
        raise StoreError(f"{RUN} in the file does not fit: {error}") from None
    if IMAGE not in members:
        return record, None
    return record, _image(members[IMAGE], record.picture)


def _members(data: bytes) -> dict[str, bytes]:
    """The contents of the archive by name. Nothing is written to disk."""
    limits = {RUN: RUN_LIMIT_BYTES, IMAGE: IMAGE_LIMIT_BYTES}
    members: dict[str, bytes] = {}
    try:
        with opened(io.BytesIO(data), _DIRECTORY_LIMIT_BYTES) as archive:
            for entry in archive.infolist():
                if entry.filename not in limits or entry.filename in members:
                    raise StoreError(
                        f"The file of a run holds {RUN} and {IMAGE}, not {entry.filename[:60]!r}."
                    )
                with archive.open(entry) as unpacked:  # what the entry says of its size may be a lie
                    members[entry.filename] = unpacked.read(limits[entry.filename] + 1)
                if len(members[entry.filename]) > limits[entry.filename]:
                    raise StoreError(f"{entry.filename} in the file is too large.")
    except _BROKEN as error:
        raise StoreError(f"The file is not one that Dreamscope exports: {str(error)[:200]}.") from None
    if RUN not in members:
        raise StoreError(f"The file holds no {RUN}.")
    return members


def _made_ours(record: Record) -> Record:
    """The run alone, under an id of this history, its texts as people could have typed them."""
    return replace(
        record,
        id=new_id(),
        created_at=written(datetime.fromisoformat(record.created_at).astimezone(UTC)),
        title=tidy_text("title", record.title),
        notes=tidy_text("notes", record.notes),
        tags=tidy_tags(record.tags),
        comparison=None,
        column=0,
        parts=tuple(_settled(part) for part in record.parts),
    )


def _settled(part: Part) -> Part:
    """A part that nobody is running here, whose events are those of its own request."""
    request_id = part.create.request_id
    events = tuple(replace(event, request_id=request_id) for event in part.events)
    return replace(part, events=events, state=INTERRUPTED if part.state in LIVE else part.state)


def _image(data: bytes, picture: Picture | None) -> StoredImage:
    """The image, which must be the very bytes that the run was made with."""
    try:
        image = normalise(data)
    except Invalid as error:
        raise StoreError(f"The image in the file: {error.text}") from None
    if image.picture != picture:
        raise StoreError("The image in the file is not the one that the run was made with.")
    return image
