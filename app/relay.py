"""One browser page: its websocket on this side, the engine's on the other, fragments in between.

    browser -> {"image": {"id"}} + bytes, {"run": {...}}, {"stop": true}, {"load": model}
    browser <- a JSON list of messages, each with one of
               engine     state, text, detail of the engine link; its models and presets
               progress   model, detail, done: a model is being loaded
               invalid    field, text: what cannot be run and why; id of the image if it was one
               begin      title, reasoning: a new run takes the page over
               fragments  changes of the page, see `visualizers.fragment`
               run        idle, queued, running, done, stopped, failed, lost

Three tasks: one reads the browser, one keeps the link to the engine and reads it, one sends to the browser.
They share one event loop, so the state below needs no locks. When the browser leaves, all three end, and the
engine cancels what runs because its connection closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from dreamscope.app import words
from dreamscope.app.asks import Ask, Invalid, field_of, parse_ask
from dreamscope.app.browser import Browser, image_id_of, model_of, parse_message
from dreamscope.app.client import EngineClient, EngineGone, EngineRefused, data_url, socket_url
from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.app.link import LinkStatus, is_coming_up
from dreamscope.app.outbox import Outbox
from dreamscope.app.runs import ReadyImage, Run
from dreamscope.app.supervisor import Engine, EngineStatus, Phase
from dreamscope.engine import wire
from dreamscope.visualizers.fragment import Fragment
from dreamscope.visualizers.slots import status_html

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
CLIENT_NAME = "dreamscope-page/0.1"


class Relay:
    """Serves one browser until it leaves; make one per websocket."""

    def __init__(self, browser: Browser, engine: Engine) -> None:
        self._browser = browser
        self._engine = engine
        self._outbox = Outbox(browser.send)
        self._client: EngineClient | None = None
        self._link = LinkStatus(lambda message: self._outbox.put(engine=message))
        self._upload: tuple[str, bytes] | None = None
        self._image: ReadyImage | None = None  # the upload, once the present connection has decoded it
        self._waiting: Ask | None = None  # runs as soon as engine and image are ready
        self._run: Run | None = None

    async def serve(self) -> None:
        """Run until the browser leaves."""
        tasks = [
            asyncio.create_task(work, name=f"relay {name}")
            for name, work in (
                ("browser", self._read_browser()),
                ("engine", self._keep_engine()),
                ("outbox", self._outbox.run()),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, ConnectionError):
                raise error

    # ------------------------------------------------------------------------------------ the browser

    async def _read_browser(self) -> None:
        image_id: str | None = None  # of the bytes that come next
        while (message := await self._browser.receive()) is not None:
            try:
                if isinstance(message, bytes):
                    await self._take_image(image_id, message)
                    image_id = None
                else:
                    image_id = await self._take_message(parse_message(message)) or image_id
            except Invalid as error:
                self._outbox.put(invalid={"field": error.field, "text": error.text}, run=self._state())

    async def _take_message(self, message: dict[str, Any]) -> str | None:
        """Act on one JSON message; returns the image id that it announces."""
        if "run" in message:
            self._begin(parse_ask(message["run"]))
            await self._submit()
        elif "stop" in message:
            await self._stop()
        elif "image" in message:
            return image_id_of(message["image"])
        elif "load" in message:
            await self._send(wire.ModelLoad(model_of(message["load"])))
        else:
            raise Invalid("prompt", "The page sent a message that this server does not know.")
        return None

    async def _take_image(self, image_id: str | None, data: bytes) -> None:
        if image_id is None:
            raise Invalid("image", words.IMAGE_UNREADABLE)
        if len(data) > IMAGE_LIMIT_BYTES:
            raise Invalid("image", words.image_too_big(IMAGE_LIMIT_BYTES))
        self._upload, self._image = (image_id, data), None
        await self._put_image()

    def _begin(self, ask: Ask) -> None:
        if self._busy:
            raise Invalid("prompt", "A run is going on; stop it first.")
        if self._upload is None:
            raise Invalid("image", words.IMAGE_MISSING)
        self._waiting, self._run = ask, None
        title = words.TITLES[ask.create.skill]
        self._outbox.put(begin={"title": title, "reasoning": ask.create.reasoning is True}, run="queued")
        if self._client is None:
            self._say("queued", words.WAITING_FOR_ENGINE)

    async def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting = None
            self._say("idle", "")
            self._outbox.put(run="idle")
        elif self._run is not None and not self._run.over:
            await self._send(wire.RequestCancel(self._run.request_id))

    # ------------------------------------------------------------------------------------- the engine

    async def _keep_engine(self) -> None:
        """Connect, read until the connection ends, connect again; for as long as the browser stays."""
        pause = FIRST_PAUSE_S
        while True:
            client = await self._connect(self._engine.status)
            if client is None:
                await asyncio.sleep(pause)
                pause = FIRST_PAUSE_S if self._supervised else min(pause * 2, LONGEST_PAUSE_S)
                continue
            pause = FIRST_PAUSE_S
            try:
                await self._use(client)
            except EngineGone:
                self._lost()
            finally:
                self._client = self._image = None
                await client.close()

    async def _connect(self, status: EngineStatus) -> EngineClient | None:
        """A greeted connection; else the page says why there is none."""
        if status.url is None:
            self._link.absent(status, self._told)
            return None
        try:
            return await EngineClient.open(socket_url(status.url), CLIENT_NAME)
        except EngineGone:
            self._link.absent(status, self._told)
        except EngineRefused as error:
            self._link.refused(error.info.message)
        return None

    async def _use(self, client: EngineClient) -> None:
        """Serve the page over this connection. Raises `EngineGone` when it ends."""
        await self._take_models(client, client.ready.models)
        async for message in client.messages():
            if isinstance(message, wire.Models):
                await self._take_models(client, message.models)
            elif isinstance(message, wire.ModelProgress):
                self._take_progress(message)
            else:
                await self._take_event(message)

    async def _take_models(self, client: EngineClient, models: Sequence[wire.ModelInfo]) -> None:
        """The engine's models, at first or after a change; once the first is there, runs may start."""
        self._link.models(models, client.ready.presets, self._engine.status)
        if self._client is not None or is_coming_up(models):
            return
        self._client = client
        if self._run is not None and self._told:
            self._outbox.put_fragments(self._run.recover())
            self._outbox.put(run=self._run.state)
        await self._put_image()

    def _take_progress(self, progress: wire.ModelProgress) -> None:
        self._link.progress(progress)
        self._outbox.put(progress=wire.to_json(progress))
        if self._run is not None and self._run.model in (None, progress.model):
            detail = words.model_loading(progress.model, progress.detail, progress.done)
            self._outbox.put_fragments(self._run.wait_for(detail))

    async def _take_event(self, message: wire.Message) -> None:
        match message:
            case wire.ImageReady():
                if self._upload is not None and message.image_id == self._upload[0]:
                    self._image = ReadyImage(message.image_id, message.width, message.height)
                    await self._submit()
            case wire.ErrorEvent():
                self._take_error(message)
            case wire.RequestEvent():
                if self._run is not None and message.request_id == self._run.request_id:
                    self._take_run_event(self._run, message)

    def _take_run_event(self, run: Run, event: wire.RequestEvent) -> None:
        if isinstance(event, wire.RequestFailed) and event.seq == 0 and (field := field_of(event.error)):
            self._run = None
            self._say("idle", "")
            self._outbox.put(invalid={"field": field, "text": event.error.message}, run="idle")
            return
        before = run.state
        self._outbox.put_fragments(run.feed(event))
        if run.state != before:
            self._outbox.put(run=run.state)

    def _take_error(self, event: wire.ErrorEvent) -> None:
        """An error outside a request: an image that cannot be decoded, or a request that was refused."""
        text = event.error.message
        if self._upload is not None and event.ref == self._upload[0]:
            self._upload = self._waiting = None
            self._outbox.put(invalid={"field": "image", "text": text, "id": event.ref}, run=self._state())
        elif self._run is not None and event.ref == self._run.request_id:
            self._run = None
            self._say("failed", text)
            self._outbox.put(run="failed")
        elif field_of(event.error) == "model":
            self._outbox.put(invalid={"field": "model", "text": text}, run=self._state())

    def _lost(self) -> None:
        """The connection ended: keep what the run wrote, and wait for the engine."""
        if self._run is not None and not self._run.over:
            self._outbox.put_fragments(self._run.lose(self._supervised))
            self._outbox.put(run=self._run.state)
        self._link.lost(self._engine.status, self._told)

    # ------------------------------------------------------------------------------------ small steps

    @property
    def _busy(self) -> bool:
        return self._waiting is not None or (self._run is not None and not self._run.over)

    @property
    def _supervised(self) -> bool:
        """Whether somebody here starts the engine again."""
        return self._engine.status.phase is not Phase.UNKNOWN

    @property
    def _told(self) -> bool:
        """Whether the status of a lost run says already that the engine is gone."""
        return self._run is not None and self._run.state == "lost"

    def _state(self) -> str:
        if self._waiting is not None:
            return "queued"
        return self._run.state if self._run is not None else "idle"

    async def _put_image(self) -> None:
        if self._upload is not None:
            image_id, data = self._upload
            await self._send(wire.ImagePut(image_id, data_url(data)))

    async def _submit(self) -> None:
        """Start the waiting run once the engine knows the image."""
        if self._waiting is None or self._image is None or self._client is None:
            return
        ask, self._waiting = self._waiting, None
        self._run = Run(ask, self._image)
        await self._send(ask.on_image(self._image.image_id))

    async def _send(self, message: wire.Message) -> None:
        """Send to the engine, if there is one; when it goes away the reading task notices and says so."""
        if self._client is None:
            return
        try:
            await self._client.send(message)
        except EngineGone:
            await self._client.close()

    def _say(self, state: str, text: str) -> None:
        self._outbox.put_fragments([Fragment("status", "replace", status_html(state, text) if text else "")])
