"""Image files as they are kept and sent to the engine: upright, without metadata, otherwise as they came.

Where no pixel must change none does: chunks and segments that tell about the picture are cut out of the
file. Only what stands askew, moves, or comes in a format the engine does not read is encoded again.
`normalise` of its own output is the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import struct

from PIL import Image, ImageOps

from dreamscope.app import words
from dreamscope.app.asks import Invalid
from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.app.image_chunks import strip_jpeg, strip_png, strip_webp
from dreamscope.app.store.kinds import StoredImage

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, OverflowError, IndexError, KeyError, struct.error)
"""What the decoders raise for damaged files."""
_ORIENTATION = 0x0112
_QUALITIES = (95, 88, 75)
_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


def normalise(data: bytes) -> StoredImage:
    """A JPEG, PNG, WebP, GIF (its first frame) or BMP as it is kept.

    Any thread; it decodes once. Raises `Invalid` for the field `image`: too many bytes or pixels (judged by
    the header), not such a file, damaged.
    """
    if len(data) > IMAGE_LIMIT_BYTES:
        raise Invalid("image", words.image_too_big(IMAGE_LIMIT_BYTES))
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Invalid("image", words.IMAGE_TOO_MANY_PIXELS)
            kept, media_type, size = _kept(image, data)
    except Image.DecompressionBombError:
        raise Invalid("image", words.IMAGE_TOO_MANY_PIXELS) from None
    except Invalid:
        raise
    except _BROKEN:
        raise Invalid("image", words.IMAGE_UNREADABLE) from None
    if len(kept) > IMAGE_LIMIT_BYTES:
        raise Invalid("image", words.image_too_big(IMAGE_LIMIT_BYTES))
    return StoredImage(hashlib.sha256(kept).hexdigest(), media_type, *size, kept)


def _kept(image: Image.Image, data: bytes) -> tuple[bytes, str, tuple[int, int]]:
    """Bytes, media type and size of what is kept of `image`, which was opened from `data`."""
    kind = "JPEG" if image.format == "MPO" else image.format or ""
    askew = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
    image.load()  # a damaged file is found out here, not when the engine has it
    if not askew:
        if kind == "JPEG":
            return strip_jpeg(data), _TYPES[kind], image.size
        if kind == "PNG":
            return strip_png(data), _TYPES[kind], image.size
        if kind == "WEBP" and not getattr(image, "is_animated", False):
            return strip_webp(data), _TYPES[kind], image.size
    upright = ImageOps.exif_transpose(image)
    if kind == "JPEG":
        return _encoded_jpeg(upright), _TYPES["JPEG"], upright.size
    return _encoded_png(upright), _TYPES["PNG"], upright.size


def _encoded_jpeg(image: Image.Image) -> bytes:
    """The best quality that fits."""
    for quality in _QUALITIES:
        out = io.BytesIO()
        profile = image.info.get("icc_profile")
        image.save(out, "JPEG", quality=quality, icc_profile=profile, exif=b"", comment=b"")
        if out.tell() <= IMAGE_LIMIT_BYTES:
            break
    return strip_jpeg(out.getvalue())


def _encoded_png(image: Image.Image) -> bytes:
    """Without loss; modes that PNG has not become RGB."""
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = image.convert("RGB")
    out = io.BytesIO()
    image.save(out, "PNG", exif=b"")
    return strip_png(out.getvalue())
