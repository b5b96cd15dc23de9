"""What the inspector asks for apart from the live trace.

    GET /api/trace?model=&seconds=    the last steps as a Chrome/Perfetto trace, as the engine gives it
    GET /api/trace/runs?ids=a,b       {"runs": {id: {"run", "title"}}}: those requests that are kept runs

The first is 503 while no engine answers, and has the engine's status and reason where that refuses.
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from dreamscope.app import words
from dreamscope.app.client import socket_url
from dreamscope.app.context import Context
from dreamscope.app.routes.answers import Answering, Refused
from dreamscope.app.store.store import Store
from dreamscope.engine import wire
from dreamscope.visualizers import foreign_json

PATIENCE_S = 10.0
MOST_IDS = 64


def router(context: Context) -> APIRouter:
    """The routes above."""
    routes = APIRouter(route_class=Answering)

    @routes.get("/api/trace")
    async def trace(model: str = "", seconds: str = "") -> Response:
        url = context.engine.status.url
        if url is None:
            raise Refused(503, words.ENGINE_SILENT)
        asked = {name: value for name, value in (("model", model), ("seconds", seconds)) if value}
        data, headers = await asyncio.to_thread(_fetch, _address(url, asked))
        return Response(data, media_type="application/json", headers=headers)

    @routes.get("/api/trace/runs")
    def runs(ids: str = "") -> Response:
        asked = [each for each in dict.fromkeys(ids.split(",")) if each][:MOST_IDS]
        found = {each: run for each in asked if (run := _run(context.store, each)) is not None}
        return JSONResponse({"runs": found})

    return routes


def _run(store: Store, request_id: str) -> dict[str, str] | None:
    """The run that a request belongs to; parts of a run are numbered behind a dot."""
    record = store.record(request_id) or store.record(request_id.rpartition(".")[0])
    if record is None:
        return None
    return {"run": record.id, "title": record.prompt or words.TITLES[record.skill]}


def _address(engine: str, query: dict[str, str]) -> str:
    parts = urlsplit(socket_url(engine))
    scheme = {"ws": "http", "wss": "https"}[parts.scheme]
    path = parts.path.removesuffix("ws") + "trace"
    return urlunsplit((scheme, parts.netloc, path, urlencode(query), ""))


def _fetch(address: str) -> tuple[bytes, dict[str, str]]:
    """Raises `Refused` with the engine's reason, or because it does not answer."""
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            name = answer.headers.get("Content-Disposition", "attachment")
            return answer.read(), {"Content-Disposition": name, "Cache-Control": "no-store"}
    except urllib.error.HTTPError as error:
        raise Refused(error.code, _reason(error.read())) from None
    except OSError:
        raise Refused(503, words.ENGINE_SILENT) from None


def _reason(body: bytes) -> str:
    try:
        said: Any = foreign_json.parse(body.decode())
        return str(wire.from_json(wire.ErrorInfo, said["error"]).message)
    except (ValueError, KeyError, TypeError):
        return words.ENGINE_SILENT
