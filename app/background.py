"""An ask without a browser: on a connection of its own, recorded in the history like any other run.

    record = await ask_recorded(engine, store, parse_ask(message), picture)

1. The image, if there is one, is one that the store keeps. The run is on disk before its requests are sent,
   then its events as they come.
2. What is returned is the run as it ended: done, failed, or interrupted if the engine went away meanwhile.
3. Cancelling the task stops the requests, keeps what they wrote, and ends them as stopped.
4. Nothing is written if the engine cannot be reached (`EngineGone`) or refuses the greeting
   (`EngineRefused`), or if the image is not kept or cannot be decoded (`Invalid`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dreamscope.app import words
from dreamscope.app.asks import Ask, Invalid
from dreamscope.app.client import EngineClient, EngineGone, data_url, socket_url
from dreamscope.app.link import default_of, is_coming_up
from dreamscope.app.store.kinds import StoredImage, timestamp
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import Engine
from dreamscope.engine import wire
from dreamscope.visualizers.answerer import answerer_of
from dreamscope.visualizers.record import Part, Picture, Record

CLIENT_NAME = "dreamscope-background/0.1"
STOP_PATIENCE_S = 5.0
"""How long a cancelled request may take to say that it has ended."""
IMAGE_ID = "image"
"""What messages of a conversation call the image."""
_ENDS = {wire.RequestDone: "done", wire.RequestCancelled: "stopped", wire.RequestFailed: "failed"}


async def ask_recorded(
    engine: Engine,
    store: Store,
    ask: Ask,
    picture: Picture | None,
    *,
    comparison: str | None = None,
    column: int = 0,
    title: str = "",
    tags: Sequence[str] = (),
    changed: Callable[[Sequence[str]], None] = lambda ids: None,
) -> Record:
    """Run `ask` on `picture`, or on none, to its end. `changed` (`Hub.changed`) is told when it begins and
    ends.

    Raises `EngineGone`, `EngineRefused` or `Invalid` as the module says; then nothing was recorded.
    """
    image = await asyncio.to_thread(store.image, picture.hash) if picture else None
    if picture and image is None:
        raise Invalid("image", words.IMAGE_NOT_KEPT)
    status = engine.status
    if status.url is None:
        raise EngineGone("The engine is not running.")
    client = await EngineClient.open(socket_url(status.url), CLIENT_NAME, status.key)
    try:
        models = await _ready(client, image)
        model = _model_of(ask.create.model, models)
        record = Record(
            id=ask.id,
            created_at=timestamp(),
            skill=ask.create.skill,
            model=model.id if model else ask.create.model or "",
            revision=model.revision if model else "",
            answerer=answerer_of(model) if model else None,
            variant=ask.create.variant or "",
            picture=picture,
            parts=tuple(Part(create) for create in ask.creates),
            title=title,
            tags=tuple(tags),
            comparison=comparison,
            column=column,
        )
        return await _Errand(client, store, record, models, changed).run()
    finally:
        await client.close()


async def _ready(client: EngineClient, image: StoredImage | None) -> Sequence[wire.ModelInfo]:
    """Wait until a model is loaded and the engine has the image, if there is one; returns the models."""
    models: Sequence[wire.ModelInfo] = client.ready.models
    decoded = image is None
    if image is not None:
        await client.send(wire.ImagePut(IMAGE_ID, data_url(image.data)))
    elif not is_coming_up(models):
        return models
    async for message in client.messages():
        match message:
            case wire.ImageReady():
                decoded = True
            case wire.ErrorEvent(ref=ref, error=error) if ref == IMAGE_ID:
                raise Invalid("image", error.message)
            case wire.Models():
                models = message.models
        if decoded and not is_coming_up(models):
            return models
    raise EngineGone("The engine closed the connection.")


def _model_of(name: str | None, models: Sequence[wire.ModelInfo]) -> wire.ModelInfo | None:
    """The model of that name or alias, which an adapter's name may follow; the default one for `None`."""
    if name is None:
        return default_of(models)
    names = (name, name.rpartition("/")[0])
    return next((model for model in models if {model.id, *model.aliases} & set(names)), None)


@dataclass
class _Request:
    """A part on its way."""

    create: wire.RequestCreate
    state: str = "queued"
    sent: bool = False
    events: list[wire.RequestEvent] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.state not in ("queued", "running")


class _Errand:
    """The requests of one run over one connection, until all have ended."""

    def __init__(
        self,
        client: EngineClient,
        store: Store,
        record: Record,
        models: Sequence[wire.ModelInfo],
        changed: Callable[[Sequence[str]], None],
    ) -> None:
        self._client = client
        self._store = store
        self._record = record
        self._models = models
        self._changed = changed
        self._requests = [_Request(part.create) for part in record.parts]
        self._number = {part.create.request_id: number for number, part in enumerate(record.parts)}

    async def run(self) -> Record:
        """Record, send, follow. However it ends, nothing stays open: cancelled, the requests are stopped."""
        self._store.begin(self._record)
        try:
            await asyncio.to_thread(self._store.flush)
            self._changed([self._record.id])
            for request in self._requests:
                about = IMAGE_ID if self._record.picture and not request.create.messages else None
                await self._client.send(replace(request.create, image_id=about))
                request.sent = True
            await self._follow()
        except EngineGone:
            pass  # what is open is interrupted
        except asyncio.CancelledError:
            await self._stop()
            raise
        finally:
            self._end_open("interrupted")
            await asyncio.to_thread(self._store.flush)
            self._changed([self._record.id])
        parts = (Part(each.create, each.state, tuple(each.events)) for each in self._requests)
        return self._record.with_parts(parts)

    async def _follow(self) -> None:
        """Record events until every request has ended. Raises `EngineGone`."""
        async for message in self._client.messages():
            match message:
                case wire.Models():
                    self._models = message.models
                case wire.RequestEvent() if message.request_id in self._number:
                    self._take(self._number[message.request_id], message)
                case wire.ErrorEvent(ref=str() as ref, error=error) if ref in self._number:
                    seq = len(self._requests[self._number[ref]].events)
                    self._take(self._number[ref], wire.RequestFailed(request_id=ref, seq=seq, error=error))
            if all(request.over or not request.sent for request in self._requests):
                return

    def _take(self, number: int, event: wire.RequestEvent) -> None:
        request = self._requests[number]
        request.events.append(event)
        self._store.append(self._record.id, number, [event])
        if isinstance(event, wire.RequestAccepted):
            self._amend(event.model)
        elif isinstance(event, wire.RequestStarted):
            request.state = "running"
        elif type(event) in _ENDS:
            request.state = _ENDS[type(event)]
            self._store.finish(self._record.id, number, request.state)

    def _amend(self, answering: str) -> None:
        """The engine says what answers."""
        model = _model_of(answering, self._models)
        if model is not None and (model.id, model.revision) != (self._record.model, self._record.revision):
            known = answerer_of(model)
            self._record = replace(self._record, model=model.id, revision=model.revision, answerer=known)
            self._store.amend(self._record.id, model=model.id, revision=model.revision, answerer=known)

    async def _stop(self) -> None:
        """Cancel what the engine has, keep what still comes, and end everything as stopped."""
        going = [request for request in self._requests if request.sent and not request.over]
        try:
            async with asyncio.timeout(STOP_PATIENCE_S):
                for request in going:
                    await self._client.send(wire.RequestCancel(request.create.request_id))
                if going:
                    await self._follow()
        except (TimeoutError, EngineGone):
            pass  # it ends here all the same
        finally:
            self._end_open("stopped")

    def _end_open(self, state: str) -> None:
        for number, request in enumerate(self._requests):
            if not request.over:
                request.state = state
                self._store.finish(self._record.id, number, state)
