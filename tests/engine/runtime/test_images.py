"""Decoding image files: formats, orientation, transparency, damage and size."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamscope.engine.errors import ImageDecodeFailed, ImageTooLarge
from dreamscope.engine.runtime.images import RawImage, decode_image


def gradient(width: int = 24, height: int = 16) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 10, y * 15, x + y], 2).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [("PNG", {}, 0), ("WEBP", {"lossless": True}, 0), ("JPEG", {"quality": 95, "subsampling": 0}, 12)],
)
def test_formats(kind: str, options: dict[str, Any], error: int) -> None:
    data = encoded(gradient(), kind, **options)
    image = decode_image(data)
    assert image.rgb.shape == (16, 24, 3)
    assert image.rgb.dtype == np.uint8
    assert np.abs(image.rgb.astype(int) - np.asarray(gradient()).astype(int)).max() <= error


def test_an_image_is_known_by_its_pixels() -> None:
    png, webp = (decode_image(encoded(gradient(), kind, lossless=True)) for kind in ("PNG", "WEBP"))
    assert png.digest == webp.digest
    others = (gradient(16, 24), gradient().transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    digests = {RawImage.of(np.asarray(image)).digest for image in others}
    reshaped = RawImage.of(png.rgb.reshape(24, 16, 3))
    assert len(digests | {png.digest, reshaped.digest, png.mirrored().digest}) == 5


def test_first_frame_of_an_animation() -> None:
    red, blue = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    for kind in ("GIF", "WEBP"):
        rgb = decode_image(encoded(red, kind, save_all=True, append_images=[blue], lossless=True)).rgb
        assert rgb.shape == (8, 8, 3)
        assert rgb[0, 0, 0] > 250
        assert rgb[0, 0, 2] < 5


def test_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    upright = decode_image(encoded(gradient(), "PNG", exif=exif.tobytes())).rgb
    np.testing.assert_array_equal(upright, np.rot90(np.asarray(gradient()), -1))


def test_transparency_is_dropped_not_composited() -> None:
    rgba = gradient().convert("RGBA")
    rgba.putalpha(0)
    np.testing.assert_array_equal(decode_image(encoded(rgba, "PNG")).rgb, np.asarray(gradient()))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK"])
def test_colour_modes(mode: str) -> None:
    image = Image.new("L", (9, 7), 255)
    data = encoded(image.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    assert decode_image(data).rgb.shape == (7, 9, 3)


@pytest.mark.parametrize("size", [(1, 1), (12_000, 40), (1, 3000)])
def test_unusual_sizes(size: tuple[int, int]) -> None:
    assert decode_image(encoded(Image.new("RGB", size), "PNG")).rgb.shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.4",
        encoded(gradient(), "BMP"),
        encoded(gradient(), "TIFF"),
    ],
    ids=["empty", "text", "svg", "pdf", "bmp", "tiff"],
)
def test_other_files(data: bytes) -> None:
    with pytest.raises(ImageDecodeFailed, match="JPEG, PNG, WebP or GIF") as caught:
        decode_image(data)
    assert caught.value.param == "image_url"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated_files(kind: str, part: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(ImageDecodeFailed):
        decode_image(data[: int(len(data) * part)])


def test_too_many_pixels_are_refused_by_the_header() -> None:
    with pytest.raises(ImageTooLarge, match=r"8000 x 7000 pixels; at most 50 megapixels"):
        decode_image(png_header(8000, 7000))
    with pytest.raises(ImageTooLarge):
        decode_image(png_header(60_000, 60_000))
    with pytest.raises(ImageTooLarge, match=r"0\.0001 megapixels"):
        decode_image(encoded(gradient(), "PNG"), max_pixels=100)


def test_a_small_file_that_claims_an_allowed_size_is_damaged() -> None:
    with pytest.raises(ImageDecodeFailed):
        decode_image(png_header(500, 500))
