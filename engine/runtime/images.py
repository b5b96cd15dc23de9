"""Image bytes to oriented RGB pixels. Nothing larger than the limit is ever decompressed."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dreamscope.engine.errors import ImageDecodeFailed, ImageTooLarge

MAX_PIXELS = 50_000_000
DIGEST_DIGITS = 32
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, OverflowError, struct.error)
"""What the decoders raise for damaged files, beside their own errors."""


@dataclass(frozen=True, slots=True, eq=False)
class RawImage:
    """`rgb` uint8 `[H, W, 3]`, turned as its EXIF orientation says; `digest` identifies these pixels.

    Whatever is kept of an image is found again by its digest, also when the same picture comes in another
    file.
    """

    rgb: NDArray[np.uint8]
    digest: str

    @classmethod
    def of(cls, rgb: NDArray[np.uint8]) -> RawImage:
        """The image with these pixels."""
        height, width = rgb.shape[:2]
        digest = hashlib.sha256(struct.pack("<QQ", width, height))
        digest.update(np.ascontiguousarray(rgb).data)
        return cls(rgb, digest.hexdigest()[:DIGEST_DIGITS])

    def mirrored(self) -> RawImage:
        """Left and right exchanged, as a view; an image of its own to whoever caches."""
        return RawImage(self.rgb[:, ::-1], f"{self.digest}/mirrored")


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> RawImage:
    """Decode a JPEG, PNG, WebP or GIF (first frame). Transparency is dropped, not composited.

    Any thread. Raises `ImageTooLarge` judging by the header alone, and `ImageDecodeFailed` for anything
    that is not a complete image of these formats.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise _too_large(f"{image.width} x {image.height} pixels", max_pixels)
            rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        raise ImageDecodeFailed("The image is not a JPEG, PNG, WebP or GIF file.", "image_url") from None
    except Image.DecompressionBombError:
        raise _too_large("far too many pixels", max_pixels) from None
    except _BROKEN as error:
        raise ImageDecodeFailed(f"The image is damaged or incomplete: {error}.", "image_url") from None
    return RawImage.of(rgb)


def _too_large(size: str, max_pixels: int) -> ImageTooLarge:
    return ImageTooLarge(
        f"The image has {size}; at most {max_pixels / 1e6:g} megapixels are accepted.", "image_url"
    )
