"""The files a run can be downloaded as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dreamscope.visualizers.exports import annotated, coco, labelstudio, mask, plain, yolo
from dreamscope.visualizers.record import Record


@dataclass(frozen=True, slots=True)
class Format:
    """`make(record, image)` gives the bytes of the file and raises `ExportError` for a run that has nothing
    for it; `image` are the bytes of the stored image, empty if `needs_image` is false and it is not kept.
    """

    media_type: str
    make: Callable[[Record, bytes], bytes]
    needs_image: bool = False


FORMATS: dict[str, Format] = {
    "annotated.png": Format("image/png", annotated.png, needs_image=True),
    "annotated.svg": Format("image/svg+xml", annotated.scalable, needs_image=True),
    "mask.png": Format("image/png", mask.png),
    "mask.svg": Format("image/svg+xml", mask.scalable),
    "result.json": Format("application/json", plain.result_json),
    "places.csv": Format("text/csv; charset=utf-8", plain.places_csv),
    "coco.json": Format("application/json", coco.coco),
    "yolo.zip": Format("application/zip", yolo.yolo, needs_image=True),
    "labelstudio.json": Format("application/json", labelstudio.labelstudio, needs_image=True),
}
