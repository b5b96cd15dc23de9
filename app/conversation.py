"""One image and what was said about it, over the engine's websocket; what `dreamscope chat` remembers.

A turn counts once it is answered: one that failed, was stopped or was cut off is forgotten. The connection is
made when it is needed, so that a conversation goes on after the engine was started again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dreamscope.app.ask import done_of
from dreamscope.app.asking import IMAGE_ID
from dreamscope.app.client import EngineClient, EngineGone, data_url, socket_url
from dreamscope.app.supervisor import Engine
from dreamscope.engine import wire

CLIENT_NAME = "dreamscope-chat/0.1"


class Conversation:
    """All methods belong to one event loop; one request at a time, which `stop` may end."""

    def __init__(self, engine: Engine, image: bytes) -> None:
        self._engine = engine
        self._image = image
        self._client: EngineClient | None = None
        self._asking: str | None = None
        self.said: tuple[str, ...] = ()
        """What was asked and answered, in turn."""
        self.model: str | None = None
        """Who is asked in place of the model that a request names; the adapter belongs to that one."""

    async def models(self) -> tuple[wire.ModelInfo, ...]:
        """The models that the engine has at present, from a greeting of its own.

        Raises `EngineGone`, `EngineRefused`.
        """
        client = await self._greeted()
        await client.close()
        return client.ready.models

    async def begin_anew(self, image: bytes | None = None) -> None:
        """Forget what was said; go on with another image if one is given."""
        self.said = ()
        if image is not None:
            self._image = image
            await self.close()  # the next connection gets the new image

    async def ask(self, create: wire.RequestCreate, show: Callable[[wire.Message], None]) -> wire.RequestDone:
        """Ask, give every message of the engine to `show`, and remember the turn if it is one of a chat.

        Raises `Failed` for a request that ended without a result, `EngineGone`, `EngineRefused`.
        """
        if self.model is not None:
            create = replace(create, model=self.model, variant=None)
        try:
            client = await self._connected()
            self._asking = create.request_id
            await client.send(create)
            async for message in client.messages():
                show(message)
                if isinstance(message, (*wire.TERMINAL, wire.ErrorEvent)):
                    done = done_of(message)
                    if create.messages:
                        asked = create.messages[-1].content
                        text = asked if isinstance(asked, str) else asked[-1]["text"]
                        self.said = (*self.said, text, str(done.output.get("answer", "")))
                    return done
        except EngineGone:
            await self.close()
            raise
        finally:
            self._asking = None
        raise EngineGone("The engine closed the connection.")

    async def stop(self) -> None:
        """Stop what is being asked; `ask` then raises `Failed`."""
        if self._client is not None and self._asking is not None:
            await self._client.send(wire.RequestCancel(self._asking))

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> EngineClient:
        if self._client is None:
            self._client = await self._greeted()
            await self._client.send(wire.ImagePut(IMAGE_ID, data_url(self._image)))
        return self._client

    async def _greeted(self) -> EngineClient:
        status = self._engine.status
        if status.url is None:
            raise EngineGone("The engine is being started again.")
        return await EngineClient.open(socket_url(status.url), CLIENT_NAME, status.key)
