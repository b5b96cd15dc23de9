"""`image_url` to bytes. Nothing is ever fetched or opened."""

from __future__ import annotations

import base64
import binascii
import re

from dreamscope.engine import errors

_DATA_URL = re.compile(r"data:[^,]*;base64\s*,", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ACCEPTED = "send 'data:image/...;base64,...' or bare base64"


def image_bytes(url: str, param: str = "image_url") -> bytes:
    """The payload of a base64 data URL or of bare base64; whitespace is dropped, missing padding tolerated.

    Raises `InvalidImageUrl`; the sentence never repeats the payload.
    """
    head = url[:256].lstrip()
    match = _DATA_URL.match(head)
    if match:
        payload = url.lstrip()[match.end() :]
    elif scheme := _SCHEME.match(head):
        raise errors.InvalidImageUrl(f"{scheme.group()!r} addresses are not fetched; {_ACCEPTED}.", param)
    else:
        payload = url
    compact = "".join(payload.split())
    if not compact:
        raise errors.InvalidImageUrl(f"The image is empty; {_ACCEPTED}.", param)
    compact = compact.rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise errors.InvalidImageUrl(f"The image is not valid base64; {_ACCEPTED}.", param) from None
