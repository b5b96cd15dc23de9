"""The image with the marks of a run, as the page shows them: PNG, or SVG with the image inside."""

from __future__ import annotations

import io

from PIL import Image

from dreamscope.visualizers.exports.things import picture_of
from dreamscope.visualizers.overlay import data_uri, overlays
from dreamscope.visualizers.raster import burn_in
from dreamscope.visualizers.record import Record


def png(record: Record, image: bytes) -> bytes:
    """The marks of every part burnt into the image."""
    picture_of(record)
    with Image.open(io.BytesIO(image)) as opened:
        drawn = opened.convert("RGBA") if "A" in opened.getbands() else opened.convert("RGB")
    for part, asked in zip(record.parts, record.asked, strict=True):
        drawn = burn_in(part.result, drawn, asked.name, asked.family, eye=asked.eye, face=asked.face)
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()


def scalable(record: Record, image: bytes) -> bytes:
    """A standalone SVG of the marks of every part, over the image."""
    picture = picture_of(record)
    items = [(part.result, asked) for part, asked in zip(record.parts, record.asked, strict=True)]
    return overlays(items, picture.size, _embedded(image, picture.media_type)).encode()


def _embedded(image: bytes, media_type: str) -> str:
    """The image as a data URI, of a kind that every viewer of SVG opens."""
    if media_type in ("image/png", "image/jpeg", "image/webp", "image/gif"):
        return data_uri(image, media_type)
    with Image.open(io.BytesIO(image)) as opened:
        out = io.BytesIO()
        opened.convert("RGBA").save(out, "PNG")
    return data_uri(out.getvalue(), "image/png")
