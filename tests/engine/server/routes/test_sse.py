"""A stream whose reader does not read."""

from __future__ import annotations

import asyncio

import pytest

from dreamscope.engine.server.bodies import ClientGone
from dreamscope.engine.server.sse import EventStream


async def test_a_client_that_stops_reading_counts_as_gone():
    async def blocked(message):
        await asyncio.Event().wait()

    stream = EventStream(blocked, 0.01)
    for work in (stream.open({}), stream.data("{}"), stream.keep_alive(), stream.close()):
        with pytest.raises(ClientGone):
            await work


async def test_only_ascii_leaves():
    async def swallow(message):
        pass

    with pytest.raises(UnicodeEncodeError):
        await EventStream(swallow, 1.0).data("caf\u00e9")
