"""The outlines of a run as one mask: a picture of 0 and 255, or an SVG of the paths themselves."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import svgwrite
from numpy.typing import NDArray
from PIL import Image

from dreamscope.engine.wire import Box
from dreamscope.visualizers import svg
from dreamscope.visualizers.escape import clean, inert
from dreamscope.visualizers.exports.things import (
    ExportError,
    Thing,
    picture_of,
    pixel_box,
    polygons_of,
    things_of,
)
from dreamscope.visualizers.mask_overlap import covered
from dreamscope.visualizers.paths import Pair, parse, written
from dreamscope.visualizers.places import Place
from dreamscope.visualizers.record import Picture, Record


def png(record: Record, image: bytes) -> bytes:
    """An 8-bit grey PNG of the image's size: 255 where an outline of the run covers the middle of a pixel."""
    picture = picture_of(record)
    together = np.zeros((picture.height, picture.width), dtype=np.bool_)
    for thing in masks_of(record):
        together |= pixels_of(thing.place, picture)
    out = io.BytesIO()
    Image.fromarray(together.astype(np.uint8) * 255).save(out, "PNG", optimize=True)
    return out.getvalue()


def scalable(record: Record, image: bytes) -> bytes:
    """An SVG in pixels of the image: for each outline a black path, its label the title."""
    picture = picture_of(record)
    size = (f"{picture.width}px", f"{picture.height}px")
    drawing = svgwrite.Drawing(size=size, viewBox=f"0 0 {picture.width} {picture.height}", debug=False)
    for thing in masks_of(record):
        path = svg.outline(written(parse(thing.place.path), _placed(thing.place, picture)), fill="#000000")
        path["fill-rule"] = "nonzero"
        path.set_desc(title=clean(thing.label))
        drawing.add(path)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{inert(drawing.tostring())}\n'.encode()


def masks_of(record: Record) -> list[Thing]:
    """The outlines of a run. Raises `ExportError` if it has none, or no image."""
    picture_of(record)
    things = things_of(record) if record.skill == "segment" else ()
    masks = [thing for thing in things if thing.place.kind == "mask"]
    if not masks:
        raise ExportError("This run has no outline; ask segment for one.")
    return masks


def pixels_of(place: Place, picture: Picture) -> NDArray[np.bool_]:
    """Which pixels an outline covers, shape (height, width), by the nonzero rule at the middle of a pixel."""
    out = np.zeros((picture.height, picture.width), dtype=np.bool_)
    polygons = polygons_of(place, picture)
    points = [point for polygon in polygons for point in polygon]
    if not points:
        return out
    left, right = _reach([x for x, _ in points], picture.width)
    top, bottom = _reach([y for _, y in points], picture.height)
    side = max(right - left, bottom - top)
    if side > 0:
        # A square of whole pixels, of which the part inside the image is kept.
        cells = covered(polygons, Box(left, top, left + side, top + side), side)
        out[top:bottom, left:right] = cells[: bottom - top, : right - left]
    return out


def _reach(values: list[float], size: int) -> tuple[int, int]:
    """The first pixel of the image that the values reach, and the one after the last."""
    return max(0, math.floor(min(values))), min(size, math.ceil(max(values)))


def _placed(place: Place, picture: Picture) -> Callable[[Pair], Pair]:
    """From fractions of the outline's box to pixels of the image."""
    assert place.box is not None
    left, top, width, height = pixel_box(place.box, picture)
    return lambda point: (left + point[0] * width, top + point[1] * height)
