"""A result as one SVG file: the marks, over the image where it is given."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

import svgwrite
from svgwrite.image import Image

from dreamscope.engine.wire import Box, Result
from dreamscope.visualizers import words
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.draw import draw
from dreamscope.visualizers.escape import clean, inert
from dreamscope.visualizers.geometry import View, number
from dreamscope.visualizers.marks import Marks, marks_of

_DATA_URI = re.compile(r"data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")


def overlay(
    result: Result,
    size: tuple[int, int],
    name: str = "",
    family: int = 0,
    image: str | None = None,
    *,
    eye: tuple[float, float] | None = None,
    face: Box | None = None,
) -> str:
    """A standalone SVG document of `result` on an image of `size` pixels (width, height).

    `name` is what was looked for; `eye` or `face` whose gaze was asked for; `image` a data URI from
    `data_uri`, embedded below the marks. Spreads are drawn if the result has them. Stroke and label sizes
    scale with the file. Raises `ValueError` if `image` is no image data URI, so that the file never refers to
    anything outside itself.
    """
    return overlays([(result, Asked(name, family, eye, face))], size, image)


def overlays(
    results: Sequence[tuple[Result, Asked]],
    size: tuple[int, int],
    image: str | None = None,
    shown: float | None = None,
) -> str:
    """The same for the results of several requests on one image; the labels of each keep out of their own
    way only. `shown` is how many CSS pixels wide it is shown: then strokes and labels have their size there.
    """
    if image is not None and not _DATA_URI.fullmatch(image):
        raise ValueError("An embedded image is a base64 data URI of a PNG, JPEG, WebP or GIF.")
    view = View.still(size) if shown is None else View.shown(size, shown)
    drawing = svgwrite.Drawing(
        size=(f"{size[0]}px", f"{size[1]}px"), viewBox=view.view_box, debug=False, role="img"
    )
    marks = [mark for result, asked in results for mark in marks_of(result, Marks(view, asked))]
    name = ", ".join(asked.name for _, asked in results if asked.name)
    drawing.set_desc(title=clean(words.picture_name(name, len({mark.ground for mark in marks}))))
    if image is not None:
        place = (number(view.bounds.width), number(view.bounds.height))
        drawing.add(Image(image, insert=("0", "0"), size=place, debug=False))
    for mark in marks:
        drawing.add(draw(mark, view, fixed_strokes=False))
    return f'<?xml version="1.0" encoding="utf-8"?>\n{inert(drawing.tostring())}\n'


def data_uri(encoded: bytes, media_type: str) -> str:
    """The bytes of an image file as a data URI, `media_type` such as `image/png`."""
    return f"data:{media_type};base64,{base64.b64encode(encoded).decode('ascii')}"
