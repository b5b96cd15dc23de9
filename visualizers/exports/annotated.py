"""The image with the marks of a run, as the page shows them: PNG, or SVG with the image inside."""

from __future__ import annotations

import io
from functools import partial

from PIL import Image

from dreamscope.engine.wire import Result
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.exports.things import picture_of
from dreamscope.visualizers.overlay import data_uri, overlays
from dreamscope.visualizers.raster import burn_in
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.spreads import without_spreads


def png(record: Record, image: bytes, spreads: bool = True) -> bytes:
    """The marks of every part burnt into the image; `spreads` if how uncertain they are is drawn, too."""
    picture_of(record)
    with Image.open(io.BytesIO(image)) as opened:
        drawn = opened.convert("RGBA") if "A" in opened.getbands() else opened.convert("RGB")
    for result, asked in _items(record, spreads):
        drawn = burn_in(result, drawn, asked.name, asked.family, eye=asked.eye, face=asked.face)
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()


def scalable(record: Record, image: bytes, spreads: bool = True) -> bytes:
    """A standalone SVG of the marks of every part, over the image; `spreads` as above."""
    picture = picture_of(record)
    return overlays(_items(record, spreads), picture.size, _embedded(image, picture.media_type)).encode()


certain_png = partial(png, spreads=False)
certain_svg = partial(scalable, spreads=False)


def _items(record: Record, spreads: bool) -> list[tuple[Result, Asked]]:
    """The result of every part, and what was asked."""
    results = (part.result if spreads else without_spreads(part.result) for part in record.parts)
    return list(zip(results, record.asked, strict=True))


def _embedded(image: bytes, media_type: str) -> str:
    """The image as a data URI, of a kind that every viewer of SVG opens."""
    if media_type in ("image/png", "image/jpeg", "image/webp", "image/gif"):
        return data_uri(image, media_type)
    with Image.open(io.BytesIO(image)) as opened:
        out = io.BytesIO()
        opened.convert("RGBA").save(out, "PNG")
    return data_uri(out.getvalue(), "image/png")
