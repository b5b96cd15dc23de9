"""The doors to Gradio's own API, for `gradio_client`, curl and MCP clients.

    POST /gradio_api/queue/join, /gradio_api/call/NAME     a call of an endpoint of `app/endpoints.py`
    POST /gradio_api/cancel                                its end
    POST /gradio_api/mcp, /gradio_api/mcp/http             an MCP message, over streamable HTTP
    POST /gradio_api/upload                                ours, see `app/routes/history.py`

Nothing else of Gradio takes anything. What goes through is read here first, no further than a limit, and a
file object in it becomes the text of its path: Gradio would fetch addresses, and copy files of this machine.
What the text means, the endpoint knows; our upload gives files names that it does.
"""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamscope.app import words
from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.visualizers import foreign_json

UPLOAD = "/gradio_api/upload"
LIMIT_BYTES = IMAGE_LIMIT_BYTES * 4 // 3 + 100_000
"""Of a message that holds an image in base64."""
_TAKING = re.compile(r"/gradio_api/(?:queue/join|cancel|call/\w+|mcp(?:/http)?)/?")


def is_door(path: str) -> bool:
    """Whether something may be sent to this path of Gradio's."""
    return path == UPLOAD or _TAKING.fullmatch(path) is not None


class Doors:
    """ASGI middleware that passes on to Gradio only JSON without files; all else is left as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        taking = scope["type"] == "http" and scope["method"] == "POST" and _TAKING.fullmatch(scope["path"])
        if not taking:
            await self._app(scope, receive, send)
            return
        body = await _body(Request(scope, receive))
        if body is None:
            await _refused(413, words.body_too_big(LIMIT_BYTES))(scope, receive, send)
            return
        try:
            plain = json.dumps(without_files(foreign_json.parse(body))).encode()
        except ValueError as error:
            await _refused(400, words.sentence(f"The body is not JSON: {error}"))(scope, receive, send)
            return
        headers = [row for row in scope["headers"] if row[0] != b"content-length"]
        headers.append((b"content-length", str(len(plain)).encode()))
        await self._app({**scope, "headers": headers}, _replayed(plain, receive), send)


def without_files(value: Any) -> Any:
    """`value` with the path in place of each of Gradio's file objects, empty where it has none."""
    if isinstance(value, list):
        return [without_files(each) for each in value]
    if not isinstance(value, dict):
        return value
    meta = value.get("meta")
    if isinstance(meta, dict) and meta.get("_type") == "gradio.FileData":
        path = value.get("path")
        return path if isinstance(path, str) else ""
    return {name: without_files(each) for name, each in value.items()}


async def _body(request: Request) -> bytes | None:
    """The whole body; `None` if it is too large."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > LIMIT_BYTES:
            return None
    return bytes(data)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What gives `body` first, and then whatever else comes, such as that the client has left."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _refused(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": {"message": text}}, status)
