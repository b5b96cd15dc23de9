"""The files a run can be downloaded as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dreamscope.visualizers.exports import annotated, coco, labelstudio, mask, plain, yolo
from dreamscope.visualizers.exports.things import ExportError, picture_of, places_in
from dreamscope.visualizers.record import Record

Make = Callable[[Record, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """`make(record, image)` gives the bytes of the file and raises `ExportError` for a run that has nothing
    for it; `image` are the bytes of the stored image, empty if `needs_image` is false and it is not kept.

    `needs(record)` raises the same error without making the file. `certain` makes the file without the
    spreads of places, where that differs.
    """

    media_type: str
    make: Make
    needs: Callable[[Record], object]
    needs_image: bool = False
    certain: Make | None = None

    def refusal(self, record: Record) -> str | None:
        """Why this run cannot be written so; `None` if it can."""
        try:
            self.needs(record)
        except ExportError as error:
            return str(error)
        return None


def _nothing(record: Record) -> None:
    """Every run can be written so."""


FORMATS: dict[str, Format] = {
    "annotated.png": Format(
        "image/png", annotated.png, picture_of, needs_image=True, certain=annotated.certain_png
    ),
    "annotated.svg": Format(
        "image/svg+xml", annotated.scalable, picture_of, needs_image=True, certain=annotated.certain_svg
    ),
    "mask.png": Format("image/png", mask.png, mask.masks_of),
    "mask.svg": Format("image/svg+xml", mask.scalable, mask.masks_of),
    "result.json": Format("application/json", plain.result_json, _nothing),
    "places.csv": Format("text/csv; charset=utf-8", plain.places_csv, places_in),
    "coco.json": Format("application/json", coco.coco, places_in),
    "yolo.zip": Format("application/zip", yolo.yolo, yolo.boxed, needs_image=True),
    "labelstudio.json": Format("application/json", labelstudio.labelstudio, places_in, needs_image=True),
}
