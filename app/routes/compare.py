"""GET /api/compare?run=a&run=b[&run=c[&run=d]]: two to four runs side by side, as `visualizers.comparison`.

Runs are in column order. `?comparison=ID` instead of `run` takes the runs of a kept comparison. 404 for a run
that is not kept, 400 for fewer than two or more than four.
"""

from __future__ import annotations

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.routes.answers import Answering, Refused
from dreamscope.engine.wire import WireError
from dreamscope.visualizers.comparison import COLUMNS, compare


def router(context: Context) -> APIRouter:
    """The route above; it runs in a thread, because long texts and many marks take a moment."""
    routes = APIRouter(route_class=Answering)
    store = context.store

    @routes.get("/api/compare")
    def compared(run: list[str] = Query(default=[]), comparison: str = "") -> Response:  # noqa: B008
        ids = tuple(run)
        if comparison:
            kept = store.comparison(comparison)
            if kept is None:
                raise Refused(404, words.NO_SUCH_COMPARISON)
            ids = kept.runs
        if not COLUMNS[0] <= len(ids) <= COLUMNS[1]:
            fewest, most = COLUMNS
            raise Refused(400, f"{fewest} to {most} runs can be compared, not {len(ids)}.", "run")
        records = [store.record(run_id) for run_id in ids]
        known = [record for record in records if record is not None]
        if len(known) < len(records):
            raise Refused(404, words.NO_SUCH_RUN)
        try:
            return JSONResponse(compare(known).to_json())
        except WireError as error:
            raise Refused(422, f"A run cannot be read as a result: {error}") from None

    return routes
