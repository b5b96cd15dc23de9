"""The history over HTTP. What changes something wants a page of ours; errors have the shape of `answers`.

GET    /api/runs                 ?q&skill&model&tag&since&until&pinned&state&comparison&deleted&cursor&limit
                                 {"runs": [summary], "html": rows as <li>, "next", "total", "facets"}
GET    /api/runs/{id}            summary fields, "reasoning", "notes", "parts": [{"create", "state",
                                 "output", "metrics", "error"}], "ask": the run as the page asks for it
                                 again; ?events=1 the whole record instead
PATCH  /api/runs/{id}            {"title"?, "notes"?, "tags"?, "pinned"?, "rating"?} -> the same as GET
DELETE /api/runs/{id}            {"undo": token}
POST   /api/runs/delete          {"ids": [...]} -> {"undo": token}
POST   /api/undo                 {"token"} -> {"restored": n}
GET    /api/deletions            {"deletions": [{"token", "runs", "name", "until"}], "html": rows as <li>}
DELETE /api/history              {"confirm": "delete"} -> {"deleted": true}
GET    /api/runs/{id}/export     the .dreamscope file
POST   /api/import               its bytes, as the body or the first file of a form -> {"id"}
GET    /api/images/{hash}        the bytes; /thumb a WebP of at most 256 pixels
POST   /api/images               the bytes -> {"hash", "width", "height", "media_type"}
GET    /api/comparisons/{id}     {"id", "title", "created_at", "kind", "runs": [ids in column order]}
GET    /api/storage              {"runs", "deleted", "images", "shares", "bytes", "image_bytes", "limit",
                                 "folder": null if nothing is kept, "trouble"}
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from dreamscope.app import words
from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.app.context import Context
from dreamscope.app.doors import UPLOAD
from dreamscope.app.images import normalise
from dreamscope.app.routes.answers import Answering, Refused, body_of, from_our_page, json_of
from dreamscope.app.routes.history_answers import changes_of, run_json, search_of, strings_of, summary_json
from dreamscope.app.store.portable import FILE_LIMIT_BYTES
from dreamscope.app.store.search import terms_of
from dreamscope.app.ui.deleted import deleted_html
from dreamscope.app.ui.history_rows import rows_html
from dreamscope.visualizers import record_json

_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""An image is named by its content, so it never changes."""
_OURS = [Depends(from_our_page)]
_ENVELOPE_BYTES = 4096
"""What a form may hold besides its file."""
_MOST_FIELDS = 8


def router(context: Context) -> APIRouter:
    """The routes above. Handlers that are no coroutines run in threads."""
    routes = APIRouter(route_class=Answering)
    _reading(routes, context)
    _changing(routes, context)
    _carrying(routes, context)
    _images(routes, context)
    return routes


def _reading(routes: APIRouter, context: Context) -> None:
    store = context.store

    @routes.get("/api/runs")
    def runs(request: Request) -> Response:
        query = search_of(request.query_params)
        found = store.search(query)
        return JSONResponse(
            {
                "runs": [summary_json(run) for run in found.runs],
                "html": rows_html(found.runs, terms_of(query.text)),
                "next": found.next,
                "total": found.total,
                "facets": found.facets,
            }
        )

    @routes.get("/api/runs/{run_id}")
    def run(run_id: str, events: str = "") -> Response:
        record = store.record(run_id)
        if record is None:
            raise Refused(404, words.NO_SUCH_RUN)
        return JSONResponse(record_json.to_json(record) if events == "1" else run_json(record))

    @routes.get("/api/comparisons/{comparison_id}")
    def comparison(comparison_id: str) -> Response:
        found = store.comparison(comparison_id)
        if found is None or not found.runs:
            raise Refused(404, words.NO_SUCH_COMPARISON)
        return JSONResponse(asdict(found))

    @routes.get("/api/deletions")
    def deletions() -> Response:
        found = store.deletions()
        rows = [asdict(deletion) for deletion in found]
        return JSONResponse({"deletions": rows, "html": deleted_html(found)})

    @routes.get("/api/storage")
    def storage() -> Response:
        kept = asdict(store.storage())
        kept["bytes"] = kept.pop("file_bytes")
        return JSONResponse({**kept, "folder": kept["folder"] and str(kept["folder"])})


def _changing(routes: APIRouter, context: Context) -> None:
    store, hub = context.store, context.hub

    @routes.patch("/api/runs/{run_id}", dependencies=_OURS)
    async def change(run_id: str, request: Request) -> Response:
        changes = changes_of(await json_of(request))
        if not await asyncio.to_thread(lambda: store.change(run_id, **changes)):
            raise Refused(404, words.NO_SUCH_RUN)
        hub.changed([run_id])
        record = await asyncio.to_thread(store.record, run_id)
        if record is None:  # deleted meanwhile
            raise Refused(404, words.NO_SUCH_RUN)
        return JSONResponse(run_json(record))

    async def hide(ids: tuple[str, ...]) -> Response:
        token = await asyncio.to_thread(store.delete, ids)
        if not token:
            raise Refused(404, words.NO_SUCH_RUN)
        hub.changed(ids)
        return JSONResponse({"undo": token})

    @routes.delete("/api/runs/{run_id}", dependencies=_OURS)
    async def delete(run_id: str) -> Response:
        return await hide((run_id,))

    @routes.post("/api/runs/delete", dependencies=_OURS)
    async def delete_several(request: Request) -> Response:
        return await hide(strings_of(await json_of(request), "ids"))

    @routes.post("/api/undo", dependencies=_OURS)
    async def undo(request: Request) -> Response:
        token = (await json_of(request)).get("token")
        back = await asyncio.to_thread(store.restore, token) if isinstance(token, str) else ()
        if not back:
            raise Refused(404, words.NOTHING_TO_UNDO, "token")
        hub.changed(back)
        return JSONResponse({"restored": len(back)})

    @routes.delete("/api/history", dependencies=_OURS)
    async def clear(request: Request) -> Response:
        if (await json_of(request)).get("confirm") != "delete":
            raise Refused(400, words.CLEAR_UNCONFIRMED, "confirm")
        await asyncio.to_thread(store.clear)
        hub.changed()
        return JSONResponse({"deleted": True})


def _carrying(routes: APIRouter, context: Context) -> None:
    store, hub = context.store, context.hub

    @routes.get("/api/runs/{run_id}/export")
    def export(run_id: str) -> Response:
        packed = store.export_run(run_id)
        if packed is None:
            raise Refused(404, words.NO_SUCH_RUN)
        named = f'attachment; filename="run-{run_id[:8]}.dreamscope"'
        return Response(packed, media_type="application/zip", headers={"Content-Disposition": named})

    @routes.post("/api/import", dependencies=_OURS)
    async def import_run(request: Request) -> Response:
        data = await _file_of(request, FILE_LIMIT_BYTES)
        run_id = await asyncio.to_thread(store.import_run, data)
        hub.changed([run_id])
        return JSONResponse({"id": run_id}, 201)


def _images(routes: APIRouter, context: Context) -> None:
    store = context.store

    @routes.get("/api/images/{image_hash}")
    def image(image_hash: str) -> Response:
        found = store.image(image_hash)
        if found is None:
            raise Refused(404, words.IMAGE_NOT_KEPT)
        return Response(found.data, media_type=found.media_type, headers=_FOREVER)

    @routes.get("/api/images/{image_hash}/thumb")
    def thumb(image_hash: str) -> Response:
        small = store.thumb(image_hash)
        if small is None:
            raise Refused(404, words.IMAGE_NOT_KEPT)
        return Response(small, media_type="image/webp", headers=_FOREVER)

    @routes.post("/api/images", dependencies=_OURS)
    async def put_image(request: Request) -> Response:
        data = await _file_of(request, IMAGE_LIMIT_BYTES)
        picture = await asyncio.to_thread(lambda: store.put_image(normalise(data)))
        return JSONResponse(asdict(picture), 201)

    @routes.post(UPLOAD, dependencies=_OURS)
    async def upload(request: Request) -> Response:
        data = await _file_of(request, IMAGE_LIMIT_BYTES)
        picture = await asyncio.to_thread(lambda: store.put_image(normalise(data)))
        return JSONResponse([picture.hash])


async def _file_of(request: Request, limit: int) -> bytes:
    """The body, or the first file of a form. Raises `Refused` where it is larger than `limit` bytes."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await body_of(request, limit)
    declared = request.headers.get("content-length", "")
    if not declared.isdecimal() or int(declared) > limit + _ENVELOPE_BYTES:
        raise Refused(413, words.body_too_big(limit))
    try:
        async with request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_ENVELOPE_BYTES) as form:
            files: list[Any] = [value for value in form.values() if isinstance(value, UploadFile)]
            return await files[0].read() if files else b""
    except HTTPException:  # what Starlette makes of a form that it cannot read
        raise Refused(400, words.FORM_UNREADABLE) from None
