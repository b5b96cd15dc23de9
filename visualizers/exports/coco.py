"""A run as a COCO data set of one image: boxes, masks as run lengths, points as keypoints.

Positions are pixels from the top left corner. A category for each label; run lengths count down the columns,
first what is not covered.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.visualizers.exports.mask import pixels_of
from dreamscope.visualizers.exports.naming import image_name
from dreamscope.visualizers.exports.things import Thing, labels_of, pixel_box, places_in
from dreamscope.visualizers.record import Picture, Record

VISIBLE = 2


def coco(record: Record, image: bytes = b"") -> bytes:
    """The data set as JSON. Raises `ExportError` if the run is of a skill that marks no place."""
    picture, things = places_in(record)
    labels = labels_of(record, things)
    points = {thing.label for thing in things if thing.place.box is None}
    data = {
        "info": {"description": f"Run {record.id} of {record.model}", "date_created": record.created_at},
        "licenses": [],
        "images": [_image(record, picture)],
        "categories": [_category(nth, label, label in points) for nth, label in enumerate(labels, 1)],
        "annotations": [
            _annotation(nth, labels.index(thing.label) + 1, thing, picture)
            for nth, thing in enumerate(things, 1)
        ],
    }
    return (json.dumps(data) + "\n").encode()


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of a mask (height, width) down its columns, beginning with uncovered pixels."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = [0, *changes.tolist(), flat.size]
    lengths = [after - before for before, after in pairwise(edges)]
    return [0, *lengths] if flat.size and flat[0] else lengths


def _image(record: Record, picture: Picture) -> dict[str, Any]:
    return {"id": 1, "file_name": image_name(record), "width": picture.width, "height": picture.height}


def _category(number: int, label: str, has_points: bool) -> dict[str, Any]:
    keypoints = {"keypoints": ["point"], "skeleton": []} if has_points else {}
    return {"id": number, "name": label, "supercategory": "", **keypoints}


def _annotation(number: int, category: int, thing: Thing, picture: Picture) -> dict[str, Any]:
    place = thing.place
    known = {"id": number, "image_id": 1, "category_id": category, "iscrowd": 0}
    if place.box is None:
        x, y = place.x * picture.width, place.y * picture.height
        point = {"keypoints": [x, y, VISIBLE], "num_keypoints": 1}
        return {**known, "bbox": [x, y, 0.0, 0.0], "area": 0.0, "segmentation": [], **point}
    bbox = list(pixel_box(place.box, picture))
    if place.kind != "mask":
        return {**known, "bbox": bbox, "area": bbox[2] * bbox[3], "segmentation": []}
    mask = pixels_of(place, picture)
    lengths = {"size": [picture.height, picture.width], "counts": run_lengths(mask)}
    return {**known, "bbox": bbox, "area": int(np.count_nonzero(mask)), "segmentation": lengths}
