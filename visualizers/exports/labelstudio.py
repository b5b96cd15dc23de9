"""A run as a task of Label Studio with the model's places as predictions, to be corrected by people.

The image is in the task itself, so that it opens without a storage. `meta.labeling_config` is the set-up of
a project that shows these predictions: its controls bear the names that the predictions refer to. Numbers
are percent of the image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.exports.things import Thing, labels_of, places_in
from dreamscope.visualizers.mask_overlap import corners_of
from dreamscope.visualizers.overlay import data_uri
from dreamscope.visualizers.palette import colour
from dreamscope.visualizers.record import Picture, Record

IMAGE = "image"
CONTROLS = {
    "rectanglelabels": "RectangleLabels",
    "keypointlabels": "KeyPointLabels",
    "polygonlabels": "PolygonLabels",
}
"""The type of a result, which is also its control's name, and the control's tag."""
POINT_WIDTH = 0.75
"""Size of a keypoint's dot in percent, as Label Studio draws it."""


def labelstudio(record: Record, image: bytes) -> bytes:
    """A list of one task as JSON. Raises `ExportError` if the run is of a skill that marks no place."""
    picture, things = places_in(record)
    made = (result for thing in things for result in _results(thing, picture))
    results = [{"id": f"place-{nth}", **result} for nth, result in enumerate(made)]
    version = "@".join(filter(None, (record.model, record.revision)))
    config = labeling_config(labels_of(record, things), {result["type"] for result in results})
    task = {
        "data": {IMAGE: data_uri(image, picture.media_type), "run": record.id, "prompt": record.prompt},
        "predictions": [{"model_version": version, "result": results}],
        "meta": {"labeling_config": config},
    }
    return (json.dumps([task]) + "\n").encode()


def labeling_config(labels: tuple[str, ...], types: set[str]) -> str:
    """The project's set-up in Label Studio's XML."""
    choices = "".join(
        f'<Label value="{escape(label)}" background="{colour(nth).fill}"/>'
        for nth, label in enumerate(labels)
    )
    controls = "".join(
        f'<{tag} name="{kind}" toName="{IMAGE}">{choices}</{tag}>'
        for kind, tag in CONTROLS.items()
        if kind in types
    )
    return f'<View><Image name="{IMAGE}" value="${IMAGE}" zoom="true"/>{controls}</View>'


def _results(thing: Thing, picture: Picture) -> Iterator[dict[str, Any]]:
    place, box = thing.place, thing.place.box
    if box is None:
        spot = {"x": 100 * place.x, "y": 100 * place.y, "width": POINT_WIDTH}
        yield _result("keypointlabels", thing, picture, spot)
    elif place.kind == "mask":
        for polygon in corners_of(place.path, box):
            if len(polygon) >= 3:
                points = [[100 * x, 100 * y] for x, y in polygon]
                yield _result("polygonlabels", thing, picture, {"points": points, "closed": True})
    else:
        corner = {"x": 100 * box.x_min, "y": 100 * box.y_min, "rotation": 0}
        sizes = {"width": 100 * (box.x_max - box.x_min), "height": 100 * (box.y_max - box.y_min)}
        yield _result("rectanglelabels", thing, picture, {**corner, **sizes})


def _result(kind: str, thing: Thing, picture: Picture, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": kind,
        "from_name": kind,
        "to_name": IMAGE,
        "original_width": picture.width,
        "original_height": picture.height,
        "image_rotation": 0,
        "value": {**value, kind: [thing.label]},
    }
