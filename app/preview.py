"""The image that other sites show for a link to a shared page: the picture with its marks above a line."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.raster import burn_in
from dreamscope.visualizers.record import Record

SIZE = (1200, 630)
_MARGIN = 24
_BAND = 76
"""Height of the line below, pixels."""
_PAGE, _INK, _QUIET = "#0c0d10", "#ececef", "#9a9fa9"
_TEXT_SIZE = 30
_GAP = 16
BRAND = "Dreamscope"
_LONGEST = 200
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def preview_png(shown: Sequence[tuple[Record, bytes | None]], title: str) -> bytes:
    """A PNG of 1200 by 630 pixels; each run with the bytes of its image, side by side.

    A run without an image leaves its place empty.
    """
    canvas = Image.new("RGB", SIZE, _PAGE)
    room = (SIZE[0] - 2 * _MARGIN - _GAP * (len(shown) - 1)) / len(shown)
    height = SIZE[1] - _MARGIN - _BAND
    for nth, (record, data) in enumerate(shown):
        if data is None:
            continue
        picture = _picture(record, data, (room, height))
        left = _MARGIN + nth * (room + _GAP) + (room - picture.width) / 2
        canvas.paste(picture, (round(left), round(_MARGIN + (height - picture.height) / 2)))
    _line(canvas, title)
    written = io.BytesIO()
    canvas.save(written, "PNG", optimize=True)
    return written.getvalue()


def _picture(record: Record, data: bytes, room: tuple[float, float]) -> Image.Image:
    """The image as large as it fits, marks and all; they are drawn last, so that they keep their size."""
    with Image.open(io.BytesIO(data)) as opened:
        opened.draft("RGB", (round(room[0]), round(room[1])))
        image = opened.convert("RGBA" if opened.mode in ("RGBA", "LA", "P", "PA") else "RGB")
    scale = min(room[0] / image.width, room[1] / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.LANCZOS)
    for part, asked in zip(record.parts, record.asked, strict=True):
        image = burn_in(part.result, image, asked.name, asked.family, eye=asked.eye, face=asked.face)
    return image.convert("RGB")


def _line(canvas: Image.Image, title: str) -> None:
    """The title, cut to what fits, and whose page it is."""
    font = ImageFont.load_default(_TEXT_SIZE)
    draw = ImageDraw.Draw(canvas)
    middle = SIZE[1] - _BAND / 2
    draw.text((SIZE[0] - _MARGIN, middle), BRAND, _QUIET, font, "rm")
    room = SIZE[0] - 3 * _MARGIN - draw.textlength(BRAND, font)
    draw.text((_MARGIN, middle), fitting(title, room, draw, font), _INK, font, "lm")


def fitting(text: str, room: float, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """`text` on one line, shortened to `room` pixels; nothing if the font lacks one of its letters.

    Letters with accents, which Pillow's own font lacks, lose them.
    """
    plain = (sign for sign in unicodedata.normalize("NFKD", clean(text)) if not unicodedata.combining(sign))
    line = " ".join("".join(plain).split())[:_LONGEST]
    missing = bytes(font.getmask("\uffff"))
    if any(bytes(font.getmask(sign)) == missing for sign in set(line) - {" "}):
        return ""
    if draw.textlength(line, font) <= room:
        return line
    while line and draw.textlength(f"{line}…", font) > room:
        line = line[:-1]
    return f"{line.rstrip()}…"
