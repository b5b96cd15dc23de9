"""What all JSON routes share: the one error shape, who may change things, bodies with a limit.

    {"error": {"message": "a sentence", "field": "the field at fault, if it is one"}}

Routers are made with `APIRouter(route_class=Answering)`; then anything in a route may raise `Refused`.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response

from dreamscope.app import words
from dreamscope.app.asks import Invalid
from dreamscope.app.origin import own_page
from dreamscope.app.store.kinds import StoreError
from dreamscope.visualizers import foreign_json

JSON_LIMIT_BYTES = 2_000_000
_log = logging.getLogger(__name__)


class Refused(Exception):
    """A request that cannot be done: HTTP status, a sentence for people, the field at fault."""

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.field = status, message, field


class Answering(APIRoute):
    """A route whose refusals are answered in the one error shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, within what turns refusals into answers."""
        handle = super().get_route_handler()

        async def answering(request: Request) -> Response:
            try:
                return await handle(request)
            except Refused as error:
                return refusal(error.status, error.message, error.field)
            except Invalid as error:
                return refusal(400, error.text, error.field)
            except StoreError as error:
                return refusal(400, str(error))
            except (sqlite3.Error, OSError):
                _log.exception("the history cannot be used")
                return refusal(503, words.HISTORY_TROUBLE)

        return answering


def refusal(status: int, message: str, field: str | None = None) -> JSONResponse:
    """The one error shape."""
    error = {"message": message, "field": field} if field else {"message": message}
    return JSONResponse({"error": error}, status)


def from_our_page(request: Request) -> None:
    """A dependency of every route that changes something: pages of other sites may not. Raises `Refused`."""
    if not own_page(request.headers):
        raise Refused(403, words.FOREIGN_PAGE)


async def body_of(request: Request, limit: int) -> bytes:
    """The body, read no further than `limit` bytes. Raises `Refused`."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > limit:
            raise Refused(413, words.body_too_big(limit))
    return bytes(data)


async def json_of(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises `Refused`.

    It must say that it is JSON: what a form of another site can send without being asked about it never does.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, words.NOT_SENT_AS_JSON)
    try:
        data = foreign_json.parse(await body_of(request, JSON_LIMIT_BYTES))
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise Refused(400, words.NOT_AN_OBJECT)
    return data
