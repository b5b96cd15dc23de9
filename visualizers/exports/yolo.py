"""A run as a YOLO data set of one image, zipped: `data.yaml`, `images/NAME.png`, `labels/NAME.txt`.

A line of the label file is `class x y width height` for a box (middle and size), or `class x1 y1 x2 y2 ...`
for an outline, one line for each closed line of it; all numbers are fractions of the image. The format knows
no points without a box.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from dreamscope.visualizers.exports.naming import image_name
from dreamscope.visualizers.exports.things import ExportError, Thing, labels_of, places_in
from dreamscope.visualizers.geometry import clamp
from dreamscope.visualizers.mask_overlap import corners_of
from dreamscope.visualizers.record import Record

_WHEN = (1980, 1, 1, 0, 0, 0)
"""The same run gives the same file."""


def yolo(record: Record, image: bytes) -> bytes:
    """The zip. Raises `ExportError` for a run without boxes and outlines."""
    things = boxed(record)
    labels, name = labels_of(record, things), image_name(record)
    lines = [f"{line}\n" for thing in things for line in _lines(thing, labels.index(thing.label))]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        _add(archive, "data.yaml", data_yaml(labels).encode())
        _add(archive, f"images/{name}", image)
        _add(archive, f"labels/{PurePosixPath(name).stem}.txt", "".join(lines).encode())
    return out.getvalue()


def boxed(record: Record) -> tuple[Thing, ...]:
    """The boxes and outlines of a run. Raises `ExportError` for one that looked for neither."""
    _, things = places_in(record)
    found = tuple(thing for thing in things if thing.place.box is not None)
    if not found and record.skill not in ("detect", "segment"):
        raise ExportError("YOLO files hold boxes and outlines; this run has only points. Use COCO or CSV.")
    return found


def data_yaml(labels: tuple[str, ...]) -> str:
    """The description of the data set; labels are quoted, whatever they are."""
    names = "".join(f"  {number}: {_quoted(label)}\n" for number, label in enumerate(labels))
    return f"path: .\ntrain: images\nval: images\nnames:\n{names}"


def _lines(thing: Thing, number: int) -> Iterator[str]:
    place, box = thing.place, thing.place.box
    assert box is not None
    if place.kind == "mask":
        for polygon in corners_of(place.path, box):
            if len(polygon) >= 3:
                yield f"{number} " + " ".join(f"{clamp(value):.6f}" for point in polygon for value in point)
        return
    sizes = (place.x, place.y, box.x_max - box.x_min, box.y_max - box.y_min)
    yield f"{number} " + " ".join(f"{clamp(value):.6f}" for value in sizes)


def _quoted(label: str) -> str:
    """A double-quoted scalar. JSON's escapes are YAML's, save that YAML breaks lines at three more signs."""
    text = json.dumps(label, ensure_ascii=False)
    return text.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _WHEN)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
