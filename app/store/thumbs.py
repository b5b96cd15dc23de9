"""Small pictures for lists."""

from __future__ import annotations

import io

from PIL import Image

SIDE = 256
"""Longest side in pixels."""


def thumbnail(data: bytes) -> bytes:
    """A WebP of at most `SIDE` pixels a side. `data` must be an image that `normalise` has let through."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (SIDE * 2, SIDE * 2))  # a JPEG is decoded at an eighth where that is enough
        has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        small = image.convert("RGBA" if has_alpha else "RGB")
    small.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=80)
    return out.getvalue()
