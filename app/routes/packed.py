"""Answers that are compressed where the browser can read that: markup of marks shrinks to a tenth."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.responses import Response

_LEAST_BYTES = 1000
_LEVEL = 6


def packed(
    request: Request, content: str, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A text answer in UTF-8."""
    body = content.encode()
    told = {**(headers or {}), "Vary": "Accept-Encoding"}
    if len(body) >= _LEAST_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, _LEVEL, mtime=0)
        told["Content-Encoding"] = "gzip"
    return Response(body, media_type=media_type, headers=told)


def packed_json(request: Request, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as JSON."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return packed(request, text, "application/json", headers)
