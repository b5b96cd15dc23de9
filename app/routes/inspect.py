"""What lies behind a run, as HTML for the page and as JSON for scripts.

GET  /api/runs/{id}/audit          {"html", "summary", "line", "brief", "checks": [{"id", "verdict", "text",
                                   "part", "evidence": [...], "run"}], "boxes": {"layer", "legend"}}: see
                                   `visualizers/audit/`; `line` stands below the answer, `brief` is the
                                   same without buttons
POST /api/runs/{id}/audit/detect   runs detect for the nouns of the spans first; then the same. 503 if
                                   the engine does not answer
GET  /api/runs/{id}/code           {"html", "python", "curl", "openai", "websocket"}: `snippets/html.py`
GET  /api/runs/{id}/events.html    `inspect/events.py`
GET  /api/runs/{id}/metrics.html   `inspect/metrics.py`
GET  /api/runs/{id}/raw.json       the whole record, with all events: `record_json.py`
"""

from __future__ import annotations

import asyncio
import json

from fastapi import APIRouter, Depends
from starlette.responses import HTMLResponse, JSONResponse, Response

from dreamscope.app import words
from dreamscope.app.auditing import AuditError, detect_nouns
from dreamscope.app.client import EngineGone, EngineRefused
from dreamscope.app.context import Context
from dreamscope.app.detections import detected, users_of
from dreamscope.app.routes.answers import Answering, Refused, from_our_page
from dreamscope.app.store.store import Store
from dreamscope.visualizers import record_json
from dreamscope.visualizers.audit import html as audit_html
from dreamscope.visualizers.audit.check import to_json
from dreamscope.visualizers.audit.checks import audit, found_by_noun
from dreamscope.visualizers.audit.layer import layer, legend
from dreamscope.visualizers.audit.line import lines
from dreamscope.visualizers.inspect import events, metrics
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.snippets import html as code_html


def router(context: Context) -> APIRouter:
    """The routes above. Handlers that are no coroutines run in threads."""
    routes = APIRouter(route_class=Answering)
    store = context.store

    @routes.get("/api/runs/{run_id}/audit")
    def audited(run_id: str) -> Response:
        return _audited(store, record_of(store, run_id))

    @routes.post("/api/runs/{run_id}/audit/detect", dependencies=[Depends(from_our_page)])
    async def audited_with_detect(run_id: str) -> Response:
        record = await asyncio.to_thread(record_of, store, run_id)
        try:
            await detect_nouns(context, record)
        except (AuditError, EngineGone, EngineRefused) as error:
            raise Refused(503, str(error)) from None
        await asyncio.to_thread(store.flush)
        return await asyncio.to_thread(_audited, store, record)

    @routes.get("/api/runs/{run_id}/code")
    def code(run_id: str) -> Response:
        record = record_of(store, run_id)
        snippets = code_html.snippets(record, context.engine.status.url)
        return JSONResponse({"html": code_html.render(record, snippets), **snippets})

    @routes.get("/api/runs/{run_id}/events.html")
    def event_log(run_id: str) -> Response:
        return HTMLResponse(events.render(record_of(store, run_id)))

    @routes.get("/api/runs/{run_id}/metrics.html")
    def measured(run_id: str) -> Response:
        return HTMLResponse(metrics.render(record_of(store, run_id)))

    @routes.get("/api/runs/{run_id}/raw.json")
    def raw(run_id: str) -> Response:
        text = json.dumps(record_json.to_json(record_of(store, run_id)), indent=2)
        return Response(text, media_type="application/json")

    return routes


def record_of(store: Store, run_id: str) -> Record:
    """The run with all that was written of it. Raises `Refused` if there is none."""
    record = store.record(run_id)
    if record is None:
        raise Refused(404, words.NO_SUCH_RUN)
    return record


def _audited(store: Store, record: Record) -> Response:
    boxes = detected(store, record)
    checks, found, users = audit(record, boxes), found_by_noun(record, boxes), users_of(store, record)
    return JSONResponse(
        {
            "html": audit_html.render(record, checks, users),
            "summary": audit_html.summary(checks),
            "line": lines(record, checks, buttons=True),
            "brief": lines(record, checks) + audit_html.uses(users),
            "checks": [to_json(check) for check in checks],
            "boxes": {"layer": layer(record, found), "legend": legend(found)},
        }
    )
