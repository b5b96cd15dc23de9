"""Names of files that people download, made of what was asked; safe on every system and in every header."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from dreamscope.visualizers.record import Record

LONGEST = 60
_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def stem(record: Record) -> str:
    """A name without a path, an extension or a space; letters of any script, never empty."""
    text = unicodedata.normalize("NFKC", record.title or record.prompt or record.skill)
    words = re.findall(r"[^\W_]+", text)
    name = "-".join(words)[:LONGEST].strip("-")
    return f"{record.skill}-{name}" if not name or _RESERVED.fullmatch(name) else name


def image_name(record: Record) -> str:
    """The name of the image's file, ASCII, as data sets refer to it."""
    kind = _EXTENSIONS.get(record.picture.media_type, "png") if record.picture else "png"
    return f"{_ascii(stem(record), record)}.{kind}"


def disposition(record: Record, ending: str) -> str:
    """The value of `Content-Disposition` for a download that ends in `.ending`, pure ASCII."""
    name = f"{stem(record)}.{ending}"
    plain = f"{_ascii(stem(record), record)}.{ending}"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _ascii(name: str, record: Record) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"-+", "-", plain).strip("-") or record.skill
