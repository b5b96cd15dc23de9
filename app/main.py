"""The one web application: our routes and the page's websocket, with Gradio mounted last, at `/`."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.responses import Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import ASGIApp

from dreamscope.app import words
from dreamscope.app.context import Context
from dreamscope.app.forgetting import Forgetting
from dreamscope.app.guard import ELSEWHERE_POLICY, guarded
from dreamscope.app.hub import Hub
from dreamscope.app.origin import same_origin
from dreamscope.app.relay import Relay
from dreamscope.app.routes import batches, compare, downloads, history, inspect, replay, share, traces, truth
from dreamscope.app.routes.answers import refusal
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import Engine
from dreamscope.app.ui.examples import Example, example_bytes, load_examples


def build_app(engine: Engine, store: Store, retention: bool = True) -> ASGIApp:
    """The page for `engine` with the history in `store`. Importing Gradio takes seconds: call it late.

    Without `retention` the history is deleted once no page is open.
    """
    # Read by Gradio when it is imported; without it the page would report to a server elsewhere.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    from dreamscope.app.endpoints import Endpoints
    from dreamscope.app.ui.page import HEAD, build_page
    from dreamscope.app.ui.theme import theme

    examples = load_examples()
    app = build_routes(engine, examples, store, retention)
    gr.mount_gradio_app(
        app,
        build_page(examples, Endpoints(app.state.context), retention),
        path="/",
        theme=theme(),
        head=HEAD,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,
        mcp_server=find_spec("mcp") is not None,
    )
    return guarded(app)


def build_routes(
    engine: Engine, examples: tuple[Example, ...], store: Store, retention: bool = True
) -> FastAPI:
    """Everything of ours, without Gradio: `/ui/*`, `/example/<name>`, the page's websocket `/ws`, and what
    the modules of `app/routes` add.
    """
    hub = Hub() if retention else Hub(Forgetting(store).pages)
    context = Context(engine, store, hub, examples)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    app.mount("/ui", PageFiles(directory=static_folder()), name="ui")

    @app.get("/example/{name}")
    def example(name: str) -> Response:
        data = example_bytes(name, examples)
        if data is None:
            return Response("There is no such scene.", 404, media_type="text/plain")
        return Response(data, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        if not same_origin(websocket.headers.get("origin"), websocket.headers.get("host")):
            await websocket.close()  # before accepting: the upgrade is refused with 403
            return
        await websocket.accept()
        await Relay(StarletteBrowser(websocket), context).serve()

    for module in (history, replay, share, compare, batches, inspect, downloads, truth, traces):
        app.include_router(module.router(context))

    @app.api_route("/api/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    def nothing(rest: str) -> Response:
        return refusal(404, words.NO_SUCH_ADDRESS)

    return app


class StarletteBrowser:
    """A Starlette websocket as the relay's `Browser`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes | None:
        """The next message; `None` when the page is gone."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        return bytes(message["bytes"]) if text is None else text

    async def send(self, text: str) -> None:
        """Send a text message. Raises `ConnectionError` when the page is gone."""
        try:
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise ConnectionError("The page is gone.") from error


class PageFiles(StaticFiles):
    """`static/`, asked again on every load, so that an upgrade never mixes old and new modules."""

    def file_response(self, full_path: PathLike, *args: object, **kwargs: object) -> Response:
        """The file, or 304 when the browser has it."""
        response = super().file_response(full_path, *args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        if Path(full_path).name == "elsewhere.js":
            response.headers["Content-Security-Policy"] = ELSEWHERE_POLICY
        return response


def static_folder() -> Path:
    """Where `static/` lies on disk; packages of this project are never zipped."""
    with as_file(files("dreamscope.static").joinpath("main.js")) as file:
        return file.parent
