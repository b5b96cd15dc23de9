"""GET and PUT /api/runs/{id}/truth: what people know to be in a run's image, and what the run made of it.

    PUT  {"truth": [{"at": [x, y] or [x_min, y_min, x_max, y_max], "label"?}, ...]}   null takes it away
         {"file": ...}                    the parsed JSON of a file, see `visualizers.truth_file`
    both answer  {"truth": [...] | null, "found": counts by mark | null, "line", "layer", "entries": html}

`width`, a query parameter, is that of the image on the page in CSS pixels. 404 for a run that is not kept;
400 with the reason for truth that does not fit the run.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.routes.answers import Answering, Refused, from_our_page, json_of
from dreamscope.app.routes.inspect import record_of
from dreamscope.engine import wire
from dreamscope.visualizers import truth_file
from dreamscope.visualizers.fragment import DISPLAY_WIDTH
from dreamscope.visualizers.hits import fitting, hits_of
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.truth import Known, TruthError, truth_of
from dreamscope.visualizers.truth_html import told

WIDEST = 20_000.0


def router(context: Context) -> APIRouter:
    """The routes above."""
    routes = APIRouter(route_class=Answering)
    store = context.store

    @routes.get("/api/runs/{run_id}/truth")
    def truth(run_id: str, width: str = "") -> Response:
        return _answer(record_of(store, run_id), _width(width))

    @routes.put("/api/runs/{run_id}/truth", dependencies=[Depends(from_our_page)])
    async def set_truth(run_id: str, request: Request) -> Response:
        body = await json_of(request)
        width = _width(request.query_params.get("width", ""))
        record = await asyncio.to_thread(record_of, store, run_id)
        try:
            given = _given(body, record)
        except TruthError as error:
            raise Refused(400, str(error), "truth") from None
        await asyncio.to_thread(store.set_truth, run_id, given)
        context.hub.changed([run_id])
        return _answer(await asyncio.to_thread(record_of, store, run_id), width)

    return routes


def _given(body: dict[str, object], record: Record) -> tuple[Known, ...] | None:
    """The truth in a body, as far as the run was asked for it. Raises `TruthError`."""
    if set(body) not in ({"truth"}, {"file"}):
        raise TruthError(words.TRUTH_OF_WHAT)
    if body.get("file") is not None:
        size = record.picture.size if record.picture else (1, 1)
        return fitting(truth_file.read(body["file"], size), record)
    if "file" in body or body["truth"] is not None:
        return fitting(truth_of(body.get("truth")), record)
    return None


def _answer(record: Record, width: float) -> Response:
    found, shown = hits_of(record), told(record, width)
    return JSONResponse(
        {
            "truth": None if record.truth is None else wire.to_json(record.truth),
            "found": found.to_json() if found else None,
            "line": shown.line if shown else "",
            "layer": shown.layer if shown else "",
            "entries": shown.entries if shown else "",
        }
    )


def _width(given: str) -> float:
    """A width of the page that can be one; else the usual."""
    return float(given) if given.isdecimal() and 1 <= float(given[:9]) <= WIDEST else DISPLAY_WIDTH
