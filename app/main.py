"""The one web application: our routes and the page's websocket, with Gradio mounted last, at `/`."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dreamscope.app.origin import same_origin
from dreamscope.app.relay import Relay
from dreamscope.app.supervisor import Engine
from dreamscope.app.ui.examples import Example, example_bytes, load_examples

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; font-src 'self' data:; connect-src 'self' ws: wss:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)
"""Gradio needs inline scripts and eval; everything that would leave this server is refused."""


def build_app(engine: Engine) -> ASGIApp:
    """The page for `engine`. Importing Gradio takes seconds, so call it once, late."""
    # Read by Gradio when it is imported; without it the page would report to a server elsewhere.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    from dreamscope.app.ui.page import HEAD, build_page
    from dreamscope.app.ui.theme import theme

    examples = load_examples()
    app = build_routes(engine, examples)
    gr.mount_gradio_app(
        app,
        build_page(examples),
        path="/",
        theme=theme(),
        head=HEAD,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,
    )
    return SecurityHeaders(app)


def build_routes(engine: Engine, examples: tuple[Example, ...]) -> FastAPI:
    """Everything of ours, without Gradio: `/ui/*`, `/example/<name>` and the page's websocket `/ws`."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
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
        await Relay(StarletteBrowser(websocket), engine).serve()

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

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """The file, or 304 when the browser has it."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


class SecurityHeaders:
    """ASGI middleware: pages of this server load nothing from anywhere else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [
                    (b"content-security-policy", _POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"same-origin"),
                ]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, with_headers)


def static_folder() -> Path:
    """Where `static/` lies on disk; packages of this project are never zipped."""
    with as_file(files("dreamscope.static").joinpath("main.js")) as file:
        return file.parent
