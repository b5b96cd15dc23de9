"""GET /api/runs/{id}/download/{name}: a run as a file; `name` is one of `exports.formats.FORMATS`.

annotated.png, annotated.svg, mask.png, mask.svg, result.json, places.csv, coco.json, yolo.zip,
labelstudio.json. 404 for a name that is none, a run that is not kept, or an image that is gone; 409 with the
reason for a run that has nothing for the format. Attachments, and never shown in place of a page.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.routes.answers import Answering, Refused
from dreamscope.app.routes.inspect import record_of
from dreamscope.visualizers.exports.formats import FORMATS
from dreamscope.visualizers.exports.naming import disposition
from dreamscope.visualizers.exports.things import ExportError


def router(context: Context) -> APIRouter:
    """The route above; it runs in a thread."""
    routes = APIRouter(route_class=Answering)
    store = context.store

    @routes.get("/api/runs/{run_id}/download/{name}")
    def download(run_id: str, name: str) -> Response:
        made = FORMATS.get(name)
        if made is None:
            raise Refused(404, words.no_such_download(tuple(FORMATS)))
        record = record_of(store, run_id)
        image = store.image(record.picture.hash) if record.picture else None
        if made.needs_image and record.picture and image is None:
            raise Refused(404, words.IMAGE_GONE)
        try:
            data = made.make(record, image.data if image else b"")
        except ExportError as error:
            raise Refused(409, str(error)) from None
        headers = {
            "Content-Disposition": disposition(record, name),
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        }
        return Response(data, media_type=made.media_type, headers=headers)

    return routes
