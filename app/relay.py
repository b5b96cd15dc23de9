"""One browser page: its websocket on this side, the engine's on the other, fragments in between.

    browser -> {"image": {"id", "name"?}} + bytes      an image is opened
               {"image": {"id", "hash"}}               one of the history is
               {"image": null}                         none is, any more
               {"run": ask}                            a run, in the column that the ask names
               {"compare": {"columns": [ask, ...]}}    runs that begin together, one in each column
               {"stop": true | column}, {"load": model}
               {"trace": ...}, {"depth": ...}          see `app/traces.py`
    browser <- a JSON list of messages, each with one of
               engine     state, text, detail of the engine link; its models and presets
               progress   model, detail, done: a model is being loaded
               image      id, hash, width, height: the opened image, as it is kept
               notice     text: something about the page that no run says
               traces     what the engine does, see `app/traces.py`
               history    changed: ids of runs that were begun, ended, changed; any, if there are none
             and, with `column` if that is not the main one,
               invalid    field, text: what cannot be run and why; id of the image if it was one
               begin      title, reasoning, id, comparison, parts, model, ask: a new run takes the column over
               fragments  changes of the column, see `visualizers.fragment`
               run, id    idle, queued, running, done, stopped, failed, lost, interrupted

Three tasks: one reads the browser, one keeps the link to the engine and reads it, one sends to the browser.
They share one event loop, so the state below needs no locks. When the browser leaves, all three end, and the
engine cancels what runs because its connection closes. When the engine's connection ends, what runs is lost:
the next connection resumes it, unless it leads to an engine that does not know of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from dreamscope.app import words
from dreamscope.app.asks import Ask, Invalid, field_of, new_id, parse_ask, parse_compare
from dreamscope.app.browser import Browser, column_of, image_of, model_of, parse_message
from dreamscope.app.client import EngineClient, EngineGone, EngineRefused, socket_url
from dreamscope.app.columns import Columns
from dreamscope.app.context import Context
from dreamscope.app.images import normalise
from dreamscope.app.link import LinkStatus, find_model, is_coming_up
from dreamscope.app.outbox import Outbox
from dreamscope.app.pictures import Pictures
from dreamscope.app.recorder import Recorder
from dreamscope.app.runs import Run
from dreamscope.app.store.kinds import StoredImage
from dreamscope.app.supervisor import EngineStatus, Phase
from dreamscope.app.traces import MOST_WAITING, Traces, depth_of
from dreamscope.engine import wire

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
RESUMABLE_S = 120.0
"""For how long a run that was lost may be found again; an engine keeps what it was sent no longer."""
CLIENT_NAME = "dreamscope-page/0.1"


class Relay:
    """Serves one browser until it leaves; make one per websocket."""

    def __init__(self, browser: Browser, context: Context) -> None:
        self._browser = browser
        self._engine = context.engine
        self._hub = context.hub
        self._outbox = Outbox(browser.send)
        self._recorder = Recorder(context.store, context.hub, self._notice)
        self._columns = Columns(self._outbox, self._recorder, self._find_model)
        self._link = LinkStatus(lambda message: self._outbox.put(engine=message))
        self._models: Sequence[wire.ModelInfo] = ()
        self._client: EngineClient | None = None
        self._lost_at = 0.0
        self._pictures = Pictures()
        self._traces = Traces(lambda message: self._outbox.put_among("traces", message, MOST_WAITING))

    async def serve(self) -> None:
        """Run until the browser leaves."""
        with self._hub.listening(lambda ids: self._outbox.put(history={"changed": list(ids)})):
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
                self._columns.leave()
                await self._recorder.close()
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
                    announced, image_id = image_id, None
                    await self._take_image(announced, message)
                else:
                    image_id = await self._take_message(parse_message(message)) or image_id
            except Invalid as error:
                self._refuse(error)

    async def _take_message(self, message: dict[str, Any]) -> str | None:
        """Act on one JSON message; returns the image id that it announces."""
        if "run" in message:
            await self._begin([parse_ask(message["run"])])
        elif "compare" in message:
            await self._begin(parse_compare(message["compare"]), new_id())
        elif "stop" in message:
            for cancel in self._columns.stop(column_of(message["stop"])):
                await self._send(cancel)
        elif "image" in message and message["image"] is None:
            await self._show_none()
        elif "image" in message:
            image_id, image_hash = image_of(message["image"])
            if image_hash is None:
                return image_id
            await self._use_image(image_id, image_hash)
        elif "load" in message:
            await self._send(wire.ModelLoad(model_of(message["load"])))
        elif "trace" in message:
            await self._send(self._traces.watch(message["trace"]))
        elif "depth" in message:
            await self._send(depth_of(message["depth"]))
        else:
            raise Invalid("prompt", "The page sent a message that this server does not know.")
        return None

    async def _begin(self, asks: Sequence[Ask], comparison: str | None = None) -> None:
        self._columns.check_free([ask.column for ask in asks])
        image = self._pictures.shown
        if image is None and not all(ask.imageless for ask in asks):
            raise Invalid("image", words.IMAGE_MISSING, asks[0].column)
        runs = [Run(ask, image, comparison) for ask in asks]
        records = [run.record(self._find_model(run.ask.create.model)) for run in runs]
        title = records[0].prompt or words.TITLES[records[0].skill]
        await self._recorder.begin(image, records, title)
        self._columns.begin(runs, "" if self._client else words.WAITING_FOR_ENGINE)
        await self._submit()

    async def _take_image(self, image_id: str | None, data: bytes) -> None:
        """An image was opened: check it, keep it, give it to the engine."""
        if image_id is None:
            raise Invalid("image", words.IMAGE_UNREADABLE)
        try:
            image = await asyncio.to_thread(normalise, data)
        except Invalid as error:
            self._pictures.show(image_id, None)
            self._refuse(error, image_id)
            return
        await self._recorder.keep_image(image)
        await self._show_image(image_id, image)

    async def _use_image(self, image_id: str, image_hash: str) -> None:
        image = await self._recorder.find_image(image_hash)
        if image is None:
            self._pictures.show(image_id, None)
            self._refuse(Invalid("image", words.IMAGE_NOT_KEPT), image_id)
            return
        await self._show_image(image_id, image)

    async def _show_none(self) -> None:
        """The page shows no image any more."""
        self._pictures.show("", None)
        await self._submit()

    async def _show_image(self, image_id: str, image: StoredImage) -> None:
        self._pictures.show(image_id, image)
        facts = {"id": image_id, "hash": image.hash, "width": image.width, "height": image.height}
        self._outbox.put(image=facts)
        await self._submit()

    # ------------------------------------------------------------------------------------- the engine

    async def _keep_engine(self) -> None:
        """Connect, read until the connection ends, connect again; for as long as the browser stays."""
        pause = FIRST_PAUSE_S
        while True:
            client = await self._connect(self._engine.status)
            if client is None:
                self._despair()
                await asyncio.sleep(pause)
                pause = FIRST_PAUSE_S if self._supervised else min(pause * 2, LONGEST_PAUSE_S)
                continue
            pause = FIRST_PAUSE_S
            try:
                await self._use(client)
            except EngineGone:
                self._lost()
            finally:
                self._client = None
                self._pictures.disconnected()
                await client.close()

    async def _connect(self, status: EngineStatus) -> EngineClient | None:
        """A greeted connection; else the page says why there is none."""
        told = self._columns.lost
        if status.url is None:
            self._link.absent(status, told)
            return None
        try:
            return await EngineClient.open(socket_url(status.url), CLIENT_NAME, status.key)
        except EngineGone:
            self._link.absent(status, told)
        except EngineRefused as error:
            self._link.refused(error.info.message)
        return None

    async def _use(self, client: EngineClient) -> None:
        """Serve the page over this connection. Raises `EngineGone` when it ends."""
        await self._take_models(client, client.ready.models)
        async for message in client.messages():
            match message:
                case wire.Models():
                    await self._take_models(client, message.models)
                case wire.ModelProgress():
                    self._take_progress(message)
                case wire.ImageReady():
                    self._pictures.ready.add(message.image_id)
                    await self._submit()
                case wire.Trace():
                    self._traces.take(message)
                case wire.ErrorEvent() if self._traces.refused(message):
                    continue
                case wire.ErrorEvent():
                    self._take_error(message)
                    await self._submit()
                case wire.RequestEvent():
                    self._columns.take(message)
                    if isinstance(message, wire.TERMINAL):
                        await self._submit()

    async def _take_models(self, client: EngineClient, models: Sequence[wire.ModelInfo]) -> None:
        """The engine's models, at first or after a change; once the first is there, runs may start."""
        self._models = models
        self._link.models(models, client.ready.presets, self._engine.status)
        if self._client is not None or is_coming_up(models):
            return
        self._client = client
        for resume in self._columns.resume():
            await self._send(resume)
        if watched := self._traces.again():
            await self._send(watched)
        await self._submit()

    def _take_progress(self, progress: wire.ModelProgress) -> None:
        self._link.progress(progress)
        self._outbox.put(progress=wire.to_json(progress))
        detail = words.model_loading(progress.model, progress.detail, progress.done)
        self._columns.wait_for(progress.model, detail)

    def _take_error(self, event: wire.ErrorEvent) -> None:
        """An error outside a request: an image that cannot be decoded, or a request that was refused."""
        ref, text = event.ref or "", event.error.message
        if self._pictures.sent(ref):
            self._columns.reject_image(ref, text)
            image_id = self._pictures.rejected(ref)
            if image_id is not None:
                self._refuse(Invalid("image", text), image_id)
        elif not self._columns.refuse(ref, event.error) and field_of(event.error) == "model":
            self._refuse(Invalid("model", text))

    def _lost(self) -> None:
        """The connection ended: keep what the runs wrote, and wait for the engine."""
        self._lost_at = time.monotonic()
        self._columns.lose(words.engine_gone(True) if self._supervised else words.ENGINE_SILENT)
        self._link.lost(self._engine.status, self._columns.lost)

    def _despair(self) -> None:
        """There is no engine; runs that were lost and that no engine can know any more are given up."""
        too_late = time.monotonic() - self._lost_at > RESUMABLE_S
        if self._columns.lost and (too_late or self._engine.status.phase is Phase.FAILED):
            self._columns.give_up()

    # ------------------------------------------------------------------------------------ small steps

    @property
    def _supervised(self) -> bool:
        """Whether somebody here starts the engine again."""
        return self._engine.status.phase is not Phase.UNKNOWN

    def _find_model(self, name: str | None) -> wire.ModelInfo | None:
        return find_model(self._models, name)

    async def _submit(self) -> None:
        """Give the engine what it can take: images that are needed, and requests whose images it has."""
        client = self._client
        if client is None:
            return
        for message in self._pictures.needed(self._columns.unsent_images):
            await self._send(message)
        most = client.ready.limits.max_inflight
        for request, create in self._columns.next_requests(self._pictures.ready, most):
            if not await self._send(create) and not request.lost:
                request.sent = False

    async def _send(self, message: wire.Message) -> bool:
        """Whether the message went to the engine; if that is gone, the reading task notices and says so."""
        if self._client is None:
            return False
        try:
            await self._client.send(message)
        except EngineGone:
            await self._client.close()
            return False
        return True

    def _refuse(self, error: Invalid, image_id: str | None = None) -> None:
        named = {} if image_id is None else {"id": image_id}
        self._outbox.put(error.column, invalid={"field": error.field, "text": error.text, **named})
        self._outbox.put(error.column, run=self._columns.state(error.column))

    def _notice(self, text: str) -> None:
        self._outbox.put(notice={"text": text})
