"""Batches over HTTP: many images, one prompt, two models. State-changing routes want the same origin.

    POST /api/zip                       body: the zip -> {"images": [{"hash", "name"}], "skipped": [{"name",
                                        "reason"}]}; 413 if too large, 400 if it is no zip
    POST /api/batches                   {"title"?, "images": [{"hash", "name"}], "columns": [ask, ask]}
                                        -> {"id"}; an ask is what the page's `run` message holds
    GET  /api/batches                   {"batches": [{"id", "title", "created_at", "state", "total"}]}
    GET  /api/batches/{id}              {"id", "title", "created_at", "state", "done", "failed", "total",
                                        "text": progress in words, "columns": [name, name],
                                        "asks": [ask, ask], "html": the report so far}
    POST /api/batches/{id}/cancel       -> the same without html; runs that go on are stopped
    POST /api/batches/{id}/continue     -> the same; goes on with the images that are not done
    GET  /api/batches/{id}/export.csv   attachments
    GET  /api/batches/{id}/export.json

state: queued, running, done, stopped (cancelled), interrupted (the server ended in the middle) or failed (the
history could not be written); the last three can be continued. `done` counts the images that are settled,
`failed` those of them without two answers. An image
whose engine went away is asked again when it is back. `GET /api/batches/{id}?report=0` leaves `html` out,
for polling. Each image's pair is a comparison of kind "batch" in the history.
Errors: {"error": {"message", "field"?}}.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import IO, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from dreamscope.app import words
from dreamscope.app.asks import Invalid, parse_ask
from dreamscope.app.batches import Batches
from dreamscope.app.context import Context
from dreamscope.app.images import normalise
from dreamscope.app.routes.answers import Answering, Refused, from_our_page, json_of
from dreamscope.app.store.kinds import Batch, BatchImage
from dreamscope.app.store.store import Store
from dreamscope.app.zips import MOST_FILES, ZIP_LIMIT_BYTES, BadZip, files_of, shown_name
from dreamscope.visualizers.batch_export import report_csv, report_json
from dreamscope.visualizers.batch_items import Item
from dreamscope.visualizers.batch_report import Report
from dreamscope.visualizers.batch_words import progress
from dreamscope.visualizers.record import Part, Record
from dreamscope.visualizers.sides import column_names

_OURS = [Depends(from_our_page)]
_HASH = re.compile("[0-9a-f]{64}")
_IN_MEMORY_BYTES = 8 * 2**20
_TITLE_LENGTH = 200


def router(context: Context) -> APIRouter:
    """The routes above. What goes on when the server ends is interrupted."""
    batches = Batches(context.engine, context.store, context.hub.changed)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await batches.close()

    routes = APIRouter(route_class=Answering, lifespan=lifespan)
    _beginning(routes, context.store, batches)
    _watching(routes, context.store, batches)
    _exporting(routes, context.store, batches)
    return routes


def _beginning(routes: APIRouter, store: Store, batches: Batches) -> None:
    @routes.post("/api/zip", dependencies=_OURS)
    async def unzip(request: Request) -> Response:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as file:
            size = 0
            async for piece in request.stream():
                size += len(piece)
                if size > ZIP_LIMIT_BYTES:
                    raise Refused(413, words.body_too_big(ZIP_LIMIT_BYTES))
                await asyncio.to_thread(file.write, piece)
            return JSONResponse(await asyncio.to_thread(_keep_images, store, file))

    @routes.post("/api/batches", dependencies=_OURS)
    async def start(request: Request) -> Response:
        asked = await json_of(request)
        title, columns = asked.get("title", ""), asked.get("columns")
        if not isinstance(title, str):
            raise Refused(400, "The title of a batch is a text.", "title")
        if not isinstance(columns, list) or not all(isinstance(column, dict) for column in columns):
            raise Refused(400, "The columns of a batch are a list of two asks.", "columns")
        images = await asyncio.to_thread(_images_of, store, asked.get("images"))
        return JSONResponse({"id": await batches.start(title.strip()[:_TITLE_LENGTH], columns, images)})

    @routes.post("/api/batches/{batch_id}/cancel", dependencies=_OURS)
    async def cancel(batch_id: str) -> Response:
        await batches.cancel(batch_id)
        return JSONResponse(await _state(store, batches, batch_id))

    @routes.post("/api/batches/{batch_id}/continue", dependencies=_OURS)
    async def proceed(batch_id: str) -> Response:
        await batches.proceed(batch_id)
        return JSONResponse(await _state(store, batches, batch_id))


def _watching(routes: APIRouter, store: Store, batches: Batches) -> None:
    @routes.get("/api/batches")
    def listed() -> Response:
        found = [
            {
                "id": batch.id,
                "title": batch.title,
                "created_at": batch.created_at,
                "state": batch.state,
                "total": len(batch.images),
            }
            for batch in store.batches()
        ]
        return JSONResponse({"batches": found})

    @routes.get("/api/batches/{batch_id}")
    async def watched(batch_id: str, report: str = "1") -> Response:
        state = await _state(store, batches, batch_id)
        if report != "0":
            made = await _report(store, batches, batch_id)
            state["html"] = await asyncio.to_thread(made.html)
        return JSONResponse(state)


def _exporting(routes: APIRouter, store: Store, batches: Batches) -> None:
    @routes.get("/api/batches/{batch_id}/export.csv")
    async def as_csv(batch_id: str) -> Response:
        report = await _report(store, batches, batch_id)
        # The mark at the beginning is how spreadsheets know that the text is UTF-8.
        text = "\ufeff" + await asyncio.to_thread(report_csv, report)
        return Response(text, media_type="text/csv; charset=utf-8", headers=_attachment("csv"))

    @routes.get("/api/batches/{batch_id}/export.json")
    async def as_json(batch_id: str) -> Response:
        report = await _report(store, batches, batch_id)
        data = await asyncio.to_thread(report_json, report)
        text = json.dumps(data, indent=1, ensure_ascii=False)
        return Response(text, media_type="application/json", headers=_attachment("json"))


def _attachment(ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="batch.{ending}"'}


def _keep_images(store: Store, file: IO[bytes]) -> dict[str, Any]:
    """Store every image of a zip. Raises `Refused` if it is none."""
    file.seek(0)
    kept, skipped = [], []
    try:
        for packed in files_of(file):
            reason = packed.reason
            if not reason:
                try:
                    picture = store.put_image(normalise(packed.data))
                    kept.append({"hash": picture.hash, "name": packed.name})
                except Invalid as error:
                    reason = error.text
            if reason:
                skipped.append({"name": packed.name, "reason": reason})
    except BadZip as error:
        raise Refused(400, str(error), "image") from None
    return {"images": kept, "skipped": skipped}


def _images_of(store: Store, given: Any) -> list[BatchImage]:
    """The images that a batch names, all of which the store has. Raises `Refused`."""
    if not isinstance(given, list) or not given:
        raise Refused(400, "A batch needs at least one image.", "image")
    if len(given) > MOST_FILES:
        raise Refused(400, f"A batch has at most {MOST_FILES} images, not {len(given)}.", "image")
    images = []
    for image in given:
        image = image if isinstance(image, dict) else {}
        name, image_hash = image.get("name", ""), image.get("hash")
        if not isinstance(image_hash, str) or not _HASH.fullmatch(image_hash) or not isinstance(name, str):
            raise Refused(400, "An image of a batch is written {hash, name}.", "image")
        if store.thumb(image_hash) is None:
            raise Refused(400, words.IMAGE_NOT_KEPT, "image")
        images.append(BatchImage(image_hash, shown_name(name)))
    return images


async def _batch(store: Store, batch_id: str) -> Batch:
    batch = await asyncio.to_thread(store.batch, batch_id)
    if batch is None:
        raise Refused(404, "There is no such batch.")
    return batch


async def _state(store: Store, batches: Batches, batch_id: str) -> dict[str, Any]:
    """How far a batch is."""
    batch = await _batch(store, batch_id)
    items = await batches.items(batch)
    done = sum(item.settled for item in items)
    return {
        "id": batch.id,
        "title": batch.title,
        "created_at": batch.created_at,
        "state": batch.state,
        "done": done,
        "failed": sum(item.failed for item in items),
        "total": len(items),
        "text": progress(batch.state, done, len(items)),
        "columns": list(_names(batch, items)),
        "asks": list(batch.asks),
    }


async def _report(store: Store, batches: Batches, batch_id: str) -> Report:
    batch = await _batch(store, batch_id)
    items = await batches.items(batch)
    first = parse_ask({**batch.asks[0], "column": "0"})
    prompt = ", ".join(filter(None, (create.question or create.object for create in first.creates)))
    return Report(batch.title, first.create.skill, prompt, _names(batch, items), items)


def _names(batch: Batch, items: Sequence[Item]) -> tuple[str, str]:
    """What the columns are called: the models that answer, and what else tells them apart."""
    columns = []
    for number, message in enumerate(batch.asks):
        ask = parse_ask({**message, "column": str(number)}, 0)
        answered = next((side for item in items if (side := item.sides[number])), None)
        record = Record(
            id=ask.id,
            created_at=batch.created_at,
            skill=ask.create.skill,
            model=answered.model if answered else ask.create.model or "",
            answerer=answered.answerer if answered else None,
            variant=ask.create.variant or "",
            parts=tuple(Part(create) for create in ask.creates),
        )
        columns.append(record)
    left, right = column_names(columns)
    return left, right
