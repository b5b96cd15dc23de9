"""Images as they are kept: upright, without metadata, no pixel changed that need not."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from dreamscope.app.asks import Invalid
from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.app.images import normalise
from dreamscope.app.store.thumbs import SIDE, thumbnail

SECRETS = (b"SECRETMAKER", b"SECRETTEXT", b"GPSGPS")
ORIENTATION, MAKE, GPS = 0x0112, 0x010F, 0x8825


def picture(mode="RGB", size=(40, 24)):
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).convert(mode)


def exif(orientation=1):
    known = Image.Exif()
    known[MAKE] = "SECRETMAKER"
    known[ORIENTATION] = orientation
    known.get_ifd(GPS)[29] = "GPSGPS"
    return known


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def text_chunk():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "SECRETTEXT")
    info.add_itxt("XML:com.adobe.xmp", "SECRETTEXT")
    return info


FILES = {
    "jpeg": lambda: saved(picture(), "JPEG", exif=exif(), comment=b"SECRETTEXT", quality=90),
    "progressive": lambda: saved(picture(), "JPEG", exif=exif(), progressive=True, restart_marker_rows=1),
    "grey": lambda: saved(picture("L"), "JPEG", exif=exif()),
    "cmyk": lambda: saved(picture("CMYK"), "JPEG", exif=exif()),
    "png": lambda: saved(picture(), "PNG", exif=exif(), pnginfo=text_chunk()),
    "alpha": lambda: saved(picture("RGBA"), "PNG", exif=exif()),
    "palette": lambda: saved(picture("P"), "PNG", exif=exif(), transparency=3),
    "webp": lambda: saved(picture(), "WEBP", exif=exif(), xmp=b"SECRETTEXT", lossless=True),
    "lossy webp": lambda: saved(picture("RGBA"), "WEBP", exif=exif()),
}


@pytest.mark.parametrize("kind", FILES)
def test_metadata_goes_and_every_pixel_stays(kind):
    data = FILES[kind]()
    assert SECRETS[0] in data
    kept = normalise(data)
    assert [secret for secret in SECRETS if secret in kept.data] == []
    assert np.array_equal(pixels(kept.data), pixels(data))
    assert (kept.width, kept.height) == (40, 24)
    assert kept.hash == hashlib.sha256(kept.data).hexdigest()
    with Image.open(io.BytesIO(kept.data)) as image:
        assert image.get_format_mimetype() == kept.media_type
        assert not image.getexif()


@pytest.mark.parametrize("kind", FILES)
def test_again_it_is_the_same_bytes(kind):
    kept = normalise(FILES[kind]())
    assert normalise(kept.data) == kept


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "blue"),
    [(2, "right"), (3, "right"), (4, "left"), (5, "top"), (6, "top"), (7, "bottom"), (8, "bottom")],
)
def test_what_stands_askew_is_put_upright(kind, orientation, blue):
    """In the file the left half is blue; where that is to be shown, EXIF says."""
    image = Image.new("RGB", (32, 16), "red")
    image.paste("blue", (0, 0, 16, 16))
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    kept = normalise(saved(image, kind, exif=exif(orientation), **options))
    assert (kept.width, kept.height) == ((16, 32) if orientation >= 5 else (32, 16))
    middle = {"left": (-1, 2), "right": (-1, -3), "top": (2, -1), "bottom": (-3, -1)}[blue]
    red, _, strongest = pixels(kept.data)[middle]
    assert strongest > 200 > 60 > red
    assert SECRETS[0] not in kept.data
    assert normalise(kept.data) == kept


def test_the_colour_profile_stays():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG", "WEBP"):
        kept = normalise(saved(picture(), kind, icc_profile=profile, exif=exif()))
        with Image.open(io.BytesIO(kept.data)) as image:
            assert image.info["icc_profile"] == profile
    turned = normalise(saved(picture(), "JPEG", icc_profile=profile, exif=exif(6)))
    with Image.open(io.BytesIO(turned.data)) as image:
        assert image.info["icc_profile"] == profile


def test_moving_pictures_become_their_first_frame():
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        kept = normalise(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options))
        assert kept.media_type == "image/png"
        with Image.open(io.BytesIO(kept.data)) as image:
            assert getattr(image, "n_frames", 1) == 1
        assert tuple(pixels(kept.data)[5, 5]) == (255, 0, 0)
        assert normalise(kept.data) == kept


def test_bitmaps_become_png():
    kept = normalise(saved(picture(), "BMP"))
    assert kept.media_type == "image/png"
    assert np.array_equal(pixels(kept.data), np.asarray(picture()))


def test_what_follows_the_end_goes():
    for kind in ("JPEG", "PNG", "WEBP"):
        data = saved(picture(), kind)
        assert normalise(data + b"SECRETTEXT" * 9) == normalise(data)


def test_pictures_behind_the_first_go():
    """Phones put more pictures behind the one that is shown."""
    data = saved(picture(), "MPO", save_all=True, append_images=[picture(size=(40, 24))], exif=exif())
    kept = normalise(data)
    assert kept.media_type == "image/jpeg"
    assert len(kept.data) < len(data) * 0.7
    assert SECRETS[0] not in kept.data


def test_too_many_pixels_are_known_by_the_header():
    def header(width, height):
        body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))

    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    idat = zlib.compress(b"")
    chunk = struct.pack(">I", len(idat)) + b"IDAT" + idat + struct.pack(">I", zlib.crc32(b"IDAT" + idat))
    for size in ((8000, 6251), (60_000, 60_000)):
        with pytest.raises(Invalid, match="too many pixels") as error:
            normalise(header(*size) + chunk + end)
        assert error.value.field == "image"


def test_too_many_bytes_are_refused():
    with pytest.raises(Invalid, match="too large"):
        normalise(bytes(IMAGE_LIMIT_BYTES + 1))


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", bytes(999)])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(Invalid, match="not an image"):
        normalise(data)


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_are_refused(kind):
    data = FILES[kind]()
    for cut in range(4, len(data) * 9 // 10, max(1, len(data) // 40)):
        with pytest.raises(Invalid):
            normalise(data[:cut])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK"])
def test_thumbnails_are_small(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    small = thumbnail(normalise(saved(picture(mode, (900, 300)), kind)).data)
    with Image.open(io.BytesIO(small)) as image:
        assert image.format == "WEBP"
        assert image.size == (SIDE, 85)
