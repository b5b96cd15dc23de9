"""Files that say what is in an image: a list of places as in `truth`, or a COCO data set of one image.

    {"truth": [{"at": [0.2, 0.3], "label": "dog"}, {"at": [0.1, 0.2, 0.4, 0.5]}]}      or the list alone
    {"images": [...], "categories": [...],
     "annotations": [{"bbox": [x, y, width, height], "category_id": 1}, ...]}

Positions of COCO are pixels of the image that the file describes; annotations with keypoints are points.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dreamscope.visualizers.truth import Known, TruthError, truth_of

_NOT_SEEN = 0


def read(given: Any, size: tuple[int, int]) -> tuple[Known, ...]:
    """The places in the parsed JSON of a file; `size` is the image's width and height in pixels, for a COCO
    file that does not say it. Raises `TruthError`.
    """
    if isinstance(given, Mapping) and "annotations" in given:
        return _coco(given, size)
    return truth_of(given.get("truth") if isinstance(given, Mapping) else given)


def _coco(given: Mapping[str, Any], size: tuple[int, int]) -> tuple[Known, ...]:
    images, annotations = _objects(given, "images"), _objects(given, "annotations")
    if len({each.get("image_id") for each in annotations}) > 1 or len(images) > 1:
        raise TruthError("A COCO file may describe one image here, not several.")
    names = {each.get("id"): each.get("name", "") for each in _objects(given, "categories")}
    first = images[0] if images else {}
    width, height = first.get("width", size[0]), first.get("height", size[1])
    _check([width, height], least=1)
    return truth_of(
        [
            {"at": at, "label": names.get(each.get("category_id"), "")}
            for each in annotations
            for at in _places(each, width, height)
        ]
    )


def _objects(given: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = given.get(name, [])
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise TruthError(f"{name} of a COCO file must be a list of objects.")
    for each in listed:
        if any(isinstance(each.get(key), list | dict) for key in ("id", "image_id", "category_id")):
            raise TruthError(f"{name} of a COCO file must be named by numbers.")
    return listed


def _places(annotation: Mapping[str, Any], width: float, height: float) -> list[list[float]]:
    """The seen keypoints of an annotation, else its box; what reaches over the image's edge ends there."""
    if keypoints := annotation.get("keypoints"):
        _check(keypoints, least=0)
        if len(keypoints) % 3:
            raise TruthError("keypoints of a COCO file must be x, y and visibility of each.")
        seen = zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=True)
        return [[_share(x, width), _share(y, height)] for x, y, shown in seen if shown != _NOT_SEEN]
    box = annotation.get("bbox") or []
    _check(box)
    if len(box) != 4:
        raise TruthError("bbox of a COCO file must be x, y, width and height.")
    x, y, wide, high = box
    return [[_share(x, width), _share(y, height), _share(x + wide, width), _share(y + high, height)]]


def _check(numbers: Any, least: float | None = None) -> None:
    fits = isinstance(numbers, list) and all(
        isinstance(n, int | float) and not isinstance(n, bool) and (least is None or n >= least)
        for n in numbers
    )
    if not fits:
        raise TruthError("Sizes and positions of a COCO file must be numbers of pixels.")


def _share(pixels: float, whole: float) -> float:
    return min(1.0, max(0.0, pixels / whole))
