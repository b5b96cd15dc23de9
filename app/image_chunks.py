"""What image files say besides their pixels, cut out of the file without decoding it.

Each function keeps what changes how the pixels look (colour profile, gamma, transparency) and drops
the rest, also whatever follows the end of the image. They raise `ValueError` for files whose structure is
broken; calling one again changes nothing.
"""

from __future__ import annotations

import struct

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD cICP".split())
_WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"ALPH", b"ICCP"))
_WEBP_ICC, _WEBP_ALPHA = 0x20, 0x10

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP2, _APP14, _APP15 = 0xE0, 0xE2, 0xEE, 0xEF
_KEPT_APPS = {_APP0: b"JFIF\0", _APP2: b"ICC_PROFILE\0", _APP14: b"Adobe"}
"""Application segments that say how to read the pixels, by how they begin."""


def strip_png(data: bytes) -> bytes:
    """A PNG without texts, times, EXIF and animation."""
    if not data.startswith(_PNG_SIGNATURE):
        raise ValueError("not a PNG file")
    kept, at = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ValueError("a chunk is cut off")
        if name in _PNG_KEPT:
            kept.append(data[at:end])
        at = end
        if name == b"IEND":
            return b"".join(kept)


def strip_webp(data: bytes) -> bytes:
    """A still WebP without EXIF and XMP."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("not a WebP file")
    chunks, at = [], 12
    stop = min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    while at + 8 <= stop:
        name, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) != length:
            raise ValueError("a chunk is cut off")
        if name == b"VP8X":
            flags = body[0] & (_WEBP_ICC | _WEBP_ALPHA)
            chunks.append((name, bytes([flags]) + body[1:]))
        elif name in _WEBP_KEPT:
            chunks.append((name, body))
        at += 8 + length + length % 2
    packed = b"".join(
        struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2) for name, body in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(packed)) + b"WEBP" + packed


def strip_jpeg(data: bytes) -> bytes:
    """A JPEG without EXIF, XMP, IPTC, comments, and pictures behind the first."""
    if data[:2] != bytes([0xFF, _SOI]):
        raise ValueError("not a JPEG file")
    kept, at = [data[:2]], 2
    while True:
        at, marker = _next_marker(data, at)
        if marker == _EOI:
            kept.append(bytes([0xFF, _EOI]))
            return b"".join(kept)
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("a segment is cut off")
        if marker == _SOS:
            end = _end_of_scan(data, end)
        if not _tells(marker, data[at + 4 : end]):
            kept.append(data[at:end])
        at = end


def _tells(marker: int, body: bytes) -> bool:
    """Whether a segment tells about the picture instead of being part of it."""
    if marker == _COM:
        return True
    return _APP0 <= marker <= _APP15 and not body.startswith(_KEPT_APPS.get(marker, b"\0never"))


def _next_marker(data: bytes, at: int) -> tuple[int, int]:
    """Where the marker at `at` begins, after fill bytes, and which one it is."""
    while data[at : at + 2] == b"\xff\xff":
        at += 1
    if at + 1 >= len(data) or data[at] != 0xFF:
        raise ValueError("there is no marker where one must be")
    return at, data[at + 1]


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the coded pixels end that begin at `at`: at the next marker that is no restart."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise ValueError("the pixels are cut off")
        following = data[at + 1]
        if following == 0xFF:
            at += 1
        elif following == 0 or 0xD0 <= following <= 0xD7:
            at += 2
        else:
            return at
