"""Pixels to the data URLs that endpoints take."""

from __future__ import annotations

import base64
import io

from PIL import Image

from dreamscope.engine.runtime.images import RawImage

LOSSLESS_PIXELS = 1_000_000
LOSSLESS_BYTES = 2_000_000
JPEG_QUALITY = 95
"""What Moondream's own clients use."""


def data_url(image: RawImage) -> str:
    """PNG for small pictures, so that nothing is lost; JPEG for photographs, which would not fit."""
    picture = Image.fromarray(image.rgb)
    if picture.width * picture.height <= LOSSLESS_PIXELS:
        data = _encoded(picture, "PNG")
        if len(data) <= LOSSLESS_BYTES:
            return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    data = _encoded(picture, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
